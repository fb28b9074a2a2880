import pickle
from pathlib import Path

import numpy as np
import pytest

from fitness.text.view import Text, fields

TOKENS = ["<|begin|>", "Once", ",", " L", "ily", " saw", " a", " red", " ball", ".", ' "', "Hi", ',"', " said", " Lily"]
TOKENS += [".", "\n", "Tom", " didn", "'", "t", " see", " a", " red", " car", " 3", "!"]


@pytest.fixture
def text():
    return Text(TOKENS)


def value(text, name, token, occurrence=0):
    index = [i for i, t in enumerate(text.tokens) if t == token][occurrence]
    return getattr(text, name)[index]


def test_words_join_their_pieces_and_contractions(text):
    words = {}
    for token, word in zip(text.tokens, text.word, strict=True):
        words[word] = words.get(word, "") + token
    assert " Lily" in words.values()
    assert " didn't" in words.values()
    assert "<|begin|>" in words.values()


def test_sentences_end_after_their_closing_quote_and_newline():
    text = Text(["A", ".", ' "', "B", '!"', " C", ".", "\n", "D"])
    assert text.sentence.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_token_classes(text):
    assert value(text, "is_special", "<|begin|>")
    assert not value(text, "is_punctuation", "<|begin|>")
    assert value(text, "is_comma", ",")
    assert value(text, "is_sentence_end", "!")
    assert value(text, "is_number", " 3")
    assert value(text, "is_function_word", " a")
    assert value(text, "is_newline", "\n")
    assert value(text, "is_name", " Lily")
    assert not value(text, "is_name", "Once")


def test_induction_points_behind_the_earlier_occurrence():
    text = Text(["A", "B", "C", "A"])
    assert np.argwhere(text.after_same[3]).ravel().tolist() == [1]
    assert np.argwhere(text.before_same[2]).ravel().tolist() == []
    assert text.same_previous[3, 3]


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.name)
def test_every_field_has_its_stated_shape_and_kind_and_is_frozen(text, field):
    array = getattr(text, field.name)
    assert array.shape == ((text.n, text.n) if field.shape == "(n, n)" else (text.n,))
    assert array.dtype.kind == {"bool": "b", "int": "i", "float": "f"}[field.kind]
    assert field.doc.endswith(".")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.name)
def test_fields_of_a_beginning_are_the_beginning_of_the_fields(text, field):
    whole = getattr(text, field.name)
    for n in range(1, text.n):
        part = getattr(Text(TOKENS[:n]), field.name)
        if field.shape == "(n,)":
            assert part.tolist() == whole[:n].tolist()
        else:
            assert np.tril(part).tolist() == np.tril(whole[:n, :n]).tolist()


def test_text_refuses_changes_and_unknown_fields(text):
    with pytest.raises(AttributeError, match="read-only"):
        text.n = 3
    with pytest.raises(AttributeError, match="no field 'distanc'"):
        _ = text.distanc
    with pytest.raises(ValueError, match="at least one token"):
        Text([])
    with pytest.raises(ValueError, match="2 tokens but 1 ids"):
        Text(["a", "b"], [1])


def test_text_survives_pickling(text):
    copy = pickle.loads(pickle.dumps(text.precompute()))
    assert copy.tokens == text.tokens
    assert (copy.same == text.same).all()


def test_the_documentation_lists_every_field():
    page = (Path(__file__).parents[2] / "docs" / "programs.md").read_text()
    for field in fields():
        assert f"| `{field.name}` | {field.shape} | {field.kind} | {field.doc} |" in page


CODE = Text("def| f|(|a|,| b|=[|0|]|):|\n|   | return| a| +| b|[|0|]".split("|"))


def _picked(text, name):
    return [token for token, marked in zip(text.tokens, getattr(text, name), strict=True) if marked]


def test_lines_begin_with_what_is_more_than_white_space():
    assert CODE.line.tolist() == [0] * 11 + [1] * 8
    assert _picked(CODE, "starts_line") == ["def", " return"]
    assert _picked(CODE, "is_blank") == ["\n", "   "]
    assert CODE.same_line[10, 0]
    assert not CODE.same_line[11, 10]


def test_the_innermost_open_bracket_encloses():
    keys = [list(np.flatnonzero(row)) for row in CODE.encloses]
    assert keys[:3] == [[], [], []]
    assert keys[3:7] == [[2]] * 4
    assert keys[7:9] == [[6]] * 2
    assert keys[9] == [2]
    assert keys[10:17] == [[]] * 7
    assert keys[17:] == [[16]] * 2


def test_signs_and_words_of_code_have_their_classes():
    assert _picked(CODE, "opens_bracket") == ["(", "=[", "["]
    assert _picked(CODE, "closes_bracket") == ["]", "):", "]"]
    assert _picked(CODE, "is_operator") == [" +"]
    assert _picked(CODE, "is_letter") == [" f", "a", " b", " a", " b"]
    assert _picked(CODE, "is_content_word") == ["def", " return"]
    assert _picked(CODE, "has_space") == [" f", " b", "   ", " return", " a", " +", " b"]


def test_equal_beginnings_are_of_three_letters():
    text = Text(["Look", "ing", " looked", " at", " at", " lo", " LOOK"])
    assert np.argwhere(np.tril(text.same_beginning, -1)).tolist() == [[2, 0], [6, 0], [6, 2]]
    assert _picked(text, "follows_function_word") == [" at", " lo"]


def test_logarithms_begin_at_zero():
    assert CODE.log_position[0] == 0
    assert CODE.log_distance[5, 5] == 0
    assert CODE.log_distance[5, 2] == pytest.approx(np.log(4))
