import ast

import pytest
from fit_scene import HEADS, fit_iou, make_view, program, request, shared

from fitness.program import Program
from operators.residual import MAX_LINES, Residual
from operators.shared.syntax_trees import changing_lines

LOOP = Program.parse(
    "def program(text):\n    w = np.zeros((text.n, text.n))\n    for i in range(text.n):\n"
    "        for j in range(i + 1):\n            w[i, j] = 1.0\n    return w\n"
)


@pytest.fixture(scope="module")
def view():
    return shared()[0]


@pytest.mark.parametrize("head", HEADS)
def test_from_scratch_it_finds_what_a_head_does(view, head):
    (proposal,) = Residual().propose(request(head), view)
    assert fit_iou(view, proposal, head) > 0.75


def test_a_term_that_the_parent_lacks_is_added(view):
    parent = program("1.0 * (text.distance == 1)")
    (proposal,) = Residual().propose(request("L0H0", parent), view)
    assert fit_iou(view, proposal, "L0H0") > fit_iou(view, parent, "L0H0") + 0.15
    assert "text.distance == 1" in proposal.source


def test_listed_tokens_are_found_by_their_spelling(view):
    parent = program("text.distance >= 0")
    sources = [Residual().propose(request("L0H3", parent, seed=(0, seed)), view)[0].source for seed in range(3)]
    assert any("np.isin" in source and "' the'" in source for source in sources)


def test_a_parent_with_loops_is_only_multiplied(view):
    (proposal,) = Residual().propose(request("L0H1", LOOP), view)
    assert "text.is_name" in proposal.source
    assert fit_iou(view, proposal, "L0H1") > fit_iou(view, LOOP, "L0H1") + 0.2


def test_nothing_is_proposed_where_nothing_is_missing(view):
    assert Residual().propose(request("L0H4", program("text.distance == 0")), view) == []


@pytest.mark.parametrize(
    "source",
    [
        "def program(text):\n    if text.n > 3:\n        return 1.0 * text.same\n    return text.distance >= 0\n",
        "def program(text):\n    raise ValueError('no')\n",
    ],
)
def test_parents_that_cannot_be_extended_give_nothing(view, source):
    assert Residual().propose(request("L0H0", Program.parse(source)), view) == []


def test_programs_stay_short(view):
    parent = program("text.distance >= 0")
    for seed in range(12):
        found = Residual().propose(request("L0H2", parent, seed=(1, seed)), view)
        parent = Program.parse(found[0].source) if found else parent
    assert len(changing_lines(ast.parse(parent.source))) <= MAX_LINES


def test_equal_requests_give_equal_proposals():
    one, first = make_view()
    two, second = make_view()
    with first, second:
        # What was asked before must not matter either.
        Residual().propose(request("L0H2"), two)
        asked = request("L0H3", program("text.distance >= 0"), seed=(3, 4))
        assert Residual().propose(asked, one) == Residual().propose(asked, two)


def test_the_docstring_says_what_the_program_does(view):
    (proposal,) = Residual().propose(request("L0H1", program("text.distance >= 0")), view)
    assert "names" in Program.parse(proposal.source).docstring
