import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives.exact import exact_facility
from archives.facility import exact_scores, greedy_order


def scores(seed, heads, programs, missing):
    rng = np.random.default_rng(seed)
    # Few different values, so that there are ties.
    table = rng.integers(0, 17, (heads, programs)).astype(np.float32) / 16
    table[rng.random((heads, programs)) < missing] = np.nan
    return table


tables = st.builds(
    scores, st.integers(0, 10**6), st.integers(1, 15), st.integers(1, 15), st.sampled_from([0.0, 0.3, 0.9, 1.0])
)


def plain_argmax_greedy(means, size):
    served = exact_scores(means).astype(np.float64)
    best, order = np.zeros(len(served)), []
    for _ in range(min(size, served.shape[1])):
        gains = np.maximum(served - best[:, None], 0).sum(axis=0)
        if gains.max() <= 0:
            break
        order.append(int(np.argmax(gains)))
        best = np.maximum(best, served[:, order[-1]])
    return order


@given(tables)
@settings(max_examples=100, deadline=None)
def test_order_equals_a_plain_argmax_greedy(means):
    assert greedy_order(means, 20).order.tolist() == plain_argmax_greedy(means, 20)


def test_order_equals_a_plain_argmax_greedy_on_real_numbers():
    means = np.random.default_rng(3).random((60, 400), dtype=np.float32)
    assert greedy_order(means, 30).order.tolist() == plain_argmax_greedy(means, 30)


@given(tables)
@settings(max_examples=100, deadline=None)
def test_gains_diminish_and_add_up_to_the_sum_of_best(means):
    greedy = greedy_order(means, means.shape[1])
    assert (np.diff(greedy.gains) <= 0).all()
    best = np.fmax.reduce(np.nan_to_num(means), axis=1)
    assert greedy.gains.sum() == pytest.approx(best.sum(), abs=1e-6)


@given(tables, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_bound_and_integer_program_agree_with_trying_all(means, size):
    served = exact_scores(means)
    size = min(size, served.shape[1])
    optimum = max(
        float(served[:, list(chosen)].max(axis=1).sum())
        for chosen in itertools.combinations(range(min(served.shape[1], 9)), min(size, 9))
    )
    served = served[:, :9]
    greedy = greedy_order(served, size)
    assert greedy.upper >= optimum - 1e-6
    assert greedy.gains.sum() >= (1 - 1 / np.e) * optimum - 1e-6
    selected, bound = exact_facility(served, size, seconds=20)
    assert selected is not None
    reached = float(served[:, selected].max(axis=1, initial=0).sum())
    assert reached == pytest.approx(optimum, abs=1e-5)
    assert bound == pytest.approx(optimum, abs=1e-4)


def test_what_nobody_scored_is_served_by_nobody():
    assert greedy_order(np.full((3, 4), np.nan), 2).order.tolist() == []
