"""What replacing heads by programs costs a model, beside controls: the study behind `headscribe replace`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.capture import inspect_heads
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement.conditions import FIRST_TOKEN, UNIFORM, Programs, by_iou, heads_at, least_cost, shuffled
from fitness.replacement.heads import Head
from fitness.replacement.identity import prove_identity
from fitness.replacement.perplexity import Meter, Scores
from fitness.replacement.predictions import SandboxPredictions
from fitness.sandbox import Sandbox
from fitness.text.view import Text

FRACTIONS = tuple(percent / 100 for percent in range(0, 101, 5))
IDENTITY_TEXTS = 2

Progress = Callable[[str, int, int], None]


def study(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    held_out_texts: Sequence[Text],
    assignment: Mapping[Head, Program],
    head_iou: Mapping[Head, float],
    make_sandbox: Callable[[], Sandbox],
    *,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    random_orders: int = 5,
    search_texts: int = 16,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Replaces ever more heads by programs and by controls, and measures what the model still predicts.

    Identity is proven first; without it no number is returned.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        texts: test texts, which all numbers but `least_cost`'s order come from.
        held_out_texts: texts on which the order of least cost is searched.
        assignment: (layer, head) -> its program.
        head_iou: (layer, head) -> held-out IoU of that program.
        make_sandbox: gives an empty sandbox.
        seed: of the random orders and the shuffled programs.
        fractions: shares in [0, 1] of the assigned heads that are replaced.
        random_orders: number of random orders, at least 1.
        search_texts: the most held-out texts that the order of least cost is searched on.
        progress: called with a stage's name, the steps done and all steps.

    Returns:
        plain values for JSON, as described in docs/replacement.md.

    Raises:
        UserError: for fractions outside [0, 1], no random order, or an empty assignment.
        IdentityError: where replacement is not exact for this model.
    """
    _check(assignment, fractions, random_orders)
    reader = Reader(tokenizer)
    causal = inspect_heads(model)[2]
    identity = prove_identity(model, reader, texts[:IDENTITY_TEXTS])
    fractions = sorted(set(fractions))
    counts = heads_at(fractions, len(assignment))
    rng = np.random.default_rng((seed, 0x9E91))
    with SandboxPredictions(make_sandbox, causal=causal) as source:
        searched = Meter(model, tokenizer, source, held_out_texts[:search_texts], causal=causal)
        cheapest = least_cost(searched, assignment, counts, _stage(progress, "order of least cost"))
        meter = Meter(model, tokenizer, source, texts, causal=causal)
        orders = [sorted(assignment) for _ in range(random_orders)]
        conditions = _conditions(assignment, by_iou(assignment, head_iou), cheapest, orders, counts, rng)
        scores = _measure_once(meter, conditions, _stage(progress, "perplexity"))
        failures = dict(source.failures)
    alone = {head: scores["head", head] for head in assignment}
    return {
        "perplexity": {
            "measure": "perplexity" if causal else "pseudo-perplexity",
            "original": scores["original"].perplexity,
            "by_fraction": _rows(scores, fractions, counts, random_orders),
        },
        "per_layer": [_layer_row(scores, assignment, layer) for layer in sorted({layer for layer, _ in assignment})],
        "per_head": [_head_row(scores, head, assignment, head_iou) for head in by_iou(assignment, head_iou)],
        "correlation": _correlation(alone, scores["original"], head_iou),
        "least_cost": {
            "order": [f"L{layer}H{head}" for layer, head in cheapest],
            "searched_on": min(search_texts, len(held_out_texts)),
            "by_fraction": [
                {"fraction": fraction, "heads": count} | _summary(scores["least_cost", count])
                for fraction, count in zip(fractions, counts, strict=True)
            ],
        },
        "identity": identity.as_dict(),
        "texts": len(texts),
        "tokens": int(scores["original"].tokens.sum()),
        "heads": len(assignment),
        "failed_programs": failures,
        "seed": seed,
    }


def _check(assignment: Mapping[Head, Program], fractions: Sequence[float], random_orders: int) -> None:
    if not assignment:
        raise UserError("no head has a program: there is nothing to replace")
    if not fractions or min(fractions) < 0 or max(fractions) > 1:
        raise UserError("fractions: give shares from 0 to 1, such as 0.25")
    if random_orders < 1:
        raise UserError("random_orders: at least one random order is needed as a control")


def _stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _conditions(
    assignment: Mapping[Head, Program],
    order: list[Head],
    cheapest: list[Head],
    orders: list[list[Head]],
    counts: Sequence[int],
    rng: np.random.Generator,
) -> dict[Hashable, Programs]:
    """Everything that is measured on the test texts: name -> which heads get which programs."""
    wrong = shuffled(assignment, rng)
    conditions: dict[Hashable, Programs] = {"original": {}}
    for heads in orders:
        rng.shuffle(heads)
    for count in counts:
        best = order[:count]
        conditions["programs", count] = {head: assignment[head] for head in best}
        conditions["uniform", count] = dict.fromkeys(best, UNIFORM)
        conditions["first_token", count] = dict.fromkeys(best, FIRST_TOKEN)
        conditions["random_programs", count] = {head: wrong[head] for head in best}
        conditions["least_cost", count] = {head: assignment[head] for head in cheapest[:count]}
        for index, heads in enumerate(orders):
            conditions["random_order", index, count] = {head: assignment[head] for head in heads[:count]}
    for layer in {layer for layer, _ in assignment}:
        inside = [head for head in assignment if head[0] == layer]
        conditions["layer", layer] = {head: assignment[head] for head in inside}
        conditions["uniform layer", layer] = dict.fromkeys(inside, UNIFORM)
    for head, program in assignment.items():
        conditions["head", head] = {head: program}
        conditions["uniform head", head] = {head: UNIFORM}
    return conditions


def _measure_once(
    meter: Meter, conditions: Mapping[Hashable, Programs], progress: Callable[[int, int], None] | None
) -> dict[Hashable, Scores]:
    """Measures conditions that are the same but for their names only once."""
    keys = {name: tuple(sorted((h, p.id) for h, p in programs.items())) for name, programs in conditions.items()}
    different = {keys[name]: programs for name, programs in conditions.items()}
    measured = meter.measure(different, progress)
    return {name: measured[key] for name, key in keys.items()}


def _summary(scores: Scores) -> dict[str, float]:
    return {"perplexity": scores.perplexity, "kl": scores.kl, "agreement": scores.agreement}


def _rows(
    scores: Mapping[Hashable, Scores], fractions: Sequence[float], counts: Sequence[int], random_orders: int
) -> list[dict[str, float]]:
    rows = []
    for fraction, count in zip(fractions, counts, strict=True):
        programs, uniform = scores["programs", count], scores["uniform", count]
        at_random = [scores["random_order", index, count].perplexity for index in range(random_orders)]
        advantage, error = programs.paired_difference(uniform)
        rows.append(
            {
                "fraction": fraction,
                "heads": count,
                "programs": programs.perplexity,
                "uniform": uniform.perplexity,
                "first_token": scores["first_token", count].perplexity,
                "random_programs": scores["random_programs", count].perplexity,
                "random_order_mean": float(np.mean(at_random)),
                "random_order_std": float(np.std(at_random, ddof=1)) if random_orders > 1 else 0.0,
                "least_cost": scores["least_cost", count].perplexity,
                "kl": programs.kl,
                "agreement": programs.agreement,
                "uniform_kl": uniform.kl,
                "uniform_agreement": uniform.agreement,
                "advantage": advantage,
                "advantage_standard_error": error,
            }
        )
    return rows


def _layer_row(scores: Mapping[Hashable, Scores], assignment: Mapping[Head, Program], layer: int) -> dict[str, float]:
    heads = sum(of == layer for of, _ in assignment)
    row = {"layer": layer, "heads": heads, "uniform": scores["uniform layer", layer].perplexity}
    return row | _summary(scores["layer", layer])


def _head_row(
    scores: Mapping[Hashable, Scores], head: Head, assignment: Mapping[Head, Program], head_iou: Mapping[Head, float]
) -> dict[str, Any]:
    original, alone = scores["original"], scores["head", head]
    cost, error = original.paired_difference(alone)
    return {
        "head": f"L{head[0]}H{head[1]}",
        "program": assignment[head].id,
        "iou": float(head_iou[head]),
        "cost": cost,
        "cost_standard_error": error,
        "uniform_cost": original.paired_difference(scores["uniform head", head])[0],
    } | _summary(alone)


def _correlation(
    alone: Mapping[Head, Scores], original: Scores, head_iou: Mapping[Head, float]
) -> dict[str, float | int | None]:
    """Rank correlation of IoU with the cost of replacing that head alone; None where it is not defined."""
    iou = [head_iou[head] for head in alone]
    costs = [scores.mean_loss - original.mean_loss for scores in alone.values()]
    if len(set(iou)) < 2 or len(set(costs)) < 2 or len(iou) < 3:
        return {"spearman": None, "p_value": None, "heads": len(iou)}
    found = spearmanr(iou, costs)
    return {"spearman": float(found.statistic), "p_value": float(found.pvalue), "heads": len(iou)}
