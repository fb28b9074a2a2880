"""A run as tables that others read, headscribe's own commands among them."""

import csv
import json

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from archives.table import read_table
from evolve.config import parse_config
from evolve.results.export import export_run
from evolve.results.found import load_found
from evolve.results.libraries import reduce_paths
from evolve.results.reduction import Criterion
from evolve.running import run_campaign
from evolve.store.records import ProgramRecord
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.failures import FailureKind
from fitness.program import Program
from fitness.scoring.worker import Evaluation

HOSTILE = 'def program(text):\n\t"""=1+1 \x1b[2J"""\n\treturn text.same * 1.0\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory, attention_cache):
    """A finished run, into which somebody has put a program that does harm where it is shown."""
    run_dir = RunDir(tmp_path_factory.mktemp("export") / "run")
    settings = yaml.safe_load(SMALL) | {"stop": {"max_programs": 30}, "attention_cache": str(attention_cache)}
    run_campaign(parse_config(settings, "test"), run_dir)
    from evolve.store import Store

    store = Store(run_dir.database)
    failed = Evaluation(FailureKind.BAD_SHAPE, "=HYPERLINK(1)")
    record = ProgramRecord.of(store.next_number(), Program.parse(HOSTILE), store.steps(), failed)
    store.commit_step(store.steps(), [record], [], 0.1, store.last_summary())
    store.put("sent:k", {"event": "sent", "model": "m", "tokens": 7, "cost_usd": 0.5})
    answer = {"event": "answered", "model": "m", "messages": [{"content": "PROMPT"}], "text": "REPLY", "sample": 0}
    answer |= {"finish": "stop", "prompt_tokens": 3, "completion_tokens": 4, "cost_usd": 0.25, "request": "sent:k"}
    store.put("k", answer | {"settings": {}, "purpose": {"operator": "mutate", "step": 1, "slot": 2}})
    store.close()
    return run_dir


@pytest.fixture(scope="module")
def exported(run):
    return export_run(run)


@pytest.fixture(scope="module")
def found(run):
    store = run.open_store()
    yield load_found(store)
    store.close()


def rows(exported, name):
    with (exported.folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == exported.rows[f"{name}.csv"]
    return found


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_scores_are_read_back_as_they_were(run, found, tmp_path, form):
    export_run(run, tmp_path, form)
    table = read_table(tmp_path / f"scores.{form}")
    np.testing.assert_array_equal(table.take_programs(found.table.programs).means, found.table.means)
    assert (set(table.heads), table.texts) == (set(found.table.heads), ())


def test_a_library_of_exported_scores_is_as_good_as_that_of_the_run(run, exported):
    own, _, _ = reduce_paths([run.path], Criterion(epsilon=0.02), test=False)
    read, _, _ = reduce_paths([exported.folder / "scores.csv"], Criterion(epsilon=0.02))
    assert read.held_out.mean.value == pytest.approx(own.held_out.mean.value, abs=0.01)
    assert len(read.members) <= len(own.members)
    assert read.provenance["files"]["scores"]["file"] == "scores.csv"


def test_scores_are_summed_up_by_score(exported, found, headscribe):
    scored = json.loads(headscribe("score", exported.folder / "scores.csv", "--json").stdout)
    assert len(scored["programs"]) == len(found.records)
    assert scored["mean_iou"] == pytest.approx(found.table.means.max(axis=1).mean(), abs=1e-6)


def test_every_program_is_there_with_its_source_and_its_failure(exported, found):
    programs = {row["program"]: row for row in rows(exported, "programs")}
    for record, iou in zip(found.records, found.table.means.T, strict=True):
        row = programs.pop(record.id)
        assert Program.parse(row["source"]).id == record.id
        assert row["outcome"] == "ok"
        assert float(row["mean_iou"]) == pytest.approx(iou.mean(), abs=1e-6)
        assert row["best_head"] == found.table.heads[int(iou.argmax())]
        assert int(row["statements"]) >= 2
    hostile = programs[Program.parse(HOSTILE).id]
    assert (hostile["outcome"], hostile["mean_iou"]) == ("bad shape", "")


def test_no_cell_is_a_formula_or_an_escape(exported):
    hostile = next(row for row in rows(exported, "programs") if row["outcome"] == "bad shape")
    assert hostile["message"] == "'=HYPERLINK(1)"
    assert hostile["docstring"].startswith("'=1+1")
    assert "\x1b" not in (exported.folder / "programs.csv").read_text(encoding="utf-8")
    assert Program.parse(hostile["source"]).source.count("\n\t") == 2  # indentation is left as it is


def test_parquet_keeps_every_source_as_it_was_written(run, tmp_path):
    from pyarrow import parquet

    export_run(run, tmp_path, "parquet")
    assert Program.parse(HOSTILE).source in parquet.read_table(tmp_path / "programs.parquet")["source"].to_pylist()


def test_proposals_name_parents_and_what_became_of_them(exported):
    programs = {row["program"] for row in rows(exported, "programs")}
    proposals = rows(exported, "proposals")
    assert {row["outcome"] for row in proposals} >= {"new"}
    assert {parent for row in proposals for parent in row["parents"].split()} <= programs
    assert all(row["evaluation"] for row in proposals if row["outcome"] == "new")
    assert all(row["head"].startswith("L") for row in proposals)


def test_calls_have_models_tokens_and_dollars_and_no_words(exported):
    sent, answered = rows(exported, "calls")
    assert (sent["event"], answered["operator"], answered["completion_tokens"], answered["cost_usd"]) == (
        "sent",
        "mutate",
        "4",
        "0.25",
    )
    everything = "".join(file.read_text(encoding="utf-8") for file in exported.folder.iterdir())
    assert "PROMPT" not in everything
    assert "REPLY" not in everything


def test_nothing_by_text_leaves(run, exported):
    library = json.loads(run.file("library.json").read_text())
    everything = "".join(file.read_text(encoding="utf-8") for file in exported.folder.iterdir())
    assert "sentence_idx" not in everything
    by_text = [f"{value:.6f}" for line in library["assignment"].values() for value in line["iou_test_by_text"]]
    assert not [value for value in by_text if value in everything and value not in ("0.000000", "1.000000")]


def test_provenance_comes_with_it(run, exported):
    about = json.loads((exported.folder / "provenance.json").read_text())
    assert about["model"]["name"] == "storyteller-gpt2"
    assert about["begun"]
    assert about["config_changes"] == []
    assert str(run.path) not in json.dumps(about)


def test_an_unknown_format_is_refused_with_the_nearest(run, tmp_path):
    with pytest.raises(UserError, match="did you mean 'parquet'"):
        export_run(run, tmp_path / "no", "parkett")
    assert not (tmp_path / "no").exists()
