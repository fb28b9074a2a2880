"""What is put in the place of heads: the programs, ablations and controls, one list for all that measures them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fitness.heads import Head
from fitness.program import Program
from fitness.replacement.override import Assignment, Source
from fitness.replacement.sources import FIRST_TOKEN, UNIFORM, Nothing

# What a head is put out of action by. The share of the damage that programs avoid is reported for each.
ABLATIONS = ("mean_table", "median_table", "mean_output", "resample", "zero", "uniform", "first_token")
PROGRAMS, MEAN_TABLE = "programs", "mean_table"


@dataclass(frozen=True)
class HeadPrograms:
    """What a campaign says about heads, and what else could be said.

    Attributes:
        assignment: head -> its program.
        head_iou: head -> held-out IoU of that program.
        library: the programs of the library; those assigned if empty.
        single: the best single program, or None.
        fitted: name -> what stands in each head's place by the fit texts alone: `mean_table`, `median_table`,
            `resample`.
        classes: program id -> its class, such as "previous token".
        pair_iou: (program id, head) -> held-out IoU, of as many pairs as are known.
    """

    assignment: Mapping[Head, Program]
    head_iou: Mapping[Head, float]
    library: Sequence[Program] = ()
    single: Program | None = None
    fitted: Mapping[str, Assignment] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    pair_iou: Mapping[tuple[str, Head], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """One way of replacing heads.

    Attributes:
        name: such as `mean_table`; several draws of one control share it.
        sources: what would stand in the place of each head.
        draw: number of the draw, from 0.
    """

    name: str
    sources: Mapping[Head, Source]
    draw: int = 0

    def on(self, heads: Iterable[Head]) -> dict[Head, Source]:
        """What stands in the place of these heads."""
        return {head: self.sources[head] for head in heads}


def all_conditions(
    explanation: HeadPrograms, mean_output: Assignment | None, *, draws: int, seed: int
) -> list[Condition]:
    """Every condition that this explanation allows.

    Args:
        explanation: the programs, and what is fitted beside them.
        mean_output: each head's mean output, or None where outputs are out of reach.
        draws: number of draws of each control with programs on the wrong heads.
        seed: of the draws.
    """
    assignment = explanation.assignment
    everywhere: dict[str, Source | None] = {
        "zero": Nothing(),
        "uniform": UNIFORM,
        "first_token": FIRST_TOKEN,
        "single_program": explanation.single,
    }
    found = [Condition(PROGRAMS, assignment)]
    found += [Condition(name, sources) for name, sources in explanation.fitted.items()]
    found += [Condition("mean_output", mean_output)] if mean_output else []
    found += [Condition(name, dict.fromkeys(assignment, source)) for name, source in everywhere.items() if source]
    rng = np.random.default_rng((seed, 0x9E91))
    library = list(explanation.library) or list({p.id: p for p in assignment.values()}.values())
    drawn = {head: library[rng.integers(len(library))] for head in sorted(assignment)}
    found.append(Condition("random_library_program", drawn))
    groups: dict[str, Callable[[Head], Hashable]] = {
        "random_programs": lambda head: None,
        "shuffled_within_layer": lambda head: head[0],
    }
    if explanation.classes:
        groups["shuffled_within_class"] = lambda head: explanation.classes.get(assignment[head].id)
    for name, group in groups.items():
        found += [Condition(name, shuffled(assignment, rng, group), draw) for draw in range(draws)]
    return found


def heads_at(fractions: Sequence[float], heads: int) -> list[int]:
    """Numbers of heads at fractions in [0, 1] of all; halves are rounded up."""
    return [min(heads, math.floor(fraction * heads + 0.5)) for fraction in fractions]


def by_iou(assignment: Mapping[Head, Program], iou: Mapping[Head, float]) -> list[Head]:
    """Heads, the best explained first."""
    return sorted(assignment, key=lambda head: (-iou[head], head))


def shuffled(
    assignment: Mapping[Head, Program], rng: np.random.Generator, group: Callable[[Head], Hashable] = lambda head: None
) -> dict[Head, Program]:
    """The same programs on the wrong heads of their group, all heads being one group by default.

    Of 100 random permutations of each group, the one that leaves fewest heads their own program is taken.
    """
    members: dict[Hashable, list[Head]] = {}
    for head in sorted(assignment):
        members.setdefault(group(head), []).append(head)
    dealt: dict[Head, Program] = {}
    for heads in members.values():
        best, fewest = list(heads), len(heads) + 1
        for _ in range(100):
            order = [heads[index] for index in rng.permutation(len(heads))]
            same = sum(assignment[a].id == assignment[b].id for a, b in zip(heads, order, strict=True))
            if same < fewest:
                best, fewest = order, same
        dealt |= {head: assignment[other] for head, other in zip(heads, best, strict=True)}
    return dealt
