"""What a study of replacement is asked, and how much work that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitness.errors import UserError

STAGES = ("fractions", "layers", "heads", "order")
FRACTIONS = (0.0, 0.25, 0.5)
# Conditions of one fraction: those that are drawn several times, and all others.
DRAWN, SINGLE = 5, 11
# A backward pass that gives no gradients of parameters, in forward passes; an estimate of costs makes two of them.
BACKWARD = 2.0
ESTIMATE = 1 + 2 * BACKWARD
# Of a head that is measured; what a pair adds; and on the way to knowing what completeness costs.
PER_HEAD, PER_PAIR, COMPLETENESS = 1, 2, 6


@dataclass(frozen=True)
class Settings:
    """What a study of replacement is asked.

    Attributes:
        seed: of random orders, shuffled programs, drawn tokens and bootstrap samples.
        fractions: shares in [0, 1] of the assigned heads that are replaced.
        draws: number of random orders, and of draws of each control with programs on the wrong heads; at least 1.
        measure_heads: the most heads whose cost is measured as well as estimated.
        pairs: the most of these heads on which another program, and uniform attention, is measured as well.
        search_texts: the most held-out texts that the order of least cost is estimated on.
        refreshes: how often that order is estimated anew as heads are replaced; at least 1.
        only: the stages wanted, of `STAGES`.
    """

    seed: int = 0
    fractions: Sequence[float] = FRACTIONS
    draws: int = 5
    measure_heads: int = 8
    pairs: int = 8
    search_texts: int = 8
    refreshes: int = 4
    only: Sequence[str] = STAGES

    def check(self) -> None:
        """Raises UserError, in words, for what cannot be asked."""
        if not self.fractions or min(self.fractions) < 0 or max(self.fractions) > 1:
            raise UserError("fractions: give shares from 0 to 1, such as 0.25")
        if self.draws < 1:
            raise UserError("random_orders: at least one random order is needed as a control")
        if self.refreshes < 1 or min(self.measure_heads, self.pairs) < 0:
            raise UserError("refreshes: at least 1; measure_heads and pairs: 0 or more")
        unknown = sorted(set(self.only) - set(STAGES))
        if unknown or not self.only:
            raise UserError(f"only: {', '.join(unknown) or 'nothing'} is not a stage; choose of {', '.join(STAGES)}")

    def passes(self, *, heads: int, layers: int, test_texts: int, shared: bool = True) -> float:
        """About how many forward passes over all test texts a study takes.

        Args:
            heads: number of heads that have a program.
            layers: number of layers of the model.
            test_texts: number of test texts.
            shared: whether passes begin at the first replaced head.
        """
        half = 0.5 if shared else 1.0  # a layer or a head stands in the middle of the model, on average
        found = 1.0
        if "order" in self.only:
            found += self.refreshes * ESTIMATE * min(1.0, self.search_texts / test_texts) + COMPLETENESS
        if "fractions" in self.only:
            found += sum(SINGLE + DRAWN * self.draws for fraction in set(self.fractions) if fraction > 0)
        if "layers" in self.only:
            found += 2 * layers * half
        if "heads" in self.only:
            measured = min(self.measure_heads, heads)
            found += ESTIMATE + (PER_HEAD * measured + PER_PAIR * min(self.pairs, measured)) * half
        return found
