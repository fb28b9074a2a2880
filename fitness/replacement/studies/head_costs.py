"""What it costs to replace one layer or one head: measured, and estimated for all heads at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from fitness.heads import Head
from fitness.program import Program
from fitness.replacement.override import Assignment
from fitness.replacement.perplexity import Losses
from fitness.replacement.sources import UNIFORM
from fitness.replacement.studies.attribution import Estimates
from fitness.replacement.studies.bench import Bench
from fitness.replacement.studies.conditions import MEAN_TABLE, PROGRAMS
from fitness.replacement.studies.intervals import correlation, mean_over_groups

Row = dict[str, Any]
FEWEST_POINTS = 3


def layer_conditions(bench: Bench) -> dict[tuple[str, int], Assignment]:
    """(name, layer) -> all heads of one layer replaced."""
    assignment = bench.explanation.assignment
    found: dict[tuple[str, int], Assignment] = {}
    for layer in sorted({layer for layer, _ in assignment}):
        inside = [head for head in sorted(assignment) if head[0] == layer]
        found[PROGRAMS, layer] = {head: assignment[head] for head in inside}
        if MEAN_TABLE in bench.explanation.fitted:
            table = bench.explanation.fitted[MEAN_TABLE]
            found[MEAN_TABLE, layer] = {head: table[head] for head in inside}
        else:
            found["uniform", layer] = dict.fromkeys(inside, UNIFORM)
    return found


def measure_layers(bench: Bench, assignments: Mapping[tuple[str, int], Assignment]) -> list[Row]:
    """One row a layer."""
    scores = bench.measure("layers", assignments)
    rows = []
    for layer in sorted({layer for _, layer in assignments}):
        programs = scores[PROGRAMS, layer]
        row: Row = {"layer": layer, "heads": len(assignments[PROGRAMS, layer])}
        for name in ("uniform", MEAN_TABLE):
            if (name, layer) in scores:
                row[name] = scores[name, layer].perplexity
        increase, interval = bench.resampler.increase([programs], scores["original"])
        row |= {"increase_percent": increase, "increase_percent_interval": interval}
        rows.append(row | {"perplexity": programs.perplexity, "kl": programs.kl, "agreement": programs.agreement})
    return rows


@dataclass(frozen=True)
class HeadEstimates:
    """Estimated costs of all assigned heads, by what takes their place.

    Attributes:
        by_name: `programs`, `uniform`, `mean_table` where there is one, and each program of the library by id.
        library: the programs that stand in every head's place in turn.
    """

    by_name: Mapping[str, Estimates]
    library: Sequence[Program]


def estimate_heads(bench: Bench) -> HeadEstimates:
    """Estimates on the test texts: every head with its own program, with controls, and with every library program."""
    explanation = bench.explanation
    heads = sorted(explanation.assignment)
    library = list({p.id: p for p in (*explanation.library, *explanation.assignment.values())}.values())
    options: dict[str, Assignment] = {PROGRAMS: explanation.assignment, "uniform": dict.fromkeys(heads, UNIFORM)}
    if MEAN_TABLE in explanation.fitted:
        options[MEAN_TABLE] = explanation.fitted[MEAN_TABLE]
    options |= {program.id: dict.fromkeys(heads, program) for program in library}
    estimator = bench.estimator(held_out=False)
    advance, done = bench.stage("estimating heads"), 0

    def progress() -> None:
        nonlocal done
        done += 1
        if advance is not None:
            advance(done, estimator.batches)

    return HeadEstimates(estimator.estimate(options, progress=progress), library)


def heads_to_measure(bench: Bench, estimated: HeadEstimates) -> list[Head]:
    """The costliest heads by estimate for one half, a random draw of the others for the other half."""
    costs = estimated.by_name[PROGRAMS].by_head()
    ranked = sorted(costs, key=lambda head: (-costs[head], head))
    wanted = min(bench.settings.measure_heads, len(ranked))
    costliest = ranked[: wanted - wanted // 2]
    others = ranked[len(costliest) :]
    rng = np.random.default_rng((bench.settings.seed, 0x4EAD))
    drawn = rng.permutation(len(others))[: wanted - len(costliest)]
    return sorted([*costliest, *(others[index] for index in drawn)])


def measure_heads(bench: Bench, estimated: HeadEstimates) -> dict[str, Any]:
    """`per_head`, `correlation`, `estimates` and `pairs` of the result."""
    explanation = bench.explanation
    chosen = heads_to_measure(bench, estimated)
    rng = np.random.default_rng((bench.settings.seed, 0x9A1))
    single: dict[tuple[str, Head], Assignment] = {}
    for head in chosen:
        single[PROGRAMS, head] = {head: explanation.assignment[head]}
    for index in sorted(rng.permutation(len(chosen))[: bench.settings.pairs]):
        head = chosen[index]
        others = [program for program in estimated.library if program.id != explanation.assignment[head].id]
        pair = others[rng.integers(len(others))] if others else explanation.assignment[head]
        single["uniform", head] = {head: UNIFORM}
        single["pair", head] = {head: pair}
    scores = bench.measure("heads", single)
    alone = {head: scores[PROGRAMS, head] for head in chosen}
    costs = {head: found.mean_loss - scores["original"].mean_loss for head, found in alone.items()}
    rows = [_head_row(bench, head, estimated, scores) for head in bench.order]
    return {
        "per_head": rows,
        "correlation": _iou_with_cost(explanation.head_iou, costs, bench.settings.seed),
        "estimates": _agreement(estimated.by_name[PROGRAMS], costs, bench.settings.seed),
        "pairs": _pairs(bench, estimated, single, scores),
    }


def _head_row(bench: Bench, head: Head, estimated: HeadEstimates, scores: Mapping[Any, Losses]) -> Row:
    program = bench.explanation.assignment[head]
    own = estimated.by_name[PROGRAMS]
    place = own.heads.index(head)
    row: Row = {
        "head": head.label,
        "program": program.id,
        "iou": float(bench.explanation.head_iou[head]),
        "estimated_cost": float(own.cost[place]),
        "estimated_cost_first_order": float(own.first[place]),
    }
    for name in ("uniform", MEAN_TABLE):
        if name in estimated.by_name:
            row[f"{name}_estimated_cost"] = estimated.by_name[name].by_head()[head]
    keys = ("cost", "cost_standard_error", "uniform_cost", "perplexity", "kl", "agreement")
    if (PROGRAMS, head) not in scores:
        return row | dict.fromkeys(keys)
    original, alone = scores["original"], scores[PROGRAMS, head]
    cost, error = original.paired_difference(alone)
    uniform = original.paired_difference(scores["uniform", head])[0] if ("uniform", head) in scores else None
    return row | dict(zip(keys, (cost, error, uniform, alone.perplexity, alone.kl, alone.agreement), strict=True))


def _iou_with_cost(iou: Mapping[Head, float], costs: Mapping[Head, float], seed: int) -> Row:
    """Rank correlation of IoU with the measured cost of replacing that head alone; None where it is not defined."""
    groups = [np.array([[iou[head], cost]]) for head, cost in costs.items()]
    found: Row = dict(correlation(groups, seed))
    found["p_value"] = None
    if found["spearman"] is not None:
        points = np.concatenate(groups)
        found["p_value"] = float(spearmanr(points[:, 0], points[:, 1]).pvalue)
    return found


def _agreement(estimates: Estimates, costs: Mapping[Head, float], seed: int) -> Row:
    """How well estimated costs rank the heads that were measured too."""
    terms = {"spearman": estimates.cost, "spearman_first_order": estimates.first}
    found: Row = {"heads_measured": len(costs)}
    for name, values in terms.items():
        by_head = dict(zip(estimates.heads, values.tolist(), strict=True))
        groups = [np.array([[by_head[head], cost]]) for head, cost in costs.items()]
        result = correlation(groups, seed)
        found |= {name: result["spearman"], f"{name}_interval": result["interval"]}
    return found


def _pairs(
    bench: Bench,
    estimated: HeadEstimates,
    single: Mapping[tuple[str, Head], Assignment],
    scores: Mapping[Any, Losses],
) -> Row:
    """Correlation of IoU with cost over pairs of a head and a program, not only over heads with their best programs."""
    known, seed = bench.explanation.pair_iou, bench.settings.seed
    measured: dict[Head, list[list[float]]] = {}
    for (name, head), assignment in single.items():
        (program,) = assignment.values()
        if isinstance(program, Program) and (program.id, head) in known:
            cost = scores[name, head].mean_loss - scores["original"].mean_loss
            measured.setdefault(head, []).append([known[program.id, head], cost])
    guessed: dict[Head, list[list[float]]] = {}
    for program in estimated.library:
        for head, cost in estimated.by_name[program.id].by_head().items():
            if (program.id, head) in known:
                guessed.setdefault(head, []).append([known[program.id, head], cost])
    groups = [np.array(points) for points in guessed.values()]
    within = [
        float(spearmanr(points[:, 0], points[:, 1]).statistic)
        for points in groups
        if len(points) >= FEWEST_POINTS and np.ptp(points[:, 0]) > 0 and np.ptp(points[:, 1]) > 0
    ]
    inside: Row = {"spearman": None, "interval": None, "heads": len(within)}
    if within:
        inside["spearman"], inside["interval"] = mean_over_groups(np.array(within), seed)
    return {
        "measured": correlation([np.array(points) for points in measured.values()], seed),
        "estimated": correlation(groups, seed, resamples=200),
        "estimated_within_heads": inside,
    }
