"""Held-out text that a program hands back by any way a failure has: nothing of it is in what operators read."""

from __future__ import annotations

import pytest
from sandbox_evasions import BY_VALUE

from fitness.failures import FailureKind
from fitness.program import Program, ProgramError
from fitness.sandbox import Layers, Outcome, Sandbox
from fitness.scoring.held_out_words import own_words
from fitness.text.view import Text

SECRET = "zygote"
TEXT = Text(["The", " zygote", " sleeps", "."])
NAME = "text.tokens[1].strip()"
LEAKS = {
    "type's name": f"return type(type(1))({NAME}, (), {{}})()",
    "exception's name": f"raise type(ValueError)({NAME}, (ValueError,), {{}})('x')",
    "exception's message": f"raise ValueError({NAME})",
    "key": f"return {{}}[{NAME}]",
    "attribute": f"return getattr(text, {NAME})",
    "import": f"__import__({NAME})",
    "shape": f"return np.zeros([ord(c) for c in {NAME}[:2]])",
    "dtype": f"return np.zeros((4, 4), [({NAME}, float)])",
    "length of a dtype": "return np.full((4, 4), 'x' * ord(text.string[0]))",
    "values": f"return np.full((4, 4), -float(sum(map(ord, {NAME}))))",
    "docstring": f"program.__doc__ = {NAME}\n    raise ValueError(program.__doc__)",
    "syntax of eval": f"return eval({NAME} + ' x')",
    "exit": f"raise SystemExit({NAME})",
    "line": "\n    ".join([f"if ord(text.string[0]) == {64 + i}: raise ValueError" for i in range(40)]),
}
# What stands for the program's own choice: numbers and words that came of the text.
TRACES = (SECRET, str(sum(map(ord, SECRET))), str(ord("z")), f"U{ord('T')}")


def run(source, layers):
    program = Program.parse(f"def program(text):\n    {source}\n")
    with Sandbox([TEXT], layers=layers) as sandbox:
        return program, sandbox.run(program)


@pytest.mark.parametrize(
    "layers", [Layers(), Layers(static=False), Layers(kernel=False)], ids=["all", "kernel", "static"]
)
@pytest.mark.parametrize("way", LEAKS)
def test_nothing_of_the_text_is_in_what_is_said_of_a_held_out_failure(way, layers):
    program, outcome = run(LEAKS[way], layers)
    assert not outcome.ok
    message, line = own_words(program, outcome)
    assert message
    assert not any(trace in message for trace in TRACES)
    assert line in (None, *([2] if outcome.failure is FailureKind.REJECTED else []))


def test_the_leaks_are_real_where_messages_may_quote():
    told = [run(LEAKS[way], Layers(static=False))[1].message for way in ("type's name", "exception's message", "shape")]
    assert SECRET in told[0]
    assert SECRET in told[1]
    assert str(ord("z")) in told[2]


def test_what_a_child_claims_is_not_believed():
    program = Program.parse("def program(text):\n    return text.same\n")
    for kind in FailureKind:
        if kind is not FailureKind.INTERNAL:
            message, line = own_words(program, Outcome(kind, f"{SECRET}: {SECRET}", line=42))
            assert SECRET not in message
            assert line is None
    assert own_words(program, Outcome(FailureKind.EXCEPTION, "KeyError: x")) == ("KeyError", None)


@pytest.mark.parametrize("name", BY_VALUE)
def test_evasions_by_value_are_refused_in_the_tree_or_as_they_run(name):
    try:
        program = Program.parse(BY_VALUE[name])
    except ProgramError:
        return
    with Sandbox([TEXT], layers=Layers(kernel=False)) as sandbox:
        assert sandbox.run(program).failure in (FailureKind.REJECTED, FailureKind.EXCEPTION)
