import json

import pytest

from fitness.errors import UserError
from fitness.text.corpus import read_texts, split_texts


def test_a_text_file_is_cut_at_blank_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\nStill one.\n\n  \nTwo.\n\nOne.\nStill one.\n")
    assert read_texts(str(path)) == ["One.\nStill one.", "Two."]


def test_a_json_file_is_a_list_of_strings(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["One.", "Two.", " "]))
    assert read_texts(str(path)) == ["One.", "Two."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no text"),
        ("a.txt", " \n\n ", "holds no text"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"a": 1}', "one JSON list of strings"),
    ],
)
def test_a_bad_corpus_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_texts(str(path))


def test_a_missing_corpus_says_what_would_do(tmp_path):
    with pytest.raises(UserError, match=r"no file .*give a \.txt or \.json file"):
        read_texts(str(tmp_path / "none.txt"))


def test_splits_share_no_text_and_follow_the_seed():
    texts = [f"Text {i}." for i in range(50)]
    splits = split_texts(texts, fit=10, held_out=15, test=20, seed=3)
    assert [len(splits.fit), len(splits.held_out), len(splits.test)] == [10, 15, 20]
    assert len(set(splits.all)) == 45
    assert splits == split_texts(texts, fit=10, held_out=15, test=20, seed=3)
    assert splits != split_texts(texts, fit=10, held_out=15, test=20, seed=4)


def test_too_few_texts_are_refused_with_the_sum():
    with pytest.raises(UserError, match=r"the corpus has 1 different text, but splits ask for 10 \+ 15 \+ 20 = 45"):
        split_texts(["One line."], fit=10, held_out=15, test=20, seed=0)


def test_the_bundled_stories_are_many_different_and_short():
    texts = read_texts("stories")
    assert len(texts) >= 120
    assert all(70 <= len(text.split()) <= 160 for text in texts)
