"""Naming heads: "L5H1", or (5, 1) for layer 5, head 1, both from 0."""

from __future__ import annotations

from collections.abc import Sequence

from fitness.errors import UserError

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
    label = head if isinstance(head, str) else f"L{head[0]}H{head[1]}"
    if label not in known:
        raise UserError(f"there is no head {label!r}; heads are named {known[0]} to {known[-1]}")
    return label


def pair_of(head: HeadName) -> tuple[int, int]:
    """(layer, head) of a head.

    Raises:
        UserError: for a name that is not like "L5H1".

    >>> pair_of("L5H1")
    (5, 1)
    """
    if not isinstance(head, str):
        return head
    layer, between, number = head.removeprefix("L").partition("H")
    if not (head.startswith("L") and between and layer.isdecimal() and number.isdecimal()):
        raise UserError(f"{head!r} does not name a head; give a name such as 'L5H1', or (5, 1)")
    return int(layer), int(number)
