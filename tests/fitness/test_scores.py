"""IoU, contract and descriptors against plain formulas."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.scoring.contract import ContractError, check_weights, to_prediction, to_predictions, waste
from fitness.scoring.descriptors import content, describe, focus, reach, sink
from fitness.scoring.iou import iou, iou_by_text
from fitness.scoring.packing import Packing, pack, unpack


def attention(n, seed, causal=True):
    weights = np.random.default_rng(seed).random((n, n)) ** 4
    return to_prediction(weights, causal=causal)


@given(n=st.integers(1, 12), seed=st.integers(0, 10**6), causal=st.booleans())
def test_iou_equals_the_brute_force_formula(n, seed, causal):
    one, other = attention(n, seed, causal), attention(n, seed + 1, causal)
    plain = sum(min(a, b) for a, b in zip(one.flat, other.flat, strict=True)) / sum(
        max(a, b) for a, b in zip(one.flat, other.flat, strict=True)
    )
    assert iou(pack(one, causal=causal), pack(other, causal=causal)) == pytest.approx(plain, abs=1e-6)


def test_iou_of_row_stochastic_arrays_follows_from_the_shared_mass():
    one, other = attention(9, 1), attention(9, 2)
    shared = np.minimum(one, other).sum()
    assert iou(pack(one, causal=True), pack(other, causal=True)) == pytest.approx(shared / (18 - shared), abs=1e-6)


def test_iou_is_one_for_equals_and_zero_for_strangers():
    assert iou(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 1
    assert iou(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0
    assert iou(np.zeros(2), np.zeros(2)) == 0


def test_iou_broadcasts_over_heads():
    heads = np.stack([pack(attention(6, seed), causal=True) for seed in range(4)])
    together = iou(heads[0], heads)
    assert together.tolist() == [iou(heads[0], head) for head in heads]


@given(n=st.integers(1, 9), causal=st.booleans())
def test_unpack_inverts_pack(n, causal):
    matrix = attention(n, n, causal)
    assert (unpack(pack(matrix, causal=causal), n, causal=causal) == matrix).all()


def test_prediction_is_causal_with_rows_of_sum_one():
    prediction = to_prediction(np.ones((3, 3)), causal=True)
    assert np.allclose(prediction, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3])
    assert np.allclose(to_prediction(np.ones((3, 3)), causal=False), 1 / 3)


def test_an_empty_row_stays_empty_and_the_only_visible_key_gets_all():
    weights = np.array([[0, 1, 1], [0, 0, 1], [0, 1, 1.0]])
    assert np.allclose(to_prediction(weights, causal=True), [[1, 0, 0], [0, 0, 0], [0, 0.5, 0.5]])
    assert np.allclose(to_prediction(weights, causal=False), [[0, 0.5, 0.5], [0, 0, 1], [0, 0.5, 0.5]])


def test_attending_to_the_next_token_alone_scores_one_nth_and_is_degenerate():
    n = 20
    following = np.eye(n, k=1)
    packing = Packing([n], causal=True)
    first = pack(to_prediction(np.eye(n)[[0] * n], causal=True), causal=True)[None]
    predictions = to_predictions(packing.pack([following]), packing)
    found = iou_by_text([predictions], packing, [first], first.sum(axis=1, keepdims=True))[0]
    assert found[0, 0] == pytest.approx(1 / n)  # shares row 0: m = 1, r = 1, so 1 / (n + 1 - 1)
    assert iou(predictions, first)[0] == pytest.approx(1 / n)
    lost = waste([following.astype(np.float32)], packing)
    assert lost.masked_mass == pytest.approx(1)
    assert lost.empty_rows == pytest.approx(19 / 20)
    assert "rows are empty" in lost.degenerate


def test_weight_on_every_token_alike_is_not_degenerate():
    lost = waste([np.ones((9, 9), dtype=np.float32)], Packing([9], causal=True))
    assert lost.masked_mass == pytest.approx(4 / 9)
    assert lost.empty_rows == 0
    assert lost.degenerate == ""
    later = np.triu(np.full((9, 9), 99.0), 1) + 1
    assert "after the query" in waste([later.astype(np.float32)], Packing([9], causal=True)).degenerate


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_very_small_and_large_weights_keep_their_proportions(scale):
    prediction = to_prediction(np.array([[1.0, 0], [3, 1]]) * scale, causal=True)
    assert np.allclose(prediction, [[1, 0], [0.75, 0.25]])


@pytest.mark.parametrize(
    ("weights", "kind", "message"),
    [
        (np.ones((2, 3)), "bad shape", r"returned shape \(2, 3\), expected \(2, 2\)"),
        (np.array([[1, np.nan], [1, 1]]), "bad values", "1 elements are not finite"),
        (np.array([[1, np.inf], [1, 1]]), "bad values", "not finite"),
        (np.array([[1, -0.5], [1, 1]]), "bad values", "1 elements are negative, least -0.5"),
        (np.array([["a", "b"], ["c", "d"]]), "bad values", "expected real numbers"),
        (np.ones((2, 2), dtype=complex), "bad values", "expected real numbers"),
    ],
)
def test_what_breaks_the_contract_is_named(weights, kind, message):
    with pytest.raises(ContractError, match=message) as caught:
        check_weights(weights, 2)
    assert caught.value.kind == kind


@given(seed=st.integers(0, 1000), causal=st.booleans())
def test_scores_of_all_texts_at_once_are_those_of_each(seed, causal):
    lengths = (3, 1, 7)
    matrices = [attention(n, seed + n, causal) for n in lengths]
    heads = [np.stack([pack(attention(n, seed + 9 * h + n, causal), causal=causal) for h in range(4)]) for n in lengths]
    sums = np.stack([block.sum(axis=1, dtype=np.float64) for block in heads], axis=1)
    others = [attention(n, seed + n + 1, causal) for n in lengths]
    predictions, packing = laid_out(*matrices, causal=causal)
    found = iou_by_text([predictions, laid_out(*others, causal=causal)[0]], packing, heads, sums)
    for scores, program in zip(found, (matrices, others), strict=True):
        plain = [iou(pack(matrix, causal=causal), block) for matrix, block in zip(program, heads, strict=True)]
        assert np.allclose(scores, np.stack(plain, axis=1), atol=1e-6)


@given(seed=st.integers(0, 1000), causal=st.booleans())
def test_descriptors_of_all_texts_at_once_follow_their_plain_formulas(seed, causal):
    matrices = [attention(n, seed + n, causal) for n in (1, 2, 7, 12)]
    plain_reach, plain_focus, plain_sink, changes = [], [], [], []
    for matrix in matrices:
        n = len(matrix)
        mean = sum(matrix[i, j] * abs(i - j) for i in range(n) for j in range(n)) / n
        far = sum(i if causal else max(i, n - 1 - i) for i in range(n)) / n
        plain_reach.append(np.log1p(mean) / np.log1p(max(1, far)))
        rows = [(row[: i + 1] if causal else row) for i, row in enumerate(matrix)]
        entropies = [-sum(x * np.log(x) for x in row if x > 0) / np.log(len(row)) for row in rows if len(row) > 1]
        plain_focus += [1 - np.mean(entropies)] if entropies else []
        plain_sink.append(np.mean(matrix[1:, 0]) if n > 1 else 1)
    for one, other in pairwise(matrices):
        n = min(len(one), len(other))
        one, other = (matrix[:n, :n] / matrix[:n, :n].sum(axis=1, keepdims=True) for matrix in (one, other))
        changes.append(np.abs(one - other).sum(axis=1).mean() / 2)
    found = describe(*laid_out(*matrices, causal=causal), ["reach", "focus", "sink", "content"])
    expected = [np.mean(plain_reach), np.mean(plain_focus), np.mean(plain_sink), np.sqrt(np.mean(changes))]
    assert np.allclose(found, expected, atol=1e-4)


def laid_out(*predictions, causal=True):
    packing = Packing([len(prediction) for prediction in predictions], causal=causal)
    return packing.pack(predictions), packing


def test_descriptors_tell_the_simple_patterns_apart():
    n = 16
    first = to_prediction(np.eye(n)[[0] * n], causal=True)
    itself = to_prediction(np.eye(n), causal=True)
    even = to_prediction(np.ones((n, n)), causal=True)
    assert sink(*laid_out(first)) == pytest.approx(1)
    assert sink(*laid_out(itself)) == pytest.approx(0)
    assert reach(*laid_out(itself)) == pytest.approx(0)
    assert reach(*laid_out(first)) == pytest.approx(1)
    assert focus(*laid_out(itself)) == pytest.approx(1)
    assert focus(*laid_out(even)) == pytest.approx(0, abs=1e-6)
    assert content(*laid_out(even, even)) == 0
    assert content(*laid_out(itself, first)) > 0.9


def farthest(n, causal, first_row):
    """All of each row from `first_row` on rests on its farthest key; earlier rows are empty."""
    weights = np.zeros((n, n))
    for i in range(first_row, n):
        weights[i, 0 if causal or i >= n / 2 else n - 1] = 1
    return to_prediction(weights, causal=causal)


@given(
    seed=st.integers(0, 1000),
    causal=st.booleans(),
    kind=st.sampled_from(["random", "sparse", "farthest"]),
    first_row=st.integers(0, 11),
)
def test_descriptors_stay_between_zero_and_one(seed, causal, kind, first_row):
    lengths = (1, 2, 7, 12)
    if kind == "farthest":
        predictions = [farthest(n, causal, min(first_row, n - 1)) for n in lengths]
    else:
        rng = np.random.default_rng(seed)
        draws = [rng.random((n, n)) for n in lengths]
        predictions = [to_prediction(d if kind == "random" else d * (d > 0.8), causal=causal) for d in draws]
    values = describe(*laid_out(*predictions, causal=causal), ["reach", "focus", "sink", "content"])
    assert values.shape == (4,)
    assert ((values >= 0) & (values <= 1 + 1e-6)).all()


@pytest.mark.parametrize("causal", [True, False])
def test_reach_is_one_where_every_row_rests_on_its_farthest_token(causal):
    assert reach(*laid_out(farthest(16, causal, 0), causal=causal)) == pytest.approx(1)
    assert reach(*laid_out(farthest(16, causal, 14), causal=causal)) == pytest.approx(1, abs=0.1)
