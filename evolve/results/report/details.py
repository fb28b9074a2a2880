"""What the report shows beside a run's numbers: every head, every program of the library, and what both look like."""

from __future__ import annotations

from typing import Any

from archives.bootstrap import Estimate
from archives.classes import listed_words
from archives.export import function_names
from archives.gain import beyond_noise
from archives.library import ReducedLibrary
from evolve.results.report.matrices import run_matrices
from fitness.models.attention import Attention
from fitness.scoring.baselines import baselines
from fitness.scoring.worker import WorkerSpec


def run_details(library: ReducedLibrary, spec: WorkerSpec, attention: Attention) -> dict[str, Any]:
    """Plain values, as the database keeps them for the report.

    Args:
        library: the run's library, with its reference and baseline.
        spec: what a worker needs to draw predictions.
        attention: of the run's texts.

    Returns:
        `heads` (name -> `program`, `held_out`, `test`, `baseline_test`, `reference`, `reference_id`, `reference_test`,
        `gain`, `beyond_noise`, and intervals), `programs` (`id`, `name`, `heads`, `test`, `words`, `class`, `source`,
        `measures`) and `matrices`, see `evolve.results.report.matrices`.
    """
    names = function_names(library)
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
            "beyond_noise": beyond_noise(reference.by_head[row]),
        }
        for row, line in enumerate(library.heads)
    }
    programs: list[dict[str, Any]] = []
    for member in library.members:
        programs.append(
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
        )
    return {"heads": heads, "programs": programs, "matrices": run_matrices(library, spec, attention)}


def _interval(estimate: Estimate | None) -> list[float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return [estimate.low, estimate.high]


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
