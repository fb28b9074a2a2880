"""What kind of pattern a program is: classes by open rules on its traits, and how they spread over heads."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fitness.program import Program

if TYPE_CHECKING:
    from fitness.scoring.traits import Traits

# In the order in which the rules ask for them.
FIRST, UNIFORM, PREVIOUS, RECENCY = "first token", "uniform", "previous token", "recency"
SAME, STRUCTURE, WORD = "same token", "punctuation and structure", "word and sentence"
LEXICAL, OTHER = "lexical", "other"
CLASSES = (FIRST, UNIFORM, PREVIOUS, RECENCY, SAME, STRUCTURE, WORD, LEXICAL, OTHER)

MOSTLY_FIRST = 0.8
POSITIONAL = 0.7
EVEN = 0.7
MOSTLY_PREVIOUS = 0.5
MOSTLY_NEAR = 0.5
EXCESS = 0.08
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)


def classify(traits: Traits, *, lists_words: bool) -> str:
    """The class of a program. The first rule that holds decides.

    1. "first token": 0.8 of its mass or more lies there. All further rules look at the rest.
    2. What lies by content: of same token and induction, punctuation and structure, word and sentence, the one whose
       keys get most mass beyond what the program's own mean by distance gives them, if that is 0.08 or more.
    3. "lexical": the source lists words, and its predictions are not positional (IoU with their own mean by distance
       under 0.7).
    4. "uniform": IoU of 0.7 or more with an even spread.
    5. "previous token": half of the rest or more lies there.
    6. "recency": half of the rest or more lies on the token itself and the seven before.
    7. "other".

    Args:
        traits: measured on its predictions.
        lists_words: whether its source lists words, see `lists_words`.

    Returns:
        one of `CLASSES`.
    """
    if traits.first >= MOSTLY_FIRST:
        return FIRST
    content = {SAME: traits.same, STRUCTURE: traits.structure, WORD: max(traits.word, traits.sentence)}
    most = max(content, key=lambda name: content[name])
    if content[most] >= EXCESS:
        return most
    if lists_words and traits.positional < POSITIONAL:
        return LEXICAL
    if traits.even >= EVEN:
        return UNIFORM
    if traits.previous >= MOSTLY_PREVIOUS:
        return PREVIOUS
    return RECENCY if traits.near >= MOSTLY_NEAR else OTHER


def lists_words(program: Program) -> bool:
    """Whether a program's source lists words."""
    return bool(listed_words(program))


def listed_words(program: Program) -> list[str]:
    """The different strings with a letter in a program's source that are not docstrings, in their order.

    How many there are says how lexical a program is: what it holds of its corpus rather than of language.
    """
    tree = ast.parse(program.source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)
    }
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = [str(node.value) for node in strings if id(node) not in docstrings]
    return list(dict.fromkeys(word for word in found if any(character.isalpha() for character in word)))


def spread(
    assignment: Mapping[str, str | None], classes: Mapping[str, str], iou: Mapping[str, float]
) -> dict[str, Any]:
    """How classes spread over heads.

    Args:
        assignment: head, such as "L5H1" -> program id, or None.
        classes: program id -> class.
        iou: head -> held-out IoU; replacement takes the best explained heads first.

    Returns:
        `heads` (class -> heads), `by_layer` (layer -> class -> heads) and `by_fraction` (a row for each share of the
        heads replaced, with `fraction`, `heads` and `classes`).
    """
    of = {head: classes[program] for head, program in assignment.items() if program is not None and program in classes}
    order = sorted(of, key=lambda head: (-iou.get(head, 0.0), head))
    layers: dict[str, Counter[str]] = {}
    for head, name in of.items():
        layers.setdefault(head.partition("H")[0], Counter())[name] += 1
    counts = [max(1, round(fraction * len(order))) if order else 0 for fraction in FRACTIONS]
    return {
        "heads": _counted(of.values()),
        "by_layer": {layer: _counted(found.elements()) for layer, found in layers.items()},
        "by_fraction": [
            {"fraction": fraction, "heads": count, "classes": _counted(of[head] for head in order[:count])}
            for fraction, count in zip(FRACTIONS, counts, strict=True)
        ],
    }


def _counted(names: Any) -> dict[str, int]:
    found = Counter(names)
    return {name: found[name] for name in CLASSES if found[name]}


def shares(counts: Mapping[str, int], names: Sequence[str] = CLASSES) -> str:
    """Counts in words, most first, such as `recency 12, first token 9`."""
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts, key=lambda n: (-counts[n], names.index(n))))
