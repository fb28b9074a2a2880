"""The presets: each loads, and asks for what it says."""

import pytest

from evolve.config import PRESETS, load_config
from evolve.scheduler import make_scheduler
from operators.llm.client.settings import check_models
from operators.registry import LLM_OPERATORS

HUB = {
    "gpt2": "openai-community/gpt2",
    "tinyllama": "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
    "llama3b": "meta-llama/Llama-3.2-3B",
}


def test_all_presets_are_known_here():
    assert {path.stem for path in PRESETS.glob("*.yaml")} == {"quickstart", "smollm2", *HUB}


@pytest.mark.parametrize("name", HUB)
def test_a_preset_for_a_hub_model_has_texts_models_and_a_budget(name):
    config = load_config(name)
    assert config.model == HUB[name]
    check_models(config.llm.models)
    assert config.llm.budget.calls
    paid = [entry for entry in config.llm.models if entry.price_per_million]
    assert bool(paid) == (config.llm.budget.usd is not None), "what costs money has a budget in dollars"
    assert all(entry.api_key_env for entry in paid)
    assert set(LLM_OPERATORS) <= set(config.operators)


@pytest.mark.parametrize("name", ["quickstart", "smollm2", *HUB])
def test_every_preset_gives_a_scheduler_that_can_go_on_without_an_llm(name):
    assert load_config(name).when_spent == "offline"
    assert any(arm.model is None for arm in make_scheduler(load_config(name)).arms)


@pytest.mark.parametrize("name", ["smollm2", *HUB])
def test_the_presets_for_real_models_search_on_several_domains_the_first_of_which_is_stories(name):
    config = load_config(name)
    assert [source.name for source in config.texts] == ["stories", "python-docs", "python-code"]
    assert config.texts[0].source == "roneneldan/TinyStories"
    assert config.search.across == "mean"


def test_the_preset_for_a_small_model_needs_no_llm():
    config = load_config("smollm2")
    assert config.model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert not set(LLM_OPERATORS) & set(config.operators)
