"""What it costs to be small: coverage, mean, excess and source lines for every size of library."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from archives.bootstrap import Split
from archives.build_library import LOW_IOU
from archives.facility import greedy_order
from archives.reduce import EPSILON, Reduction
from archives.table import ROUNDING, ScoreTable
from fitness.printable import csv_cell
from fitness.program import Program


@dataclass(frozen=True)
class Point:
    """The library of the k first programs of the greedy order, on both splits; a head without a program counts 0.

    Attributes:
        k: number of programs.
        program: the one that this point adds.
        mean_held_out: mean IoU over heads.
        median_held_out: median over heads.
        worst_held_out: the least of all heads.
        heads_within_epsilon_held_out: heads within epsilon of their best program of the whole table.
        heads_under_0_4_held_out: heads with an IoU under 0.4.
        excess_held_out: mean less that of the best single program, over the heads that this one was scored on.
        mean_test, median_test, worst_test, heads_within_epsilon_test, heads_under_0_4_test, excess_test: the same on
            test, None where not scored; the choice is always that of held-out.
        source_lines: lines of the normalised sources together, None without sources.
    """

    k: int
    program: str
    mean_held_out: float
    median_held_out: float
    worst_held_out: float
    heads_within_epsilon_held_out: int | None
    heads_under_0_4_held_out: int
    excess_held_out: float | None
    mean_test: float | None
    median_test: float | None
    worst_test: float | None
    heads_within_epsilon_test: int | None
    heads_under_0_4_test: int | None
    excess_test: float | None
    source_lines: int | None


def curve_order(table: ScoreTable, reduction: Reduction, size: int) -> tuple[str, ...]:
    """The programs of the curve: each raises the held-out mean most, given those before it; at most `size`."""
    order = greedy_order(reduction.means, size).order
    return tuple(table.programs[number] for number in reduction.candidates[order])


def coverage_curve(
    table: ScoreTable,
    reduction: Reduction,
    order: Sequence[str],
    *,
    test: ScoreTable | None = None,
    programs: Mapping[str, Program] | None = None,
) -> list[Point]:
    """One point for every size from 1 to the length of the order.

    Args:
        table: the held-out scores that `reduction` was made from.
        reduction: says which programs there are to choose from, and what epsilon is.
        order: of `curve_order`.
        test: scores of the same heads, in the same order, for at least these programs.
        programs: sources by id.

    Raises:
        ValueError: where `test` has other heads, or lacks a program of the order.
    """
    held_out = Split(reduction.means, [table.programs[number] for number in reduction.candidates])
    judges: dict[str, Split] = {"held_out": held_out}
    if test is not None:
        if test.heads != table.heads:
            raise ValueError("the test table must have the heads of the held-out table, in the same order")
        if lacking := sorted(set(order) - set(test.programs)):
            raise ValueError(f"the test table lacks programs of the curve: {', '.join(lacking[:5])}")
        judges["test"] = Split(test.means, test.programs)
    epsilon = reduction.value if reduction.criterion == "epsilon" else EPSILON
    best = [table.programs[number] if number >= 0 else None for number in reduction.best]
    assigned: list[str | None] = [None] * len(table.heads)
    reached = np.full(len(table.heads), -1.0)
    points, lines = [], 0
    for k, name in enumerate(order, start=1):
        column = np.nan_to_num(held_out.means([name] * len(assigned)), nan=-1.0)
        for row in np.flatnonzero(column > reached):
            assigned[row] = name
        reached = np.maximum(reached, column)
        lines += len(programs[name].normalised.splitlines()) if programs else 0
        numbers: dict[str, float | int | None] = {}
        for split, judge in judges.items():
            summary = _summary(judge, assigned, best, order[0], epsilon)
            numbers |= {f"{key}_{split}": value for key, value in summary.items()}
        empty = {field.name: None for field in fields(Point) if field.name.endswith("_test")}
        points.append(Point(k=k, program=name, source_lines=lines if programs else None, **(empty | numbers)))  # type: ignore[arg-type]
    return points


def _summary(
    judge: Split, assigned: Sequence[str | None], best: Sequence[str | None], single: str, epsilon: float
) -> dict[str, float | int | None]:
    values = np.nan_to_num(judge.means(assigned), nan=0.0)
    one = judge.means([single] * len(assigned))
    scored = ~np.isnan(one)
    reference = np.nan_to_num(judge.means(best), nan=0.0) if judge.has(best) else None
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "worst": float(values.min()),
        "heads_within_epsilon": None if reference is None else int((values >= reference - epsilon - ROUNDING).sum()),
        "heads_under_0_4": int((values < LOW_IOU).sum()),
        "excess": float((values - one)[scored].mean()) if scored.any() else None,
    }


def coverage_csv(points: Sequence[Point]) -> str:
    """The curve as CSV, a header line and one line per size; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Point)]
    writer.writerow(names)
    for point in points:
        values = [getattr(point, name) for name in names]
        writer.writerow([f"{value:.6f}" if isinstance(value, float) else csv_cell(value) for value in values])
    return text.getvalue()
