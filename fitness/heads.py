"""A head by its layer and its number, and its label: `L5H1`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from fitness.errors import UserError

_LABEL = re.compile(r"L(\d+)H(\d+)")


class Head(NamedTuple):
    """One attention head; equal to the plain pair (layer, head).

    Attributes:
        layer: from 0.
        head: its number within the layer, from 0.

    Example:
        >>> Head(5, 1).label, Head.parse("L5H1") == (5, 1)
        ('L5H1', True)
    """

    layer: int
    head: int

    @property
    def label(self) -> str:
        """Its name."""
        return f"L{self.layer}H{self.head}"

    @classmethod
    def parse(cls, label: str) -> Head:
        """The head of a label.

        Raises:
            UserError: for anything but a label.
        """
        found = _LABEL.fullmatch(label)
        if not found:
            raise UserError(f"{label!r} does not name a head; layer 5, head 1, both counted from 0, is L5H1")
        return cls(int(found[1]), int(found[2]))


def head_labels(layers: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Labels of all heads in the order of their flat index, from (layer, number of its heads), layer after layer."""
    return tuple(Head(layer, head).label for layer, heads in layers for head in range(heads))
