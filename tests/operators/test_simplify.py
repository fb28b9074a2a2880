import pytest
from fit_scene import fit_iou, program, request, shared

from fitness.program import Program
from operators.simplify import TOLERANCE, Simplify

NEEDED = "0.6 * (text.distance == 1) + 0.4 * (text.is_first & (text.distance >= 0))"


@pytest.fixture(scope="module")
def view():
    return shared()[0]


@pytest.mark.parametrize(
    ("longer", "gone"),
    [
        (f"{NEEDED} + 0.0001 * text.same_word", "same_word"),
        (f"({NEEDED}) * (1 + 0.001 * text.is_comma)", "is_comma"),
        ("0.6 * ((text.distance == 1) & ~(text.length > 90)) + 0.4 * text.is_first", "length"),
        (f"({NEEDED}) * (1 - 0.9 * np.isin(text.tokens, ['no such token', 'nor this']))", "isin"),
    ],
)
def test_what_does_not_matter_is_left_out(view, longer, gone):
    parent = program(longer)
    (proposal,) = Simplify().propose(request("L0H0", parent), view)
    assert gone not in proposal.source
    assert Program.parse(proposal.source).length < parent.length
    assert fit_iou(view, proposal, "L0H0") >= fit_iou(view, parent, "L0H0") - TOLERANCE - 1e-4


def test_what_matters_stays(view):
    (proposal,) = Simplify().propose(request("L0H0", program(f"{NEEDED} + 0.0001 * text.same_word")), view)
    assert "text.distance == 1" in proposal.source
    assert "text.is_first" in proposal.source


def test_lines_without_effect_disappear(view):
    parent = Program.parse(
        "def program(text):\n    weights = 1.0 * (text.distance == 1)\n    unused = text.same\n"
        "    weights = weights + 0.67 * text.is_first\n    weights = weights * (1 + 0.001 * text.is_quote)\n"
        "    return weights\n"
    )
    (proposal,) = Simplify().propose(request("L0H0", parent), view)
    assert "is_quote" not in proposal.source
    assert "unused" not in proposal.source


@pytest.mark.parametrize("expression", ["text.distance == 1", "1 / 0", "text.same[0]"])
def test_short_and_broken_programs_give_nothing(view, expression):
    assert Simplify().propose(request("L0H0", program(expression)), view) == []
