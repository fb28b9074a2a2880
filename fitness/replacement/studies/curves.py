"""Ever more heads replaced: perplexity under every condition, with intervals, and the share of damage recovered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fitness.heads import Head
from fitness.replacement.override import Assignment
from fitness.replacement.perplexity import Losses
from fitness.replacement.studies.bench import Bench
from fitness.replacement.studies.conditions import ABLATIONS, MEAN_TABLE, PROGRAMS, Condition, all_conditions

RANDOM_ORDER, LEAST_COST = "random_order", "least_cost"
# Mean tables on the heads of the random orders: programs chose the order by IoU, and no table had a say in it.
RANDOM_TABLE = "mean_table_random_order"
# Numbers of heads that keep their own attention while programs stand in all others' places.
KEPT = (0, 3, 30)

Row = dict[str, Any]
Place = tuple[str, int, int]


def fraction_conditions(bench: Bench, cheapest: Sequence[Head] | None) -> dict[Place, Assignment]:
    """(name, draw, number of heads) -> what stands where, for every fraction."""
    explanation, settings = bench.explanation, bench.settings
    conditions = all_conditions(explanation, bench.mean_output, draws=settings.draws, seed=settings.seed)
    rng = np.random.default_rng((settings.seed, 0x0DE5))
    orders = []
    for _ in range(settings.draws):
        shuffled = sorted(explanation.assignment)
        rng.shuffle(shuffled)
        orders.append(shuffled)
    own = Condition(PROGRAMS, explanation.assignment)
    found: dict[Place, Assignment] = {}
    for count in bench.counts:
        for condition in conditions:
            found[condition.name, condition.draw, count] = condition.on(bench.order[:count])
        for draw, order in enumerate(orders):
            found[RANDOM_ORDER, draw, count] = own.on(order[:count])
            if MEAN_TABLE in explanation.fitted:
                table = Condition(MEAN_TABLE, explanation.fitted[MEAN_TABLE])
                found[RANDOM_TABLE, draw, count] = table.on(order[:count])
        if cheapest is not None:
            found[LEAST_COST, 0, count] = own.on(cheapest[:count])
    return found


def measure_fractions(bench: Bench, assignments: Mapping[Place, Assignment]) -> list[Row]:
    """One row a fraction."""
    scores = bench.measure("fractions", assignments)
    rows = []
    for fraction, count in zip(sorted(set(bench.settings.fractions)), bench.counts, strict=True):
        here: dict[str, list[Losses]] = {}
        for name, draw, heads in assignments:
            if heads == count:
                here.setdefault(name, []).append(scores[name, draw, heads])
        rows.append({"fraction": fraction, "heads": count} | row_of(bench, here, scores["original"]))
    return rows


def row_of(bench: Bench, here: Mapping[str, Sequence[Losses]], original: Losses) -> Row:
    """Numbers of all conditions on the same heads.

    Args:
        bench: the model under measurement.
        here: name -> scores of its draws.
        original: scores of the model as it is.
    """
    row: Row = {}
    for name, draws in here.items():
        perplexities = [scores.perplexity for scores in draws]
        if name == RANDOM_ORDER:
            row["random_order_mean"] = float(np.mean(perplexities))
        else:
            row[name] = float(np.mean(perplexities))
        if len(draws) > 1 or name == RANDOM_ORDER:
            row[f"{name}_std"] = float(np.std(perplexities, ddof=1)) if len(draws) > 1 else 0.0
    programs = here[PROGRAMS][0]
    row |= {"kl": programs.kl, "agreement": programs.agreement}
    if "uniform" in here:
        uniform = here["uniform"][0]
        advantage, error = programs.paired_difference(uniform)
        row |= {"uniform_kl": uniform.kl, "uniform_agreement": uniform.agreement}
        row |= {"advantage": advantage, "advantage_standard_error": error}
    row["conditions"] = {name: condition_numbers(bench, draws, original) for name, draws in here.items()}
    row["recovered"] = {
        name: _with_interval(bench.resampler.recovered([programs], here[name], original))
        for name in ABLATIONS
        if name in here
    }
    if MEAN_TABLE in here:
        row["programs_minus_mean_table"] = against_table(bench, here[PROGRAMS], here[MEAN_TABLE])
        row["random_order_minus_mean_table"] = against_table(bench, here[RANDOM_ORDER], here[RANDOM_TABLE])
    return row


def condition_numbers(bench: Bench, draws: Sequence[Losses], original: Losses) -> Row:
    """Perplexity with its interval, and its increase in per cent: of all texts together, and as the mean over texts."""
    perplexity, interval = bench.resampler.perplexity(draws)
    increase, increase_interval = bench.resampler.increase(draws, original)
    by_text, by_text_interval = bench.resampler.text_increase(draws, original)
    return {
        "perplexity": perplexity,
        "interval": interval,
        "increase_percent": increase,
        "increase_percent_interval": increase_interval,
        "text_increase_percent": by_text,
        "text_increase_percent_interval": by_text_interval,
        "kl": float(np.mean([scores.kl for scores in draws])),
        "agreement": float(np.mean([scores.agreement for scores in draws])),
        "draws": len(draws),
    }


def against_table(bench: Bench, programs: Sequence[Losses], tables: Sequence[Losses]) -> Row:
    """Loss of programs minus loss of mean tables in nats per token, paired by text, and what it says in words."""
    value, (low, high) = bench.resampler.difference(tables, programs)
    if low > 0:
        says = "programs cost more than mean tables"
    elif high < 0:
        says = "programs cost less than mean tables"
    else:
        says = "programs and mean tables do not differ beyond noise"
    return {"value": value, "interval": [low, high], "says": says}


def measure_completeness(bench: Bench, cheapest: Sequence[Head]) -> list[Row]:
    """Programs everywhere but in k heads: the k of highest cost, or k at random (Wang et al. 2023, completeness)."""
    assignment = bench.explanation.assignment
    everywhere = Condition(PROGRAMS, assignment)
    rng = np.random.default_rng((bench.settings.seed, 0xC0))
    random = [sorted(assignment)[index] for index in rng.permutation(len(assignment))]
    counts = [kept for kept in KEPT if kept < len(assignment)]
    assignments: dict[tuple[str, int], Assignment] = {}
    for kept in counts:
        assignments["costliest", kept] = everywhere.on(cheapest[: len(assignment) - kept])
        assignments["random", kept] = everywhere.on(random[kept:])
    scores = bench.measure("programs everywhere but in a few heads", assignments)
    rows = []
    for kept in counts:
        row: Row = {"kept": kept, "heads_kept": [head.label for head in cheapest[len(assignment) - kept :]]}
        for name in ("costliest", "random"):
            found = scores[name, kept]
            row[name] = condition_numbers(bench, [found], scores["original"])
            share = bench.resampler.recovered([found], [scores["costliest", 0]], scores["original"])
            row[name]["recovered_of_all_replaced"] = _with_interval(share)
        rows.append(row)
    return rows


def _with_interval(found: tuple[float, list[float]]) -> Row:
    return {"value": found[0], "interval": found[1]}
