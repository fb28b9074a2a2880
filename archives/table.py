"""The score table: IoU of heads x programs x texts, from a campaign's arrays or from CSV; what is not scored is NaN."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from fitness.errors import UserError
from fitness.heads import Head

ROUNDING = 1e-6  # what float32 may add to an IoU of 1


@dataclass(frozen=True)
class Missing:
    """What a score table lacks.

    Attributes:
        pairs: heads times programs.
        pairs_missing: pairs without any score: such a program cannot cover such a head.
        pairs_partial: pairs scored on fewer texts than their head was; their mean is over the texts they have.
        heads_unscored: heads without any score.
        programs_unscored: programs without any score.
    """

    pairs: int
    pairs_missing: int
    pairs_partial: int
    heads_unscored: int
    programs_unscored: int


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """IoU of every program on every head.

    Attributes:
        scores: (heads, programs, texts) or, where only means are known, (heads, programs) float32 in [0, 1];
            NaN = not scored.
        heads: names of the heads, all different, such as "L5H1" or "run/L5H1".
        programs: ids or names of the programs, all different.
        texts: names of the texts; empty where `scores` holds means.
        text_runs: the run that each text belongs to; texts are resampled within their run.
        numbered: program names are numbers of this table and mean nothing in another.

    Raises:
        ValueError: where the shape of `scores` does not fit the names.
        UserError: for two heads or programs of one name, and for scores outside [0, 1].
    """

    scores: np.ndarray
    heads: tuple[str, ...]
    programs: tuple[str, ...]
    texts: tuple[str, ...] = ()
    text_runs: tuple[str, ...] = field(default=(), repr=False)
    numbered: bool = False

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, dtype=np.float32)
        object.__setattr__(self, "scores", scores)
        for name in ("heads", "programs", "texts", "text_runs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if scores.ndim == 3 and not self.texts:
            object.__setattr__(self, "texts", tuple(map(str, range(scores.shape[2]))))
        if not self.text_runs:
            object.__setattr__(self, "text_runs", ("",) * len(self.texts))
        expected = (len(self.heads), len(self.programs), len(self.texts))[: 3 if self.texts or scores.ndim == 3 else 2]
        if scores.shape != expected:
            raise ValueError(f"scores have shape {scores.shape}, expected {expected} (heads, programs[, texts])")
        if len(self.text_runs) != len(self.texts):
            raise ValueError(f"{len(self.text_runs)} text_runs for {len(self.texts)} texts")
        for kind, names in (("heads", self.heads), ("programs", self.programs), ("texts", self.texts)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise UserError(f"score table: two {kind} are named {twice[0]!r}; names must be different")
        if scores.size:
            low, high = float(np.fmin.reduce(scores, axis=None)), float(np.fmax.reduce(scores, axis=None))
            if low < 0 or high > 1 + ROUNDING:
                raise UserError(f"score table: IoU must lie in [0, 1], found {low if low < 0 else high:g}")

    @cached_property
    def means(self) -> np.ndarray:
        """(heads, programs) float32: mean over the texts that were scored, NaN where none was."""
        if self.scores.ndim == 2:
            return self.scores
        means = np.full(self.scores.shape[:2], np.nan, dtype=np.float32)
        for row, block in zip(means, self.scores, strict=True):
            scored = ~np.isnan(block)
            total = np.where(scored, block, 0).sum(axis=1, dtype=np.float64)
            count = scored.sum(axis=1)
            row[count > 0] = total[count > 0] / count[count > 0]
        return means

    def missing(self) -> Missing:
        """Counts what is not scored."""
        absent = np.isnan(self.means)
        partial = 0
        if self.scores.ndim == 3:
            for block in self.scores:
                scored = ~np.isnan(block)
                count, full = scored.sum(axis=1), int(scored.any(axis=0).sum())
                partial += int(((count > 0) & (count < full)).sum())
        return Missing(
            pairs=absent.size,
            pairs_missing=int(absent.sum()),
            pairs_partial=partial,
            heads_unscored=int(absent.all(axis=1).sum()),
            programs_unscored=int(absent.all(axis=0).sum()),
        )

    def take_programs(self, names: Sequence[str]) -> ScoreTable:
        """The same heads and texts with these programs, in this order.

        Raises:
            KeyError: for a program that the table does not have.
        """
        index = {name: number for number, name in enumerate(self.programs)}
        columns = [index[name] for name in names]
        return ScoreTable(
            self.scores[:, columns], self.heads, tuple(names), self.texts, self.text_runs, numbered=self.numbered
        )

    def take_texts(self, indices: Sequence[int]) -> ScoreTable:
        """The same heads and programs with these texts, in this order."""
        if self.scores.ndim != 3:
            raise ValueError("the table holds means: it has no texts to choose from")
        texts, runs = [self.texts[i] for i in indices], [self.text_runs[i] for i in indices]
        return ScoreTable(self.scores[:, :, list(indices)], self.heads, self.programs, texts, runs, self.numbered)  # type: ignore[arg-type]

    def split_texts(self) -> tuple[ScoreTable, ScoreTable]:
        """Two tables over every other text each, in the order of their names: to choose on one, to report on the other.

        Raises:
            UserError: where the table has fewer than two texts.
        """
        if len(self.texts) < 2:
            raise UserError("score table: a library is chosen on some texts and reported on others; it takes two texts")
        order = sorted(range(len(self.texts)), key=lambda i: (self.text_runs[i], _natural(self.texts[i])))
        return self.take_texts(order[0::2]), self.take_texts(order[1::2])


def merge(tables: Mapping[str, ScoreTable]) -> ScoreTable:
    """One table of several runs or models: heads become `run/L5H1`, programs of one name are one program.

    A program that was not scored on a run's heads is missing there. Programs that only have numbers stay apart.

    Args:
        tables: by name of the run or model; a single table is returned as it is.

    Returns:
        the merged table: (all heads, all programs, all texts), or of means where one of the tables holds means.

    Raises:
        UserError: where there is no table.
    """
    if not tables:
        raise UserError("score table: nothing to merge")
    if len(tables) == 1:
        return next(iter(tables.values()))
    named = {
        run: [f"{run}/{program}" for program in table.programs] if table.numbered else list(table.programs)
        for run, table in tables.items()
    }
    programs = {name: None for names in named.values() for name in names}
    column = {name: number for number, name in enumerate(programs)}
    heads = [f"{run}/{head}" for run, table in tables.items() for head in table.heads]
    by_text = all(table.scores.ndim == 3 for table in tables.values())
    texts = [f"{run}/{text}" for run, table in tables.items() for text in table.texts] if by_text else []
    runs = [run for run, table in tables.items() for _ in table.texts] if by_text else []
    scores = np.full((len(heads), len(programs), len(texts))[: 3 if by_text else 2], np.nan, dtype=np.float32)
    row = text = 0
    for run, table in tables.items():
        part = scores[row : row + len(table.heads)]
        columns = [column[name] for name in named[run]]
        if by_text:
            part[:, columns, text : text + len(table.texts)] = table.scores
        else:
            part[:, columns] = table.means
        row, text = row + len(table.heads), text + len(table.texts)
    return ScoreTable(scores, tuple(heads), tuple(programs), tuple(texts), tuple(runs))


def is_table(path: Path) -> bool:
    """Whether a path is named as score tables are."""
    return path.suffix in (".csv", ".parquet")


def read_table(path: Path) -> ScoreTable:
    """Reads a score table as CSV, or as Parquet (extra `parquet`) with the same columns, see `read_csv`.

    Raises:
        UserError: as `read_csv` does, and where pyarrow is missing.
    """
    if path.suffix != ".parquet":
        return read_csv(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no plain file")
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'headscribe[parquet]'") from None
    try:
        found = parquet.read_table(path).to_pydict()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ArrowException as error:
        raise UserError(f"{path}: is not Parquet: {error}") from None
    header = [name.strip().lower() for name in found]
    rows = (["" if cell is None else str(cell) for cell in row] for row in zip(*found.values(), strict=True))
    return _of_rows(path, header, rows)


def read_csv(path: Path) -> ScoreTable:
    """Reads `layer, head, program_idx | program_name, sentence_idx, iou_score`, one row per score, in any order.

    Where both program columns are there, the number tells programs apart and the name is shown (with the number behind
    it where two programs share it). Without `sentence_idx` the scores are means. An empty score, or `nan`, is missing.

    Raises:
        UserError: with file and line, for missing columns, cells that are not numbers, scores outside [0, 1], and for a
            second, different score of the same head, program and text.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no plain file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            return _of_rows(path, header, reader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not CSV text in UTF-8: {error}") from None


def _of_rows(path: Path, header: list[str], rows: Iterable[list[str]]) -> ScoreTable:
    columns = _columns(path, header)
    cells = _read_rows(path, rows, columns, len(header))
    if not cells:
        raise UserError(f"{path}: holds no scores")
    return _assemble(cells, columns)


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    columns = {name: index for index, name in reversed(list(enumerate(header)))}
    lacking = [name for name in ("layer", "head", "iou_score") if name not in columns]
    if not lacking and not {"program_idx", "program_name"} & set(columns):
        lacking = ["program_idx or program_name"]
    if lacking:
        raise UserError(f"{path}: line 1: no column {', '.join(lacking)}; found {', '.join(header) or 'nothing'}")
    return columns


Cell = tuple[int, int, str, str]  # layer, head, program, text


def _read_rows(
    path: Path, reader: Iterable[list[str]], columns: Mapping[str, int], width: int
) -> dict[Cell, tuple[float, str]]:
    layer, head, score = (columns[name] for name in ("layer", "head", "iou_score"))
    number, name, sentence = (columns.get(key) for key in ("program_idx", "program_name", "sentence_idx"))
    key_column = name if number is None else number
    cells: dict[Cell, tuple[float, str]] = {}
    for line, row in enumerate(reader, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != width:
            raise UserError(f"{path}: line {line}: {len(row)} cells, expected {width}")
        try:
            value = float(row[score]) if row[score].strip() else float("nan")
            cell = (
                int(row[layer]),
                int(row[head]),
                row[key_column].strip(),  # type: ignore[index]
                "" if sentence is None else row[sentence].strip(),
            )
        except ValueError as error:
            raise UserError(f"{path}: line {line}: {error}") from None
        if not (0 <= value <= 1 + ROUNDING or value != value):
            raise UserError(f"{path}: line {line}: iou_score {value:g} lies outside [0, 1]")
        if not cell[2] or cell[0] < 0 or cell[1] < 0:
            raise UserError(f"{path}: line {line}: needs a layer and a head from 0 on and a program")
        label = "" if name is None else row[name].strip()
        known = cells.setdefault(cell, (value, label))
        if known[0] != value and not (known[0] != known[0] and value != value):
            where = f"{Head(*cell[:2]).label}, program {cell[2]}" + (f", text {cell[3]}" if cell[3] else "")
            raise UserError(f"{path}: line {line}: second score for {where}: {value:g} after {known[0]:g}")
    return cells


def _assemble(cells: Mapping[Cell, tuple[float, str]], columns: Mapping[str, int]) -> ScoreTable:
    heads = sorted({cell[:2] for cell in cells})
    programs = sorted({cell[2] for cell in cells}, key=_natural)
    texts = sorted({cell[3] for cell in cells}, key=_natural)
    head_row = {head: row for row, head in enumerate(heads)}
    column = {program: number for number, program in enumerate(programs)}
    depth = {text: number for number, text in enumerate(texts)}
    scores = np.full((len(heads), len(programs), len(texts)), np.nan, dtype=np.float32)
    labels: dict[str, str] = {}
    for (layer, head, program, text), (value, label) in cells.items():
        scores[head_row[layer, head], column[program], depth[text]] = value
        labels.setdefault(program, label)
    labelled = "program_name" in columns and "program_idx" in columns
    shared = Counter(labels.values())
    names = [
        program if not labelled else labels[program] if shared[labels[program]] == 1 else f"{labels[program]}#{program}"
        for program in programs
    ]
    head_names = tuple(Head(*head).label for head in heads)
    numbered = "program_name" not in columns
    if "sentence_idx" not in columns:
        return ScoreTable(scores[:, :, 0], head_names, tuple(names), numbered=numbered)
    return ScoreTable(scores, head_names, tuple(names), tuple(texts), numbered=numbered)


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
