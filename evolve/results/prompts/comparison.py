"""Two templates compared by pairs of calls that were asked the same. Pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolve.results.prompts.statistics import (
    BLOCK,
    RESAMPLES,
    SURE,
    BenchCall,
    Interval,
    mean_interval,
    percentiles,
    resampled,
)

LEAST_PAIRS = 6


@dataclass(frozen=True)
class PromptComparison:
    """How two templates did on the same parents, heads and feedback.

    Attributes:
        pairs: number of pairs.
        mean_a: mean gain per call of the first.
        mean_b: mean gain per call of the second.
        difference: second minus first, with its interval.
        unfitted_difference: the same for programs as they were written, before their numbers were fitted.
        valid_difference: the same for the share of calls with a valid program.
        p_value: of a two-sided sign-flip test of the mean difference.
        better: "a", "b", or None where neither is shown to be better.
        sure: share of resamples in which the second is better, ties counted half.
    """

    pairs: int
    mean_a: float
    mean_b: float
    difference: Interval
    unfitted_difference: Interval
    valid_difference: Interval
    p_value: float
    better: str | None
    sure: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "pairs": self.pairs,
            "mean_gain_a": round(self.mean_a, 6),
            "mean_gain_b": round(self.mean_b, 6),
            "difference": self.difference.as_dict(),
            "unfitted_difference": self.unfitted_difference.as_dict(),
            "valid_difference": self.valid_difference.as_dict(),
            "p_value": round(self.p_value, 6),
            "better": self.better,
            "sure": round(self.sure, 4),
        }

    def sentence(self, name_a: str, name_b: str) -> str:
        """The verdict in words."""
        d = self.difference
        interval = f"difference {d.value:+.4f} IoU per call, 95 % interval {d.low:+.4f} to {d.high:+.4f}"
        numbers = f"{interval}, {self.pairs} pairs, p = {self.p_value:.3g}"
        if self.better is None:
            few = f"; {LEAST_PAIRS} pairs are the least that can show anything" if self.pairs < LEAST_PAIRS else ""
            return f"no difference is shown between {name_a} and {name_b}: {numbers}{few}"
        winner, loser = (name_b, name_a) if self.better == "b" else (name_a, name_b)
        return f"{winner} is better than {loser}: {numbers}"


def compare_calls(pairs: Sequence[tuple[BenchCall, BenchCall]], seed: int = 0) -> PromptComparison:
    """Compares two templates by pairs of calls that were asked the same: the same parents, head and feedback.

    Differences within pairs have far less noise than the two means. A template is better where the interval of the
    mean difference is clear of zero and a sign-flip test agrees.

    Raises:
        ValueError: without pairs.
    """
    if not pairs:
        raise ValueError("there is nothing to compare")
    gains = np.array([[call.gain for call in pair] for pair in pairs])
    unfitted = np.array([call_b.unfitted_gain - call_a.unfitted_gain for call_a, call_b in pairs])
    valid = np.array([[float(call.valid) for call in pair] for pair in pairs])
    differences = gains[:, 1] - gains[:, 0]
    means = resampled(lambda drawn: differences[drawn].mean(axis=1), len(pairs), seed)
    interval = Interval(float(differences.mean()), *percentiles(means))
    validity = mean_interval(valid[:, 1] - valid[:, 0], seed)
    p_value = sign_flip_test(differences, seed)
    shown = len(pairs) >= LEAST_PAIRS and p_value < 1 - SURE
    better = None
    if shown and interval.low > 0:
        better = "b"
    elif shown and interval.high < 0:
        better = "a"
    sure = float((means > 0).mean() + (means == 0).mean() / 2)
    mean_a, mean_b = (float(mean) for mean in gains.mean(axis=0))
    as_written = mean_interval(unfitted, seed)
    return PromptComparison(len(pairs), mean_a, mean_b, interval, as_written, validity, p_value, better, sure)


def sign_flip_test(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p value of the mean of paired differences under flips of their signs.

    Args:
        differences: (pairs,) one difference per pair.
        seed: of the flips, where there are too many pairs to try them all.
    """
    count = len(differences)
    seen = abs(differences.sum())
    if count <= 12:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float((np.abs(signs @ differences) >= seen - 1e-12).mean())
    rng = np.random.default_rng((seed, count))
    size = max(1, min(RESAMPLES, BLOCK // count))
    reached = 0
    for begin in range(0, RESAMPLES, size):
        signs = rng.choice(np.array([-1.0, 1.0]), (min(size, RESAMPLES - begin), count))
        reached += int((np.abs(signs @ differences) >= seen - 1e-12).sum())
    return (reached + 1) / (RESAMPLES + 1)
