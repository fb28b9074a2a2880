"""Whether an endpoint is up: shared by all calls to it, so that they wait together and give up together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

# The pause doubles from one failed attempt to come back to the next.
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 600.0
BAD_REQUESTS_IN_A_ROW = 5


class Time(Protocol):
    """The clock, and waiting by it."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...

    def wait(self, seconds: float) -> bool:
        """Waits; true where the client was stopped meanwhile."""
        ...


@dataclass(frozen=True)
class Down:
    """Why an endpoint is not asked."""

    message: str
    permanent: bool
    until: float


class Breaker:
    """State of one endpoint and model.

    It opens when a call has failed in all its attempts while no other call was answered; it lets one call through
    after a pause, and closes when that is answered.
    """

    def __init__(self, time: Time) -> None:
        self._time = time
        self._lock = threading.Lock()
        self._down: Down | None = None
        self._trying = False
        self._pause = FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._answers = 0
        self._signs_of_life = 0
        self._bad_requests = 0
        self._first_failure: dict[str, int] = {}

    def enter(self) -> Down | None:
        """Asks for leave to send; None is leave, which `answered`, `failed` or `leave` must follow."""
        with self._lock:
            if self._down is None:
                return None
            if self._down.permanent or self._trying or self._time.now() < self._down.until:
                return self._down
            self._trying = True
            return None

    def leave(self) -> None:
        """Ends an attempt to come back that was never sent."""
        with self._lock:
            self._trying = False

    def delay(self) -> float:
        """Seconds that the endpoint asked everybody to wait."""
        with self._lock:
            return max(0.0, self._not_before - self._time.now())

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long: a rate limit is everybody's."""
        with self._lock:
            self._not_before = max(self._not_before, self._time.now() + seconds)

    def answered(self, key: str) -> None:
        """A request was answered: the endpoint is up."""
        with self._lock:
            self._answers += 1
            self._signs_of_life += 1
            self._bad_requests = 0
            self._down, self._trying, self._pause = None, False, FIRST_PAUSE_SECONDS
            self._first_failure.pop(key, None)

    def failed(self, key: str) -> Down | None:
        """An attempt failed; where it was the attempt to come back, the endpoint stays down."""
        with self._lock:
            self._first_failure.setdefault(key, self._signs_of_life)
            if self._trying and self._down is not None:
                self._trying = False
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
                self._down = Down(self._down.message, False, self._time.now() + self._pause)
            return self._down

    def exhausted(self, key: str, message: str, wait: float | None = None) -> Down | None:
        """A call has failed in all its attempts.

        Returns:
            None where the endpoint answered others meanwhile, so that it is the call's own fault; else it is down now.
        """
        with self._lock:
            if self._signs_of_life > self._first_failure.get(key, self._signs_of_life):
                del self._first_failure[key]
                return None
            if self._down is None:
                self._down = Down(message, False, self._time.now() + (self._pause if wait is None else wait))
            return self._down

    def refused(self, message: str) -> Down | None:
        """A request was found bad. The first few in a row are the requests' own fault, then it is the settings'."""
        with self._lock:
            self._trying = False
            self._bad_requests += 1
            self._signs_of_life += 1
            if self._bad_requests < BAD_REQUESTS_IN_A_ROW or self._answers:
                self._down, self._pause = None, FIRST_PAUSE_SECONDS
                return None
            self._down = Down(message, True, 0.0)
            return self._down

    def close_for_good(self, message: str) -> Down:
        """No request will be answered until the user changes something."""
        with self._lock:
            self._trying = False
            self._down = Down(message, True, 0.0)
            return self._down
