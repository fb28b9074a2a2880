"""A library as people use it: which program explains which head, and how well; library.json as an object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archives.compare import read_library_json
from archives.export import library_json
from archives.table import ScoreTable
from evolve.store.run_dir import write_atomically
from fitness.errors import UserError
from fitness.program import Program, ProgramError
from headscribe.heads import HeadName, label_of
from headscribe.scores import predict
from headscribe.tables import data_frame, html_table

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from headscribe.shown import ShownLibrary


@dataclass(frozen=True)
class Explanation:
    """What a library says of one head; IoU in [0, 1] are means over texts, None where not measured.

    Attributes:
        head: the head's name, such as "L5H1".
        program: its program, or None where the library has none for it or knows no sources.
        iou_held_out: IoU on the texts that the choice was made on.
        iou_test: IoU on the texts that the choice did not see.
        interval: 95 % bootstrap interval of `iou_test` over texts.
        numbers: all that library.json holds of the head.
    """

    head: str
    program: Program | None
    iou_held_out: float | None
    iou_test: float | None
    interval: tuple[float, float] | None
    numbers: Mapping[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        columns = ["held-out IoU", "test IoU", "95 % interval"]
        table = html_table(self.head, columns, [[self.iou_held_out, self.iou_test, _range(self.interval)]])
        return table + (self.program._repr_html_() if self.program else "")


@dataclass(frozen=True)
class LibraryProgram:
    """One program of a library; IoU in [0, 1] are means over its heads and texts, None where not measured.

    Attributes:
        name: a readable name, that of its function in library.py.
        program: the program, or None where only its scores are known.
        heads: names of its heads, those of highest held-out IoU first.
        iou_held_out: IoU on the texts that the choice was made on.
        iou_test: IoU on the texts that the choice did not see.
        interval: 95 % bootstrap interval of `iou_test` over texts.
        numbers: all that library.json holds of the program.
    """

    name: str
    program: Program | None
    heads: tuple[str, ...]
    iou_held_out: float | None
    iou_test: float | None
    interval: tuple[float, float] | None
    numbers: Mapping[str, Any] = field(repr=False)

    @property
    def says(self) -> str:
        """What the program says of itself: its docstring."""
        return self.program.docstring if self.program else ""

    def _repr_html_(self) -> str:
        columns = ["heads", "held-out IoU", "test IoU", "95 % interval"]
        row = [", ".join(self.heads), self.iou_held_out, self.iou_test, _range(self.interval)]
        return html_table(self.name, columns, [row]) + (self.program._repr_html_() if self.program else "")


class Library:
    """The few programs that heads are explained by, with the assignment of heads to programs.

    Reads like a mapping from heads to an `Explanation` each. Two libraries are equal where their library.json are.

    Args:
        contents: what library.json holds, see docs/library.md.

    Raises:
        UserError: where a source is not a program.

    Example:
        >>> library = run.library
        >>> library["L2H1"].program.id == library[2, 1].program.id
        True
        >>> Library.read(run.path / "library.json") == library
        True
    """

    def __init__(self, contents: Mapping[str, Any]) -> None:
        self._contents = dict(contents)

    @classmethod
    def read(cls, path: str | Path) -> Library:
        """Reads a library.json.

        Args:
            path: the file, or a run directory that holds one.

        Raises:
            UserError: where there is none, or it is not one.
        """
        path = Path(path)
        return cls(read_library_json(path / "library.json" if path.is_dir() else path))

    def save(self, path: str | Path) -> None:
        """Writes a library.json that `read` gives back as this library.

        Args:
            path: the file; replaced as a whole.
        """
        text = json.dumps(self._contents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(Path(path), text)

    @property
    def numbers(self) -> dict[str, Any]:
        """All that library.json says of the library as a whole: means, intervals, criterion, bounds."""
        return {key: value for key, value in self._contents.items() if key not in ("programs", "assignment")}

    @property
    def size(self) -> int:
        """Number of programs."""
        return len(self._contents["programs"])

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of all heads, in the model's order."""
        return tuple(self._contents["assignment"])

    @cached_property
    def programs(self) -> tuple[LibraryProgram, ...]:
        """The programs, those of most heads first."""
        return tuple(
            LibraryProgram(
                entry["function"],
                self._sources.get(entry["id"]),
                tuple(entry["heads"]),
                entry["iou_held_out"],
                entry["iou_test"],
                _pair(entry["iou_test_interval"]),
                entry,
            )
            for entry in self._contents["programs"]
        )

    @cached_property
    def assignment(self) -> dict[str, Program]:
        """Name of each head that has a program -> its program, as `hs.replaced` takes it."""
        lines = self._contents["assignment"]
        return {
            head: self._sources[line["program"]] for head, line in lines.items() if line["program"] in self._sources
        }

    @property
    def mean_iou_held_out(self) -> float | None:
        """Mean over heads of the held-out IoU, in [0, 1]; a head without a program counts 0."""
        return self.numbers["mean_iou_held_out"]

    @property
    def mean_iou_test(self) -> float | None:
        """The same on the test texts, None where those were not read."""
        return self.numbers["mean_iou_test"]

    def predict(self, head: HeadName, tokens: Sequence[str]) -> np.ndarray:
        """What the program of a head predicts on a text; it runs in a sandbox.

        Args:
            head: "L2H1" or (2, 1).
            tokens: n strings as the model's tokenizer cuts the text, leading spaces kept, with its begin token.

        Returns:
            (n, n) float32: masked where the model is causal, rows sum to 1 or are empty.

        Raises:
            ProgramError: where the program fails on the text.
            UserError: where the library has no program for the head or does not say of which model it is, and where
                programs cannot be confined here.

        Example:
            >>> run.library.predict("L2H1", ["Once", " upon", " a", " time"]).shape
            (4, 4)
        """
        label = label_of(head, self.heads)
        about = self.numbers.get("provenance", {})
        model = about.get("runs", {}).get(label.rpartition("/")[0], about).get("model")
        if label not in self.assignment or not model:
            raise UserError(f"library: there is no program for {label}, or it is not known of which model it is")
        return predict(self.assignment[label], tokens, causal=bool(model["causal"]))

    def to_frame(self, of: Literal["programs", "heads"] = "programs") -> pandas.DataFrame:
        """The library as a data frame.

        Args:
            of: "programs" for one row per program, "heads" for one row per head.

        Returns:
            A frame with IoU in [0, 1] and the bounds `low` and `high` of the test IoU's 95 % interval.

        Raises:
            UserError: where pandas is not installed.
        """
        rows: Sequence[LibraryProgram | Explanation]
        rows = self.programs if of == "programs" else [self[head] for head in self.heads]
        columns: dict[str, Sequence[Any]]
        if of == "programs":
            columns = {"program": [row.name for row in self.programs], "heads": [list(p.heads) for p in self.programs]}
        else:
            columns = {"head": self.heads, "program": [row.numbers["program"] for row in rows]}
        columns |= {"iou_held_out": [row.iou_held_out for row in rows], "iou_test": [row.iou_test for row in rows]}
        columns |= {name: [row.interval and row.interval[i] for row in rows] for i, name in enumerate(("low", "high"))}
        columns |= {"source": [row.program and row.program.source for row in rows]}
        return data_frame(columns)

    def show(self) -> ShownLibrary:
        """Shows the library: in a notebook a page with its heads as a grid and its programs with their sources.

        Returns:
            What a notebook shows as a page; `figure()` is a matplotlib figure of the heads, `save` writes the page.

        Example:
            >>> run.library.show()  # doctest: +ELLIPSIS
            <Library: ... programs for 32 heads, mean IoU ...>
        """
        from headscribe.shown import ShownLibrary

        return ShownLibrary(self, self._caption())

    def __getitem__(self, head: HeadName) -> Explanation:
        label = label_of(head, self.heads)
        line = self._contents["assignment"][label]
        interval = _pair(line["iou_test_interval"])
        program = self.assignment.get(label)
        return Explanation(label, program, line["iou_held_out"], line["iou_test"], interval, line)

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def __contains__(self, head: object) -> bool:
        return head in self.heads

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Library) and self._contents == other._contents

    def __repr__(self) -> str:
        return f"Library({self._caption()})"

    def _repr_html_(self) -> str:
        columns = ["program", "says", "heads", "held-out IoU", "test IoU", "95 % interval"]
        rows = [[p.name, p.says, len(p.heads), p.iou_held_out, p.iou_test, _range(p.interval)] for p in self.programs]
        return html_table(f"Library: {self._caption()}", columns, rows)

    def _caption(self) -> str:
        shown = [f"{self.size} programs for {len(self.heads)} heads"]
        for split in ("held_out", "test"):
            mean = self.numbers[f"mean_iou_{split}"]
            shown += [] if mean is None else [f"mean IoU {mean:.3f} {split.replace('_', '-')}"]
        return ", ".join(shown)

    @cached_property
    def _sources(self) -> dict[str, Program]:
        known = {}
        for entry in self._contents["programs"]:
            try:
                if entry["source"] is not None:
                    known[entry["id"]] = Program.parse(entry["source"])
            except ProgramError as error:
                raise UserError(f"library: {entry['function']} is not a program: {error}") from None
        return known


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def reduce(
    sources: ScoreTable | str | Path | Sequence[str | Path],
    *,
    epsilon: float | None = None,
    threshold: float | None = None,
    size: int | None = None,
    exact: bool = False,
    test: bool = False,
) -> Library:
    """Reduces score tables, or several runs together, to one library; writes none.

    With a size this is facility location; without, a set cover of the fewest programs (docs/library.md). Where a table
    tells texts apart, half of them make the choice and the others are reported as test.

    Args:
        sources: CSV score tables (layer, head, program_idx or program_name, sentence_idx, iou_score) or run
            directories, one or several; or a table in memory.
        epsilon: cover each head within this of its best IoU; 0.02, or a run's own, where nothing is given.
        threshold: cover heads at this IoU or more.
        size: the best mean with this many programs.
        exact: ask a solver for the optimum, or a bound.
        test: read the test texts of runs too; each reading is written down in the run. They are for the one library
            that is reported: whoever compares libraries by them and then chooses has no test texts left.

    Returns:
        The library; without `test`, numbers of runs are held-out alone. Programs of a table have names and no sources.

    Raises:
        UserError: for files that cannot be read, a mixture of runs and tables, and a criterion out of range.

    Example:
        >>> hs.reduce(run.path, size=2).size
        2
    """
    from evolve.results.libraries import reduce_paths, reduce_table
    from evolve.results.reduction import Criterion

    criterion = Criterion(epsilon, threshold, size, exact)
    if isinstance(sources, ScoreTable):
        return Library(library_json(reduce_table(sources, criterion)[0]))
    paths = [sources] if isinstance(sources, (str, Path)) else list(sources)
    return Library(library_json(reduce_paths([Path(path) for path in paths], criterion, test=test)[0]))
