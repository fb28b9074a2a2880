"""What a program's array must be, and the prediction that is made of it: the one place for both."""

from __future__ import annotations

import numpy as np

from fitness.scoring.packing import Packing


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
    packing = Packing([len(weights)], causal=causal)
    return packing.unpack(to_predictions(packing.pack([weights]), packing))[0]


def to_predictions(weights: np.ndarray, packing: Packing) -> np.ndarray:
    """Turns the checked weights of several texts into predictions.

    Args:
        weights: (N,) finite, not negative, packed.
        packing: how the N elements lie.

    Returns:
        (N,) float32: rows scaled to sum 1, a row of zeros put on the first token.
    """
    if weights.dtype.itemsize > 4:
        # Sums of very large numbers would overflow, and shares in very small ones vanish.
        peak = np.maximum.reduceat(weights, packing.row_starts)
        weights = weights / packing.spread(np.where(peak > 0, peak, 1))
    total = packing.row_sums(weights)
    prediction = (weights * packing.spread(1 / np.where(total > 0, total, 1))).astype(np.float32)
    prediction[packing.row_starts[total == 0]] = 1
    return prediction
