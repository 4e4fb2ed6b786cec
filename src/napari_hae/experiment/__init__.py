"""Experiment: the loop of proposing and measuring, its record, the user's control."""
