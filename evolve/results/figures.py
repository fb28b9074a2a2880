"""The data of figures for papers: what a run has measured, as one table for each figure. Nothing is measured here."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.printable import csv_cell

Row = tuple[str | float | int | None, ...]
HOME = "own test texts"


@dataclass(frozen=True)
class FigureData:
    """All that a figure shows; it is drawn from this table alone.

    Attributes:
        name: of the figure and of its files.
        columns: names of the columns.
        rows: the rows; None is a number that is not known.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def as_csv(self) -> str:
        """The table, a header line and one line for each row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([[csv_cell(value) for value in row] for row in self.rows])
        return text.getvalue()

    def column(self, name: str) -> list[Any]:
        """One column, from the first row to the last."""
        return [row[self.columns.index(name)] for row in self.rows]


@dataclass(frozen=True)
class Figures:
    """What can be drawn of a run.

    Attributes:
        data: name -> table.
        left_out: name of each figure that the run has no numbers for -> the command that measures them.
    """

    data: Mapping[str, FigureData]
    left_out: Mapping[str, str]


def figures_of(run_dir: RunDir) -> Figures:
    """Reads what a run's commands have left in its directory.

    Raises:
        UserError: where a file there is not what its command writes.
    """
    files = {name: run_dir.read_json(f"{name}.json") for name in ("library", "replacement", "tasks", "transfer")}
    store = run_dir.open_store()
    try:
        files["result"] = store.meta("result") or {}
    finally:
        store.close()
    curve = run_dir.file("coverage.csv")
    files["coverage"] = {"lines": curve.read_text(encoding="utf-8").splitlines() if curve.is_file() else []}
    data, left_out = {}, {}
    for name, (columns, rows_of, command) in _FIGURES.items():
        again = command.format(run=shlex.quote(str(run_dir.path)), config=shlex.quote(str(run_dir.config)))
        try:
            rows = tuple(rows_of(files))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{run_dir.path}: the numbers of {name} cannot be read ({error!r}); try {again}") from None
        if rows:
            data[name] = FigureData(name, tuple(columns.split()), rows)
        else:
            left_out[name] = again
    return Figures(data, left_out)


def _head_iou(files: Mapping[str, Any]) -> Iterator[Row]:
    for label, line in files["library"].get("assignment", {}).items():
        if line["iou_test"] is not None:
            yield label, line["iou_test"], *_pair(line["iou_test_interval"]), line.get("reference_iou_test")


def _gain(files: Mapping[str, Any]) -> Iterator[Row]:
    for label, line in files["library"].get("assignment", {}).items():
        if line.get("gain_over_reference") is not None:
            yield label, line["gain_over_reference"], *_pair(line["gain_over_reference_interval"])


def _coverage(files: Mapping[str, Any]) -> Iterator[Row]:
    heads = files["library"].get("heads")
    for line in csv.DictReader(files["coverage"]["lines"]) if heads else ():
        lines = int(line["source_lines"]) if line["source_lines"] else None
        means = (float(line[f"mean_{split}"]) if line[f"mean_{split}"] else None for split in ("held_out", "test"))
        within = (line[f"heads_within_epsilon_{split}"] for split in ("held_out", "test"))
        yield int(line["k"]), *means, *(int(count) / heads if count else None for count in within), lines


def _transfer(files: Mapping[str, Any]) -> Iterator[Row]:
    result = files["result"]
    domains = {**result.get("transfer", {}), **files["transfer"].get("transfer", {})}
    if domains and result:
        gain = result["gain_over_reference"], *_pair(result["gain_over_reference_interval"])
        yield HOME, result["mean_iou_test"], result["reference_iou_test"], None, *gain
    for domain, there in domains.items():
        gain = there["gain"], *_pair(there["gain_interval"])
        yield domain, there["library"], there["reference"], there["tables_here"], *gain


def _perplexity(files: Mapping[str, Any]) -> Iterator[Row]:
    found = files["replacement"].get("perplexity", {})
    rows = [row for row in found.get("by_fraction", []) if row["heads"]]
    if rows:
        yield 0.0, 0, "original", found["original"], *_pair(found["original_interval"]), 0.0, None, None
    for row in rows:
        for name, numbers in row["conditions"].items():
            more = numbers["increase_percent"], *_pair(numbers["increase_percent_interval"])
            yield row["fraction"], row["heads"], name, numbers["perplexity"], *_pair(numbers["interval"]), *more


def _recovered(files: Mapping[str, Any]) -> Iterator[Row]:
    for row in files["replacement"].get("perplexity", {}).get("by_fraction", []):
        for ablation, share in row["recovered"].items() if row["heads"] else ():
            # An ablation that does no harm beyond noise leaves nothing to recover.
            harmful = row["conditions"][ablation]["increase_percent_interval"][0] > 0
            if harmful and share["value"] is not None:
                yield row["fraction"], row["heads"], ablation, share["value"], *_pair(share["interval"])


def _cost(files: Mapping[str, Any]) -> Iterator[Row]:
    for row in files["replacement"].get("per_head", []):
        yield row["head"], row["iou"], row["cost"], row["cost_standard_error"], row["estimated_cost"]


def _tasks(files: Mapping[str, Any]) -> Iterator[Row]:
    for task, found in files["tasks"].get("tasks", {}).items():
        fixed = found["questions"], found["chance"]
        original = found["original"]
        yield task, *fixed, 0.0, "original", original["accuracy"], original["standard_error"]
        for row in found["by_fraction"]:
            for name, numbers in row.items() if row["heads"] else ():
                if name not in ("fraction", "heads"):
                    yield task, *fixed, row["fraction"], name, numbers["accuracy"], numbers["standard_error"]


def _pair(interval: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])


_RUN = "headscribe run {config} --run-dir {run}"
# Name -> its columns, what its rows are read from, and the command that measures them.
_FIGURES: dict[str, tuple[str, Callable[[Mapping[str, Any]], Iterator[Row]], str]] = {
    "head_iou": ("head library library_low library_high reference", _head_iou, _RUN),
    "gain": ("head gain low high", _gain, _RUN),
    "coverage": (
        "programs mean_iou_held_out mean_iou_test share_of_heads_held_out share_of_heads_test source_lines",
        _coverage,
        "headscribe library {run}",
    ),
    "transfer": (
        "texts library reference tables_fitted_there gain gain_low gain_high",
        _transfer,
        "headscribe transfer {run} --texts TEXTS",
    ),
    "perplexity": (
        "fraction heads condition perplexity low high increase_percent increase_low increase_high",
        _perplexity,
        "headscribe replace {run} --only fractions",
    ),
    "recovered": (
        "fraction heads ablation recovered low high",
        _recovered,
        "headscribe replace {run} --only fractions",
    ),
    "cost": ("head iou cost standard_error estimated_cost", _cost, "headscribe replace {run} --only heads"),
    "tasks": (
        "task questions chance fraction condition accuracy standard_error",
        _tasks,
        "headscribe tasks {run} --task FILE",
    ),
}
