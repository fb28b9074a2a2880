"""Controls fitted on the fit texts: tables of attention, another text's attention, and heads' mean outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from transformers import PreTrainedModel

from fitness.heads import Head
from fitness.models.attention import Attention
from fitness.models.hooks import attention_route, uses_interface
from fitness.replacement.lower_layers import without_cache
from fitness.replacement.override import Assignment, FixedOutput
from fitness.replacement.sources import OtherText, Table, content_id
from fitness.scoring.packing import unpack
from fitness.scoring.references import MEAN, MEDIAN, fit_tables
from fitness.text.view import Text


def fitted_sources(attention: Attention, fit: Sequence[int], heads: Iterable[Head]) -> dict[str, Assignment]:
    """What stands in heads' places by the fit texts alone.

    Args:
        attention: captured attention.
        fit: indices of the fit texts.
        heads: the heads that are to be replaced.

    Returns:
        `mean_table` and `median_table`, continued by distance beyond the longest fit text, and `resample`: the head's
        own attention on a fit text.
    """
    tables = fit_tables(attention, fit)
    flat = {head: attention.labels.index(head.label) for head in heads}
    longest = max(text.n for text in attention.texts)
    lengths = [attention.texts[index].n for index in fit]
    contents = content_id("fit", np.concatenate([attention.texts[index].ids for index in fit]))

    def captured(row: int, number: int) -> np.ndarray:
        block = np.asarray(attention.block(fit[number])[row], dtype=np.float32)
        return unpack(block, lengths[number], causal=attention.causal)

    found: dict[str, Assignment] = {
        kind: {head: Table(kind, partial(tables.predict, kind, row), longest) for head, row in flat.items()}
        for kind in (MEAN, MEDIAN)
    }
    found["resample"] = {
        head: OtherText(f"resample {attention.labels[row]} {contents}", partial(captured, row), lengths)
        for head, row in flat.items()
    }
    return found


def mean_outputs(model: PreTrainedModel, texts: Sequence[Text]) -> dict[Head, FixedOutput] | None:
    """Each head's mean output over all tokens of texts (mean ablation); None without texts, or outputs out of reach."""
    if not texts or not uses_interface(model):
        return None
    sums: dict[int, np.ndarray] = {}

    def add(layer: int, output: torch.Tensor) -> None:
        total = output.double().sum((0, 1)).cpu().numpy()  # (heads, width)
        sums[layer] = sums.get(layer, 0) + total

    with torch.no_grad(), attention_route(model, observe_output=add):
        for text in texts:
            model(input_ids=torch.tensor([text.ids.tolist()], device=model.device), **without_cache(model))
    tokens = sum(text.n for text in texts)
    return {
        Head(layer, head): FixedOutput(content_id("mean_output", vector), vector)
        for layer, total in sums.items()
        for head, vector in enumerate((total / tokens).astype(np.float32))
    }
