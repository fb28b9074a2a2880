import ast

import pytest

from fitness.program import Program
from fitness.text.view import fields
from operators.shared.docstrings import NOUNS, RELATIONS, UNITS, described
from operators.shared.syntax_trees import (
    append_line,
    drop_idle_lines,
    length_of,
    lines_of,
    places_of,
    spell,
    step_source,
    to_source,
)


def tree(*lines):
    return ast.parse("def program(text):\n" + "".join(f"    {line}\n" for line in lines))


def body(found):
    return [ast.unparse(node) for node in found.body[-1].body]


def test_a_line_is_added_before_the_return():
    before = tree("return 0.5 * text.same")
    after = append_line(before, "+ 0.2 * text.is_comma")
    assert body(after) == ["weights = 0.5 * text.same", "weights = weights + 0.2 * text.is_comma", "return weights"]
    assert body(append_line(after, "* 2"))[-2:] == ["weights = weights * 2", "return weights"]
    assert body(before) == ["return 0.5 * text.same"]


def test_a_line_keeps_the_name_that_the_program_uses():
    assert body(append_line(tree("w = text.same", "return w"), "* 2")) == ["w = text.same", "w = w * 2", "return w"]


def test_a_program_with_several_returns_is_refused():
    with pytest.raises(ValueError, match="only return"):
        append_line(tree("if text.n > 2:", "    return text.same", "return text.same_word"), "* 2")


@pytest.mark.parametrize(
    ("number", "text"), [(0.123456, "0.12"), (3.0, "3"), (1234.5, "1200"), (0.00012345, "0.00012"), (-0.666, "-0.67")]
)
def test_numbers_are_spelt_with_two_digits(number, text):
    assert spell(number) == text


@pytest.mark.parametrize(
    ("pattern", "coefficient", "times", "expected"),
    [
        ("text.is_comma", 0.5, False, "+ 0.5 * text.is_comma"),
        ("text.distance == 1", 2.25, True, "* (1 + 2.2 * (text.distance == 1))"),
        ("text.is_comma", -0.5, True, "* (1 - 0.5 * text.is_comma)"),
    ],
)
def test_steps_are_written_as_a_person_would(pattern, coefficient, times, expected):
    assert step_source(pattern, coefficient, times=times) == expected


def test_idle_and_unread_lines_are_dropped():
    before = tree("old = text.same", "w = text.same", "w = w", "w = 1 + text.is_comma", "return w * text.same_word")
    assert body(drop_idle_lines(before)) == ["w = 1 + text.is_comma", "return w * text.same_word"]


def test_lines_of_loops_are_kept():
    before = tree("w = text.same * 1", "for i in range(2):", "    w = w * 2", "return w")
    assert ast.unparse(drop_idle_lines(ast.parse(ast.unparse(before)))) == ast.unparse(before)


def test_lines_that_need_other_variables_are_not_lent():
    lines = lines_of(tree("a = text.same", "w = text.same", "w = w + a", "w = w * (1 + 2 * text.is_comma)", "return w"))
    assert lines == ["* (1 + 2 * text.is_comma)"]


def test_slots_hold_what_is_put_there():
    found = tree("return 0.5 * text.same")
    place = next(place for place in places_of(found) if isinstance(place.node, ast.Attribute))
    place.put(ast.Attribute(ast.Name("text"), "same_word"))
    assert body(found) == ["return 0.5 * text.same_word"]


def test_length_leaves_the_docstring_out():
    assert length_of(tree("'''Says much.'''", "return text.same")) == length_of(tree("return text.same"))


def test_long_docstrings_are_broken_into_lines():
    source = to_source(tree("return text.same"), "word " * 60)
    assert max(len(line) for line in source.splitlines()) <= 110
    assert Program.parse(source).docstring.split() == ["word"] * 60


def test_words_speak_of_fields_that_there_are():
    names = {field.name for field in fields()}
    assert {*NOUNS, *RELATIONS, *UNITS} <= names


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["return 0.5 * (text.distance == 1) + 0.5 * text.is_first"],
            "Looks at the previous token; also at the first token.",
        ),
        (
            [
                "w = np.exp(-np.abs(text.distance) / 8)",
                "w = w * (1 + 2.0 * (text.same_sentence & text.is_name))",
                "return w",
            ],
            "Looks at what is near; favours names in its own sentence.",
        ),
        (
            ["return (text.distance >= 0) * (1 - 0.5 * np.isin(text.tokens, [' the', ' a']))"],
            "Looks at everything seen; plays down 'the', 'a'.",
        ),
        (
            ["w = text.is_comma & (np.cumsum(text.is_comma) == np.cumsum(text.is_comma)[:, None])", "return w * 1"],
            "Looks at the latest of commas.",
        ),
        (
            ["return 1.0 * (text.distance == 1) + 3 * (text.is_name & text.is_comma[:, None])"],
            "Looks at the previous token; also at names, from commas.",
        ),
    ],
)
def test_programs_are_told_in_words(lines, expected):
    assert described(tree(*lines)) == expected


def test_programs_of_another_style_keep_their_own_words():
    assert described(tree("for i in range(2):", "    pass", "return text.same")) is None
