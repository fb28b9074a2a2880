import pytest

from fitness.errors import UserError, closest, nearest
from fitness.heads import Head, head_labels


def test_a_label_is_read_back_as_the_head_it_names():
    head = Head(12, 3)
    assert head.label == "L12H3"
    assert Head.parse(head.label) == head == (12, 3)
    assert {Head(0, 1): "found"}[0, 1] == "found"


@pytest.mark.parametrize("label", ["L5", "5H1", "L5H1 ", "a/L5H1", "L-1H0", "l5h1", ""])
def test_what_is_not_a_label_is_refused_with_what_would_be_right(label):
    with pytest.raises(UserError, match="L5H1"):
        Head.parse(label)


def test_labels_follow_the_flat_index():
    labels = head_labels([(0, 4), (1, 4), (2, 4)])
    assert [Head.parse(label) for label in labels] == [divmod(flat, 4) for flat in range(12)]


def test_the_nearest_name_is_suggested_or_all_are_listed():
    known = ["residual", "genetic", "tweak"]
    assert nearest("residul", known) == "; did you mean 'residual'?"
    assert nearest("xyz", known) == "; known: residual, genetic, tweak"
    assert closest("genetics", known, least=0.75) == "genetic"
    assert closest("gen", known, least=0.75) is None
