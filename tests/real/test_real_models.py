"""SmolLM2-135M, a model as people have it, from its GGUF file: captured, resumed, searched, reported."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fitness.models.attention import DATA, checksum
from fitness.models.capture import capture
from fitness.models.loading import load
from fitness.models.source import locate
from fitness.scoring.packing import unpack
from fitness.text.sources import read_texts

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LABELS = tuple(f"L{layer}H{head}" for layer in range(30) for head in range(9))
TOKENS = 24


@pytest.fixture(scope="module")
def texts():
    return [*read_texts("python-docs", rows=5), *read_texts("python-code", rows=4), "Short text.", "A shorter one."]


@pytest.fixture(scope="module")
def captured(smollm2, texts, tmp_path_factory):
    return capture(str(smollm2), texts, max_tokens=TOKENS, cache=tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def loaded(smollm2):
    return load(locate(str(smollm2)))


def test_the_cache_holds_the_models_own_attention(captured, loaded):
    assert captured.labels == LABELS
    assert captured.causal
    assert captured.notes == ("the weights are quantised (GGUF Q4_1): what was measured is the quantised model",)
    for index in (0, len(captured) - 1):
        ids = torch.tensor(captured.texts[index].ids[None])
        with torch.no_grad():
            expected = torch.cat(loaded.model(ids, output_attentions=True).attentions).flatten(0, 1).numpy()
        found = unpack(np.asarray(captured.block(index), np.float32), captured.texts[index].n, causal=True)
        assert np.abs(found - expected).max() < 1e-3


def test_half_the_precision_gives_nearly_the_same_attention(captured, smollm2, texts, tmp_path):
    half = capture(locate(str(smollm2), dtype="bfloat16"), texts[:2], max_tokens=TOKENS, cache=tmp_path)
    assert half.dtype == "bfloat16"
    difference = np.abs(np.asarray(half.block(0), np.float32) - np.asarray(captured.block(0), np.float32))
    assert difference.mean() < 0.005


def test_a_killed_capture_goes_on_to_the_same_bytes(captured, smollm2, texts, tmp_path):
    code = (
        "import sys, json; from pathlib import Path; from fitness.models.capture import capture; "
        "texts, folder = json.loads(sys.argv[2]), Path(sys.argv[3]); "
        f"capture(sys.argv[1], texts, max_tokens={TOKENS}, cache=folder, progress=lambda *d: print(*d, flush=True))"
    )
    command = [sys.executable, "-c", code, str(smollm2), json.dumps(texts), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    next(line for line in process.stdout if not line.startswith("0 "))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (making,) = tmp_path.glob(".making-*")
    assert (making / "done.jsonl").read_text().count("\n") >= 1
    again = capture(str(smollm2), texts, max_tokens=TOKENS, cache=tmp_path)
    assert checksum(again.folder / DATA) == checksum(captured.folder / DATA)


def test_the_preset_runs_on_the_file_and_says_what_it_measured(smollm2, tmp_path, headscribe):
    settings = ("max_tokens=16", "splits={fit: 2, held_out: 3, test: 3}", "stop={max_programs: 40}")
    settings += (f"model={smollm2}", "texts=[python-code, python-docs]", f"attention_cache={tmp_path / 'cache'}")
    options = [option for setting in settings for option in ("--set", setting)]
    done = headscribe("run", "smollm2", "--run-dir", tmp_path / "run", "--json", *options, timeout=600)
    result = json.loads(done.stdout)
    assert (result["heads"], result["texts"], set(result["domains"])) == (270, 16, {"python-code", "python-docs"})
    assert result["notes"] == ["the weights are quantised (GGUF Q4_1): what was measured is the quantised model"]
    assert 0 < result["mean_iou_test"] < 1
    assert "capturing attention" in done.stderr
    assert "GGUF Q4_1" in (tmp_path / "run" / "report.html").read_text()
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    stages = [event for event in events if event["event"] == "stage" and event["name"].startswith("capturing")]
    assert (stages[0]["done"], stages[-1]["done"], stages[-1]["total"]) == (0, 16, 16)
