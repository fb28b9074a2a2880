import numpy as np
import pytest

from fitness.errors import UserError
from fitness.text.corpus import domain_indices, split_texts


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


def first_words(text):
    """Cut to three words, as a tokenizer would cut to tokens."""
    words = text.split()
    return [hash(word) for word in words[:3]], len(words) > 3


def test_no_text_equals_another_after_the_cut():
    twins = [f"Story {i // 2} begins {'and ends' if i % 2 else 'and goes on'}." for i in range(60)]
    splits = split_texts(twins, fit=6, held_out=10, test=12, seed=1, encode=first_words)
    assert len({" ".join(text.split()[:3]) for text in splits.all}) == len(splits.all) == 28
    (read,) = splits.read
    assert (read.found, read.texts, read.tokens, read.cut) == (60, 28, 84, 28)
    assert read.duplicates > 0
    without = split_texts(twins, fit=6, held_out=10, test=12, seed=1)
    assert len({" ".join(text.split()[:3]) for text in without.all}) < 28, "or this test would say nothing"


def test_texts_lost_to_the_cut_are_named_where_too_few_are_left():
    texts = [f"The same three words {i}." for i in range(9)] + ["One", "Quite another one here."]
    with pytest.raises(UserError, match=r"has 2 different texts \(besides 8 equal .* and 1 of fewer than two tokens\)"):
        split_texts(texts, fit=1, held_out=1, test=1, seed=0, encode=first_words)


def test_a_corpus_without_twins_is_divided_the_same_with_and_without_an_encoder():
    texts = [f"{i} is the number." for i in range(50)]
    sizes = {"fit": 10, "held_out": 15, "test": 20, "seed": 3}
    assert split_texts(texts, **sizes, encode=first_words).all == split_texts(texts, **sizes).all


def test_domains_take_turns_in_every_split():
    by_domain = {name: [f"{name} {i}" for i in range(20)] for name in ("stories", "code", "docs")}
    splits = split_texts(by_domain, fit=2, held_out=3, test=4, seed=0)
    assert splits.domains == ("stories", "code", "docs")
    for part, size in ((splits.fit, 6), (splits.held_out, 9), (splits.test, 12)):
        assert [text.split()[0] for text in part] == [splits.domains[i] for i in domain_indices(size, 3)]
    assert np.array_equal(domain_indices(5, 3), [0, 1, 2, 0, 1])
    assert len(set(splits.all)) == 27


def test_a_domain_beside_it_does_not_change_the_choice_of_the_first():
    stories = [f"story {i}" for i in range(30)]
    alone = split_texts(stories, fit=5, held_out=5, test=5, seed=7)
    both = split_texts({"stories": stories, "code": ["x" * i for i in range(1, 30)]}, fit=5, held_out=5, test=5, seed=7)
    assert both.test[::2] == alone.test


def test_the_domain_that_is_too_short_is_named():
    with pytest.raises(UserError, match="domain 'code' has 2 different texts"):
        split_texts({"stories": list("abcdefg"), "code": ["a", "b", "x", "y"]}, fit=2, held_out=2, test=2, seed=0)


def test_texts_that_serve_elsewhere_are_not_taken():
    texts = [f"Story {i} begins here." for i in range(10)]
    elsewhere = [f"Story {i} begins otherwise." for i in range(7)]
    splits = split_texts(texts, fit=0, held_out=0, test=3, seed=0, encode=first_words, but=elsewhere)
    assert sorted(splits.test) == texts[7:]
