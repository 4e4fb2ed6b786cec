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
    """Run one command; returns its exit code, see `exit_codes`."""
    options = make_parser().parse_args(arguments)
    log_to_stderr("%(levelname)s: %(message)s")
    try:
        return int(options.command(options))
    # What an instrument refuses before there is a run: files that are not there, values
    # that it cannot have. During a run they end it, in its record.
    except (Unsupported, OutOfRange) as error:
        lacks_library = isinstance(error.__cause__, ImportError)
        return _complain(error, FAILED if lacks_library else WRONG_USE)
    except InstrumentError as error:
        return _complain(error, FAILED)
    except BrokenPipeError:
        # Who reads the output, such as `head`, has seen enough; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    # A mistake of the user's, in words made for the user: settings, names, files,
    # records that are none.
    except ValueError as error:
        return _complain(error, WRONG_USE)
    except (OSError, ImportError) as error:
        return _complain(error, FAILED)
    # In commands that hold no beam; for the others see `stopping`.
    except KeyboardInterrupt:
        print("napari-hae: interrupted", file=sys.stderr)
        return BY_SIGNAL + signal.SIGINT


def _complain(error: Exception, code: int) -> int:
    say(f"napari-hae: {error}", sys.stderr)
    return code
