"""Every way in which a program, a reply or a call can fail, in one vocabulary; standard library alone.

A failure is a value. It is named here, stored under its name, and this file says what may be done with it: whether an
operator can be asked to mend it, and what a prompt may say of it.
"""

from __future__ import annotations

import builtins
from enum import StrEnum

# Names that every Python knows say nothing about the text that a program met.
_EXCEPTIONS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)


class FailureKind(StrEnum):
    """A kind of failure; its value is what the database, JSON and prompts call it.

    Attributes:
        repairable: whether an operator may be asked to mend what failed so.
        quotable: whether its message depends on the source and on limits alone. Other messages may carry words of the
            text that a program failed on, by a type's name or a shape, and a prompt must not show them.

    Example:
        >>> FailureKind("bad shape").quotable
        False
    """

    repairable: bool
    quotable: bool

    def __new__(cls, value: str, repairable: bool = False, quotable: bool = False) -> FailureKind:
        """A member with its two answers."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.repairable = repairable
        member.quotable = quotable
        return member

    # Of programs: what the parser, the static check and the sandbox say.
    SYNTAX = "syntax", True, True  # does not parse, or not compile
    REJECTED = "rejected", True, True  # uses what programs cannot have
    EXCEPTION = "exception", True
    BAD_SHAPE = "bad shape", True
    BAD_VALUES = "bad values", True
    MEMORY = "memory", True, True
    TIMEOUT = "timeout", True, True
    EARLY_EXIT = "early exit", True
    CRASH = "crash"  # ended by a signal
    IMPURE = "impure", True, True  # gave other weights for the same text
    DEGENERATE = "degenerate", True, True  # ran, and says nothing

    # Of replies in which no program was found.
    TOO_LONG = "too long", False, True
    CUT_OFF = "cut off", False, True
    EMPTY = "empty", False, True
    REFUSAL = "refusal", False, True
    NO_PROGRAM = "no program", False, True  # code that defines none
    NO_CODE = "no code", False, True
    ECHO = "echo", False, True  # the prompt, or a program of it, said again

    # Of calls that came to nothing; their messages are an endpoint's.
    CALL_TIMEOUT = "call timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server error"
    RATE_LIMIT = "rate limit"
    BAD_REPLY = "bad reply"
    BAD_REQUEST = "bad request"
    REFUSED_KEY = "refused key"
    STOPPED = "stopped"
    BUDGET_SPENT = "budget spent"
    ENDPOINT_DOWN = "endpoint down"

    NONE = "none"  # the operator had nothing to propose
    INTERNAL = "internal error"  # of headscribe itself: the program may be fine

    @classmethod
    def _missing_(cls, value: object) -> FailureKind | None:
        return cls.INTERNAL if value == "ours" else None  # as earlier databases call it

    def told(self, message: str) -> str:
        """What a prompt may say of a failure of this kind that was met on texts other than those of the fit split.

        Args:
            message: what went wrong; for exceptions it begins with the name of the type.

        Returns:
            The message where it is quotable, the name of a built-in exception, or nothing.
        """
        if self.quotable:
            return message
        name = message.partition(":")[0]
        return name if self is FailureKind.EXCEPTION and name in _EXCEPTIONS else ""
