"""Runs compared, and sweeps of them."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from campaigns import SMALL

from evolve.results.between_seeds import between
from evolve.results.comparison import compare_runs, read_run
from evolve.store.run_dir import RunDir
from evolve.views.comparison import render
from evolve.views.terminal import terminal
from fitness.errors import UserError


@pytest.fixture(scope="module")
def swept(tmp_path_factory, attention_cache):
    """Two settings with two seeds each, as `sweep` leaves them; the arguments that made them."""
    folder = tmp_path_factory.mktemp("sweep")
    config = folder / "small.yaml"
    config.write_text(SMALL + f"attention_cache: {attention_cache}\n")
    arguments = ["sweep", config, "--vary", "search.batch=8,16", "--seeds", "2", "--dir", folder / "runs"]
    return folder / "runs", [*arguments, "--set", "stop.max_programs=20", "--json"]


@pytest.fixture(scope="module")
def first_time(swept, headscribe):
    return headscribe(*swept[1])


def test_a_sweep_runs_every_combination_and_seed_and_compares_them(swept, first_time):
    folder, _ = swept
    printed = json.loads(first_time.stdout)
    assert len(printed["runs"]) == 4
    assert (folder / "search.batch=16" / "seed-1" / "library.json").is_file()
    labels = [group["label"] for group in printed["groups"]]
    assert labels == ["search.batch=8", "search.batch=16"]
    assert [group["seeds"] for group in printed["groups"]] == [[0, 1], [0, 1]]
    assert printed["differences"][0]["difference"]["runs"] == 2
    assert "4 campaigns" in first_time.stderr


def test_a_sweep_run_again_keeps_what_is_finished_and_reads_no_test_text(swept, first_time, headscribe):
    folder, arguments = swept
    again = headscribe(*arguments)
    assert again.stderr.count("has finished before") == 4
    assert json.loads(again.stdout)["groups"] == json.loads(first_time.stdout)["groups"]
    store = RunDir(folder / "search.batch=8" / "seed-0").open_store()
    assert len(store.readings()) == 1
    store.close()


def test_groups_hold_the_mean_of_their_runs_and_pairs_go_by_seed(swept, first_time):
    folder, _ = swept
    runs = {path: read_run(path) for path in sorted(folder.glob("*/seed-*"))}
    comparison = compare_runs(list(runs))
    first = [run for path, run in runs.items() if path.parent.name == comparison.groups[0].label]
    ious = [run.result["mean_iou_test"] for run in first]
    assert comparison.groups[0].numbers["mean_iou_test"].value == pytest.approx(np.mean(ious))
    other = [run for path, run in runs.items() if path.parent.name == comparison.groups[1].label]
    pairs = [b.result["mean_iou_test"] - a.result["mean_iou_test"] for a, b in zip(first, other, strict=True)]
    found = next(d for d in comparison.differences if d.metric == "mean_iou_test").difference
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.low < found.value < found.high


def test_a_curve_ends_at_what_the_shortest_run_has_reached(swept, first_time):
    folder, _ = swept
    paths = sorted(folder.glob("*/seed-*"))
    comparison = compare_runs(paths)
    runs = [read_run(path) for path in paths]
    last = comparison.groups[0].curves["programs"][-1]
    assert last.at == min(run.curve["programs"][-1] for run in runs)
    assert comparison.groups[0].curves["usd"] == ()
    values = [point.mean_iou.value for point in comparison.groups[0].curves["programs"]]
    assert values == sorted(values)


def test_a_group_is_told_layer_by_layer(swept, first_time, headscribe):
    folder, _ = swept
    paths = sorted((folder / "search.batch=8").glob("seed-*"))
    (group,) = compare_runs(paths).groups
    libraries = [json.loads((path / "library.json").read_text())["assignment"] for path in paths]
    inside = [[line["iou_test"] for label, line in one.items() if label.startswith("L2H")] for one in libraries]
    layer = group.layers[2]
    assert layer.library.value == pytest.approx(np.mean(inside))
    assert layer.gain.value == pytest.approx(layer.library.value - layer.reference.value)
    assert np.mean([layer.gain.value for layer in group.layers]) == pytest.approx(
        group.numbers["gain_over_reference"].value, abs=1e-5
    )
    assert "layer by layer" in headscribe("compare", *paths, "--layers").stdout


@pytest.mark.slow
def test_a_sweep_replaces_heads_once_and_compares_that_too(small_config, tmp_path, headscribe):
    arguments = ["sweep", small_config, "--seeds", "2", "--dir", tmp_path / "runs", "--replace", "0.5", "--json"]
    arguments += ["--set", "stop.max_programs=20"]
    found = json.loads(headscribe(*arguments).stdout)
    (group,) = found["groups"]
    (row,) = group["replacement"]["by_fraction"]
    paths = [RunDir(tmp_path / "runs" / f"seed-{seed}") for seed in (0, 1)]
    measured = [json.loads(path.file("replacement.json").read_text())["perplexity"] for path in paths]
    increases = [one["by_fraction"][0]["conditions"]["mean_table"]["increase_percent"] for one in measured]
    assert row["increase_percent"]["mean_table"]["value"] == pytest.approx(np.mean(increases))
    assert row["programs_minus_mean_table"]["runs"] == 2
    again = headscribe(*arguments)
    assert json.loads(again.stdout)["groups"] == found["groups"]
    store = paths[0].open_store()
    assert [reading.reader for reading in store.readings()] == ["run", "replace"]
    store.close()
    shown = headscribe("compare", *(path.path for path in paths)).stdout
    assert "programs less mean tables" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_interval_between_seeds_is_students():
    found = between([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.high - found.value == pytest.approx(4.302652729911275 / np.sqrt(3))
    assert between([1.0]).low is None


def test_a_comparison_is_shown_and_drawn(swept, first_time, headscribe, tmp_path):
    folder, _ = swept
    pytest.importorskip("matplotlib")
    paths = sorted(folder.glob("*/seed-*"))
    shown = headscribe("compare", *paths, "--plot", tmp_path / "curves.svg").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "search.batch=8 less the first, gain over reference" in shown
    wide = headscribe("compare", *paths, env=os.environ | {"COLUMNS": "120"}).stdout
    assert "search.batch=16 " in wide
    assert "search.batch=8 " in wide
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")


def test_long_labels_stand_above_the_tables_and_letters_in_them(swept, capsys):
    folder, _ = swept
    found = compare_runs(sorted(folder.glob("*/seed-*")))
    long = {group.label: f"{group.label}, texts={'stories.json, ' * 9}" for group in found.groups}
    groups = tuple(replace(group, label=long[group.label]) for group in found.groups)
    differences = tuple(replace(each, label=long[each.label]) for each in found.differences)
    for line in render(replace(found, groups=groups, differences=differences)):
        terminal().print(line)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "A: search.batch=" in shown
    assert "B less the first, gain over reference" in shown
    assert shown.count("stories.json") == 2 * 9, "each label stands once"
    assert len(shown.splitlines()) < 60


def test_what_is_no_run_and_what_cannot_be_varied_is_said(tmp_path, headscribe):
    with pytest.raises(UserError, match=r"no config\.yaml"):
        compare_runs([tmp_path])
    done = headscribe("sweep", "quickstart", "--vary", "splits.fit", check=False)
    assert done.returncode == 2
    assert "such as splits.fit=8,24,64" in done.stderr
