"""Evaluates plain programs on a whole sample at once, by walking their syntax tree; nothing of them is run.

Most programs are a few lines of elementwise arithmetic on the fields of `Text`. Those are understood here; anything
else raises `Unsupported` and has to go through the sandbox.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fitness.program import ENTRY, written_out
from fitness.scoring.plain import ELEMENTWISE
from fitness.text.view import fields
from operators.shared.fit_sample import FitSample

CACHED_ARRAYS = 96
# Programs beyond these are run, not taken apart: what operators do with one takes time by its size, squared.
MOST_LINES, MOST_PARTS = 32, 4_000

Axis = Literal["number", "key", "query", "pair"]


class Unsupported(Exception):  # noqa: N818 - a program of another style, not a mistake
    """The program does something that only the sandbox can do."""


@dataclass(frozen=True)
class Value:
    """An intermediate result.

    Attributes:
        array: a number, or (tokens,) values of keys or of queries, or (N,) values of pairs.
        axis: which of these.
        key: spelling of the expression it came from, or None where it holds a number that is being fitted.
    """

    array: Any
    axis: Axis
    key: str | None


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
    ast.Mod: np.remainder,
    ast.FloorDiv: np.floor_divide,
    ast.BitAnd: np.bitwise_and,
    ast.BitOr: np.bitwise_or,
    ast.BitXor: np.bitwise_xor,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: np.negative, ast.Invert: np.invert}


class Evaluator:
    """Evaluates programs on one sample, and remembers subexpressions.

    Args:
        sample: where to evaluate.
        other: an evaluator on the same sample that shares what it remembers.
    """

    def __init__(self, sample: FitSample, other: Evaluator | None = None) -> None:
        self.sample = sample
        self._remembered: OrderedDict[str, Value] = OrderedDict() if other is None else other._remembered
        self._shapes = {field.name: field.shape for field in fields()}

    def weights(self, tree: ast.Module) -> np.ndarray:
        """(N,) float32 weights of a program.

        Raises:
            Unsupported: where the program is more than assignments and elementwise arithmetic, fails, or returns what
                the contract does not accept.
        """
        function = entry_of(tree)
        names: dict[str, Value] = {}
        with np.errstate(all="ignore"):
            for statement in function.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    continue
                if isinstance(statement, ast.Return) and statement.value is not None:
                    return self._checked(self.value(statement.value, names))
                name, node = _assignment(statement)
                names[name] = self.value(node, names)
        raise Unsupported("returns nothing")

    def pattern(self, source: str) -> np.ndarray:
        """(N,) float32 values of one expression."""
        with np.errstate(all="ignore"):
            return self._flat(self.value(ast.parse(source, mode="eval").body, {})).astype(np.float32)

    def _checked(self, value: Value) -> np.ndarray:
        if value.axis in ("key", "query", "number"):
            raise Unsupported("the array is not (n, n)")
        weights = np.asarray(value.array)
        weights = weights if weights.dtype == np.float32 else weights.astype(np.float32)
        low = weights.min()
        if not (low >= 0 and np.isfinite(weights.max())):
            raise Unsupported("the array holds negative or infinite elements")
        return weights

    def value(self, node: ast.expr, names: dict[str, Value]) -> Value:
        """Evaluates one expression; `names` are the local variables."""
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, (bool, int, float)):
                raise Unsupported("a constant that is not a number")
            fitted = isinstance(node.value, float)
            return Value(node.value, "number", None if fitted else repr(node.value))
        if isinstance(node, ast.Name):
            if node.id not in names:
                raise Unsupported(f"the name {node.id}")
            return names[node.id]
        if isinstance(node, ast.Attribute):
            return self._field(node)
        if isinstance(node, ast.BinOp):
            function = _BINARY.get(type(node.op))
            if function is None:
                raise Unsupported("an operator")
            return self._apply(function, type(node.op).__name__, [node.left, node.right], names)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return self._apply(_UNARY[type(node.op)], type(node.op).__name__, [node.operand], names)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            operands = [node.left, node.comparators[0]]
            return self._apply(_COMPARE[type(node.ops[0])], type(node.ops[0]).__name__, operands, names)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, names)
        if isinstance(node, ast.Call):
            return self._call(node, names)
        raise Unsupported(type(node).__name__)

    def _field(self, node: ast.Attribute) -> Value:
        if not (isinstance(node.value, ast.Name) and node.value.id == "text" and node.attr in self._shapes):
            raise Unsupported(f"the attribute {node.attr}")
        pair = self._shapes[node.attr] == "(n, n)"
        load = self.sample.pair if pair else self.sample.token
        return self._remember(f"text.{node.attr}", lambda: load(node.attr), "pair" if pair else "key")

    def _subscript(self, node: ast.Subscript, names: dict[str, Value]) -> Value:
        value = self.value(node.value, names)
        index = ast.unparse(node.slice).strip("()")
        if value.axis == "key" and index == ":, None":
            found = Value(value.array, "query", value.key and f"{value.key}[:, None]")
            return self._noted("index", [value], found)
        if value.axis == "key" and index in ("None", "None, :"):
            return value
        raise Unsupported(f"the index [{index}]")

    def _call(self, node: ast.Call, names: dict[str, Value]) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute) and ast.unparse(node).endswith(".sum(axis=1, keepdims=True)"):
            return self._row_sum(self.value(function.value, names))
        if node.keywords or not isinstance(function, ast.Attribute):
            raise Unsupported("a call")
        if ast.unparse(function) == "text.latest" and len(node.args) == 1:
            return self._latest(self.value(node.args[0], names))
        if not (isinstance(function.value, ast.Name) and function.value.id == "np"):
            raise Unsupported("a method")
        if function.attr == "isin":
            return self._isin(node.args)
        if function.attr == "cumsum" and len(node.args) == 1:
            return self._cumsum(self.value(node.args[0], names))
        if function.attr == "tril" and len(node.args) == 1:
            return self._tril(self.value(node.args[0], names))
        if function.attr not in ELEMENTWISE:
            raise Unsupported(f"np.{function.attr}")
        return self._apply(getattr(np, function.attr), function.attr, node.args, names)

    def _isin(self, arguments: list[ast.expr]) -> Value:
        try:
            tokens, wanted = arguments
            if ast.unparse(tokens) != "text.tokens":
                raise Unsupported("isin of other things than tokens")
            listed = set(ast.literal_eval(wanted))
        except (ValueError, TypeError):
            raise Unsupported("isin of other things than a list") from None
        key = f"isin({sorted(map(repr, listed))})"
        return self._remember(key, lambda: np.array([token in listed for token in self.sample.tokens]), "key")

    def _cumsum(self, value: Value) -> Value:
        if value.axis != "key":
            raise Unsupported("cumsum of other things than values of tokens")
        total = np.cumsum(value.array)
        before = np.searchsorted(self.sample.token_text, self.sample.token_text)
        start = np.where(before > 0, total[before - 1], 0)
        return self._noted("cumsum", [value], Value(total - start, "key", value.key and f"cumsum({value.key})"))

    def _row_sum(self, value: Value) -> Value:
        if value.axis != "pair":
            raise Unsupported("a sum of rows of less than (n, n)")
        key = value.key and f"row_sum({value.key})"
        return self._noted("row_sum", [value], Value(self.sample.query_sums(value.array), "query", key))

    def _latest(self, value: Value) -> Value:
        if value.axis != "key" or value.key is None or np.asarray(value.array).dtype != bool:
            raise Unsupported("the latest of other things than tokens that are marked")
        place = np.arange(len(self.sample.tokens))
        begin = np.searchsorted(self.sample.token_text, self.sample.token_text)
        last = np.maximum.accumulate(np.where(value.array, place, -1))
        last = np.where(last >= begin, last, -1)
        return self._remember(f"latest({value.key})", lambda: last[self.sample.query] == self.sample.key, "pair")

    def _tril(self, value: Value) -> Value:
        if value.axis != "pair":
            raise Unsupported("tril of less than (n, n)")
        below = self.sample.key <= self.sample.query
        return self._noted("tril", [value], Value(value.array * below, "pair", value.key and f"tril({value.key})"))

    def _noted(self, name: str, operands: list[Value], result: Value) -> Value:
        """Called with every result of an operation on values; gives it back."""
        return result

    def _apply(self, function: Callable[..., Any], name: str, nodes: list[ast.expr], names: dict[str, Value]) -> Value:
        values = [self.value(node, names) for node in nodes]
        axes = {value.axis for value in values} - {"number"}
        axis: Axis = "number" if not axes else axes.pop() if len(axes) == 1 else "pair"
        keys = [value.key for value in values]
        if axis != "pair":
            key = None if None in keys else f"{name}({', '.join(map(str, keys))})"
            return self._noted(name, values, Value(_run(function, [value.array for value in values]), axis, key))
        if None in keys:
            found = Value(_run(function, [self._lifted(value) for value in values]), "pair", None)
            return self._noted(name, values, found)
        key = f"{name}({', '.join(map(str, keys))})"
        return self._remember(key, lambda: _run(function, [self._lifted(value) for value in values]), "pair")

    def _lifted(self, value: Value) -> Any:
        return value.array if value.axis in ("number", "pair") else self._flat(value)

    def _flat(self, value: Value) -> np.ndarray:
        if value.axis == "number":
            return np.full(len(self.sample.row), value.array)
        if value.axis == "pair":
            return value.array
        where = self.sample.key if value.axis == "key" else self.sample.query
        if value.key is None:
            return value.array[where]
        return self._remember(f"{value.axis} {value.key}", lambda: value.array[where], "pair").array

    def _remember(self, key: str, compute: Callable[[], Any], axis: Axis) -> Value:
        found = self._remembered.get(key)
        if found is None:
            found = self._remembered[key] = Value(compute(), axis, key)
            if len(self._remembered) > CACHED_ARRAYS:
                self._remembered.popitem(last=False)
        else:
            self._remembered.move_to_end(key)
        return found


def _run(function: Callable[..., Any], arrays: list[Any]) -> Any:
    try:
        result = function(*arrays)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise Unsupported(str(error)) from None
    if isinstance(result, np.ndarray) and result.dtype == np.float64:
        return result.astype(np.float32)
    return result.item() if isinstance(result, np.generic) else result


def entry_of(tree: ast.Module) -> ast.FunctionDef:
    """The function `program` of a module that holds nothing else but imports and a docstring.

    Raises:
        Unsupported: where it holds more.
    """
    functions = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == ENTRY and not node.decorator_list:
            functions.append(node)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            raise Unsupported("more than one function")
    if len(functions) != 1 or [argument.arg for argument in functions[0].args.args] != ["text"]:
        raise Unsupported("another signature")
    if len(functions[0].body) > MOST_LINES or written_out(functions[0])[0] > MOST_PARTS:
        raise Unsupported("too large to be taken apart")
    return functions[0]


def _assignment(statement: ast.stmt) -> tuple[str, ast.expr]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    elif isinstance(statement, ast.AugAssign):
        target = statement.target
        value = ast.BinOp(ast.Name(ast.unparse(target)), statement.op, statement.value)
    else:
        raise Unsupported(type(statement).__name__)
    if not isinstance(target, ast.Name) or target.id in ("text", "np"):
        raise Unsupported("an assignment to a part")
    return target.id, value
