"""The one way to a language model: stored replies, budgets, retries, a bound on requests in flight, a breaker."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from operators.llm.breaker import Breaker, Down, Time
from operators.llm.budget import Budget, Reservation
from operators.llm.calls import CallStore, Message, Reply, Spend, call_key, spend_of
from operators.llm.failures import BudgetSpent, CallFailed, EndpointDown, ReplayMiss
from operators.llm.keys import api_key
from operators.llm.request import Answer, Requests, Unanswered, most_prompt_tokens
from operators.llm.settings import Limits, ModelEntry, cost_usd, longest_reply, sampling

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# Who is asked to wait longer than this had better do something else meanwhile.
LONGEST_RETRY_AFTER_SECONDS = 120.0
CHECK_MESSAGES: list[Message] = [{"role": "user", "content": "Reply with the word ready."}]


class RealTime:
    """The real clock, with waits that end when the client stops."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Waits; true where the client was stopped meanwhile."""
        return self.stopping.wait(seconds)


class Client:
    """Asks language models, and pays for every reply once. Safe to use from several threads.

    Args:
        store: where calls are kept.
        limits: what may be spent, by this and all earlier sessions on the store.
        max_in_flight: requests at a time.
        retries: how often a request is tried again after a rate limit, a timeout, a lost connection or a server error.
        mode: "live", or "replay": from the store alone.
        clock: the clock.
    """

    def __init__(
        self,
        store: CallStore,
        limits: Limits,
        *,
        max_in_flight: int,
        retries: int,
        mode: Literal["live", "replay"] = "live",
        clock: Time | None = None,
    ) -> None:
        self._store = store
        self._budget = Budget(limits, spend_of(store.calls()))
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._retries = retries
        self._mode = mode
        self._real = RealTime()
        self._time = clock or self._real
        self._requests = Requests()
        self._lock = threading.Lock()
        self._breakers: dict[tuple[str | None, str], Breaker] = {}
        self._under_way: dict[str, threading.Lock] = {}
        self._users: defaultdict[str, int] = defaultdict(int)

    @property
    def spent(self) -> Spend:
        """What all sessions on this store have spent, requests in flight not counted."""
        return self._budget.spent

    def stop(self) -> None:
        """Ends all waiting with `CallFailed("stopped")`; requests in flight are answered and stored."""
        self._real.stopping.set()
        self._budget.wake()

    def close(self) -> None:
        """Closes all connections; call it when no request is in flight."""
        self.stop()
        self._requests.close()

    def complete(
        self, entry: ModelEntry, messages: Sequence[Message], *, sample: int, purpose: Mapping[str, Any]
    ) -> Reply:
        """The reply to a prompt; from the store where it was ever asked before.

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
        key = call_key(entry, messages, sample)
        with self._alone_with(key):
            record = self._store.get(key)
            if record is not None:
                return Reply.of(key, record, cached=True)
            if self._mode == "replay":
                raise self._missed(key, entry)
            try:
                return self._ask(key, entry, messages, sample, purpose)
            except CallFailed as failure:
                self._give_up(key, failure)
                raise

    def check(self, entry: ModelEntry) -> Reply:
        """Asks for one word, to see whether an endpoint answers; counts against the budget, and is asked every time.

        Raises:
            BudgetSpent, EndpointDown, CallFailed, UserError: as `complete`, without retries.
        """
        number = 0
        while self._store.get(call_key(entry, CHECK_MESSAGES, number)) is not None:
            number += 1
        key = call_key(entry, CHECK_MESSAGES, number)
        with self._alone_with(key):
            try:
                return self._attempt(key, entry, CHECK_MESSAGES, number, {"operator": "check"}, self._breaker(entry))
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

    def _ask(
        self, key: str, entry: ModelEntry, messages: Sequence[Message], sample: int, purpose: Mapping[str, Any]
    ) -> Reply:
        breaker = self._breaker(entry)
        for attempt in range(self._retries + 1):
            try:
                return self._attempt(key, entry, messages, sample, purpose, breaker)
            except _TryAgain as again:
                failure = again.failure
            asked = failure.retry_after
            if asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS:
                down = breaker.exhausted(key, str(failure), asked)
                raise self._down(entry, down) if down else CallFailed(failure.kind, str(failure))
            if attempt < self._retries and self._time.wait(_backoff(key, attempt) if asked is None else asked):
                raise CallFailed("stopped", "the client was stopped before the call was answered")
        down = breaker.exhausted(key, str(failure))
        raise self._down(entry, down) if down else CallFailed(failure.kind, str(failure))

    def _attempt(
        self,
        key: str,
        entry: ModelEntry,
        messages: Sequence[Message],
        sample: int,
        purpose: Mapping[str, Any],
        breaker: Breaker,
    ) -> Reply:
        while True:
            wait = breaker.delay()
            if wait and self._time.wait(wait):
                raise CallFailed("stopped", "the client was stopped before the call was sent")
            with self._slots:
                # Whoever waited for a slot may find that the endpoint has asked for a rest meanwhile.
                if not breaker.delay():
                    return self._send(key, entry, messages, sample, purpose, breaker)

    def _send(
        self,
        key: str,
        entry: ModelEntry,
        messages: Sequence[Message],
        sample: int,
        purpose: Mapping[str, Any],
        breaker: Breaker,
    ) -> Reply:
        down = breaker.enter()
        if down:
            raise self._down(entry, down)
        try:
            api_key(entry)
            reservation, request = self._book(key, entry, messages)
        except BaseException:
            breaker.leave()
            raise
        try:
            answer = self._requests.send(entry, messages, key)
        except Unanswered as failure:
            self._book_unanswered(request, reservation, failure)
            raise self._judge(key, entry, breaker, failure) from None
        except BaseException:
            breaker.leave()
            self._budget.settle(reservation, Spend(1, lost_tokens=reservation.tokens, usd=reservation.usd))
            raise
        reply = self._keep(key, entry, messages, sample, purpose, answer, reservation, request)
        breaker.answered(key)
        return reply

    def _book(self, key: str, entry: ModelEntry, messages: Sequence[Message]) -> tuple[Reservation, str]:
        """Sets aside what a request can cost, and writes that down before it goes out: a kill may come any time."""
        prompt = most_prompt_tokens(messages)
        usd = cost_usd(entry, prompt, longest_reply(entry))
        tokens = prompt + longest_reply(entry)
        reservation = self._budget.reserve(tokens, usd, self._real.stopping.is_set)
        if reservation is None:
            raise CallFailed("stopped", "the client was stopped before the call was sent")
        number = 0
        while self._store.get(f"sent:{key}:{number}") is not None:
            number += 1
        request = f"sent:{key}:{number}"
        self._store.put(request, {"event": "sent", "model": entry.model, "tokens": tokens, "cost_usd": usd})
        return reservation, request

    def _book_unanswered(self, request: str, reservation: Reservation, failure: Unanswered) -> None:
        calls = int(failure.reached)
        tokens, usd = (reservation.tokens, reservation.usd) if failure.billed else (0, 0.0)
        self._store.put(
            request.replace("sent", "unanswered", 1),
            {"event": "unanswered", "kind": failure.kind, "calls": calls, "tokens": tokens, "cost_usd": usd},
        )
        self._budget.settle(reservation, Spend(calls=calls, lost_tokens=tokens, usd=usd))

    def _judge(self, key: str, entry: ModelEntry, breaker: Breaker, failure: Unanswered) -> Exception:
        """What to raise for a request that failed; tells the breaker."""
        if failure.hopeless:
            return self._down(entry, breaker.close_for_good(str(failure)))
        if not failure.transient:
            down = breaker.refused(str(failure))
            return self._down(entry, down) if down else CallFailed(failure.kind, str(failure))
        if failure.retry_after:
            breaker.hold(min(failure.retry_after, LONGEST_RETRY_AFTER_SECONDS))
        down = breaker.failed(key)
        return self._down(entry, down) if down else _TryAgain(failure)

    def _keep(
        self,
        key: str,
        entry: ModelEntry,
        messages: Sequence[Message],
        sample: int,
        purpose: Mapping[str, Any],
        answer: Answer,
        reservation: Reservation,
        request: str,
    ) -> Reply:
        usd = cost_usd(entry, answer.prompt_tokens, answer.completion_tokens)
        record = {
            "event": "answered",
            "model": entry.model,
            "settings": sampling(entry),
            "messages": list(messages),
            "sample": sample,
            "purpose": dict(purpose),
            "text": answer.text,
            "finish": answer.finish,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "estimated": answer.estimated,
            "cost_usd": usd,
            "request": request,
        }
        try:
            self._store.put(key, record)
        finally:
            self._budget.settle(reservation, Spend(1, answer.prompt_tokens, answer.completion_tokens, 0, usd))
        return Reply.of(key, record, cached=False)

    def _down(self, entry: ModelEntry, down: Down) -> EndpointDown:
        wait = 0.0 if down.permanent else max(0.0, down.until - self._time.now())
        return EndpointDown(entry.model, down.message, permanent=down.permanent, wait_seconds=wait)

    def _give_up(self, key: str, failure: CallFailed) -> None:
        """Remembers how a call ended, so that a replay ends it likewise."""
        if failure.kind == "stopped":
            return
        limit = failure.limit if isinstance(failure, BudgetSpent) else ""
        self._store.put(
            f"gave-up:{key}", {"event": "gave up", "kind": failure.kind, "message": str(failure), "limit": limit}
        )

    def _missed(self, key: str, entry: ModelEntry) -> Exception:
        record = self._store.get(f"gave-up:{key}")
        if record is None:
            return ReplayMiss(
                f"replay: no reply of {entry.model} is stored for call {key[:12]}; the configuration, a template or the "
                "code differs from the run that is replayed; run it live to go on from here"
            )
        if record["kind"] == "budget spent":
            return BudgetSpent(record["limit"], record["message"])
        if record["kind"] == "endpoint down":
            return EndpointDown(entry.model, record["message"], permanent=True)
        return CallFailed(record["kind"], record["message"])


class _TryAgain(Exception):  # noqa: N818 - goes from one attempt to the next
    def __init__(self, failure: Unanswered) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _backoff(key: str, attempt: int) -> float:
    """Seconds to wait; spread by the call's key, so that calls that failed together do not return together."""
    spread = 0.5 + int(key[:4], 16) / 0x20000
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempt) * spread
