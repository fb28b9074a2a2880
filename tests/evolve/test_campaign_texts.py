"""A campaign's texts, cut by its model's own tokenizer."""

import json

import model_zoo
import pytest

from evolve.config import parse_config
from evolve.corpus import read_splits, read_transfer
from evolve.views.words import texts_lines
from fitness.models.loading import Reader, load_tokenizer
from fitness.models.source import locate


@pytest.fixture
def model(tmp_path):
    return locate(str(model_zoo.save("llama", tmp_path / "model")))


@pytest.fixture
def config(tmp_path, model):
    # Every second story begins as the one before it, for longer than the cut.
    stories = [f"Tom {i // 2} had a red ball. {'He loved it.' if i % 2 else 'A duck came.'}" for i in range(60)]
    (tmp_path / "stories.json").write_text(json.dumps(stories))
    (tmp_path / "ducks.json").write_text(json.dumps([f"{i} ducks swam." for i in range(30)] + stories))
    settings = {
        "model": model.path,
        "texts": [str(tmp_path / "stories.json"), "python-docs"],
        "transfer": str(tmp_path / "ducks.json"),
        "max_tokens": 12,
        "splits": {"fit": 4, "held_out": 5, "test": 6},
        "stop": {"max_programs": 1},
    }
    return parse_config(settings, "here")


def cut(model, max_tokens, texts):
    reader = Reader(load_tokenizer(model))
    return [tuple(reader.encode(text, max_tokens)[0]) for text in texts]


def test_no_text_of_any_split_equals_another_where_the_model_stops_reading(config, model, tmp_path):
    splits = read_splits(config, model, tmp_path / "cache")
    seen = cut(model, 12, splits.all)
    assert len(set(seen)) == len(seen) == 30
    stories, docs = splits.read
    assert stories.duplicates > 0
    assert (stories.texts, docs.texts) == (15, 15)
    numbers = splits.numbers
    assert (numbers["texts"], numbers["tokens"]) == (30, sum(map(len, seen)))
    assert numbers["domains"]["stories"]["duplicates"] == stories.duplicates
    assert texts_lines(splits, 12)[0].startswith("texts: stories, 15 of 60, ")


def test_what_the_tokenizer_said_is_remembered_until_anything_of_it_changes(config, model, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr("evolve.corpus.load_tokenizer", lambda model: loaded.append(1) or load_tokenizer(model))
    first = read_splits(config, model, tmp_path / "cache")
    assert read_splits(config, model, tmp_path / "cache") == first
    assert len(loaded) == 1
    assert read_splits(config.model_copy(update={"seed": 1}), model, tmp_path / "cache") != first
    for file in (tmp_path / "cache").iterdir():
        file.write_text("{")
    assert read_splits(config, model, tmp_path / "cache") == first
    assert len(loaded) == 3


def test_transfer_texts_are_none_of_the_campaigns_own(config, model, tmp_path):
    splits = read_splits(config, model, tmp_path / "cache")
    transfer = read_transfer(config, model, tmp_path / "cache", splits)
    assert transfer.domains == ("ducks",)
    assert len(transfer.test) == len(transfer.all) == 6
    assert not set(cut(model, 12, transfer.all)) & set(cut(model, 12, splits.all))
