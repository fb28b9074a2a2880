"""Where a run's programs come from, and which others come near: lineage and runner-ups, from held-out scores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evolve.store.records import ProgramRecord, ProposalRecord

RUNNERS = 3
MOST_ANCESTORS = 30
# Characters of runner-ups' sources that a page carries; the best of each head come first.
MOST_SOURCE = 500_000


def runner_ups(
    records: Sequence[ProgramRecord], labels: Sequence[str], assignment: Mapping[str, str | None]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """The best programs of each head by held-out IoU, but its own.

    Args:
        records: every program of the run.
        labels: names of its heads.
        assignment: head -> id of its program.

    Returns:
        head -> `number` and `iou` of each, best first; and number -> source, as many as a page may carry.
    """
    records = [record for record in records if record.iou is not None]
    if not records or not labels:
        return {}, {}
    ious = np.stack([record.iou for record in records if record.iou is not None])  # (programs, heads)
    best = np.argsort(-ious, axis=0, kind="stable")[: RUNNERS + 1]
    found = {
        label: [
            {"number": records[row].number, "iou": float(ious[row, head])}
            for row in best[:, head]
            if records[row].id != assignment.get(label)
        ][:RUNNERS]
        for head, label in enumerate(labels)
        if label in assignment
    }
    by_number = {record.number: record.source for record in records}
    sources: dict[str, str] = {}
    left = MOST_SOURCE
    for place in range(RUNNERS):
        for runners in found.values():
            for runner in runners[place : place + 1]:
                source = by_number[runner["number"]]
                if str(runner["number"]) not in sources and len(source) <= left:
                    sources[str(runner["number"])] = source
                    left -= len(source)
    return found, sources


def lineages(
    numbers: Mapping[str, int], proposals: Sequence[ProposalRecord], labels: Sequence[str]
) -> dict[str, list[str]]:
    """Id -> how a program came to be, one sentence for it and for each first parent, down to the first ancestor.

    Args:
        numbers: id -> number of the programs that are asked for.
        proposals: every candidate of the run.
        labels: names of its heads.
    """
    first: dict[int, ProposalRecord] = {}
    for proposal in proposals:
        if proposal.number is not None and proposal.outcome == "new":
            first.setdefault(proposal.number, proposal)
    return {id_: _lineage(number, first, labels) for id_, number in numbers.items()}


def _lineage(number: int, first: dict[int, ProposalRecord], labels: Sequence[str]) -> list[str]:
    steps: list[str] = []
    while len(steps) < MOST_ANCESTORS:
        proposal = first.get(number)
        if proposal is None:
            return [*steps, f"program {number}: known from the start"]
        head = f" for {labels[proposal.head]}" if 0 <= proposal.head < len(labels) else ""
        asked = "".join(
            f", {name} {value}" for name, value in (("prompt", proposal.prompt), ("model", proposal.model)) if value
        )
        parents = f", from {' and '.join(map(str, proposal.parents))}" if proposal.parents else ", from nothing"
        steps.append(f"program {number}: {proposal.operator}{head}{asked}{parents}, at step {proposal.step}")
        # A parent is older than its child; a store that says otherwise would send us in circles.
        if not proposal.parents or proposal.parents[0] >= number:
            return steps
        number = proposal.parents[0]
    return [*steps, "and further back"]
