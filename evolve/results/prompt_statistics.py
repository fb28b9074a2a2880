"""What prompts gain: statistics of calls, and the paired comparison of two templates. Pure functions of records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
# Resamples are drawn in blocks of about this many numbers, whatever the number of calls.
BLOCK = 2_000_000
SURE = 0.95
LEAST_PAIRS = 6


@dataclass(frozen=True)
class CandidateOutcome:
    """What became of one candidate of a reply.

    Attributes:
        outcome: "ok" (it ran), "known", or the kind of failure, of the reply or of the program.
        gain: held-out IoU gained, summed over heads; in a comparison, whatever is compared.
    """

    outcome: str
    gain: float = 0.0


@dataclass(frozen=True)
class BenchCall:
    """One call and what came of it.

    Attributes:
        operator: name of the operator.
        template: hash of the template version.
        model: LLM.
        candidates: outcomes, in the reply's order; empty where the call itself failed.
        failure: kind of the call's failure, empty where it was answered.
        prompt_tokens: tokens of the prompt.
        completion_tokens: tokens of the reply.
        cost_usd: dollars.
    """

    operator: str
    template: str
    model: str
    candidates: tuple[CandidateOutcome, ...]
    failure: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether at least one candidate ran, or was a program known already."""
        return any(candidate.outcome in ("ok", "known") for candidate in self.candidates)

    @property
    def gain(self) -> float:
        """Held-out IoU that all its candidates gained."""
        return sum(candidate.gain for candidate in self.candidates)

    @property
    def tokens(self) -> int:
        """Tokens of prompt and reply."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def errors(self) -> list[str]:
        """Kinds of all failures."""
        failed = [candidate.outcome for candidate in self.candidates if candidate.outcome not in ("ok", "known")]
        return [*failed, *([self.failure] if self.failure else [])]


@dataclass(frozen=True)
class Interval:
    """An estimate with the 95 % interval of a bootstrap over calls."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6)}


def prompt_table(calls: Sequence[BenchCall], seed: int = 0) -> list[dict[str, Any]]:
    """One row for each template version, operator and model, by gain per call.

    Args:
        calls: all calls, of one run or of several.
        seed: of the bootstrap.

    Returns:
        Rows with `operator`, `template`, `model`, `calls`, `candidates`, `errors` (kind -> count, most common first),
        `best_gain`, `tokens`, `cost_usd`, and as intervals `valid_share`, `improved_share` (of calls that improved a
        head), `mean_gain` (per call), `gain_per_1000_tokens` and `gain_per_usd` (None where nothing was used).
    """
    groups: defaultdict[tuple[str, str, str], list[BenchCall]] = defaultdict(list)
    for call in calls:
        groups[call.operator, call.template, call.model].append(call)
    rows = [_row(*key, group, seed) for key, group in groups.items()]
    return sorted(rows, key=lambda row: (-row["mean_gain"]["value"], row["operator"], row["template"], row["model"]))


def _row(operator: str, template: str, model: str, calls: list[BenchCall], seed: int) -> dict[str, Any]:
    gains = np.array([call.gain for call in calls])
    ones = np.ones(len(calls))
    tokens = np.array([call.tokens for call in calls]) / 1000
    usd = np.array([call.cost_usd for call in calls])
    errors = Counter(kind for call in calls for kind in call.errors)

    def interval(over: np.ndarray, under: np.ndarray) -> dict[str, float] | None:
        found = ratio_interval(over, under, seed)
        return None if found is None else found.as_dict()

    return {
        "operator": operator,
        "template": template,
        "model": model,
        "calls": len(calls),
        "candidates": sum(len(call.candidates) for call in calls),
        "errors": dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
        "tokens": sum(call.tokens for call in calls),
        "cost_usd": round(float(usd.sum()), 6),
        "best_gain": round(float(gains.max()), 6),
        "valid_share": interval(np.array([float(call.valid) for call in calls]), ones),
        "improved_share": interval((gains > 0).astype(float), ones),
        "mean_gain": interval(gains, ones),
        "gain_per_1000_tokens": interval(gains, tokens),
        "gain_per_usd": interval(gains, usd),
    }


def ratio_interval(over: np.ndarray, under: np.ndarray, seed: int) -> Interval | None:
    """Ratio of two sums over calls, with the percentile interval of a bootstrap over calls.

    Args:
        over: (calls,) values above the line.
        under: (calls,) values below it, not negative.
        seed: of the resamples.

    Returns:
        None where the sum below the line is 0.
    """
    total = float(under.sum())
    if total <= 0:
        return None

    def ratio(drawn: np.ndarray) -> np.ndarray:
        below = under[drawn].sum(axis=1)
        # A resample without any cost says nothing about gain per cost.
        return np.divide(over[drawn].sum(axis=1), below, out=np.full(len(drawn), np.nan), where=below > 0)

    low, high = _percentiles(_resampled(ratio, len(over), seed))
    return Interval(float(over.sum()) / total, low, high)


def _resampled(statistic: Callable[[np.ndarray], np.ndarray], count: int, seed: int) -> np.ndarray:
    """(RESAMPLES,) the statistic of resamples, each `count` indices drawn with replacement."""
    rng = np.random.default_rng((seed, count))
    size = max(1, min(RESAMPLES, BLOCK // count))
    blocks = [rng.integers(0, count, (min(size, RESAMPLES - begin), count)) for begin in range(0, RESAMPLES, size)]
    return np.concatenate([statistic(block) for block in blocks])


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    tail = 50 * (1 - SURE)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """How two templates did on the same parents, heads and feedback.

    Attributes:
        pairs: number of pairs.
        mean_a: mean gain per call of the first.
        mean_b: mean gain per call of the second.
        difference: second minus first, with its interval.
        valid_difference: the same for the share of calls with a valid program.
        p_value: of a two-sided sign-flip test of the mean difference.
        better: "a", "b", or None where neither is shown to be better.
        sure: share of resamples in which the second is better, ties counted half.
    """

    pairs: int
    mean_a: float
    mean_b: float
    difference: Interval
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


def compare(pairs: Sequence[tuple[BenchCall, BenchCall]], seed: int = 0) -> Comparison:
    """Compares two templates by pairs of calls that were asked the same: the same parents, head and feedback.

    Differences within pairs have far less noise than the two means. A template is better where the interval of the
    mean difference is clear of zero and a sign-flip test agrees.

    Raises:
        ValueError: without pairs.
    """
    if not pairs:
        raise ValueError("there is nothing to compare")
    gains = np.array([[call.gain for call in pair] for pair in pairs])
    valid = np.array([[float(call.valid) for call in pair] for pair in pairs])
    differences = gains[:, 1] - gains[:, 0]
    means = _resampled(lambda drawn: differences[drawn].mean(axis=1), len(pairs), seed)
    interval = Interval(float(differences.mean()), *_percentiles(means))
    validity = ratio_interval(valid[:, 1] - valid[:, 0], np.ones(len(pairs)), seed)
    assert validity is not None  # the sum of ones is above 0
    p_value = sign_flip_test(differences, seed)
    shown = len(pairs) >= LEAST_PAIRS and p_value < 1 - SURE
    better = None
    if shown and interval.low > 0:
        better = "b"
    elif shown and interval.high < 0:
        better = "a"
    sure = float((means > 0).mean() + (means == 0).mean() / 2)
    mean_a, mean_b = (float(mean) for mean in gains.mean(axis=0))
    return Comparison(len(pairs), mean_a, mean_b, interval, validity, p_value, better, sure)


def sign_flip_test(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p value of the mean of paired differences under flips of their signs.

    Args:
        differences: (pairs,) one difference a pair.
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
