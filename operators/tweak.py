"""Edits the syntax tree of a program at random, so that any program can be varied, whoever wrote it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from fitness.program import Program
from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.field_types import FIELD_TYPES, is_condition, is_field
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.patterns import FADING, dictionary_of, query_side
from operators.shared.price import price
from operators.shared.syntax_trees import (
    append_line,
    can_append,
    changing_lines,
    copy_of,
    drop_idle_lines,
    expression,
    lines_of,
    places_of,
    rounded,
    step_source,
    to_source,
    tree_of,
)

VARIANTS = 6
MAX_EDITS = 2
TRIES = 8
MAX_LINES = 8
COMPARISONS = (ast.Eq, ast.LtE, ast.GtE, ast.Lt, ast.Gt)

T = TypeVar("T")
Edit = Callable[[ast.Module, np.random.Generator], "ast.Module | None"]


class Tweak:
    """Proposes the best of a few random variants of the first parent; the second one lends parts to some of them."""

    name = "tweak"
    n_parents = 2

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """One program; nothing where no variant differs from the parent."""
        if not request.parents:
            return []
        rng = np.random.default_rng(request.seed)
        scorer = fit_scorer(view)
        parents = [tree_of(parent.program) for parent in request.parents]
        edits = Edits(scorer, parents[1] if len(parents) > 1 else None).all()
        plain = scorer.is_plain(parents[0])
        before = request.parents[0].program.normalised
        parent_iou = scorer.plain_iou(parents[0], request.head) if plain else -1.0
        best: tuple[float, ast.Module, str] | None = None
        for _ in range(VARIANTS if plain else TRIES):
            tree, names = _varied(parents[0], edits, rng)
            if not names or Program.parse(to_source(tree)).normalised == before:
                continue
            if not plain:
                # Trying these takes the sandbox; the campaign does that anyhow.
                best = 0.0, tree, ", ".join(names)
                break
            iou = scorer.plain_iou(tree, request.head)
            # A variant that scores exactly as its parent predicts the same.
            if iou < 0 or iou == parent_iou:
                continue
            worth = iou - price(tree)
            if best is None or worth > best[0]:
                best = worth, tree, ", ".join(names)
        if best is None:
            return []
        return [proposal(best[1], best[2])]


def _varied(parent: ast.Module, edits: dict[str, Edit], rng: np.random.Generator) -> tuple[ast.Module, list[str]]:
    tree = copy_of(parent)
    names: list[str] = []
    wanted = int(rng.integers(1, MAX_EDITS + 1))
    for _ in range(TRIES):
        if len(names) == wanted:
            break
        name = str(rng.choice(sorted(edits)))
        changed = edits[name](tree, rng)
        if changed is not None:
            tree = drop_idle_lines(changed)
            names.append(name)
    return tree, names


class Edits:
    """The edits there are; each changes the tree that it is given, or makes a new one, or finds nothing to change.

    Args:
        scorer: knows patterns to add and tokens to list.
        other: a second program that lends parts.
    """

    def __init__(self, scorer: FitScorer, other: ast.Module | None) -> None:
        self._dictionary = dictionary_of(scorer)
        self._conditions = [source for source in self._dictionary.pair_sources[1:] if source not in FADING]
        self._other = other

    def all(self) -> dict[str, Edit]:
        """Name -> edit."""
        edits: dict[str, Edit] = {
            "another field": self.swap_field,
            "another number": self.change_number,
            "another comparison": self.change_comparison,
            "a part less": self.remove_part,
            "a condition more": self.add_condition,
            "a part twice": self.double_part,
            "a line more": self.add_line,
            "another word": self.change_words,
        }
        if self._other is not None:
            edits["a part of the other"] = self.splice_part
            edits["a line of the other"] = self.splice_line
        return edits

    def swap_field(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Replaces a field by another of the same shape and type."""
        places = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_field(node)]
        if not places:
            return None
        node = _pick(places, rng)
        field_type = FIELD_TYPES[node.attr]
        others = [name for name, found in FIELD_TYPES.items() if found == field_type and name != node.attr]
        if not others:
            return None
        node.attr = _pick(others, rng)
        return tree

    def change_number(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Scales a float, or moves an integer by one or two."""
        places = _numbers(tree)
        if not places:
            return None
        node = _pick(places, rng)
        if isinstance(node.value, float):
            node.value = rounded(node.value * float(np.exp(rng.normal(0, 0.6))))
        else:
            node.value = max(0, int(node.value) + _pick((-2, -1, 1, 2), rng))  # type: ignore[arg-type]
        return tree

    def change_comparison(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Replaces one comparison operator by another."""
        places = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS]
        if not places:
            return None
        node = _pick(places, rng)
        node.ops[0] = _pick([kind for kind in COMPARISONS if not isinstance(node.ops[0], kind)], rng)()
        return tree

    def remove_part(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Keeps one side of a sum, product or condition."""
        places = [place for place in places_of(tree) if isinstance(place.node, ast.BinOp)]
        if not places:
            return None
        place = _pick(places, rng)
        node = place.node
        assert isinstance(node, ast.BinOp)
        sides = [side for side in (node.left, node.right) if not isinstance(side, ast.Constant)]
        if not sides or not isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)):
            return None
        place.put(sides[0] if isinstance(node.op, ast.Sub) else _pick(sides, rng))
        return tree

    def add_condition(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Narrows a pattern to some keys, pairs or queries."""
        places = [place for place in places_of(tree) if is_condition(place.node)]
        if not places:
            return None
        place = _pick(places, rng)
        place.put(ast.BinOp(place.node, ast.BitAnd(), self._pattern(rng)))
        return tree

    def double_part(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Repeats a term of a sum, with another field."""
        places = [place for place in places_of(tree) if isinstance(place.node, ast.BinOp) and _is_term(place.node)]
        if not places:
            return None
        place = _pick(places, rng)
        again = copy_of(place.node)
        if self.swap_field(ast.Module([ast.Expr(again)], []), rng) is None:
            return None
        place.put(ast.BinOp(place.node, ast.Add(), again))
        return tree

    def add_line(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Adds a random pattern to the weights, or multiplies them by it."""
        coefficient = rounded(float(np.exp(rng.normal(0, 1))))
        times = bool(rng.random() < 0.6)
        if times and rng.random() < 0.3:
            coefficient = -min(0.9, coefficient)
        pattern = ast.unparse(self._pattern(rng))
        return _appended(tree, step_source(pattern, coefficient, times=times))

    def change_words(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Adds a token to a list of tokens, or takes one out."""
        places = [node for node in ast.walk(tree) if isinstance(node, ast.List) and _holds_strings(node)]
        if not places:
            return None
        node = _pick(places, rng)
        if len(node.elts) > 1 and rng.random() < 0.5:
            del node.elts[int(rng.integers(len(node.elts)))]
        else:
            listed = {element.value for element in node.elts if isinstance(element, ast.Constant)}
            word = _pick(self._dictionary.spellings, rng)
            if word in listed:
                return None
            node.elts.append(ast.Constant(word))
        return tree

    def splice_part(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Puts a condition of the other program in the place of one of this."""
        assert self._other is not None
        places = [place for place in places_of(tree) if is_condition(place.node)]
        offered = [place.node for place in places_of(self._other) if is_condition(place.node)]
        if not places or not offered:
            return None
        _pick(places, rng).put(copy_of(_pick(offered, rng)))
        return tree

    def splice_line(self, tree: ast.Module, rng: np.random.Generator) -> ast.Module | None:
        """Appends a line of the other program."""
        assert self._other is not None
        offered = lines_of(self._other)
        return _appended(tree, _pick(offered, rng)) if offered else None

    def _pattern(self, rng: np.random.Generator) -> ast.expr:
        choice = rng.random()
        if choice < 0.4:
            return expression(_pick(self._conditions, rng))
        token = _pick(self._dictionary.token_sources, rng)
        return expression(token if choice < 0.7 else query_side(token))


def _is_term(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant)


def _holds_strings(node: ast.List) -> bool:
    return bool(node.elts) and all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in node.elts)


def _numbers(tree: ast.Module) -> list[ast.Constant]:
    """Numbers that are quantities or are compared with, not indices or the 1 of `1 + c * pattern`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.Compare)):
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) else node.comparators
            found += [side for side in sides if isinstance(side, ast.Constant) and type(side.value) in (int, float)]
    return [number for number in found if number.value != 1 or isinstance(number.value, float)]


def _appended(tree: ast.Module, operation: str) -> ast.Module | None:
    if len(changing_lines(tree)) >= MAX_LINES or not can_append(tree):
        return None
    return append_line(tree, operation)


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
