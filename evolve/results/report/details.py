"""What the report shows beside a run's numbers: every head, every program of the library, and what both look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archives.bootstrap import RESAMPLES, Estimate, Split
from archives.classes import listed_words
from archives.export import function_names
from archives.gain import beyond_noise
from archives.library import ReducedLibrary
from archives.table import ScoreTable
from evolve.results.report.matrices import run_matrices
from fitness.models.attention import Attention
from fitness.scoring.baselines import baselines
from fitness.scoring.worker import WorkerSpec


def run_details(
    library: ReducedLibrary,
    spec: WorkerSpec,
    attention: Attention,
    iou: Mapping[str, Sequence[Estimate | None]],
) -> dict[str, Any]:
    """Plain values, as the database keeps them for the report.

    Args:
        library: the run's library, with its reference and baseline.
        spec: what a worker needs to draw predictions.
        attention: of the run's texts.
        iou: kind of texts -> (heads,) IoU of each head's program on them.

    Returns:
        `iou_on` (kinds of texts), `heads` (name -> `program`, `held_out`, `test`, `baseline_test`, `reference`,
        `reference_id`, `reference_test`, `gain`, `beyond_noise`, and intervals; `iou`, [IoU, low, high] on each kind of
        texts, None where not known), `programs` (`id`, `name`,
        `heads`, `test`, `words`, `class`, `source`, `measures`) and `matrices`, see `evolve.results.report.matrices`.
    """
    assert library.reference is not None
    assert library.baseline is not None
    reference, baseline = library.reference, library.baseline
    named = {program.id: name for name, program in baselines().items()}
    heads = {
        line.label: {
            "program": line.program,
            "held_out": line.iou_held_out,
            "test": _value(line.iou_test),
            "test_interval": _interval(line.iou_test),
            "baseline_test": _value(baseline.other_by_head[row]),
            "reference": named.get(reference.than[row] or "", reference.than[row]),
            "reference_id": reference.than[row],
            "reference_test": _value(reference.other_by_head[row]),
            "gain": _value(reference.by_head[row]),
            "gain_interval": _interval(reference.by_head[row]),
            "iou": [_rounded(found[row]) for found in iou.values()],
            "beyond_noise": beyond_noise(reference.by_head[row]),
        }
        for row, line in enumerate(library.heads)
    }
    return {
        "iou_on": list(iou),
        "heads": heads,
        "programs": _programs(library),
        "matrices": run_matrices(library, spec, attention),
    }


def _programs(library: ReducedLibrary) -> list[dict[str, Any]]:
    names = function_names(library)
    return [
        {
            "id": member.id,
            "name": names[member.id],
            "heads": list(member.heads),
            "test": _value(member.iou_test),
            "words": len(listed_words(member.program)) if member.program else 0,
            "measures": dict(member.descriptors),
            "source": member.program.source if member.program else None,
            "class": library.classes.get(member.id),
        }
        for member in library.members
    ]


def iou_on(
    scores: ScoreTable, library: ReducedLibrary, domains: Sequence[str], seed: int
) -> list[list[Estimate | None]]:
    """IoU of each head's program: a list for all texts, and where there are several domains one for each.

    Args:
        scores: (heads, programs, texts), text i of domain i modulo their number, for at least the library's programs.
        library: has each head's program.
        domains: names of the domains.
        seed: of the bootstrap over texts.
    """
    names = [line.program for line in library.heads]
    parts = [scores.scores]
    if len(domains) > 1:
        parts += [scores.scores[:, :, place :: len(domains)] for place in range(len(domains))]
    tables = [ScoreTable(part, scores.heads, scores.programs) for part in parts]
    return [Split.of(table, seed=seed, resamples=RESAMPLES).by_head(names) for table in tables]


def _rounded(estimate: Estimate | None) -> list[float | None] | None:
    if estimate is None:
        return None
    return [None if value is None else round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]


def _interval(estimate: Estimate | None) -> list[float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return [estimate.low, estimate.high]


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
