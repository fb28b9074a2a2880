"""What one worker process holds: attention of the splits it may read, and a sandbox that holds their texts alone."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from fitness.failures import FailureKind
from fitness.models.attention import open_attention
from fitness.own import Own
from fitness.program import Program
from fitness.sandbox import Limits, Outcome, Sandbox
from fitness.scoring.agreement import same_weights
from fitness.scoring.contract import to_predictions, waste
from fitness.scoring.descriptors import describe
from fitness.scoring.fit_view import FitView
from fitness.scoring.growth import may_grow
from fitness.scoring.held_out_words import own_words
from fitness.scoring.iou import Across, fitness, iou_by_text
from fitness.scoring.packing import Packing
from fitness.scoring.parent_death import end_with_parent
from fitness.scoring.purity import IMPURE, SecondServer, marks, sample
from fitness.scoring.threads import one_thread_for_good
from fitness.text.corpus import domain_indices
from fitness.text.view import Text

SplitName = Literal["fit", "held_out", "test"]

# Blocks up to this size are widened to float32 once, instead of at every program.
WIDEN_BYTES = 400_000_000
REMEMBERED_PREDICTIONS = 512
# Attention is read from memory once for so many programs; their predictions on one text fit in a core's cache.
PROGRAMS_AT_A_TIME = 8


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs in order to set itself up.

    Attributes:
        attention: folder of the attention cache, whose texts are those of fit, held_out and test in this order.
        fit: number of texts in the fit split.
        held_out: number of texts in the held-out split.
        test: number of texts in the test split.
        descriptors: names of the descriptors to measure.
        sandbox: "strict" or "degraded".
        limits: CPU time and memory of one program.
        own: operators and descriptors that were given as objects.
        across: how fitness sums up the domains.
        quotes: whether messages of failures may quote the texts: only where no operator reads them.
        domains: names of the domains that the texts of every split take turns of.
    """

    attention: str
    fit: int
    held_out: int
    test: int
    descriptors: tuple[str, ...] = ()
    sandbox: Literal["strict", "degraded"] = "strict"
    limits: Limits = field(default_factory=Limits)
    own: tuple[Own, ...] = ()
    domains: tuple[str, ...] = ("texts",)
    across: Across = "mean"
    quotes: bool = False

    def domain_of(self, split: SplitName) -> np.ndarray:
        """(texts,) int64: index in `domains` of each text of a split."""
        return domain_indices(getattr(self, split), len(self.domains))

    def fitness(self, scores: np.ndarray) -> np.ndarray:
        """(heads,) float32 fitness of a program from its (heads, texts) IoU on held-out texts."""
        return fitness(scores, len(self.domains), self.across)


@dataclass(frozen=True)
class Evaluation:
    """What running one program on one split gave; a failure is a value too.

    Attributes:
        failure: how it failed, or None.
        message: what went wrong, printable, empty where ok.
        line: 1-based line of the failure, if known.
        text: index of the text within the split, if known.
        scores: (heads, texts) float32 IoU in [0, 1], or None where the program failed.
        descriptors: (descriptors,) float32, or None.
        signature: hash of the predictions, equal for programs that predict the same; empty where it failed.
        degenerate: why a program that ran says nothing ("all zeros"), or empty.
        masked_mass: share of its weight that lies on tokens the query cannot see, in [0, 1]; None where it failed.
        empty_rows: share of its rows that are empty after the mask, in [0, 1]; None where it failed.
        cpu_seconds: CPU time of the program itself.
    """

    failure: FailureKind | None = None
    message: str = ""
    line: int | None = None
    text: int | None = None
    scores: np.ndarray | None = None
    descriptors: np.ndarray | None = None
    signature: str = ""
    degenerate: str = ""
    masked_mass: float | None = None
    empty_rows: float | None = None
    cpu_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the program ran on every text."""
        return self.failure is None

    @property
    def kind(self) -> str:
        """The failure by name, "ok" where there is none."""
        return str(self.failure or "ok")


class Worker:
    """Runs and scores programs on one attention cache; trusted, and never shared between processes."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self._attention = open_attention(Path(spec.attention))
        self._sandbox = Sandbox([], mode=spec.sandbox, limits=spec.limits)
        self._indices: dict[str, list[int]] = {}
        self._remembered: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._blocks: dict[str, list[np.ndarray]] = {}
        self._sums: dict[str, np.ndarray] = {}
        self._packings: dict[str, Packing] = {}
        self._view: FitView | None = None
        self._second: dict[str, SecondServer] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends the sandbox."""
        self._sandbox.close()
        for server in self._second.values():
            server.close()

    def _range(self, split: SplitName) -> range:
        spec = self.spec
        begin = {"fit": 0, "held_out": spec.fit, "test": spec.fit + spec.held_out}[split]
        return range(begin, begin + {"fit": spec.fit, "held_out": spec.held_out, "test": spec.test}[split])

    def _load(self, split: SplitName) -> None:
        if split in self._blocks:
            return
        wanted = self._range(split)
        blocks = [self._attention.block(index) for index in wanted]
        if sum(block.size for block in blocks) * 4 <= WIDEN_BYTES:
            blocks = [np.asarray(block, dtype=np.float32) for block in blocks]
        self._indices[split] = self._sandbox.add([self._attention.texts[index] for index in wanted])
        self._sums[split] = np.stack([self._attention.sums(index) for index in wanted], axis=1)
        lengths = [self._attention.texts[index].n for index in wanted]
        self._packings[split] = Packing(lengths, causal=self._attention.causal)
        self._blocks[split] = blocks

    @property
    def causal(self) -> bool:
        """Whether the model is causal."""
        return self._attention.causal

    def texts(self, split: SplitName) -> tuple[Text, ...]:
        """The texts of a split."""
        return tuple(self._attention.texts[index] for index in self._range(split))

    def attention(self, split: SplitName) -> tuple[list[np.ndarray], np.ndarray]:
        """The heads' attention on each text of a split, (heads, packed), and the (heads, texts) sums of that."""
        self._load(split)
        return self._blocks[split], self._sums[split]

    def view(self) -> FitView:
        """What operators may see: the fit split."""
        if self._view is None:
            self._load("fit")
            self._view = FitView(
                [self._attention.texts[index] for index in self._range("fit")],
                self._blocks["fit"],
                self._attention.labels,
                causal=self._attention.causal,
                sandbox=self._sandbox,
                indices=self._indices["fit"],
                domains=len(self.spec.domains),
            )
        return self._view

    def run(self, program: Program, split: SplitName) -> Outcome:
        """Runs a program on a split's texts; weights as the program returned them."""
        with self._lock:
            self._load(split)
            return self._sandbox.run(program, self._indices[split])

    def evaluate(self, program: Program, split: SplitName, *, twice: bool = False) -> Evaluation:
        """Scores one program as `evaluate_all` does."""
        return self.evaluate_all([program], split, twice=twice)[0]

    def evaluate_all(self, programs: Sequence[Program], split: SplitName, *, twice: bool = False) -> list[Evaluation]:
        """Scores programs against every head on every text of a split, and measures their descriptors there.

        Args:
            programs: what to evaluate.
            split: the texts.
            twice: run each again in a second server, unless it is pure by construction; where that gives other weights,
                the program failed.

        Returns:
            One evaluation per program, in order; each is what it would be alone.
        """
        evaluations = []
        for begin in range(0, len(programs), PROGRAMS_AT_A_TIME):
            ran = [self._ran(program, split, twice) for program in programs[begin : begin + PROGRAMS_AT_A_TIME]]
            evaluations += self._scored(ran, split)
        return evaluations

    def _ran(self, program: Program, split: SplitName, twice: bool) -> tuple[Evaluation, np.ndarray | None]:
        """What running a program gave, without scores and descriptors, and its (N,) predictions where it is ok."""
        outcome = self.run(program, split)
        if not outcome.ok:
            # The index is one of the sandbox's; users count within the split.
            text = self._indices[split].index(outcome.text) if outcome.text in self._indices[split] else outcome.text
            said = outcome.message, outcome.line
            message, line = said if split == "fit" or self.spec.quotes else own_words(program, outcome)
            return Evaluation(outcome.failure, message, line, text, cpu_seconds=outcome.cpu_seconds), None
        if twice and not self._repeats(program, marks(outcome.weights, sample(program, len(outcome.weights))), split):
            return Evaluation(FailureKind.IMPURE, IMPURE, cpu_seconds=outcome.cpu_seconds), None
        packing = self._packings[split]
        visible = packing.pack(outcome.weights)
        predictions = to_predictions(visible, packing)
        lost = waste(outcome.weights, packing)
        evaluation = Evaluation(
            signature=signature_of(predictions),
            degenerate=lost.degenerate if visible.any() else "all zeros",
            masked_mass=lost.masked_mass,
            empty_rows=lost.empty_rows,
            cpu_seconds=outcome.cpu_seconds,
        )
        return evaluation, predictions

    def _scored(self, ran: Sequence[tuple[Evaluation, np.ndarray | None]], split: SplitName) -> list[Evaluation]:
        """Evaluations with scores and descriptors; attention is read once for all that are new."""
        packing = self._packings[split]
        # Equal to the last bit, or what a program scores would depend on what its worker has met before.
        keys = [None if p is None else split + hashlib.sha256(p.tobytes()).hexdigest() for _, p in ran]
        known = {key: self._remembered[key] for key in keys if key is not None and key in self._remembered}
        new = {key: p for key, (_, p) in zip(keys, ran, strict=True) if key and p is not None and key not in known}
        if new:
            scores = iou_by_text(list(new.values()), packing, self._blocks[split], self._sums[split])
            for place, (key, predictions) in enumerate(new.items()):
                described = describe(predictions, packing, self.spec.descriptors, self.spec.own)
                known[key] = self._remembered[key] = scores[place], described
        while len(self._remembered) > REMEMBERED_PREDICTIONS:
            self._remembered.popitem(last=False)
        return [
            replace(evaluation, scores=known[key][0], descriptors=known[key][1]) if key else evaluation
            for key, (evaluation, _) in zip(keys, ran, strict=True)
        ]

    def _repeats(self, program: Program, seen: Mapping[int, int], split: SplitName) -> bool:
        """Whether a program gives the same weights in a second server: those with these marks, by text of a split."""
        if not seen:
            return True
        with self._lock:
            if split not in self._second:
                texts = [self._attention.texts[index] for index in self._range(split)]
                self._second[split] = SecondServer(texts, mode=self.spec.sandbox, limits=self.spec.limits)
            return self._second[split].repeats(program, seen)

    def is_pure(self, program: Program, split: SplitName) -> bool:
        """Whether a program gives the same weights again on all texts of a split, in another order."""
        outcome = self.run(program, split)
        return outcome.ok and self._repeats(program, marks(outcome.weights, range(len(outcome.weights))), split)

    def agree(self, one: Program, other: Program, split: SplitName) -> bool:
        """Whether two programs give the same weights on all texts of a split, to the last bit."""
        return same_weights(self.run(one, split), self.run(other, split))


def signature_of(predictions: np.ndarray) -> str:
    """Hash of predictions to five decimals: equal where two programs predict the same on every text."""
    return hashlib.sha256(np.rint(predictions * np.float32(1e5)).astype(np.int32).tobytes()).hexdigest()[:16]


@lru_cache(maxsize=2)
def worker(spec: WorkerSpec) -> Worker:
    """This process's worker for a specification, set up at its first task.

    A process of a pool computes with one thread from then on; elsewhere the caller holds `one_thread`.
    """
    if multiprocessing.parent_process() is not None:
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C reaches the whole process group; the campaign decides when its workers stop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            end_with_parent()
        one_thread_for_good()
        may_grow()
    return Worker(spec)


def evaluate_chunk(
    spec: WorkerSpec, programs: list[Program], split: SplitName, twice: bool = False
) -> list[Evaluation]:
    """Task for a worker process: evaluates programs in order; `twice` has each run again, see `Worker.evaluate`."""
    return worker(spec).evaluate_all(programs, split, twice=twice)


def pure_chunk(spec: WorkerSpec, programs: list[Program]) -> list[bool]:
    """Task for a worker process: whether programs give the same weights again on all held-out texts."""
    return [worker(spec).is_pure(program, "held_out") for program in programs]


def agree_chunk(spec: WorkerSpec, pairs: list[tuple[Program, Program]]) -> list[bool]:
    """Task for a worker process: of pairs of programs, whether both give the same weights on all held-out texts."""
    return [worker(spec).agree(one, other, "held_out") for one, other in pairs]
