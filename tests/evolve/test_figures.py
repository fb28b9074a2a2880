"""Figures of a run: drawn from the numbers that its commands left there, beside which each has its table."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

from evolve.commands.replace import replace
from evolve.commands.report import report
from evolve.commands.tasks import tasks
from evolve.commands.transfer import transfer_library
from evolve.results.figures import figures_of
from evolve.store.run_dir import RunDir
from fitness.errors import UserError

QUESTION = {"query": "Once upon a time there was a little", "choices": ["girl", "stone"], "gold": 0}
HOSTILE = "$x_{</text><script>alert(1)</script>"


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A finished run that may be changed."""
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def measured(tiny_run, tmp_path_factory):
    """A run of which everything has been measured."""
    folder = tmp_path_factory.mktemp("measured")
    path = folder / "run"
    shutil.copytree(tiny_run.path, path)
    questions = folder / "girls.jsonl"
    questions.write_text("\n".join(json.dumps(QUESTION) for _ in range(3)))
    replace(path, fractions=[0.5], random_orders=1, measure_heads=2, pairs=1, only=["fractions", "heads"])
    tasks(path, names=[str(questions)], fractions=[0.5], limit=None, conditions=["mean_table"])
    transfer_library(path, ["python-docs"], model=None, max_tokens=None, limit=None, choose=False)
    return path


def test_what_was_not_measured_is_left_out_with_the_command_that_measures_it(tiny_run):
    found = figures_of(RunDir(tiny_run.path))
    assert list(found.data) == ["head_iou", "gain", "coverage"]
    assert found.left_out == {
        "transfer": f"headscribe transfer {tiny_run.path} --texts TEXTS",
        "perplexity": f"headscribe replace {tiny_run.path} --only fractions",
        "recovered": f"headscribe replace {tiny_run.path} --only fractions",
        "cost": f"headscribe replace {tiny_run.path} --only heads",
        "tasks": f"headscribe tasks {tiny_run.path} --task FILE",
    }


@pytest.mark.slow
def test_all_that_was_measured_is_drawn_beside_its_table(measured, tmp_path):
    pytest.importorskip("matplotlib")
    done = report(measured, tmp_path / "a")["figures"]
    names = ["head_iou", "gain", "coverage", "transfer", "perplexity", "recovered", "cost", "tasks"]
    assert done["left_out"] == {}
    files = [str(tmp_path / "a" / f"{name}.{ending}") for name in names for ending in ("svg", "pdf", "csv")]
    assert done["written"] == files
    replacement = json.loads((measured / "replacement.json").read_text())
    table = list(csv.DictReader((tmp_path / "a" / "perplexity.csv").open()))
    half = replacement["perplexity"]["by_fraction"][0]
    assert {row["condition"] for row in table} == {"original", *half["conditions"]}
    (row,) = [row for row in table if row["condition"] == "mean_table" and row["fraction"] == "0.5"]
    assert float(row["perplexity"]) == half["mean_table"]
    assert "multiple of the original" in (tmp_path / "a" / "perplexity.svg").read_text()
    assert (tmp_path / "a" / "cost.pdf").read_bytes().startswith(b"%PDF")
    report(measured, tmp_path / "b")
    for file in map(Path, files):
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()


def test_a_hostile_name_is_text_and_no_link_is_drawn_through(copied, tmp_path):
    pytest.importorskip("matplotlib")
    there = dict.fromkeys(("library", "reference", "tables_here", "gain"), 0.5) | {"gain_interval": [0.4, 0.6]}
    (copied / "transfer.json").write_text(json.dumps({"transfer": {HOSTILE: there}}))
    (tmp_path / "figures").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "figures" / "transfer.svg").symlink_to(tmp_path / "mine")
    report(copied, tmp_path / "figures")
    drawn = (tmp_path / "figures" / "transfer.svg").read_text()
    assert "$x {&lt;/text&gt;&lt;script&gt;" in drawn
    assert "<script>" not in drawn
    assert (tmp_path / "mine").read_text() == "mine"


def test_numbers_that_cannot_be_read_name_the_command_that_writes_them(copied):
    (copied / "replacement.json").write_text('{"perplexity": {"by_fraction": [{"heads": 3}]}}')
    with pytest.raises(UserError, match=r"numbers of perplexity cannot be read.*headscribe replace"):
        figures_of(RunDir(copied))


def test_without_matplotlib_the_extra_is_named(copied, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"--figures needs matplotlib: pip install 'headscribe\[plots\]'"):
        report(copied, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
