"""Means over runs that differ in their seed, with intervals between seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from archives.bootstrap import CONFIDENCE


@dataclass(frozen=True)
class Between:
    """A mean over runs that differ in their seed; a 95 % interval by Student's t, None for a single run.

    Attributes:
        value: the mean.
        low: lower end of the interval.
        high: upper end of the interval.
        runs: number of runs.
    """

    value: float
    low: float | None
    high: float | None
    runs: int


def between(values: Sequence[float]) -> Between:
    """Mean of values with its 95 % interval by Student's t; at least one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Between(mean, None, None, len(values))
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Between(mean, mean - half, mean + half, len(values))
