"""The agent: chooses the next position to measure."""
