"""Checks all prompt templates before money is spent, by filling them in with examples that the operators make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fitness.failures import FailureKind
from fitness.program import Program
from fitness.sandbox import Outcome
from fitness.scoring.contract import to_prediction, to_predictions
from fitness.scoring.fit_view import FitView
from fitness.scoring.packing import pack
from fitness.text.view import Text
from operators.llm.crossover import Crossover
from operators.llm.fresh import Fresh
from operators.llm.mutate import Mutate
from operators.llm.repair import Repair
from operators.llm.templates import Templates
from operators.protocol import Failure, Parent, Request
from operators.registry import LLM_OPERATORS

_STRINGS = ("The dog ran . The dog sat", "Lily saw a cat . Lily ran", "A bird sang , and Tom slept")


def check_prompts(
    directory: Path | None, operators: Iterable[str] = LLM_OPERATORS, leave_out: Sequence[str] = ()
) -> Templates:
    """Reads and checks the templates that a campaign would use.

    Args:
        directory: the user's own templates, or None.
        operators: LLM operators that will be used.
        leave_out: placeholders that stay empty.

    Raises:
        UserError: naming file, place and what would be right.
    """
    templates = Templates(directory, leave_out)
    templates.check_files(LLM_OPERATORS)
    for operator in operators:
        templates.check(operator, examples(operator))
    return templates


def examples(operator: str) -> list[dict[str, Any]]:
    """Values that an LLM operator gives for a tiny head: one set where all goes well, and one where programs fail."""
    view = _tiny_view()
    rows = [np.eye(text.n) for text in view.texts], [np.ones((text.n, text.n)) for text in view.texts]
    good, other = (to_predictions(view.packing.pack(each), view.packing) for each in rows)
    failed = Outcome(FailureKind.EXCEPTION, "NameError: name 'foo' is not defined", 2)
    program = Program.parse("def program(text):\n    return text.distance == 0\n")
    broken = Parent(program, float("nan"), -1, Failure(FailureKind.BAD_SHAPE, "returned shape (6,)", 2))
    parents = (Parent(program, 0.25, 1), Parent(program, 0.125, 2))

    def request(*asked: Parent, errors: tuple[str, ...] = ()) -> Request:
        return Request(0, "L0H0", asked, (0,), errors)

    errors = ("bad shape: returned shape (6,), expected (6, 6) (3 times)",)
    if operator == "fresh":
        return [Fresh().prompt(request(errors=errors), view), Fresh().prompt(request(), view)]
    if operator == "mutate":
        asked = request(parents[0], errors=errors)
        return [Mutate().values(asked, view, good), Mutate().values(asked, view, failed)]
    if operator == "crossover":
        asked = request(*parents, errors=errors)
        return [Crossover().values(asked, view, [good, other]), Crossover().values(asked, view, [good, failed])]
    degenerate = Parent(program, 0.0, 1, Failure(FailureKind.DEGENERATE, "all zeros"))
    return [
        Repair().values(request(broken, errors=errors), view, failed),
        Repair().values(request(broken), view, None),
        Repair().values(request(degenerate), view, None),
    ]


def _tiny_view() -> FitView:
    texts = [Text([(" " if i else "") + word for i, word in enumerate(string.split())]) for string in _STRINGS]
    rng = np.random.default_rng(0)
    blocks = [
        pack(np.stack([to_prediction(rng.random((text.n, text.n)) ** 4, causal=True)]), causal=True) for text in texts
    ]
    # The examples come with predictions, so no program is run and no sandbox is needed.
    return FitView(texts, blocks, ["L0H0"], causal=True, sandbox=None, indices=range(len(texts)))
