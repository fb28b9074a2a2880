"""Programs from outside: chosen on some texts, reported on others; a library keeps its heads and avoids its texts."""

import json

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from archives.table import ScoreTable
from evolve.commands.score import score
from evolve.config import parse_config
from evolve.results.program_files import read_program_file
from evolve.results.scores import score_programs, scoring_config, summarise
from evolve.running import run_campaign
from evolve.session import captured
from evolve.store.run_dir import RunDir
from fitness.program import Program
from fitness.scoring.packing import unpack
from fitness.scoring.published import published_chunk, published_iou
from fitness.scoring.worker import WorkerSpec


@pytest.fixture(scope="module")
def finished(tmp_path_factory, attention_cache):
    directory = tmp_path_factory.mktemp("scores") / "run"
    settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": 40}}
    run_campaign(parse_config(settings, "small"), RunDir(directory))
    return directory


def scored(path, monkeypatch, attention_cache, **settings):
    monkeypatch.setenv("XDG_CACHE_HOME", str(attention_cache))
    options = {"texts": "stories", "max_tokens": 24, "limit": 6, "sandbox": "strict", "workers": 1, "out": None}
    return score(path, **(options | {"model": "storyteller-gpt2"} | settings))


def test_programs_are_chosen_on_every_other_text_and_reported_on_the_rest():
    rng = np.random.default_rng(0)
    # Programs of one worth whose scores are noise: the best of fifty on some texts is no better on others.
    noise = np.clip(rng.normal(0.5, 0.1, (8, 50, 6)), 0, 1)
    table = ScoreTable(noise, tuple(f"L0H{h}" for h in range(8)), tuple(f"p{p}" for p in range(50)))
    found = summarise(table, {})
    assert found.chosen == "every other text"
    assert (found.texts, found.texts_reported) == (6, 3)
    assert found.mean_iou == pytest.approx(0.5, abs=0.05)
    assert float(table.means.max(axis=1).mean()) > 0.57  # what choosing and reporting on the same texts would claim


def test_means_alone_leave_no_text_to_report_on_and_it_is_said():
    means = ScoreTable(np.random.default_rng(0).random((3, 4)), ("L0H0", "L0H1", "L0H2"), tuple("abcd"))
    found = summarise(means, {})
    assert found.chosen == "the same texts"
    assert found.texts is None
    assert found.mean_iou == pytest.approx(float(means.means.max(axis=1).mean()))


def test_a_library_keeps_its_own_assignment(finished, monkeypatch, attention_cache):
    found = scored(finished / "library.py", monkeypatch, attention_cache)
    library = json.loads((finished / "library.json").read_text())
    function = {entry["id"]: entry["function"] for entry in library["programs"]}
    assert found.chosen == "own assignment"
    expected = {head: function[line["program"]] for head, line in library["assignment"].items()}
    assert {head: name for head, (name, _) in found.heads.items()} == expected
    assert found.texts == found.texts_reported == 6
    assert found.tokens == 6 * 24
    assert found.mean_iou == pytest.approx(library["mean_iou_test"], abs=0.06)


def test_a_library_on_another_model_has_its_programs_chosen_anew(finished, monkeypatch, attention_cache):
    found = scored(finished / "library.py", monkeypatch, attention_cache, model="storyteller-llama")
    assert found.chosen == "every other text"


def test_a_library_is_not_scored_on_texts_that_it_was_made_for(finished, monkeypatch, attention_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(attention_cache))
    file = read_program_file(finished / "library.py")
    config = RunDir(finished).load_config()
    _, _, splits = captured(config)
    assert set(file.seen_texts) == {*splits.fit, *splits.held_out}
    # Asked for all texts there are, it takes all but those.
    scoring = scoring_config("storyteller-gpt2", "stories", max_tokens=24, limit=1000, workers=1)
    measured = score_programs(file, scoring)
    assert len(measured.table.texts) == scoring.splits.held_out - len(file.seen_texts)


def test_published_iou_is_the_plain_formula_of_whole_matrices_without_a_mask(attention_cache):
    config = parse_config(yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache)}, "small")
    attention, spec, _ = captured(config)
    program = Program.parse("def program(text):\n    return (0.3 + text.is_first) * (text.distance % 3 > 0)\n")
    (found,) = published_chunk(spec, [program], "held_out")
    for column in range(spec.held_out):
        text = attention.texts[spec.fit + column]
        heads = unpack(np.asarray(attention.block(spec.fit + column), dtype=np.float64), text.n, causal=True)
        matrix = (0.3 + text.is_first) * (text.distance % 3 > 0)
        plain = np.minimum(matrix, heads).sum(axis=(1, 2)) / np.maximum(matrix, heads).sum(axis=(1, 2))
        np.testing.assert_allclose(found[:, column], plain, atol=1e-4)


def test_weight_above_the_diagonal_counts_against_a_program_in_the_published_iou_alone():
    block = np.array([[1.0, 0.0, 1.0]])  # two tokens, both rest on themselves
    sums = block.sum(axis=1)
    assert published_iou(np.eye(2), block, sums, causal=True)[0] == 1
    assert published_iou(np.array([[1.0, 1], [0, 1]]), block, sums, causal=True)[0] == pytest.approx(2 / 3)
    assert published_iou(np.array([[0.0, 0], [0, 1]]), block, sums, causal=True)[0] == pytest.approx(1 / 2)


def test_a_program_that_fails_has_no_published_iou(attention_cache):
    config = parse_config(yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache)}, "small")
    spec: WorkerSpec = captured(config)[1]
    assert published_chunk(spec, [Program.parse("def program(text):\n    return 1 / 0\n")], "held_out") == [None]
