"""Open any file that HyperSpy reads, lazily if possible, or report the reason."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from napari_hae.files import check_file
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.base import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

_IN_FORMATS = frozenset({"sparse", "numba", "imagecodecs", "hdf5plugin", "tifffile"})
"""Packages that readers need and that the extra `formats` installs."""
_MORE_READERS = {"h5": ("HSPY", "EMD"), "hdf5": ("EMD",), "he5": ("HSPY", "EMD")}
"""Formats that are HDF5 and come under its general extensions, too."""
_NEVER_LAZY = frozenset({"Image", "TIFF"})
"""Readers that make one block of a file, if any, and leave it open."""
_LONGEST_REASON = 90


class CannotBeRead(Unsupported):
    """A file cannot be read, or not to its end."""


def open_signals(
    path: Path,
    files: ExitStack,
    *,
    reader: str = "",
    is_wanted: Callable[[list[Any]], bool] = bool,
    lazy: bool = True,
) -> list[Any]:
    """Return the HyperSpy signals in a file, lazy where its format and `lazy` allow.

    Where several readers claim the file's extension, they are tried in turn, and the
    first one whose signals `is_wanted` accepts is taken, else the first that finds any.
    The file is closed with `files`.

    Parameters
    ----------
    reader
        The name of the reader to use, as HyperSpy lists it. Default: by extension.

    Raises
    ------
    Unsupported
        If there is no such file or reader, or the file cannot be read.
    """
    names = _readers_for(path, reader)
    found: list[Any] = []
    failures: list[tuple[str, Exception]] = []
    for name in names:
        try:
            signals = _load(path, name, lazy=lazy)
        # HyperSpy's readers fail in as many ways as there are formats.
        except Exception as error:
            failures.append((name, error))
            continue
        found = found or signals
        if is_wanted(signals):
            found = signals
            break
    if not found and failures:
        raise CannotBeRead(_in_one_sentence(path, failures)) from failures[0][1]
    _close_with(files, found)
    return found


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every failure to read a file into `Unsupported`, with its reason."""
    try:
        yield
    except Exception as error:
        raise CannotBeRead(_in_one_sentence(path, [("", error)])) from error


def reason(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def in_memory(data: Any) -> Any:
    """Return a numpy array from a numpy, dask or sparse array."""
    held = data.compute() if hasattr(data, "compute") else data
    return held.todense() if hasattr(held, "todense") else held


def in_words(signals: Sequence[Any]) -> str:
    """Return the dimensions and sizes of signals, for messages."""
    if not signals:
        return "nothing"
    return "; ".join(map(_signal_in_words, signals))


def _signal_in_words(signal: Any) -> str:
    manager = signal.axes_manager
    size = " × ".join(map(str, signal.data.shape))
    kind = "" if is_real(signal) else f" of {signal.data.dtype}, not of real numbers"
    return (
        f"{manager.navigation_dimension} navigation and {manager.signal_dimension} "
        f"signal ({size}){kind}"
    )


def is_real(signal: Any) -> bool:
    """Return whether a signal holds real numbers, not colours or complex numbers."""
    return signal.data.dtype.kind in "buif"


def _readers_for(path: Path, reader: str) -> list[str]:
    """Return the names of the readers to try, in order."""
    from rsciio import IO_PLUGINS

    extension = path.suffix.removeprefix(".").lower()
    if extension != "zspy" or not path.is_dir():
        try:
            check_file(path)
        except ValueError as error:
            raise Unsupported(str(error)) from error
    all_names = [str(plugin["name"]) for plugin in IO_PLUGINS]
    if reader:
        by_name = {name.lower(): name for name in all_names}
        if reader.lower() not in by_name:
            raise Unsupported(
                f"there is no reader {reader!r}; HyperSpy has: {', '.join(all_names)}"
            )
        return [by_name[reader.lower()]]
    names = [
        str(plugin["name"])
        for plugin in IO_PLUGINS
        if extension in (each.lower() for each in plugin["file_extensions"])
    ]
    names += [name for name in _MORE_READERS.get(extension, ()) if name not in names]
    if extension == "zip":
        raise Unsupported(f"{path} is an archive: unpack it, and give the file in it")
    if not names:
        raise Unsupported(
            f"{path} cannot be read: HyperSpy knows no format with the extension "
            f"{path.suffix or '(none)'}; if it is of a format that HyperSpy reads, "
            "name its reader by the setting instrument.reader"
        )
    return names


def _load(path: Path, reader: str, *, lazy: bool) -> list[Any]:
    """Load the signals of one reader, lazily or, if that fails, at once."""
    with _without_blaming_the_reader():
        loaded = None
        if lazy and reader not in _NEVER_LAZY:
            # Some formats cannot be lazy, and some files of those that can: what is
            # wrong with the file, if anything, reading all of it will tell.
            with suppress(Exception):
                loaded = hyperspy().load(path, lazy=True, file_format=reader)
        if loaded is None:
            loaded = hyperspy().load(path, lazy=False, file_format=reader)
    return list(loaded) if isinstance(loaded, list) else [loaded]


def _in_one_sentence(path: Path, failures: Sequence[tuple[str, Exception]]) -> str:
    """Return why each reader failed to read a file, and a possible remedy."""
    missing = {_missing_package(error) for _, error in failures} - {None}
    advice = ""
    if len(missing) == len(failures) or (missing & _IN_FORMATS):
        advice = f"; {_advice(sorted(map(str, missing)))}"
    if len(failures) == 1:
        return f"{path} cannot be read: {reason(failures[0][1])}{advice}"
    each = "; ".join(
        f"{name}: {reason(error)[:_LONGEST_REASON]}" for name, error in failures
    )
    return (
        f"{path} cannot be read by any reader that claims its extension ({each})"
        f"{advice or '; if it is of another format, name it by instrument.reader'}"
    )


def _advice(packages: list[str]) -> str:
    if _IN_FORMATS.issuperset(packages):
        wanted = '"napari-hae[formats]"'
    else:
        wanted = " ".join(packages)
    return f"install what its reader needs by: pip install {wanted}"


def _missing_package(error: Exception) -> str | None:
    """Return the package that a reader lacks; None for any other failure."""
    if isinstance(error, ImportError) and error.name:
        return error.name.split(".")[0]
    match = re.search(r"(?:requires the|The) '(\w+)' (?:package|library)", str(error))
    return match[1] if match else None


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
