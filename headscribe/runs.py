"""A run as people look at it: what its campaign was asked, and what is on the disk by now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.config import Config
from evolve.replay import replay
from evolve.results.references import run_tables
from evolve.session import opened_for_reading
from evolve.store import Store
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.references import KINDS
from headscribe.attention import RunAttention
from headscribe.found import EliteGrid, Programs
from headscribe.heads import HeadName, label_of
from headscribe.library import Library, reduce
from headscribe.scores import Scorer, Scores, Split
from headscribe.shown import ShownAttention, show_head
from headscribe.tables import html_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from fitness.models.attention import Attention
    from fitness.scoring.worker import WorkerSpec


class Run:
    """One run directory: what its campaign was asked, what it has found, and the model that it is about.

    It is read anew at every access, so that it may be looked at while its campaign goes on. Only scoring holds
    something open, a sandbox; `close`, or a `with` block, ends it.

    Args:
        path: the run directory.

    Attributes:
        path: the run directory.
        config: what the campaign was asked.

    Raises:
        UserError: where the directory holds no run.
    """

    path: Path
    config: Config

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._dir = RunDir(self.path)
        self.config = self._dir.load_config()
        self._lock = threading.Lock()
        self._programs: Programs | None = None
        self._scorer: Scorer | None = None

    @property
    def finished(self) -> bool:
        """Whether the campaign has come to an end, and its library is there."""
        with self._store() as store:
            result = store.meta("result")
            return bool(result) and result["programs_evaluated"] == store.next_number()

    @property
    def result(self) -> dict[str, Any]:
        """The numbers of a finished run under the keys of `headscribe run --json`.

        Raises:
            UserError: where it is not finished.
        """
        with self._store() as store:
            found = store.meta("result")
        if not found:
            raise UserError(f"{self.path} is not finished; run it on, or look at programs, grid and reduce()")
        return dict(found)

    @property
    def library(self) -> Library:
        """The library of a finished run.

        Raises:
            UserError: where there is none yet; `reduce` makes one of what was found so far.

        Example:
            >>> print(run.library["L0H0"].program)  # doctest: +ELLIPSIS
            def program(text):
            ...
        """
        if not self._dir.file("library.json").is_file():
            raise UserError(f"{self.path} has no library yet; reduce() makes one of what was found so far")
        return Library.read(self.path)

    @property
    def attention(self) -> RunAttention:
        """The model's attention on the fit and held-out texts, by head and text: `run.attention["L2H1", 0]`."""
        attention, spec = self._captured
        return RunAttention(attention, spec.fit, spec.held_out)

    @property
    def programs(self) -> Programs:
        """All programs evaluated so far, those that failed among them."""
        with self._lock, self._store() as store:
            if self._programs is None or len(self._programs) != store.next_number():
                operators = {p.number: p.operator for p in store.all_proposals() if p.number is not None}
                names = store.meta("fingerprint")["search.descriptors"]
                self._programs = Programs(list(store.all_programs()), operators, store.meta("labels"), names)
            return self._programs

    @property
    def grid(self) -> EliteGrid:
        """The grid of elites as of now; `run.grid.stats` in the words of pyribs."""
        with self._store() as store:
            grid = replay(store, self.config).grid
        return EliteGrid(grid, self.programs)

    def score(self, program: str | Program, split: Split = "held_out") -> Scores:
        r"""Scores a program on every head; the run does not change.

        Args:
            program: source of a function `program(text)`, or a `Program`.
            split: "held_out", which scores are compared on, or "fit"; test texts are for reports.

        Returns:
            (heads, texts) IoU in [0, 1] with the heads' names.

        Raises:
            ProgramError: where it is not a program, or fails on a text.

        Example:
            >>> run.score("def program(text):\n    return 1.0 * (text.distance == 1)").values.shape
            (32, 5)
        """
        return self._scoring().score(program, split)

    def predict(self, program: str | Program, text: int = 0) -> np.ndarray:
        r"""What a program predicts on one text.

        Args:
            program: source of a function `program(text)`, or a `Program`.
            text: number of the text, as `attention` counts them.

        Returns:
            (n, n) float32: masked where the model is causal, rows sum to 1 or are empty.

        Raises:
            ProgramError: where it is not a program, or fails on a text.
            UserError: for a text that is not there.

        Example:
            >>> rows = run.predict("def program(text):\n    return text.distance == 1").sum(axis=1)
            >>> sorted(set(rows.tolist()))
            [1.0]
        """
        attention = self.attention
        if not 0 <= text < len(attention):
            raise UserError(f"there is no text {text}; the fit and held-out texts are 0 to {len(attention) - 1}")
        if text < attention.held_out:
            return self._scoring().predict(program, "fit")[text]
        return self._scoring().predict(program, "held_out")[text - attention.held_out]

    def reduce(
        self,
        *,
        epsilon: float | None = None,
        threshold: float | None = None,
        size: int | None = None,
        exact: bool = False,
        test: bool = False,
    ) -> Library:
        """Reduces what was found so far to a library, chosen on held-out scores; no library is written.

        Covers are of the fewest programs found; a given size is a facility location problem.

        Args:
            epsilon: cover each head within this of its best IoU; the run's own where nothing is given.
            threshold: cover heads at this IoU or more.
            size: the best mean with this many programs.
            exact: ask a solver for the optimum, or a bound.
            test: read the test texts too; each reading is written down in the run. They are for the one library that
                is reported: whoever compares libraries by them and then chooses has no test texts left.

        Returns:
            The library; without `test`, its numbers are held-out alone.

        Raises:
            UserError: for more than one criterion, one out of range, and where nothing was evaluated yet.

        Example:
            >>> run.reduce(size=3).size
            3
        """
        return reduce(self.path, epsilon=epsilon, threshold=threshold, size=size, exact=exact, test=test)

    def load_model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model that the run is about, with its tokenizer.

        Returns:
            Model in evaluation mode, and tokenizer.

        Raises:
            UserError: where it cannot be loaded.

        Example:
            >>> model, tokenizer = run.load_model()
            >>> model.config.num_hidden_layers
            4
        """
        from fitness.models.loading import load_model

        return load_model(self.config.target(), attention="sdpa")

    def show(self, head: HeadName, text: int = 0, program: str | Program | None = None) -> ShownAttention:
        """Shows a head's attention beside a program's prediction, with the tokens on the axes.

        In a notebook it is a page whose weights the pointer reads, with the difference of the two and, where the run
        has finished, the head's reference.

        Args:
            head: "L2H1" or (2, 1).
            text: number of the text, as `attention` counts them.
            program: what to show beside it; the program of the library by default.

        Returns:
            What a notebook shows as a page; `figure()` is a matplotlib figure of it, `save` writes the page.

        Raises:
            UserError: where the library has no program for the head.
            ProgramError: where the program is not one, or fails on the text.

        Example:
            >>> list(run.show("L2H1").matrices)
            ['attention', 'prediction', 'difference', 'reference']
        """
        attention = self.attention
        label = label_of(head, attention.heads)
        chosen = program if program is not None else self.library[label].program
        if chosen is None:
            raise UserError(f"the library has no program for {label}; give one with program=...")
        matrix, tokens = attention[label, text], attention.texts[text].tokens
        return show_head(label, text, tokens, matrix, self.predict(chosen, text), self._reference(label, text))

    def close(self) -> None:
        """Ends the sandbox that scoring has started, if any; scoring again starts another."""
        with self._lock:
            if self._scorer is not None:
                self._scorer.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run({self._facts()})"

    def _repr_html_(self) -> str:
        with self._store() as store:
            last = store.last_summary()
        columns = ["programs", "failed", "mean held-out IoU", "excess", "coverage", "seconds"]
        row = [last.programs, last.failed, last.mean_iou, last.excess, last.coverage, last.seconds] if last else []
        return html_table(f"Run {self._facts()}", columns, [row])

    def _facts(self) -> str:
        with self._store() as store:
            last = store.last_summary()
        facts = [f"{self.path}: {self.config.model}, {last.programs if last else 0} programs"]
        facts += [f"mean IoU {last.mean_iou:.3f} held-out"] if last else []
        if self.finished:
            result = self.result
            facts += [f"library of {result['library_size']}, {result['mean_iou_test']:.3f} on test"]
        else:
            facts += ["not finished"]
        return ", ".join(facts)

    @cached_property
    def _captured(self) -> tuple[Attention, WorkerSpec]:
        with opened_for_reading(self._dir) as session:
            return session.attention, session.spec

    def _reference(self, label: str, text: int) -> np.ndarray | None:
        """(n, n) what a head's reference predicts on a text; None before the run has finished."""
        kind = self.library[label].numbers.get("reference") if self._dir.file("library.json").is_file() else None
        if kind in KINDS:
            attention, spec = self._captured
            return run_tables(spec).predict(kind, attention.labels.index(label), attention.texts[text].n)
        simple = {name: program for name, program in baselines().items() if kind in (name, program.id)}
        return self.predict(next(iter(simple.values())), text) if simple else None

    def _scoring(self) -> Scorer:
        with self._lock:
            if self._scorer is None:
                self._scorer = Scorer(*self._captured)
            return self._scorer

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = self._dir.open_store()
        try:
            yield store
        finally:
            store.close()
