import model_zoo
import numpy as np
import pytest
import torch

from fitness.heads import Head
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement import own_attention
from fitness.replacement.perplexity import Meter
from fitness.replacement.sources import Table
from fitness.replacement.studies.attribution import Estimator

RECENT = Program.parse("def program(text):\n    return np.exp(-np.abs(text.distance) / 4)\n")
HEADS = [Head(0, 1), Head(1, 2), Head(2, 0)]
SMALL_STEP = 1e-3


@pytest.fixture(scope="module")
def tokenizer():
    return model_zoo.tokenizer()


@pytest.fixture(scope="module")
def text(tokenizer):
    reader = Reader(tokenizer)
    return reader.text(reader.encode(model_zoo.STORY, 24)[0])


def a_little_of(own, wanted, step):
    """The head's own attention, moved a small step towards what is wanted."""
    return Table(f"step {step}", lambda n: own + step * (wanted - own), len(own))


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "gptj", "bloom"])
def test_first_order_estimate_is_the_derivative_of_the_loss(family, tokenizer, text):
    model, source = model_zoo.build(family).double(), model_zoo.run_directly()
    estimator = Estimator(model, tokenizer, source, [text], causal=True, seed=0)
    (wanted,) = source(RECENT, [text])
    own = {head: own_attention(model, [text])[head](text) for head in HEADS}
    if family == "mistral":  # rows keep their mass within the sliding window
        wanted = np.where(own[HEADS[0]] > 0, wanted, 0)
        wanted /= wanted.sum(axis=1, keepdims=True)
    towards = {head: Table("wanted", lambda n: wanted, text.n) for head in HEADS}
    found = estimator.estimate({"it": towards})["it"]
    meter = Meter(model, tokenizer, source, [text], causal=True)
    steps = {
        (head, sign): {head: a_little_of(own[head], wanted, sign * SMALL_STEP)} for head in HEADS for sign in (1, -1)
    }
    losses = meter.measure(steps)
    for place, head in enumerate(found.heads):
        slope = (losses[head, 1].mean_loss - losses[head, -1].mean_loss) / (2 * SMALL_STEP)
        assert found.first[place] == pytest.approx(slope, rel=2e-2, abs=1e-4)
    assert (found.second >= 0).all()


def test_own_attention_costs_nothing_by_estimate(tokenizer, text):
    model = model_zoo.build("llama")
    own = own_attention(model, [text])
    same = {head: Table(f"{head}", lambda n, head=head: own[head](text), text.n) for head in HEADS}
    found = Estimator(model, tokenizer, model_zoo.run_directly(), [text], causal=True, seed=0).estimate({"it": same})
    assert np.abs(found["it"].cost).max() < 1e-5


def test_estimates_under_replacement_are_those_of_the_replaced_model(tokenizer, text):
    model, source = model_zoo.build("llama").double(), model_zoo.run_directly()
    estimator = Estimator(model, tokenizer, source, [text], causal=True, seed=0)
    replaced = {Head(0, 0): RECENT, Head(1, 1): RECENT}
    head = Head(2, 3)
    found = estimator.estimate({"it": {head: RECENT}}, replaced)["it"]
    captured = {}

    def look(layer, weights):
        captured[layer] = weights

    from fitness.models.hooks import attention_route
    from fitness.replacement.batch_rows import RowFollower
    from fitness.replacement.override import Replacement, build_override, by_layer

    follower, layers = RowFollower(Reader(tokenizer)), by_layer(replaced)

    def replace(layer, shape, allowed, like):
        heads = layers.get(layer)
        return heads and build_override(layer, heads, follower, source, shape, allowed, like, Replacement())

    with torch.no_grad(), attention_route(model, observe=look, replace=replace):
        detach = follower.attach(model)
        model(torch.tensor([text.ids.tolist()]))
        detach()
    own = captured[2][0, 3].numpy()
    (wanted,) = source(RECENT, [text])
    steps = {sign: replaced | {head: a_little_of(own, wanted, sign * SMALL_STEP)} for sign in (1, -1)}
    losses = Meter(model, tokenizer, source, [text], causal=True).measure(steps)
    slope = (losses[1].mean_loss - losses[-1].mean_loss) / (2 * SMALL_STEP)
    assert found.first[0] == pytest.approx(slope, rel=2e-2, abs=1e-4)


def test_model_is_left_as_it_was(tokenizer, text):
    model = model_zoo.build("gpt2", "sdpa")
    some = next(model.parameters())
    some.requires_grad_(False)
    before = model(torch.tensor([text.ids.tolist()])).logits
    Estimator(model, tokenizer, model_zoo.run_directly(), [text], causal=True, seed=0).estimate(
        {"it": {HEADS[0]: RECENT}}
    )
    assert model.config._attn_implementation == "sdpa"
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(model(torch.tensor([text.ids.tolist()])).logits, before)


def test_encoders_are_estimated_too(tokenizer, text):
    model, short = model_zoo.build("bert"), Reader(tokenizer).text(text.ids[:6].tolist())
    estimator = Estimator(model, tokenizer, model_zoo.run_directly(False), [short], causal=False, seed=0)
    found = estimator.estimate({"it": dict.fromkeys(HEADS, RECENT)})["it"]
    assert np.isfinite(found.cost).all()
    assert found.heads == tuple(HEADS)
