"""Typed genetic programming over the fields of `Text`; DEAP's trees go no further than this file."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
from deap import gp

from fitness.scoring.fit_view import FitView
from operators.protocol import Proposal, Request
from operators.shared.docstrings import proposal
from operators.shared.field_types import is_condition
from operators.shared.fit_scoring import FitScorer, fit_scorer
from operators.shared.patterns import EVERYTHING, FADING, dictionary_of, query_side
from operators.shared.syntax_trees import append_line, expression, program_tree, spell, tree_of
from operators.shared.tree_evaluation import Unsupported, entry_of

OFFSPRING = 8
FRESH = 0.15
MAX_NODES = 36
GROWN_DEPTH = 3


class Kind(IntEnum):
    """Types of the trees. DEAP draws from sets of types, whose order is the same everywhere for numbers alone.

    Attributes:
        WEIGHTS: what a program returns, and its parts.
        MARK: a pattern that is true or false.
        NUMBER: a positive number.
        SHARE: a number between 0 and 1.
    """

    WEIGHTS = 0
    MARK = 1
    NUMBER = 2
    SHARE = 3


# Primitive -> (spelling, result, operands). A mark that stands as weights is multiplied before it is added to anything,
# for the sum of two truth values is a truth value.
PRIMITIVES: dict[str, tuple[str, Kind, list[Kind]]] = {
    "plus": ("{0} + {1} * {2}", Kind.WEIGHTS, [Kind.WEIGHTS, Kind.NUMBER, Kind.WEIGHTS]),
    "scaled": ("{0} * {1}", Kind.WEIGHTS, [Kind.NUMBER, Kind.WEIGHTS]),
    "favour": ("{0} * (1 + {1} * {2})", Kind.WEIGHTS, [Kind.WEIGHTS, Kind.NUMBER, Kind.MARK]),
    "play_down": ("{0} * (1 - {1} * {2})", Kind.WEIGHTS, [Kind.WEIGHTS, Kind.SHARE, Kind.MARK]),
    "keep": ("{0} * {1}", Kind.WEIGHTS, [Kind.WEIGHTS, Kind.MARK]),
    "shown": ("{0}", Kind.WEIGHTS, [Kind.MARK]),
    "both": ("({0} & {1})", Kind.MARK, [Kind.MARK, Kind.MARK]),
    "either": ("({0} | {1})", Kind.MARK, [Kind.MARK, Kind.MARK]),
}
LINES = frozenset({"plus", "favour", "play_down", "keep"})


class Genetic:
    """Proposes the best of a few offspring of the parents by DEAP's crossover and mutation, or fresh trees."""

    name = "genetic"
    n_parents = 2

    def propose(self, request: Request, view: FitView) -> list[Proposal]:
        """One program; nothing where no offspring runs."""
        scorer = fit_scorer(view)
        rng = np.random.default_rng(request.seed)
        grammar = Grammar(scorer, rng)
        parents = [tree for parent in request.parents if (tree := grammar.read(tree_of(parent.program))) is not None]
        # Offspring that only spells a parent anew, or scales it, scores exactly as the parent does.
        known = {scorer.plain_iou(grammar.write(parent), request.head) for parent in parents}
        best: tuple[float, ast.Module, str] | None = None
        with _private_random(request.seed):
            for _ in range(OFFSPRING):
                child, note = grammar.offspring(parents)
                if len(child) > MAX_NODES:
                    continue
                tree = grammar.write(child)
                iou = scorer.plain_iou(tree, request.head)
                if iou >= 0 and iou not in known and (best is None or iou > best[0]):
                    best = iou, tree, note
        return [proposal(best[1], best[2])] if best else []


class Grammar:
    """The typed set, a generator that never dead-ends, and the way from trees to programs and back.

    Args:
        scorer: knows the patterns that serve as terminals.
        rng: source of what the generator picks.
    """

    def __init__(self, scorer: FitScorer, rng: np.random.Generator) -> None:
        self._rng = rng
        self._primitives: dict[Kind, list[gp.Primitive]] = {}
        self._by_name: dict[str, gp.Primitive] = {}
        for name, (_, result, operands) in PRIMITIVES.items():
            primitive = gp.Primitive(name, operands, result)
            self._by_name[name] = primitive
            self._primitives.setdefault(result, []).append(primitive)
        dictionary = dictionary_of(scorer)
        self._fading = list(FADING)
        self._pairs = [source for source in dictionary.pair_sources if source not in (*FADING, EVERYTHING)]
        self._tokens = dictionary.token_sources

    def offspring(self, parents: list[gp.PrimitiveTree]) -> tuple[gp.PrimitiveTree, str]:
        """One child of the parents, and how it came about."""
        if not parents or self._rng.random() < FRESH:
            return self.grow(Kind.WEIGHTS, GROWN_DEPTH + 1), "fresh tree"
        child = gp.PrimitiveTree(parents[0])
        if len(parents) > 1 and self._rng.random() < 0.5:
            return gp.cxOnePoint(child, gp.PrimitiveTree(parents[1]))[0], "crossover"
        if len(child) > 4 and self._rng.random() < 0.2:
            return gp.mutShrink(child)[0], "shrunk"
        # The set is the generator's business; DEAP only hands it through.
        return gp.mutUniform(child, lambda pset, type_: self.grow(type_, GROWN_DEPTH - 1), None)[0], "new subtree"

    def grow(self, type_: Kind, depth: int) -> gp.PrimitiveTree:
        """A random tree of a type; where no primitive gives the type, or none is left to go deep, a terminal."""
        primitives = self._primitives.get(type_, [])
        if depth <= 0 or not primitives or self._rng.random() < 0.25:
            return gp.PrimitiveTree([self._terminal(type_)])
        primitive = primitives[int(self._rng.integers(len(primitives)))]
        tree = [primitive]
        for operand in primitive.args:
            tree.extend(self.grow(operand, depth - 1))
        return gp.PrimitiveTree(tree)

    def _terminal(self, type_: Kind) -> gp.Terminal:
        rng = self._rng
        if type_ is Kind.NUMBER:
            return _leaf(spell(float(np.exp(rng.normal(0, 1)))), Kind.NUMBER)
        if type_ is Kind.SHARE:
            return _leaf(spell(float(rng.uniform(0.2, 0.95))), Kind.SHARE)
        if type_ is Kind.WEIGHTS:
            return _leaf(_bracketed(self._fading[int(rng.integers(len(self._fading)))]), Kind.WEIGHTS)
        kind = rng.random()
        sources = self._pairs if kind < 0.4 else self._tokens
        source = sources[int(rng.integers(len(sources)))]
        return _leaf(_bracketed(query_side(source) if kind > 0.75 else source), Kind.MARK)

    def write(self, tree: gp.PrimitiveTree) -> ast.Module:
        """The program that a tree stands for: the outermost operations are lines of their own."""
        return self._lines(_nested(tree))

    def _lines(self, node: _Nested) -> ast.Module:
        if node.name not in LINES:
            return program_tree(_strip(node.inline()))
        spelling = PRIMITIVES[node.name][0].removeprefix("{0} ")
        operation = spelling.format("", *(operand.inline() for operand in node.operands[1:]))
        return append_line(self._lines(node.operands[0]), operation)

    def read(self, tree: ast.Module) -> gp.PrimitiveTree | None:
        """The tree of a program, or None where the grammar has no words for it."""
        names: dict[str, list[gp.Primitive | gp.Terminal]] = {}
        try:
            for statement in entry_of(tree).body:
                if isinstance(statement, ast.Return) and statement.value is not None:
                    return gp.PrimitiveTree(self._weights(statement.value, names))
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    names[statement.targets[0].id] = self._weights(statement.value, names)
                elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                    return None
        except Unsupported:
            return None
        return None

    def _weights(
        self, node: ast.expr, names: dict[str, list[gp.Primitive | gp.Terminal]]
    ) -> list[gp.Primitive | gp.Terminal]:
        by_name = self._by_name
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        if is_condition(node):
            return [by_name["shown"], *self._mark(node)]
        if ast.unparse(node).startswith(("np.exp(-np.abs(text.distance)", "(1 + np.abs(text.distance)) **")):
            return [_leaf(_bracketed(ast.unparse(node)), Kind.WEIGHTS)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            added = self._weights(node.right, names)
            if added[0] is by_name["scaled"]:
                return [by_name["plus"], *self._weights(node.left, names), *added[1:]]
            return [by_name["plus"], *self._weights(node.left, names), _leaf("1.0", Kind.NUMBER), *added]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            if _number(node.left) is not None:
                return [
                    by_name["scaled"],
                    _leaf(spell(_number(node.left) or 0), Kind.NUMBER),
                    *self._weights(node.right, names),
                ]
            if is_condition(node.right):
                return [by_name["keep"], *self._weights(node.left, names), *self._mark(node.right)]
            return [*self._change(node.right, self._weights(node.left, names))]
        raise Unsupported(type(node).__name__)

    def _change(self, factor: ast.expr, weights: list[gp.Primitive | gp.Terminal]) -> list[gp.Primitive | gp.Terminal]:
        """A factor `1 + c * mark` or `1 - c * mark` on weights."""
        if isinstance(factor, ast.BinOp) and isinstance(factor.op, (ast.Add, ast.Sub)) and _number(factor.left) == 1:
            term = factor.right
            if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult):
                number = _number(term.left)
                less = isinstance(factor.op, ast.Sub)
                if number is not None and is_condition(term.right) and not (less and number > 1):
                    leaf = _leaf(spell(number), Kind.SHARE if less else Kind.NUMBER)
                    return [self._by_name["play_down" if less else "favour"], *weights, leaf, *self._mark(term.right)]
        raise Unsupported("a factor")

    def _mark(self, node: ast.expr) -> list[gp.Primitive | gp.Terminal]:
        if isinstance(node, ast.BinOp) and "cumsum" not in ast.unparse(node):
            name = "both" if isinstance(node.op, ast.BitAnd) else "either"
            return [self._by_name[name], *self._mark(node.left), *self._mark(node.right)]
        return [_leaf(_bracketed(ast.unparse(node)), Kind.MARK)]


class _Nested:
    """A tree by its branches, for printing."""

    def __init__(self, name: str, operands: list[_Nested]) -> None:
        self.name = name
        self.operands = operands

    def inline(self) -> str:
        """Source of one expression, in brackets where it is a sum or a product."""
        if self.name not in PRIMITIVES:
            return self.name
        source = PRIMITIVES[self.name][0].format(*(operand.inline() for operand in self.operands))
        return f"({source})" if PRIMITIVES[self.name][1] is Kind.WEIGHTS and self.name != "shown" else source


def _nested(tree: gp.PrimitiveTree) -> _Nested:
    nodes = iter(tree)

    def build() -> _Nested:
        node = next(nodes)
        return _Nested(node.name, [build() for _ in range(node.arity)])

    return build()


def _leaf(source: str, type_: Kind) -> gp.Terminal:
    return gp.Terminal(source, True, type_)


def _bracketed(source: str) -> str:
    return source if isinstance(expression(source), (ast.Attribute, ast.Subscript, ast.Call)) else f"({source})"


def _strip(source: str) -> str:
    return ast.unparse(expression(source))


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return float(node.value)
    return None


@contextmanager
def _private_random(seed: tuple[int, ...]) -> Iterator[None]:
    """Seeds the global generator that DEAP draws from, and puts back the state that it had."""
    state = random.getstate()
    random.seed(repr(seed))
    try:
        yield
    finally:
        random.setstate(state)
