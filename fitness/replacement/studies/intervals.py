"""Percentile bootstrap intervals over texts (Efron 1979) of perplexities and of what replacement adds to them.

All conditions are read on the same texts, and each bootstrap sample draws the same texts for all of them, so that
differences and ratios are paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from fitness.replacement.perplexity import Losses

RESAMPLES = 2_000
CONFIDENCE = 0.95
LARGEST_LOSS = 700.0  # nats; exp of more does not fit a float

Interval = list[float]


class Resampler:
    """Bootstrap over texts.

    Attributes:
        texts: number of texts.

    Args:
        texts: number of texts.
        seed: of the draws.
        resamples: number of draws.
    """

    def __init__(self, texts: int, seed: int, resamples: int = RESAMPLES) -> None:
        self.texts = texts
        rng = np.random.default_rng((seed, 0x7E87))
        draws = rng.multinomial(texts, np.full(texts, 1 / texts), size=resamples)
        self._weights = np.vstack([np.ones(texts), draws])  # the sample itself comes first

    def losses(self, scores: Losses) -> np.ndarray:
        """(1 + resamples,) nats per token, of the texts themselves first."""
        return np.asarray((self._weights @ scores.loss) / (self._weights @ scores.tokens))

    def perplexity(self, draws: Sequence[Losses]) -> tuple[float, Interval]:
        """Perplexity and its interval; the mean over several draws of one control."""
        return _summary(_mean([_exp(self.losses(scores)) for scores in draws]))

    def increase(self, draws: Sequence[Losses], original: Losses) -> tuple[float, Interval]:
        """How much higher the perplexity of all texts together is, in per cent of the original's; mean over draws."""
        base = self.losses(original)
        return _summary(_mean([100 * (_exp(self.losses(scores) - base) - 1) for scores in draws]))

    def text_increase(self, draws: Sequence[Losses], original: Losses) -> tuple[float, Interval]:
        """How much higher a text's perplexity is, in per cent of the original's: mean over texts, and over draws."""
        by_text = _mean([100 * (_exp((scores.loss - original.loss) / scores.tokens) - 1) for scores in draws])
        return _summary((self._weights @ by_text) / self._weights.sum(axis=1))

    def difference(self, scores: Sequence[Losses], other: Sequence[Losses]) -> tuple[float, Interval]:
        """How much higher the loss of `other` is, in nats per token; means over draws of each side, paired by text."""
        return _summary(self._mean_losses(other) - self._mean_losses(scores))

    def recovered(
        self, draws: Sequence[Losses], ablation: Sequence[Losses], original: Losses
    ) -> tuple[float, Interval]:
        """1 - (loss - original loss) / (ablation's loss - original loss); NaN where the ablation does no harm."""
        base = self.losses(original)
        harm = self._mean_losses(ablation) - base
        share = np.full(len(harm), np.nan)
        harmed = harm > 0
        share[harmed] = 1 - (self._mean_losses(draws) - base)[harmed] / harm[harmed]
        return _summary(share)

    def _mean_losses(self, several: Sequence[Losses]) -> np.ndarray:
        return _mean([self.losses(scores) for scores in several])


def correlation(groups: Sequence[np.ndarray], seed: int, resamples: int = RESAMPLES) -> dict[str, object]:
    """Spearman's rank correlation of the two columns of all groups, with a bootstrap interval over groups.

    Args:
        groups: (k, 2) each, the points of one head; a head is drawn with all its points.
        seed: of the draws.
        resamples: number of draws.

    Returns:
        `spearman`, `interval` and the numbers of `heads` and `points`; None where it is not defined.
    """
    points = np.concatenate(groups) if len(groups) else np.empty((0, 2))
    found: dict[str, object] = {"spearman": None, "interval": None, "heads": len(groups), "points": len(points)}
    if len(points) < 3 or np.ptp(points[:, 0]) == 0 or np.ptp(points[:, 1]) == 0:
        return found
    rng = np.random.default_rng((seed, 0x5BEA))
    drawn = [
        _spearman(np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]))
        for _ in range(resamples)
    ]
    return found | {"spearman": _spearman(points), "interval": _percentiles(np.array(drawn))}


def mean_over_groups(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> tuple[float, Interval]:
    """Mean of (heads,) values with a bootstrap interval over heads."""
    rng = np.random.default_rng((seed, 0x5BEB))
    drawn = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    return float(values.mean()), _percentiles(drawn)


def _spearman(points: np.ndarray) -> float:
    if np.ptp(points[:, 0]) == 0 or np.ptp(points[:, 1]) == 0:
        return float("nan")
    return float(spearmanr(points[:, 0], points[:, 1]).statistic)


def _mean(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(rows, axis=0))


def _exp(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(np.minimum(values, LARGEST_LOSS)))


def _summary(samples: np.ndarray) -> tuple[float, Interval]:
    return float(samples[0]), _percentiles(samples[1:])


def _percentiles(samples: np.ndarray) -> Interval:
    kept = samples[~np.isnan(samples)]
    if not len(kept):
        return [float("nan"), float("nan")]
    tail = 50 * (1 - CONFIDENCE)
    return [float(value) for value in np.percentile(kept, [tail, 100 - tail])]
