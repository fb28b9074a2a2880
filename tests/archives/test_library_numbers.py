import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives.bootstrap import Split, text_weights
from archives.build_library import build_library, needed_on_test
from archives.curves import coverage_csv, coverage_curve, curve_order
from archives.reduce import reduce
from archives.table import ScoreTable
from fitness.program import Program

HEADS = tuple(f"L{row // 4}H{row % 4}" for row in range(8))


def case(seed=0, programs=6, texts=9):
    rng = np.random.default_rng(seed)
    names = tuple(f"p{number}" for number in range(programs))
    base = rng.random((8, programs, 1))
    held_out, test = (np.clip(base + rng.normal(0, 0.1, (8, programs, texts)), 0, 1) for _ in range(2))
    return ScoreTable(held_out, HEADS, names), ScoreTable(test, HEADS, names)


def test_library_is_chosen_on_held_out_and_reported_on_test():
    held_out, test = case()
    result = reduce(held_out)
    library = build_library(held_out, result, test=test)
    columns = result.assignment
    assert library.test.mean.value == pytest.approx(float(test.means[np.arange(8), columns].mean()), abs=1e-6)
    assert library.held_out.mean.value == pytest.approx(result.mean, abs=1e-6)
    # Another test split changes the numbers and not the choice.
    other = build_library(held_out, result, test=case(seed=5)[1])
    assert [m.id for m in other.members] == [m.id for m in library.members]
    assert other.test.mean.value != library.test.mean.value


def test_scores_of_a_split_are_those_of_the_plain_formulas():
    held_out, test = case()
    result = reduce(held_out, size=2)
    scores = build_library(held_out, result, test=test).test
    iou = test.means[np.arange(8), result.assignment]
    best = test.means[np.arange(8), result.best]
    assert scores.median == pytest.approx(np.median(iou))
    assert scores.worst == pytest.approx(iou.min())
    assert scores.under_low == (iou < 0.4).sum()
    assert scores.within_epsilon == (iou >= best - 0.02).sum()
    assert scores.full_mean.value == pytest.approx(best.mean())
    single = test.means[:, int(np.argmax(held_out.means.sum(axis=0)))]
    assert scores.single_mean.value == pytest.approx(single.mean())
    assert scores.excess.value == pytest.approx((iou - single).mean(), abs=1e-6)


def test_intervals_hold_the_value_and_shrink_with_more_texts():
    widths = []
    for texts in (8, 200):
        held_out, test = case(texts=texts)
        estimate = build_library(held_out, reduce(held_out), test=test).test.mean
        assert estimate.low <= estimate.value <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


def test_interval_matches_the_standard_error_of_the_mean():
    rng = np.random.default_rng(0)
    scores = np.clip(0.5 + 0.1 * rng.standard_normal((1, 1, 100)), 0, 1)
    split = Split.of(ScoreTable(scores, ("L0H0",), ("p",)), seed=1, resamples=4000)
    estimate = split.mean(["p"])
    expected = 2 * 1.96 * scores.std() / np.sqrt(100)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.1)


def test_differences_are_paired_by_text():
    # Two programs that differ by a constant on texts that differ much: the difference has no spread.
    rng = np.random.default_rng(0)
    base = rng.uniform(0.1, 0.8, (1, 1, 30))
    split = Split.of(
        ScoreTable(np.concatenate([base, base + 0.1], axis=1), ("L0H0",), ("a", "b")), seed=0, resamples=200
    )
    difference = split.mean(["b"], less=["a"])
    assert difference.high - difference.low < 1e-6
    assert difference.value == pytest.approx(0.1, abs=1e-6)
    assert split.mean(["a"]).high - split.mean(["a"]).low > 0.02


def test_texts_are_drawn_within_their_run():
    weights = text_weights(["a", "b", "a", "b", "b"], 50, seed=0)
    assert (weights[:, [0, 2]].sum(axis=1) == 2).all()
    assert (weights[:, [1, 3, 4]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, text_weights(["a", "b", "a", "b", "b"], 50, seed=0))


def test_a_merged_table_scores_each_head_on_its_own_texts():
    scores = np.full((2, 1, 4), np.nan, dtype=np.float32)
    scores[0, 0, :2], scores[1, 0, 2:] = [0.2, 0.4], [0.6, 1.0]
    table = ScoreTable(scores, ("a/L0H0", "b/L0H0"), ("p",), ("a/0", "a/1", "b/0", "b/1"), ("a", "a", "b", "b"))
    library = build_library(table, reduce(table), test=table)
    assert [line.iou_test.value for line in library.heads] == pytest.approx([0.3, 0.8])
    assert library.test.mean.low == pytest.approx((0.2 + 0.6) / 2)
    assert library.test.mean.high == pytest.approx((0.4 + 1.0) / 2)


def test_losses_and_substitutes_of_each_program():
    held_out = ScoreTable(
        [[0.9, 0.1, 0.8], [0.8, 0.2, 0.6], [0.1, 0.7, 0.0]], ("L0H0", "L0H1", "L0H2"), ("p0", "p1", "p2")
    )
    library = build_library(held_out, reduce(held_out))
    first, second = library.members
    assert (first.id, first.heads) == ("p0", ("L0H0", "L0H1"))
    assert first.losses == pytest.approx({"L0H0": 0.8, "L0H1": 0.6})
    assert (first.substitute, second.substitute) == ("p2", "p2")
    assert first.substitute_loss == pytest.approx(0.15, abs=1e-6)
    assert second.substitute_loss == pytest.approx(0.7, abs=1e-6)
    assert library.test is None
    assert first.iou_test is None


def test_the_only_program_loses_everything_and_has_no_substitute():
    held_out = ScoreTable([[0.75]], ("L0H0",), ("p",))
    member = build_library(held_out, reduce(held_out)).members[0]
    assert member.losses == {"L0H0": 0.75}
    assert member.substitute is None
    assert member.substitute_loss is None


def test_heads_without_a_program_count_zero_and_excess_is_taken_where_the_single_program_was_scored():
    nan = np.nan
    held_out = ScoreTable([[0.9, nan], [0.6, nan], [nan, 0.5], [nan, nan]], HEADS[:4], ("p0", "p1"))
    library = build_library(held_out, reduce(held_out), test=held_out)
    assert library.test.mean.value == pytest.approx(0.5)
    assert library.single == "p0"
    assert library.test.single_mean.value == pytest.approx(0.75)
    assert library.test.excess.value == pytest.approx(0.0)
    assert library.heads[3].program is None
    assert library.heads[3].iou_test is None
    assert library.missing.heads_unscored == 1


def test_test_scores_of_the_selected_programs_alone_are_enough():
    held_out, test = case(programs=12)
    result = reduce(held_out, size=2)
    selected = [held_out.programs[number] for number in result.selected]
    library = build_library(held_out, result, test=test.take_programs(selected))
    assert library.test.full_mean is None
    assert library.test.within_epsilon is None
    all_needed = needed_on_test(held_out, result)
    assert set(selected) <= set(all_needed)
    assert build_library(held_out, result, test=test.take_programs(all_needed)).test.full_mean is not None


def test_a_test_table_that_does_not_fit_is_refused():
    held_out, test = case()
    result = reduce(held_out)
    lacking = [name for name in held_out.programs if name != held_out.programs[result.selected[0]]]
    with pytest.raises(ValueError, match="lacks selected programs"):
        build_library(held_out, result, test=test.take_programs(lacking))
    other = ScoreTable(test.scores, tuple(f"x{head}" for head in HEADS), test.programs)
    with pytest.raises(ValueError, match="other heads"):
        build_library(held_out, result, test=other)
    with pytest.raises(ValueError, match="descriptors have shape"):
        build_library(held_out, result, descriptors=np.zeros((2, 2)), descriptor_names=["reach", "focus"])


def test_heads_of_the_test_table_may_come_in_another_order():
    held_out, test = case()
    result = reduce(held_out)
    turned = ScoreTable(test.scores[::-1], HEADS[::-1], test.programs)
    one, two = (build_library(held_out, result, test=table) for table in (test, turned))
    assert one.heads == two.heads


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5]))
@settings(max_examples=30, deadline=None)
def test_curve_rises_with_falling_gains_and_ends_at_the_full_mean(seed, missing):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 33, (6, 7)).astype(np.float32) / 32
    scores[rng.random((6, 7)) < missing] = np.nan
    table = ScoreTable(scores, HEADS[:6], tuple("abcdefg"))
    result = reduce(table, rounds=0)
    curve = coverage_curve(table, result, curve_order(table, result, 7))
    means = [0.0, *(point.mean_held_out for point in curve)]
    assert (np.diff(means) > 0).all()
    assert (np.diff(means, 2) <= 1e-6).all()
    assert means[-1] == pytest.approx(result.full_mean, abs=1e-6)
    assert [point.k for point in curve] == list(range(1, len(curve) + 1))


def test_curve_reports_both_splits_and_the_source_lines():
    held_out, test = case()
    sources = {
        name: Program.parse(f"def program(text):\n    a = {n}\n    return text.same * a\n")
        for n, name in enumerate(held_out.programs, start=1)
    }
    result = reduce(held_out)
    order = curve_order(held_out, result, 4)
    curve = coverage_curve(held_out, result, order, test=test, programs=sources)
    assert [point.source_lines for point in curve] == [3, 6, 9, 12]
    assert curve[0].excess_test == pytest.approx(0)
    column = held_out.programs.index(order[0])
    assert curve[0].mean_test == pytest.approx(test.means[:, column].mean())
    assert curve[0].worst_held_out == pytest.approx(held_out.means[:, column].min())
    rows = list(csv.DictReader(io.StringIO(coverage_csv(curve))))
    assert len(rows) == 4
    assert float(rows[2]["mean_test"]) == pytest.approx(curve[2].mean_test, abs=1e-6)
    blind = coverage_curve(held_out, result, order)
    assert next(csv.DictReader(io.StringIO(coverage_csv(blind))))["mean_test"] == ""
