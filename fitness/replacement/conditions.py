"""In which order heads are replaced, and what stands in their place: the programs, or controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fitness.program import Program
from fitness.replacement.heads import Head
from fitness.replacement.perplexity import Meter

Programs = dict[Head, Program]

UNIFORM = Program.parse("def program(text):\n    return np.ones((text.n, text.n))\n")
FIRST_TOKEN = Program.parse("def program(text):\n    return text.is_first * np.ones((text.n, 1))\n")


def heads_at(fractions: Sequence[float], heads: int) -> list[int]:
    """Numbers of heads at fractions in [0, 1] of all; halves are rounded up."""
    return [min(heads, math.floor(fraction * heads + 0.5)) for fraction in fractions]


def by_iou(assignment: Mapping[Head, Program], iou: Mapping[Head, float]) -> list[Head]:
    """Heads, the best explained first."""
    return sorted(assignment, key=lambda head: (-iou[head], head))


def shuffled(assignment: Mapping[Head, Program], rng: np.random.Generator) -> Programs:
    """The same programs on the wrong heads: of 100 random permutations, the one that leaves fewest heads their own."""
    heads = list(assignment)
    best: Programs = dict(assignment)
    fewest = len(heads) + 1
    for _ in range(100):
        dealt = {head: assignment[heads[i]] for head, i in zip(heads, rng.permutation(len(heads)), strict=True)}
        same = sum(dealt[head].id == assignment[head].id for head in heads)
        if same < fewest:
            best, fewest = dealt, same
    return best


def least_cost(
    meter: Meter,
    assignment: Mapping[Head, Program],
    counts: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[Head]:
    """Heads in the order of measured cost: at each step, all that remain are tried on top of those already replaced.

    Args:
        meter: measures on texts that are not the test texts.
        assignment: the programs.
        counts: rising numbers of heads; a step goes from one to the next and takes the cheapest heads.
        progress: called with the number of trials done and of all.
    """
    chosen: list[Head] = []
    remaining = sorted(assignment)
    steps = [count for count in counts if count > 0]
    trials, done = sum(len(remaining) - begin for begin in [0, *steps[:-1]]), 0
    for count in steps:
        if count <= len(chosen):
            continue
        if len(remaining) > count - len(chosen):
            base = {head: assignment[head] for head in chosen}
            costs = meter.measure({head: base | {head: assignment[head]} for head in remaining})
            remaining.sort(key=lambda head: (costs[head].mean_loss, head))
        done += len(remaining)
        take = count - len(chosen)
        chosen, remaining = chosen + remaining[:take], remaining[take:]
        if progress is not None:
            progress(done, max(done, trials))
    return chosen + remaining
