"""How a program behaves: numbers in [0, 1] measured on its predictions, not on its scores nor on its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

Descriptor = Callable[[Sequence[np.ndarray]], float]


def reach(predictions: Sequence[np.ndarray]) -> float:
    """Mean distance looked back, on a logarithmic scale: 0 = the token itself, 1 = as far as the text goes."""
    values = []
    for prediction in predictions:
        position = np.arange(len(prediction))
        distance = np.abs(position[:, None] - position[None, :])
        mean = float((prediction * distance).sum(axis=1).mean())
        farthest = max(1.0, (len(prediction) - 1) / 2)
        values.append(np.log1p(mean) / np.log1p(farthest))
    return float(np.mean(values))


def focus(predictions: Sequence[np.ndarray]) -> float:
    """One minus the rows' entropy over that of an even row: 0 = spread evenly, 1 = one token a row."""
    values = []
    for prediction in predictions:
        n = len(prediction)
        if n == 1:
            continue
        causal = not np.triu(prediction, 1).any()
        visible = np.arange(1, n + 1) if causal else np.full(n, n)
        entropy = -(prediction * np.log(np.where(prediction > 0, prediction, 1.0))).sum(axis=1)
        values.append(1 - float((entropy[1:] / np.log(visible[1:])).mean()))
    return float(np.mean(values)) if values else 1.0


def sink(predictions: Sequence[np.ndarray]) -> float:
    """Mean mass on the first token, over the rows after it."""
    return float(np.mean([prediction[1:, 0].mean() if len(prediction) > 1 else 1.0 for prediction in predictions]))


def content(predictions: Sequence[np.ndarray]) -> float:
    """How much the prediction changes from text to text.

    Root of the mean total variation between rows of neighbouring texts, over their common beginning: 0 = position alone
    decides. The root spreads out the small values, where most programs lie.
    """
    values = []
    for one, other in pairwise(predictions):
        n = min(len(one), len(other))
        cut = [matrix[:n, :n] / np.maximum(matrix[:n, :n].sum(axis=1, keepdims=True), 1e-9) for matrix in (one, other)]
        values.append(0.5 * float(np.abs(cut[0] - cut[1]).sum(axis=1).mean()))
    return float(np.sqrt(np.mean(values))) if values else 0.0


DESCRIPTORS: dict[str, Descriptor] = {"reach": reach, "focus": focus, "sink": sink, "content": content}


def describe(predictions: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """(names,) float32: the named descriptors of one program's predictions, one (n, n) array a text."""
    return np.array([DESCRIPTORS[name](predictions) for name in names], dtype=np.float32)
