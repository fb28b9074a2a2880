"""Whether a program's weights depend on the text alone: run again elsewhere, they are the same to the last bit.

A second server holds the same texts with others before them. It lays out memory in another way in every run, and fills
what is not written, so that addresses and what was in memory before show in the weights of whoever reads them.
"""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from fitness.failures import FailureKind
from fitness.program import Program, parse_tree
from fitness.sandbox import Limits, Mode, Sandbox
from fitness.scoring.plain import is_plain
from fitness.text.view import Text

# Texts of a split on which a program is run again. The last of them comes first, with none before it, as alone.
SAMPLED = 4
IMPURE = (
    "gave other weights for the same text when run again: weights must follow from the text alone, not from addresses "
    "(sets of functions, str of objects), memory never written, or earlier texts"
)
# Names of what can show where things lie in memory: text made of objects, and sets, whose order may follow from it.
_SHOWING = frozenset("str repr ascii format set frozenset str_ bytes_ unicode_ keys items tobytes".split())
_TEXT_DTYPE = re.compile(r"[<>=|]?[USa]\d*|str_?|bytes_?|unicode_?")
_BEFORE = Text(["An", " other", " text", " of", " seven", " tokens", "."])


def sample(program: Program, texts: int, count: int = SAMPLED) -> list[int]:
    """Which of so many texts a program is run on again; the same on any machine.

    None for a program that is pure by construction (`fitness.scoring.plain`); all of them for one that has the means to
    show an address, as whether it does may hang on the text.
    """
    if is_plain(program.source):
        return []
    if may_show_addresses(program.source):
        return list(range(texts))
    rng = np.random.default_rng(int(program.id, 16))
    return sorted(int(index) for index in rng.permutation(texts)[:count])


def may_show_addresses(source: str) -> bool:
    """Whether a program has the means to read where things lie in memory: strings of objects, sets, errors' words."""
    return any(map(_shows, ast.walk(parse_tree(source))))


def _shows(node: ast.AST) -> bool:
    if isinstance(node, ast.Set):
        return not all(isinstance(element, ast.Constant) for element in node.elts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return not isinstance(node.right, ast.Constant) or isinstance(node.left, ast.Constant)
    if isinstance(node, ast.Name):
        return node.id in _SHOWING
    if isinstance(node, ast.Attribute):
        return node.attr in _SHOWING
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_TEXT_DTYPE.fullmatch(node.value))
    return isinstance(node, (ast.JoinedStr, ast.SetComp)) or (isinstance(node, ast.ExceptHandler) and bool(node.name))


def marks(weights: Sequence[np.ndarray], wanted: Sequence[int]) -> dict[int, int]:
    """Text -> checksum of its weights, of some texts."""
    return {index: zlib.crc32(np.ascontiguousarray(weights[index]).data) for index in wanted}


class SecondServer:
    """Runs programs a second time.

    Args:
        texts: of one split.
        mode: as the first server's.
        limits: of one run.
    """

    def __init__(self, texts: Sequence[Text], *, mode: Mode, limits: Limits) -> None:
        # Backwards, and after a text of our own: neither place nor neighbour is the same as in the first server.
        self._sandbox = Sandbox([_BEFORE, *reversed(texts)], mode=mode, limits=limits, shuffled=True)
        self._texts = len(texts)

    @property
    def server_pid(self) -> int:
        """Process id of its fork server."""
        return self._sandbox.server_pid

    def repeats(self, program: Program, seen: Mapping[int, int]) -> bool:
        """Whether a program gives the weights of these marks again, by text, in another order."""
        wanted = sorted(seen, reverse=True)
        outcome = self._sandbox.run(program, [self._texts - index for index in wanted])
        if not outcome.ok:
            # An internal error says nothing about the program.
            return outcome.failure is FailureKind.INTERNAL
        found = marks(outcome.weights, range(len(wanted)))
        return all(found[place] == seen[index] for place, index in enumerate(wanted))

    def close(self) -> None:
        """Ends the server."""
        self._sandbox.close()
