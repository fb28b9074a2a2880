"""From a choice of programs to the library: chosen on held-out scores, reported on test scores.

Numbers on test carry bootstrap intervals over texts; differences are taken head by head, on the same texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archives.bootstrap import RESAMPLES, Names, Split
from archives.facility import exact_scores
from archives.gain import gain_over
from archives.library import HeadLine, Member, ReducedLibrary, SplitScores
from archives.reduce import EPSILON, Reduction
from archives.table import ROUNDING, ScoreTable
from fitness.program import Program
from fitness.scoring.threads import one_thread

LOW_IOU = 0.4


def needed_on_test(table: ScoreTable, reduction: Reduction, curve: Sequence[str] = ()) -> tuple[str, ...]:
    """Programs whose test scores a report needs: the library, each head's best, the best single one, and the curve's.

    Returns:
        ids, the library's first, each once.
    """
    numbers = [*reduction.selected, *reduction.best[reduction.best >= 0]]
    numbers += [reduction.single] if reduction.single >= 0 else []
    return tuple(dict.fromkeys([*(table.programs[number] for number in numbers), *curve]))


@one_thread()
def build_library(
    table: ScoreTable,
    reduction: Reduction,
    *,
    test: ScoreTable | None = None,
    programs: Mapping[str, Program] | None = None,
    costs: Sequence[float] | np.ndarray | None = None,
    signatures: Sequence[str] | None = None,
    descriptors: np.ndarray | None = None,
    descriptor_names: Sequence[str] = (),
    reference: Names | None = None,
    baseline: Names | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ReducedLibrary:
    """Puts numbers on a choice.

    Args:
        table: the held-out scores that `reduction` was made from.
        reduction: the choice.
        test: scores of at least the selected programs (`needed_on_test` names all that are of use) on the same heads.
        programs: sources by id.
        costs: (programs,) as given to `reduce`; characters of the normalised source by default.
        signatures: (programs,) as given to `reduce`.
        descriptors: (programs, descriptors) in [0, 1], by column of `table`.
        descriptor_names: (descriptors,).
        reference: (heads,) column of `test` that holds each head's reference, chosen on held-out texts.
        baseline: the same of its best simple baseline.
        seed: of the bootstrap.
        resamples: how many bootstrap samples.

    Raises:
        ValueError: where `test` has other heads or lacks a selected program, or descriptors have another shape.
    """
    held_out = Split(reduction.means, [table.programs[number] for number in reduction.candidates])
    test = None if test is None else _aligned(test, table, reduction)
    reported = None if test is None else Split.of(test, seed=seed, resamples=resamples)
    heads = _head_lines(table, reduction, reported)
    known = _Known(
        programs or {},
        np.zeros(len(table.programs)) if costs is None else np.asarray(costs, dtype=np.float64),
        signatures or [""] * len(table.programs),
        _named_descriptors(descriptors, descriptor_names, len(table.programs)),
    )
    single = table.programs[reduction.single] if reduction.single >= 0 else None
    epsilon = reduction.value if reduction.criterion == "epsilon" else EPSILON
    names, best = [line.program for line in heads], [line.best for line in heads]
    return ReducedLibrary(
        reduction=reduction,
        members=tuple(_member(int(p), table, reduction, held_out, reported, known) for p in reduction.selected),
        heads=tuple(heads),
        held_out=_scores(held_out, names, best, single, epsilon),
        test=None if reported is None else _scores(reported, names, best, single, epsilon),
        single=single,
        missing=table.missing(),
        programs=len(table.programs),
        reference=None if reported is None or reference is None else gain_over(reported, names, reference),
        baseline=None if reported is None or baseline is None else gain_over(reported, names, baseline),
        test_texts=() if test is None else test.texts,
    )


def _named_descriptors(values: np.ndarray | None, names: Sequence[str], programs: int) -> list[dict[str, float]]:
    if values is None:
        return [{} for _ in range(programs)]
    if np.shape(values) != (programs, len(names)):
        raise ValueError(f"descriptors have shape {np.shape(values)}, expected {(programs, len(names))}")
    return [dict(zip(names, map(float, row), strict=True)) for row in values]


@dataclass(frozen=True)
class _Known:
    """What is known of the programs beside their scores, by column of the table but for the sources."""

    sources: Mapping[str, Program]
    costs: np.ndarray
    signatures: Sequence[str]
    descriptors: Sequence[Mapping[str, float]]


def _aligned(test: ScoreTable, table: ScoreTable, reduction: Reduction) -> ScoreTable:
    """The test table with its heads in the order of the held-out table."""
    row = {head: number for number, head in enumerate(test.heads)}
    if set(row) != set(table.heads):
        lacking = sorted(set(table.heads) ^ set(row))
        raise ValueError(f"the test table has other heads than the held-out table: {', '.join(lacking[:5])}")
    lacking = sorted({table.programs[number] for number in reduction.selected} - set(test.programs))
    if lacking:
        raise ValueError(f"the test table lacks selected programs: {', '.join(lacking[:5])}")
    rows = [row[head] for head in table.heads]
    return ScoreTable(test.scores[rows], table.heads, test.programs, test.texts, test.text_runs)


def _head_lines(table: ScoreTable, reduction: Reduction, test: Split | None) -> list[HeadLine]:
    names = _names(table, reduction.assignment)
    best = _names(table, reduction.best)
    on_test = [None] * len(names) if test is None else test.by_head(names)
    best_on_test = None if test is None or not test.has(best) else test.means(best)
    by_text = None if test is None else test.by_text(names)
    return [
        HeadLine(
            label=label,
            program=names[row],
            iou_held_out=_number(reduction.iou[row]),
            iou_test=on_test[row],
            best=best[row],
            best_iou_held_out=_number(reduction.best_iou[row]),
            best_iou_test=None if best_on_test is None else _number(best_on_test[row]),
            covered=bool(reduction.covered[row]),
            iou_test_by_text=() if by_text is None else tuple(map(float, by_text[row])),
        )
        for row, label in enumerate(table.heads)
    ]


def _member(
    number: int, table: ScoreTable, reduction: Reduction, held_out: Split, test: Split | None, known: _Known
) -> Member:
    name = table.programs[number]
    rows = np.flatnonzero(reduction.assignment == number)
    rows = rows[np.lexsort((np.array(table.heads)[rows], -reduction.iou[rows]))]
    own = _names(table, reduction.assignment)
    without = _names(table, _next_best(reduction, number))
    judge = held_out if test is None else test
    losses = np.nan_to_num(judge.means(own)) - np.nan_to_num(judge.means(without))
    substitute, loss = _substitute(reduction, rows)
    source = known.sources.get(name)
    return Member(
        id=name,
        program=source,
        cost=float(known.costs[number]) or float(source.length if source else 0),
        signature=known.signatures[number],
        descriptors=known.descriptors[number],
        heads=tuple(table.heads[row] for row in rows),
        iou_held_out=held_out.mean(own, rows=rows).value,
        iou_test=None if test is None else test.mean(own, rows=rows),
        losses={table.heads[row]: float(losses[row]) for row in rows},
        substitute=None if substitute is None else table.programs[substitute],
        substitute_loss=loss,
    )


def _next_best(reduction: Reduction, number: int) -> np.ndarray:
    """(heads,) the best program of the library but for one, on held-out scores; -1 where none other was scored."""
    place = np.flatnonzero(np.isin(reduction.candidates, reduction.selected) & (reduction.candidates != number))
    if not len(place):
        return np.full(len(reduction.assignment), -1)
    scores = np.nan_to_num(reduction.means[:, place], nan=-1.0)
    best = np.argmax(scores, axis=1)
    return np.where(scores.max(axis=1) >= 0, reduction.candidates[place[best]], -1)


def _substitute(reduction: Reduction, rows: np.ndarray) -> tuple[int | None, float | None]:
    """The program outside the library that was scored on all these heads and loses least there, and its mean loss."""
    outside = np.flatnonzero(~np.isin(reduction.candidates, reduction.selected))
    scores = reduction.means[np.ix_(rows, outside)]
    outside = outside[~np.isnan(scores).any(axis=0)]
    if not len(outside):
        return None, None
    reached = exact_scores(reduction.means[np.ix_(rows, outside)]).sum(axis=0, dtype=np.float64)
    best = int(np.argmax(reached))
    have = exact_scores(reduction.iou[rows]).sum(dtype=np.float64)
    return int(reduction.candidates[outside[best]]), float(have - reached[best]) / len(rows)


def _scores(split: Split, names: Names, best: Names, single: str | None, epsilon: float) -> SplitScores:
    values = np.nan_to_num(split.means(names), nan=0.0)
    whole = split.has(best)
    reference = np.nan_to_num(split.means(best), nan=0.0) if whole else values
    one: Names = [single] * len(names)
    scored = np.flatnonzero(~np.isnan(split.means(one))) if single is not None and split.has(one) else np.array([], int)
    return SplitScores(
        mean=split.mean(names),
        median=float(np.median(values)),
        worst=float(values.min()),
        within_epsilon=int((values >= reference - epsilon - ROUNDING).sum()) if whole else None,
        under_low=int((values < LOW_IOU).sum()),
        full_mean=split.mean(best) if whole else None,
        single_mean=split.mean(one, rows=scored) if len(scored) else None,
        excess=split.mean(names, less=one, rows=scored) if len(scored) else None,
    )


def _names(table: ScoreTable, numbers: np.ndarray) -> list[str | None]:
    return [table.programs[number] if number >= 0 else None for number in numbers]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
