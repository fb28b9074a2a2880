"""A run beside its references: what it is worth, who read test, and what a table in disguise comes to."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from archives.bootstrap import Split
from archives.gain import gain_over
from evolve.config import parse_config
from evolve.results.found import score_on_test
from evolve.results.libraries import make_library
from evolve.results.reduction import Criterion
from evolve.results.references import run_tables
from evolve.results.status import read_status
from evolve.running import run_campaign
from evolve.session import opened_for_reading
from evolve.store import Store
from evolve.store.readings import recorder_at
from evolve.store.run_dir import RunDir
from evolve.views.report import write_report
from evolve.views.run import render, verdict
from fitness.errors import UserError
from fitness.program import Program
from fitness.scoring.pool import Pool
from fitness.scoring.references import KINDS, MEAN


@pytest.fixture(scope="module")
def ended(tmp_path_factory, attention_cache):
    return campaign(tmp_path_factory.mktemp("references") / "run", attention_cache, 60)


def campaign(directory, attention_cache, programs):
    settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": programs}}
    return run_campaign(parse_config(settings, "small"), RunDir(directory))


def test_a_run_gives_its_gain_over_tables_and_baselines_with_intervals(ended):
    result = ended.as_json()
    assert set(result["tables_iou_test"]) == set(KINDS)
    assert result["reference_iou_test"] > result["baseline_iou_test"] > 0
    expected = result["mean_iou_test"] - result["reference_iou_test"]
    assert result["gain_over_reference"] == pytest.approx(expected, abs=1e-6)
    low, high = result["gain_over_reference_interval"]
    assert low <= result["gain_over_reference"] <= high
    assert result["held_out_minus_test"] == pytest.approx(result["mean_iou_held_out"] - result["mean_iou_test"])
    library = json.loads((ended.run_dir.path / "library.json").read_text())
    gains = [line["gain_over_reference"] for line in library["assignment"].values()]
    assert np.mean(gains) == pytest.approx(result["gain_over_reference"], abs=1e-6)
    won = sum(line["gain_over_reference_interval"][0] > 0 for line in library["assignment"].values())
    assert won == result["heads_won_over_reference"] == library["heads_won_over_reference"]
    assert {"masked_mass", "empty_rows"} <= library["programs"][0]["descriptors"].keys()


def test_a_library_that_is_a_table_in_disguise_gains_nothing_within_its_interval(ended):
    with opened_for_reading(ended.run_dir) as session:
        spec, heads = session.spec, session.attention.labels
        tables = run_tables(spec)
        programs = {}
        for head in range(0, len(heads), 4):
            rows = np.round(tables.predict(MEAN, head, 24), 5).tolist()
            source = f"def program(text):\n    return np.array({rows})[: text.n, : text.n]\n"
            programs[heads[head]] = Program.parse(source)
        test = score_on_test(Pool(1), spec, programs, list(programs))
    names = [label if label in programs else None for label in heads]
    rows = [row for row, name in enumerate(names) if name]
    table = replace(test, scores=test.scores[rows], heads=tuple(heads[row] for row in rows))
    split = Split.of(table, seed=0, resamples=500)
    gain = gain_over(split, list(table.heads), [MEAN] * len(rows))
    assert gain.gain.low - 1e-4 <= 0 <= gain.gain.high + 1e-4
    assert abs(gain.gain.value) < 1e-4
    assert not any(abs(estimate.value) > 1e-3 for estimate in gain.by_head)


def test_what_does_not_beat_its_references_is_told_so_in_red(ended):
    loses = replace(ended.result, gain_over_reference=-0.01, gain_over_reference_interval=[-0.02, 0.001])
    (line,) = verdict(loses)
    assert "[bold red]this campaign does not beat its references" in line
    wins = replace(ended.result, gain_over_reference=0.01, gain_over_reference_interval=[0.002, 0.02])
    assert "red" not in verdict(wins)[0]
    assert any("test read once" in str(line) for line in render(ended))


def test_the_ledger_counts_a_second_reading(ended, tmp_path):
    make_library([ended.run_dir.path], Criterion(size=3), out=tmp_path / "library")
    with closing(ended.run_dir.open_store()) as store:
        first, second = store.readings()
    assert (first.reader, second.reader) == ("run", "library")
    assert first.programs == second.programs == ended.programs
    assert 0 < second.scored <= ended.programs
    assert first.time <= second.time
    assert read_status(ended.run_dir).test_reads == 2
    write_report(ended.run_dir)
    assert "Test read twice" in ended.run_dir.file("report.html").read_text()


def test_test_is_not_read_where_the_reading_cannot_be_written_down(tmp_path):
    with pytest.raises(UserError, match="each reading of the test split is written down"):
        recorder_at(tmp_path / "none" / "campaign.sqlite", "library")(3)


def test_a_resumed_run_adds_to_its_earlier_result(tmp_path, attention_cache):
    first = campaign(tmp_path / "run", attention_cache, 30).result
    second = campaign(tmp_path / "run", attention_cache, 60).result
    assert first.earlier == []
    (entry,) = second.earlier
    assert entry["programs_evaluated"] == first.programs_evaluated < second.programs_evaluated
    assert entry["gain_over_reference"] == first.gain_over_reference
    assert second.test_reads == 2
    again = campaign(tmp_path / "run", attention_cache, 60).result
    assert again.earlier == second.earlier
    assert again.test_reads == 3


def test_status_shows_the_reference_while_a_campaign_runs(ended):
    status = read_status(ended.run_dir)
    assert 0 < status.reference_iou_held_out < 1
    expected = status.mean_iou_held_out - status.reference_iou_held_out
    assert status.gain_over_reference_held_out == pytest.approx(expected)


def test_every_program_keeps_what_the_mask_takes_and_what_it_leaves_empty(ended):
    with closing(Store(ended.run_dir.database, readonly=True)) as store:
        records = list(store.all_programs())
    assert all(0 <= r.evaluation.masked_mass <= 1 for r in records if r.ok)
    assert all(0 <= r.evaluation.empty_rows <= 1 for r in records if r.ok)
    assert all(r.evaluation.masked_mass is None for r in records if not r.ok)
