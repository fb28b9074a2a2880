import ast

import numpy as np
import pytest
from fit_scene import HEADS, shared

from operators.shared.fit_scoring import fit_scorer
from operators.shared.gradients import Differentiator
from operators.shared.tree_evaluation import Unsupported

PROGRAMS = {
    "sums and products": "0.6 * (text.distance == 1) + 0.3 * text.is_first * (1 + 2.5 * text.is_name[:, None])",
    "exponentials": "np.exp(-np.abs(text.distance) / 5.0 + 0.7 * text.is_name - 0.2 * text.same)",
    "powers": "(1 + np.abs(text.distance)) ** -1.3 + 0.01 * text.length ** 0.8",
    "quotients and roots": "np.sqrt(0.4 + text.length) / (2.5 + np.abs(text.distance)) - 0.01 * text.is_first",
    "key values alone": "(0.2 + 1.5 * text.is_name) * (text.distance >= 0)",
    "bounds": "np.minimum(np.abs(text.distance) * 0.22, 1.5) + np.maximum(0.35, 0.1 * text.length)[:, None]",
    "choices": "np.where(text.distance > 2, 0.2 * text.length, 0.7) + np.log1p(0.3 * text.length)",
}


def _tree(expression):
    return ast.parse(
        f"def program(text):\n    weights = {expression}\n    weights = weights * 1.5\n    return weights\n"
    )


@pytest.fixture(scope="module")
def scorer():
    return fit_scorer(shared()[0])


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_are_those_of_finite_differences(scorer, name):
    tree = _tree(PROGRAMS[name])
    numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    differentiator = Differentiator(scorer.evaluator, numbers)
    weights = differentiator.weights(tree)
    assert np.array_equal(weights, scorer.evaluator.weights(tree))
    # Any linear functional of the weights will do; IoU has kinks.
    slope = np.random.default_rng(0).random(len(weights)).astype(np.float32)
    found = differentiator.gradient(slope)
    for number, derivative in zip(numbers, found, strict=True):
        value, step = number.value, 1e-2 * number.value
        sums = []
        for number.value in (value + step, value - step):
            sums.append(float(np.dot(differentiator.weights(tree).astype(np.float64), slope)))
        number.value = value
        assert derivative == pytest.approx((sums[0] - sums[1]) / (2 * step), rel=2e-2, abs=1e-2)


def test_the_gradient_of_the_iou_is_that_of_finite_differences(scorer):
    tree = _tree("0.6 * (text.distance == 1) + 0.3 * text.is_first")
    number = next(n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value == 0.3)
    differentiator, head = Differentiator(scorer.evaluator, [number]), HEADS.index("L0H0")
    _, slope = scorer.sample.iou_and_gradient(differentiator.weights(tree), head)
    found = differentiator.gradient(slope)[0]
    ious = []
    for number.value in (0.301, 0.299):
        ious.append(scorer.sample.iou(scorer.sample.predict(differentiator.weights(tree)), head))
    assert found == pytest.approx((ious[0] - ious[1]) / 0.002, rel=0.05)


def test_numbers_within_other_functions_have_no_derivative(scorer):
    tree = _tree("np.cumsum(text.length * 0.5) * (text.distance >= 0)")
    numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value == 0.5]
    with pytest.raises(Unsupported, match="cumsum"):
        Differentiator(scorer.evaluator, numbers).weights(tree)
