"""Mixes of programs: a planted mix is found, sizes are chosen on held-out texts, and test is read once."""

import json
from contextlib import closing

import numpy as np
import pytest
import yaml
from campaigns import SMALL
from typer.testing import CliRunner

from evolve.cli import app
from evolve.config import parse_config
from evolve.running import run_campaign
from evolve.store.run_dir import RunDir
from fitness.scoring.contract import to_predictions
from fitness.scoring.iou import iou_by_text
from fitness.scoring.mixes import Mixing, mixed_iou
from fitness.scoring.packing import Packing


@pytest.fixture(scope="module")
def scene():
    """Predictions of five programs on three texts, and a head that is 0.5, 0.3 and 0.2 of three of them."""
    rng = np.random.default_rng(0)
    packing = Packing([9, 12, 7], causal=True)
    predictions = np.stack(
        [to_predictions(rng.random(int(packing.offsets[-1])) ** 4 + 1e-3, packing) for _ in range(5)]
    )
    head = np.array([0.5, 0, 0.3, 0, 0.2], dtype=np.float32) @ predictions
    return packing, predictions, head


def test_a_planted_mix_is_found(scene):
    packing, predictions, head = scene
    found = Mixing(predictions, np.array(packing.lengths), packing.offsets[:-1]).fit(head, first=0, most=4)
    assert found[0].tolist() == [1, 0, 0, 0, 0]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found >= 0).all()
    assert [int((mix > 0).sum()) for mix in found[:3]] == [1, 2, 3]
    np.testing.assert_allclose(found[2], [0.5, 0, 0.3, 0, 0.2], atol=0.02)


def test_a_mix_scores_as_its_prediction_does(scene):
    packing, predictions, head = scene
    blocks = [np.stack([part, part[::-1]]).astype(np.float16) for part in packing.split(head)]
    weights = np.zeros((2, 2, 5), dtype=np.float32)
    weights[0, :, 0] = 1
    weights[1] = [0.5, 0, 0.3, 0, 0.2]
    found = mixed_iou(predictions, weights, packing, blocks)
    assert found.shape == (2, 2, 3)
    assert found[1, 0].min() > 0.995
    sums = np.stack([block.sum(axis=1, dtype=np.float64) for block in blocks], axis=1)
    np.testing.assert_allclose(found[0], iou_by_text([predictions[0]], packing, blocks, sums)[0], atol=1e-6)


def test_rows_that_a_program_leaves_empty_are_filled_by_the_others(scene):
    packing, predictions, _ = scene
    holed = predictions.copy()
    holed[0, packing.offsets[1] :] = 0
    weights = np.zeros((1, 1, 5), dtype=np.float32)
    weights[0, 0, :2] = 0.5
    blocks = [part[None] for part in packing.split(predictions[1])]
    found = mixed_iou(holed, weights, packing, blocks)[0, 0]
    np.testing.assert_allclose(found[1:], 1, atol=1e-5)
    assert found[0] < 0.95


@pytest.fixture(scope="module")
def finished(tmp_path_factory, attention_cache):
    path = tmp_path_factory.mktemp("mixes") / "run"
    settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": 40}}
    run_campaign(parse_config(settings, "small"), RunDir(path))
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_the_command_writes_a_curve_and_each_head_s_mix(finished):
    result = invoke("library", finished, "--mix", 3, "--texts", "python-docs", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    mixes = printed["mixes"]
    assert mixes == json.loads((finished / "mixes.json").read_text())
    library = json.loads((finished / "library.json").read_text())
    one, *more = mixes["curve"]
    assert one["size"] == one["programs_per_head"] == 1
    assert one["iou_test"] == pytest.approx(library["mean_iou_test"], abs=2e-5)
    assert one["iou_test_interval"] == pytest.approx(library["mean_iou_test_interval"], abs=0.01)
    assert one["gain_over_one"] is None
    # Chosen on held-out texts, larger mixes are never worse there.
    held_out = [point["mean_iou_held_out"] for point in mixes["curve"]]
    assert held_out == sorted(held_out)
    assert held_out[-1] > held_out[0]
    assert [point["size"] for point in more] == [2, 3]
    for point in more:
        assert point["gain_over_one"] == pytest.approx(point["iou_test"] - one["iou_test"], abs=1e-6)
        assert set(point["abroad"]) == {"python-docs"}
    ids = {program["id"] for program in library["programs"]}
    for label, mix in mixes["heads"].items():
        assert label in library["assignment"]
        assert 1 <= len(mix) <= 3
        assert {part["program"] for part in mix} <= ids
        assert sum(part["weight"] for part in mix) == pytest.approx(1, abs=0.02)


def test_each_reading_of_test_is_counted(finished):
    with closing(RunDir(finished).open_store()) as store:
        before = len(store.readings())
    assert invoke("library", finished, "--mix", 2).exit_code == 0
    with closing(RunDir(finished).open_store()) as store:
        readers = [reading.reader for reading in store.readings()]
    assert readers[before:] == ["library", "library --mix"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mix", "1"], "2 to 16"),
        (["--mix", "3", "--out", "elsewhere"], "no --out"),
        (["--texts", "python-docs"], "give --mix as well"),
    ],
)
def test_what_cannot_be_mixed_is_refused_with_what_would_be_right(finished, options, said):
    result = invoke("library", finished, *options)
    assert result.exit_code != 0
    assert said in " ".join(result.stderr.split())
