"""What the report shows beside a run's numbers: every head, every program of the library, and pictures of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from archives.bootstrap import Estimate
from archives.classes import listed_words
from archives.export import function_names
from archives.gain import beyond_noise
from archives.library import ReducedLibrary
from evolve.views.pictures import matrix_png
from fitness.models.attention import Attention
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.contract import to_prediction
from fitness.scoring.iou import iou
from fitness.scoring.packing import unpack
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import WorkerSpec, worker

MOST_PICTURES = 60


def run_details(library: ReducedLibrary, spec: WorkerSpec, attention: Attention) -> dict[str, Any]:
    """Plain values, as the database keeps them for the report.

    Args:
        library: the run's library, with its reference and baseline.
        spec: what a worker needs to draw predictions.
        attention: of the run's texts.

    Returns:
        `heads` (name -> `program`, `test`, `baseline_test`, `reference`, `reference_test`, `gain`, `beyond_noise`) and
        `programs` (`id`, `name`, `heads`, `test`, `words`, `source`, `picture`, `measures`).
    """
    names = function_names(library)
    assert library.reference is not None
    assert library.baseline is not None
    reference, baseline = library.reference, library.baseline
    named = {program.id: name for name, program in baselines().items()}
    heads = {
        line.label: {
            "program": line.program,
            "test": _value(line.iou_test),
            "baseline_test": _value(baseline.other_by_head[row]),
            "reference": named.get(reference.than[row] or "", reference.than[row]),
            "reference_test": _value(reference.other_by_head[row]),
            "gain": _value(reference.by_head[row]),
            "beyond_noise": beyond_noise(reference.by_head[row]),
        }
        for row, line in enumerate(library.heads)
    }
    programs: list[dict[str, Any]] = []
    for member in library.members:
        picture = None
        if member.program and member.heads and len(programs) < MOST_PICTURES:
            picture = _picture(member.program, member.heads[0], spec, attention)
        programs.append(
            {
                "id": member.id,
                "name": names[member.id],
                "heads": list(member.heads),
                "test": _value(member.iou_test),
                "words": len(listed_words(member.program)) if member.program else 0,
                "measures": dict(member.descriptors),
                "source": member.program.source if member.program else None,
                "picture": picture,
            }
        )
    return {"heads": heads, "programs": programs}


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _picture(program: Program, label: str, spec: WorkerSpec, attention: Attention) -> dict[str, Any] | None:
    """Attention of a head and the prediction of a program, on the first test text."""
    with one_thread():
        outcome = worker(spec).run(program, "test")
    if not outcome.ok:
        return None
    text = spec.fit + spec.held_out
    block = np.asarray(attention.block(text)[attention.labels.index(label)], dtype=np.float32)
    head = unpack(block, attention.texts[text].n, causal=attention.causal)
    prediction = to_prediction(outcome.weights[0], causal=attention.causal)
    shared = float(iou(prediction.ravel(), head.ravel()))
    return {"head": label, "attention": matrix_png(head), "prediction": matrix_png(prediction), "iou": shared}
