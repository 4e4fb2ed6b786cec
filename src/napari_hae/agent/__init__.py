"""The agent: what to measure next."""
