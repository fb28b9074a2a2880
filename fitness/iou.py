"""IoU of prediction and attention: sum of elementwise minima over sum of elementwise maxima."""

from __future__ import annotations

import numpy as np


def pack(matrices: np.ndarray, *, causal: bool) -> np.ndarray:
    """Keeps what a model's mask lets through.

    Args:
        matrices: (..., n, n).
        causal: keep the lower triangle with its diagonal; otherwise keep all.

    Returns:
        (..., n (n + 1) / 2) where causal, else (..., n * n); row by row.
    """
    n = matrices.shape[-1]
    if not causal:
        return matrices.reshape(*matrices.shape[:-2], n * n)
    rows, columns = np.tril_indices(n)
    return matrices[..., rows, columns]


def unpack(packed: np.ndarray, n: int, *, causal: bool) -> np.ndarray:
    """Inverse of `pack`: (..., n, n), zeros above the diagonal where causal."""
    if not causal:
        return packed.reshape(*packed.shape[:-1], n, n)
    full = np.zeros((*packed.shape[:-1], n, n), dtype=packed.dtype)
    rows, columns = np.tril_indices(n)
    full[..., rows, columns] = packed
    return full


def iou(predictions: np.ndarray, attention: np.ndarray, attention_sum: np.ndarray | None = None) -> np.ndarray:
    """IoU along the last axis; leading axes broadcast.

    With m the sum of minima, the sum of maxima is sum(prediction) + sum(attention) - m, so one pass serves.

    Args:
        predictions: (..., k) packed, not negative.
        attention: (..., k) packed, not negative.
        attention_sum: sums of `attention` along the last axis, where they are known.

    Returns:
        (...) float64 in [0, 1]; 0 where both are zero everywhere.
    """
    shared = np.minimum(predictions, attention).sum(axis=-1, dtype=np.float64)
    if attention_sum is None:
        attention_sum = attention.sum(axis=-1, dtype=np.float64)
    union = predictions.sum(axis=-1, dtype=np.float64) + attention_sum - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
