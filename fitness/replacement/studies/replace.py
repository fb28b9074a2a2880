"""What replacing heads by programs costs a model, beside controls: the study behind `headscribe replace`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.heads import Head
from fitness.models.observe import inspect_heads
from fitness.replacement.measurements import Measurements
from fitness.replacement.predictions import SandboxPredictions
from fitness.replacement.studies.bench import Bench, Progress, SplitTexts
from fitness.replacement.studies.conditions import PROGRAMS, Condition, HeadPrograms
from fitness.replacement.studies.curves import (
    condition_numbers,
    fraction_conditions,
    measure_completeness,
    measure_fractions,
)
from fitness.replacement.studies.head_costs import estimate_heads, layer_conditions, measure_heads, measure_layers
from fitness.replacement.studies.least_cost import least_cost
from fitness.replacement.studies.settings import Settings
from fitness.sandbox import Sandbox


def study(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    explanation: HeadPrograms,
    texts: SplitTexts,
    make_sandbox: Callable[[], Sandbox],
    settings: Settings,
    *,
    kept: Measurements | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Replaces ever more heads by programs and by controls, and measures what the model still predicts.

    Identity is proven first; without it no number is returned.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        explanation: the programs, and what is fitted beside them.
        texts: texts by split; all numbers come from `test`, the order of least cost alone from `held_out`.
        make_sandbox: gives an empty sandbox.
        settings: what is asked.
        kept: where measurements are looked up and kept, so that an interrupted study goes on.
        progress: called with a stage's name, the steps done and all steps.
        note: called with a line for people, such as how long it will take.

    Returns:
        plain values for JSON, as described in docs/replacement.md.

    Raises:
        UserError: for settings that cannot be, or an empty assignment.
        IdentityError: where replacement is not exact for this model.
    """
    settings.check()
    if not explanation.assignment:
        raise UserError("no head has a program: there is nothing to replace")
    with SandboxPredictions(make_sandbox, causal=inspect_heads(model)[2]) as source:
        bench = Bench(model, tokenizer, explanation, texts, source, settings, kept=kept, progress=progress)
        if note is not None:
            note(_forecast(bench))
        result = _stages(bench)
    original = bench.measure("original", {})["original"]
    result["perplexity"] = {
        "measure": "perplexity" if bench.causal else "pseudo-perplexity",
        "original": original.perplexity,
        "original_interval": bench.resampler.perplexity([original])[1],
        **result.get("perplexity", {}),
    }
    result |= {
        "identity": bench.identity.as_dict() | {"lower_layers_shared": bench.shared},
        "texts": len(texts.test),
        "tokens": int(original.tokens.sum()),
        "heads": len(explanation.assignment),
        "failed_programs": bench.failed_programs(),
        "seed": settings.seed,
    }
    return _without_nan(result)


def _stages(bench: Bench) -> dict[str, Any]:
    """What the wanted stages found."""
    only, explanation = bench.settings.only, bench.explanation
    result: dict[str, Any] = {}
    cheapest: list[Head] | None = None
    if "order" in only:
        estimator = bench.estimator(held_out=True)
        stage = bench.stage("order of least cost")
        cheapest = least_cost(estimator, explanation.assignment, bench.settings.refreshes, stage)
        result["least_cost"] = _order(bench, cheapest)
    if "fractions" in only:
        result["perplexity"] = {"by_fraction": measure_fractions(bench, fraction_conditions(bench, cheapest))}
    if cheapest is not None:
        result["completeness"] = measure_completeness(bench, cheapest)
    if "layers" in only:
        result["per_layer"] = measure_layers(bench, layer_conditions(bench))
    if "heads" in only:
        result |= measure_heads(bench, estimate_heads(bench))
    return result


def _order(bench: Bench, cheapest: Sequence[Head]) -> dict[str, Any]:
    own = Condition(PROGRAMS, bench.explanation.assignment)
    scores = bench.measure("least cost first", {count: own.on(cheapest[:count]) for count in bench.counts})
    fractions = sorted(set(bench.settings.fractions))
    return {
        "order": [head.label for head in cheapest],
        "searched_on": bench.estimator(held_out=True).texts,
        "refreshes": bench.settings.refreshes,
        "by_fraction": [
            {"fraction": fraction, "heads": count} | condition_numbers(bench, [scores[count]], scores["original"])
            for fraction, count in zip(fractions, bench.counts, strict=True)
        ],
    }


def _forecast(bench: Bench) -> str:
    """How much there is to do, in words."""
    heads, texts = len(bench.explanation.assignment), bench.resampler.texts
    passes = bench.settings.passes(heads=heads, layers=bench.layers, test_texts=texts, shared=bench.shared)
    minutes = max(1, round(passes * bench.pass_seconds / 60))
    return (
        f"about {passes:.0f} forward passes over {texts} test texts, {bench.pass_seconds:.1f} s each: {minutes} min, "
        "less what an earlier run has measured"
    )


def _without_nan(value: Any) -> Any:
    """The same with None for numbers that are not defined: JSON knows no other way to say so."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
