import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archives.reduce import reduce
from archives.table import ScoreTable
from fitness.errors import UserError


def table_of(scores):
    scores = np.asarray(scores, dtype=np.float32)
    heads = tuple(f"L{row // 4}H{row % 4}" for row in range(len(scores)))
    return ScoreTable(scores, heads, tuple(f"p{column:03d}" for column in range(scores.shape[1])))


def random_table(seed, heads, programs, missing):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 33, (heads, programs)).astype(np.float32) / 32
    scores[rng.random((heads, programs)) < missing] = np.nan
    return table_of(scores), rng.integers(1, 6, programs).astype(float) * 10


tables = st.builds(
    random_table, st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.0, 0.4, 0.9, 1.0])
)
criteria = st.sampled_from([{"epsilon": 0.1}, {"threshold": 0.6}, {"size": 3}, {}, {"epsilon": 0.1, "exact": True}])
criteria |= st.just({"size": 2, "exact": True})


def published_shape(seed=0):
    """144 heads x 112 programs, 59 % of the pairs scored: six patterns in mixtures, heads of different difficulty."""
    rng = np.random.default_rng(seed)
    patterns, mixture = rng.random((112, 6)), rng.dirichlet(np.ones(6) * 0.4, 144)
    scores = rng.beta(5, 2, (144, 1)) * (0.4 + 0.6 * mixture @ patterns.T) + rng.normal(0, 0.02, (144, 112))
    scores[rng.random((144, 112)) > 0.59] = np.nan
    return table_of(np.clip(scores, 0, 1)), rng.integers(80, 900, 112).astype(float)


@given(tables, criteria, st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_order_of_rows_and_columns_does_not_matter(case, criterion, seed):
    table, costs = case
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(table.heads)), rng.permutation(len(table.programs))
    signatures = [f"b{number // 2}" for number in range(len(table.programs))]
    turned = ScoreTable(
        table.scores[rows][:, columns], [table.heads[r] for r in rows], [table.programs[c] for c in columns]
    )
    one = reduce(table, costs=costs, signatures=signatures, rounds=20, **criterion)
    two = reduce(turned, costs=costs[columns], signatures=[signatures[c] for c in columns], rounds=20, **criterion)
    assert [table.programs[p] for p in one.selected] == [turned.programs[p] for p in two.selected]
    for row, place in enumerate(rows):
        chosen = [
            r.programs[n] if n >= 0 else None
            for r, n in ((table, one.assignment[place]), (turned, two.assignment[row]))
        ]
        assert chosen[0] == chosen[1]
    assert (one.lower_bound, one.optimal, one.cost, one.cheapest) == (
        two.lower_bound,
        two.optimal,
        two.cost,
        two.cheapest,
    )
    assert one.mean == pytest.approx(two.mean, abs=1e-9)
    assert one.mean_bound == pytest.approx(two.mean_bound, abs=1e-9)


@given(tables, criteria)
@example(random_table(1, 3, 9, 0.0), {"size": 3})  # two programs serve all heads best
@settings(max_examples=80, deadline=None)
def test_every_head_that_can_be_covered_is_and_bounds_hold(case, criterion):
    table, costs = case
    result = reduce(table, costs=costs, rounds=20, **criterion)
    means = table.means
    best = np.fmax.reduce(means, axis=1)
    for head, program in enumerate(result.assignment):
        assert (program < 0) == np.isnan(means[head, result.selected]).all()
        if program >= 0:
            assert result.iou[head] == means[head, program] == np.nanmax(means[head, result.selected])
    if "size" in criterion:
        assert len(result.selected) <= criterion["size"]
        assert result.mean_bound >= result.mean - 1e-9
    else:
        need = np.full(len(best), 0.6) if "threshold" in criterion else best - criterion.get("epsilon", 0.02)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(result.covered, best >= need - 1e-6)
            assert (result.iou[result.covered] >= need[result.covered] - 1e-5).all()
        np.testing.assert_array_equal(result.covered, ~result.uncoverable)
    assert result.lower_bound <= len(result.selected)
    assert all((result.assignment == program).any() for program in result.selected)


@given(tables, st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_more_programs_never_lower_the_full_mean(case, seed):
    table, _ = case
    extra = random_table(seed, len(table.heads), 3, 0.5)[0].scores
    wider = table_of(np.concatenate([table.scores, extra], axis=1))
    assert reduce(wider, rounds=0).full_mean >= reduce(table, rounds=0).full_mean - 1e-9


@given(tables)
@settings(max_examples=40, deadline=None)
def test_larger_libraries_have_better_means_of_falling_gains(case):
    table, _ = case
    means = [0.0, *(reduce(table, size=size).mean for size in range(1, 6))]
    gains = np.diff(means)
    assert (gains >= -1e-9).all()
    assert (np.diff(gains) <= 1e-9).all()


@given(tables)
@settings(max_examples=40, deadline=None)
def test_the_exact_answer_is_never_larger(case):
    table, costs = case
    fast, exact = (reduce(table, costs=costs, epsilon=0.1, exact=exact, rounds=20) for exact in (False, True))
    assert exact.optimal
    assert exact.cheapest
    assert (len(exact.selected), exact.cost) <= (len(fast.selected), fast.cost)
    assert fast.lower_bound <= len(exact.selected)


def test_a_cover_within_epsilon_keeps_the_mean_near_that_of_all_programs():
    table, costs = published_shape()
    result = reduce(table, costs=costs)
    assert result.full_mean - 0.02 <= result.mean <= result.full_mean
    assert result.covered.all()
    assert len(result.selected) < 50


def test_published_shape_is_proven_optimal():
    table, costs = published_shape()
    result = reduce(table, costs=costs, exact=True)
    assert result.optimal
    assert result.cheapest
    assert result.lower_bound == len(result.selected)


def test_programs_of_equal_behaviour_count_once_and_the_shortest_is_kept():
    table = table_of([[0.9, 0.9, 0.1], [0.9, np.nan, 0.1], [0.1, 0.1, 0.8]])
    result = reduce(table, costs=[50, 20, 30], signatures=["x", "x", "y"])
    assert result.selected.tolist() == [1, 2]
    assert result.duplicates == 1
    assert result.representative.tolist() == [1, 1, 2]
    # The duplicate's score is filled in where only the longer program was scored.
    assert result.assignment.tolist() == [1, 1, 2]
    assert result.iou[1] == np.float32(0.9)


def test_ties_go_to_the_shorter_source_then_to_the_smaller_name():
    table = table_of(np.full((2, 3), 0.5))
    assert reduce(table, costs=[9, 5, 5]).selected.tolist() == [1]
    assert reduce(table, costs=[9, 5, 5], size=1).selected.tolist() == [1]
    assert reduce(table).best.tolist() == [0, 0]


def test_rounding_of_float32_does_not_decide_who_is_within_epsilon():
    assert reduce(table_of([[0.7, 0.68], [0.1, 0.5]])).selected.tolist() == [1]


def test_all_missing_gives_an_empty_library_and_says_so():
    result = reduce(table_of(np.full((3, 2), np.nan)), exact=True)
    assert result.selected.tolist() == []
    assert result.assignment.tolist() == [-1, -1, -1]
    assert result.uncoverable.all()
    assert not result.covered.any()
    assert (result.single, result.lower_bound, result.mean, result.optimal) == (-1, 0, 0.0, True)


def test_one_head_takes_its_best_program_or_a_shorter_one_within_epsilon():
    table = table_of([[0.3, 0.8, 0.79]])
    assert reduce(table, costs=[1, 50, 60]).selected.tolist() == [1]
    assert reduce(table, costs=[1, 60, 50]).selected.tolist() == [2]


def test_threshold_leaves_out_heads_that_nothing_reaches():
    result = reduce(table_of([[0.9, 0.2], [0.3, 0.4]]), threshold=0.5)
    assert result.selected.tolist() == [0]
    assert result.covered.tolist() == [True, False]
    assert result.uncoverable.tolist() == [False, True]
    assert result.assignment.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.1, "size": 2}, "epsilon and size exclude each other"),
        ({"size": 0}, "size must be at least 1"),
        ({"epsilon": -0.1}, "epsilon must lie in"),
        ({"threshold": 1.5}, "threshold must lie in"),
        ({"threshold": float("nan")}, "threshold must lie in"),
    ],
)
def test_criteria_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        reduce(table_of([[0.5]]), **options)


def test_an_empty_table_is_refused():
    for shape in ((0, 3), (3, 0), (0, 0)):
        with pytest.raises(UserError, match="nothing to reduce"):
            reduce(table_of(np.zeros(shape)))


def test_costs_and_behaviours_must_fit_the_programs():
    with pytest.raises(ValueError, match="costs have shape"):
        reduce(table_of([[0.5, 0.5]]), costs=[1])
    with pytest.raises(ValueError, match="must be positive"):
        reduce(table_of([[0.5, 0.5]]), costs=[1, 0])
    with pytest.raises(ValueError, match="1 signatures for 2"):
        reduce(table_of([[0.5, 0.5]]), signatures=["a"])
