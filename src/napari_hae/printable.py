"""Foreign texts and values as text that is safe to show, in a terminal too."""

from __future__ import annotations

LONGEST = 60
"""Largest number of characters of a value quoted in a sentence."""


def printable(text: str) -> str:
    r"""Return text with each control character written as its code, such as `\x1b`.

    Text from a record, a file or a microscope could otherwise move the cursor of a
    terminal, clear it, or hide what is there. Lines stay lines.
    """
    return "\n".join(map(printable_line, text.split("\n")))


def printable_line(text: str) -> str:
    """Return printable text on one line: line ends are written as codes, too."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shortened(value: object) -> str:
    """Return a value as text short enough for a sentence."""
    try:
        text = repr(value)
    # Whole numbers of more digits than Python writes, and values in values without end.
    except (ValueError, RecursionError):
        return f"a value of {type(value).__name__} that is too long to be shown"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}…"
