"""Foreign texts and values as text that is safe to show, in a terminal too."""

from __future__ import annotations

LONGEST = 60
"""A value in a sentence has at most so many characters."""


def printable(text: str) -> str:
    r"""Text with every control character written as its code, such as `\x1b`.

    What a record, a file or a microscope says could else move the cursor of a terminal,
    clear it, or hide what is there. Lines stay lines.
    """
    return "\n".join(map(printable_line, text.split("\n")))


def printable_line(text: str) -> str:
    """The same on one line: the ends of lines are written as their codes, too."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shortened(value: object) -> str:
    """A value as text of a length that a sentence can hold."""
    try:
        text = repr(value)
    # Whole numbers of more digits than Python writes, and values in values without end.
    except (ValueError, RecursionError):
        return f"a value of {type(value).__name__} that is too long to be shown"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}…"
