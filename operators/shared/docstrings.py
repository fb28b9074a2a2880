"""Says in words what a program does, where it is a chain of patterns that are added and multiplied."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fitness.program import Program
from operators.protocol import Proposal
from operators.shared.log_linear import ALWAYS, Term, read
from operators.shared.syntax_trees import expression, to_source
from operators.shared.tree_evaluation import Unsupported, entry_of

SHOWN_TOKENS = 5
# Parts of a sum that are told, at most.
TOLD = 3

# Field -> what the tokens are called of which it speaks. Other fields are called by their names.
NOUNS = {
    "is_first": "the first token",
    "starts_word": "beginnings of words",
    "is_special": "special tokens",
    "is_punctuation": "punctuation",
    "is_sentence_end": "sentence ends",
    "is_comma": "commas",
    "is_quote": "quotation marks",
    "is_newline": "line breaks",
    "is_capitalised": "capitalised tokens",
    "is_name": "names",
    "is_number": "numbers",
    "is_function_word": "function words",
    "is_pronoun": "pronouns",
    "is_article": "articles",
    "is_preposition": "prepositions",
    "is_conjunction": "conjunctions",
    "is_auxiliary": "auxiliary verbs",
    "is_blank": "white space",
    "is_operator": "operators",
    "is_letter": "single letters",
    "is_content_word": "content words",
    "has_space": "tokens after a space",
    "follows_function_word": "tokens after function words",
    "starts_line": "beginnings of lines",
    "opens_bracket": "opening brackets",
    "closes_bracket": "closing brackets",
}
# Field of pairs -> which tokens it picks, as seen from the query.
RELATIONS = {
    "same_word": "in its own word",
    "same_sentence": "in its own sentence",
    "same": "equal to it",
    "same_letters": "spelt like it",
    "after_same": "that followed an equal token",
    "before_same": "that preceded an equal token",
    "same_previous": "with an equal predecessor",
    "same_line": "in its own line",
    "same_beginning": "that begin like it",
    "encloses": "that open the bracket around it",
}
# Expression that grows -> what it means to favour it, and to play it down.
GRADES = {
    "text.log_distance": ("what is far back", "what is near"),
    "np.sqrt(np.abs(text.distance))": ("what is far back", "what is near"),
    "np.log1p(np.abs(text.word_distance))": ("words far back", "words near by"),
    "text.log_position": ("later tokens", "earlier tokens"),
    "np.sqrt(text.length)": ("long tokens", "short tokens"),
    "np.log1p(text.occurrence)": ("tokens seen before", "tokens not seen before"),
}
QUERY_GRADES = {
    "text.log_position": ("late", "early"),
    "np.sqrt(text.length)": ("long", "short"),
    "np.log1p(text.occurrence)": ("repeated", "new"),
}
UNITS = {"distance": "token", "word_distance": "word", "sentence_distance": "sentence"}
# Field that counts from 0 -> what a token at 0 is.
STARTS = {
    "position": "the first token",
    "position_in_sentence": "beginnings of sentences",
    "position_in_word": "beginnings of words",
    "occurrence": "tokens not seen before",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "",
    ast.NotEq: "other than ",
    ast.Lt: "under ",
    ast.LtE: "up to ",
    ast.Gt: "over ",
    ast.GtE: "from ",
}


def proposal(tree: ast.Module, note: str) -> Proposal:
    """The program of a syntax tree, with a docstring that says what it does."""
    return Proposal(Program.parse(to_source(tree, described(tree))), note)


def described(tree: ast.Module) -> str | None:
    """A sentence on what a program does, or None where it is written in another style."""
    try:
        function = entry_of(tree)
    except Unsupported:
        return None
    terms = read(tree)
    if terms:
        return _told(terms)
    names: dict[str, list[str]] = {}
    for statement in function.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Return) and statement.value is not None:
            return _sentence(_chain(statement.value, names))
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            return None
        names[statement.targets[0].id] = _chain(statement.value, names)
    return None


def _told(terms: Sequence[Term]) -> str:
    """A sentence on the largest parts of an exponential of terms, which come first."""
    liked: list[str] = []
    disliked: list[str] = []
    rests = [term.source for term in terms if term.sink and term.source != ALWAYS and term.coefficient > 0]
    for term in terms:
        if term.sink:
            continue
        words, turned = _term_words(expression(term.source), term.coefficient > 0)
        kept = disliked if turned else liked
        if words not in liked + disliked and len(kept) < (TOLD if kept is liked else TOLD - 1):
            kept.append(words)
        if len(liked) == TOLD or len(liked) + len(disliked) >= TOLD + 1:
            break
    parts = [f"looks at {_joined(liked)}" if liked else "spreads"]
    if any(term.sink for term in terms):
        # The constant alone says how much rests on the first token for most queries.
        share = 1 / (1 + math.exp(-sum(term.coefficient for term in terms if term.source == ALWAYS)))
        why = f", above all from {phrase(expression(rests[0]))}" if rests and rests[0] not in GRADES else ""
        parts.insert(0 if share > 0.5 else 1, f"rests on the first token{why}")
    return _sentence([*parts, f"avoids {_joined(disliked)}"] if disliked else parts)


def _joined(words: Sequence[str]) -> str:
    between = ", and " if any("," in word for word in words) else " and "
    return between.join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _term_words(node: ast.expr, liked: bool) -> tuple[str, bool]:
    """What a term favours or plays down, and whether it plays it down."""
    factors = _factors(node)
    grades = [factor for factor in factors if ast.unparse(factor) in GRADES]
    of_query = next((name for name in QUERY_GRADES for f in factors if ast.unparse(f) == f"{name}[:, None]"), "")
    plain = [f for f in factors if f not in grades and ast.unparse(f) != f"{of_query}[:, None]"]
    picture = _Picture()
    for factor in plain:
        _look(factor, picture)
    words = picture.words() if plain else ""
    if grades:
        graded = GRADES[ast.unparse(grades[0])][0 if liked else 1]
        words, liked = (f"{graded} among {words}" if words else graded), True
    if of_query:
        words = f"{words or 'everything'}, the more from {QUERY_GRADES[of_query][0]} tokens"
    return words, not liked


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.Mult)):
        return _factors(node.left) + _factors(node.right)
    return [node]


def _sentence(parts: list[str]) -> str:
    different = list(dict.fromkeys(parts))
    return ("; ".join(different)[:1].upper() + "; ".join(different)[1:]) + "."


def _chain(node: ast.expr, names: dict[str, list[str]]) -> list[str]:
    """Clauses that describe an expression, outermost last."""
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _chain(node.left, names), _chain(node.right, names)
        return left + [clause.replace("looks at", "also at", 1) for clause in right]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if isinstance(node.left, ast.Constant):
            return _chain(node.right, names)
        if isinstance(node.right, ast.Constant):
            return _chain(node.left, names)
        change = _change(node.right)
        if change:
            return [*_chain(node.left, names), change]
        if _depends(node.left, names):
            return [*_chain(node.left, names), f"keeps to {phrase(node.right)}"]
    return [f"looks at {phrase(node)}"]


def _depends(node: ast.expr, names: dict[str, list[str]]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node)) or any(
        isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add) and not _is_fading(part) for part in ast.walk(node)
    )


def _change(node: ast.expr) -> str | None:
    """What a factor `1 + c * pattern` or `1 - c * pattern` does."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub))):
        return None
    if not (isinstance(node.left, ast.Constant) and node.left.value in (1, 1.0)):
        return None
    pattern = node.right
    while (
        isinstance(pattern, ast.BinOp) and isinstance(pattern.op, ast.Mult) and isinstance(pattern.left, ast.Constant)
    ):
        pattern = pattern.right
    if isinstance(pattern, ast.BinOp) and isinstance(pattern.op, ast.Mult):
        pattern = _without_number(pattern)
    return f"{'favours' if isinstance(node.op, ast.Add) else 'plays down'} {phrase(pattern)}"


def _without_number(node: ast.expr) -> ast.expr:
    """The product without a number at its far left, as in `0.5 * a * b`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if isinstance(node.left, ast.Constant):
            return node.right
        return ast.BinOp(_without_number(node.left), node.op, node.right)
    return node


@dataclass
class _Picture:
    """What a pattern picks: what the keys are, which of them, and from which queries."""

    nouns: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    latest: bool = False

    def words(self) -> str:
        nouns = self.nouns or ["tokens" if self.limits else "everything seen"]
        text = " that are ".join(nouns) if len(nouns) < 3 else " and ".join(nouns)
        if self.latest:
            text = f"the latest of {text}"
        text = " ".join([text, *self.limits])
        return f"{text}, from {' and '.join(self.queries)}" if self.queries else text


def phrase(node: ast.expr) -> str:
    """What a pattern picks, as a noun phrase."""
    picture = _Picture()
    _look(_without_number(node), picture)
    return picture.words()


def _look(node: ast.expr, picture: _Picture) -> None:
    product = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.Mult))
    if product and isinstance(node, ast.BinOp):
        _look(node.left, picture)
        _look(node.right, picture)
    elif isinstance(node, ast.Subscript):
        query = _Picture()
        _look(node.value, query)
        picture.queries.append(query.words())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        picture.limits.append(f"but not {phrase(node.operand)}")
    elif isinstance(node, ast.Attribute) and node.attr in RELATIONS:
        picture.limits.append(RELATIONS[node.attr])
    elif isinstance(node, ast.Attribute):
        picture.nouns.append(NOUNS.get(node.attr, f"{node.attr.removeprefix('is_').replace('_', ' ')} tokens"))
    elif isinstance(node, ast.Compare) and "cumsum" in ast.unparse(node):
        picture.latest = True
    elif isinstance(node, ast.Compare):
        _compare(node, picture)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "text.latest":
        picture.latest = True
        _look(node.args[0], picture)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "np.isin":
        picture.nouns.append(_listed(node.args[-1]))
    elif _is_fading(node):
        picture.limits.append("that are near") if picture.nouns else picture.nouns.append("what is near")
    elif not isinstance(node, ast.Constant):  # a number alone is everything seen
        picture.nouns.append(ast.unparse(node))


def _is_fading(node: ast.expr) -> bool:
    return "distance)" in ast.unparse(node) and "np.abs(" in ast.unparse(node) and not isinstance(node, ast.Compare)


def _listed(node: ast.expr) -> str:
    try:
        tokens = [str(token) for token in ast.literal_eval(node)]
    except ValueError:
        return ast.unparse(node)
    words = [f"'{token.strip() or repr(token)[1:-1]}'" for token in tokens]
    shown = ", ".join(words[:SHOWN_TOKENS])
    return shown if len(words) <= SHOWN_TOKENS else f"{shown} and the like"


def _compare(node: ast.Compare, picture: _Picture) -> None:
    left, operator, right = node.left, type(node.ops[0]), node.comparators[0]
    if not (isinstance(left, ast.Attribute) and isinstance(right, ast.Constant) and operator in COMPARISONS):
        picture.nouns.append(ast.unparse(node))
        return
    value, unit = repr(right.value), UNITS.get(left.attr)
    start = STARTS.get(left.attr) if operator is ast.Eq and value == "0" else None
    if start:
        picture.nouns.insert(0, start)
    elif unit is None:
        picture.limits.append(f"of {left.attr.replace('_', ' ')} {COMPARISONS[operator]}{value}")
    elif operator is ast.Eq and value == "0":
        picture.nouns.insert(0, "the token itself") if unit == "token" else picture.limits.append(f"in its own {unit}")
    elif operator is ast.Eq and value == "1":
        previous = f"the previous {unit}"
        picture.nouns.insert(0, previous) if unit == "token" else picture.limits.append(f"in {previous}")
    elif operator is ast.GtE and value == "0":
        return
    elif operator is ast.Gt and value == "0":
        picture.limits.append("before it" if unit == "token" else f"before its own {unit}")
    else:
        plural = "" if value == "1" else "s"
        picture.limits.append(f"{COMPARISONS[operator]}{value} {unit}{plural} back")
