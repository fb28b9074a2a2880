"""What an operator is asked, what it may look at, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from fitness.failures import FailureKind
from fitness.program import Program
from fitness.scoring.fit_view import FitView


@dataclass(frozen=True)
class Failure:
    """How a program or a reply failed: message, 1-based line and index of the text, if known."""

    kind: FailureKind
    message: str
    line: int | None = None
    text: int | None = None


@dataclass(frozen=True)
class Parent:
    """A program that an operator may rewrite.

    Attributes:
        program: the program.
        iou: its held-out IoU for the head asked about, in [0, 1]; NaN where it failed.
        cell: its cell in the grid, or -1.
        failure: why it failed, for repair.
    """

    program: Program
    iou: float
    cell: int = -1
    failure: Failure | None = None


@dataclass(frozen=True)
class Request:
    """One slot of one step.

    Attributes:
        head: flat index of the head to improve on.
        label: its name, such as "L5H1".
        parents: as many as the operator's `n_parents`, best first.
        seed: entropy for `numpy.random.default_rng`, derived from the campaign's seed, the step and the slot.
        common_errors: the campaign's most common failures so far, one line each.
    """

    head: int
    label: str
    parents: tuple[Parent, ...]
    seed: tuple[int, ...]
    common_errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A new program, with a short note on how it came about."""

    program: Program
    note: str = ""

    @property
    def source(self) -> str:
        """Its source, as it was written."""
        return self.program.source


@runtime_checkable
class Operator(Protocol):
    """An offline operator: trusted code that runs in a worker process and is given the fit split alone.

    The view is the boundary, not the process: a worker also holds the attention of the held-out and test splits, which
    it scores programs against, and inherits the environment of the campaign. It does not hold the database.
    """

    name: str
    n_parents: int

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """New programs for a request; an empty list where there is nothing to propose."""
        ...


@runtime_checkable
class PromptOperator(Protocol):
    """An LLM operator: it fills in a template; the main process makes the call and reads the reply."""

    name: str
    n_parents: int

    def prompt(self, request: Request, view: FitView) -> dict[str, Any]:
        """Plain values for the placeholders of `configs/prompts/<name>.md`."""
        ...
