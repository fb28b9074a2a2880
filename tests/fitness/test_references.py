"""Tables of attention by position: fitted on fit, chosen on held-out, read on test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.scoring.contract import to_prediction
from fitness.scoring.packing import pack
from fitness.scoring.references import DISTANCE, KINDS, MEAN, MEDIAN, choose, fit_tables


class Planted:
    """Attention of two heads, by text, with what tables need of captured attention."""

    def __init__(self, matrices, *, causal=True):
        self.causal = causal
        self.labels = tuple(f"L0H{head}" for head in range(len(matrices[0])))
        self.texts = [range(len(text[0])) for text in matrices]
        self._blocks = [np.stack([pack(m.astype(np.float32), causal=causal) for m in text]) for text in matrices]

    def block(self, text):
        return self._blocks[text]

    def sums(self, text):
        return self._blocks[text].sum(axis=1, dtype=np.float64)


def noise(n, seed, causal=True):
    return to_prediction(np.random.default_rng(seed).random((n, n)) ** 3, causal=causal)


def planted(lengths, causal=True, heads=2):
    return Planted([[noise(n, 10 * t + h, causal) for h in range(heads)] for t, n in enumerate(lengths)], causal=causal)


@pytest.mark.parametrize("causal", [True, False])
def test_tables_of_equal_texts_are_mean_and_median_by_position(causal):
    lengths = [7] * 5
    attention = planted(lengths, causal)
    tables = fit_tables(attention, range(5))
    stacked = np.stack([[noise(7, 10 * t + h, causal) for h in range(2)] for t in range(5)])
    for head in range(2):
        mean = tables.predict(MEAN, head, 7)
        np.testing.assert_allclose(mean, stacked[:, head].mean(axis=0), atol=1e-6)
        median = np.median(stacked[:, head], axis=0)
        expected = median / median.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(tables.predict(MEDIAN, head, 7), expected, atol=1e-6)


def test_the_distance_table_is_the_mean_by_distance_beside_the_first_token():
    attention = planted([6, 4, 6])
    tables = fit_tables(attention, range(3))
    by_distance, first = {}, []
    for t, n in enumerate([6, 4, 6]):
        matrix = noise(n, 10 * t)
        for i in range(1, n):
            first.append(matrix[i, 0])
            for j in range(1, i + 1):
                by_distance.setdefault(i - j, []).append(matrix[i, j])
    row = np.array([np.mean(first), *(np.mean(by_distance[4 - j]) for j in range(1, 5))])
    np.testing.assert_allclose(tables.predict(DISTANCE, 0, 5)[4], row / row.sum(), atol=1e-6)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), n=st.integers(1, 14), causal=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_table_predicts_rows_of_sum_one_at_any_length(lengths, n, causal):
    tables = fit_tables(planted(lengths, causal), range(len(lengths)))
    for kind in KINDS:
        prediction = tables.predict(kind, 1, n)
        assert prediction.shape == (n, n)
        if max(lengths) > 1:
            np.testing.assert_allclose(prediction.sum(axis=1), 1, atol=1e-5)
        if causal:
            assert not np.triu(prediction, 1).any()


def test_positions_that_too_few_texts_reach_are_predicted_by_distance():
    tables = fit_tables(planted([5, 5, 5, 9, 9]), range(5))
    by_distance = tables.predict(DISTANCE, 0, 12)
    for kind in (MEAN, MEDIAN):
        table = tables.predict(kind, 0, 12)
        np.testing.assert_allclose(table[5:], by_distance[5:], atol=1e-6)
        assert not np.allclose(table[:5], by_distance[:5], atol=1e-3)


def test_beyond_the_longest_fit_text_tables_continue_with_their_longest_distances():
    tables = fit_tables(planted([6] * 4), range(4))
    last = tables.predict(MEAN, 0, 30)[29]
    np.testing.assert_allclose(last[1:20], last[1], rtol=1e-5)  # all further than any distance fitted
    assert last[29] != pytest.approx(last[1], rel=1e-2)


def test_scores_are_the_plain_iou_of_prediction_and_attention():
    lengths = [6, 8, 8, 7, 9]
    attention = planted(lengths)
    tables = fit_tables(attention, range(3))
    found = tables.score(attention, [3, 4])
    for kind in KINDS:
        for column, text in enumerate([3, 4]):
            for head in range(2):
                one, other = tables.predict(kind, head, lengths[text]), noise(lengths[text], 10 * text + head)
                plain = np.minimum(one, other).sum() / np.maximum(one, other).sum()
                assert found[kind][head, column] == pytest.approx(plain, abs=1e-5)


def test_each_head_gets_the_table_that_held_out_texts_prefer():
    held_out = {
        MEAN: np.array([[0.4, 0.4], [0.1, 0.1]]),
        MEDIAN: np.array([[0.5, 0.4], [0.1, 0.0]]),
        DISTANCE: np.array([[0.1, 0.1], [0.2, 0.3]]),
    }
    tables = fit_tables(planted([6] * 4), range(4))
    reference = choose(tables, held_out)
    assert reference.kinds == (MEDIAN, DISTANCE)
    np.testing.assert_array_equal(reference.predict(1, 8), tables.predict(DISTANCE, 1, 8))


def test_a_head_that_rests_elsewhere_on_every_text_keeps_the_mean_where_its_median_is_zero():
    rng = np.random.default_rng(0)
    matrices = [[to_prediction(np.eye(12)[rng.permutation(12)] + np.eye(12), causal=True)] for _ in range(5)]
    table = fit_tables(Planted(matrices), range(5)).predict(MEDIAN, 0, 12)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
