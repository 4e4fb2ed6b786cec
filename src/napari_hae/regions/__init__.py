"""Positions allowed for the beam: drawn regions and their effect on a field of view."""
