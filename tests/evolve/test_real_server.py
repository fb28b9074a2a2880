"""A campaign against `transformers serve` with a bundled model: a real endpoint whose replies are nonsense."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from campaigns import ROOT, SMALL

TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


@pytest.fixture
def served_model(tmp_path):
    """(base URL, model name) of a running server."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = tmp_path / "served"
    shutil.copytree(ROOT / "fitness" / "demo" / "storyteller-llama", folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            assert process.poll() is None
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_nonsense_of_a_real_model_is_counted_and_the_campaign_ends_well(
    served_model, headscribe, tmp_path, attention_cache
):
    url, name = served_model
    model = {"model": name, "base_url": url, "max_tokens": 40}
    config = yaml.safe_load(SMALL) | {
        "attention_cache": str(attention_cache),
        "stop": {"max_programs": 20},
        "search": {"batch": 4},
        "operators": {"fresh": 1, "mutate": 1, "tweak": 2},
        "llm": {"models": [model], "max_in_flight": 1},
    }
    path = tmp_path / "served.yaml"
    path.write_text(yaml.safe_dump(config))
    result = json.loads(headscribe("run", path, "--run-dir", tmp_path / "run", "--json", timeout=500).stdout)
    assert result["programs_evaluated"] >= 20
    assert result["llm"]["calls"] > 0
    rows = json.loads(headscribe("prompts", tmp_path / "run", "--json").stdout)["prompts"]
    assert sum(row["calls"] for row in rows) > 0
    for row in rows:
        assert row["valid_share"]["value"] == 0
        assert sum(row["errors"].values()) == row["calls"]
