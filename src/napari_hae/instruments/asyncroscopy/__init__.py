"""Microscopes that are run by asyncroscopy, through PyTango."""
