"""What the report says of the files of a run: right, silent where there is none, and a message where one is broken."""

import json

import pytest

from evolve.results.report.contents import as_written
from evolve.results.report.library import library_view
from evolve.store.run_dir import RunDir
from fitness.errors import UserError

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
