"""What the command line exits with."""

DONE, FAILED, WRONG_USE = 0, 1, 2
