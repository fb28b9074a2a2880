"""Lower bounds and proven optima: Lagrangean bounds, and integer programs through scipy's HiGHS.

Sources: Held and Karp 1971 and Beasley 1990 (subgradient bounds for set covering), Cornuejols, Fisher and
Nemhauser 1977 (the integer program of facility location).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import csr_array

from archives.cover import Cover

SLACK = 1e-6  # what a solver's rounding may take from a bound on whole numbers
BOUND_BUDGET = 200_000_000  # covering pairs the subgradient may look at
MOST_PAIRS = 3_000_000  # of facility location: each is a variable and a constraint
MAX_STEPS = 300
MIN_STEPS = 20


@dataclass(frozen=True)
class ExactCover:
    """Answer of the integer program.

    Attributes:
        selected: ascending programs, or None where the time limit came before any cover better than the one given.
        lower_bound: no cover has fewer programs.
        cheapest: no cover of `lower_bound` programs costs less than `selected`.
    """

    selected: list[int] | None
    lower_bound: int
    cheapest: bool


def lower_bound(cover: Cover, upper: int) -> int:
    """No cover has fewer programs: a Lagrangean bound by subgradient steps, their number a function of the instance.

    Args:
        cover: the instance.
        upper: size of a known cover; steps end when the bound meets it.
    """
    heads = np.flatnonzero(cover.coverable)
    if not len(heads) or upper <= 1:
        return min(upper, len(heads[:1]))
    pairs = csr_array(
        (np.ones(cover.pairs), cover.program_heads, cover.program_offsets), shape=(cover.programs, cover.heads)
    )
    back = csr_array(
        (np.ones(cover.pairs), cover.head_programs, cover.head_offsets), shape=(cover.heads, cover.programs)
    )
    price = np.zeros(cover.heads)
    # A head's price to begin with: an equal share of the smallest program that covers it, which is dual feasible.
    share = 1.0 / np.maximum(np.diff(cover.program_offsets), 1)
    for head in heads:
        price[head] = share[cover.programs_of(int(head))].min()
    steps = int(np.clip(BOUND_BUDGET // max(cover.pairs, 1), MIN_STEPS, MAX_STEPS))
    best, pace, stalled = 0.0, 1.0, 0
    for _ in range(steps):
        reduced = 1.0 - pairs @ price
        chosen = reduced < 0
        value = float(price.sum() + reduced[chosen].sum())
        best, stalled = (value, 0) if value > best + 1e-9 else (best, stalled + 1)
        if np.ceil(best - SLACK) >= upper:
            return upper
        if stalled >= 10:
            pace, stalled = pace / 2, 0
        slope = np.where(cover.coverable, 1.0 - back @ chosen.astype(np.float64), 0.0)
        length = float(slope @ slope)
        if length == 0:
            break
        price = np.maximum(price + pace * (upper - value) / length * slope, 0.0)
    return max(1, int(np.ceil(best - SLACK)))


def exact_cover(cover: Cover, costs: np.ndarray, known: list[int], *, seconds: float) -> ExactCover:
    """The fewest programs, then the least cost among covers of that size, by two integer programs.

    Args:
        cover: the instance.
        costs: (programs,) positive.
        known: a cover to do better than; it is the answer where nothing is better.
        seconds: time limit for both together.

    Returns:
        the optimum, or, where time ran out, the bound that was proven.
    """
    heads = np.flatnonzero(cover.coverable)
    if not len(heads):
        return ExactCover([], 0, cheapest=True)
    began = time.monotonic()
    cover_all = LinearConstraint(_rows(cover, heads), 1, np.inf)
    fewest, selected = lower_bound(cover, len(known)), known
    if fewest < len(known):
        no_more = LinearConstraint(csr_array(np.ones((1, cover.programs))), 0, len(known))
        first = _milp(np.ones(cover.programs), [cover_all, no_more], seconds)
        fewest = max(fewest, int(np.ceil(_bound(first, 1.0) - SLACK)))
        if first.x is not None and round(first.x.sum()) < len(known):
            selected = [int(p) for p in np.flatnonzero(first.x > 0.5)]
    left = seconds - (time.monotonic() - began)
    if fewest < len(selected) or left <= 0:
        return ExactCover(None if selected is known else selected, fewest, cheapest=False)
    no_more = LinearConstraint(csr_array(np.ones((1, cover.programs))), 0, fewest)
    second = _milp(costs.astype(np.float64), [cover_all, no_more], left)
    if second.x is not None:
        cheaper = [int(p) for p in np.flatnonzero(second.x > 0.5)]
        if costs[cheaper].sum() < costs[selected].sum() - SLACK:
            selected = cheaper
    proven = _bound(second, 0.0) >= costs[selected].sum() * (1 - 1e-9) - SLACK
    return ExactCover(selected, fewest, cheapest=bool(proven))


def exact_facility(served: np.ndarray, size: int, *, seconds: float) -> tuple[list[int] | None, float]:
    """The `size` programs of the greatest sum over heads of the best IoU, by an integer program.

    Args:
        served: (heads, programs) IoU in [0, 1], 0 where not scored.
        size: how many programs.
        seconds: time limit.

    Returns:
        ascending programs, and an upper bound of the sum; None and infinity where the time limit came first, or the
        instance has more than `MOST_PAIRS` pairs, for which the integer program would not fit into memory.
    """
    heads, programs = np.nonzero(served)
    pairs, columns = len(heads), served.shape[1]
    if not pairs:
        return [], 0.0
    if pairs > MOST_PAIRS:
        return None, np.inf
    # Variables: one a program (is it chosen), then one a pair (does this program serve this head).
    index = np.arange(pairs)
    serve = columns + index
    only_chosen = csr_array(
        (np.r_[np.ones(pairs), -np.ones(pairs)], (np.r_[index, index], np.r_[serve, programs])),
        shape=(pairs, columns + pairs),
    )
    once = csr_array((np.ones(pairs), (heads, serve)), shape=(served.shape[0], columns + pairs))
    count = csr_array(
        (np.ones(columns), (np.zeros(columns, dtype=int), np.arange(columns))), shape=(1, columns + pairs)
    )
    value = np.r_[np.zeros(columns), -served[heads, programs].astype(np.float64)]
    limits = [
        LinearConstraint(only_chosen, -np.inf, 0),
        LinearConstraint(once, 0, 1),
        LinearConstraint(count, 0, size),
    ]
    result = _milp(
        value, limits, seconds, integer=np.r_[np.ones(columns, dtype=np.int64), np.zeros(pairs, dtype=np.int64)]
    )
    selected = None if result.x is None else [int(p) for p in np.flatnonzero(result.x[:columns] > 0.5)]
    return selected, -_bound(result, -float(served.max(axis=1).sum(dtype=np.float64)))


def _rows(cover: Cover, heads: np.ndarray) -> csr_array:
    matrix = csr_array(
        (np.ones(cover.pairs), cover.head_programs, cover.head_offsets), shape=(cover.heads, cover.programs)
    )
    return matrix[heads]


def _milp(
    value: np.ndarray, limits: list[LinearConstraint], seconds: float, integer: np.ndarray | None = None
) -> OptimizeResult:
    return milp(
        value,
        integrality=np.ones(len(value), dtype=np.int64) if integer is None else integer,
        bounds=Bounds(0, 1),
        constraints=limits,
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )


def _bound(result: OptimizeResult, otherwise: float) -> float:
    bound = getattr(result, "mip_dual_bound", None)
    return otherwise if bound is None or not np.isfinite(bound) else float(bound)
