"""Means of an assignment on one split, with percentile bootstrap intervals over texts (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archives.table import ScoreTable
from fitness.scoring.threads import one_thread

RESAMPLES = 1_000
CONFIDENCE = 0.95
Names = Sequence[str | None]


@dataclass(frozen=True)
class Estimate:
    """A mean with its bootstrap interval; `low` and `high` are None where there are no scores by text."""

    value: float
    low: float | None = None
    high: float | None = None


def text_weights(text_runs: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """(resamples, texts) float64: how often each text is drawn; as many as there are, with replacement, run by run."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(text_runs)))
    for run in sorted(set(text_runs)):
        members = np.array([index for index, name in enumerate(text_runs) if name == run])
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return weights


class Split:
    """IoU on one split, by head and name of the program.

    Args:
        means: (heads, programs) IoU, NaN = not scored.
        programs: their names.
        texts: (heads, programs, texts) IoU by text, or None.
        weights: (resamples, texts), how often each bootstrap sample draws each text; with `texts`.
    """

    def __init__(
        self,
        means: np.ndarray,
        programs: Sequence[str],
        texts: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.heads = means.shape[0]
        self._means = means
        self._column = {name: number for number, name in enumerate(programs)}
        self._texts = texts
        self._weights = weights

    @classmethod
    def of(cls, table: ScoreTable, *, seed: int, resamples: int) -> Split:
        """From a score table, with intervals where it has scores by text."""
        if table.scores.ndim == 2:
            return cls(table.means, table.programs)
        return cls(table.means, table.programs, table.scores, text_weights(table.text_runs, resamples, seed))

    def by_text(self, names: Names) -> np.ndarray | None:
        """(heads, texts) float64: IoU of each head's program by text, NaN where not scored; None where unknown."""
        if self._texts is None:
            return None
        rows, columns = self._cells(names)
        values = np.full((self.heads, self._texts.shape[2]), np.nan)
        values[rows] = self._texts[rows, columns]
        return values

    def has(self, names: Names) -> bool:
        """Whether all programs named are among those of the split."""
        return all(name is None or name in self._column for name in names)

    def means(self, names: Names) -> np.ndarray:
        """(heads,) float64: IoU of each head's program, NaN where it has none or was not scored."""
        rows, columns = self._cells(names)
        values = np.full(self.heads, np.nan)
        values[rows] = self._means[rows, columns]
        return values

    def by_head(self, names: Names, *, less: Names | None = None) -> list[Estimate | None]:
        """IoU of each head's program with its interval, None where not scored; with `less`, the paired difference."""
        values, samples = self.means(names), self._samples(names)
        if less is not None:
            values, other = values - self.means(less), self._samples(less)
            samples = None if samples is None or other is None else samples - other
        low, high = (None, None) if samples is None else _percentiles(samples)
        return [
            None if np.isnan(value) else Estimate(float(value), *_at(low, high, row))
            for row, value in enumerate(values)
        ]

    def mean(self, names: Names, *, less: Names | None = None, rows: np.ndarray | None = None) -> Estimate:
        """Mean over heads, a head without a score counting 0; with `less`, of the differences head by head.

        Args:
            names: one program per head, or None.
            less: one program per head, or None, whose IoU is subtracted.
            rows: the heads to take the mean over, at least one; all by default.
        """
        rows = np.arange(self.heads) if rows is None else rows
        values, samples = _zeroed(self.means(names)), self._samples(names)
        if less is not None:
            values = values - _zeroed(self.means(less))
        value = float(values[rows].mean())
        if samples is None:
            return Estimate(value)
        samples = _zeroed(samples)
        if less is not None:
            other = self._samples(less)
            samples = samples - _zeroed(np.zeros_like(samples) if other is None else other)
        low, high = _percentiles(samples[:, rows].mean(axis=1, keepdims=True))
        return Estimate(value, float(low[0]), float(high[0]))

    def _cells(self, names: Names) -> tuple[np.ndarray, np.ndarray]:
        pairs = [(row, self._column[name]) for row, name in enumerate(names) if name is not None]
        cells = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cells[:, 0], cells[:, 1]

    def _samples(self, names: Names) -> np.ndarray | None:
        """(resamples, heads) means over the texts of each bootstrap sample."""
        values = self.by_text(names)
        if values is None or self._weights is None:
            return None
        scored = ~np.isnan(values)
        with one_thread():
            drawn = self._weights @ scored.T.astype(np.float64)
            total = self._weights @ np.where(scored, values, 0.0).T
        return np.divide(total, drawn, out=np.full_like(total, np.nan), where=drawn > 0)


def _percentiles(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(columns,) low and high end of each column's interval; 0 where a column holds no score, and none is asked for."""
    tail = 50 * (1 - CONFIDENCE)
    filled = np.where(np.isnan(samples).all(axis=0), 0.0, samples)
    low, high = np.nanpercentile(filled, [tail, 100 - tail], axis=0)
    return low, high


def _at(low: np.ndarray | None, high: np.ndarray | None, row: int) -> tuple[float | None, float | None]:
    return (None, None) if low is None or high is None else (float(low[row]), float(high[row]))


def _zeroed(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)
