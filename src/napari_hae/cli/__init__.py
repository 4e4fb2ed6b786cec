"""The command line: `napari-hae demo | run | resume | serve | forensics | …`."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from napari_hae.cli.exit_codes import FAILED, WRONG_USE
from napari_hae.cli.output import log_to_stderr, say
from napari_hae.cli.parser import make_parser
from napari_hae.instruments.base import InstrumentError, OutOfRange, Unsupported
from napari_hae.signal_listener import BY_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, see `exit_codes`."""
    options = make_parser().parse_args(arguments)
    log_to_stderr("%(levelname)s: %(message)s")
    try:
        return int(options.command(options))
    # Refusals of an instrument before the run exists: missing files, impossible values.
    # During a run they end it, and are in its record.
    except (Unsupported, OutOfRange) as error:
        lacks_library = isinstance(error.__cause__, ImportError)
        return _complain(error, FAILED if lacks_library else WRONG_USE)
    except InstrumentError as error:
        return _complain(error, FAILED)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    # Mistakes of the user, with a message written for the user: settings, names, files,
    # records that are not records.
    except ValueError as error:
        return _complain(error, WRONG_USE)
    except (OSError, ImportError) as error:
        return _complain(error, FAILED)
    # For commands that hold no beam; for the others see `stopping`.
    except KeyboardInterrupt:
        print("napari-hae: interrupted", file=sys.stderr)
        return BY_SIGNAL + signal.SIGINT


def _complain(error: Exception, code: int) -> int:
    say(f"napari-hae: {error}", sys.stderr)
    return code
