"""What prompts gain, and which of two is better: against plain formulas and planted truths."""

import numpy as np
import pytest

from evolve.results.prompts.comparison import compare_calls, sign_flip_test
from evolve.results.prompts.statistics import BenchCall, CandidateOutcome, prompt_table, ratio_interval


def made(*outcomes, template="t1", model="m", tokens=(900, 100), usd=0.002, failure=""):
    candidates = tuple(CandidateOutcome(kind, gain) for kind, gain in outcomes)
    return BenchCall("mutate", template, model, candidates, failure, *tokens, usd)


def test_a_row_counts_what_a_template_did():
    calls = [
        made(("ok", 0.3), ("ok", 0.1)),
        made(("ok", 0.0), ("syntax", 0.0)),
        made(("known", 0.0)),
        made(("exception", 0.0), ("syntax", 0.0)),
        made(failure="timeout", tokens=(0, 0), usd=0.0),
    ]
    (row,) = prompt_table(calls)
    assert (row.operator, row.template, row.model) == ("mutate", "t1", "m")
    assert (row.calls, row.candidates, row.tokens) == (5, 7, 4000)
    assert list(row.errors.items()) == [("syntax", 2), ("exception", 1), ("timeout", 1)]
    assert row.valid_share.value == pytest.approx(3 / 5)
    assert row.improved_share.value == pytest.approx(1 / 5)
    assert row.mean_gain.value == pytest.approx(0.4 / 5)
    assert row.best_gain == pytest.approx(0.4)
    assert row.gain_per_1000_tokens.value == pytest.approx(0.4 / 4)
    assert row.gain_per_usd.value == pytest.approx(0.4 / 0.008)


def test_versions_and_models_are_kept_apart_and_the_best_comes_first():
    calls = [made(("ok", 0.1)), made(("ok", 0.3), template="t2"), made(("ok", 0.2), model="n")]
    assert [(row.template, row.model) for row in prompt_table(calls)] == [("t2", "m"), ("t1", "n"), ("t1", "m")]


def test_a_free_model_has_no_gain_per_dollar():
    (row,) = prompt_table([made(("ok", 0.1), usd=0.0)])
    assert row.gain_per_usd is None
    assert prompt_table([]) == []


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        sample = rng.exponential(1.0, 60)
        interval = ratio_interval(sample, np.ones(60), trial)
        held += interval.low <= 1.0 <= interval.high
    assert held / 200 > 0.88


def test_intervals_narrow_with_more_calls_and_are_the_same_for_the_same_seed():
    rng = np.random.default_rng(1)
    few, many = rng.random(20), rng.random(2000)
    wide, narrow = (ratio_interval(sample, np.ones(len(sample)), 0) for sample in (few, many))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert ratio_interval(few, np.ones(20), 0) == wide


def test_a_planted_flaw_loses_with_the_interval_clear_of_zero():
    rng = np.random.default_rng(2)
    pairs = []
    for _ in range(40):
        worth = 0.2 * rng.random()
        flawed = made(("exception", 0.0)) if rng.random() < 0.5 else made(("ok", worth))
        pairs.append((flawed, made(("ok", worth), template="t2")))
    found = compare_calls(pairs)
    assert found.better == "b"
    assert found.difference.low > 0
    assert found.valid_difference.low > 0
    assert found.p_value < 0.01
    assert found.sure > 0.99
    assert found.sentence("A.md", "B.md").startswith("B.md is better than A.md")
    turned = compare_calls([(b, a) for a, b in pairs])
    assert turned.better == "a"
    assert turned.sentence("A.md", "B.md").startswith("A.md is better than B.md")


def test_identical_prompts_do_not_differ():
    pairs = [(made(("ok", gain)), made(("ok", gain), template="t2")) for gain in np.random.default_rng(3).random(50)]
    found = compare_calls(pairs)
    assert found.better is None
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert (found.p_value, found.sure) == (1.0, 0.5)
    assert found.sentence("A.md", "B.md").startswith("no difference is shown")


def test_prompts_that_differ_by_chance_alone_are_rarely_told_apart():
    rng = np.random.default_rng(4)
    wrong = 0
    for trial in range(100):
        gains = rng.exponential(0.05, (30, 2))
        wrong += compare_calls([(made(("ok", a)), made(("ok", b))) for a, b in gains], trial).better is not None
    assert wrong <= 10


def test_pairing_finds_what_means_cannot():
    rng = np.random.default_rng(5)
    pairs = []
    for _ in range(30):
        worth = rng.random()  # heads differ far more than prompts do
        pairs.append((made(("ok", worth)), made(("ok", worth + 0.01 + 0.005 * rng.random()))))
    found = compare_calls(pairs)
    assert found.better == "b"
    one, other = (ratio_interval(np.array([pair[side].gain for pair in pairs]), np.ones(30), 0) for side in (0, 1))
    assert one.high > other.low, "unpaired intervals overlap"


def test_a_handful_of_pairs_shows_nothing():
    found = compare_calls([(made(("ok", 0.0)), made(("ok", 1.0)))] * 4)
    assert found.better is None
    assert "are the least" in found.sentence("A.md", "B.md")
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_calls([])


def test_the_sign_flip_test_is_exact_for_few_pairs():
    assert sign_flip_test(np.ones(6)) == pytest.approx(2 / 2**6)
    assert sign_flip_test(np.zeros(6)) == 1.0
    differences = np.array([3.0, -1.0, 2.0])
    sums = [abs(a * 3 + b * 1 + c * 2) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    assert sign_flip_test(differences) == pytest.approx(np.mean(np.array(sums) >= 4))


def test_a_comparison_is_plain_json():
    found = compare_calls([(made(("ok", 0.0)), made(("ok", 0.1)))] * 8).as_dict()
    assert found["better"] == "b"
    assert found["pairs"] == 8
    assert set(found["difference"]) == {"value", "low", "high"}
