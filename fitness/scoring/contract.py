"""What a program's array must be, and the prediction that is made of it: the one place for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.failures import FailureKind
from fitness.scoring.packing import Packing

# Beyond these a program is degenerate: the search is told that it says next to nothing.
MOSTLY_EMPTY = 0.5
MOSTLY_MASKED = 0.75

# Sums of float64 beyond these may have overflowed, or lost their shares: such rows are divided by their peaks first.
_LARGEST, _SMALLEST = 1e300, 1e-280


class ContractError(ValueError):
    """A program's return value that cannot be a prediction.

    Attributes:
        kind: `BAD_SHAPE` or `BAD_VALUES`.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_weights(weights: np.ndarray, n: int) -> None:
    """Checks the array that a program returned for a text of n tokens.

    Raises:
        ContractError: "bad shape" unless (n, n); "bad values" unless real numbers, finite and not negative.
    """
    if weights.shape != (n, n):
        raise ContractError(FailureKind.BAD_SHAPE, f"returned shape {weights.shape}, expected {(n, n)}")
    if weights.dtype.kind not in "biuf":
        raise ContractError(FailureKind.BAD_VALUES, f"returned elements of type {weights.dtype}, expected real numbers")
    if not np.isfinite(weights).all():
        raise ContractError(FailureKind.BAD_VALUES, f"{int((~np.isfinite(weights)).sum())} elements are not finite")
    if weights.min() < 0:
        raise ContractError(
            FailureKind.BAD_VALUES, f"{int((weights < 0).sum())} elements are negative, least {weights.min():.3g}"
        )


def scale_rows(weights: np.ndarray, starts: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The row rule, for scoring, operators, reports and replacement alike.

    A row of one visible key is 1, as the model has no choice there; any other row is scaled to sum 1, and stays empty
    where it has no weight on what its query may see.

    Args:
        weights: (N,) finite, not negative: what the mask lets through, row by row.
        starts: (R,) where each row begins.
        keys: (R,) how many keys each row has.

    Returns:
        (N,) float32.

    Example:
        >>> import numpy as np
        >>> scale_rows(np.array([0, 3, 1, 0, 0, 0]), np.array([0, 1, 3]), np.array([1, 2, 3])).tolist()
        [1.0, 0.75, 0.25, 0.0, 0.0, 0.0]
    """
    total = np.add.reduceat(weights, starts, dtype=np.float64)
    if total.max() > _LARGEST or total.min(where=total > 0, initial=1) < _SMALLEST:
        peak = np.maximum.reduceat(weights, starts)
        weights = weights / np.repeat(np.where(peak > 0, peak, 1), keys)
        total = np.add.reduceat(weights, starts, dtype=np.float64)
    scaled = np.empty(weights.shape, dtype=np.float32)
    np.multiply(weights, np.repeat(1 / np.where(total > 0, total, 1), keys), out=scaled, casting="same_kind")
    scaled[starts[keys == 1]] = 1
    return scaled


def to_prediction(weights: np.ndarray, *, causal: bool) -> np.ndarray:
    """Turns checked weights into a prediction.

    Args:
        weights: (n, n) finite, not negative.
        causal: whether the model's tokens see only themselves and what came before.

    Returns:
        (n, n) float32: causal mask applied, then `scale_rows`.
    """
    packing = Packing([len(weights)], causal=causal)
    return packing.unpack(to_predictions(packing.pack([weights]), packing))[0]


def to_predictions(weights: np.ndarray, packing: Packing) -> np.ndarray:
    """Turns the checked weights of several texts into predictions.

    Args:
        weights: (N,) finite, not negative, packed.
        packing: how the N elements lie.

    Returns:
        (N,) float32: rows that sum to 1 or are empty, as `scale_rows` says.
    """
    return scale_rows(weights, packing.row_starts, packing.row_keys)


@dataclass(frozen=True)
class Waste:
    """What of a program's weights cannot count.

    Attributes:
        masked_mass: weight on tokens that the query cannot see, as a share of its row's; mean over rows with weight.
        empty_rows: share of the rows that are empty after the mask.
    """

    masked_mass: float
    empty_rows: float

    @property
    def degenerate(self) -> str:
        """Why the program says next to nothing, or empty. Weight on all tokens alike loses nearly half to the mask."""
        if self.empty_rows > MOSTLY_EMPTY:
            return f"{self.empty_rows:.0%} of its rows are empty: no weight on any token that the query can see"
        if self.masked_mass > MOSTLY_MASKED:
            return f"{self.masked_mass:.0%} of its weight lies on tokens that come after the query"
        return ""


def waste(matrices: Sequence[np.ndarray], packing: Packing) -> Waste:
    """What of a program's weights the mask takes, and what it leaves empty.

    Args:
        matrices: one checked (n, n) float64 array per text, as the program returned it.
        packing: how their elements lie once packed.
    """
    # Divided by a text's peak, sums stay finite.
    matrices = [matrix / max(1.0, float(matrix.max())) for matrix in matrices]
    total = np.concatenate([matrix.sum(axis=1, dtype=np.float64) for matrix in matrices])
    seen = packing.row_sums(packing.pack(matrices))
    filled = total > 0
    masked = np.clip(1 - seen[filled] / total[filled], 0, 1)
    # A row of one visible key is never empty.
    empty = (seen <= 0) & (packing.row_keys > 1)
    return Waste(float(masked.mean()) if filled.any() else 0.0, float(empty.mean()))
