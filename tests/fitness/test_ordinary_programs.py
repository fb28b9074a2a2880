from __future__ import annotations

import pytest
from ordinary_programs import ORDINARY
from test_purity import LIMITS, TEXTS

from fitness.program import Program
from fitness.sandbox import Sandbox
from fitness.scoring.purity import SecondServer, marks


@pytest.fixture(scope="module")
def servers():
    second = SecondServer(TEXTS, mode="strict", limits=LIMITS)
    with Sandbox(TEXTS, limits=LIMITS) as first:
        yield first, second
    second.close()


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_research_programs_run_and_repeat_themselves(servers, name):
    first, second = servers
    program = Program.parse(ORDINARY[name])
    outcome = first.run(program)
    assert outcome.ok, outcome
    assert second.repeats(program, marks(outcome.weights, range(len(TEXTS))))


def test_sixty_of_them_are_tried():
    assert len(ORDINARY) >= 60
