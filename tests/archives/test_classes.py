"""Classes of programs: planted patterns get the class that a reader would give them."""

import numpy as np
import pytest

from archives.classes import (
    FIRST,
    LEXICAL,
    OTHER,
    PREVIOUS,
    RECENCY,
    SAME,
    STRUCTURE,
    UNIFORM,
    WORD,
    classify,
    listed_words,
    lists_words,
    spread,
)
from fitness.program import Program
from fitness.scoring.contract import to_prediction
from fitness.scoring.traits import measure
from fitness.text.view import Text

SENTENCES = (
    "Tom| had| a| red| ball|.| The| ball| was| big|,| and| Tom| ran|.",
    "One| day|,| Sue| saw| a| cat|.| Sue| fed| the| cat|,| un|happ|ily|.",
    "The| dog| sat|.| A| bird| sang| to| the| dog|.| It| was| fun|,| he|.",
)
TEXTS = [Text(line.split("|") * 3) for line in SENTENCES]

PATTERNS = [
    ("np.where(text.is_first, 9.0, 0.01)", FIRST),
    ("np.ones((text.n, text.n))", UNIFORM),
    ("0.9 * (text.distance == 1) + 0.005", PREVIOUS),
    ("0.5 * text.is_first + 0.5 * (text.distance == 1)", PREVIOUS),
    ("np.exp(-np.abs(text.distance) / 2)", RECENCY),
    ("1.0 * text.same * (text.distance > 0) + 0.05", SAME),
    ("1.0 * text.after_same + 0.05", SAME),
    ("text.is_punctuation + 0.05 * (text.distance >= 0)", STRUCTURE),
    ("text.same_sentence + 0.02", WORD),
    ("np.isin(text.tokens, [' red', ' saw', ' sat', ' bird']) + 0.05 * (text.distance >= 0)", LEXICAL),
    ("1.0 * (text.distance == 12) + 0.0001", OTHER),
]


def class_of(expression):
    program = Program.parse(f'def program(text):\n    """Looks at words."""\n    return {expression}\n')
    scope = {"np": np}
    exec(program.source, scope)
    predictions = [
        to_prediction(np.broadcast_to(np.asarray(scope["program"](text), dtype=float), (text.n, text.n)), causal=True)
        for text in TEXTS
    ]
    return classify(measure(predictions, TEXTS), lists_words=lists_words(program))


@pytest.mark.parametrize(("expression", "expected"), PATTERNS)
def test_a_planted_pattern_gets_its_class(expression, expected):
    assert class_of(expression) == expected


def test_a_docstring_is_no_list_of_words():
    assert not lists_words(Program.parse('def program(text):\n    """Words."""\n    return 1.0 * text.same\n'))
    assert not lists_words(Program.parse("def program(text):\n    return 1.0 * np.isin(text.tokens, ['.', ','])\n"))
    assert lists_words(Program.parse("def program(text):\n    return 1.0 * np.isin(text.tokens, [' the'])\n"))


def test_how_lexical_a_program_is_are_the_words_that_it_lists():
    source = "def program(text):\n    return np.isin(text.tokens, [' the', ' a', '.', ' the']) * 1.0\n"
    assert listed_words(Program.parse(source)) == [" the", " a"]


def test_classes_are_counted_over_heads_by_layer_and_in_the_order_of_replacement():
    assignment = {"L0H0": "a", "L0H1": "b", "L1H0": "b", "L1H1": None}
    found = spread(assignment, {"a": FIRST, "b": RECENCY}, {"L0H0": 0.2, "L0H1": 0.9, "L1H0": 0.5})
    assert found["heads"] == {FIRST: 1, RECENCY: 2}
    assert found["by_layer"] == {"L0": {FIRST: 1, RECENCY: 1}, "L1": {RECENCY: 1}}
    assert found["by_fraction"][0] == {"fraction": 0.1, "heads": 1, "classes": {RECENCY: 1}}
    assert found["by_fraction"][-1]["classes"] == found["heads"]


def test_a_program_with_nothing_beyond_the_first_token_has_no_rest_to_class():
    text = TEXTS[0]
    only_first = to_prediction(np.eye(text.n)[[0] * text.n], causal=True)
    traits = measure([only_first], [text])
    assert traits.first == 1
    assert traits.previous == traits.same == 0
