"""The trusted side: starts a fork server, sends it programs, and checks whatever comes back."""

from __future__ import annotations

import math
import os
import secrets
import signal
import threading
from collections.abc import Sequence
from itertools import accumulate
from multiprocessing.util import Finalize
from types import TracebackType

from fitness.failures import FailureKind
from fitness.printable import one_line
from fitness.program import Program
from fitness.sandbox.buffer import Report
from fitness.sandbox.outcome import Layers, Limits, Mode, Outcome, SandboxUnavailable
from fitness.sandbox.process import ServerProcess
from fitness.sandbox.wire import Closed
from fitness.scoring.contract import ContractError, check_weights
from fitness.text.view import Text

ATTEMPTS = 2
_KILLED = "killed by the system, which may be short of memory"
_LOST = "the server that runs programs was lost"
# How a child ends that could not confine itself; see `fitness.sandbox.child`.
_NOT_CONFINED = signal.SIGUSR1


class Sandbox:
    """Runs programs on texts, each in a process of its own that can reach nothing but those texts.

    May be used from several threads, one run at a time; a forked copy starts a server of its own.

    Args:
        texts: inputs, by index; more can be added.
        mode: "strict", or "degraded": without the kernel's confinement, where the system has none.
        limits: what one run may use.
        layers: which layers hold a program; all, but where a test asks what each is worth alone.
        shuffled: lay out memory in another way in every run, and fill what is not written: for second runs, in which
            what depends on either shows.

    Raises:
        SandboxUnavailable: where programs cannot be run as asked; the message says what can be done.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        *,
        mode: Mode = "strict",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        layers: Layers = Layers(),  # noqa: B008 - frozen
        shuffled: bool = False,
    ) -> None:
        if mode not in ("strict", "degraded"):
            raise ValueError(f"mode must be strict or degraded, not {mode!r}")
        self.limits = limits
        self._static = layers.static
        self._shuffled = shuffled
        self._kernel = layers.kernel and mode == "strict"
        self._texts = list(texts)
        self._lock = threading.Lock()
        self._closed = False
        self._start()

    @property
    def description(self) -> str:
        """What confines programs, for people."""
        return self._server.description

    @property
    def server_pid(self) -> int:
        """Process id of the fork server, whose children run programs."""
        return self._server.pid

    def add(self, texts: Sequence[Text]) -> list[int]:
        """Adds inputs and returns their indices."""
        with self._lock:
            begin = len(self._texts)
            self._texts.extend(texts)
            return list(range(begin, len(self._texts)))

    def run(self, program: Program, indices: Sequence[int] | None = None) -> Outcome:
        """Runs a program on texts.

        Args:
            program: what to run. Its identity and the text, not the text's index, seed its random numbers.
            indices: texts to run it on, in the order in which weights are wanted; None is all.

        Returns:
            Weights of all texts, or the first failure.

        Raises:
            IndexError: for an index without a text.
            ValueError: once the sandbox is closed.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the sandbox is closed")
            wanted = [int(index) for index in (range(len(self._texts)) if indices is None else indices)]
            lengths = [int(self._texts[index].n) for index in wanted]
            outcome = self._attempt(program, wanted, lengths)
            if outcome.message == _LOST or outcome.message == _KILLED:
                # Killed from outside, by a person or for want of memory: not the program's doing, so it runs again.
                # A server that is lost twice with one program is.
                outcome = self._attempt(program, wanted, lengths)
                if outcome.message == _LOST:
                    outcome = Outcome(FailureKind.CRASH, "ended the server that ran it, twice")
            return outcome

    def close(self) -> None:
        """Ends the server and whatever it runs."""
        with self._lock:
            self._closed = True
            self._finalizer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._server = ServerProcess(kernel=self._kernel)
        # Holds no reference to the sandbox, so it also runs when the sandbox is collected or the process ends.
        self._finalizer = Finalize(self, self._server.close, exitpriority=10)

    def _attempt(self, program: Program, wanted: list[int], lengths: list[int]) -> Outcome:
        nonce = secrets.token_bytes(16)
        request = {
            "source": program.source,
            "seed": program.id,
            "indices": wanted,
            "nonce": nonce.hex(),
            "cpu_seconds": self.limits.cpu_seconds,
            "memory_mb": self.limits.memory_mb,
            "static": self._static,
            "kernel": self._kernel,
            "shuffle": secrets.randbits(32) if self._shuffled else None,
        }
        try:
            if self._server.owner != os.getpid() or self._server.closed:
                self._finalizer.cancel()
                self._server.close()
                self._start()
            status, killed, seconds = self._server.run(request, self._texts, lengths, self.limits)
        except Closed:
            return Outcome(FailureKind.INTERNAL, _LOST)
        except SandboxUnavailable as error:
            return Outcome(FailureKind.INTERNAL, one_line(f"no server to run programs: {error}"))
        report = self._server.buffer.read_report(nonce)
        ended = self._how_it_ended(status, killed, seconds, report)
        if ended is not None:
            return ended
        assert report is not None
        if report.failure is not None:
            return self._failure(report, program, wanted, seconds)
        flat = self._server.buffer.read_weights(lengths)
        ends = accumulate(n * n for n in lengths)
        weights = tuple(flat[end - n * n : end].reshape(n, n) for n, end in zip(lengths, ends, strict=True))
        # False for what is not a number, too.
        if not (flat.min(initial=0) >= 0 and flat.max(initial=0) < math.inf):
            for index, matrix in zip(wanted, weights, strict=True):
                try:
                    check_weights(matrix, len(matrix))
                except ContractError as error:
                    return Outcome(error.kind, str(error), text=index, cpu_seconds=seconds)
        return Outcome(weights=weights, cpu_seconds=seconds)

    def _how_it_ended(self, status: int, killed: bool, seconds: float, report: Report | None) -> Outcome | None:
        """The outcome of a child that did not end by itself with a report, else None."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == _NOT_CONFINED and self._kernel:
                said = "a program's process could not confine itself"
                return Outcome(FailureKind.INTERNAL, said, cpu_seconds=seconds)
            cpu = f"more than {self.limits.cpu_seconds:g} s of CPU time"
            if number in (signal.SIGPROF, signal.SIGXCPU) or (number == signal.SIGKILL and self._spent(seconds)):
                return Outcome(FailureKind.TIMEOUT, cpu, cpu_seconds=seconds)
            if killed:
                wall = f"did not end within {self.limits.wall_seconds:g} s"
                return Outcome(FailureKind.TIMEOUT, wall, cpu_seconds=seconds)
            if number == signal.SIGKILL:
                return Outcome(FailureKind.CRASH, _KILLED, cpu_seconds=seconds)
            return Outcome(FailureKind.CRASH, f"ended by {_signal_name(number)}", cpu_seconds=seconds)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            return Outcome(FailureKind.EARLY_EXIT, f"ended with exit code {code}", cpu_seconds=seconds)
        if report is None:
            return Outcome(FailureKind.EARLY_EXIT, "ended without a result", cpu_seconds=seconds)
        return None

    def _spent(self, seconds: float) -> bool:
        return seconds >= math.ceil(self.limits.cpu_seconds)

    def _failure(self, report: Report, program: Program, wanted: list[int], seconds: float) -> Outcome:
        """What a child reports of itself, each field kept only where it can be true."""
        lines = program.source.count("\n") + 1
        return Outcome(
            report.failure,
            one_line(report.message) or "no message",
            report.line if report.line is not None and report.line <= lines else None,
            wanted[report.text] if report.text is not None and report.text < len(wanted) else None,
            cpu_seconds=seconds,
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
