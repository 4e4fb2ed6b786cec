"""Forensics: what a stored run did, why, and what else it might have done.

Pure functions on a `StoredRun`; nothing here changes a record.
"""
