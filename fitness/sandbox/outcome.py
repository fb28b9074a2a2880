"""What running a program can give, and the limits it runs under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fitness.failures import FailureKind

Mode = Literal["strict", "degraded"]
# What the mode "degraded" promises nothing of; said wherever programs run or ran in it.
NOT_STOPPED = (
    "a program that gets past the static check can read, change and delete every file of the user who runs it, and "
    "reach the network"
)

# How a child can say that it ended; the order is the wire format: it names one by the index in this tuple.
CHILD_ENDS: tuple[FailureKind | None, ...] = (
    None,
    FailureKind.REJECTED,
    FailureKind.SYNTAX,
    FailureKind.EXCEPTION,
    FailureKind.BAD_SHAPE,
    FailureKind.BAD_VALUES,
    FailureKind.MEMORY,
    FailureKind.EARLY_EXIT,
)


class SandboxUnavailable(RuntimeError):  # noqa: N818 - says what is the case, not what the caller did wrong
    """Programs cannot be confined here as asked; the message says what can be done."""


@dataclass(frozen=True)
class Limits:
    """What one run of a program may use, over all texts it is asked for.

    Attributes:
        cpu_seconds: CPU time, system calls included.
        memory_mb: address space beyond that of the process it is forked from, in 2^20 bytes.

    Raises:
        ValueError: unless both are positive.
    """

    cpu_seconds: float = 2.0
    memory_mb: int = 512

    def __post_init__(self) -> None:
        if not (self.cpu_seconds > 0 and self.memory_mb > 0):
            raise ValueError(f"limits must be positive: {self.cpu_seconds} s CPU, {self.memory_mb} MB")

    @property
    def wall_seconds(self) -> float:
        """When a run is ended whatever CPU time it had: far off, so that a busy machine changes no result."""
        return 20 * self.cpu_seconds + 10


@dataclass(frozen=True)
class Layers:
    """Which layers hold a program; all of them, unless a test asks what each is worth alone.

    Attributes:
        static: the check of the syntax tree and the stand-ins for modules and builtins.
        kernel: seccomp, Landlock, no capabilities (strict mode only; limits and closed descriptors hold always).
    """

    static: bool = True
    kernel: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a run gave; a program's failure is a value.

    Attributes:
        failure: how it failed, or None.
        message: one printable line, at most 400 characters, empty where ok. It holds text of the program's choosing:
            data, never instructions or markup.
        line: 1-based line of the program, where known.
        text: index of the text it failed on, where known.
        weights: one (n, n) float64 array per text asked for, checked. Empty unless ok.
        cpu_seconds: CPU time of the child, its setting up included.
    """

    failure: FailureKind | None = None
    message: str = ""
    line: int | None = None
    text: int | None = None
    weights: tuple[np.ndarray, ...] = ()
    cpu_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every text has its weights."""
        return self.failure is None

    @property
    def kind(self) -> str:
        """The failure by name, "ok" where there is none."""
        return str(self.failure or "ok")
