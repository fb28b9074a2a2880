import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives.cover import Cover, counting_greedy, hardest_first, iterated_greedy, prune_cover, rounds_for, solve
from archives.exact import exact_cover, lower_bound


def instance(seed, heads, programs, share):
    rng = np.random.default_rng(seed)
    return rng.random((heads, programs)) < share, rng.integers(50, 900, programs).astype(float)


def small(seed):
    rng = np.random.default_rng(seed)
    heads, programs = int(rng.integers(5, 40)), int(rng.integers(5, 40))
    return instance(seed + 1_000_000, heads, programs, rng.uniform(0.05, 0.4))


matrices = st.builds(
    instance, st.integers(0, 10**6), st.integers(1, 25), st.integers(1, 25), st.sampled_from([0.05, 0.2, 0.5, 0.9])
)


def is_cover(matrix, selected):
    return bool((matrix[:, selected].any(axis=1) == matrix.any(axis=1)).all())


def plain_greedy(matrix, costs):
    open_heads, chosen = matrix.any(axis=1), []
    while open_heads.any():
        ratio = matrix[open_heads].sum(axis=0) / costs
        chosen.append(int(np.argmax(ratio)))
        open_heads = open_heads & ~matrix[:, chosen[-1]]
    return chosen


def test_rows_and_matrix_give_the_same_instance():
    matrix, _ = instance(0, 30, 20, 0.3)
    one = Cover.from_matrix(matrix)
    two = Cover.from_rows(one.head_offsets, one.head_programs, 20)
    np.testing.assert_array_equal(one.program_heads, two.program_heads)
    np.testing.assert_array_equal(one.program_offsets, two.program_offsets)
    for head in range(30):
        np.testing.assert_array_equal(one.programs_of(head), np.flatnonzero(matrix[head]))
    for program in range(20):
        np.testing.assert_array_equal(one.heads_of(program), np.flatnonzero(matrix[:, program]))


@given(matrices)
@settings(max_examples=80, deadline=None)
def test_counting_greedy_equals_the_plain_formula(case):
    matrix, costs = case
    assert counting_greedy(Cover.from_matrix(matrix), costs) == plain_greedy(matrix, costs)


@given(matrices)
@settings(max_examples=80, deadline=None)
def test_every_method_covers_and_pruned_covers_are_irredundant(case):
    matrix, costs = case
    cover = Cover.from_matrix(matrix)
    for selected in (counting_greedy(cover, costs), hardest_first(cover, costs)):
        assert is_cover(matrix, selected)
        for pruned in (prune_cover(cover, costs, selected), solve(cover, costs, seed=0, rounds=20)):
            assert is_cover(matrix, pruned)
            for program in pruned:
                assert not is_cover(matrix, [p for p in pruned if p != program])


@given(matrices)
@settings(max_examples=40, deadline=None)
def test_iterated_greedy_never_makes_a_cover_worse_and_repeats_itself(case):
    matrix, costs = case
    cover = Cover.from_matrix(matrix)
    start = prune_cover(cover, costs, hardest_first(cover, costs))
    runs = [iterated_greedy(cover, costs, start, rounds=15, rng=np.random.default_rng(4)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert (len(runs[0]), costs[runs[0]].sum()) <= (len(start), costs[sorted(start)].sum())


@given(matrices)
@settings(max_examples=40, deadline=None)
def test_bounds_hold_and_greedy_keeps_its_guarantee(case):
    matrix, costs = case
    cover = Cover.from_matrix(matrix)
    selected = solve(cover, costs, seed=0, rounds=30)
    answer = exact_cover(cover, costs, selected, seconds=20)
    optimum = len(selected if answer.selected is None else answer.selected)
    assert lower_bound(cover, len(selected)) <= optimum
    assert answer.lower_bound == optimum
    assert len(counting_greedy(cover, np.ones(cover.programs))) <= (1 + np.log(max(1, cover.heads))) * optimum
    assert len(selected) <= (1 + np.log(max(1, cover.heads))) * optimum


def test_without_time_the_exact_answer_is_the_known_cover_with_a_bound():
    matrix, costs = instance(1, 80, 80, 0.08)
    cover = Cover.from_matrix(matrix)
    known = prune_cover(cover, costs, hardest_first(cover, costs))
    answer = exact_cover(cover, costs, known, seconds=1e-6)
    assert answer.selected is None
    assert 1 <= lower_bound(cover, len(known)) <= answer.lower_bound < len(known)
    assert not answer.cheapest


def test_hopeless_heads_are_left_out():
    matrix = np.array([[True, False], [False, False]])
    cover = Cover.from_matrix(matrix)
    assert solve(cover, np.ones(2), seed=0) == [0]
    nothing = Cover.from_matrix(np.zeros((3, 4), dtype=bool))
    assert solve(nothing, np.ones(4), seed=0) == []
    assert lower_bound(nothing, 0) == 0
    assert exact_cover(nothing, np.ones(4), [], seconds=1).selected == []


def test_fewer_programs_come_before_shorter_ones_and_shorter_before_smaller_numbers():
    # One long program covers all; two short ones do too.
    matrix = np.array([[1, 1, 0], [1, 0, 1]], dtype=bool)
    assert solve(Cover.from_matrix(matrix), np.array([900.0, 10, 10]), seed=0) == [0]
    twins = np.ones((2, 3), dtype=bool)
    assert solve(Cover.from_matrix(twins), np.array([30.0, 20, 20]), seed=0) == [1]


def test_rounds_are_a_function_of_the_instance():
    matrix, _ = instance(0, 144, 112, 0.1)
    assert rounds_for(Cover.from_matrix(matrix), 12) == rounds_for(Cover.from_matrix(matrix[::-1]), 12)
    larger, _ = instance(0, 800, 4000, 0.1)
    assert rounds_for(Cover.from_matrix(larger), 12) < rounds_for(Cover.from_matrix(matrix), 12)


@pytest.mark.slow
def test_equals_the_optimum_on_200_random_instances_99_times_in_100():
    equal = 0
    for seed in range(200):
        matrix, costs = small(seed)
        cover = Cover.from_matrix(matrix)
        selected = solve(cover, costs, seed=0, rounds=400)
        answer = exact_cover(cover, costs, selected, seconds=60)
        optimum = selected if answer.selected is None else answer.selected
        assert answer.lower_bound == len(optimum)
        assert len(selected) <= (1 + np.log(cover.heads)) * len(optimum)
        equal += len(selected) == len(optimum)
    assert equal >= 198
