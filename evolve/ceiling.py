"""What is about within reach of each head: the held-out IoU of a dense log-linear model, fitted once at the start.

It tells the search where effort pays, and people how much of what patterns explain is found. Operators never see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from evolve.store import Store
from fitness.scoring.pool import Pool
from fitness.scoring.worker import WorkerSpec, worker
from operators.shared.dense import (
    FIT_ELEMENTS,
    HELD_OUT_ELEMENTS,
    dense_ious,
    dense_sources,
    fit_dense,
    values_of,
)
from operators.shared.fit_sample import FitSample
from operators.shared.fit_scoring import coarse_scorer

REACHING = "fitting a log-linear model to each head"
_META = "ceiling_held_out"
# Heads of one task: sums depend on how many there are, so it does not follow the number of workers.
CHUNK = 16


@lru_cache(maxsize=1)
def _samples(spec: WorkerSpec) -> tuple[FitSample, np.ndarray, FitSample, np.ndarray]:
    """Queries of fit and of held-out texts, each with the values of all patterns."""
    here = worker(spec)
    blocks, _ = here.attention("held_out")

    def attention(head: int) -> np.ndarray:
        return np.concatenate([np.asarray(block[head], dtype=np.float32) for block in blocks])

    view = here.view()
    sources = dense_sources(coarse_scorer(view))
    fit = FitSample(view.texts, view.attention, causal=view.causal, max_elements=FIT_ELEMENTS)
    held_out = FitSample(here.texts("held_out"), attention, causal=view.causal, max_elements=HELD_OUT_ELEMENTS)
    return fit, values_of(sources, fit), held_out, values_of(sources, held_out)


def ceiling_chunk(spec: WorkerSpec, heads: Sequence[int]) -> list[float]:
    """Task for a worker process: held-out IoU of dense models of some heads, fitted on fit texts."""
    fit, patterns, held_out, patterns_held_out = _samples(spec)
    coefficients = fit_dense(patterns, fit, heads)
    return [float(iou) for iou in dense_ious(coefficients, patterns_held_out, held_out, heads)]


def remember_ceiling(store: Store, pool: Pool, spec: WorkerSpec) -> None:
    """Fits the dense models of all heads and keeps their held-out IoU; does nothing where that was done before."""
    if store.meta(_META) is not None:
        return
    heads = len(store.meta("labels"))
    chunks = [range(begin, min(begin + CHUNK, heads)) for begin in range(0, heads, CHUNK)]
    found = pool.run([(ceiling_chunk, (spec, list(chunk))) for chunk in chunks])
    store.set_meta(_META, [round(iou, 4) for chunk in found for iou in chunk])


def ceiling_by_head(store: Store) -> np.ndarray | None:
    """(heads,) held-out IoU of the dense models; None where they were not fitted."""
    found = store.meta(_META)
    return None if found is None else np.array(found)


def ceiling_held_out(store: Store) -> float | None:
    """Their mean over heads; None where they were not fitted."""
    found = ceiling_by_head(store)
    return None if found is None else float(found.mean())
