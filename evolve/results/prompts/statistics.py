"""What prompts gain: statistics of their calls, with bootstrap intervals over calls. Pure functions of records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

RESAMPLES = 2000
# Resamples are drawn in blocks of about this many numbers, whatever the number of calls.
BLOCK = 2_000_000
SURE = 0.95


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
        fitted_gain: what its candidates gained beyond that once their numbers were fitted.
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
    fitted_gain: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether at least one candidate ran, or was a program known already."""
        return any(candidate.outcome in ("ok", "known") for candidate in self.candidates)

    @property
    def unfitted_gain(self) -> float:
        """Held-out IoU that all its candidates gained as they were written."""
        return sum(candidate.gain for candidate in self.candidates)

    @property
    def gain(self) -> float:
        """Held-out IoU that all its candidates gained, fitted or not."""
        return self.unfitted_gain + self.fitted_gain

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


@dataclass(frozen=True)
class PromptRow:
    """What one template version, operator and model came to; intervals are None where nothing was used.

    Attributes:
        prompt: name of the template, empty where it is not known.
        operator: name of the operator.
        template: hash of the template version.
        model: LLM.
        calls: number of calls.
        candidates: number of candidates in their replies.
        errors: kind of failure -> count, most common first.
        tokens: tokens of prompts and replies.
        cost_usd: dollars.
        best_gain: the highest gain of one call.
        valid_share: share of calls with a valid program.
        improved_share: share of calls that improved a head.
        mean_gain: held-out IoU gained per call, summed over heads, with numbers fitted.
        mean_unfitted_gain: the same of programs as they were written.
        gain_per_1000_tokens: the same per 1,000 tokens.
        gain_per_usd: the same per dollar.
    """

    prompt: str
    operator: str
    template: str
    model: str
    calls: int
    candidates: int
    errors: Mapping[str, int]
    tokens: int
    cost_usd: float
    best_gain: float
    valid_share: Interval
    improved_share: Interval
    mean_gain: Interval
    mean_unfitted_gain: Interval
    gain_per_1000_tokens: Interval | None
    gain_per_usd: Interval | None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.prompt or self.operator} {self.template[:6]}"

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes, rounded."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value.as_dict() if isinstance(value, Interval) else value for key, value in values.items()}


def prompt_table(
    calls: Sequence[BenchCall], names: Mapping[str, str] | None = None, *, seed: int = 0
) -> list[PromptRow]:
    """One row for each template version, operator and model, by gain per call.

    Args:
        calls: all calls, of one run or of several.
        names: hash of a template version -> name of the template.
        seed: of the bootstrap.
    """
    groups: defaultdict[tuple[str, str, str], list[BenchCall]] = defaultdict(list)
    for call in calls:
        groups[call.operator, call.template, call.model].append(call)
    rows = [_row(*key, group, (names or {}).get(key[1], ""), seed) for key, group in groups.items()]
    return sorted(rows, key=lambda row: (-round(row.mean_gain.value, 6), row.operator, row.template, row.model))


def _row(operator: str, template: str, model: str, calls: list[BenchCall], prompt: str, seed: int) -> PromptRow:
    gains = np.array([call.gain for call in calls])
    usd = np.array([call.cost_usd for call in calls])
    valid = np.array([float(call.valid) for call in calls])
    errors = Counter(kind for call in calls for kind in call.errors)
    return PromptRow(
        prompt=prompt,
        operator=operator,
        template=template,
        model=model,
        calls=len(calls),
        candidates=sum(len(call.candidates) for call in calls),
        errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
        tokens=sum(call.tokens for call in calls),
        cost_usd=round(float(usd.sum()), 6),
        best_gain=round(float(gains.max()), 6),
        valid_share=mean_interval(valid, seed),
        improved_share=mean_interval((gains > 0).astype(float), seed),
        mean_gain=mean_interval(gains, seed),
        mean_unfitted_gain=mean_interval(np.array([call.unfitted_gain for call in calls]), seed),
        gain_per_1000_tokens=ratio_interval(gains, np.array([call.tokens for call in calls]) / 1000, seed),
        gain_per_usd=ratio_interval(gains, usd, seed),
    )


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """Mean of (calls,) values, with the percentile interval of a bootstrap over calls.

    Raises:
        ValueError: without calls.
    """
    found = ratio_interval(values, np.ones(len(values)), seed)
    if found is None:
        raise ValueError("there are no calls to average over")
    return found


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

    low, high = percentiles(resampled(ratio, len(over), seed))
    return Interval(float(over.sum()) / total, low, high)


def resampled(statistic: Callable[[np.ndarray], np.ndarray], count: int, seed: int) -> np.ndarray:
    """(RESAMPLES,) the statistic of resamples, each `count` indices drawn with replacement."""
    rng = np.random.default_rng((seed, count))
    size = max(1, min(RESAMPLES, BLOCK // count))
    blocks = [rng.integers(0, count, (min(size, RESAMPLES - begin), count)) for begin in range(0, RESAMPLES, size)]
    return np.concatenate([statistic(block) for block in blocks])


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % interval of resampled values; NaN are left out."""
    tail = 50 * (1 - SURE)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)
