"""In which order heads are best given to programs: one at a time by estimated cost, estimated anew now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fitness.heads import Head
from fitness.replacement.override import Source
from fitness.replacement.studies.attribution import Estimator


def least_cost(
    estimator: Estimator,
    assignment: Mapping[Head, Source],
    refreshes: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Head]:
    """Heads in the order of estimated cost, the cheapest first; it knows nothing of fractions.

    Args:
        estimator: estimates on texts that are not the test texts.
        assignment: what takes the place of each head.
        refreshes: number of estimates; the heads between two of them are taken in the order of the first, and each is
            made with all heads before it replaced.
        progress: called with the batches done and all.
    """
    chosen: list[Head] = []
    remaining = sorted(assignment)
    done, total = 0, refreshes * estimator.batches

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for turn in range(min(refreshes, len(assignment))):
        options = {"programs": {head: assignment[head] for head in remaining}}
        replaced = {head: assignment[head] for head in chosen}
        costs = estimator.estimate(options, replaced, advance)["programs"].by_head()
        remaining.sort(key=lambda head: (costs[head], head))
        take = -(-len(remaining) // (refreshes - turn))
        chosen, remaining = chosen + remaining[:take], remaining[take:]
    return chosen + remaining
