"""The one way to a language model: stored replies, budgets, retries, a bound on requests in flight, a breaker."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from fitness.failures import FailureKind
from operators.llm.client.breaker import Breaker, Down, Time
from operators.llm.client.calls import CallStore, Message, Reply, Spend
from operators.llm.client.failures import CallFailed, EndpointDown, Unanswered
from operators.llm.client.keys import api_key
from operators.llm.client.ledger import Call, Ledger
from operators.llm.client.request import Requests
from operators.llm.client.settings import ModelEntry, SpendLimits

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# Who is asked to wait longer than this had better do something else meanwhile.
LONGEST_RETRY_AFTER_SECONDS = 120.0
CHECK_MESSAGES: list[Message] = [{"role": "user", "content": "Reply with the word ready."}]


class RealTime:
    """The real clock, with waits that end when the client stops."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Waits; true where the client was stopped meanwhile."""
        return self._stopping.wait(seconds)


class Client:
    """Asks language models, and pays for every reply once. Safe to use from several threads.

    Args:
        store: where calls are kept.
        limits: what may be spent, by this and all earlier sessions on the store.
        max_in_flight: requests at a time.
        retries: how often a request is tried again after a rate limit, a timeout, a lost connection or a server error.
        mode: "live", or "replay": from the store alone.
        clock: the clock; None is the real one.
    """

    def __init__(
        self,
        store: CallStore,
        limits: SpendLimits,
        *,
        max_in_flight: int,
        retries: int,
        mode: Literal["live", "replay"] = "live",
        clock: Time | None = None,
    ) -> None:
        self._ledger = Ledger(store, limits)
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._retries = retries
        self._mode = mode
        self._stopping = threading.Event()
        self._time = clock or RealTime(self._stopping)
        self._requests = Requests()
        self._lock = threading.Lock()
        self._breakers: dict[tuple[str | None, str], Breaker] = {}
        # Fields that a model refused once are not sent to it again.
        self._refused: defaultdict[tuple[str | None, str], set[str]] = defaultdict(set)
        self._under_way: dict[str, threading.Lock] = {}
        self._users: defaultdict[str, int] = defaultdict(int)

    @property
    def spent(self) -> Spend:
        """What all sessions on this store have spent, requests in flight not counted."""
        return self._ledger.budget.spent

    def still_spent(self) -> bool:
        """Whether earlier sessions spent the budget, and it is no larger now."""
        return self._mode == "replay" or self._ledger.still_spent()

    def stop(self) -> None:
        """Ends all waiting with `CallFailed` of kind `STOPPED`; requests in flight are answered and stored."""
        self._stopping.set()
        self._ledger.budget.wake()

    def close(self) -> None:
        """Stops, and closes all connections; for when no request is in flight."""
        self.stop()
        self._requests.close()

    def complete(
        self, entry: ModelEntry, messages: Sequence[Message], *, sample: int, purpose: Mapping[str, Any]
    ) -> Reply:
        """The reply to a prompt; from the store where it was asked before.

        Args:
            entry: whom to ask.
            messages: the conversation so far.
            sample: number that tells repeated askings of one prompt apart.
            purpose: JSON values kept with the call, such as operator and template.

        Raises:
            ReplayMiss: in a replay, where the store holds no reply.
            BudgetSpent: where the call could overspend.
            EndpointDown: where the endpoint does not answer, or will answer nobody.
            CallFailed: where this call alone came to nothing.
            UserError: where the key is missing.
        """
        call = Call.of(entry, messages, sample, purpose)
        with self._alone_with(call.key):
            reply = self._ledger.stored(call.key)
            if reply is not None:
                return reply
            if self._mode == "replay":
                raise self._ledger.missed(call)
            try:
                return self._ask(call)
            except CallFailed as failure:
                self._ledger.gave_up(call, failure)
                raise

    def check(self, entry: ModelEntry) -> Reply:
        """Asks for one word, to see whether an endpoint answers; asked anew every time, and paid for.

        Raises:
            BudgetSpent, EndpointDown, CallFailed, UserError: as `complete`, but without retries.
        """
        purpose = {"operator": "check"}
        call = Call.of(entry, CHECK_MESSAGES, 0, purpose)
        while self._ledger.stored(call.key) is not None:
            call = Call.of(entry, CHECK_MESSAGES, call.sample + 1, purpose)
        try:
            return self._attempt(call, self._breaker(entry))
        except _TryAgain as again:
            raise CallFailed(again.failure.kind, str(again.failure)) from None

    @contextmanager
    def _alone_with(self, key: str) -> Iterator[None]:
        """Lets one thread at a time work on a call: a second one finds its reply in the store."""
        with self._lock:
            lock = self._under_way.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._under_way[key]

    def _breaker(self, entry: ModelEntry) -> Breaker:
        with self._lock:
            return self._breakers.setdefault((entry.base_url, entry.model), Breaker(self._time))

    def _ask(self, call: Call) -> Reply:
        """Attempts a call until it is answered or there is no hope."""
        breaker = self._breaker(call.entry)
        attempts = 0
        while True:
            try:
                return self._attempt(call, breaker)
            except _TryAgain as again:
                failure = again.failure
            attempts += 1
            asked = failure.retry_after
            too_long = asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS
            if too_long or attempts > self._retries:
                down = breaker.exhausted(call.key, str(failure), asked if too_long else None)
                raise self._down(call.entry, down) if down else CallFailed(failure.kind, str(failure))
            self._wait(_backoff(call.key, attempts) if asked is None else asked)

    def _attempt(self, call: Call, breaker: Breaker) -> Reply:
        while True:
            delay = breaker.delay()
            if delay:
                self._wait(delay)
            with self._slots:
                # Whoever waited for a slot may find that the endpoint has asked for a rest meanwhile.
                reply = None if breaker.delay() else self._send(call, breaker)
                if reply is not None:
                    return reply

    def _send(self, call: Call, breaker: Breaker) -> Reply | None:
        """One request; None where it is to be sent again without a field that the model refuses."""
        down = breaker.enter()
        if down:
            raise self._down(call.entry, down)
        try:
            api_key(call.entry)
            booking = self._ledger.book(call, self._stopping.is_set)
        except BaseException:
            breaker.leave()
            raise
        with self._lock:
            known = self._refused[call.entry.base_url, call.entry.model]
            refused = frozenset(known)
        try:
            answer = self._requests.send(call.entry, call.messages, call.key, refused)
        except Unanswered as failure:
            self._ledger.unanswered(booking, failure)
            if failure.refused is not None:
                breaker.leave()
                with self._lock:
                    known.add(failure.refused)
                return None
            raise self._judge(call, breaker, failure) from None
        except BaseException:
            breaker.leave()
            self._ledger.broken_off(booking)
            raise
        breaker.answered(call.key)
        return self._ledger.answered(call, booking, answer, refused)

    def _judge(self, call: Call, breaker: Breaker, failure: Unanswered) -> Exception:
        """What to raise for a request that failed; tells the breaker."""
        message = str(failure)
        if failure.hopeless:
            return self._down(call.entry, breaker.close_for_good(message))
        if not failure.transient:
            down = breaker.refused(message)
            return self._down(call.entry, down) if down else CallFailed(failure.kind, message)
        if failure.retry_after:
            breaker.hold(min(failure.retry_after, LONGEST_RETRY_AFTER_SECONDS))
        down = breaker.failed(call.key)
        return self._down(call.entry, down) if down else _TryAgain(failure)

    def _wait(self, seconds: float) -> None:
        if self._time.wait(seconds):
            raise CallFailed(FailureKind.STOPPED, "the client was stopped before the call was answered")

    def _down(self, entry: ModelEntry, down: Down) -> EndpointDown:
        wait = 0.0 if down.permanent else max(0.0, down.until - self._time.now())
        return EndpointDown(entry.model, down.message, permanent=down.permanent, wait_seconds=wait)


class _TryAgain(Exception):  # noqa: N818 - goes from one attempt to the next
    def __init__(self, failure: Unanswered) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _backoff(key: str, attempts: int) -> float:
    """Seconds to wait; spread by the call's key, so that calls that failed together do not return together."""
    spread = 0.5 + int(key[:4], 16) / 0x20000
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (attempts - 1)) * spread
