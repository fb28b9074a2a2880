"""How a program behaves: numbers in [0, 1] measured on its predictions, not on its scores nor on its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from fitness.errors import UserError
from fitness.own import Own, find_own, is_own
from fitness.scoring.packing import Packing, unpack

# Of one program's predictions on all texts: (N,) float32, packed, rows sum to 1 or are empty.
Descriptor = Callable[[np.ndarray, Packing], float]


def reach(predictions: np.ndarray, packing: Packing) -> float:
    """Mean distance of the tokens attended to, on a logarithmic scale: 0 = the token itself, 1 = the farthest in sight.

    The farthest token is the first one in a causal model, and the first or the last one in a bidirectional model. Empty
    rows attend to nothing and are left out of both means.
    """
    filled = packing.row_sums(predictions) > 0
    rows = np.maximum(np.add.reduceat(filled, packing.text_rows[:-1], dtype=np.int64), 1)
    mean = packing.text_sums(predictions * packing.distance) / rows
    farthest = np.add.reduceat(np.where(filled, packing.farthest, 0), packing.text_rows[:-1]) / rows
    return float((np.log1p(mean) / np.log1p(np.maximum(1, farthest))).mean())


def focus(predictions: np.ndarray, packing: Packing) -> float:
    """One minus the rows' entropy over that of an even row: 0 = spread evenly, 1 = one token per row."""
    entropy = -packing.row_sums(predictions * np.log(np.where(predictions > 0, predictions, 1)))
    # A row of one key has no choice, and an empty one makes none: they say nothing.
    open_rows = (packing.row_keys > 1) & (packing.row_sums(predictions) > 0)
    even = np.log(np.where(open_rows, packing.row_keys, 2))
    rows = np.add.reduceat(open_rows, packing.text_rows[:-1], dtype=np.int64)
    if not rows.any():
        return 1.0
    totals = np.add.reduceat(np.where(open_rows, 1 - entropy / even, 0), packing.text_rows[:-1])
    return float((totals[rows > 0] / rows[rows > 0]).mean())


def sink(predictions: np.ndarray, packing: Packing) -> float:
    """Mean mass on the first token, over the rows after it."""
    mass = predictions[packing.row_starts].astype(np.float64)
    mass[packing.text_rows[:-1]] = 0
    rows = np.array(packing.lengths) - 1
    totals = np.add.reduceat(mass, packing.text_rows[:-1])
    return float(np.where(rows > 0, totals / np.maximum(rows, 1), 1).mean())


def content(predictions: np.ndarray, packing: Packing) -> float:
    """How much the prediction changes from text to text.

    Root of the mean total variation between rows of neighbouring texts, over their common beginning: 0 = position alone
    decides. The root spreads out the small values, where most programs lie.
    """
    values = []
    parts = zip(packing.split(predictions), packing.lengths, strict=True)
    for (one, n_one), (other, n_other) in pairwise(parts):
        n = min(n_one, n_other)
        a, b = _beginning(one, n_one, n, packing), _beginning(other, n_other, n, packing)
        values.append(0.5 * float(np.abs(a - b).sum()) / n)
    return float(np.sqrt(np.mean(values))) if values else 0.0


def _beginning(packed: np.ndarray, length: int, n: int, packing: Packing) -> np.ndarray:
    """One text's prediction over its first n tokens, whose rows sum to 1 again."""
    if packing.causal:
        return packed[: n * (n + 1) // 2]
    corner = unpack(packed, length, causal=False)[:n, :n]
    total = corner.sum(axis=1, keepdims=True)
    return corner / np.where(total > 0, total, 1)


DESCRIPTORS: dict[str, Descriptor] = {"reach": reach, "focus": focus, "sink": sink, "content": content}


def get_descriptor(name: str, own: Iterable[Own] = ()) -> Descriptor:
    """The descriptor of a name.

    Args:
        name: one of `DESCRIPTORS`, or `package.module:name` of a function of (predictions, packing).
        own: descriptors that were given as objects.

    Raises:
        KeyError: for another name that is not in `DESCRIPTORS`.
        UserError: for one's own that cannot be imported, or is not a function.
    """
    if not is_own(name):
        return DESCRIPTORS[name]
    found = find_own(name, own)
    if not callable(found):
        raise UserError(f"search.descriptors: {name!r} is not a function of (predictions, packing)")
    return _checked(name, found)


def _checked(name: str, descriptor: Descriptor) -> Descriptor:
    def measure(predictions: np.ndarray, packing: Packing) -> float:
        try:
            value = float(descriptor(predictions, packing))
        except Exception as error:  # whatever is wrong with it, the user has to know which one it was
            raise UserError(f"search.descriptors: {name} fails: {type(error).__name__}: {error}") from error
        if not np.isfinite(value):
            raise UserError(f"search.descriptors: {name} gave {value}; a descriptor is a number in [0, 1]")
        return value

    return measure


def describe(predictions: np.ndarray, packing: Packing, names: Sequence[str], own: Iterable[Own] = ()) -> np.ndarray:
    """(names,) float32: the named descriptors of one program's (N,) predictions; `own` as for `get_descriptor`."""
    return np.array([get_descriptor(name, own)(predictions, packing) for name in names], dtype=np.float32)
