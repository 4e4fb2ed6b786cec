"""What may lie in a record: files and folders, and nothing that leads out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


SUFFIX = ".hae"
"""Of the folder of a record."""


class NotARecord(ValueError):
    """The path holds no record that can be used; the text says why."""


def check_plain(record: Path, *, is_written: bool = False) -> None:
    """Refuse a record in which anything is neither a file nor a folder.

    A link would have files outside of the record read or overwritten, and a pipe or a
    device holds up whoever opens it. The record itself may be a link of the user's.

    A file with a second name elsewhere, a hard link, is read: programs for backups make
    them. It is not written, which would change the other one with it.

    Parameters
    ----------
    is_written
        Whether the record is to be written.

    Raises
    ------
    NotARecord
        If there is such a thing, with its name.
    OSError
        If a folder of the record cannot be read.
    """
    folders: list[str | Path] = [record]
    while folders:
        try:
            found = os.scandir(folders.pop())
        # Its writer put another one in its place meanwhile.
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
                # Windows does not tell it of what was listed.
                elif is_written and os.stat(each.path).st_nlink > 1:
                    raise NotARecord(
                        f"{each.path} has a second name elsewhere (a hard link, as "
                        "backups make them), which would be changed with it; copy the "
                        "record, and go on with the copy. Nothing was written"
                    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not _is_link(entry)


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Windows has links of folders that it does not call symlinks (Python 3.12).
    is_junction = getattr(entry, "is_junction", bool)
    return entry.is_symlink() or bool(is_junction())
