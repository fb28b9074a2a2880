import ast

import pytest
from fit_scene import fit_iou, program, request, shared

from fitness.program import Program
from operators.constants import Constants
from operators.shared.fit_numbers import numbers_of


@pytest.fixture(scope="module")
def view():
    return shared()[0]


def test_coefficients_are_found_again(view):
    parent = program("0.2 * (text.distance == 1) + 1.0 * (text.is_first & (text.distance >= 0))")
    (proposal,) = Constants().propose(request("L0H0", parent), view)
    previous, first = (number.value for number in numbers_of(ast.parse(proposal.source)))
    assert previous / first == pytest.approx(1.5, rel=0.15)
    assert fit_iou(view, proposal, "L0H0") > 0.9


def test_numbers_inside_functions_are_fitted(view):
    parent = program("np.exp(-np.abs(text.distance) / 40) * (1 - 0.2 * text.is_punctuation)")
    (proposal,) = Constants().propose(request("L0H2", parent), view)
    assert fit_iou(view, proposal, "L0H2") > 0.9


def test_programs_with_loops_are_fitted_in_the_sandbox(view):
    parent = Program.parse(
        "def program(text):\n    w = np.zeros((text.n, text.n))\n    for i in range(text.n):\n"
        "        w[i, max(0, i - 1)] = 1.0\n        w[i, 0] += 6.0\n    return w\n"
    )
    # Additions to an element are no terms of a sum: the one number that scales is inside the loop.
    parent = Program.parse(parent.source.replace("+= 6.0", "+= 6.0 * 1"))
    (proposal,) = Constants().propose(request("L0H0", parent), view)
    assert fit_iou(view, proposal, "L0H0") > fit_iou(view, parent, "L0H0") + 0.1


def test_integers_that_choose_are_left_alone():
    tree = ast.parse(
        "def program(text):\n    w = 2 * (text.distance == 3) + text.length[:, None] / 5\n    return w + 1\n"
    )
    assert sorted(number.value for number in numbers_of(tree)) == [2, 5]


def test_numbers_are_rounded_for_reading(view):
    parent = program("0.2 * (text.distance == 1) + 1.0 * (text.is_first & (text.distance >= 0))")
    (proposal,) = Constants().propose(request("L0H0", parent), view)
    assert all(len(f"{n.value:g}".replace(".", "").lstrip("0")) <= 3 for n in numbers_of(ast.parse(proposal.source)))


@pytest.mark.parametrize(
    "source",
    [
        "def program(text):\n    return text.distance == 1\n",
        "def program(text):\n    return 0.5 * (text.distance == 1)\n",
        "def program(text):\n    return 1 / 0\n",
    ],
)
def test_nothing_to_fit_or_to_gain_gives_nothing(view, source):
    assert Constants().propose(request("L0H0", Program.parse(source)), view) == []
