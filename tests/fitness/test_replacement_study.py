import itertools
import json

import model_zoo
import numpy as np
import pytest
import torch

from fitness.errors import UserError
from fitness.models.capture import capture
from fitness.models.loading import Reader, load_model
from fitness.program import Program
from fitness.replacement import replacing
from fitness.replacement.conditions import FIRST_TOKEN, UNIFORM, by_iou, heads_at, least_cost, shuffled
from fitness.replacement.perplexity import Meter, Scores
from fitness.replacement.study import study
from fitness.sandbox import Limits, Sandbox
from fitness.scoring.baselines import baselines
from fitness.scoring.iou import iou as iou_of
from fitness.scoring.packing import pack
from fitness.text.sources import read_texts

PREVIOUS = Program.parse("def program(text):\n    return 1.0 * (text.distance == 1)\n")
SELF = Program.parse("def program(text):\n    return 1.0 * (text.distance == 0)\n")
SOMETIMES = Program.parse("def program(text):\n    return np.ones((text.n, text.n)) / (1 if text.n < 30 else 1 // 0)\n")
STORIES = [model_zoo.STORY, "Tom had a ball. He loved it.", "A duck swam fast, and Tom said no!", "Oh no! My red ball!"]


def make_sandbox():
    return Sandbox([], mode="degraded", limits=Limits(cpu_seconds=5))


@pytest.fixture(scope="module")
def tokenizer():
    return model_zoo.tokenizer()


@pytest.fixture(scope="module")
def texts(tokenizer):
    reader = Reader(tokenizer)
    return [reader.text(reader.encode(story, 36)[0]) for story in STORIES]


@pytest.fixture(scope="module")
def model():
    return model_zoo.build("llama")


ASSIGNMENT = {
    (layer, head): [PREVIOUS, SELF, FIRST_TOKEN][(layer + head) % 3] for layer in range(3) for head in range(4)
}
IOU = {head: 0.9 - 0.05 * index for index, head in enumerate(ASSIGNMENT)}


def perplexity_by_hand(model, texts, assignment, tokenizer, source):
    loss, tokens = 0.0, 0
    for text in texts:
        ids = torch.tensor([text.ids.tolist()])
        with replacing(model, assignment, Reader(tokenizer), source), torch.no_grad():
            logits = model(ids).logits[0]
        loss += float(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum"))
        tokens += text.n - 1
    return float(np.exp(loss / tokens))


def test_scores_are_those_of_the_plain_formulas(model, tokenizer, texts):
    source = model_zoo.run_directly()
    meter = Meter(model, tokenizer, source, texts, causal=True)
    found = meter.measure({"original": {}, "programs": ASSIGNMENT})
    for name, assignment in (("original", {}), ("programs", ASSIGNMENT)):
        assert found[name].perplexity == pytest.approx(
            perplexity_by_hand(model, texts, assignment, tokenizer, source), rel=1e-5
        )
    assert found["original"].kl == 0
    assert found["original"].agreement == 1
    divergence, agreed = 0.0, 0
    for text in texts:
        ids = torch.tensor([text.ids.tolist()])
        with torch.no_grad():
            original = torch.log_softmax(model(ids).logits[0, :-1], -1)
            with replacing(model, ASSIGNMENT, Reader(tokenizer), source):
                programs = torch.log_softmax(model(ids).logits[0, :-1], -1)
        divergence += float(torch.nn.functional.kl_div(programs, original, log_target=True, reduction="sum"))
        agreed += int((original.argmax(-1) == programs.argmax(-1)).sum())
    tokens = sum(text.n - 1 for text in texts)
    assert found["programs"].kl == pytest.approx(divergence / tokens, rel=1e-4)
    assert found["programs"].agreement == pytest.approx(agreed / tokens)


def test_pseudo_perplexity_masks_one_token_at_a_time(tokenizer, texts):
    model, text = model_zoo.build("bert"), texts[1]
    found = Meter(model, tokenizer, model_zoo.run_directly(False), [text], causal=False).measure({"original": {}})
    loss, asked = 0.0, [place for place in range(text.n) if text.ids[place] not in tokenizer.all_special_ids]
    for place in asked:
        ids = torch.tensor([text.ids.tolist()])
        ids[0, place] = tokenizer.mask_token_id
        with torch.no_grad():
            loss -= float(torch.log_softmax(model(ids).logits[0, place], -1)[int(text.ids[place])])
    assert found["original"].tokens.sum() == len(asked) == text.n - 1
    assert found["original"].perplexity == pytest.approx(np.exp(loss / len(asked)), rel=1e-5)


def test_encoder_without_a_mask_token_is_refused(tokenizer, texts):
    plain = model_zoo.tokenizer()
    plain.mask_token = None
    with pytest.raises(UserError, match="no mask token"):
        Meter(model_zoo.build("bert"), plain, model_zoo.run_directly(False), texts, causal=False)


def test_paired_difference_is_the_difference_and_shrinks_with_agreement():
    tokens = np.array([10.0, 20.0, 30.0])
    one = Scores(np.array([20.0, 50.0, 60.0]), tokens, tokens * 0, tokens)
    other = Scores(one.loss + 0.5 * tokens, tokens, tokens * 0, tokens)
    mean, error = one.paired_difference(other)
    assert mean == pytest.approx(other.mean_loss - one.mean_loss) == pytest.approx(0.5)
    assert error == pytest.approx(0, abs=1e-12)
    assert one.paired_difference(Scores(one.loss + np.array([0, 10, 20]), tokens, tokens * 0, tokens))[1] > 0


@pytest.fixture(scope="module")
def result(model, tokenizer, texts):
    return run(model, tokenizer, texts, ASSIGNMENT)


def run(model, tokenizer, texts, assignment, **options):
    options = {"seed": 3, "fractions": [0, 0.25, 0.5, 1], "random_orders": 3} | options
    return study(model, tokenizer, texts[:2], texts[2:], assignment, IOU, make_sandbox, **options)


def test_study_is_plain_json_with_the_promised_keys(result):
    assert json.loads(json.dumps(result)) == result
    rows = result["perplexity"]["by_fraction"]
    assert [(row["fraction"], row["heads"]) for row in rows] == [(0, 0), (0.25, 3), (0.5, 6), (1, 12)]
    assert {"programs", "uniform", "first_token", "random_programs", "random_order_mean", "random_order_std"} <= set(
        rows[0]
    )
    assert result["identity"]["exact"]
    assert result["perplexity"]["measure"] == "perplexity"
    assert len(result["per_head"]) == 12
    assert [row["layer"] for row in result["per_layer"]] == [0, 1, 2]


def test_nothing_replaced_is_the_original_and_everything_replaced_forgets_the_order(result):
    none, *_, everything = result["perplexity"]["by_fraction"]
    names = ("programs", "uniform", "first_token", "random_programs", "random_order_mean", "least_cost")
    assert {none[name] for name in names} == {result["perplexity"]["original"]}
    assert everything["programs"] == everything["random_order_mean"] == everything["least_cost"]
    assert everything["random_order_std"] == 0


def test_controls_are_on_the_same_heads_as_the_programs(result, model, tokenizer, texts):
    source, row = model_zoo.run_directly(), result["perplexity"]["by_fraction"][1]
    best = by_iou(ASSIGNMENT, IOU)[:3]
    for name, program in (("uniform", UNIFORM), ("first_token", FIRST_TOKEN)):
        by_hand = perplexity_by_hand(model, texts[:2], dict.fromkeys(best, program), tokenizer, source)
        assert row[name] == pytest.approx(by_hand, rel=1e-5)
    by_hand = perplexity_by_hand(model, texts[:2], {head: ASSIGNMENT[head] for head in best}, tokenizer, source)
    assert row["programs"] == pytest.approx(by_hand, rel=1e-5)
    assert row["advantage"] == pytest.approx(np.log(row["uniform"]) - np.log(row["programs"]), abs=1e-9)


def test_cost_of_a_head_is_that_of_replacing_it_alone(result, model, tokenizer, texts):
    row = next(row for row in result["per_head"] if row["head"] == "L1H2")
    by_hand = perplexity_by_hand(model, texts[:2], {(1, 2): ASSIGNMENT[1, 2]}, tokenizer, model_zoo.run_directly())
    assert row["perplexity"] == pytest.approx(by_hand, rel=1e-5)
    assert row["cost"] == pytest.approx(np.log(by_hand) - np.log(result["perplexity"]["original"]), abs=1e-6)
    costs = [row["cost"] for row in result["per_head"]]
    ious = [row["iou"] for row in result["per_head"]]
    ranks = [np.argsort(np.argsort(values)) for values in (ious, costs)]
    assert result["correlation"]["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_same_seed_gives_the_same_study(result, model, tokenizer, texts):
    assert run(model, tokenizer, texts, ASSIGNMENT) == result
    other = run(model, tokenizer, texts, ASSIGNMENT, seed=4)
    assert other["least_cost"] == result["least_cost"]
    assert (
        other["perplexity"]["by_fraction"][1]["random_order_mean"]
        != result["perplexity"]["by_fraction"][1]["random_order_mean"]
    )


def test_order_of_least_cost_is_greedy_on_held_out_texts(model, tokenizer, texts):
    source = model_zoo.run_directly()
    held_out = texts[2:]
    meter = Meter(model, tokenizer, source, held_out, causal=True)
    assignment = {head: ASSIGNMENT[head] for head in list(ASSIGNMENT)[:5]}
    found = least_cost(meter, assignment, range(6))
    chosen, remaining = [], sorted(assignment)
    while remaining:
        costs = [
            perplexity_by_hand(model, held_out, {h: assignment[h] for h in (*chosen, head)}, tokenizer, source)
            for head in remaining
        ]
        chosen.append(remaining.pop(int(np.argmin(costs))))
    assert found == chosen
    assert sorted(least_cost(meter, assignment, [2, 5])) == sorted(assignment)


def test_shuffled_programs_are_the_same_programs_on_other_heads():
    wrong = shuffled(ASSIGNMENT, np.random.default_rng(0))
    assert sorted(p.id for p in wrong.values()) == sorted(p.id for p in ASSIGNMENT.values())
    assert sum(wrong[head].id == ASSIGNMENT[head].id for head in ASSIGNMENT) <= 2


def test_heads_at_fractions_never_fall_and_end_with_all():
    for heads in (1, 7, 32):
        counts = heads_at([percent / 100 for percent in range(0, 101, 5)], heads)
        assert counts[0] == 0
        assert counts[-1] == heads
        assert all(a <= b for a, b in itertools.pairwise(counts))


def test_failing_programs_are_counted_and_keep_the_heads_own_attention(model, tokenizer, texts):
    result = run(model, tokenizer, texts, dict.fromkeys(ASSIGNMENT, SOMETIMES))
    assert result["failed_programs"] == {SOMETIMES.id: 1}


def test_encoders_are_studied_by_pseudo_perplexity(tokenizer, texts):
    short = [Reader(tokenizer).text(text.ids[:8].tolist()) for text in texts]
    result = run(model_zoo.build("bert"), tokenizer, short, ASSIGNMENT, fractions=[0.5], random_orders=1)
    assert result["perplexity"]["measure"] == "pseudo-perplexity"
    assert result["perplexity"]["by_fraction"][0]["random_order_std"] == 0


def test_nonsense_is_refused(model, tokenizer, texts):
    for options, message in (({"fractions": [1.5]}, "shares from 0 to 1"), ({"random_orders": 0}, "at least one")):
        with pytest.raises(UserError, match=message):
            run(model, tokenizer, texts, ASSIGNMENT, **options)
    with pytest.raises(UserError, match="nothing to replace"):
        run(model, tokenizer, texts, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["storyteller-gpt2", "storyteller-llama"])
def test_bundled_models_are_exact_and_prefer_programs_to_uniform_attention(name, tmp_path):
    attention = capture(name, read_texts("stories")[:12], max_tokens=48, cache=tmp_path)
    model, tokenizer = load_model(name)
    programs = [program for name, program in baselines().items() if "random" not in name]
    source = model_zoo.run_directly()
    iou = np.zeros((len(programs), len(attention.labels)))
    for number, program in enumerate(programs):
        for index, prediction in enumerate(source(program, attention.texts)):
            iou[number] += iou_of(pack(prediction, causal=True), np.asarray(attention.block(index), np.float32)) / 12
    heads = {divmod(flat, attention.heads_per_layer): flat for flat in range(len(attention.labels))}
    result = study(
        model,
        tokenizer,
        attention.texts[:6],
        attention.texts[6:],
        {head: programs[iou[:, flat].argmax()] for head, flat in heads.items()},
        {head: float(iou[:, flat].max()) for head, flat in heads.items()},
        make_sandbox,
        seed=0,
        fractions=[0, 1],
        random_orders=1,
        search_texts=1,
    )
    assert result["identity"]["exact"]
    everything = result["perplexity"]["by_fraction"][-1]
    assert everything["programs"] < everything["uniform"]
