"""Mixes: a head's attention as a non-negative sum of the predictions of a few programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from fitness.scoring.contract import scale_rows
from fitness.scoring.iou import iou_by_text
from fitness.scoring.packing import Packing

# Steps of the fit of a mix, each one look at the gradient.
EVALUATIONS = 25
# What a new part of a mix begins with.
BEGINNING = 0.1
# Parts that are tried before one is taken.
TRIED = 3


class Mixing:
    """Predictions of programs on some texts, and the fit of mixes to a head's attention there.

    The fit climbs the mean IoU over texts. Where rows sum to 1, as predictions' do and their mixes' do, a text's IoU is
    a function of the sum of minima alone, which is concave in the weights: what is found does not hang on the start.

    Args:
        predictions: (programs, N) float32, rows sum to 1 or are empty.
        rows: (texts,) number of rows of each text.
        begins: (texts,) int64: where each text's elements begin among the N.
    """

    def __init__(self, predictions: np.ndarray, rows: np.ndarray, begins: np.ndarray) -> None:
        self._predictions = predictions
        self._rows = np.asarray(rows, dtype=np.float64)
        self._begins = begins
        self._lengths = np.diff(np.append(begins, predictions.shape[1]))

    def fit(self, attention: np.ndarray, first: int, most: int) -> np.ndarray:
        """Mixes of one to so many programs, each one begun with the one before.

        Args:
            attention: (N,) float32 of one head.
            first: the program to begin with.
            most: programs that the largest mix may have, 1 or more.

        Returns:
            (most, programs) float32 weights, rows sum to 1; a row repeats the one before where nothing adds to it.
        """
        found = np.zeros((most, len(self._predictions)), dtype=np.float32)
        parts, weights = [first], np.ones(1)
        found[0, first] = 1
        best, by_element = self._iou(self._mixed(parts, weights), attention)
        for size in range(1, most):
            slope = self._predictions @ by_element
            slope[parts] = -np.inf
            tried = []
            for new in np.argsort(-slope, kind="stable")[:TRIED].tolist():
                if np.isfinite(slope[new]):
                    begun = np.append(weights * (1 - BEGINNING), BEGINNING)
                    tried.append(([*parts, new], *self._climb([*parts, new], begun, attention)))
            if tried:
                more, heavier, iou = max(tried, key=lambda each: each[2])
                if iou > best:
                    parts, weights, best = more, heavier, iou
                    by_element = self._iou(self._mixed(parts, weights), attention)[1]
            found[size, parts] = weights
        return found

    def _mixed(self, parts: Sequence[int], weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights.astype(np.float32) @ self._predictions[list(parts)])

    def _iou(self, mixed: np.ndarray, attention: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean IoU over texts, and its derivative by each element."""
        less = mixed < attention
        shared = np.add.reduceat(np.where(less, mixed, attention), self._begins, dtype=np.float64)
        union = 2 * self._rows - shared
        by_shared = 2 * self._rows / union**2 / len(self._rows)
        return float((shared / union).mean()), less * np.repeat(by_shared, self._lengths).astype(np.float32)

    def _climb(self, parts: Sequence[int], weights: np.ndarray, attention: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights of the highest IoU, and that; they are shares by way of a softmax, so that none is negative."""
        predictions = self._predictions[list(parts)]

        def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
            shares = _softmax(logits)
            iou, by_element = self._iou(shares.astype(np.float32) @ predictions, attention)
            slope = (predictions @ by_element).astype(np.float64)
            return -iou, -shares * (slope - shares @ slope)

        start = np.log(np.maximum(weights, 1e-4))
        result = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxfun": EVALUATIONS})
        return _softmax(result.x), -float(result.fun)


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max())
    return np.asarray(found / found.sum())


def mixed_iou(
    predictions: np.ndarray, weights: np.ndarray, packing: Packing, blocks: Sequence[np.ndarray]
) -> np.ndarray:
    """IoU of each head's mixes on each text.

    Args:
        predictions: (programs, N) float32 as scoring makes them.
        weights: (sizes, heads, programs) float32.
        packing: how the N elements lie.
        blocks: attention on each text, (heads, packed) of any float type.

    Returns:
        (sizes, heads, texts) float32 in [0, 1].
    """
    found = np.empty((*weights.shape[:2], len(blocks)), dtype=np.float32)
    sums = np.stack([block.sum(axis=1, dtype=np.float64) for block in blocks], axis=1)
    for size, mix in enumerate(weights):
        for head in range(len(mix)):
            parts = np.flatnonzero(mix[head])
            flat = scale_rows(mix[head, parts] @ predictions[parts], packing.row_starts, packing.row_keys)
            own = [np.asarray(block[head : head + 1]) for block in blocks]
            found[size, head] = iou_by_text([flat], packing, own, sums[head : head + 1])[0, 0]
    return found
