"""Allowed content of a record: files and folders, and nothing that points outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


SUFFIX = ".hae"
"""Suffix of the folder of a record."""


class NotARecord(ValueError):
    """Error for a path without a usable record; the text gives the reason."""


def check_plain(record: Path, *, is_written: bool = False) -> None:
    """Refuse a record that contains anything but files and folders.

    Through a link, files outside of the record would be read or overwritten, and
    opening a pipe or a device may block. The record itself may be a link made by the
    user.

    Hard links are read, since backup programs create them. They are not written, which
    would change the other file as well.

    Parameters
    ----------
    is_written
        True if the record will be written to.

    Raises
    ------
    NotARecord
        If there is such an entry; the text gives its name.
    OSError
        If a folder of the record cannot be read.
    """
    folders: list[str | Path] = [record]
    while folders:
        try:
            found = os.scandir(folders.pop())
        # The writer replaced it meanwhile.
        except FileNotFoundError:
            continue
        with found:
            for each in found:
                if _is_folder(each):
                    folders.append(each.path)
                elif not each.is_file(follow_symlinks=False):
                    kind = "a link" if _is_link(each) else "a pipe, socket or device"
                    raise NotARecord(
                        f"{each.path} is {kind}, and a record holds only files and "
                        "folders; nothing of it was read or written"
                    )
                # Windows does not report this for listed entries.
                elif is_written and os.stat(each.path).st_nlink > 1:
                    raise NotARecord(
                        f"{each.path} has a second name elsewhere (a hard link, as "
                        "backups make them), which would be changed with it; copy the "
                        "record, and go on with the copy. Nothing was written"
                    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not _is_link(entry)


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Windows has folder links that it does not report as symlinks (Python 3.12).
    is_junction = getattr(entry, "is_junction", bool)
    return entry.is_symlink() or bool(is_junction())
