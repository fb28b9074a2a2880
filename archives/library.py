"""The library: the few programs that a score table is reduced to, who explains what, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archives.bootstrap import Estimate
from archives.gain import Gain
from archives.reduce import Reduction
from archives.table import Missing
from fitness.program import Program


@dataclass(frozen=True)
class SplitScores:
    """How good the assignment is on one split. A head without a program counts 0.

    Attributes:
        mean: mean IoU over heads.
        median: median over heads.
        worst: the least of all heads.
        within_epsilon: heads whose program is within epsilon of their best program's IoU; None where those were not
            scored.
        under_low: heads with an IoU under 0.4.
        full_mean: mean IoU where each head has the best program of the whole table; None where that was not scored.
        single_mean: mean IoU of the best single program over the heads that it was scored on; None where not scored.
        excess: mean over those heads of the library's IoU less the single program's.
    """

    mean: Estimate
    median: float
    worst: float
    within_epsilon: int | None
    under_low: int
    full_mean: Estimate | None
    single_mean: Estimate | None
    excess: Estimate | None


@dataclass(frozen=True)
class HeadLine:
    """One head of the assignment; IoU are None where not scored.

    Attributes:
        label: such as "L5H1".
        program: id of its program, or None.
        iou_held_out: its program's held-out IoU.
        iou_test: its program's test IoU.
        best: id of the best program of the whole table on held-out scores, or None.
        best_iou_held_out: that program's held-out IoU.
        best_iou_test: that program's test IoU.
        covered: its program meets the criterion on held-out scores.
        iou_test_by_text: its program's IoU on each test text, NaN where not scored; empty where unknown.
    """

    label: str
    program: str | None
    iou_held_out: float | None
    iou_test: Estimate | None
    best: str | None
    best_iou_held_out: float | None
    best_iou_test: float | None
    covered: bool
    iou_test_by_text: tuple[float, ...] = ()


@dataclass(frozen=True)
class Member:
    """One program of the library.

    Attributes:
        id: the program's id or, in a table without sources, its name.
        program: its source, or None.
        cost: its cost: characters of the normalised source.
        signature: equal for programs of equal predictions; empty where unknown.
        descriptors: by name, in [0, 1].
        heads: names of its heads, those of highest held-out IoU first.
        iou_held_out: mean over its heads.
        iou_test: the same on test; None where not scored.
        losses: by head, what the head would lose if the library had to do without this program: its IoU less that of
            the next best program of the library, on test where that is scored, else held-out.
        substitute: id of the program outside the library that would lose least in its place, or None.
        substitute_loss: mean held-out IoU that its heads would lose then; None without a substitute.
    """

    id: str
    program: Program | None
    cost: float
    signature: str
    descriptors: Mapping[str, float]
    heads: tuple[str, ...]
    iou_held_out: float
    iou_test: Estimate | None
    losses: Mapping[str, float]
    substitute: str | None
    substitute_loss: float | None

    @property
    def lines(self) -> int:
        """Lines of the normalised source, 0 without a source."""
        return 0 if self.program is None else len(self.program.normalised.splitlines())


@dataclass(frozen=True)
class ReducedLibrary:
    """The chosen programs, who explains what, and what that is worth.

    Attributes:
        reduction: how the programs were chosen.
        members: the programs, those of most heads first.
        heads: the assignment, in the order of the table.
        held_out: scores on the split that the choice was made on.
        test: scores on the split that the choice did not see, or None where there is none.
        single: id of the best single program, or None.
        missing: what was not scored.
        programs: number of programs to choose from, before duplicates were dropped.
        reference: what it is worth on test beyond what explains heads without it; None where that is not known.
        baseline: the same beyond the best simple baseline of each head.
        test_texts: names of the test texts, equal for equal texts; empty where unknown.
        classes: class of each program by id, see `archives.classes`; empty where not measured.
        provenance: the model, texts, settings and software that it comes from; empty where unknown.
    """

    reduction: Reduction
    members: tuple[Member, ...]
    heads: tuple[HeadLine, ...]
    held_out: SplitScores
    test: SplitScores | None
    single: str | None
    missing: Missing
    programs: int
    reference: Gain | None = None
    baseline: Gain | None = None
    test_texts: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """Lines of all normalised sources together."""
        return sum(member.lines for member in self.members)
