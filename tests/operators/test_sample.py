import ast

import numpy as np
import pytest
from fit_scene import make_view, shared, texts

from fitness.program import Program
from fitness.scoring.contract import to_prediction
from fitness.scoring.packing import pack
from fitness.text.view import Text
from operators.shared.fit_sample import FitSample
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.tree_evaluation import Unsupported

PLAIN = [
    "1.0 * (text.distance == 1)",
    "0.5 * np.exp(-np.abs(text.distance) / 3.5) + 0.2 * text.is_first",
    "(1 + np.abs(text.distance)) ** -0.7 * (1 - 0.4 * text.is_punctuation)",
    "(text.same & (text.distance > 0)) * 2 + 0.1 * text.is_name[:, None] + 0.01 * (text.distance >= 0)",
    "np.tril(text.same_word) * (text.length > 2) + np.minimum(text.length, 3)[:, None] * text.starts_word",
    "1 + np.isin(text.tokens, [' the', '.']) * (text.distance >= 0)",
    "text.is_comma & (np.cumsum(text.is_comma) == np.cumsum(text.is_comma)[:, None])",
    "np.where(text.same_sentence, 1.0, 0.2) * ~text.is_first",
    "0.0 * text.distance",
]
NOT_PLAIN = [
    "np.eye(text.n)",
    "text.is_first * 1.0",
    "1.0 - text.distance / 3",
    "np.roll(text.same, 1, axis=1)",
    "text.is_first[0] * text.same",
    "text.same - text.same_word",
    "1 / (0 * text.distance)",
    "unknown + text.same",
]


@pytest.fixture(scope="module")
def view():
    return shared()[0]


def source(expression):
    return f"def program(text):\n    weights = {expression}\n    return weights\n"


@pytest.mark.parametrize("expression", PLAIN)
def test_plain_programs_give_what_the_sandbox_gives(view, expression):
    scorer = fit_scorer(view)
    tried = scorer.sample.predict(scorer.weights(ast.parse(source(expression))))
    np.testing.assert_allclose(tried, view.predictions(Program.parse(source(expression))), atol=2e-6)


@pytest.mark.parametrize("expression", NOT_PLAIN)
def test_other_programs_are_left_to_the_sandbox(view, expression):
    with pytest.raises(Unsupported):
        fit_scorer(view).weights(ast.parse(source(expression)))


def test_what_the_causal_mask_hides_must_keep_the_contract_too(view):
    # Below the diagonal this is in order; at a distance of -1 it divides by zero, which the sandbox refuses.
    scorer, tree = fit_scorer(view), ast.parse(source("1 / (1 + text.distance)"))
    assert (scorer.evaluator.weights(tree) > 0).all()
    assert scorer.plain_iou(tree, 0) == -1
    assert scorer.iou(tree, 0) == -1


def test_loops_are_tried_in_the_sandbox(view):
    tree = ast.parse(
        "def program(text):\n    w = np.zeros((text.n, text.n))\n"
        "    for i in range(text.n):\n        w[i, max(0, i - 1)] = 1\n    return w\n"
    )
    scorer = fit_scorer(view)
    assert scorer.plain_iou(tree, 0) == -1
    assert scorer.iou(tree, 0) == pytest.approx(scorer.plain_iou(ast.parse(source("text.distance == 1")), 0), abs=1e-5)


def test_iou_is_that_of_the_view(view):
    sample = FitSample(view.texts, view.attention, causal=True)
    prediction = view.predictions(Program.parse(source("np.exp(-np.abs(text.distance) / 4)")))
    for head in range(len(view.labels)):
        np.testing.assert_allclose(sample.iou_texts(prediction, head), view.iou_texts(prediction, head), atol=2e-4)


def test_a_sample_of_queries_estimates_the_iou_of_all(view):
    whole = FitSample(view.texts, view.attention, causal=True)
    part = FitSample(view.texts, view.attention, causal=True, max_elements=len(whole.row) // 3)
    prediction = view.predictions(Program.parse(source("np.exp(-np.abs(text.distance) / 4)")))
    assert 0.2 * len(whole.row) < len(part.row) < 0.5 * len(whole.row)
    np.testing.assert_array_equal(whole.attention(1)[part.index], part.attention(1))
    np.testing.assert_array_equal(whole.pair("distance")[part.index], part.pair("distance"))
    assert part.iou(prediction[part.index], 2) == pytest.approx(whole.iou(prediction, 2), abs=0.05)


def test_elements_know_their_query_and_key(view):
    sample = FitSample(view.texts, view.attention, causal=True, max_elements=1000)
    assert [sample.tokens[q] == sample.tokens[k] for q, k in zip(sample.query, sample.key, strict=True)] == [
        bool(same) for same in sample.pair("same")
    ]
    assert (sample.query - sample.key == sample.pair("distance")).all()


def test_the_gradient_is_the_slope_of_the_iou(view):
    sample = FitSample(view.texts, view.attention, causal=True)
    rng = np.random.default_rng(1)
    weights = rng.random(len(sample.row)).astype(np.float32) + 0.5
    direction = rng.random(len(sample.row)).astype(np.float32)
    step = 2e-3
    slope = (
        sample.iou(sample.predict(weights + step * direction), 2)
        - sample.iou(sample.predict(weights - step * direction), 2)
    ) / (2 * step)
    assert float((sample.gradient(weights, 2) * direction).sum()) == pytest.approx(slope, rel=0.02)


def test_a_row_of_zeros_stays_empty_here_as_in_scoring():
    text = Text(["a", "b", "c"])
    sample = FitSample([text], causal=True)
    weights = np.array([0, 1, 1, 0, 0, 0], dtype=np.float32)
    square = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(sample.predict(weights), pack(to_prediction(square, causal=True), causal=True))


def test_models_that_look_ahead_have_whole_squares():
    view, sandbox = make_view(causal=False)
    with sandbox:
        scorer = FitScorer(view)
        tree = ast.parse(source("1.0 * (text.distance == -1) + 0.1"))
        assert len(scorer.sample.row) == sum(text.n**2 for text in texts())
        assert scorer.plain_iou(tree, 0) == pytest.approx(
            view.iou(view.predictions(Program.parse(ast.unparse(tree))), 0), abs=1e-3
        )


def test_predictions_of_a_program_are_remembered_and_cannot_be_written(monkeypatch):
    one, other = (Program.parse(f"def program(text):\n    return {x} + (text.distance == 2)\n") for x in (0.125, 0.25))
    view, sandbox = make_view()
    with sandbox:
        first = view.predictions(one)
        assert view.predictions(one) is first
        with pytest.raises(ValueError, match="read-only"):
            first[0] = 1
        monkeypatch.setattr("fitness.scoring.fit_view.REMEMBERED_BYTES", 0)
        view.predictions(other)
        assert view.predictions(one) is not first
