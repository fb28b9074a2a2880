"""What is said of a failure on texts that operators must not read: our own words, and nothing that a program chose."""

from __future__ import annotations

import builtins

from fitness.failures import FailureKind
from fitness.program import Program, ProgramError
from fitness.sandbox import Outcome
from fitness.sandbox.static_check import check_source

_EXCEPTIONS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
}
_WORDS = {
    FailureKind.EXCEPTION: "raised an exception on a text",
    FailureKind.BAD_SHAPE: "returned something else than an array of shape (n, n)",
    FailureKind.BAD_VALUES: "returned elements that are not real numbers, not finite, or negative",
    FailureKind.MEMORY: "more memory than allowed",
    FailureKind.TIMEOUT: "more time than allowed",
    FailureKind.CRASH: "ended by a signal",
    FailureKind.EARLY_EXIT: "ended without a result",
    FailureKind.REJECTED: "uses what programs cannot have, as running it shows",
    FailureKind.SYNTAX: "cannot be compiled",
}


def own_words(program: Program, outcome: Outcome) -> tuple[str, int | None]:
    """A message, and a line of the program or None, for a run that failed.

    Whatever a process said in which a program has run may carry words of the text, in the name of a type, a shape, a
    line. What is known of the source alone is found out again here; else there is the kind of the failure and, where it
    is one of Python's own, the name of the exception.
    """
    if outcome.failure is None or outcome.failure is FailureKind.INTERNAL:
        return outcome.message, None
    if outcome.failure in (FailureKind.REJECTED, FailureKind.SYNTAX):
        try:
            check_source(program.source)
        except ProgramError as error:
            return str(error), error.line
    name = outcome.message.partition(":")[0]
    if outcome.failure is FailureKind.EXCEPTION and name in _EXCEPTIONS:
        return name, None
    return _WORDS.get(outcome.failure, str(outcome.failure)), None
