"""Short Python programs that say what the attention heads of a language model do.

A campaign searches for programs. Each sees a text, predicts a head's whole attention matrix on it, and is as good as
the two agree (IoU). What was found is reduced to a library: few programs, and which of them explains which head.

    import headscribe as hs

    run = hs.run("quickstart", stop={"max_programs": 300})     # a preset or a file, and settings to change in it
    run.library["L2H1"].program                                 # the source of the program for layer 2, head 1
    run.attention["L2H1", 0]                                    # what the head does on the first text, (n, n)
    run.show("L2H1")                                            # both side by side, on a page to point at

`run` begins a campaign or resumes it, silently and in any thread; `open_run` looks at one, also while it is running.
`show_attention` shows any matrix with its tokens; what is shown is a page in a notebook, and `figure()` of it a figure.
`load_library` reads a library that somebody shared as data, and imports nothing of it.
`score` scores a program on a model's heads without a campaign, `reduce` makes a library of score tables or of several
runs, and within `replaced` a model runs with programs in the place of its heads. `Program` is the source of one
program, `Text` what it sees, `Proposal` what an operator of one's own answers. What a user must change is a
`UserError`, whose message says what would be right; a program that fails is a `ProgramError`.

The task and the score are those of Hayes, Li and Andreas (2026, arXiv 2606.19317); the archive follows MAP-Elites
(Mouret and Clune 2015, arXiv 1504.04909). The pages docs/api.md and docs/extending.md show more.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitness.errors import UserError
    from fitness.program import Program, ProgramError
    from fitness.text.view import Text
    from headscribe.library import Library, reduce
    from headscribe.replacing import replaced
    from headscribe.running import open_run, run
    from headscribe.runs import Run
    from headscribe.scores import Scores, score
    from headscribe.sharing import load_library
    from headscribe.shown import show_attention
    from operators.protocol import Proposal

__all__ = [
    "Library",
    "Program",
    "ProgramError",
    "Proposal",
    "Run",
    "Scores",
    "Text",
    "UserError",
    "load_library",
    "open_run",
    "reduce",
    "replaced",
    "run",
    "score",
    "show_attention",
]

# Where each name is defined; imported when it is first asked for, so that importing headscribe costs nothing.
_HOMES = {
    "Library": "headscribe.library",
    "Program": "fitness.program",
    "ProgramError": "fitness.program",
    "Proposal": "operators.protocol",
    "Run": "headscribe.runs",
    "Scores": "headscribe.scores",
    "Text": "fitness.text.view",
    "UserError": "fitness.errors",
    "load_library": "headscribe.sharing",
    "open_run": "headscribe.running",
    "reduce": "headscribe.library",
    "replaced": "headscribe.replacing",
    "run": "headscribe.running",
    "score": "headscribe.scores",
    "show_attention": "headscribe.shown",
}

# Silent unless the application wants to hear of warnings.
logging.getLogger("headscribe").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headscribe' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
