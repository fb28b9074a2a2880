"""Who may spend next: shares, a bandit that follows rewards, the same choices for the same seed."""

from collections import Counter

import numpy as np
import pytest

from evolve.config import Config
from evolve.scheduler import (
    EVALUATION_SECONDS,
    KNOWN_IN_A_ROW,
    OFFLINE_SECONDS,
    REST,
    SECONDS_PER_USD,
    Arm,
    make_scheduler,
)
from evolve.store.records import CallCost, ProposalRecord
from fitness.errors import UserError

MODELS = [
    {"model": "cheap", "price_per_million": {"input": 1.0, "output": 1.0}, "tokens_per_second": 100},
    {"model": "dear", "price_per_million": {"input": 50.0, "output": 50.0}, "tokens_per_second": 100},
]


def config(choice="bandit", models=MODELS, prompts=None, **operators):
    return Config.model_validate(
        {
            "model": "m",
            "texts": "t",
            "stop": {"max_programs": 1},
            "search": {"choice": choice},
            "operators": operators,
            "llm": {"models": models, "max_in_flight": 4, "prompts": prompts},
        }
    )


def record(arm, gain=0.0, outcome="new", candidate=0):
    return ProposalRecord(
        1, 0, candidate, arm.operator, 0, (), outcome, gain=gain, call=None, model=arm.model, template=arm.template
    )


def call(tokens=400, usd=0.0):
    return CallCost(tokens, usd)


def picks(scheduler, count=400, seed=0, **allowed):
    allowed = {"can_repair": True} | allowed
    return Counter(scheduler.choose(np.random.default_rng((seed, step)), **allowed) for step in range(count))


def simulate(scheduler, reward, slots, seed=0):
    """Slots in turn; `reward(arm, rng)` gives gain, tokens and dollars."""
    chosen = []
    for slot in range(slots):
        rng = np.random.default_rng((seed, slot))
        arm = scheduler.choose(rng, can_repair=True)
        gain, tokens, usd = reward(arm, rng)
        scheduler.learn(record(arm, gain), call(tokens, usd) if arm.model else None)
        chosen.append(arm)
    return chosen


def test_arms_are_operators_by_prompts_by_models(tmp_path):
    (tmp_path / "mutate.short.md").write_text("{{ program }}")
    arms = make_scheduler(config(prompts=tmp_path, residual=1, mutate=1, fresh=1)).arms
    assert [(arm.operator, arm.model, arm.prompt) for arm in arms] == [
        ("residual", None, None),
        ("mutate", "cheap", "mutate"),
        ("mutate", "cheap", "mutate.short"),
        ("mutate", "dear", "mutate"),
        ("mutate", "dear", "mutate.short"),
        ("fresh", "cheap", "fresh"),
        ("fresh", "dear", "fresh"),
    ]
    assert len({arm.template for arm in arms}) == 4


def test_fixed_shares_are_kept_whatever_the_rewards():
    scheduler = make_scheduler(config("shares", residual=1, tweak=3, fresh=4))
    for _ in range(100):
        scheduler.learn(record(Arm("tweak"), 5.0))
    counts = picks(scheduler, 4000)
    shares = Counter()
    for arm, count in counts.items():
        shares[arm.operator] += count / 4000
    assert shares == {
        "residual": pytest.approx(1 / 8, abs=0.03),
        "tweak": pytest.approx(3 / 8, abs=0.03),
        "fresh": pytest.approx(1 / 2, abs=0.03),
    }
    assert len(counts) == 4


def test_an_operator_without_a_share_never_gets_a_slot():
    assert {arm.operator for arm in picks(make_scheduler(config(residual=1, tweak=0)))} == {"residual"}


def test_the_same_seed_and_rewards_give_the_same_choices():
    def reward(arm, rng):
        return float(rng.random()) * (arm.operator == "tweak"), 100, 0.001

    runs = [simulate(make_scheduler(config(residual=1, tweak=1, mutate=1)), reward, 200, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_campaign_that_says_nothing_of_it_has_a_bandit():
    plain = {"model": "m", "texts": "t", "stop": {"max_programs": 1}}
    scheduler = make_scheduler(Config.model_validate(plain))
    chosen = simulate(scheduler, lambda arm, rng: (1.0 if arm.operator == "residual" else 0.0, 0, 0.0), 200)
    assert Counter(arm.operator for arm in chosen[100:])["residual"] > 80


def test_the_bandit_finds_the_arm_of_most_reward_per_cost():
    def reward(arm, rng):
        return (0.02 if arm.operator == "genetic" else 0.002) * (rng.random() < 0.5), 0, 0.0

    chosen = simulate(make_scheduler(config(models=[], tweak=1, genetic=1, simplify=1)), reward, 600)
    assert Counter(arm.operator for arm in chosen[-300:])["genetic"] > 200


def test_dollars_count():
    def reward(arm, rng):
        return 0.01, 400, 0.05 if arm.model == "dear" else 0.001

    chosen = simulate(make_scheduler(config(fresh=1)), reward, 400)
    assert Counter(arm.model for arm in chosen[-200:])["cheap"] > 150


def test_an_llm_of_enough_reward_wins_against_cheap_operators():
    def reward(arm, rng):
        return (1.0, 400, 0.001) if arm.model else (0.0001, 0, 0.0)

    chosen = simulate(make_scheduler(config(models=MODELS[:1], tweak=1, mutate=1)), reward, 400)
    assert Counter(arm.operator for arm in chosen[-200:])["mutate"] > 150


def test_no_arm_starves_and_one_rewarded_late_is_noticed():
    def reward(arm, rng):
        late = len(history) > 600
        history.append(arm)
        return (0.05 if (arm.operator == "genetic") == late else 0.0), 0, 0.0

    history = []
    simulate(make_scheduler(config(models=[], tweak=1, genetic=1)), reward, 2000)
    early, late = Counter(a.operator for a in history[300:600]), Counter(a.operator for a in history[-300:])
    assert early["tweak"] > 200
    assert early["genetic"] > 3
    assert late["genetic"] > 200


def test_only_what_is_allowed_is_chosen():
    scheduler = make_scheduler(config(tweak=1, repair=5, fresh=5))
    assert "repair" not in {arm.operator for arm in picks(scheduler, can_repair=False)}
    assert {arm.operator for arm in picks(scheduler, can_call=False)} == {"tweak"}
    assert {arm.operator for arm in picks(scheduler)} == {"tweak", "repair", "fresh"}


def test_nothing_left_to_ask_is_said():
    scheduler = make_scheduler(config(fresh=1))
    with pytest.raises(UserError, match="offline operator"):
        scheduler.choose(np.random.default_rng(0), can_repair=True, can_call=False)
    with pytest.raises(UserError, match="repair alone"):
        make_scheduler(config(repair=1))


def test_costs_are_estimated_from_tokens_and_prices():
    scheduler = make_scheduler(config("shares", tweak=1, fresh=1))
    arm = next(arm for arm in scheduler.arms if arm.model == "dear")
    scheduler.learn(record(arm, 0.5), call(tokens=800, usd=0.01))
    scheduler.learn(record(arm, 0.25, candidate=1), call(tokens=800, usd=0.01))
    scheduler.learn(record(Arm("tweak"), outcome="known"))
    rows = {row.arm.label: row.rewards for row in scheduler.explain()}
    fresh = rows["fresh dear"]
    assert (fresh.slots, fresh.gain, fresh.usd) == (1, 0.75, 0.01)
    seconds = 800 / 100 / 4 + 2 * EVALUATION_SECONDS  # four in flight share the time; two programs were evaluated
    assert fresh.seconds == pytest.approx(seconds, abs=0.05)
    assert fresh.gain_per_second == pytest.approx(0.75 / (seconds + 0.01 * SECONDS_PER_USD), rel=1e-3)
    assert rows["tweak"].seconds == pytest.approx(OFFLINE_SECONDS["tweak"], abs=1e-9)


def test_a_call_without_an_answer_still_costs_its_time():
    scheduler = make_scheduler(config("shares", fresh=1))
    arm = scheduler.arms[0]
    scheduler.learn(record(arm, outcome="timeout"))
    row = next(row for row in scheduler.explain() if row.rewards.slots).rewards
    assert (row.gain, row.usd) == (0, 0)
    assert row.seconds == pytest.approx(1500 / 100 / 4, abs=0.05)


def test_the_reward_of_an_edited_template_is_not_credited_to_the_new_one():
    scheduler = make_scheduler(config(fresh=1))
    scheduler.learn(record(Arm("fresh", "cheap", "fresh", "0123456789abcdef"), 9.0), call())
    assert all(row.rewards.slots == 0 for row in scheduler.explain())


def test_the_table_explains_the_choice():
    scheduler = make_scheduler(config(models=[], tweak=1, genetic=1))
    for _ in range(50):
        scheduler.learn(record(Arm("genetic"), 0.1))
        scheduler.learn(record(Arm("tweak"), 0.0))
    rows = scheduler.explain()
    assert [row.arm.label for row in rows] == ["genetic", "tweak"]
    assert sum(row.chance for row in rows) == pytest.approx(1, abs=1e-3)
    frequency = picks(scheduler, 2000)[Arm("genetic")] / 2000
    assert rows[0].chance == pytest.approx(frequency, abs=0.05)
    assert scheduler.explain() == rows


def test_an_arm_that_gives_known_programs_alone_rests_and_the_others_go_on():
    scheduler = make_scheduler(config(fresh=1, tweak=1))
    cheap = next(arm for arm in scheduler.arms if arm.model == "cheap")
    for number in range(KNOWN_IN_A_ROW - 1):
        scheduler.learn(record(cheap, outcome="known", candidate=number), call())
    assert picks(scheduler, 200)[cheap] > 0
    scheduler.learn(record(cheap, outcome="known"), call())
    chosen = picks(scheduler, REST - 1)
    assert chosen[cheap] == 0
    assert sum(chosen.values()) == REST - 1
    assert picks(scheduler, 200)[cheap] > 0
    scheduler.learn(record(cheap, outcome="known"), call())
    assert picks(scheduler, 200)[cheap] == 0


def test_models_that_all_repeat_themselves_end_a_campaign_with_a_word():
    scheduler = make_scheduler(config(models=MODELS[:1], fresh=1))
    for number in range(KNOWN_IN_A_ROW):
        scheduler.learn(record(scheduler.arms[0], outcome="known", candidate=number), call())
    with pytest.raises(UserError, match="known already"):
        picks(scheduler, 1)


def test_offline_arms_and_new_programs_do_not_rest():
    scheduler = make_scheduler(config(fresh=1, tweak=1))
    tweak = next(arm for arm in scheduler.arms if arm.model is None)
    cheap = next(arm for arm in scheduler.arms if arm.model == "cheap")
    for number in range(2 * KNOWN_IN_A_ROW):
        scheduler.learn(record(tweak, outcome="known", candidate=number))
        scheduler.learn(record(cheap, outcome="new" if number % 50 == 49 else "known", candidate=number), call())
    assert {tweak, cheap} <= set(picks(scheduler))
