"""Foreign strings made fit to be shown: what endpoints, models, texts, files and programs say is data."""

from __future__ import annotations

# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Text without what a terminal or a reader would obey: control codes, escapes, marks of direction.

    Args:
        text: any string, half surrogate pairs included.
        lines: keep line breaks.

    Returns:
        the same string, every character that is not printable a space.

    Example:
        >>> printable("a\x1b]0;title\x07b\u202ec")
        'a ]0;title b c'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in text)


def one_line(text: str, most: int = 400) -> str:
    """Printable text as one line of so many characters at the most."""
    return " ".join(printable(text).split())[:most]


def csv_cell(value: object, *, lines: bool = False) -> object:
    """A value as a cell of a table that spreadsheets open: text that they would take for a formula is quoted.

    Args:
        value: anything.
        lines: keep the line breaks and tabs of a text, as a program's source needs them.
    """
    if isinstance(value, str):
        value = "\t".join(printable(part, lines=True) for part in value.split("\t")) if lines else printable(value)
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value
