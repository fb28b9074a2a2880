"""The main job on the bundled model, with a small budget."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from campaigns import ROOT, SMALL

from fitness.sandbox import Sandbox
from fitness.scoring.contract import to_prediction
from fitness.text.view import Text
from headscribe.library import Library

RUN_KEYS = {
    "mean_iou_held_out",
    "mean_iou_test",
    "baseline_iou_test",
    "single_best_iou_test",
    "excess_iou_test",
    "heads",
    "library_size",
    "programs_evaluated",
    "programs_failed",
    "seconds",
    "llm",
    "texts",
    "tokens",
    "domains",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, attention_cache):
    """One finished campaign, its configuration and what `--json` printed."""
    folder = tmp_path_factory.mktemp("finished")
    config = folder / "small.yaml"
    config.write_text(SMALL + f"attention_cache: {attention_cache}\n")
    command = [sys.executable, "-m", "evolve.cli", "run", str(config), "--run-dir", str(folder / "run"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return config, folder / "run", json.loads(done.stdout)


def start(config, run_dir, *extra):
    command = [sys.executable, "-m", "evolve.cli", "run", str(config), "--run-dir", str(run_dir), *extra]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def steps(run_dir):
    path = run_dir / "campaign.sqlite"
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM steps").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_for_steps(run_dir, count, process):
    while steps(run_dir) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def test_run_prints_the_promised_numbers_and_writes_the_promised_files(finished):
    _, run_dir, result = finished
    assert result.keys() >= RUN_KEYS
    assert result["llm"].keys() >= {"calls", "cached_calls", "prompt_tokens", "completion_tokens", "cost_usd"}
    assert result["heads"] == 32
    assert result["programs_evaluated"] >= 80
    assert 0 < result["library_size"] < result["programs_evaluated"]
    assert result["mean_iou_test"] > result["baseline_iou_test"] > 0
    assert result["excess_iou_test"] == pytest.approx(result["mean_iou_test"] - result["single_best_iou_test"])
    for name in ("config.yaml", "campaign.sqlite", "library.json", "library.py", "coverage.csv", "report.html"):
        assert (run_dir / name).stat().st_size > 0
    events = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["event"] != "stage"][:3] == ["texts", "start", "step"]
    captured = [event for event in events if event["event"] == "stage" and event["name"].startswith("capturing")]
    assert not captured or (captured[0]["done"], captured[-1]["done"]) == (0, captured[-1]["total"])
    assert events[-1]["event"] == "stop"
    assert all({"time", "event"} <= event.keys() for event in events)


# Refuses whatever is neither numpy nor of the standard library, and headscribe with its parts.
NUMPY_ALONE = """
import sys
from importlib.abc import MetaPathFinder

class NumpyAlone(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {*sys.stdlib_module_names, "numpy", "library", "headscribe_text"}:
            raise ModuleNotFoundError(f"{name} is not numpy")

sys.meta_path.insert(0, NumpyAlone())
sys.path.insert(0, sys.argv[1])
import numpy as np
from headscribe_text import Text, to_prediction
from library import HEADS, PROGRAMS

text = Text(["<|begin|>", "One", " day", ",", " Tom", " ran", "."])
predictions = [to_prediction(PROGRAMS[program](text), causal=True) for program in HEADS.values()]
np.save(sys.argv[2], np.stack(predictions))
"""


def test_a_library_is_used_with_numpy_alone_and_predicts_what_headscribe_does(finished, tmp_path):
    _, run_dir, _ = finished
    command = [sys.executable, "-I", "-c", NUMPY_ALONE, run_dir, tmp_path / "found.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    library = Library.read(run_dir)
    text = Text(["<|begin|>", "One", " day", ",", " Tom", " ran", "."])
    with Sandbox([text]) as sandbox:
        for head, prediction in zip(library.heads, np.load(tmp_path / "found.npy"), strict=True):
            outcome = sandbox.run(library[head].program)
            np.testing.assert_array_equal(prediction, to_prediction(outcome.weights[0], causal=True))


@pytest.mark.parametrize("change", [["--set", "parallel.workers=1"], []], ids=["one worker", "again"])
def test_the_same_seed_gives_the_same_library(finished, tmp_path, headscribe, change):
    config, run_dir, _ = finished
    headscribe("run", config, "--run-dir", tmp_path / "twin", *change)
    assert (tmp_path / "twin" / "library.json").read_bytes() == (run_dir / "library.json").read_bytes()


def test_another_seed_gives_another_library(finished, tmp_path, headscribe):
    config, run_dir, _ = finished
    headscribe("run", config, "--run-dir", tmp_path / "other", "--set", "seed=1")
    assert (tmp_path / "other" / "library.json").read_bytes() != (run_dir / "library.json").read_bytes()


@pytest.mark.slow
def test_kill_and_resume_gives_the_library_of_the_uninterrupted_run(finished, tmp_path, headscribe):
    config, run_dir, _ = finished
    for step in (1, 3):
        process = start(config, tmp_path / "killed")
        wait_for_steps(tmp_path / "killed", step, process)
        process.kill()
        process.communicate()
    headscribe("run", config, "--run-dir", tmp_path / "killed")
    assert (tmp_path / "killed" / "library.json").read_bytes() == (run_dir / "library.json").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_finishes_the_step_and_says_how_to_go_on(finished, tmp_path, headscribe, number):
    config, run_dir, _ = finished
    process = start(config, tmp_path / "stopped")
    wait_for_steps(tmp_path / "stopped", 1, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume with:" in errors
    headscribe("run", config, "--run-dir", tmp_path / "stopped")
    assert (tmp_path / "stopped" / "library.json").read_bytes() == (run_dir / "library.json").read_bytes()


def test_a_second_campaign_on_a_directory_is_refused_and_told_who_holds_it(finished, tmp_path, headscribe):
    config, _, _ = finished
    process = start(config, tmp_path / "held", "--set", "stop.max_programs=100000")
    wait_for_steps(tmp_path / "held", 1, process)
    second = headscribe("run", config, "--run-dir", tmp_path / "held", check=False)
    status = headscribe("status", tmp_path / "held", "--json")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert second.returncode == 2
    assert f"in use by process {process.pid}" in second.stderr
    assert json.loads(status.stdout)["programs_evaluated"] > 0


def test_a_longer_budget_goes_on_where_the_run_ended(finished, tmp_path, headscribe):
    config, _, _ = finished
    headscribe("run", config, "--run-dir", tmp_path / "a", "--set", "stop.max_programs=40")
    headscribe("run", config, "--run-dir", tmp_path / "a", "--set", "stop.max_programs=120")
    headscribe("run", config, "--run-dir", tmp_path / "b", "--set", "stop.max_programs=120")
    assert (tmp_path / "a" / "library.json").read_bytes() == (tmp_path / "b" / "library.json").read_bytes()


def test_status_and_report_work_on_a_finished_run(finished, headscribe):
    _, run_dir, result = finished
    status = json.loads(headscribe("status", run_dir, "--json").stdout)
    assert status["programs_evaluated"] == result["programs_evaluated"]
    assert sum(row["candidates"] for row in status["operators"]) > 0
    ran = status["programs_evaluated"] - status["programs_failed"]
    assert status["opened_cells"] + status["improved_cells"] + status["not_added"] == ran
    assert all(sum(counts) == ran for counts in status["occupancy"].values())
    assert status["num_elites"] >= 1
    assert 0 < status["norm_qd_score"] < status["qd_score"] <= status["num_elites"]
    assert status["clipped"] == dict.fromkeys(status["occupancy"], 0)
    steps = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    last = [event for event in steps if event["event"] == "step"][-1]
    assert (last["qd_score"], last["num_elites"]) == pytest.approx((status["qd_score"], status["num_elites"]), abs=1e-5)
    shown = headscribe("status", run_dir, env={"COLUMNS": "80", "PATH": "/usr/bin:/bin"}).stdout
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert json.loads(headscribe("report", run_dir, "--json").stdout)["finished"]
    page = (run_dir / "report.html").read_text()
    assert f"{result['mean_iou_test']:.3f}" in page
    assert f"QD score {status['qd_score']:.2f}" in page
    assert f"QD score  {status['qd_score']:.2f} per head" in shown
    # The name of SVG looks like an address, and nothing is fetched from it.
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_score_takes_the_library_of_a_run_back(finished, tmp_path, headscribe):
    _, run_dir, result = finished
    arguments = ["--model", "storyteller-gpt2", "--max-tokens", 24, "--limit", 5, "--out", tmp_path / "table.csv"]
    scored = json.loads(headscribe("score", run_dir / "library.py", *arguments, "--json").stdout)
    assert len(scored["programs"]) == result["library_size"]
    assert scored["failed"] == 0
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32 * 5 * result["library_size"]
    again = json.loads(headscribe("score", tmp_path / "table.csv", "--json").stdout)
    means = [[entry["mean_iou"] for entry in found["programs"]] for found in (again, scored)]
    assert means[0] == pytest.approx(means[1], abs=1e-5)
    # A table does not say which head the library gave which program: there it is chosen on every other text.
    assert (scored["chosen"], again["chosen"]) == ("own assignment", "every other text")
    assert again["texts_reported"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["modle=x"], "unknown key 'modle'; did you mean 'model'"),
        (["model=no/such/folder"], "model"),
        (["texts=no.txt"], "no file 'no.txt'"),
        (["splits.fit=4000"], "different texts, but splits ask for"),
        (["max_tokens=100000", "texts=python-code"], "set at most 256"),
        (["parallel.backend=lokee"], "joblib has no backend 'lokee'"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(small_config, tmp_path, headscribe, settings, message):
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = headscribe("run", small_config, "--run-dir", tmp_path / "r", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_directory_of_another_model_is_refused_and_left_alone(finished, headscribe):
    config, run_dir, _ = finished
    before = (run_dir / "config.yaml").read_bytes(), (run_dir / "library.json").read_bytes()
    done = headscribe("run", config, "--run-dir", run_dir, "--set", "model=storyteller-llama", check=False)
    assert done.returncode == 2
    assert "model was 'storyteller-gpt2', is 'storyteller-llama'" in done.stderr
    assert before == ((run_dir / "config.yaml").read_bytes(), (run_dir / "library.json").read_bytes())


def test_a_corrupt_database_is_refused_and_left_alone(small_config, tmp_path, headscribe):
    run_dir = tmp_path / "corrupt"
    run_dir.mkdir()
    (run_dir / "campaign.sqlite").write_bytes(b"garbage" * 1000)
    done = headscribe("run", small_config, "--run-dir", run_dir, check=False)
    assert done.returncode == 2
    assert "file is not a database" in done.stderr
    assert (run_dir / "campaign.sqlite").read_bytes() == b"garbage" * 1000


def test_a_directory_that_cannot_be_written_is_refused(small_config, tmp_path, headscribe):
    (tmp_path / "file").write_text("")
    done = headscribe("run", small_config, "--run-dir", tmp_path / "file" / "run", check=False)
    assert done.returncode == 2
    assert "cannot write to" in done.stderr


def test_help_answers_without_torch(headscribe):
    code = "import sys; from evolve.cli import app; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert "run" in headscribe("--help").stdout


def test_a_model_folder_never_seen_before_works(small_config, tmp_path, headscribe):
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path / "foreign"
    AutoTokenizer.from_pretrained(ROOT / "fitness" / "demo" / "storyteller-gpt2").save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=1536, max_position_embeddings=64, **sizes)).save_pretrained(folder)
    settings = ["--set", f"model={folder}", "--set", "stop.max_programs=20"]
    done = headscribe("run", small_config, "--run-dir", tmp_path / "run", *settings, "--json")
    assert json.loads(done.stdout)["heads"] == 8
