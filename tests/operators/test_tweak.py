import ast

import numpy as np
import pytest
from fit_scene import fit_iou, program, request, shared

from fitness.program import Program
from operators.shared.fit_scoring import fit_scorer
from operators.shared.syntax_trees import copy_of, to_source
from operators.tweak import Edits, Tweak

ONE = Program.parse(
    "def program(text):\n    weights = 0.5 * (text.distance == 1) + 0.2 * text.is_comma\n"
    "    weights = weights * (1 + 2.0 * np.isin(text.tokens, [' the', ' a']))\n    return weights\n"
)
OTHER = Program.parse(
    "def program(text):\n    w = np.exp(-np.abs(text.distance) / 7)\n"
    "    w = w * (1 + 3.0 * (text.same_sentence & text.is_name))\n    return w\n"
)
LOOP = Program.parse(
    "def program(text):\n    w = np.zeros((text.n, text.n))\n    for i in range(text.n):\n"
    "        w[i, max(0, i - 2)] = 1.0 + 0.5 * text.is_name[i]\n    return w\n"
)


@pytest.fixture(scope="module")
def view():
    return shared()[0]


def test_every_edit_changes_the_program_into_one_that_parses(view):
    parent, other = ast.parse(ONE.source), ast.parse(OTHER.source)
    for name, edit in Edits(fit_scorer(view), other).all().items():
        results = [edit(copy_of(parent), np.random.default_rng(seed)) for seed in range(6)]
        changed = {Program.parse(to_source(tree)).id for tree in results if tree is not None} - {ONE.id}
        assert changed, name


def test_edits_leave_the_other_parent_as_it_is(view):
    other = ast.parse(OTHER.source)
    for name, edit in Edits(fit_scorer(view), other).all().items():
        for seed in range(6):
            edit(copy_of(ast.parse(ONE.source)), np.random.default_rng(seed))
        assert ast.unparse(other) == OTHER.normalised, name


def test_variants_run_and_differ_from_the_parent(view):
    for seed in range(8):
        (proposal,) = Tweak().propose(request("L0H0", ONE, OTHER, seed=(seed,)), view)
        assert Program.parse(proposal.source).id != ONE.id
        fit_iou(view, proposal, "L0H0")


def test_the_best_of_the_variants_is_proposed(view):
    parent = program("0.5 * (text.distance == 1) + 0.5 * text.is_comma")
    gains = [
        fit_iou(view, Tweak().propose(request("L0H0", parent, seed=(seed,)), view)[0], "L0H0") for seed in range(12)
    ]
    assert max(gains) > fit_iou(view, parent, "L0H0") + 0.05


def test_parts_of_the_second_parent_are_spliced_in(view):
    sources = [Tweak().propose(request("L0H1", ONE, OTHER, seed=(seed,)), view)[0].source for seed in range(20)]
    assert any("text.same_sentence & text.is_name" in source for source in sources)


def test_programs_with_loops_are_varied_too(view):
    found = [Tweak().propose(request("L0H0", LOOP, seed=(seed,)), view) for seed in range(8)]
    ids = {Program.parse(proposals[0].source).id for proposals in found if proposals}
    assert len(ids - {LOOP.id}) >= 3


def test_equal_requests_give_equal_proposals(view):
    asked = request("L0H2", ONE, OTHER, seed=(5, 6))
    assert Tweak().propose(asked, view) == Tweak().propose(asked, view)
