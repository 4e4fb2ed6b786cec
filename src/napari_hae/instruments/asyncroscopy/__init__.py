"""Microscopes controlled by asyncroscopy, through PyTango."""
