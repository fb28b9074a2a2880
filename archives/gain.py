"""What an assignment is worth beyond another on the same texts: paired differences, head by head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archives.bootstrap import Estimate, Names, Split


@dataclass(frozen=True)
class Gain:
    """One assignment less another, on texts that neither was chosen on.

    Attributes:
        than: what each head has in the other assignment, such as "median_table"; None where it has nothing.
        other: mean IoU of the other assignment, a head without a score counting 0.
        gain: mean over heads of the difference, paired by text.
        other_by_head: IoU of the other assignment, None where not scored.
        by_head: the difference for each head, paired by text; None where either was not scored.
    """

    than: tuple[str | None, ...]
    other: Estimate
    gain: Estimate
    other_by_head: tuple[Estimate | None, ...]
    by_head: tuple[Estimate | None, ...]

    @property
    def won(self) -> int:
        """Heads whose difference lies above 0 with its whole interval."""
        return sum(beyond_noise(estimate) > 0 for estimate in self.by_head)

    @property
    def lost(self) -> int:
        """Heads whose difference lies below 0 with its whole interval."""
        return sum(beyond_noise(estimate) < 0 for estimate in self.by_head)

    @property
    def beaten(self) -> bool:
        """Whether the mean difference lies above 0 with its whole interval."""
        return beyond_noise(self.gain) > 0


def beyond_noise(difference: Estimate | None) -> int:
    """1 or -1 where a difference lies above or below 0 with its whole interval, else 0; without one, never."""
    if difference is None or difference.low is None or difference.high is None:
        return 0
    return int(difference.low > 0) - int(difference.high < 0)


def gain_over(split: Split, names: Names, than: Names) -> Gain:
    """What an assignment is worth beyond another.

    Args:
        split: scores by text of the programs and of what `than` names.
        names: one program, or None, per head.
        than: one program, table or None, per head.
    """
    return Gain(
        tuple(than),
        split.mean(than),
        split.mean(names, less=than),
        tuple(split.by_head(than)),
        tuple(split.by_head(names, less=than)),
    )


def best_of(means: np.ndarray, names: Sequence[str]) -> list[str | None]:
    """The name of each head's best column, the first of equals; None where no column is scored.

    Args:
        means: (heads, names) IoU on the split that the choice is made on, NaN = not scored.
        names: of the columns.
    """
    scored = ~np.isnan(means)
    best = np.where(scored, means, -1.0).argmax(axis=1)
    return [names[column] if any_scored else None for column, any_scored in zip(best, scored.any(axis=1), strict=True)]
