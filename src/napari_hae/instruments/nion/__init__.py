"""Nion Swift as an instrument, through its instrumentation kit."""
