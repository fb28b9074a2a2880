"""IoU of prediction and attention: sum of elementwise minima over sum of elementwise maxima."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from fitness.scoring.fused import sums_of_minima
from fitness.scoring.packing import Packing

# How the IoU on several domains becomes one number.
Across = Literal["mean", "worst"]


def iou_of_sums(shared: np.ndarray, total: np.ndarray) -> np.ndarray:
    """IoU from sums: the one formula.

    The sum of maxima of two arrays is the sum of both less the sum of their minima.

    Args:
        shared: (...) sum of the minima of prediction and attention.
        total: (...) sum of the prediction plus sum of the attention.

    Returns:
        (...) float64 in [0, 1]; 0 where both are zero everywhere.
    """
    union = np.asarray(total - shared, dtype=np.float64)
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def iou(predictions: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """IoU along the last axis; leading axes broadcast.

    Args:
        predictions: (..., k) packed, not negative.
        attention: (..., k) packed, not negative.

    Returns:
        (...) float64 in [0, 1]; 0 where both are zero everywhere.
    """
    shared = np.minimum(predictions, attention).sum(axis=-1, dtype=np.float64)
    total = predictions.sum(axis=-1, dtype=np.float64) + attention.sum(axis=-1, dtype=np.float64)
    return iou_of_sums(shared, total)


def iou_by_text(
    predictions: Sequence[np.ndarray], packing: Packing, blocks: Sequence[np.ndarray], sums: np.ndarray
) -> np.ndarray:
    """IoU of programs' predictions with every head on every text.

    With m the sum of minima, r the rows of a prediction that are not empty and n the sum of the attention, which is its
    number of rows, IoU = m / (n + r - m): an empty row shares nothing.

    Args:
        predictions: of each program (N,) float32, rows sum to 1 or are empty.
        packing: how the N elements lie.
        blocks: the heads' attention on each text, (heads, packed) of any float type.
        sums: (heads, texts) sums of the blocks along their last axes.

    Returns:
        (programs, heads, texts) float32 in [0, 1].
    """
    shared = np.empty((len(predictions), *sums.shape))
    for text, (begin, end) in enumerate(pairwise(packing.offsets)):
        here = np.stack([prediction[begin:end] for prediction in predictions])
        shared[:, :, text] = _shared(here, blocks[text])
    filled = np.stack([packing.filled_rows(prediction) for prediction in predictions])
    return iou_of_sums(shared, filled[:, None] + sums).astype(np.float32)


def _shared(predictions: np.ndarray, block: np.ndarray) -> np.ndarray:
    """(programs, heads) float32 sums of minima of (programs, n) predictions and the (heads, n) attention on a text."""
    found = sums_of_minima(predictions, block)
    if found is not None:
        return found
    found = np.empty((len(predictions), len(block)), dtype=np.float32)
    minima = np.empty(block.shape, dtype=np.float32)
    for program, prediction in enumerate(predictions):
        np.minimum(prediction, block, out=minima, dtype=np.float32)
        # numpy adds neighbours pairwise here, so that float32 is precise enough, and twice as quick as float64.
        np.add.reduce(minima, axis=-1, out=found[program])
    return found


def fitness(scores: np.ndarray, domains: int = 1, across: Across = "mean") -> np.ndarray:
    """Fitness of a program: its IoU on each head, averaged over the texts of a split, domain by domain.

    Args:
        scores: (heads, texts) IoU in [0, 1].
        domains: number of domains, of which the texts take turns.
        across: the mean over domains, or the lowest of them.

    Returns:
        (heads,) float32 in [0, 1].

    Example:
        >>> import numpy as np
        >>> fitness(np.array([[0.5, 0.25, 0.5, 0.25]]), domains=2, across="worst").tolist()
        [0.25]
    """
    scores = np.asarray(scores)
    means = np.stack([scores[:, place::domains].mean(axis=1, dtype=np.float64) for place in range(domains)])
    return (means.mean(axis=0) if across == "mean" else means.min(axis=0)).astype(np.float32)
