"""Memory laid out and filled in another way, so that a program that reads either gives itself away."""

from __future__ import annotations

import ctypes
import random

# Python hands out small objects in steps of 16 bytes, from pools of one size each.
_SIZES = range(1, 480, 16)
_MOST_EACH = 20
# glibc: what is allocated is filled with the complement of this byte.
_M_PERTURB = -6
# Looked up once in the server, not in every child.
_MALLOPT = getattr(ctypes.CDLL(None), "mallopt", None)


class Shuffle:
    """Shifts where objects come to lie, before every text.

    Args:
        number: what decides how.
    """

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._kept: list[object] = []
        if _MALLOPT is not None:
            _MALLOPT(_M_PERTURB, self._random.randrange(1, 255))

    def again(self) -> None:
        """Lays out what comes next in another way than before."""
        for size in _SIZES:
            self._kept.extend([bytes(size) for _ in range(int(_MOST_EACH * self._random.random()))])
