"""What a program's array must be, and the prediction that is made of it: the one place for both."""

from __future__ import annotations

import numpy as np


class ContractError(ValueError):
    """A program's return value that cannot be a prediction.

    Attributes:
        kind: "bad shape" or "bad values".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_weights(weights: np.ndarray, n: int) -> None:
    """Checks the array that a program returned for a text of n tokens.

    Raises:
        ContractError: "bad shape" unless (n, n); "bad values" unless real numbers, finite and not negative.
    """
    if weights.shape != (n, n):
        raise ContractError("bad shape", f"returned shape {weights.shape}, expected {(n, n)}")
    if weights.dtype.kind not in "biuf":
        raise ContractError("bad values", f"returned elements of type {weights.dtype}, expected real numbers")
    if not np.isfinite(weights).all():
        raise ContractError("bad values", f"{int((~np.isfinite(weights)).sum())} elements are not finite")
    if weights.min() < 0:
        raise ContractError(
            "bad values", f"{int((weights < 0).sum())} elements are negative, least {weights.min():.3g}"
        )


def to_prediction(weights: np.ndarray, *, causal: bool) -> np.ndarray:
    """Turns checked weights into a prediction.

    Args:
        weights: (n, n) finite, not negative.
        causal: whether the model's tokens see only themselves and what came before.

    Returns:
        (n, n) float32: causal mask applied, rows scaled to sum 1, a row of zeros put on the first token.
    """
    prediction = np.array(weights, dtype=np.float64)
    if causal:
        prediction = np.tril(prediction)
    peak = prediction.max(axis=1, keepdims=True)
    # A row is scaled by its peak first, so that sums of very large or very small weights neither overflow nor vanish.
    prediction /= np.where(peak > 0, peak, 1.0)
    total = prediction.sum(axis=1, keepdims=True)
    prediction[total[:, 0] == 0, 0] = 1.0
    return (prediction / np.where(total > 0, total, 1.0)).astype(np.float32)
