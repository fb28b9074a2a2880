import sqlite3

import numpy as np
import pytest

from evolve.store import FILE, Store
from evolve.store.records import CallCost, ProgramRecord, ProposalRecord, StepSummary
from fitness.errors import UserError
from fitness.failures import FailureKind
from fitness.program import Program
from fitness.scoring.worker import Evaluation


def record(number, ok=True):
    program = Program.parse(f"def program(text):\n    return 1.0 * (text.distance == {number})")
    if not ok:
        return ProgramRecord.of(number, program, 0, Evaluation(FailureKind.EXCEPTION, "no such thing", 2, 1))
    scores = np.random.default_rng(number).random((3, 4)).astype(np.float32)
    evaluation = Evaluation(scores=scores, descriptors=np.array([0.1, 0.2], np.float32), signature="b")
    return ProgramRecord.of(number, program, 0, evaluation)


def proposal(number, slot):
    return ProposalRecord(0, slot, 0, "tweak", 1, (5, 6), "new", number=number, gain=0.25, note="why")


def summary(step):
    return StepSummary(step, 2, 1, 0.5, 0.7, 0.1, 0.2, 3.0, 1.5, 0, 2, 1, 0, 0, 0, 0.25, 1.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


@pytest.fixture
def store(path):
    store = Store(path, create=True)
    store.commit_step(0, [record(0), record(1, ok=False)], [proposal(0, 0), proposal(1, 1)], 1.5, summary(0))
    yield store
    store.close()


def test_a_step_reads_back_as_it_was_written(store):
    good, bad = store.programs_of_step(0)
    assert good.source == record(0).source
    assert good.iou.tolist() == record(0).iou.tolist()
    assert (bad.evaluation.kind, bad.evaluation.line, bad.iou) == ("exception", 2, None)
    assert store.proposals_of_step(0) == [proposal(0, 0), proposal(1, 1)]
    assert store.known([record(0).id, "unknown"]) == {record(0).id: 0}
    assert store.last_summary() == summary(0)
    assert store.counts() == {"exception": 1, "ok": 1}
    assert (store.steps(), store.seconds(), store.next_number()) == (1, 1.5, 2)


def test_a_step_that_fails_half_way_leaves_nothing(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.commit_step(1, [record(2), record(0)], [proposal(2, 0)], 1.0, summary(1))
    assert store.steps() == 1
    assert store.next_number() == 2


def test_readers_work_while_a_writer_holds_a_transaction(store, path):
    with store.transaction() as connection:
        connection.execute("DELETE FROM steps")
        assert Store(path, readonly=True).steps() == 1


def test_calls_are_kept_once(store):
    store.put("k", {"reply": "first"})
    store.put("k", {"reply": "second"})
    assert store.get("k") == {"reply": "first"}
    assert store.get("other") is None


def test_a_missing_a_damaged_and_a_foreign_file_are_refused_and_left_alone(tmp_path):
    with pytest.raises(UserError, match="holds no campaign"):
        Store(tmp_path / FILE)
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UserError, match="cannot be used: file is not a database"):
        Store(damaged)
    assert damaged.read_bytes() == b"not a database at all" * 100
    newer = Store(tmp_path / "newer.sqlite", create=True)
    newer._connection.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(UserError, match="has schema version 99"):
        Store(tmp_path / "newer.sqlite")


def test_costs_are_those_of_the_calls_that_were_answered(store):
    store.put("a", {"text": "x", "completion_tokens": 7, "cost_usd": 0.1})
    store.put("b", {"text": "y", "completion_tokens": 9, "cost_usd": 0.0})
    assert store.costs(["a", "unanswered"]) == {"a": CallCost(7, 0.1)}
    assert store.costs([]) == {}
