"""Whether two programs give the same weights to the last bit: one as it was scored, one as it is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

import fitness.demo
from fitness.program import Program
from fitness.sandbox import Limits, Mode, Outcome, Sandbox
from fitness.text.view import Text

TEXTS, TOKENS = 8, 64
# Two programs are run at a time on texts that are few; the machine may be busy.
_LIMITS = Limits(cpu_seconds=10)


def agree(pairs: Sequence[tuple[Program, Program]], *, mode: Mode = "strict") -> list[bool]:
    """For each pair, whether both run on the bundled stories and give the same weights.

    Raises:
        SandboxUnavailable: where programs cannot be run as asked.
    """
    if not pairs:
        return []
    with Sandbox(_texts(), mode=mode, limits=_LIMITS) as sandbox:
        return [same_weights(sandbox.run(one), sandbox.run(other)) for one, other in pairs]


def same_weights(first: Outcome, second: Outcome) -> bool:
    """Whether two runs on the same texts went well and gave the same weights, to the last bit."""
    return first.ok and second.ok and all(map(np.array_equal, first.weights, second.weights))


@lru_cache(maxsize=1)
def _texts() -> tuple[Text, ...]:
    stories = Path(fitness.demo.__file__).with_name("stories.txt").read_text(encoding="utf-8").split("\n\n")
    # Words with the marks behind them apart, as tokenizers have them; lengths differ.
    words = [story.replace(".", " .").replace(",", " ,").replace('"', ' " ').split() for story in stories[:TEXTS]]
    return tuple(
        Text(
            [word if i == 0 or not word.isalnum() else f" {word}" for i, word in enumerate(each[: TOKENS - 5 * place])]
        )
        for place, each in enumerate(words)
    )
