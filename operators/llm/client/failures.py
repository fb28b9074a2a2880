"""What the client raises instead of a reply."""

from __future__ import annotations

from fitness.errors import UserError
from fitness.failures import FailureKind


class CallFailed(Exception):  # noqa: N818 - it is an outcome, counted like others
    """One call came to nothing; others may do better.

    Attributes:
        kind: which way.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BudgetSpent(CallFailed):
    """The next call could overspend, and nothing in flight can give anything back.

    Attributes:
        limit: "calls", "tokens" or "usd".
        tokens: most tokens that the call could have used.
        usd: most dollars that it could have cost.
    """

    def __init__(self, limit: str, message: str, *, tokens: int = 0, usd: float = 0.0) -> None:
        super().__init__(FailureKind.BUDGET_SPENT, message)
        self.limit = limit
        self.tokens = tokens
        self.usd = usd


class EndpointDown(CallFailed):
    """The endpoint of a model does not answer, whatever it is asked.

    Attributes:
        model: the model that was asked for.
        permanent: waiting will not help: a refused key, an unknown model, an exhausted account.
        wait_seconds: how long to wait before asking again; 0 where that is unknown or `permanent`.
    """

    def __init__(self, model: str, message: str, *, permanent: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(FailureKind.ENDPOINT_DOWN, message)
        self.model = model
        self.permanent = permanent
        self.wait_seconds = wait_seconds


class ReplayMiss(UserError):  # noqa: N818 - as UserError's other kinds
    """A replay needs a reply that was never stored."""


class Unanswered(Exception):  # noqa: N818 - an outcome of a request
    """A request came to nothing.

    Attributes:
        kind: as in `CallFailed`.
        transient: trying again may help.
        hopeless: no request to this model will be answered.
        reached: the endpoint may have seen the request.
        billed: the endpoint may have worked on it, and charge for it.
        retry_after: seconds that the endpoint asked to wait, or None.
        refused: the field of the request that the model would not have and can do without, or None.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        transient: bool = True,
        hopeless: bool = False,
        reached: bool = True,
        billed: bool = False,
        retry_after: float | None = None,
        refused: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.refused = refused
        self.transient = transient
        self.hopeless = hopeless
        self.reached = reached
        self.billed = billed
        self.retry_after = retry_after
