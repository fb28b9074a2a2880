"""The steps that a store holds, gone through again: what a search knew after the last of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evolve.config import Config
from evolve.state import SearchState
from evolve.store import Store
from evolve.store.records import CallCost, ProgramRecord, ProposalRecord
from fitness.own import Own


@dataclass(frozen=True)
class CommittedStep:
    """One step as it was committed.

    Attributes:
        step: its number, from 0.
        records: programs evaluated, in order of entry.
        proposals: candidates, by slot.
        calls: what the LLM calls of the proposals cost, by key.
    """

    step: int
    records: list[ProgramRecord]
    proposals: list[ProposalRecord]
    calls: Mapping[str, CallCost]


def committed_steps(store: Store) -> Iterator[CommittedStep]:
    """Every step committed when it is asked for the first one, in order."""
    for step in range(store.steps()):
        proposals = store.proposals_of_step(step)
        calls = store.costs([proposal.call for proposal in proposals if proposal.call])
        yield CommittedStep(step, store.programs_of_step(step), proposals, calls)


def replay(store: Store, config: Config, own: Sequence[Own] = ()) -> SearchState:
    """The state of a run's search after its last step; plans nothing.

    Args:
        store: of the run, which may be running.
        config: what it was asked.
        own: operators and descriptors that are given as objects.
    """
    state = SearchState(config, len(store.meta("labels")), own)
    for step in committed_steps(store):
        state.enter(step.records)
        state.learn(step.proposals, step.records, step.calls)
    return state
