"""What `check` says a campaign would cost, against what one costs."""

import json

import pytest
from campaigns import ROOT, SMALL

from evolve.disk import attention_bytes, database_bytes
from fitness.models.capture import capture


def test_check_estimates_without_starting_anything(small_config, headscribe):
    before = set(ROOT.iterdir())
    result = json.loads(headscribe("check", small_config, "--json").stdout)
    assert result["heads"] == 32
    assert result["programs"] == 80
    assert result["seconds"] > 0
    assert set(ROOT.iterdir()) == before


def test_the_disk_that_check_estimates_is_the_disk_that_the_campaign_takes(tmp_path, headscribe):
    cache, run_dir = tmp_path / "cache", tmp_path / "run"
    config = tmp_path / "small.yaml"
    # Many held-out texts: a database that kept scores by text would be several times as large.
    config.write_text(SMALL.replace("held_out: 5", "held_out: 40") + f"attention_cache: {cache}\n")
    estimated = json.loads(headscribe("check", config, "--json").stdout)["disk_bytes"]
    result = json.loads(headscribe("run", config, "--run-dir", run_dir, "--json").stdout)
    database = (run_dir / "campaign.sqlite").stat().st_size
    attention = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    expected = database_bytes(result["heads"], result["programs_evaluated"], max_tokens=24)
    assert database / 1.7 < expected < 1.7 * database
    assert (attention + database) / 1.5 < estimated < 1.5 * (attention + database)


@pytest.mark.parametrize("max_tokens", [12, 64])
def test_attention_on_disk_is_as_large_as_a_few_texts_say(tmp_path, max_tokens):
    model = "storyteller-gpt2"
    strings = [
        "One day, a cat ran.",
        *(f"Tom and Lily saw {n} big dogs. They were happy. " * (1 + n % 5) for n in range(9)),
    ]
    few = capture(model, strings[:4], max_tokens=max_tokens, cache=tmp_path)
    whole = capture(model, strings, max_tokens=max_tokens, cache=tmp_path)
    taken = sum((whole.folder / name).stat().st_size for name in ("attention.f16", "sums.npy"))
    assert attention_bytes(strings, few, max_tokens) == pytest.approx(taken, rel=0.2)
