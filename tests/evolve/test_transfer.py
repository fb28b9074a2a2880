"""Libraries on texts that their search never used."""

import json

import numpy as np
import pytest
import yaml
from campaigns import SMALL

from evolve.commands.transfer import transfer_library
from evolve.config import parse_config
from evolve.results.transfer import transfer
from evolve.running import run_campaign
from evolve.session import opened_for_reading
from evolve.store.run_dir import RunDir
from fitness.errors import UserError
from fitness.heads import Head
from fitness.replacement.studies import replace
from fitness.scoring.packing import unpack
from fitness.scoring.references import KINDS, MEAN, fit_tables

ASKED = {"model": None, "max_tokens": None, "limit": 4, "choose": False}
# What a token of the run's own texts is attended to, whatever the text says.
LEXICON = """def program(text):
    lexicon = {lexicon!r}
    return np.ones((text.n, 1)) * np.array([lexicon.get(token, 0.02) for token in text.tokens])
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory, attention_cache):
    """Directory of a small finished run that tries itself on one other domain."""
    path = tmp_path_factory.mktemp("abroad") / "run"
    settings = yaml.safe_load(SMALL) | {"attention_cache": str(attention_cache), "transfer": "python-docs"}
    ended = run_campaign(parse_config(settings | {"stop": {"max_programs": 40}}, "small"), RunDir(path))
    return path, ended.result.as_json()


def test_a_run_with_transfer_texts_says_at_its_end_what_its_library_is_worth_there(finished):
    _, result = finished
    there = result["transfer"]["python-docs"]
    assert there["texts"] == 5
    assert not there["chosen_here"]
    assert there["gain"] == pytest.approx(there["library"] - there["reference"], abs=1e-6)
    low, high = there["interval"]
    assert low <= there["gain"] <= high
    assert json.dumps(result)


def test_the_assignment_is_kept_and_home_tables_are_those_of_the_fit_texts(finished, tmp_path):
    path, _ = finished
    with opened_for_reading(RunDir(path)) as session:
        config = parse_config(session.config.model_dump(mode="json") | {"transfer": "python-code"}, "test")
        there = transfer(session, config)["python-code"]
        library = json.loads((path / "library.json").read_text())
        kinds = [library["assignment"][label]["reference"] for label in session.attention.labels]
        tables = fit_tables(session.attention, range(session.spec.fit))
    own = [row for row, kind in enumerate(kinds) if kind in KINDS]
    assert own, "no head has a table as its reference: nothing is compared"
    assert there.heads == len(kinds)
    assert there.reference.value > 0
    assert tables.longest == 24


def lexicons(session):
    """One program per head: how much attention each token of the run's own texts gets, on average."""
    attention = session.attention
    for head in range(len(attention.labels)):
        received = {}
        for index, text in enumerate(attention.texts):
            matrix = unpack(np.asarray(attention.block(index)[head], dtype=float), text.n, causal=True)
            shares = matrix.sum(axis=0) / np.arange(text.n, 0, -1)
            for token, share in zip(text.tokens, shares, strict=True):
                received.setdefault(token, []).append(share)
        yield LEXICON.format(lexicon={token: round(float(np.mean(shares)), 3) for token, shares in received.items()})


def test_programs_of_word_lists_are_exposed(finished):
    path, _ = finished
    kept = (path / "library.json").read_text()
    library = json.loads(kept)
    with opened_for_reading(RunDir(path)) as session:
        sources = list(lexicons(session))
    library["programs"] = [library["programs"][0] | {"id": f"list {i}", "source": s} for i, s in enumerate(sources)]
    for number, line in enumerate(library["assignment"].values()):
        line["program"] = f"list {number}"
    try:
        (path / "library.json").write_text(json.dumps(library))
        found = transfer_library(path, ["stories", "python-code"], model=None, max_tokens=None, limit=12, choose=False)
    finally:
        (path / "library.json").write_text(kept)
    home, abroad = found.domains["stories, unseen"], found.domains["python-code"]
    assert home.gain.value > abroad.gain.value + 0.01
    assert abroad.gain.high < 0


def test_for_another_choice_programs_are_chosen_on_other_texts_than_are_reported(finished):
    path, _ = finished
    found = transfer_library(path, ["python-code"], model="storyteller-llama", max_tokens=16, limit=8, choose=True)
    there = found.domains["python-code"]
    assert there.chosen_here
    assert there.texts == 4
    assert there.reference is None
    assert there.max_tokens == 16
    assert np.isfinite(there.gain_over_tables_here.value)


def test_replacement_abroad_is_reported_under_all_conditions(finished, headscribe):
    path, _ = finished
    options = ["--texts", "python-docs", "--limit", "4", "--fractions", "0.5"]
    done = headscribe("transfer", path, *options, "--perplexity", "--json")
    there = json.loads(done.stdout)["transfer"]["python-docs"]
    (row,) = there["perplexity"]["by_fraction"]
    assert {"programs", "mean_table", "mean_output", "uniform", "random_order", "resample"} <= set(row["conditions"])
    assert row["heads"] == there["heads"] // 2
    assert "python-docs, fractions: " in done.stderr
    assert json.loads((path / "transfer.json").read_text())["transfer"]["python-docs"] == there


def test_replacement_abroad_fits_nothing_there(finished, monkeypatch):
    path, _ = finished
    seen = []

    def spy(model, tokenizer, explanation, texts, *rest, **options):
        seen.append((explanation, texts))
        return {"perplexity": {}}

    monkeypatch.setattr(replace, "study", spy)
    transfer_library(path, ["python-docs"], **ASKED, perplexity=True, fractions=[0.5])
    ((explanation, texts),) = seen
    with opened_for_reading(RunDir(path)) as session:
        own, fit = session.attention.texts, session.spec.fit
        assert [text.string for text in texts.fit] == [text.string for text in own[:fit]]
        assert not {text.string for text in texts.test} & {text.string for text in own}
        home = fit_tables(session.attention, range(fit))
    table = explanation.fitted[MEAN][Head(1, 2)]
    row = session.attention.labels.index("L1H2")
    np.testing.assert_array_equal(table(texts.test[0]), home.predict(MEAN, row, texts.test[0].n))


def test_replacement_abroad_is_of_the_runs_own_model_alone(finished):
    path, _ = finished
    with pytest.raises(UserError, match="leave out --model and --choose"):
        transfer_library(path, ["python-docs"], **ASKED | {"choose": True}, perplexity=True)


def test_too_few_texts_and_no_texts_are_said(finished):
    path, _ = finished
    with pytest.raises(UserError, match="at least 4"):
        transfer_library(path, ["python-code"], model=None, max_tokens=None, limit=2, choose=False)
    with pytest.raises(UserError, match="texts: no file"):
        transfer_library(path, ["no-such-corpus"], model=None, max_tokens=None, limit=None, choose=False)


def test_texts_of_the_run_itself_are_not_taken(finished):
    path, _ = finished
    with pytest.raises(UserError, match="equal to another after the cut"):
        transfer_library(path, ["stories"], model=None, max_tokens=None, limit=200, choose=False)
