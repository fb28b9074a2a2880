import itertools
import json

import model_zoo
import numpy as np
import pytest
import torch

from fitness.errors import UserError
from fitness.heads import Head
from fitness.models.capture import capture
from fitness.models.loading import Reader, load_model
from fitness.program import Program
from fitness.replacement import replacing
from fitness.replacement.lower_layers import LowerLayers
from fitness.replacement.measurements import Measurements
from fitness.replacement.perplexity import Losses, Meter
from fitness.replacement.sources import FIRST_TOKEN, UNIFORM, Table
from fitness.replacement.studies.attribution import Estimator
from fitness.replacement.studies.bench import SplitTexts
from fitness.replacement.studies.conditions import HeadPrograms, all_conditions, by_iou, heads_at, shuffled
from fitness.replacement.studies.fitted import fitted_sources
from fitness.replacement.studies.least_cost import least_cost
from fitness.replacement.studies.replace import study
from fitness.replacement.studies.settings import Settings
from fitness.sandbox import Limits, Sandbox
from fitness.scoring.baselines import baselines
from fitness.scoring.iou import iou as iou_of
from fitness.scoring.packing import pack
from fitness.text.sources import read_texts

PREVIOUS = Program.parse("def program(text):\n    return 1.0 * (text.distance == 1)\n")
SELF = Program.parse("def program(text):\n    return 1.0 * (text.distance == 0)\n")
MIXED = Program.parse(
    "def program(text):\n    return text.is_capitalised * (text.distance >= 0) * (text.distance < 3)\n"
)
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
    Head(layer, head): [PREVIOUS, SELF, FIRST_TOKEN][(layer + head) % 3] for layer in range(3) for head in range(4)
}
IOU = {head: 0.9 - 0.05 * index for index, head in enumerate(ASSIGNMENT)}
TABLE = Table("mean_table", lambda n: np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None], 36)
FITTED = {"mean_table": dict.fromkeys(ASSIGNMENT, TABLE)}


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
    one = Losses(np.array([20.0, 50.0, 60.0]), tokens, tokens * 0, tokens)
    other = Losses(one.loss + 0.5 * tokens, tokens, tokens * 0, tokens)
    mean, error = one.paired_difference(other)
    assert mean == pytest.approx(other.mean_loss - one.mean_loss) == pytest.approx(0.5)
    assert error == pytest.approx(0, abs=1e-12)
    assert one.paired_difference(Losses(one.loss + np.array([0, 10, 20]), tokens, tokens * 0, tokens))[1] > 0


@pytest.fixture(scope="module")
def result(model, tokenizer, texts):
    return run(model, tokenizer, texts, ASSIGNMENT)


def explain(assignment):
    return HeadPrograms(assignment, IOU, single=SELF, fitted=FITTED, classes={SELF.id: "self", PREVIOUS.id: "previous"})


def run(model, tokenizer, texts, assignment, kept=None, **options):
    settings = Settings(**({"seed": 3, "fractions": [0, 0.25, 0.5, 1], "draws": 3, "measure_heads": 12} | options))
    split = SplitTexts(fit=texts[2:], held_out=texts[2:], test=texts[:2])
    return study(model, tokenizer, explain(assignment), split, make_sandbox, settings, kept=kept)


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
    names = ("programs", "uniform", "first_token", "mean_table", "zero", "mean_output", "random_programs", "least_cost")
    assert {none[name] for name in names} == {result["perplexity"]["original"]} == {none["random_order_mean"]}
    assert everything["programs"] == everything["random_order_mean"] == everything["least_cost"]
    assert everything["random_order_std"] == 0


def test_controls_are_on_the_same_heads_as_the_programs(result, model, tokenizer, texts):
    source, row = model_zoo.run_directly(), result["perplexity"]["by_fraction"][1]
    best = by_iou(ASSIGNMENT, IOU)[:3]
    for name, program in (
        ("uniform", UNIFORM),
        ("first_token", FIRST_TOKEN),
        ("mean_table", TABLE),
        ("single_program", SELF),
    ):
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
    assert (
        other["perplexity"]["by_fraction"][1]["random_order_mean"]
        != result["perplexity"]["by_fraction"][1]["random_order_mean"]
    )


def test_order_of_least_cost_takes_the_cheapest_first_and_looks_again(model, tokenizer, texts):
    source = model_zoo.run_directly()
    estimator = Estimator(model, tokenizer, source, texts[2:], causal=True, seed=0)
    first = estimator.estimate({"it": ASSIGNMENT})["it"].by_head()
    assert least_cost(estimator, ASSIGNMENT, 1) == sorted(ASSIGNMENT, key=lambda head: (first[head], head))
    order = least_cost(estimator, ASSIGNMENT, 3)
    assert sorted(order) == sorted(ASSIGNMENT)
    assert order[:4] == least_cost(estimator, ASSIGNMENT, 1)[:4]
    rest = {head: ASSIGNMENT[head] for head in order[4:]}
    second = estimator.estimate({"it": rest}, {head: ASSIGNMENT[head] for head in order[:4]})["it"].by_head()
    assert order[4:8] == sorted(rest, key=lambda head: (second[head], head))[:4]


def test_curves_of_different_fractions_are_points_of_one_order(result, model, tokenizer, texts):
    other = run(model, tokenizer, texts, ASSIGNMENT, fractions=[0.1, 0.5], only=["order"])
    assert other["least_cost"]["order"] == result["least_cost"]["order"]
    assert other["least_cost"]["by_fraction"][1] == result["least_cost"]["by_fraction"][2]


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
    result = run(model_zoo.build("bert"), tokenizer, short, ASSIGNMENT, fractions=[0.5], draws=1)
    assert result["perplexity"]["measure"] == "pseudo-perplexity"
    assert result["perplexity"]["by_fraction"][0]["random_order_std"] == 0


def test_nonsense_is_refused(model, tokenizer, texts):
    for options, message in (
        ({"fractions": [1.5]}, "shares from 0 to 1"),
        ({"draws": 0}, "at least one"),
        ({"only": ["haeds"]}, "haeds is not a stage; choose of fractions, layers, heads, order"),
    ):
        with pytest.raises(UserError, match=message):
            run(model, tokenizer, texts, ASSIGNMENT, **options)
    with pytest.raises(UserError, match="nothing to replace"):
        run(model, tokenizer, texts, {})


def test_an_interrupted_study_goes_on_to_the_same_numbers(result, model, tokenizer, texts, tmp_path):
    file = tmp_path / "replacement.partial.jsonl"

    class KilledError(Exception):
        pass

    class Dying(Measurements):
        left = 25

        def put(self, key, values):
            self.left -= 1
            if self.left < 0:
                raise KilledError
            return super().put(key, values)

    for _ in range(2):
        with pytest.raises(KilledError):
            run(model, tokenizer, texts, ASSIGNMENT, kept=Dying(file))
        file.write_bytes(file.read_bytes()[:-7])  # a line that the kill cut short
    before = len(file.read_text().splitlines())
    assert before >= 40
    assert run(model, tokenizer, texts, ASSIGNMENT, kept=Measurements(file)) == result
    after = file.read_bytes()
    assert run(model, tokenizer, texts, ASSIGNMENT, kept=Measurements(file)) == result
    assert file.read_bytes() == after


def test_measurements_of_another_model_are_not_taken_for_this_ones(tmp_path):
    one, other = Measurements(tmp_path / "kept", "one"), Measurements(tmp_path / "kept", "other")
    key = one.key("scores", b"ids")
    assert one.put(key, np.array([0.1, 1 / 3])).tolist() == [0.1, 1 / 3]
    again = Measurements(tmp_path / "kept", "one")
    assert again.get(again.key("scores", b"ids")).tolist() == [0.1, 1 / 3]
    assert other.get(other.key("scores", b"ids")) is None
    assert one.key("a", "bc") != one.key("ab", "c")


@pytest.mark.parametrize("family", model_zoo.CAUSAL)
def test_shared_lower_layers_change_no_bit(family, tokenizer, texts):
    model, source, reader = model_zoo.build(family), model_zoo.run_directly(), Reader(tokenizer)
    lower = LowerLayers(model, reader, texts[0])
    top = {(2, 0): PREVIOUS, (2, 3): SELF}
    assignments = {"original": {}, "top": top, "middle": {(1, 1): UNIFORM} | top, "bottom": {(0, 0): SELF}}
    plain = Meter(model, tokenizer, source, texts, causal=True).measure(assignments)
    shared = Meter(model, tokenizer, source, texts, causal=True, lower=lower).measure(assignments)
    for name, scores in plain.items():
        assert np.array_equal(scores.loss, shared[name].loss)
        assert np.array_equal(scores.divergence, shared[name].divergence)
    if family in ("gpt2", "llama", "gpt_neox", "qwen2", "mistral", "gemma2"):
        assert lower.works


def test_sharing_saves_the_layers_below(model, tokenizer, texts):
    ran = []
    hooks = [layer.self_attn.register_forward_hook(lambda *_: ran.append(1)) for layer in model.model.layers]
    lower = LowerLayers(model, Reader(tokenizer), texts[0])
    meter = Meter(model, tokenizer, model_zoo.run_directly(), texts[:1], causal=True, lower=lower)
    ran.clear()
    meter.measure({"top": {(2, 0): SELF}})
    for hook in hooks:
        hook.remove()
    assert len(ran) == 3 + 1


def test_every_ablation_is_there_with_intervals_and_what_programs_recover(result):
    row = result["perplexity"]["by_fraction"][2]
    drawn = {"random_programs", "shuffled_within_layer", "shuffled_within_class", "random_order"}
    for name in drawn | {"programs", "mean_table", "mean_output", "zero", "uniform", "first_token", "single_program"}:
        numbers = row["conditions"][name]
        low, high = numbers["interval"]
        assert low <= numbers["perplexity"] <= high
        low, high = numbers["increase_percent_interval"]
        assert low <= numbers["increase_percent"] <= high
        assert numbers["draws"] == (3 if name in drawn else 1)
    original = result["perplexity"]["original"]
    for name, found in row["recovered"].items():
        loss, ablated = np.log(row["programs"] / original), np.log(row[name] / original)
        assert found["value"] is None if ablated <= 0 else found["value"] == pytest.approx(1 - loss / ablated)


def test_programs_are_told_from_tables_in_words_only_beyond_noise(result):
    row = result["perplexity"]["by_fraction"][2]
    found = row["programs_minus_mean_table"]
    assert found["value"] == pytest.approx(np.log(row["programs"] / row["mean_table"]))
    low, high = found["interval"]
    expected = "differ" if low <= 0 <= high else ("more" if low > 0 else "less")
    assert expected in found["says"]
    assert result["perplexity"]["by_fraction"][0]["programs_minus_mean_table"]["says"].endswith("beyond noise")


def test_tables_are_measured_on_heads_that_nobody_chose_as_well(result):
    row, everything = result["perplexity"]["by_fraction"][2:4]
    assert row["conditions"]["mean_table_random_order"]["draws"] == 3
    assert everything["mean_table_random_order"] == pytest.approx(everything["mean_table"])
    losses = [np.log(result["perplexity"]["by_fraction"][3][name]) for name in ("programs", "mean_table")]
    assert everything["random_order_minus_mean_table"]["value"] == pytest.approx(losses[0] - losses[1])


def test_text_increase_is_the_mean_over_texts_of_each_texts_increase(result, model, tokenizer, texts):
    source, best = model_zoo.run_directly(), by_iou(ASSIGNMENT, IOU)[:3]
    ratios = [
        perplexity_by_hand(model, [text], {head: ASSIGNMENT[head] for head in best}, tokenizer, source)
        / perplexity_by_hand(model, [text], {}, tokenizer, source)
        for text in texts[:2]
    ]
    found = result["perplexity"]["by_fraction"][1]["conditions"]["programs"]["text_increase_percent"]
    assert found == pytest.approx(100 * (np.mean(ratios) - 1), rel=1e-4)


def test_completeness_keeps_the_costliest_heads(result, model, tokenizer, texts):
    row = result["completeness"][1]
    everywhere = result["perplexity"]["by_fraction"][-1]["programs"]
    assert result["completeness"][0]["costliest"]["perplexity"] == pytest.approx(everywhere)
    order = [Head.parse(label) for label in result["least_cost"]["order"]]
    by_hand = perplexity_by_hand(
        model, texts[:2], {head: ASSIGNMENT[head] for head in order[:-3]}, tokenizer, model_zoo.run_directly()
    )
    assert row["kept"] == len(row["heads_kept"]) == 3
    assert row["costliest"]["perplexity"] == pytest.approx(by_hand, rel=1e-5)


def test_a_programs_score_on_captured_attention_is_that_on_the_replaced_models_attention(tokenizer, tmp_path):
    """End to end: the replaced head's attention is the prediction that was scored."""
    folder = model_zoo.save("llama", tmp_path / "model")
    attention = capture(str(folder), STORIES[:2], max_tokens=36, cache=tmp_path)
    text, head = attention.texts[0], Head(1, 2)
    own = np.asarray(attention.block(0)[attention.labels.index(head.label)], dtype=np.float32)
    (prediction,) = model_zoo.run_directly()(MIXED, [text])
    scored = float(iou_of(pack(prediction, causal=True), own))
    model, _ = load_model(str(folder))
    with replacing(model, {head: MIXED}, Reader(tokenizer), model_zoo.run_directly()), torch.no_grad():
        weights = model(torch.tensor([text.ids.tolist()]), output_attentions=True).attentions[1][0, 2].numpy()
    assert 0 < (weights.sum(1) == 0).sum() < text.n  # a row that the program leaves empty is empty in the model too
    assert float(iou_of(pack(weights, causal=True), own)) == pytest.approx(scored, abs=1e-6)
    assert 0 < scored < 1


def test_mean_output_puts_one_vector_in_the_heads_place(model, tokenizer, texts):
    from fitness.replacement.studies.fitted import mean_outputs

    outputs = mean_outputs(model, texts)
    projected, hooks = (
        [],
        [model.model.layers[1].self_attn.o_proj.register_forward_pre_hook(lambda *g: projected.append(g[1][0]))],
    )
    with torch.no_grad():
        for text in texts:
            model(torch.tensor([text.ids.tolist()]))
        mean = torch.cat(projected, dim=1)[0].mean(0).view(4, 8)
        assert np.allclose(outputs[1, 2].vector, mean[2], atol=1e-5)
        projected.clear()
        with replacing(model, {(1, 2): outputs[1, 2], (1, 0): SELF}, Reader(tokenizer), model_zoo.run_directly()):
            model(torch.tensor([texts[0].ids.tolist()]))
    hooks[0].remove()
    replaced = projected[0][0].view(texts[0].n, 4, 8)
    assert torch.allclose(replaced[:, 2], torch.from_numpy(outputs[1, 2].vector).expand(texts[0].n, 8), atol=1e-6)


def test_models_out_of_the_interfaces_reach_have_no_mean_output_and_say_so(tokenizer, texts):
    from fitness.replacement import FixedOutput

    model = model_zoo.build("gptj")
    split = SplitTexts(fit=texts[2:], held_out=texts[2:], test=texts[:2])
    settings = Settings(fractions=[0.5], draws=1, only=["fractions"])
    found = study(model, tokenizer, explain(ASSIGNMENT), split, make_sandbox, settings)
    assert "mean_output" not in found["perplexity"]["by_fraction"][0]
    vector = FixedOutput("it", np.zeros(8, dtype=np.float32))
    with (
        replacing(model, {(0, 0): vector}, Reader(tokenizer), model_zoo.run_directly()),
        pytest.raises(UserError, match="but not its output"),
    ):
        model(torch.tensor([texts[0].ids.tolist()]))


def test_shuffles_stay_within_their_layer_or_class():
    classes = {SELF.id: "near", PREVIOUS.id: "near", FIRST_TOKEN.id: "first"}
    explanation = HeadPrograms(ASSIGNMENT, IOU, classes=classes)
    conditions = all_conditions(explanation, None, draws=5, seed=0)
    for name, group in (
        ("shuffled_within_layer", lambda head: head[0]),
        ("shuffled_within_class", lambda head: classes[ASSIGNMENT[head].id]),
    ):
        draws = [condition.sources for condition in conditions if condition.name == name]
        assert len(draws) == 5
        assert name == "shuffled_within_class" or draws[0] != draws[1]
        for dealt in draws:
            for value in {group(head) for head in ASSIGNMENT}:
                inside = [head for head in ASSIGNMENT if group(head) == value]
                assert sorted(dealt[h].id for h in inside) == sorted(ASSIGNMENT[h].id for h in inside)
    without = all_conditions(HeadPrograms(ASSIGNMENT, IOU), None, draws=1, seed=0)
    assert "shuffled_within_class" not in {condition.name for condition in without}


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
    heads = {Head.parse(label): flat for flat, label in enumerate(attention.labels)}
    assignment = {head: programs[iou[:, flat].argmax()] for head, flat in heads.items()}
    explanation = HeadPrograms(
        assignment,
        {head: float(iou[:, flat].max()) for head, flat in heads.items()},
        library=programs,
        single=programs[0],
        fitted=fitted_sources(attention, range(6, 12), heads),
        pair_iou={(p.id, h): float(iou[k, flat]) for k, p in enumerate(programs) for h, flat in heads.items()},
    )
    split = SplitTexts(fit=attention.texts[6:], held_out=attention.texts[6:], test=attention.texts[:6])
    settings = Settings(fractions=[0, 1], draws=1, search_texts=2, measure_heads=32, pairs=32)
    result = study(model, tokenizer, explanation, split, make_sandbox, settings)
    assert result["identity"]["exact"]
    assert result["identity"]["lower_layers_shared"]
    everything = result["perplexity"]["by_fraction"][-1]
    assert everything["programs"] < everything["uniform"]
    assert {"median_table", "resample", "mean_output"} <= set(everything)
    assert result["estimates"]["spearman"] > 0.6
    assert result["pairs"]["measured"]["points"] > 60
    assert result["pairs"]["estimated"]["spearman"] < 0
