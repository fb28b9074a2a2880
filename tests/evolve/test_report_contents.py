"""What the report says of the files of a run: right, silent where there is none, and a message where one is broken."""

import base64
import json

import numpy as np
import pytest

from evolve.results.report.contents import as_written
from evolve.results.report.library import library_view
from evolve.results.report.search import archive_maps, failures_of
from evolve.store.records import ProgramRecord, ProposalRecord
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.failures import FailureKind
from fitness.scoring.worker import Evaluation

PROGRAM = {
    "id": "a",
    "loss_without": {"L0H0": 0.03, "L1H0": 0.01},
    "source_lines": 4,
    "substitute_loss": 0.002,
}


def write(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_program_is_worth_what_the_mean_over_all_heads_would_lose(tmp_path):
    write(tmp_path, "library.json", {"programs": [PROGRAM]})
    worth = library_view(RunDir(tmp_path), ["a"], 4)["worth"]["a"]
    assert worth["loss"] == pytest.approx(0.01)
    assert (worth["hit"], worth["hit_loss"]) == ("L0H0", 0.03)


def test_another_library_in_the_file_is_not_taken_for_the_one_shown(tmp_path):
    write(tmp_path, "library.json", {"programs": [PROGRAM], "criterion": {"name": "size", "value": 1}})
    view = library_view(RunDir(tmp_path), ["b"], 4)
    assert (view["worth"], view["criterion"], view["other"]) == ({}, None, 1)


def test_a_run_without_files_shows_nothing_of_them(tmp_path):
    view = library_view(RunDir(tmp_path), ["a"], 4)
    assert (view["worth"], view["curve"], view["mixes"], view["other"]) == ({}, {}, {}, None)


def test_coverage_is_in_shares_of_heads_and_empty_cells_are_unknown(tmp_path):
    write(
        tmp_path,
        "coverage.csv",
        "k,mean_held_out,mean_test,heads_within_epsilon_held_out,source_lines\n1,0.5,,1,2\n2,0.6,,3,5\n",
    )
    curve = library_view(RunDir(tmp_path), [], 4)["curve"]
    assert curve["heads_within_epsilon_held_out"] == [0.25, 0.75]
    assert curve["mean_test"] == [None, None]
    assert curve["source_lines"] == [2, 5]


@pytest.mark.parametrize("library", [{"programs": [{"id": "a"}]}, {"programs": 3}, {"programs": ["a"]}])
def test_a_broken_file_is_a_message(tmp_path, library):
    write(tmp_path, "library.json", library)
    with pytest.raises(UserError, match="not as headscribe writes it"), as_written(RunDir(tmp_path)):
        library_view(RunDir(tmp_path), ["a"], 4)


def record(number, descriptors, iou, failure=None, message=""):
    evaluation = Evaluation(failure, message, descriptors=np.array(descriptors, dtype=np.float32))
    return ProgramRecord(number, f"{number:x}", "", 0, 0, evaluation, None if failure else np.array(iou, np.float32))


def test_a_cell_of_the_archive_has_the_best_of_all_programs_in_it_for_each_head():
    records = [record(0, [0.1, 0.9, 0.5], [0.2, 0.8]), record(1, [0.3, 0.7, 0.5], [0.4, 0.6])]
    records += [record(2, [0.9, 0.1, 1.0], [0.1, 0.1]), record(3, [0.1, 0.9, 0.5], [], FailureKind.TIMEOUT)]
    found = archive_maps(records, ["reach", "focus", "sink"], 2)
    assert [(pair["across"], pair["down"]) for pair in found["pairs"]] == [(0, 1), (0, 2), (1, 2)]
    pair = found["pairs"][0]
    assert pair["programs"] == [0, 1, 2, 0]  # up is focus, across reach: low reach and high focus is the third
    best = np.frombuffer(base64.b64decode(pair["best"]), np.uint8).reshape(2, 4)
    assert best[:, 0].tolist() == best[:, 3].tolist() == [0, 0]
    assert ((best[:, 2] - 1) / 254).tolist() == pytest.approx([0.4, 0.8], abs=0.002)


def test_failures_are_counted_by_kind_and_operator_without_what_had_nothing_to_propose():
    records = [record(number, [0, 0], [], FailureKind.TIMEOUT, f"said {number}") for number in (0, 1)]
    proposals = [
        ProposalRecord(0, 0, 0, "genetic", 0, (), "new", number=0),
        ProposalRecord(0, 1, 0, "mutate", 0, (), "new", number=1),
        ProposalRecord(0, 2, 0, "mutate", 0, (), FailureKind.SYNTAX, "line 1"),
        ProposalRecord(0, 3, 0, "tweak", 0, (), FailureKind.NONE),
    ]
    timeout, syntax = failures_of(records, proposals)
    assert (timeout["kind"], timeout["count"], timeout["message"]) == ("timeout", 2, "said 0")
    assert timeout["operators"] == {"genetic": 1, "mutate": 1}
    assert syntax["operators"] == {"mutate": 1}
