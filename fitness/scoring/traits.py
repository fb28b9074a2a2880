"""Where a program's predictions lie: shares of their mass by kind of key, beside what positions alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from fitness.program import Program
from fitness.scoring.contract import to_prediction
from fitness.scoring.worker import SplitName, WorkerSpec, worker
from fitness.text.view import Text

TEXTS = 16


@dataclass(frozen=True)
class Traits:
    """Means over texts; "the rest" is what a prediction puts on keys other than the first token, rows scaled to sum 1.

    `same`, `structure`, `word` and `sentence` are excesses: the share of the rest on such keys, less the share that the
    prediction's own mean by distance puts there on the same text.

    Attributes:
        first: mass on the first token, over later queries.
        previous: share of the rest on the token before.
        near: share of the rest on the token itself and the seven before.
        positional: IoU of the rest with its own mean by distance.
        even: IoU of the rest with an even one.
        same: on equal tokens further back, and on what followed them.
        structure: on punctuation marks and line breaks.
        word: on earlier tokens of the query's word.
        sentence: on tokens of the query's sentence.
    """

    first: float
    previous: float
    near: float
    positional: float
    even: float
    same: float
    structure: float
    word: float
    sentence: float


def measure(predictions: Sequence[np.ndarray], texts: Sequence[Text]) -> Traits:
    """Traits of one program.

    Args:
        predictions: one (n, n) array per text, rows sum to 1 or are empty.
        texts: the texts, of two tokens or more.
    """
    rows = [asdict(_measure(prediction, text)) for prediction, text in zip(predictions, texts, strict=True)]
    return Traits(**{name: float(np.mean([row[name] for row in rows])) for name in rows[0]})


def _measure(prediction: np.ndarray, text: Text) -> Traits:
    mass = prediction.astype(np.float64)
    first = float(mass[1:, 0].mean())
    visible = np.ones_like(mass, dtype=bool) if np.triu(mass, 1).any() else np.tril(np.ones_like(mass, dtype=bool))
    visible[:, 0] = False
    rest = mass * visible
    # A query that has next to nothing left says nothing about the rest.
    used = rest.sum(axis=1) > 0.02
    if not used.any():
        return Traits(first, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    visible &= used[:, None]
    rest = _scaled(rest * used[:, None])
    by_distance = _scaled(_mean_by_distance(rest, visible))
    count = float(used.sum())
    distance = text.distance

    def excess(keys: np.ndarray) -> float:
        return float(((rest - by_distance) * keys).sum() / count)

    structure = np.broadcast_to(text.is_punctuation | text.is_newline, rest.shape)
    return Traits(
        first=first,
        previous=float(rest[distance == 1].sum() / count),
        near=float(rest[(distance >= 0) & (distance < 8)].sum() / count),
        positional=_iou(rest, by_distance),
        even=_iou(rest, _scaled(visible.astype(np.float64))),
        same=excess((text.same & (distance != 0)) | text.after_same),
        structure=excess(structure),
        word=excess(text.same_word & (distance != 0)),
        sentence=excess(text.same_sentence),
    )


def _scaled(mass: np.ndarray) -> np.ndarray:
    total = mass.sum(axis=1, keepdims=True)
    return mass / np.where(total > 0, total, 1)


def _mean_by_distance(mass: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The mass that every visible pair would have if its distance alone decided."""
    n = len(mass)
    place = np.arange(n)[:, None] - np.arange(n) + n - 1
    total = np.bincount(place[visible], mass[visible], minlength=2 * n - 1)
    pairs = np.bincount(place[visible], minlength=2 * n - 1)
    return np.where(visible, (total / np.maximum(pairs, 1))[place], 0.0)


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def measure_chunk(spec: WorkerSpec, programs: Sequence[Program], split: SplitName) -> list[Traits | None]:
    """Task for a worker process: traits of programs on the first texts of a split, None where one fails."""
    return [_run(spec, program, split) for program in programs]


def _run(spec: WorkerSpec, program: Program, split: SplitName) -> Traits | None:
    here = worker(spec)
    outcome = here.run(program, split)
    if not outcome.ok:
        return None
    texts = here.texts(split)[:TEXTS]
    return measure([to_prediction(w, causal=here.causal) for w in outcome.weights[:TEXTS]], texts)
