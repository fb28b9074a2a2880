import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fit_scene import fit_iou, program, request, shared

from fitness.program import Program
from operators.genetic import Genetic, Grammar, Kind
from operators.shared.fit_scoring import fit_scorer

READABLE = [
    "def program(text):\n    weights = text.distance >= 0\n    weights = weights * (1 + 9.2 * text.is_name)\n"
    "    return weights\n",
    "def program(text):\n    weights = np.exp(-np.abs(text.distance) / 8)\n"
    "    weights = weights * (1 - 0.5 * ((text.distance <= 16) & text.starts_word))\n"
    "    weights = weights + 0.99 * text.is_sentence_end[:, None]\n    return weights\n",
    "def program(text):\n    weights = 0.5 * (text.distance == 1)\n"
    "    weights = weights + 0.5 * np.isin(text.tokens, [' the', '.'])\n    return weights\n",
]


@pytest.fixture(scope="module")
def view():
    return shared()[0]


@pytest.fixture
def grammar(view):
    return Grammar(fit_scorer(view), np.random.default_rng(0))


@pytest.mark.parametrize("source", READABLE)
def test_programs_survive_the_way_to_a_tree_and_back(grammar, source):
    tree = grammar.read(ast.parse(source))
    assert ast.unparse(grammar.write(tree)) == ast.unparse(ast.parse(source))


def test_the_same_patterns_in_one_expression_are_read_as_well(view, grammar):
    written = program("0.5 * (text.distance == 1) + 0.3 * text.is_first * text.same_sentence")
    again = Program.parse(ast.unparse(grammar.write(grammar.read(ast.parse(written.source)))))
    assert fit_iou(view, again, "L0H0") == pytest.approx(fit_iou(view, written, "L0H0"), abs=1e-6)


@pytest.mark.parametrize(
    "source",
    ["def program(text):\n    return np.eye(text.n)\n", "def program(text):\n    for i in 'a':\n        pass\n"],
)
def test_other_programs_are_not_read(grammar, source):
    assert grammar.read(ast.parse(source)) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_the_generator_never_dead_ends(grammar, kind):
    for depth in range(5):
        for _ in range(20):
            tree = grammar.grow(kind, depth)
            assert tree[0].ret == kind
            assert tree.searchSubtree(0) == slice(0, len(tree))


def test_offspring_are_programs_that_run(view):
    parents = [Program.parse(source) for source in READABLE[:2]]
    for seed in range(8):
        (proposal,) = Genetic().propose(request("L0H1", *parents, seed=(seed,)), view)
        assert Program.parse(proposal.source).id not in {parent.id for parent in parents}
        assert Program.parse(proposal.source).docstring
        fit_iou(view, proposal, "L0H1")


def test_fresh_trees_need_no_parents_and_parents_of_another_style_do_no_harm(view):
    assert Genetic().propose(request("L0H2"), view)
    assert Genetic().propose(request("L0H2", program("np.eye(text.n)")), view)


def test_the_global_generator_is_left_as_it_was(view):
    random.seed(7)
    state = random.getstate()
    Genetic().propose(request("L0H1", *map(Program.parse, READABLE[:2])), view)
    assert random.getstate() == state


def test_proposals_do_not_depend_on_the_process():
    # Hashes of strings and types differ from process to process; what is proposed must not.
    code = (
        "from fit_scene import shared, request; from fitness.program import Program\n"
        "from operators.genetic import Genetic; from test_genetic import READABLE\n"
        "view, sandbox = shared()\n"
        "for seed in range(6):\n"
        "    print(Genetic().propose(request('L0H1', *map(Program.parse, READABLE[:2]), seed=(seed,)), view))\n"
        "sandbox.close()\n"
    )
    here = Path(__file__).parent
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{here.parents[1]}{os.pathsep}{here}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop()
