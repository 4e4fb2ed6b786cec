"""The experiment: ask, measure, tell; the record; the human."""
