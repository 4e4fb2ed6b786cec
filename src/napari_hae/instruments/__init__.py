"""Instruments: how to measure."""
