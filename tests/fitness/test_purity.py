from __future__ import annotations

import numpy as np
import pytest
from impure_programs import ADDRESSES, GENERATORS, IMPURE, MEMORY, SETS, STATE

from fitness.program import Program, ProgramError
from fitness.sandbox import Layers, Limits, Sandbox
from fitness.scoring.baselines import baselines
from fitness.scoring.plain import is_plain
from fitness.scoring.purity import SecondServer, marks, may_show_addresses, sample
from fitness.text.view import Text

WORDS = "Once upon a time there was a cat and a dog . They sat on the mat and A dog ran to the big cat".split()
TEXTS = [Text([f" {WORDS[(5 * i + j) % len(WORDS)]}" for j in range(6 + 3 * i)]) for i in range(8)]
LIMITS = Limits(cpu_seconds=2)


@pytest.fixture(scope="module", params=["strict", "degraded"])
def servers(request):
    second = SecondServer(TEXTS, mode=request.param, limits=LIMITS)
    with Sandbox(TEXTS, mode=request.param, limits=LIMITS) as first:
        yield first, second
    second.close()


def verdict(servers, source):
    """One of: failed, impure, pure."""
    first, second = servers
    try:
        program = Program.parse(source)
    except ProgramError:
        return "failed"
    outcome = first.run(program)
    if not outcome.ok:
        assert outcome.failure is not None
        return "failed"
    return "pure" if second.repeats(program, marks(outcome.weights, range(len(TEXTS)))) else "impure"


@pytest.mark.parametrize("name", IMPURE)
def test_an_impure_program_fails_is_found_out_or_is_made_pure(servers, name):
    found = verdict(servers, IMPURE[name])
    # Whatever passes for pure gives the same weights in any server, alone or after others.
    if found == "pure":
        program = Program.parse(IMPURE[name])
        expected = servers[0].run(program).weights
        for order in ([7, 3, 5, 0], [2], [0, 1]):
            with Sandbox([Text([" x"] * 40), *TEXTS], shuffled=True) as other:
                weights = other.run(program, [index + 1 for index in order]).weights
            assert all(np.array_equal(one, expected[index]) for one, index in zip(weights, order, strict=True))


def test_every_kind_of_impurity_is_tried():
    assert min(map(len, (GENERATORS, ADDRESSES, SETS, MEMORY, STATE))) >= 6
    assert len(IMPURE) >= 70


def test_addresses_that_no_stand_in_hides_are_found_out(servers):
    for name in ("str of a lambda", "percent", "f-string of a generator"):
        assert verdict(servers, ADDRESSES[f"addresses: {name}"]) == "impure"
    assert verdict(servers, SETS["sets: of functions"]) == "impure"


UNGUARDED = {
    "state": "import sys\n\ndef program(text):\n    sys.count = getattr(sys, 'count', 0) + 1\n"
    "    return np.full((text.n, text.n), float(sys.count))\n",
    "memory": "def program(text):\n    return np.abs(np.nan_to_num(np.empty((40, 40))))[:text.n, :text.n]\n",
    "generator": "def program(text):\n    return np.random.Generator(np.random.PCG64()).random((text.n, text.n))\n",
    "address": "def program(text):\n    return np.full((text.n, text.n), float(id(object())))\n",
}


@pytest.mark.parametrize("name", UNGUARDED)
def test_the_second_run_alone_finds_what_the_stand_ins_prevent(name):
    program = Program.parse(UNGUARDED[name])
    layers = Layers(static=False)
    with Sandbox(TEXTS, layers=layers) as first, Sandbox(TEXTS[::-1], layers=layers, shuffled=True) as second:
        once, again = first.run(program), second.run(program)
    assert once.ok
    assert again.ok
    assert not all(map(np.array_equal, once.weights, again.weights[::-1]))


def test_pure_programs_pass(servers):
    for program in baselines().values():
        assert verdict(servers, program.source) == "pure"


def test_the_texts_of_a_second_run_follow_from_the_program():
    program = Program.parse(UNGUARDED["state"])
    assert sample(program, 50) == sample(program, 50)
    assert len(set(sample(program, 50))) == 4
    assert sample(program, 3) == [0, 1, 2]


def test_what_is_found_out_is_run_again_on_all_texts_and_ordinary_programs_on_few(servers):
    found = [name for name in IMPURE if verdict(servers, IMPURE[name]) == "impure"]
    assert found
    assert [name for name in found if not may_show_addresses(IMPURE[name])] == []
    assert not any(may_show_addresses(program.source) for program in baselines().values())
    words = "def program(text):\n    return 1.0 * np.isin(text.tokens, [' a', ' the']) * (text.distance % 2 == 0)\n"
    assert not may_show_addresses(words)


PLAIN = {
    "joint": "def program(text):\n    scores = 1.2 * text.same - 0.3 * text.log_distance\n    return np.exp(scores)\n",
    "apart": """import numpy as np

def program(text):
    '''Rests on the first token, else on the last comma.'''
    scores = 0.4 * text.latest(text.is_comma) - 0.7 * np.isin(text.tokens, [' the', ','])
    scores -= 0.1 * np.minimum(text.length, 4)[:, None]
    rest = np.exp(scores) * (text.distance >= 0) * ~text.is_first
    rest = rest / np.maximum(rest.sum(axis=1, keepdims=True), 1e-09)
    return np.exp(4.2 - 0.65 * text.log_position)[:, None] * text.is_first + rest
""",
    "sums": "def program(text):\n    return np.tril(text.same) / (1.0 + np.cumsum(text.is_comma))[None, :]\n",
}
NOT_PLAIN = {
    "memory": "def program(text):\n    return np.empty((text.n, text.n))\n",
    "address": "def program(text):\n    return 1.0 * text.same + id(text)\n",
    "chance": "def program(text):\n    return np.random.random((text.n, text.n))\n",
    "where": "def program(text):\n    return np.log(1.0 + text.distance, where=text.same)\n",
    "default": "def program(text, seen=[]):\n    return 1.0 * text.same\n",
    "decorator": "@print\ndef program(text):\n    return 1.0 * text.same\n",
    "another function": "def helper(x):\n    return x\n\ndef program(text):\n    return 1.0 * text.same\n",
    "rebound": "def program(text):\n    np = text\n    return np.exp(text.distance)\n",
    "state": "def program(text):\n    text.same[0] = 1\n    return 1.0 * text.same\n",
    "attribute of a function": "def program(text):\n    program.seen = 1.0\n    return program.seen * text.same\n",
    "strings": "def program(text):\n    return 1.0 * ('%s' % text.same > 'a') * text.same\n",
    "no field": "def program(text):\n    return 1.0 * text.same * len(text.string)\n",
    "listed by name": "def program(text):\n    return 1.0 * np.isin(text.tokens, text.tokens) * text.same\n",
    "import": "import random\n\ndef program(text):\n    return 1.0 * text.same\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_pure_by_construction_is_not_run_again_and_would_pass(servers, name):
    assert is_plain(PLAIN[name])
    assert sample(Program.parse(PLAIN[name]), 50) == []
    assert verdict(servers, PLAIN[name]) == "pure"


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_anything_else_is_run_again(name):
    assert not is_plain(NOT_PLAIN[name])


def test_no_impure_program_is_pure_by_construction():
    for name, source in IMPURE.items():
        try:
            assert not is_plain(source), name
        except ProgramError:
            continue
