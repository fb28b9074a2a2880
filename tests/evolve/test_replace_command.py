"""`headscribe replace` and `tasks` on a finished run of the bundled model."""

import json
import subprocess
import sys
import time

import pytest
from campaigns import ROOT, SMALL

from evolve.commands.replace import beside_earlier


@pytest.fixture(scope="module")
def finished(tmp_path_factory, attention_cache):
    folder = tmp_path_factory.mktemp("replaceable")
    config = folder / "small.yaml"
    config.write_text(SMALL.replace("max_programs: 80", "max_programs: 20") + f"attention_cache: {attention_cache}\n")
    command = [sys.executable, "-m", "evolve.cli", "run", str(config), "--run-dir", str(folder / "run"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "run"


ARGUMENTS = ["--fractions", "0,0.5", "--random-orders", "2", "--measure-heads", "2", "--json"]


def wait_for_lines(file, lines):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if file.is_file() and len(file.read_text(errors="replace").splitlines()) >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"{file} never had {lines} lines")


@pytest.mark.slow
def test_replace_killed_twice_goes_on_to_the_same_numbers(finished, headscribe):
    kept = finished / "replacement.partial.jsonl"
    for lines in (5, 25):
        command = [sys.executable, "-m", "evolve.cli", "replace", str(finished), *ARGUMENTS]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        wait_for_lines(kept, lines)
        process.kill()
        process.communicate()
    resumed = headscribe("replace", finished, *ARGUMENTS)
    result = json.loads(resumed.stdout)
    assert "forward passes over 5 test texts" in resumed.stderr
    assert "fractions: " in resumed.stderr
    kept.unlink()
    again = json.loads(headscribe("replace", finished, *ARGUMENTS).stdout)
    assert json.loads((finished / "replacement.json").read_text()) == again
    assert result["provenance"].pop("date") <= again["provenance"].pop("date")
    assert again == result
    row = result["perplexity"]["by_fraction"][1]
    names = {"programs", "mean_table", "uniform", "first_token", "random_programs", "resample", "single_program"}
    assert names <= set(row)


def test_only_some_stages_are_measured_and_shown(finished, headscribe):
    shown = headscribe("replace", finished, "--only", "layers").stdout
    assert "original" in shown
    found = json.loads(headscribe("replace", finished, "--only", "layers", "--json").stdout)
    assert "per_layer" in found
    assert not {"per_head", "least_cost"} & set(found)
    heads = json.loads(
        headscribe("replace", finished, "--only", "heads", "--measure-heads", "1", "--pairs", "0", "--json").stdout
    )
    written = json.loads((finished / "replacement.json").read_text())
    assert written == {**written, **heads, "perplexity": {**written["perplexity"], **heads["perplexity"]}}
    assert written["per_layer"] == found["per_layer"]
    refused = headscribe("replace", finished, "--only", "haeds", check=False)
    assert refused.returncode == 2
    assert "choose of fractions, layers, heads, order" in refused.stderr


def test_results_of_another_library_are_not_kept_beside_new_ones():
    earlier = {"digest": "a", "per_layer": [1], "perplexity": {"original": 9.0, "by_fraction": [2]}}
    new = {"digest": "a", "per_head": [3], "perplexity": {"original": 9.0}}
    both = {"per_layer": [1], "per_head": [3], "perplexity": {"original": 9.0, "by_fraction": [2]}, "digest": "a"}
    assert beside_earlier(new, earlier) == both
    assert beside_earlier(new, {**earlier, "digest": "b"}) == new
    assert beside_earlier(new, {}) == new


def test_tasks_are_answered_under_the_same_conditions(finished, headscribe, tmp_path):
    rows = [
        {"query": "The fox ran to the", "choices": ["river.", "moon and the very red ball."], "gold": 0},
        {"query": "A duck can", "choices": ["swim.", "read a book."], "gold": 0},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = headscribe("tasks", finished, "--task", tmp_path / "own.jsonl", "--fractions", "0,1", "--json")
    found = json.loads(done.stdout)["tasks"]["own"]["by_fraction"][1]
    assert {"programs", "mean_table", "resample", "zero", "single_program"} <= set(found)
    assert "choices of" in done.stderr
