"""Budgets that calls in flight count against, so that they are never overspent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from operators.llm.client.calls import Spend
from operators.llm.client.failures import BudgetSpent
from operators.llm.client.settings import SpendLimits

# Room for rounding where sums of dollars are compared.
TINY_USD = 1e-12


@dataclass(frozen=True)
class Reservation:
    """The most that one request can cost, set aside while it is in flight."""

    tokens: int
    usd: float


class Budget:
    """Sets aside what a request can cost at the most, and takes back what it did not.

    Args:
        limits: what may be spent.
        spent: what earlier sessions spent.
    """

    def __init__(self, limits: SpendLimits, spent: Spend | None = None) -> None:
        self._limits = limits
        self._spent = spent or Spend()
        self._in_flight: list[Reservation] = []
        self._changed = threading.Condition()

    @property
    def spent(self) -> Spend:
        """What was spent so far, requests in flight not counted."""
        with self._changed:
            return self._spent

    def reserve(self, tokens: int, usd: float, stopped: Callable[[], bool] = lambda: False) -> Reservation | None:
        """Sets aside one request; waits where requests in flight may give something back.

        Args:
            tokens: most tokens that it can use.
            usd: most dollars that it can cost.
            stopped: asked whenever something changes; where it says so, None is returned.

        Raises:
            BudgetSpent: where the request does not fit, and nothing is in flight.
        """
        wanted = Reservation(tokens, usd)
        with self._changed:
            while not stopped():
                missing = self._missing(wanted)
                if missing is None:
                    self._in_flight.append(wanted)
                    return wanted
                if not self._in_flight:
                    raise BudgetSpent(missing, self._explain(missing, wanted), tokens=tokens, usd=usd)
                self._changed.wait()
        return None

    def fits(self, tokens: int, usd: float) -> bool:
        """Whether a request of this size could go out, were nothing in flight."""
        with self._changed:
            return self._missing(Reservation(tokens, usd)) is None

    def settle(self, reservation: Reservation, spent: Spend) -> None:
        """Replaces what was set aside by what it came to."""
        with self._changed:
            self._in_flight.remove(reservation)
            self._spent += spent
            self._changed.notify_all()

    def wake(self) -> None:
        """Makes those that wait ask again whether they are stopped."""
        with self._changed:
            self._changed.notify_all()

    def _missing(self, wanted: Reservation) -> str | None:
        limits, spent = self._limits, self._spent
        if limits.calls is not None and spent.calls + len(self._in_flight) + 1 > limits.calls:
            return "calls"
        tokens = spent.tokens + sum(r.tokens for r in self._in_flight) + wanted.tokens
        if limits.tokens is not None and tokens > limits.tokens:
            return "tokens"
        usd = spent.usd + sum(r.usd for r in self._in_flight) + wanted.usd
        if limits.usd is not None and usd > limits.usd + TINY_USD:
            return "usd"
        return None

    def _explain(self, limit: str, wanted: Reservation) -> str:
        spent, limits = self._spent, self._limits
        if limit == "calls":
            return f"llm.budget.calls is spent: {spent.calls} of {limits.calls} calls were made"
        if limit == "tokens":
            return (
                f"llm.budget.tokens is spent: {spent.tokens} of {limits.tokens} are used, "
                f"and the next call may use {wanted.tokens}"
            )
        return (
            f"llm.budget.usd is spent: {spent.usd:.4f} of {limits.usd:g} dollars are used, "
            f"and the next call may cost {wanted.usd:.4f}"
        )
