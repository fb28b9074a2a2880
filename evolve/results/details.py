"""What the report shows beside a run's numbers: every head, every program of the library, and pictures of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from archives.export import function_names
from archives.library import Library
from evolve.views.pictures import matrix_png
from fitness.models.capture import Attention
from fitness.program import Program
from fitness.scoring.contract import to_prediction
from fitness.scoring.iou import iou
from fitness.scoring.packing import unpack
from fitness.scoring.worker import WorkerSpec, worker

MOST_PICTURES = 60


def run_details(library: Library, baseline_test: np.ndarray, spec: WorkerSpec, attention: Attention) -> dict[str, Any]:
    """Plain values, as the database keeps them for the report.

    Args:
        library: the run's library.
        baseline_test: (heads,) test IoU of each head's best simple baseline.
        spec: what a worker needs to draw predictions.
        attention: of the run's texts.

    Returns:
        `heads` (name -> `program`, `test`, `baseline_test`) and `programs` (`id`, `name`, `heads`, `test`, `source`,
        `picture`).
    """
    names = function_names(library)
    heads = {
        line.label: {
            "program": line.program,
            "test": line.iou_test.value if line.iou_test else None,
            "baseline_test": float(baseline),
        }
        for line, baseline in zip(library.heads, baseline_test, strict=True)
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
                "test": member.iou_test.value if member.iou_test else None,
                "source": member.program.source if member.program else None,
                "picture": picture,
            }
        )
    return {"heads": heads, "programs": programs}


def _picture(program: Program, label: str, spec: WorkerSpec, attention: Attention) -> dict[str, Any] | None:
    """Attention of a head and the prediction of a program, on the first test text."""
    outcome = worker(spec).run(program, "test")
    if not outcome.ok:
        return None
    text = spec.fit + spec.held_out
    block = np.asarray(attention.block(text)[attention.labels.index(label)], dtype=np.float32)
    head = unpack(block, attention.texts[text].n, causal=attention.causal)
    prediction = to_prediction(outcome.weights[0], causal=attention.causal)
    shared = float(iou(prediction.ravel(), head.ravel()))
    return {"head": label, "attention": matrix_png(head), "prediction": matrix_png(prediction), "iou": shared}
