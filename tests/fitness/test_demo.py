"""The bundled models and the bundled stories belong together."""

import json
import math

import pytest

from fitness.models.loading import load_model
from fitness.text.sources import demo_path, read_texts


@pytest.mark.parametrize("name", ["storyteller-gpt2", "storyteller-llama"])
def test_the_bundled_stories_are_of_the_kind_that_the_models_learnt(name):
    """Else replacing heads could improve a model: on texts that it does not know, its own attention is no use."""
    torch = pytest.importorskip("torch")
    folder = demo_path(name)
    model, tokenizer = load_model(str(folder))
    loss = tokens = 0.0
    with torch.no_grad():
        for story in read_texts("stories"):
            ids = torch.tensor([tokenizer(story)["input_ids"][:256]])
            loss += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
    on_real_stories = json.loads((folder / "training.json").read_text())["validation_perplexity"]
    assert math.exp(loss / tokens) < 1.5 * on_real_stories
