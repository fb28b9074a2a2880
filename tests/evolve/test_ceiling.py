"""What is within reach of each head: fitted once, kept, shown, and followed by the search."""

import io
import re

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from evolve.ceiling import CHUNK, ceiling_by_head, ceiling_held_out, remember_ceiling
from evolve.config import parse_config
from evolve.results.status import read_status
from evolve.running import run_campaign
from evolve.session import opened_for_search
from evolve.state import SearchState
from evolve.store.records import ProposalRecord
from evolve.store.run_dir import RunDir
from evolve.views.status import render
from evolve.views.terminal import Terminal

PLAIN = {"model": "m", "texts": "t", "stop": {"max_programs": 1}, "operators": {"residual": 1}}


def config(attention_cache, **settings):
    base = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache)}
    return parse_config(base | settings, "small")


def heads_planned(state, steps=60):
    chosen = [slot.head for step in range(2, steps) for slot in state.plan(step)]
    return np.bincount(chosen, minlength=state.grid.heads) / len(chosen)


def state_of(ious, ceiling):
    state = SearchState(parse_config(PLAIN, "plain"), len(ious), (), ceiling)
    state.grid.head_iou[:] = ious
    return state


def test_heads_far_below_their_ceiling_get_most_slots_and_those_at_it_rest():
    shares = heads_planned(state_of([0.5, 0.5, 0.5, 0.5], np.array([0.5, 0.5, 0.49, 0.7])))
    assert shares[3] > 0.6
    assert 0.05 < shares[:3].min() <= shares[:3].max() < 0.15


def test_a_head_that_earns_gets_slots_until_it_stops_earning():
    def slot(number, gain):
        return ProposalRecord(number, 0, 0, "residual", 2, (), "new", gain=gain)

    state = state_of([0.5] * 4, np.array([0.5] * 4))
    state.learn([slot(1, 0.3)], [], {})
    assert heads_planned(state)[2] > 0.6
    state.learn([slot(number, 0.0) for number in range(2, 12)], [], {})
    assert heads_planned(state)[2] < 0.35


@pytest.mark.parametrize(("choice", "share"), [("bandit", 1.0), ("shares", 0.25)])
def test_the_first_turn_of_every_head_is_the_regressions_where_a_bandit_chooses(choice, share):
    settings = PLAIN | {"operators": {"residual": 1, "tweak": 3}, "search": {"batch": 10, "choice": choice}}
    state = SearchState(parse_config(settings, "plain"), 200, (), np.ones(200))
    slots = [slot for step in range(1, 21) for slot in state.plan(step)]
    assert sorted(slot.head for slot in slots) == list(range(200))
    assert np.mean([slot.arm.operator == "residual" for slot in slots]) == pytest.approx(share, abs=0.1)
    later = [slot.arm.operator for step in range(21, 41) for slot in state.plan(step)]
    assert "tweak" in later


def test_without_ceilings_heads_take_turns():
    shares = heads_planned(state_of([0.5, 0.1, 0.9, 0.5], None))
    assert shares == pytest.approx([0.25] * 4, abs=0.01)


def test_ceilings_are_fitted_once_kept_and_shown(attention_cache, tmp_path, monkeypatch):
    settings = config(attention_cache, stop={"max_programs": 20})
    run_dir = RunDir(tmp_path / "run")
    run_campaign(settings, run_dir)
    status = read_status(run_dir)
    # Sums of all patterns explain more than the best of a few programs.
    assert status.mean_iou_held_out - 0.02 < status.ceiling_iou_held_out < 1
    out = io.StringIO()
    Terminal(file=out, width=80).print(render(status))
    assert re.search(rf"ceiling +{status.ceiling_iou_held_out:.3f}", out.getvalue())
    assert (
        f"log-linear model of each head, {status.ceiling_iou_held_out:.3f}" in run_dir.file("report.html").read_text()
    )
    assert status.as_json()["ceiling_iou_held_out"] == status.ceiling_iou_held_out
    monkeypatch.setattr("evolve.ceiling.fit_dense", None)  # whoever fits again fails
    with opened_for_search(settings, run_dir) as session:
        remember_ceiling(session.store, session.pool(), session.spec)
        assert len(ceiling_by_head(session.store)) == len(session.attention.labels)
        assert ceiling_held_out(session.store) == status.ceiling_iou_held_out


def test_ceilings_are_the_same_with_any_number_of_workers(attention_cache, tmp_path, monkeypatch):
    monkeypatch.setattr("evolve.ceiling.CHUNK", 4)
    assert CHUNK != 4
    found = []
    for workers in (1, 2):
        settings = config(attention_cache, parallel={"workers": workers})
        with opened_for_search(settings, RunDir(tmp_path / str(workers))) as session:
            remember_ceiling(session.store, session.pool(), session.spec)
            found.append(ceiling_by_head(session.store).tolist())
    assert found[0] == found[1]
