"""The LLM calls of campaigns, each with what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.results.prompts.statistics import BenchCall, CandidateOutcome, PromptRow, prompt_table
from evolve.results.provenance import dated, provenance_of, provenance_of_all
from evolve.store import Store
from evolve.store.records import ProposalRecord
from evolve.store.run_dir import RunDir


@dataclass(frozen=True)
class PromptTable:
    """One row for each template version, operator and model, and what the runs are about."""

    rows: list[PromptRow]
    provenance: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What `prompts --json` prints."""
        return {"prompts": [row.as_json() for row in self.rows], "provenance": dict(self.provenance)}


def prompts_of(runs: Sequence[Path]) -> PromptTable:
    """One row for each template version, operator and model of one or more runs, those of most gain per call first.

    Raises:
        UserError: where a directory holds no run.
    """
    calls: list[BenchCall] = []
    names: dict[str, str] = {}
    about = {}
    for path in runs:
        store = RunDir(path).open_store()
        try:
            calls += bench_calls(store)
            about[str(path)] = provenance_of(store)
            names |= {p.template: p.prompt for p in store.all_proposals() if p.template and p.prompt}
        finally:
            store.close()
    return PromptTable(prompt_table(calls, names), dated(provenance_of_all(about)))


def bench_calls(store: Store) -> list[BenchCall]:
    """Every LLM call of a campaign with what came of it."""
    slots: dict[tuple[int, int], list[ProposalRecord]] = defaultdict(list)
    for proposal in store.all_proposals():
        if proposal.model:
            slots[proposal.step, proposal.slot].append(proposal)
    numbers = [p.number for group in slots.values() for p in group if p.number is not None and p.outcome == "new"]
    kinds = {number: record.evaluation.kind for number, record in store.programs(numbers).items()}
    calls = []
    for group in slots.values():
        first = group[0]
        record = store.get(first.call) if first.call else None
        outcomes = tuple(
            CandidateOutcome(kinds[p.number or 0] if p.outcome == "new" else p.outcome, p.gain)
            for p in group
            if not p.fitted
        )
        calls.append(
            BenchCall(
                first.operator,
                first.template or "",
                first.model or "",
                outcomes if record else (),
                "" if record else first.outcome,
                record["prompt_tokens"] if record else 0,
                record["completion_tokens"] if record else 0,
                record["cost_usd"] if record else 0.0,
                sum(p.gain for p in group if p.fitted),
            )
        )
    return calls
