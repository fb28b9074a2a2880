"""What the store keeps, and its database rows: a program evaluated, a candidate proposed, the summary of a step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from fitness.failures import FailureKind
from fitness.program import Program
from fitness.scoring.iou import fitness
from fitness.scoring.worker import Evaluation

PROGRAM_COLUMNS = (
    "number, id, source, length, step, kind, message, line, text, degenerate, signature, cpu_seconds, "
    "masked_mass, empty_rows, descriptors, iou"
)


# What became of a candidate: a new program, a known one, or how there is none.
ProposalOutcome = FailureKind | Literal["new", "known"]


# Candidates from here on are those before, of language models, with their numbers fitted.
FITTED = 1000


@dataclass(frozen=True)
class ProposalRecord:
    """One candidate of one slot, as the table `proposals` keeps it."""

    step: int
    slot: int
    candidate: int
    operator: str
    head: int
    parents: tuple[int, ...]
    outcome: ProposalOutcome
    message: str = ""
    number: int | None = None
    gain: float = 0.0
    call: str | None = None
    note: str = ""
    model: str | None = None
    prompt: str | None = None
    template: str | None = None
    round: int = 0

    @property
    def fitted(self) -> bool:
        """Whether it is another candidate of its slot, its only parent, with its numbers fitted."""
        return self.candidate >= FITTED


@dataclass(frozen=True)
class Reading:
    """One reading of the test split, as the table `test_reads` keeps it.

    Attributes:
        number: order of reading, from 1.
        time: UTC, ISO 8601.
        reader: the command that read.
        programs: programs that the campaign had evaluated by then.
        scored: programs whose test scores were read.
    """

    number: int
    time: str
    reader: str
    programs: int
    scored: int


@dataclass(frozen=True)
class ProgramRecord:
    """One evaluated program, as the table `programs` keeps it.

    Attributes:
        number: order of entry, from 0.
        id: the program's identity.
        source: as it was written.
        length: characters of the normalised source.
        step: when it entered.
        evaluation: how it ran; `scores`, by text, are not kept.
        iou: (heads,) float32 fitness, which is mean held-out IoU or that of the worst domain; None where it failed.
    """

    number: int
    id: str
    source: str
    length: int
    step: int
    evaluation: Evaluation
    iou: np.ndarray | None

    @classmethod
    def of(
        cls,
        number: int,
        program: Program,
        step: int,
        evaluation: Evaluation,
        fitness: Callable[[np.ndarray], np.ndarray] = fitness,
    ) -> ProgramRecord:
        """The record of a program just evaluated; `fitness` is of its (heads, texts) scores."""
        iou = None if evaluation.scores is None else fitness(evaluation.scores)
        return cls(number, program.id, program.source, program.length, step, evaluation, iou)

    @property
    def ok(self) -> bool:
        """Whether it ran."""
        return self.iou is not None

    def program(self) -> Program:
        """The program itself."""
        return Program(self.source, self.id)


@dataclass(frozen=True)
class CallCost:
    """What an LLM call that was answered cost."""

    completion_tokens: int
    cost_usd: float


@dataclass(frozen=True)
class StepSummary:
    """How a search stood when a step was committed.

    Attributes:
        step: its number, from 0.
        programs: programs evaluated so far.
        failed: those of them that failed.
        mean_iou: mean over heads of the best held-out IoU.
        best_iou: the highest held-out IoU of any head.
        excess: mean best IoU minus the mean IoU of the best single program.
        coverage: share of the grid's cells that are occupied, in [0, 1].
        num_elites: elites per head.
        qd_score: IoU summed over a head's elites, mean over heads.
        clipped: descriptors outside [0, 1] so far.
        new: programs that the step evaluated.
        opened_cells: those of them that opened a cell of the grid for some head.
        improved_cells: those that improved an elite and opened no cell.
        not_added: those that ran and did neither.
        known: candidates that were programs already.
        gain: how much the step raised the heads' best IoU, summed over heads.
        seconds: wall time of all steps up to this one.
    """

    step: int
    programs: int
    failed: int
    mean_iou: float
    best_iou: float
    excess: float
    coverage: float
    num_elites: float
    qd_score: float
    clipped: int
    new: int
    opened_cells: int
    improved_cells: int
    not_added: int
    known: int
    gain: float
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values under the names of the attributes, rounded."""
        return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StepSummary:
        """Reads what `as_json` gave."""
        names = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in names})


def program_row(record: ProgramRecord) -> tuple[Any, ...]:
    """Values by column of the table `programs`."""
    result = record.evaluation
    return (
        record.number,
        record.id,
        record.source,
        record.length,
        record.step,
        result.kind,
        result.message,
        result.line,
        result.text,
        result.degenerate,
        result.signature,
        result.cpu_seconds,
        result.masked_mass,
        result.empty_rows,
        None if result.descriptors is None else to_blob(result.descriptors),
        None if record.iou is None else to_blob(record.iou),
    )


def program_of(row: Sequence[Any]) -> ProgramRecord:
    """The record of a row with `PROGRAM_COLUMNS`."""
    number, identity, source, length, step, kind, message, line, text, degenerate, signature, cpu, *rest = row
    masked_mass, empty_rows, descriptors, iou = rest
    evaluation = Evaluation(
        None if kind == "ok" else FailureKind(kind),
        message,
        line,
        text,
        descriptors=None if descriptors is None else from_blob(descriptors),
        signature=signature,
        degenerate=degenerate,
        cpu_seconds=cpu,
        masked_mass=masked_mass,
        empty_rows=empty_rows,
    )
    return ProgramRecord(number, identity, source, length, step, evaluation, None if iou is None else from_blob(iou))


def proposal_of(row: Sequence[Any]) -> ProposalRecord:
    """The record of a row of the table `proposals`."""
    step, slot, candidate, operator, head, parents, outcome, *rest = row
    kind: ProposalOutcome = outcome if outcome in ("new", "known") else FailureKind(outcome)
    return ProposalRecord(step, slot, candidate, operator, head, tuple(json.loads(parents)), kind, *rest)


def proposal_row(record: ProposalRecord) -> tuple[Any, ...]:
    """Values by column of the table `proposals`."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    values |= {"parents": json.dumps(record.parents), "outcome": str(record.outcome)}
    return tuple(values.values())


def to_blob(values: np.ndarray) -> bytes:
    """Float32 values as the database keeps them."""
    return values.astype("<f4").tobytes()


def from_blob(blob: bytes) -> np.ndarray:
    """What `to_blob` wrote, as a float32 array."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32)
