"""IoU as published libraries were scored with: the program's matrix as it comes, without a mask, rows left as they are.

Weight above the diagonal counts against a program, and an empty row shares nothing. Hayes, Li and Andreas 2026.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitness.program import Program
from fitness.scoring.packing import pack
from fitness.scoring.worker import SplitName, WorkerSpec, worker


def published_iou(matrix: np.ndarray, block: np.ndarray, sums: np.ndarray, *, causal: bool) -> np.ndarray:
    """Sum of elementwise minima over sum of elementwise maxima, of whole (n, n) matrices.

    Args:
        matrix: (n, n) what the program returned: finite, not negative.
        block: (heads, packed) attention; zero where the model's mask hides.
        sums: (heads,) sums of the block.
        causal: whether the model is causal.

    Returns:
        (heads,) float64 in [0, 1].
    """
    weights = np.asarray(matrix, dtype=np.float64)
    shared = np.minimum(pack(weights, causal=causal), block).sum(axis=1, dtype=np.float64)
    return np.asarray(shared / (weights.sum() + sums - shared))


def published_chunk(spec: WorkerSpec, programs: Sequence[Program], split: SplitName) -> list[np.ndarray | None]:
    """Task for a worker process: (heads, texts) published IoU of programs on a split, None where one fails."""
    here = worker(spec)
    found: list[np.ndarray | None] = []
    for program in programs:
        outcome = here.run(program, split)
        if not outcome.ok:
            found.append(None)
            continue
        blocks, sums = here.attention(split)
        columns = [
            published_iou(matrix, block, sums[:, text], causal=here.causal)
            for text, (matrix, block) in enumerate(zip(outcome.weights, blocks, strict=True))
        ]
        found.append(np.stack(columns, axis=1))
    return found
