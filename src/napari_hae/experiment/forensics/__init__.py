"""Forensics: path, decisions and possible alternatives of a stored run.

Pure functions on a `StoredRun`; they never change a record.
"""
