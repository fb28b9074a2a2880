import copy
import json

import pytest

import headscribe as hs
from evolve.store.run_dir import RunDir


def readings(run):
    """How often the run's test texts were read."""
    store = RunDir(run.path).open_store()
    try:
        return len(store.readings())
    finally:
        store.close()


def test_a_library_comes_back_from_disk_as_it_was(tiny_run, tmp_path):
    library = tiny_run.library
    library.save(tmp_path / "copy.json")
    assert (tmp_path / "copy.json").read_bytes() == (tiny_run.path / "library.json").read_bytes()
    assert hs.Library.read(tmp_path / "copy.json") == library
    assert hs.Library.read(tmp_path / "copy.json").assignment == library.assignment


def test_a_reduced_library_comes_back_too(tiny_run, tmp_path):
    small = tiny_run.reduce(size=3)
    small.save(tmp_path / "small.json")
    again = hs.Library.read(tmp_path / "small.json")
    assert again == small
    assert again != tiny_run.library


def test_heads_are_explained_by_programs_of_the_library(tiny_run):
    library = tiny_run.library
    sources = {entry.program.source for entry in library.programs}
    for head in library:
        explained = library[head]
        assert explained.program.source in sources
        assert explained.interval[0] <= explained.iou_test <= explained.interval[1]
    assert len(library) == 32
    assert "L2H1" in library


def test_a_reduction_reads_test_texts_only_when_told_to(tiny_run):
    assert tiny_run.reduce(size=3).mean_iou_test is None
    assert tiny_run.reduce(size=3).mean_iou_held_out > 0
    before = readings(tiny_run)
    assert 0 < tiny_run.reduce(size=3, test=True).mean_iou_test < 1
    assert readings(tiny_run) == before + 1


def test_reducing_by_the_runs_own_criterion_chooses_the_library_of_the_run(tiny_run):
    again = tiny_run.reduce(test=True)
    assert again.assignment == tiny_run.library.assignment
    assert again.mean_iou_test == tiny_run.library.mean_iou_test


def test_more_than_one_criterion_is_an_error_of_the_user(tiny_run):
    with pytest.raises(hs.UserError, match="exclude each other; give one"):
        tiny_run.reduce(size=3, epsilon=0.1)


def test_a_score_table_is_reduced_to_names(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text(
        "layer,head,program_name,sentence_idx,iou_score\n"
        + "".join(
            f"0,{head},{name},{text},{0.9 if (name == 'a') == (head == 0) else 0.1}\n"
            for head in (0, 1)
            for name in ("a", "b")
            for text in (0, 1)
        )
    )
    library = hs.reduce(table, size=2)
    assert {entry.numbers["id"] for entry in library.programs} == {"a", "b"}
    assert library["L0H0"].program is None
    assert library.assignment == {}
    assert hs.reduce([table], size=1).size == 1


def test_two_runs_are_reduced_together(tiny, tiny_run, tmp_path):
    other = hs.run("quickstart", run_dir=tmp_path / "other", **tiny | {"seed": 1, "stop": {"max_programs": 20}})
    both = hs.reduce([tiny_run.path, other.path], size=4)
    assert both.size == 4
    assert len(both) == 64
    assert both.mean_iou_test is None
    assert hs.reduce([tiny_run.path, other.path], size=4, test=True).assignment == both.assignment


def test_a_damaged_library_is_an_error_of_the_user(tiny_run, tmp_path):
    contents = json.loads((tiny_run.path / "library.json").read_text())
    broken = copy.deepcopy(contents)
    broken["programs"][0]["source"] = "def nothing(): pass"
    with pytest.raises(hs.UserError, match="is not a program"):
        hs.Library(broken).assignment  # noqa: B018
    (tmp_path / "library.json").write_text("{")
    with pytest.raises(hs.UserError, match=r"library\.json"):
        hs.Library.read(tmp_path)
