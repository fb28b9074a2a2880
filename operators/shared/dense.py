"""What is within reach: a dense log-linear model of a head, with every pattern of the dictionary at once.

Not a program, for nobody could read it: it says how much of a head's attention sums of patterns explain, so that effort
goes where programs fall short of that. Many heads are fitted together, by Adam (Kingma and Ba 2015) on the IoU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.shared.fit_sample import FitSample
from operators.shared.fit_scoring import FitScorer
from operators.shared.patterns import EVERYTHING, dictionary_of, query_side
from operators.shared.tree_evaluation import Evaluator

FIT_ELEMENTS, HELD_OUT_ELEMENTS = 24_000, 60_000
STEPS, RATE = 200, 0.01
DECAY = (0.9, 0.98)
SHRINKAGE = 2e-4


def dense_sources(scorer: FitScorer) -> list[str]:
    """Expressions of the model's patterns: pairs, keys, and properties of the query that tell of the first token."""
    dictionary = dictionary_of(scorer)
    pairs = [source for source in dictionary.pair_sources if source != EVERYTHING]
    on_first = [f"text.is_first * {query_side(source)}" for source in dictionary.token_sources]
    graded = ["text.log_distance", "text.is_first * text.log_position[:, None]"]
    return [*pairs, *dictionary.spelled_sources, *dictionary.token_sources, *on_first, *graded]


def values_of(sources: Sequence[str], sample: FitSample) -> np.ndarray:
    """(patterns, N) float32: every pattern on a sample."""
    evaluator = Evaluator(sample)
    return np.stack([evaluator.pattern(source) for source in sources])


def fit_dense(values: np.ndarray, sample: FitSample, heads: Sequence[int]) -> np.ndarray:
    """(heads, patterns) float32: coefficients of the highest mean IoU on a sample.

    Args:
        values: (patterns, N) as `values_of` gives them.
        sample: queries of the fit split, with attention.
        heads: flat indices of the heads.
    """
    attention = np.stack([sample.attention(head) for head in heads])
    spread = np.maximum(values.std(axis=1), 0.02).astype(np.float32)
    scaled = values / spread[:, None]
    found = np.zeros((len(heads), len(values)), dtype=np.float32)
    best, best_iou = found, np.full(len(heads), -1.0)
    mean, square = np.zeros_like(found), np.zeros_like(found)
    for step in range(1, STEPS + 1):
        iou, by_score = sample.ious_and_score_gradients(found @ scaled, attention)
        better = iou > best_iou
        best, best_iou = np.where(better[:, None], found, best), np.where(better, iou, best_iou)
        slope = by_score @ scaled.T - SHRINKAGE * found
        mean += (1 - DECAY[0]) * (slope - mean)
        square += (1 - DECAY[1]) * (slope**2 - square)
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        scale = (mean / (1 - DECAY[0] ** step)) / (np.sqrt(square / (1 - DECAY[1] ** step)) + 1e-7)
        found = (found + rate * scale).astype(np.float32)
    return best / spread


def dense_ious(coefficients: np.ndarray, values: np.ndarray, sample: FitSample, heads: Sequence[int]) -> np.ndarray:
    """(heads,) mean IoU of fitted models on another sample."""
    attention = np.stack([sample.attention(head) for head in heads])
    return sample.ious_and_score_gradients(coefficients @ values, attention)[0]
