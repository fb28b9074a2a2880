"""What a run has found so far: its programs, and the grid of elites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from archives.grid import Grid
from fitness.program import Program
from headscribe.heads import HeadName, label_of
from headscribe.tables import data_frame, html_table

if TYPE_CHECKING:
    import pandas

    from evolve.store.records import ProgramRecord


@dataclass(frozen=True)
class FoundProgram:
    """One program that a campaign evaluated.

    Attributes:
        number: order of entry, from 0.
        program: the program.
        operator: what proposed it; "baseline" for those that a campaign starts from.
        outcome: "ok", or the kind of its failure.
        message: what went wrong, empty where ok.
        iou: (heads,) float32 mean held-out IoU in [0, 1]; None where it failed.
        descriptors: how it behaves, by name, in [0, 1]; empty where it failed.
    """

    number: int
    program: Program
    operator: str
    outcome: str
    message: str
    iou: np.ndarray | None = field(repr=False)
    descriptors: dict[str, float]

    @property
    def mean_iou(self) -> float | None:
        """Mean held-out IoU over heads."""
        return None if self.iou is None else float(self.iou.mean(dtype=np.float64))

    def _repr_html_(self) -> str:
        row = [self.operator, self.outcome, self.mean_iou, self.message]
        return html_table(f"program {self.number}", ["operator", "outcome", "mean held-out IoU", "message"], [row]) + (
            self.program._repr_html_()
        )


class Programs(Sequence[FoundProgram]):
    """All programs that a campaign has evaluated, in order of entry; those that failed are among them.

    Attributes:
        heads: names of the heads, in the order of `FoundProgram.iou`.

    Example:
        >>> run.programs[0].operator
        'baseline'
        >>> len(run.programs) == run.programs[-1].number + 1
        True
    """

    def __init__(
        self, records: Sequence[ProgramRecord], operators: dict[int, str], heads: Sequence[str], names: Sequence[str]
    ) -> None:
        self.heads = tuple(heads)
        self._found = tuple(
            FoundProgram(
                record.number,
                record.program(),
                operators.get(record.number, "baseline"),
                str(record.evaluation.kind),
                record.evaluation.message,
                record.iou,
                {}
                if record.evaluation.descriptors is None
                else dict(zip(names, map(float, record.evaluation.descriptors), strict=True)),
            )
            for record in records
        )

    @overload
    def __getitem__(self, number: int) -> FoundProgram: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[FoundProgram]: ...

    def __getitem__(self, number: int | slice) -> FoundProgram | Sequence[FoundProgram]:
        return self._found[number]

    def __len__(self) -> int:
        return len(self._found)

    def to_frame(self) -> pandas.DataFrame:
        """A data frame, one row per program; `mean_iou` is held-out, in [0, 1].

        Raises:
            UserError: where pandas is not installed.
        """
        names = list(dict.fromkeys(name for found in self for name in found.descriptors))
        columns = {name: [getattr(found, name) for found in self] for name in ("operator", "outcome", "mean_iou")}
        columns |= {name: [found.descriptors.get(name) for found in self] for name in names}
        columns |= {"message": [found.message for found in self], "source": [found.program.source for found in self]}
        return data_frame(columns, [found.number for found in self])

    def __repr__(self) -> str:
        return f"Programs({len(self)} evaluated, {sum(found.iou is None for found in self)} failed)"

    def _repr_html_(self) -> str:
        best = sorted(self, key=lambda found: -(found.mean_iou or 0.0))
        rows = [[f.number, f.operator, f.outcome, f.mean_iou, f.program.docstring] for f in best]
        return html_table(repr(self), ["program", "operator", "outcome", "mean held-out IoU", "says"], rows)


@dataclass(frozen=True)
class GridStats:
    """Occupancy and quality of the grid, averaged over heads, in the words of pyribs.

    Attributes:
        num_elites: elites per head.
        coverage: share of the cells that are occupied, in [0, 1].
        qd_score: IoU summed over a head's elites.
        norm_qd_score: the same over the number of cells, in [0, 1].
        obj_max: the highest IoU of any head.
        obj_mean: mean IoU of the elites.
    """

    num_elites: float
    coverage: float
    qd_score: float
    norm_qd_score: float
    obj_max: float
    obj_mean: float


@dataclass(frozen=True)
class Elite:
    """The fittest program of one cell for one head.

    Attributes:
        cell: for each descriptor the bin, from 0.
        iou: its held-out IoU for the head, in [0, 1].
        found: the program.
    """

    cell: dict[str, int]
    iou: float
    found: FoundProgram


class EliteGrid:
    """The grid of a run: for each head the fittest program of each cell (MAP-Elites, Mouret and Clune 2015).

    Indexed by head it gives the head's elites, best first.

    Args:
        grid: as the search left it.
        programs: at least those in it.

    Attributes:
        heads: names of the heads.
        axes: descriptor and number of bins of each axis.

    Example:
        >>> run.grid["L2H1"][0].iou == max(elite.iou for elite in run.grid["L2H1"])
        True
        >>> 0 < run.grid.stats.coverage <= 1
        True
    """

    def __init__(self, grid: Grid, programs: Programs) -> None:
        self.heads = programs.heads
        self.axes = grid.axes
        self._programs = programs
        self._grid = grid

    @property
    def stats(self) -> GridStats:
        """Occupancy and quality."""
        return GridStats(**self._grid.stats())

    def __getitem__(self, head: HeadName) -> list[Elite]:
        column = self.heads.index(label_of(head, self.heads))
        cells = np.flatnonzero(self._grid.elite[:, column] >= 0)
        cells = cells[np.argsort(-self._grid.best_iou[cells, column], kind="stable")]
        return [self._elite(int(cell), column) for cell in cells]

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def to_frame(self) -> pandas.DataFrame:
        """A data frame, one row per head and elite; IoU are held-out, in [0, 1].

        Raises:
            UserError: where pandas is not installed.
        """
        rows = [(head, elite) for head in self.heads for elite in self[head]]
        columns: dict[str, list[Any]] = {"head": [head for head, _ in rows], "iou": [elite.iou for _, elite in rows]}
        columns |= {axis.name: [elite.cell[axis.name] for _, elite in rows] for axis in self.axes}
        columns |= {"program": [elite.found.number for _, elite in rows]}
        return data_frame(columns)

    def __repr__(self) -> str:
        axes = " x ".join(f"{axis.name} {axis.bins}" for axis in self.axes)
        return f"EliteGrid({axes}, {len(self.heads)} heads: coverage {self.stats.coverage:.3f})"

    def _repr_html_(self) -> str:
        stats = vars(self.stats)
        return html_table(repr(self), list(stats), [list(stats.values())])

    def _elite(self, cell: int, column: int) -> Elite:
        bins = np.unravel_index(cell, [axis.bins for axis in self.axes])
        found = self._programs[int(self._grid.elite[cell, column])]
        where = {axis.name: int(index) for axis, index in zip(self.axes, bins, strict=True)}
        return Elite(where, float(self._grid.best_iou[cell, column]), found)
