import model_zoo
import numpy as np
import pytest
import torch

from fitness.errors import UserError
from fitness.models.hooks import attention_route
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement import own_attention, replaced, replacing
from fitness.replacement.batch_rows import Row
from fitness.replacement.identity import IdentityError, prove_identity
from fitness.replacement.override import place, within_mask
from fitness.replacement.predictions import SandboxPredictions, text_key
from fitness.sandbox import Limits, Sandbox
from fitness.text.view import Text

UNIFORM = Program.parse("def program(text):\n    return np.ones((text.n, text.n))\n")
FIRST = Program.parse("def program(text):\n    return text.is_first * np.ones((text.n, 1))\n")
PREVIOUS = Program.parse("def program(text):\n    return 1.0 * (text.distance == 1)\n")
SAME = Program.parse("def program(text):\n    return text.same + 0.1 * (text.distance == 1)\n")
RECENT = Program.parse("def program(text):\n    return np.exp(-np.abs(text.distance) / 4)\n")
FAILS_ON_DUCKS = Program.parse(
    "def program(text):\n    return np.ones((text.n, text.n)) / (1 if 'duck' not in text.string else 1 // 0)\n"
)
PROGRAMS = [UNIFORM, FIRST, PREVIOUS, SAME, RECENT]
ROUTES = [(family, "eager") for family in model_zoo.ALL] + [
    (family, "sdpa") for family in (*model_zoo.INTERFACE, "bert") if family != "gemma2"
]
ENCODERS = tuple(model_zoo.ENCODERS)


@pytest.fixture(scope="module")
def tokenizer():
    return model_zoo.tokenizer()


@pytest.fixture(scope="module")
def reader(tokenizer):
    return Reader(tokenizer)


@pytest.fixture(scope="module")
def ids(reader):
    return reader.encode(model_zoo.STORY, 40)[0]


def some_heads(layers=3, heads=4):
    """All heads of layer 1, half of the others; every program is among them."""
    return {
        (layer, head): PROGRAMS[(layer * 5 + head) % 5]
        for layer in range(layers)
        for head in range(heads)
        if layer == 1 or (layer + head) % 2
    }


def logits(model, ids, **options):
    with torch.no_grad():
        return model(torch.tensor(ids), **options).logits


@pytest.mark.parametrize(("family", "attention"), ROUTES)
def test_identity(family, attention, reader, ids):
    found = prove_identity(model_zoo.build(family, attention), reader, [reader.text(ids), reader.text(ids[:7])])
    assert found.exact or attention == "sdpa"
    assert found.nothing_replaced <= 1e-5 * found.spread
    assert found.own_attention <= 1e-5 * found.spread


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neo"])
def test_a_third_of_the_heads_with_their_own_attention_changes_nothing(family, reader, ids):
    model = model_zoo.build(family)
    own = own_attention(model, [reader.text(ids)])
    some = {head: pattern for index, (head, pattern) in enumerate(own.items()) if index % 3 == 0}
    with replacing(model, some, reader, model_zoo.run_directly()):
        assert torch.equal(logits(model, [ids]), logits(model_zoo.build(family), [ids]))


def test_identity_that_fails_stops_everything(reader, ids, monkeypatch):
    model = model_zoo.build("gpt2")

    def wrong(model, texts):
        return {head: lambda text: np.eye(text.n) for head in own_attention(model, texts)}

    monkeypatch.setattr("fitness.replacement.identity.own_attention", wrong)
    with pytest.raises(IdentityError, match="no number would be right"):
        prove_identity(model, reader, [reader.text(ids)])


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "bloom", "bert"])
def test_replaced_heads_attend_as_the_program_says(family, reader, ids):
    model, causal = model_zoo.build(family), family != "bert"
    assignment, seen = {(1, 2): SAME, (2, 0): FIRST}, {}
    with replacing(model, assignment, reader, model_zoo.run_directly(causal)), torch.no_grad():
        weights = model(torch.tensor([ids]), output_attentions=True).attentions
    for (layer, head), program in assignment.items():
        seen[layer, head] = weights[layer][0, head].numpy()
        expected = model_zoo.run_directly(causal)(program, [reader.text(ids)])[0]
        assert np.abs(seen[layer, head] - expected).max() < 1e-6
    untouched = logits(model_zoo.build(family), [ids], output_attentions=True)
    assert not torch.allclose(logits(model, [ids]) + 1, untouched)
    assert torch.equal(logits(model, [ids]), untouched)


@pytest.mark.parametrize(("family", "attention"), ROUTES)
def test_padding_on_either_side_changes_nothing(family, attention, reader, ids, tokenizer):
    model, pad = model_zoo.build(family, attention), tokenizer.pad_token_id
    long, short = ids[:30], ids[:1] + ids[12:25]
    filler = [pad] * (len(long) - len(short))
    with replacing(model, some_heads(), reader, model_zoo.run_directly(family not in ENCODERS)):
        single = logits(model, [short])[0]
        assert (single - logits(model_zoo.build(family, attention), [short])[0]).abs().max() > 0.1
        for row, begin in ((filler + short, len(filler)), (short + filler, 0)):
            mask = torch.tensor([[1] * len(long), [int(begin <= i < begin + len(short)) for i in range(len(long))]])
            options = {} if family == "bloom" else {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
            batch = logits(model, [long, row], attention_mask=mask, **options)
            assert (batch[1, begin : begin + len(short)] - single).abs().max() < 2e-5
            assert (batch[0] - logits(model, [long])[0]).abs().max() < 2e-5


@pytest.mark.parametrize(("family", "attention"), [route for route in ROUTES if route[0] not in ENCODERS])
def test_cache_gives_what_the_whole_text_gives(family, attention, reader, ids):
    model, pieces, cache = model_zoo.build(family, attention), [], None
    with replacing(model, some_heads(), reader, model_zoo.run_directly()), torch.no_grad():
        whole = logits(model, [ids[:30]])[0]
        for begin, end in ((0, 10), (10, 11), (11, 12), (12, 20), (20, 30)):
            output = model(torch.tensor([ids[begin:end]]), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            pieces.append(output.logits[0])
    assert (torch.cat(pieces) - whole).abs().max() < 2e-5


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "gpt_neo"])
def test_generation_of_a_padded_batch_is_that_of_single_rows(family, reader, ids, tokenizer):
    model, pad = model_zoo.build(family), tokenizer.pad_token_id
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": pad, "eos_token_id": None}
    long, short = ids[:12], ids[:7]
    rows = torch.tensor([long, [pad] * 5 + short])
    with replacing(model, some_heads(), reader, model_zoo.run_directly()):
        batch = model.generate(rows, attention_mask=(rows != pad).long(), **options)
        alone = [model.generate(torch.tensor([row]), use_cache=False, **options)[0] for row in (long, short)]
    assert batch[0, 12:].tolist() == alone[0][12:].tolist()
    assert batch[1, 12:].tolist() == alone[1][7:].tolist()


def test_assisted_generation_with_a_cropped_cache_is_greedy_generation(reader, ids):
    model, assistant = model_zoo.build("llama"), model_zoo.build("llama", num_hidden_layers=1)
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 1, "eos_token_id": None}
    with replacing(model, some_heads(), reader, model_zoo.run_directly()):
        alone = model.generate(torch.tensor([ids[:9]]), **options)
        assisted = model.generate(torch.tensor([ids[:9]]), assistant_model=assistant, **options)
    assert alone.tolist() == assisted.tolist()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_half_precision_stays_close_and_keeps_its_type(family, reader, ids):
    model = model_zoo.build(family).to(torch.bfloat16)
    found = prove_identity(model, reader, [reader.text(ids)])
    assert found.exact
    with replacing(model, some_heads(), reader, model_zoo.run_directly()):
        half = logits(model, [ids])
    assert half.dtype == torch.bfloat16
    full = model_zoo.build(family)
    with replacing(full, some_heads(), reader, model_zoo.run_directly()):
        assert (half.float() - logits(full, [ids])).abs().max() < 0.2 * float(half.float().std())


def test_attention_sinks_keep_their_mass(reader, ids):
    import transformers

    config = transformers.GptOssConfig(
        **model_zoo.GROUPED,
        num_local_experts=2,
        num_experts_per_tok=1,
        sliding_window=6,
        experts_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    text = reader.text(ids)
    attention = own_attention(model, [text])[0, 0](text)
    assert attention.sum(axis=1).max() < 1
    assert prove_identity(model, reader, [text]).exact


def test_real_programs_run_in_the_sandbox_once_for_each_text(tokenizer, ids):
    model = model_zoo.build("llama")
    runs = []

    class Counting(Sandbox):
        def run(self, program, indices=None):
            runs.append((program.id, len(indices)))
            return super().run(program, indices)

    def make():
        return Counting([], mode="degraded", limits=Limits(cpu_seconds=5))

    with SandboxPredictions(make, causal=True) as source:
        with replaced(model, {(0, 0): UNIFORM, (1, 1): UNIFORM, (2, 2): FIRST}, tokenizer=tokenizer, source=source):
            first = logits(model, [ids[:20], ids[5:25], ids[:20]])
            again = logits(model, [ids[:20], ids[5:25], ids[:20]])
        assert torch.equal(first, again)
    assert sorted(count for _, count in runs) == [2, 2]
    with replacing(
        model, {(0, 0): UNIFORM, (1, 1): UNIFORM, (2, 2): FIRST}, Reader(tokenizer), model_zoo.run_directly()
    ):
        assert torch.equal(first, logits(model, [ids[:20], ids[5:25], ids[:20]]))


def test_text_a_program_fails_on_keeps_its_own_attention_and_is_counted(tokenizer, reader, caplog):
    model = model_zoo.build("llama")
    fox, duck = (reader.encode(text, 40)[0][:12] for text in ("The fox ran to Tom.", "A duck swam fast, it did."))
    assert len(fox) == len(duck)

    def make():
        return Sandbox([], mode="degraded", limits=Limits(cpu_seconds=5))

    heads = {(layer, head): FAILS_ON_DUCKS for layer in range(3) for head in range(4)}
    with SandboxPredictions(make, causal=True) as source:
        with replaced(model, heads, tokenizer=tokenizer, source=source) as record:
            found = logits(model, [fox, duck])
        assert source.failures == {FAILS_ON_DUCKS.id: 1}
    own = logits(model, [fox, duck])
    assert torch.allclose(found[1], own[1], atol=1e-6)
    assert (found[0] - own[0]).abs().max() > 0.1
    assert record.rows == 2
    assert record.kept == dict.fromkeys(heads, 1)
    assert "L2H3 kept its own attention on 1 of 2 texts" in caplog.text
    assert f"program {FAILS_ON_DUCKS.id} fails on the text 'A duck" in caplog.text


def test_sandbox_forgets_texts_now_and_then(reader, ids, monkeypatch):
    made = []

    def make():
        made.append(Sandbox([], mode="degraded"))
        return made[-1]

    monkeypatch.setattr("fitness.replacement.predictions.TEXTS_PER_SANDBOX", 3)
    with SandboxPredictions(make, causal=True) as source:
        for end in range(4, 12):
            assert source(FIRST, [reader.text(ids[:end])])[0].shape == (end, end)
    assert len(made) == 3


def test_program_that_never_ends_is_given_up_and_counted_on_every_text(reader, ids, caplog):
    endless = Program.parse("def program(text):\n    while True:\n        pass\n")
    texts = [reader.text(ids[: 4 + extra]) for extra in range(12)]

    def make():
        return Sandbox([], mode="degraded", limits=Limits(cpu_seconds=0.1))

    with SandboxPredictions(make, causal=True) as source:
        assert source(endless, texts[:6]) + source(endless, texts[6:]) == [None] * 12
        assert source.failures == {endless.id: 12}
    assert "it is not run again" in caplog.text


def test_remembered_predictions_keep_to_their_memory(reader, ids):
    with SandboxPredictions(lambda: Sandbox([], mode="degraded"), causal=True, max_bytes=2000) as source:
        texts = [reader.text(ids[begin : begin + 12]) for begin in range(6)]
        assert all(prediction.shape == (12, 12) for prediction in source(FIRST, texts))
        assert sum(p.nbytes for p in source._known.values()) <= 2000


def refused(message, call):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_cannot_be_right_is_refused_in_words(reader, ids):
    model, source, row = model_zoo.build("llama"), model_zoo.run_directly(), torch.tensor([ids[:8]])
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 1}
    with torch.no_grad():
        foreign = model(row, use_cache=True).past_key_values
    with replacing(model, some_heads(), reader, source), torch.no_grad():
        refused("beam search and the like", lambda: model.generate(row, num_beams=2, **options))
        refused("StaticCache", lambda: model.generate(row, cache_implementation="static", **options))
        refused("were read elsewhere", lambda: model(row, past_key_values=foreign))
        refused("call the model with input_ids", lambda: model(inputs_embeds=model.model.embed_tokens(row)))
        refused("packed into one row", lambda: model(row, position_ids=torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])))
        refused("attention_mask is", lambda: model(row, attention_mask=torch.ones(1, 1, 8, 8)))
        refused("call the model itself", lambda: model.model(row))
        refused("already being replaced", lambda: replacing(model, some_heads(), reader, source).__enter__())
    for head, message in (((3, 0), "no layer 3"), ((0, 4), "no head L0H4")):
        with replacing(model, {head: UNIFORM}, reader, source):
            refused(message, lambda: model(row))


def test_beam_search_without_a_cache_is_right_and_allowed(reader, ids):
    model = model_zoo.build("gpt2")
    with replacing(model, some_heads(), reader, model_zoo.run_directly()):
        found = model.generate(
            torch.tensor([ids[:8]]), num_beams=2, use_cache=False, max_new_tokens=3, do_sample=False, pad_token_id=1
        )
    assert found.shape[1] > 8


def test_model_is_left_as_it_was_even_after_an_error(reader, ids):
    model = model_zoo.build("gpt2", "sdpa")
    before = logits(model, [ids])
    with replacing(model, {(0, 99): UNIFORM}, reader, model_zoo.run_directly()):
        refused("no head L0H99", lambda: logits(model, [ids]))
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(logits(model, [ids]), before)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_models_outside_the_interface_must_run_eager(ids):
    model = model_zoo.build("falcon", "sdpa")
    with pytest.raises(UserError, match="attn_implementation='eager'"), attention_route(model):
        pass


def test_sliding_window_gives_a_row_its_lost_mass_back_and_leaves_an_emptied_row_empty():
    weights = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]]]])
    allowed = torch.ones(4, 4).tril().triu(-1).bool()[None, None]
    expected = [[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 0]]
    assert torch.allclose(within_mask(weights, allowed), torch.tensor([[expected]]))
    assert torch.equal(within_mask(weights, None), weights)


def test_rows_that_do_not_sum_to_one_keep_their_sum():
    weights = torch.tensor([[[[0.4, 0.0], [0.3, 0.3]]]])
    allowed = torch.tensor([[[[True, False], [False, True]]]])
    assert torch.allclose(within_mask(weights, allowed).sum(-1), weights.sum(-1))


def test_predictions_are_placed_among_padding_and_behind_the_cache():
    text = Text(["a", "b", "c"])
    prediction = np.tril(np.arange(1, 10, dtype=np.float32).reshape(3, 3))
    rows = [Row(text, np.array([1, 2, 3]))]
    whole = place([[prediction]], rows, past=0, offset=0, size=(4, 4))[0, 0]
    assert torch.equal(whole[1:, 1:], torch.from_numpy(prediction))
    assert float(whole[0].sum() + whole[:, 0].sum()) == 0
    assert torch.equal(place([[prediction]], rows, past=3, offset=2, size=(1, 2))[0, 0], whole[3:, 2:])
    assert float(place([[None]], rows, past=0, offset=0, size=(4, 4)).sum()) == 0


def test_texts_are_told_apart_by_their_ids(reader, ids):
    assert text_key(reader.text(ids)) == text_key(reader.text(list(ids)))
    assert text_key(reader.text(ids)) != text_key(reader.text(ids[::-1]))
