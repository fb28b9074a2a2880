"""Naming heads: "L5H1", or (5, 1) for layer 5, head 1, both from 0."""

from __future__ import annotations

from collections.abc import Sequence

from fitness.errors import UserError
from fitness.heads import Head

HeadName = str | tuple[int, int]


def label_of(head: HeadName, known: Sequence[str]) -> str:
    """The label of a head, which must be one of those known.

    Args:
        head: "L5H1" or (5, 1).
        known: labels of all heads.

    Raises:
        UserError: for a head that is not there.

    >>> label_of((0, 1), ["L0H0", "L0H1"])
    'L0H1'
    """
    label = head if isinstance(head, str) else Head(*head).label
    if label not in known:
        raise UserError(f"there is no head {label!r}; heads are named {known[0]} to {known[-1]}")
    return label


def head_of(head: HeadName) -> Head:
    """The head of a name.

    Raises:
        UserError: for a name that is not like "L5H1".

    >>> head_of("L5H1") == (5, 1)
    True
    """
    return Head.parse(head) if isinstance(head, str) else Head(*head)
