"""Reduction of a score table to few programs, by one of three criteria, with a bound on what fewer could do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from archives.cover import Cover, solve
from archives.exact import exact_cover, exact_facility, lower_bound
from archives.facility import SCALE, exact_scores, greedy_order
from archives.table import ROUNDING, ScoreTable
from fitness.errors import UserError
from fitness.scoring.threads import one_thread

EPSILON = 0.02
EXACT_SECONDS = 60.0
Criterion = Literal["epsilon", "threshold", "size"]


@dataclass(frozen=True, eq=False)
class Reduction:
    """Which programs were chosen from a table, and how good the choice is. Numbers are columns and rows of the table.

    Attributes:
        criterion: "epsilon" (within so much of each head's best), "threshold" (at least so much), "size" (best mean).
        value: epsilon, threshold or size.
        selected: (size,) int64 programs; those of most heads first.
        assignment: (heads,) int64, the best of the selected programs for each head, -1 where none was scored.
        iou: (heads,) float32, its IoU, NaN where none.
        best: (heads,) int64, the best program of the whole table, -1 where none was scored.
        best_iou: (heads,) float32, its IoU, NaN where none.
        covered: (heads,) bool: the assigned program meets the criterion (for "size": is within 0.02 of the best).
        uncoverable: (heads,) bool: no program of the table meets the criterion; for these heads nothing was chosen.
        single: the best single program, -1 where nothing is scored.
        representative: (programs,) int64, the program kept of all that behave alike; itself where it was kept.
        candidates: (kept,) int64, the programs kept, the cheapest first.
        means: (heads, kept) float32, their IoU, with what only their duplicates were scored on filled in.
        cost: sum of the selected programs' costs.
        lower_bound: no choice that covers as many heads has fewer programs; for "size" the number selected.
        optimal: proven: for covers that no choice has fewer programs, for "size" that none has a better mean.
        cheapest: proven: no choice of as many programs costs less (always False for "size").
        mean_bound: for "size", no choice of as many programs has a better mean held-out IoU; else the full mean.
    """

    criterion: Criterion
    value: float
    selected: np.ndarray
    assignment: np.ndarray
    iou: np.ndarray
    best: np.ndarray
    best_iou: np.ndarray
    covered: np.ndarray
    uncoverable: np.ndarray
    single: int
    representative: np.ndarray
    candidates: np.ndarray
    means: np.ndarray
    cost: float
    lower_bound: int
    optimal: bool
    cheapest: bool
    mean_bound: float

    @property
    def mean(self) -> float:
        """Mean IoU over all heads; a head without a program counts 0, for nothing predicts it."""
        return float(np.nan_to_num(self.iou, nan=0.0).mean(dtype=np.float64))

    @property
    def full_mean(self) -> float:
        """The same with all programs of the table."""
        return float(np.nan_to_num(self.best_iou, nan=0.0).mean(dtype=np.float64))

    @property
    def duplicates(self) -> int:
        """How many programs were left out because another behaves alike."""
        return int((self.representative != np.arange(len(self.representative))).sum())


@one_thread()
def reduce(
    table: ScoreTable,
    *,
    epsilon: float | None = None,
    threshold: float | None = None,
    size: int | None = None,
    costs: Sequence[float] | np.ndarray | None = None,
    seed: int = 0,
    exact: bool = False,
    exact_seconds: float = EXACT_SECONDS,
    signatures: Sequence[str] | None = None,
    rounds: int | None = None,
) -> Reduction:
    """Chooses few programs for all heads. The answer depends neither on the order of rows nor of columns.

    Covers have the fewest programs found, and among those the least cost. Ties go to the lower cost, then to the
    smaller name.

    Args:
        table: held-out scores.
        epsilon: a head is covered by programs within this of its best one; 0.02 where no criterion is given.
        threshold: a head is covered by programs of at least this IoU; heads whose best is less are not covered.
        size: choose this many programs of the best mean IoU (fewer where more add nothing).
        costs: (programs,) positive, the lengths of the normalised sources; equal by default.
        seed: of the iterated greedy.
        exact: ask for the proven optimum.
        exact_seconds: time limit for that; afterwards the bound found so far is the answer.
        signatures: one string per program; programs of equal strings behave alike, and the cheapest of them is kept.
        rounds: of the iterated greedy; by default about a second's worth, a function of the instance.

    Raises:
        UserError: for an empty table, more than one criterion, or a criterion out of range.
        ValueError: for costs or signatures of another length than the programs, and costs that are not positive.
    """
    criterion, value = _criterion(epsilon, threshold, size)
    heads, programs = len(table.heads), len(table.programs)
    if not heads or not programs:
        raise UserError(f"score table: {heads} heads x {programs} programs: there is nothing to reduce")
    prices = _checked_costs(costs, programs)
    order, means, representative = _canonical(table, prices, signatures)
    if criterion == "size":
        choice = _choose_size(means, int(value), exact, exact_seconds)
    else:
        best_iou = _row_max(means).astype(np.float64)
        need = best_iou - value if criterion == "epsilon" else np.full(heads, value)
        choice = _choose_cover(means, need, prices[order], seed=seed, exact=exact, seconds=exact_seconds, rounds=rounds)
    return _reduction(criterion, value, choice, order, means, representative, prices)


@dataclass(frozen=True, eq=False)
class _Choice:
    """Columns chosen, and what is proven of the choice.

    Attributes:
        chosen: columns in canonical order; each is the best of them for some head.
        need: (heads,) the least IoU that covers a head.
        bound: `lower_bound` of `Reduction`, as are the others by their names.
    """

    chosen: list[int]
    need: np.ndarray
    bound: int
    optimal: bool
    cheapest: bool
    mean_bound: float


def _reduction(
    criterion: Criterion,
    value: float,
    choice: _Choice,
    order: np.ndarray,
    means: np.ndarray,
    representative: np.ndarray,
    prices: np.ndarray,
) -> Reduction:
    """What a choice comes to, in columns of the table again: `order` holds them by canonical column."""
    assigned = _best_of(means, np.array(choice.chosen, dtype=np.int64))
    best, best_iou = _best_of(means, np.arange(means.shape[1])), _row_max(means)
    iou = _at(means, assigned)
    served = np.bincount(assigned[assigned >= 0], minlength=means.shape[1])
    selected = order[np.array(sorted(choice.chosen, key=lambda p: (-served[p], p)), dtype=np.int64)]
    with np.errstate(invalid="ignore"):
        covered, coverable = iou >= choice.need - ROUNDING, best_iou >= choice.need - ROUNDING
    return Reduction(
        criterion=criterion,
        value=value,
        selected=selected,
        assignment=np.where(assigned >= 0, order[assigned], -1),
        iou=iou,
        best=np.where(best >= 0, order[best], -1),
        best_iou=best_iou,
        covered=covered,
        uncoverable=~coverable,
        single=_single_best(means, order),
        representative=representative,
        candidates=order,
        means=means,
        cost=float(prices[np.sort(selected)].sum()),
        lower_bound=choice.bound,
        optimal=choice.optimal,
        cheapest=choice.cheapest,
        mean_bound=choice.mean_bound,
    )


def _single_best(means: np.ndarray, order: np.ndarray) -> int:
    gain = exact_scores(means).sum(axis=0, dtype=np.float64)
    return int(order[np.argmax(gain)]) if gain.max() > 0 else -1


def _in_use(means: np.ndarray, chosen: list[int]) -> list[int]:
    """Those of the chosen columns that are the best of them for some head.

    A greedy choice of k programs may come to hold one that later ones made useless.
    """
    assigned = _best_of(means, np.array(chosen, dtype=np.int64))
    return [program for program in chosen if (assigned == program).any()]


def _criterion(epsilon: float | None, threshold: float | None, size: int | None) -> tuple[Criterion, float]:
    given = {"epsilon": epsilon, "threshold": threshold, "size": size}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise UserError(f"library: {' and '.join(named)} exclude each other; give one")
    if size is not None:
        if size < 1:
            raise UserError(f"library: size must be at least 1, got {size}")
        return "size", size
    name: Criterion = "threshold" if threshold is not None else "epsilon"
    value = threshold if threshold is not None else EPSILON if epsilon is None else epsilon
    if not 0 <= value <= 1:
        raise UserError(f"library: {name} must lie in [0, 1], got {value:g}")
    return name, value


def _checked_costs(costs: Sequence[float] | np.ndarray | None, programs: int) -> np.ndarray:
    prices = np.ones(programs) if costs is None else np.asarray(costs, dtype=np.float64)
    if prices.shape != (programs,):
        raise ValueError(f"costs have shape {prices.shape}, expected {(programs,)}")
    if not (np.isfinite(prices) & (prices > 0)).all():
        raise ValueError("costs must be positive numbers")
    return prices


def _canonical(
    table: ScoreTable, prices: np.ndarray, signatures: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Programs to choose from, cheapest and smallest name first, duplicates dropped.

    Rows are left where they are: what is computed of them must not depend on their order.

    Returns:
        (kept,) columns of the table; (heads, kept) means, filled in from duplicates where only those were scored;
        (programs,) the column kept for each program.
    """
    programs = len(table.programs)
    if signatures is not None and len(signatures) != programs:
        raise ValueError(f"{len(signatures)} signatures for {programs} programs")
    order = np.array(sorted(range(programs), key=lambda p: (prices[p], table.programs[p])), dtype=np.int64)
    means = table.means
    if signatures is None:
        return order, means[:, order], np.arange(programs)
    first: dict[str, int] = {}
    for program in order:
        first.setdefault(signatures[program], int(program))
    representative = np.array([first[signature] for signature in signatures], dtype=np.int64)
    kept = order[representative[order] == order]
    filled = means[:, kept]
    place = {int(program): column for column, program in enumerate(kept)}
    for program in order[representative[order] != order]:
        column = filled[:, place[int(representative[program])]]
        np.copyto(column, means[:, program], where=np.isnan(column))
    return kept, filled, representative


def _choose_cover(
    means: np.ndarray,
    need: np.ndarray,
    prices: np.ndarray,
    *,
    seed: int,
    exact: bool,
    seconds: float,
    rounds: int | None,
) -> _Choice:
    """Columns that cover every head which some column covers."""
    with np.errstate(invalid="ignore"):
        covers = means >= (need - ROUNDING).astype(np.float32)[:, None]
    useful = _useful(covers)
    covers, prices = covers[:, useful], prices[useful]
    # Rows in an order of their own, so that neither the search nor the solver sees the order of the table.
    cover = Cover.from_matrix(covers[np.lexsort(np.packbits(covers, axis=1).T[::-1])] if len(useful) else covers)
    chosen = solve(cover, prices, seed=seed, rounds=rounds)
    if exact:
        answer = exact_cover(cover, prices, chosen, seconds=seconds)
        chosen = chosen if answer.selected is None else answer.selected
        bound, cheapest = answer.lower_bound, answer.cheapest
    else:
        bound, cheapest = lower_bound(cover, len(chosen)), False
    optimal = bound == len(chosen)
    full_mean = float(np.nan_to_num(_row_max(means)).mean(dtype=np.float64))
    return _Choice(_in_use(means, [int(useful[p]) for p in chosen]), need, bound, optimal, cheapest, full_mean)


def _useful(covers: np.ndarray) -> np.ndarray:
    """Ascending columns that cover something; of columns that cover the same heads the first, which is the cheapest."""
    packed = np.ascontiguousarray(np.packbits(covers, axis=0).T)
    _, first = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_index=True)
    return np.sort(first[packed[first].any(axis=1)])


def _choose_size(means: np.ndarray, size: int, exact: bool, seconds: float) -> _Choice:
    """Columns of the best mean; a head is covered within `EPSILON` of its best."""
    greedy = greedy_order(means, size)
    chosen, upper = [int(p) for p in greedy.order], greedy.upper
    served = exact_scores(means)
    total = _sum_of_best(served, chosen)
    if exact and upper > total:
        in_own_order = served[np.lexsort(served.T[::-1])]
        better, bound = exact_facility(in_own_order, size, seconds=seconds)
        upper = min(upper, bound)
        if better is not None and _sum_of_best(served, better) > total:
            chosen, total = better, _sum_of_best(served, better)
    # The solver's bound is a float64: it may miss a sum of exact scores by its own rounding.
    optimal = upper <= total + max(1 / SCALE, 1e-9 * total)
    used = _in_use(means, chosen)
    need = _row_max(means) - EPSILON
    return _Choice(used, need, len(used), optimal, cheapest=False, mean_bound=max(upper, total) / means.shape[0])


def _sum_of_best(served: np.ndarray, chosen: list[int]) -> float:
    return float(served[:, chosen].max(axis=1, initial=0.0).sum(dtype=np.float64))


def _best_of(means: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(heads,) the best of the chosen columns, the first of equals in canonical order; -1 where none is scored."""
    if not len(chosen):
        return np.full(means.shape[0], -1, dtype=np.int64)
    chosen = np.sort(chosen)
    part = means[:, chosen]
    scored = ~np.isnan(part)
    best = chosen[np.argmax(np.where(scored, part, -1.0), axis=1)]
    return np.where(scored.any(axis=1), best, -1)


def _at(means: np.ndarray, programs: np.ndarray) -> np.ndarray:
    values = np.full(means.shape[0], np.nan, dtype=np.float32)
    heads = np.flatnonzero(programs >= 0)
    values[heads] = means[heads, programs[heads]]
    return values


def _row_max(means: np.ndarray) -> np.ndarray:
    return np.fmax.reduce(means, axis=1).astype(np.float32)
