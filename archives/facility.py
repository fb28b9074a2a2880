"""Facility location: the k programs of the best mean IoU, each head served by the best of them.

Sources: Cornuejols, Fisher and Nemhauser 1977 (greedy and its factor 1 - 1/e), Nemhauser, Wolsey and Fisher 1978 (the
bound from remaining gains); in full in docs/library.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SCALE = 2.0**24  # IoU is rounded to multiples of 2^-24: float32 holds them, and float64 sums of them, without error


@dataclass(frozen=True, eq=False)
class Greedy:
    """The greedy order of programs.

    Attributes:
        order: (k,) int64 programs; the first j of them are the greedy choice of size j.
        gains: (k,) float64, what each added to the sum of IoU over heads; never rising.
        upper: no `size` programs, of the size that was asked for, reach a sum of IoU above this.
    """

    order: np.ndarray
    gains: np.ndarray
    upper: float


def greedy_order(means: np.ndarray, size: int) -> Greedy:
    """Chooses programs one by one, each time the one that raises the sum over heads of the best IoU most.

    A program's gain only falls when a head's best IoU rises, so after each choice only the rows of the heads that the
    choice improved are looked at. Sums are exact, and ties go to the smaller number.

    Args:
        means: (heads, programs) IoU in [0, 1]; NaN = not scored, which serves no head.
        size: how many programs at most; it ends earlier when no program adds anything.

    Returns:
        the order; empty where nothing is scored.
    """
    served = exact_scores(means)
    best = np.zeros(served.shape[0], dtype=np.float32)
    gain = served.sum(axis=0, dtype=np.float64)
    order: list[int] = []
    gains: list[float] = []
    buffer = np.empty(served.shape[1], dtype=np.float32)
    total, upper = 0.0, _largest(gain, size)
    while len(order) < min(size, served.shape[1]):
        program = int(np.argmax(gain))
        if gain[program] <= 0:
            break
        order.append(program)
        gains.append(float(gain[program]))
        total += gains[-1]
        column = served[:, program].copy()
        for head in np.flatnonzero(column > best):
            # What every program loses: the part of its advantage on this head that the choice now provides.
            np.minimum(served[head], column[head], out=buffer)
            np.subtract(buffer, best[head], out=buffer)
            np.maximum(buffer, 0, out=buffer)
            gain -= buffer
            best[head] = column[head]
        # Any set gains at most this much over the programs chosen so far.
        upper = min(upper, total + _largest(gain, size))
    return Greedy(np.array(order, dtype=np.int64), np.array(gains), upper)


def _largest(gain: np.ndarray, size: int) -> float:
    if size >= len(gain):
        return float(gain.sum())
    return float(np.partition(gain, len(gain) - size)[len(gain) - size :].sum())


def exact_scores(means: np.ndarray) -> np.ndarray:
    """(heads, programs) float32 multiples of 2^-24, 0 where not scored."""
    served = np.nan_to_num(np.asarray(means, dtype=np.float32), nan=0.0)
    np.multiply(served, np.float32(SCALE), out=served)
    np.rint(served, out=served)
    np.multiply(served, np.float32(1 / SCALE), out=served)
    return served
