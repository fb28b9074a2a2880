"""Errors that a user can mend, and what they suggest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The user must change something: the message says what is wrong, where, and what would be right, in one line."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that suggests the known name nearest to a misspelt one, or lists all.

    >>> nearest("modle", ["model", "texts"])
    "; did you mean 'model'?"
    """
    names = [str(entry) for entry in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"
