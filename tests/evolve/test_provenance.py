"""What numbers come from is told beside them, and nothing of where the files lie."""

import hashlib
import json

import pytest
import yaml
from campaigns import ROOT, SMALL

from evolve.config import parse_config
from evolve.results import provenance
from evolve.results.provenance import _commit, provenance_of, software
from evolve.results.status import read_status
from evolve.running import run_campaign
from evolve.store import Store
from evolve.store.run_dir import RunDir
from evolve.views.status import render
from evolve.views.terminal import terminal

FOLDER = "secret-user"


@pytest.fixture(scope="module")
def settings(tmp_path_factory, attention_cache):
    """A campaign on texts of a folder whose name is nobody's business."""
    folder = tmp_path_factory.mktemp(FOLDER)
    stories = (ROOT / "fitness" / "demo" / "stories.txt").read_text(encoding="utf-8")
    (folder / "mine.txt").write_text(stories[:60_000], encoding="utf-8")
    changed = {"texts": str(folder / "mine.txt"), "stop": {"max_programs": 30}, "attention_cache": str(attention_cache)}
    return yaml.safe_load(SMALL) | changed


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    """The run of it, and its numbers."""
    run_dir = RunDir(tmp_path_factory.mktemp("provenance") / "run")
    return run_dir, run_campaign(parse_config(settings, "test"), run_dir).result.as_json()


def test_a_library_says_what_it_is_of(finished):
    run_dir, result = finished
    found = json.loads(run_dir.file("library.json").read_text())["provenance"]
    assert found["model"]["name"] == "storyteller-gpt2"
    assert (found["model"]["heads"], found["model"]["causal"], found["model"]["quantised"]) == (32, True, None)
    assert len(found["model"]["identity"]) == 64
    (texts,) = found["texts"]
    assert (texts["domain"], texts["source"], texts["texts"]) == ("mine", "mine.txt", 14)
    assert len(texts["sha256"]) == 64
    assert (found["splits"], found["seed"], found["max_tokens"]) == ({"fit": 4, "held_out": 5, "test": 5}, 0, 24)
    assert found["software"].keys() == {"headscribe", "commit", "python", "numpy", "torch", "transformers"}
    assert result["provenance"] == found | {key: result["provenance"][key] for key in ("begun", "date")}
    assert result["provenance"]["begun"] <= result["provenance"]["date"]


def test_what_others_may_be_given_names_no_folder(finished):
    run_dir, _ = finished
    for name in ("library.json", "library.py", "headscribe_text.py", "coverage.csv"):
        shown = run_dir.file(name).read_text(encoding="utf-8")
        assert FOLDER not in shown
        assert str(run_dir.path) not in shown
        assert str(ROOT) not in shown


def test_the_head_of_library_py_says_of_what_on_what_and_how_good(finished):
    run_dir, result = finished
    docstring = run_dir.file("library.py").read_text(encoding="utf-8").split("It needs numpy")[0]
    assert f"written by headscribe {software()['headscribe']}" in docstring
    assert "Model: storyteller-gpt2, 32 heads, float32" in docstring
    assert "Texts: mine (14 of at most 24 tokens" in docstring
    assert f"{result['mean_iou_test']:.3f}" in docstring
    assert f"gain over it {result['gain_over_reference']:+.3f}" in docstring


def test_other_texts_have_another_hash(finished, settings, tmp_path):
    run_dir, _ = finished
    other = RunDir(tmp_path / "other")
    run_campaign(parse_config(settings | {"seed": 1}, "test"), other)
    hashes = []
    for each in (run_dir, other):
        store = each.open_store()
        hashes.append(provenance_of(store)["texts"][0]["sha256"])
        store.close()
    assert hashes[0] != hashes[1]


def test_software_of_other_sessions_is_told(finished, tmp_path):
    store = Store(tmp_path / "campaign.sqlite", create=True)
    older = software() | {"headscribe": "0.0.1"}
    store.set_meta(provenance.SOFTWARE, [older, software()])
    assert provenance_of(store)["searched_with"] == [older]
    store.set_meta(provenance.SOFTWARE, [software()])
    assert "searched_with" not in provenance_of(store)
    store.close()


def test_a_commit_is_known_in_a_checkout_of_headscribe_alone(tmp_path):
    assert _commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert _commit(tmp_path) is None  # what is no repository has no commit


def test_a_resumed_run_says_what_was_changed_and_when(settings, tmp_path):
    run_dir = RunDir(tmp_path / "run")
    run_campaign(parse_config(settings | {"stop": {"max_programs": 20}}, "test"), run_dir)
    before = read_status(run_dir)
    run_campaign(parse_config(settings | {"stop": {"max_programs": 20}}, "test"), run_dir)
    assert read_status(run_dir).config_changes == before.config_changes == []
    longer = {"stop": {"max_programs": 40, "patience": 500}}
    run_campaign(parse_config(settings | longer, "test"), run_dir)
    status = read_status(run_dir)
    changes = {change["key"]: (change["old"], change["new"], change["programs"]) for change in status.config_changes}
    at = before.programs_evaluated
    assert changes == {"stop.max_programs": (20, 40, at), "stop.patience": (None, 500, at)}
    run_dir.config.write_text("no: configuration")
    run_campaign(parse_config(settings | longer, "test"), run_dir)
    assert read_status(run_dir).config_changes == status.config_changes
    console = terminal()
    with console.capture() as shown:
        console.print(render(status))
    assert f"stop.max_programs: 20 -> 40 at {at} programs" in shown.get()


def test_scores_of_a_table_name_the_file_and_its_hash(tmp_path, headscribe):
    table = tmp_path / "table.csv"
    table.write_text("layer,head,program_name,iou_score\n0,0,a,0.5\n0,1,a,0.25\n")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    scored = json.loads(headscribe("score", table, "--json").stdout)["provenance"]
    made = json.loads(headscribe("library", table, "--out", tmp_path / "out", "--json").stdout)["provenance"]
    for found in (scored, made):
        assert found["files"] == {"table": {"file": "table.csv", "sha256": digest}}
        assert found["software"] == software()
        assert found["date"]


def test_compared_runs_are_named_each(finished, headscribe):
    run_dir, _ = finished
    found = json.loads(headscribe("compare", run_dir.path, "--json").stdout)["provenance"]
    assert found["model"]["name"] == "storyteller-gpt2"
    asked = json.loads(headscribe("prompts", run_dir.path, "--json").stdout)
    assert asked["provenance"]["texts"] == found["texts"]
