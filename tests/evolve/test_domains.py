"""Campaigns of several domains: what fitness is of them, and the check of those of one."""

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from evolve.config import parse_config
from evolve.running import run_campaign
from evolve.session import opened_for_reading
from evolve.store.run_dir import RunDir
from fitness.scoring.iou import fitness

SCORES = np.array([[0.8, 0.2, 0.6, 0.4], [0.1, 0.7, 0.1, 0.9]], dtype=np.float32)


def config(attention_cache, **settings):
    base = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "stop": {"max_programs": 20}}
    del base["transfer"]
    return parse_config(base | settings, "small")


def test_fitness_is_the_mean_over_domains_or_the_worst_of_them():
    assert fitness(SCORES, 2).tolist() == pytest.approx([0.5, 0.45])
    assert fitness(SCORES, 2, "worst").tolist() == pytest.approx([0.3, 0.1])
    # Domains weigh alike, however many texts they have.
    assert fitness(SCORES[:, :3], 2).tolist() == pytest.approx([0.45, 0.4])


@pytest.mark.parametrize("across", ["mean", "worst"])
def test_the_search_is_driven_by_all_domains(attention_cache, tmp_path, across):
    settings = {"texts": ["stories", "python-docs"], "search": {"batch": 16, "across": across}}
    result = run_campaign(config(attention_cache, **settings), RunDir(tmp_path / "run")).result
    assert result.transfer == {}
    with opened_for_reading(RunDir(tmp_path / "run")) as session:
        records = [record for record in session.store.all_programs() if record.ok][-6:]
        evaluations = session.pool().evaluate(session.spec, [record.program() for record in records], "held_out")
        held_out = session.spec.held_out
        # Operators draw from all: the fit split takes turns of the domains as well.
        assert session.spec.domain_of("fit").tolist() == [0, 1] * 4
    assert held_out == 10
    for record, evaluation in zip(records, evaluations, strict=True):
        domains = [evaluation.scores[:, place::2].mean(axis=1, dtype=float) for place in range(2)]
        expected = np.mean(domains, axis=0) if across == "mean" else np.min(domains, axis=0)
        assert record.iou == pytest.approx(expected, abs=1e-6)
        assert np.abs(domains[0] - domains[1]).max() > 0.01, "the domains are alike: the test tells nothing"


def test_a_campaign_of_one_domain_is_checked_on_another_that_it_never_selects_on(attention_cache, tmp_path):
    ended = run_campaign(config(attention_cache), RunDir(tmp_path / "checked"))
    assert list(ended.result.transfer) == ["python-docs"]
    assert ended.result.transfer["python-docs"].texts == 5
    plain = run_campaign(config(attention_cache, transfer=[]), RunDir(tmp_path / "plain"))
    assert plain.result.transfer == {}
    libraries = [(tmp_path / name / "library.json").read_bytes() for name in ("checked", "plain")]
    assert libraries[0] == libraries[1]


def test_the_check_is_another_domain_than_the_campaigns_own_and_can_be_chosen(attention_cache):
    assert [source.name for source in config(attention_cache, texts="python-docs").abroad] == ["stories"]
    assert [source.name for source in config(attention_cache, transfer="python-code").abroad] == ["python-code"]
    assert config(attention_cache, texts=["stories", "python-code"]).abroad == ()
    few = {"fit": 4, "held_out": 5, "test": 3}
    assert config(attention_cache, splits=few).abroad == ()
