"""The search in the report: its curves over programs, seconds and dollars, what it gained by what, and its archive."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from archives.grid import bins_of
from evolve.results.references import reference_held_out
from evolve.results.status import usd_by_step
from evolve.scheduler import Arm
from evolve.store import Store
from evolve.store.records import ProgramRecord, ProposalRecord
from fitness.failures import FailureKind
from fitness.printable import one_line

MOST_POINTS = 300
# What the maps of the archive may show: bins of an axis, and pairs of axes.
MOST_BINS, MOST_PAIRS = 8, 10
# Bins of an axis where the grid has but one: programs are spread over behaviours all the same.
BINS_OTHERWISE = 5


def search_view(
    store: Store,
    records: Sequence[ProgramRecord],
    proposals: Sequence[ProposalRecord],
    descriptors: Sequence[str],
    bins: int,
) -> dict[str, Any]:
    """How a search went; IoU are of held-out texts.

    Args:
        store: the run's state.
        records: every program of it.
        proposals: every candidate of it.
        descriptors: names of the behaviour axes.
        bins: bins of each.

    Returns:
        `curve` (a list for each column: `programs`, `seconds`, `usd`; `mean_iou`, `best_iou`, `excess`, and `gain` over
        the reference), `gained` (operator or prompt -> IoU gained so far, at the points of the curve, summed over
        heads), `failures`, see `failures_of`, and `archive`, see `archive_maps`.
    """
    return {
        **_curves(store, proposals),
        "failures": failures_of(records, proposals),
        "archive": archive_maps(records, descriptors, bins),
        "labels": store.meta("labels") or [],
    }


def _curves(store: Store, proposals: Sequence[ProposalRecord]) -> dict[str, Any]:
    summaries, reference = store.summaries(), reference_held_out(store)
    steps = len(summaries)
    gained: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(steps))
    for proposal in (one for one in proposals if one.step < steps):
        gained[Arm(proposal.operator, proposal.model, proposal.prompt).label][proposal.step] += proposal.gain
    every = max(1, steps // MOST_POINTS)
    kept = list(range(steps))[::-1][::every][::-1]
    means = [summaries[step].mean_iou for step in kept]
    by_gain = sorted(gained.items(), key=lambda item: -item[1].sum())
    return {
        "curve": {
            "programs": [summaries[step].programs for step in kept],
            "seconds": [round(summaries[step].seconds, 1) for step in kept],
            "usd": _cumulative(usd_by_step(store, proposals, steps), kept),
            "mean_iou": [round(mean, 5) for mean in means],
            "best_iou": [round(summaries[step].best_iou, 5) for step in kept],
            "excess": [round(summaries[step].excess, 5) for step in kept],
            "gain": [None if reference is None else round(mean - reference, 5) for mean in means],
        },
        "gained": {label: _cumulative(values, kept) for label, values in by_gain},
    }


def _cumulative(values: np.ndarray, kept: Sequence[int]) -> list[float]:
    return [round(float(value), 6) for value in values.cumsum()[list(kept)]]


def failures_of(records: Sequence[ProgramRecord], proposals: Sequence[ProposalRecord]) -> list[dict[str, Any]]:
    """Failures of programs, and of replies and calls that never became one, the commonest kind first.

    Returns:
        `kind`, `count`, `operators` (name -> count, the commonest first) and `message`, that of the first.
    """
    operators = {
        proposal.number: proposal.operator
        for proposal in proposals
        if proposal.outcome == "new" and proposal.number is not None
    }
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    messages: dict[str, str] = {}

    def count(kind: str, operator: str, message: str) -> None:
        counts[kind][operator] += 1
        messages.setdefault(kind, one_line(message, 200))

    for record in records:
        if not record.ok:
            count(str(record.evaluation.kind), operators.get(record.number, "unknown"), record.evaluation.message)
    for proposal in proposals:
        if proposal.outcome not in ("new", "known", FailureKind.NONE):
            count(str(proposal.outcome), proposal.operator, proposal.message)
    return [
        {"kind": kind, "count": by.total(), "operators": dict(by.most_common()), "message": messages[kind]}
        for kind, by in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    ]


def archive_maps(records: Sequence[ProgramRecord], descriptors: Sequence[str], bins: int) -> Mapping[str, Any] | None:
    """The archive seen along two descriptors at a time: for each head the best IoU of the cells that lie behind.

    Returns:
        `axes` (names), `bins`, and `pairs`: `across` and `down` (places in `axes`), `programs` (bins * bins counts, row
        by row) and `best` (base64 of heads * bins * bins bytes, head by head: 0 where no program is, else 1 + 254 times
        the IoU). None where there are fewer than two descriptors or no program ran.
    """
    ran = [
        (record.iou, record.evaluation.descriptors)
        for record in records
        if record.iou is not None and record.evaluation.descriptors is not None
    ]
    if len(descriptors) < 2 or not ran:
        return None
    bins = min(MOST_BINS, bins if bins > 1 else BINS_OTHERWISE)
    ious, measured = (np.stack(values) for values in zip(*ran, strict=True))  # (programs, heads), (programs, axes)
    places = bins_of(measured, bins)  # (programs, axes)
    pairs = []
    for across, down in list(combinations(range(len(descriptors)), 2))[:MOST_PAIRS]:
        cells = places[:, down] * bins + places[:, across]
        best = np.full((bins * bins, ious.shape[1]), -1.0, dtype=np.float32)
        np.maximum.at(best, cells, ious)
        coded = np.where(best < 0, 0, 1 + np.round(254 * np.clip(best, 0, 1))).astype(np.uint8)
        pairs.append(
            {
                "across": across,
                "down": down,
                "programs": np.bincount(cells, minlength=bins * bins).tolist(),
                "best": base64.b64encode(np.ascontiguousarray(coded.T).tobytes()).decode(),
            }
        )
    return {"axes": list(descriptors), "bins": bins, "pairs": pairs}
