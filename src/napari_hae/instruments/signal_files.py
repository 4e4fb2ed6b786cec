"""Opens any file that HyperSpy reads, lazily, and says in words why it cannot."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.base import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path


def open_signals(path: Path, files: ExitStack) -> list[Any]:
    """The HyperSpy signals in a file, lazy where its format allows.

    The file is closed with `files`.

    Raises
    ------
    Unsupported
        If there is no such file or it cannot be read.
    """
    _check_there(path)
    with reading(path), _without_blaming_the_reader():
        try:
            loaded = hyperspy().load(path, lazy=True)
        except NotImplementedError:
            loaded = hyperspy().load(path, lazy=False)
    signals = list(loaded) if isinstance(loaded, list) else [loaded]
    _close_with(files, signals)
    return signals


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every failure to read a file into `Unsupported`, with its reason."""
    try:
        yield
    # HyperSpy's readers fail in as many ways as there are formats.
    except Exception as error:
        raise Unsupported(f"{path} cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def in_memory(data: Any) -> Any:
    """A numpy array of what may be a dask array."""
    return data.compute() if hasattr(data, "compute") else data


def _check_there(path: Path) -> None:
    from rsciio import IO_PLUGINS

    extension = path.suffix.removeprefix(".").lower()
    if not path.exists():
        raise Unsupported(f"there is no file {path}")
    if path.is_dir() and extension != "zspy":
        raise Unsupported(f"{path} is a folder; a file is needed")
    if not any(extension in plugin["file_extensions"] for plugin in IO_PLUGINS):
        raise Unsupported(
            f"{path} cannot be read: HyperSpy knows no format with the extension "
            f"{path.suffix or '(none)'}"
        )


def _close_with(files: ExitStack, signals: list[Any]) -> None:
    from rsciio.utils.file import get_file_handle

    for data in (signal.data for signal in signals):
        handle = get_file_handle(data, warn=False) if hasattr(data, "dask") else None
        if handle is not None:
            files.callback(handle.close)


@contextmanager
def _without_blaming_the_reader() -> Iterator[None]:
    """Keep back HyperSpy's advice to report every file that it cannot read.

    It is logged, too, where a format is only not lazy and is then read well.
    """
    logger = logging.getLogger("hyperspy.io")
    logger.addFilter(_is_no_advice)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "report this error to the RosettaSciIO developers" not in record.getMessage()
