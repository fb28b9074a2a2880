"""Predictions of programs on texts that turn up as a model runs: run once per distinct text, and remembered."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from fitness.failures import FailureKind
from fitness.program import Program
from fitness.sandbox import Outcome, Sandbox
from fitness.scoring.contract import to_prediction
from fitness.text.view import Text

log = logging.getLogger("headscribe")

# A sandbox keeps every text it was given; a fresh one now and then keeps generation from filling the memory.
TEXTS_PER_SANDBOX = 512
# A program that never ends costs its whole time limit on every text; so often, and no more.
TIMEOUTS_TO_GIVE_UP = 5


class PredictionSource(Protocol):
    """Gives a program's prediction for each of several texts."""

    def __call__(self, program: Program, texts: Sequence[Text]) -> list[np.ndarray | None]:
        """(n, n) float32 for each text, rows sum to 1, or None where the program fails on it."""


class SandboxPredictions:
    """A `PredictionSource` that runs programs in a sandbox.

    Attributes:
        failures: program id -> number of distinct texts on which it failed.

    Args:
        make_sandbox: gives an empty sandbox; called again after some hundred texts.
        causal: whether the model is causal.
        max_bytes: the most memory that remembered predictions may take.
    """

    def __init__(self, make_sandbox: Callable[[], Sandbox], *, causal: bool, max_bytes: int = 1_000_000_000) -> None:
        self.failures: Counter[str] = Counter()
        self._timeouts: Counter[str] = Counter()
        self._make_sandbox = make_sandbox
        self._causal = causal
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[str, bytes], np.ndarray | None] = OrderedDict()
        self._sandbox: Sandbox | None = None
        self._indices: dict[bytes, int] = {}

    def __enter__(self) -> SandboxPredictions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sandbox."""
        if self._sandbox is not None:
            self._sandbox.close()
        self._sandbox = None
        self._indices.clear()

    def __call__(self, program: Program, texts: Sequence[Text]) -> list[np.ndarray | None]:
        """(n, n) float32 predictions for each text, or None where the program fails on it."""
        missing = list({text_key(t): t for t in texts if (program.id, text_key(t)) not in self._known}.values())
        results = dict(zip(map(text_key, missing), self._run(program, missing), strict=True))
        for key, prediction in results.items():
            self._remember((program.id, key), prediction)
        found = []
        for text in texts:
            key = text_key(text)
            found.append(results[key] if key in results else self._known[program.id, key])
        return found

    def _remember(self, key: tuple[str, bytes], prediction: np.ndarray | None) -> None:
        self._known[key] = prediction
        self._bytes += 0 if prediction is None else prediction.nbytes
        while self._bytes > self._max_bytes and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= 0 if oldest is None else oldest.nbytes

    def _run(self, program: Program, texts: Sequence[Text]) -> list[np.ndarray | None]:
        if not texts:
            return []
        if self._timeouts[program.id] >= TIMEOUTS_TO_GIVE_UP:
            self.failures[program.id] += len(texts)
            return [None] * len(texts)
        outcome = self._outcome(program, texts)
        if outcome.ok:
            return [to_prediction(weights, causal=self._causal) for weights in outcome.weights]
        if len(texts) > 1:
            # It failed on one of them; the others shall not suffer for it.
            return [self._run(program, [text])[0] for text in texts]
        if outcome.failure is FailureKind.INTERNAL:
            raise RuntimeError(f"the sandbox failed: {outcome.message}")
        if program.id not in self.failures:
            log.warning(
                "program %s fails on the text %r (%s: %s); there its heads keep their own attention",
                program.id,
                texts[0].string[:40],
                outcome.kind,
                outcome.message,
            )
        self.failures[program.id] += 1
        self._timeouts[program.id] += outcome.failure is FailureKind.TIMEOUT
        if self._timeouts[program.id] == TIMEOUTS_TO_GIVE_UP:
            log.warning(
                "program %s exceeded its time on %d texts; it is not run again", program.id, TIMEOUTS_TO_GIVE_UP
            )
        return [None]

    def _outcome(self, program: Program, texts: Sequence[Text]) -> Outcome:
        if self._sandbox is not None and len(self._indices) + len(texts) > TEXTS_PER_SANDBOX:
            self.close()
        if self._sandbox is None:
            self._sandbox = self._make_sandbox()
        new = [text for text in texts if text_key(text) not in self._indices]
        if new:
            self._indices.update(zip(map(text_key, new), self._sandbox.add(new), strict=True))
        return self._sandbox.run(program, [self._indices[text_key(text)] for text in texts])


def text_key(text: Text) -> bytes:
    """What tells texts of one model apart: their token ids."""
    return text.ids.tobytes()
