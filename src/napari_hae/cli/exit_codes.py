"""Exit codes of the command line."""

DONE, FAILED, WRONG_USE = 0, 1, 2
EXPLAINED = (
    "exit codes: 0 done, 1 a run that failed or a beam that may be on, 2 wrong use; "
    "130, 143 and 129 ended by SIGINT (Ctrl+C), SIGTERM and SIGHUP (149 by SIGBREAK)"
)
