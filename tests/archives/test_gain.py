"""What a library is worth beyond its references, and beyond another library: paired, and only beyond noise."""

import numpy as np
import pytest

from archives.bootstrap import Estimate, Split, text_weights
from archives.build_library import build_library
from archives.compare import compare_libraries
from archives.export import library_json
from archives.gain import best_of, beyond_noise, gain_over
from archives.reduce import reduce
from archives.table import ScoreTable

HEADS = tuple(f"L{row // 4}H{row % 4}" for row in range(8))
TEXTS = 30


def scored(edge, *, seed=0, noise=0.02, texts=TEXTS):
    """A split where "program" beats "table" by `edge` on each head, both moved by the texts far more than by that."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 0.1, (len(HEADS), texts))
    table = 0.5 + hard
    program = 0.5 + hard + np.broadcast_to(edge, len(HEADS))[:, None] + rng.normal(0, noise, hard.shape)
    return ScoreTable(np.clip(np.stack([program, table], axis=1), 0, 1), HEADS, ("program", "table"))


def gain_of(table):
    split = Split.of(table, seed=0, resamples=1000)
    return gain_over(split, ["program"] * len(HEADS), ["table"] * len(HEADS))


def test_a_gain_much_smaller_than_the_noise_of_means_is_found_as_it_is_paired():
    gain = gain_of(scored(0.02))
    assert gain.gain.value == pytest.approx(0.02, abs=0.01)
    assert gain.beaten
    width, own_width = gain.gain.high - gain.gain.low, gain.other.high - gain.other.low
    assert width < own_width / 3
    plain = scored(0.02).means
    assert gain.gain.value == pytest.approx(float((plain[:, 0] - plain[:, 1]).mean()), abs=1e-6)


def test_a_library_that_equals_its_reference_has_a_gain_of_zero_within_its_interval():
    gain = gain_of(scored(0.0, noise=0.05))
    assert gain.gain.low <= 0 <= gain.gain.high
    assert not gain.beaten
    same = gain_of(scored(0.0, noise=0.0))
    assert (same.gain.value, same.gain.low, same.gain.high) == (0, 0, 0)
    assert same.won == same.lost == 0


def test_heads_are_won_and_lost_beyond_their_own_noise_alone():
    edges = np.array([0.05, 0.05, 0.05, -0.05, -0.05, 0.0005, 0, -0.0005])
    gain = gain_of(scored(edges))
    assert [beyond_noise(estimate) for estimate in gain.by_head[:5]] == [1, 1, 1, -1, -1]
    assert gain.won in (3, 4)  # one in twenty heads without a difference seems to have one
    assert gain.lost in (2, 3)


def test_without_scores_by_text_nothing_is_beyond_noise():
    means = ScoreTable(scored(0.2).means, HEADS, ("program", "table"))
    gain = gain_of(means)
    assert gain.gain.value == pytest.approx(0.2, abs=0.02)
    assert gain.gain.low is None
    assert gain.won == 0
    assert not gain.beaten
    assert beyond_noise(None) == beyond_noise(Estimate(0.5)) == 0


def test_the_best_column_is_chosen_on_the_scores_given_and_ties_go_to_the_first():
    means = np.array([[0.1, 0.3, 0.3], [np.nan, 0.1, np.nan], [np.nan] * 3])
    assert best_of(means, ["a", "b", "c"]) == ["b", "b", None]


def libraries(edge, *, seed=0, shared=True, texts=TEXTS):
    """Two libraries of one program each, the second better by `edge` on every head, as `library.json`."""
    table = scored(edge, seed=seed, texts=texts)
    names = [f"text {number}" for number in range(texts)]
    found = []
    for side, column in (("before", 1), ("after", 0)):
        own = names if shared else [f"{side} {name}" for name in names]
        test = ScoreTable(table.scores[:, [column]], HEADS, (side,), tuple(own))
        held_out = ScoreTable(test.means, HEADS, (side,))
        found.append(library_json(build_library(held_out, reduce(held_out), test=test)))
    return found


def test_two_libraries_are_compared_by_text_and_win_a_head_only_beyond_its_noise():
    result = compare_libraries(*libraries(0.02))
    assert len(result.won) == 8
    assert result.texts_shared == TEXTS
    assert result.margin is None
    assert result.difference_interval[0] > 0
    assert "paired over 30 texts" in str(result)
    nothing = compare_libraries(*libraries(0.0, seed=3))
    assert nothing.difference_interval[0] <= 0 <= nothing.difference_interval[1]
    assert len(nothing.won) + len(nothing.lost) <= 2


def test_libraries_read_on_other_texts_are_compared_with_the_noise_of_both():
    paired, unpaired = compare_libraries(*libraries(0.02)), compare_libraries(*libraries(0.02, shared=False))
    assert unpaired.texts_shared == 0
    assert unpaired.mean_after == paired.mean_after
    width = [c.difference_interval[1] - c.difference_interval[0] for c in (paired, unpaired)]
    assert width[1] > 3 * width[0]
    assert len(unpaired.won) < len(paired.won)


def test_a_head_without_a_program_scores_zero_in_a_comparison():
    before, after = libraries(0.0)
    line = after["assignment"]["L0H0"]
    line |= {"program": None, "iou_test": None, "iou_test_by_text": [None] * TEXTS}
    lost = {change.head for change in compare_libraries(before, after).lost}
    assert "L0H0" in lost


def test_weights_of_a_bootstrap_draw_each_group_by_itself():
    weights = text_weights(["both", "both", "after"], 50, seed=0)
    assert (weights[:, 2] == 1).all()
    assert (weights[:, :2].sum(axis=1) == 2).all()
