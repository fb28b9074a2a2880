"""Errors that a user can mend, and the nearest right name to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The user must change something: the message says what is wrong, where, and what would be right, in one line."""


def closest(name: str, known: Iterable[str], *, least: float = 0.5) -> str | None:
    """The known name that is most like a misspelt one.

    Args:
        name: what was written.
        known: what would be right.
        least: how alike they must be, from 0 to 1 (`difflib.SequenceMatcher.ratio`).
    """
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=least)
    return found[0] if found else None


def nearest(name: object, known: Iterable[object]) -> str:
    """A half-sentence that suggests the known name nearest to a misspelt one, or lists all.

    Example:
        >>> nearest("residul", ["residual", "tweak"])
        "; did you mean 'residual'?"
    """
    names = [str(entry) for entry in known]
    found = closest(str(name), names)
    return f"; did you mean {found!r}?" if found else f"; known: {', '.join(names)}"
