"""Which operator, prompt and model may spend next: by fixed shares, or by the reward of each.

The reward of an arm is the held-out IoU it gained, summed over heads. Its cost is estimated, never timed, so that a
campaign is the same on any machine: tokens over `tokens_per_second` for a reply, a nominal time for an offline
operator, dollars by the configured prices. Both costs are brought to seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from evolve.config import Config
from evolve.config.llm import LlmModel
from evolve.store.records import CallCost, ProposalRecord
from fitness.errors import UserError
from fitness.failures import FailureKind
from operators.registry import LLM_OPERATORS

# CPU seconds of one slot of an offline operator, and of evaluating one program, on an ordinary core.
OFFLINE_SECONDS = {"residual": 0.18, "tweak": 0.04, "genetic": 0.02, "constants": 0.04, "simplify": 0.10}
OFFLINE_SECONDS_OTHERWISE = 0.02
EVALUATION_SECONDS = 0.05
LONG_REPLY_TOKENS = 1500
# What a dollar weighs beside time: an hour of the machine.
SECONDS_PER_USD = 3600.0
# An LLM that repeats known programs is paid for nothing: after so many in a row its arm sits out so many slots.
KNOWN_IN_A_ROW, REST = 64, 512
# Share of the slots that a bandit gives by the fixed shares, so that an arm whose rewards come late is noticed.
EXPLORED = 0.1
# Rewards fade by this factor with every further slot of the arm: easy gains come first.
FADING = 0.99
# Weight of the prior, which is that an arm is rewarded like all together, in slots.
PRIOR_SLOTS = 2.0
PROBABILITY_DRAWS = 500


@dataclass(frozen=True)
class Arm:
    """Something that can spend.

    Attributes:
        operator: name of the operator.
        model: LLM, or None.
        prompt: template of the operator, without suffix, or None.
        template: hash of that template, or None.
    """

    operator: str
    model: str | None = None
    prompt: str | None = None
    template: str | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return " ".join(part for part in (self.prompt or self.operator, self.model) if part)


@dataclass
class Rewards:
    """What one arm did so far.

    Attributes:
        slots: slots that came back.
        gain: held-out IoU gained, summed over heads.
        seconds: estimated time.
        usd: dollars.
        recent_slots: slots, faded.
        recent_gain: gain, faded.
        recent_cost: seconds with dollars brought to seconds, faded.
    """

    slots: int = 0
    gain: float = 0.0
    seconds: float = 0.0
    usd: float = 0.0
    recent_slots: float = 0.0
    recent_gain: float = 0.0
    recent_cost: float = 0.0

    @property
    def gain_per_second(self) -> float | None:
        """Gain per second of cost, dollars brought to seconds and recent slots weighing more; None before any."""
        return round(self.recent_gain / self.recent_cost, 6) if self.recent_cost else None

    def begin_slot(self) -> None:
        """Counts one more slot, and lets the earlier ones fade."""
        self.slots += 1
        self.recent_slots = 1 + FADING * self.recent_slots
        self.recent_gain *= FADING
        self.recent_cost *= FADING

    def add(self, gain: float, seconds: float, usd: float) -> None:
        """Adds to the slot at hand."""
        self.gain += gain
        self.seconds += seconds
        self.usd += usd
        self.recent_gain += gain
        self.recent_cost += seconds + SECONDS_PER_USD * usd


@dataclass(frozen=True)
class ArmRow:
    """An arm beside its rewards.

    Attributes:
        arm: the arm.
        rewards: what it gained and cost.
        share: its fixed share, in [0, 1].
        chance: the probability that it gets the next slot.
    """

    arm: Arm
    rewards: Rewards
    share: float
    chance: float


class Chooser(Protocol):
    """How the next arm is chosen."""

    def probabilities(self, rewards: Sequence[Rewards], shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(arms,) the probabilities with which the next arm is drawn, summing to 1; may draw beliefs from `rng`."""
        ...


class FixedShares:
    """Gives every arm its share, whatever its rewards."""

    def probabilities(self, rewards: Sequence[Rewards], shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The shares."""
        return shares


class ThompsonSampling:
    """Gives the slot to the arm of the highest reward per cost in one draw from the posterior (Thompson 1933).

    An arm that is rewarded like all together is expected to gain their rate times its own cost in a slot. Its gain in
    units of that has a gamma posterior, whose shape counts gains and whose rate counts slots.
    """

    def probabilities(self, rewards: Sequence[Rewards], shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Certainty for the arm with the best draw, mixed with the shares."""
        chosen = np.zeros(len(rewards))
        chosen[int(np.argmax(draw_rates(rewards, rng)))] = 1.0
        return (1 - EXPLORED) * chosen + EXPLORED * shares


def draw_rates(rewards: Sequence[Rewards], rng: np.random.Generator) -> np.ndarray:
    """(arms,) one draw of gain per cost, in units of the rate of all arms together."""
    gains = np.array([each.recent_gain for each in rewards])
    costs = np.array([each.recent_cost for each in rewards])
    slots = np.array([each.recent_slots for each in rewards])
    expected = costs * gains.sum() / max(costs.sum(), np.finfo(float).tiny)
    relative = np.divide(gains, expected, out=np.zeros_like(gains), where=expected > 0)
    return rng.gamma(PRIOR_SLOTS + relative * slots) / (PRIOR_SLOTS + slots)


@dataclass
class Scheduler:
    """Arms, their rewards, and how the next is chosen.

    Attributes:
        arms: all arms.
        shares: (arms,) their fixed shares, summing to 1.
        chooser: how the next is chosen.
        models: configured models by name.
        max_in_flight: LLM requests at a time, which share the time they take.
    """

    arms: tuple[Arm, ...]
    shares: np.ndarray
    chooser: Chooser
    models: Mapping[str, LlmModel]
    max_in_flight: int
    rewards: list[Rewards] = field(init=False)

    def __post_init__(self) -> None:
        self.rewards = [Rewards() for _ in self.arms]
        # Known programs in a row of each arm, and choices that it still sits out.
        self._known = [0] * len(self.arms)
        self._resting = [0] * len(self.arms)
        self._index = {(arm.operator, arm.model, arm.template): index for index, arm in enumerate(self.arms)}

    def choose(self, rng: np.random.Generator, *, can_repair: bool, can_call: bool = True) -> Arm:
        """The arm of the next slot; depends on `rng` and on what was learnt, in its order, alone.

        Args:
            rng: of this slot.
            can_repair: whether there is a program to repair.
            can_call: whether LLMs may be asked.

        Raises:
            UserError: where no arm is left.
        """
        awake = [not self._rests(index) for index in range(len(self.arms))]
        able = [
            index
            for index, arm in enumerate(self.arms)
            if (can_repair or arm.operator != "repair") and (can_call or arm.model is None)
        ]
        open_arms = [index for index in able if awake[index]]
        if able and not open_arms:
            raise UserError(
                f"llm: every model's last {KNOWN_IN_A_ROW} programs were known already; ask another model, or give an "
                "offline operator a share above 0"
            )
        if not open_arms:
            raise UserError("operators: none is left that could propose; give an offline operator a share above 0")
        shares = self.shares[open_arms] / self.shares[open_arms].sum()
        probabilities = self.chooser.probabilities([self.rewards[index] for index in open_arms], shares, rng)
        return self.arms[open_arms[int(rng.choice(len(open_arms), p=probabilities))]]

    def _rests(self, index: int) -> bool:
        """Counts one more choice, and says whether an arm sits it out."""
        self._resting[index] = max(0, self._resting[index] - 1)
        return self._resting[index] > 0

    def learn(self, proposal: ProposalRecord, call: CallCost | None = None) -> None:
        """Takes in one candidate; those of one slot come in their order.

        Args:
            proposal: what became of it.
            call: cost of the LLM call it came from, if it was answered.
        """
        index = self._index.get((proposal.operator, proposal.model, proposal.template))
        if index is None:  # an arm of an earlier session: a template that was edited since, a model taken out
            return
        if not proposal.fitted:
            nothing_new = proposal.outcome in ("known", FailureKind.ECHO)
            self._known[index] = self._known[index] + 1 if nothing_new else 0
        if self._known[index] >= KNOWN_IN_A_ROW and self.arms[index].model is not None:
            self._resting[index], self._known[index] = REST, KNOWN_IN_A_ROW - 1
        rewards = self.rewards[index]
        seconds, usd = (EVALUATION_SECONDS if proposal.outcome == "new" else 0.0), 0.0
        if proposal.fitted:
            seconds += OFFLINE_SECONDS["constants"]
        if proposal.candidate == 0:
            rewards.begin_slot()
            slot_seconds, usd = self._cost_of_slot(proposal, call)
            seconds += slot_seconds
        rewards.add(proposal.gain, seconds, usd)

    def explain(self) -> list[ArmRow]:
        """One row per arm, the likeliest to get the next slot first."""
        rng = np.random.default_rng(0)
        draws = [self.chooser.probabilities(self.rewards, self.shares, rng) for _ in range(PROBABILITY_DRAWS)]
        rows = [
            ArmRow(arm, rewards, round(float(share), 4), round(float(probability), 4))
            for arm, rewards, share, probability in zip(
                self.arms, self.rewards, self.shares, np.mean(draws, axis=0), strict=True
            )
        ]
        return sorted(rows, key=lambda row: (-row.chance, row.arm.label))

    def _cost_of_slot(self, proposal: ProposalRecord, call: CallCost | None) -> tuple[float, float]:
        """Seconds and dollars of a slot."""
        if proposal.model is None:
            return OFFLINE_SECONDS.get(proposal.operator, OFFLINE_SECONDS_OTHERWISE), 0.0
        model = self.models[proposal.model]
        # A call without an answer kept its place for as long as a long reply.
        tokens = min(model.max_tokens, LONG_REPLY_TOKENS) if call is None else call.completion_tokens
        usd = 0.0 if call is None else call.cost_usd
        return tokens / model.tokens_per_second / self.max_in_flight, usd


def make_scheduler(config: Config) -> Scheduler:
    """The scheduler that a configuration asks for; an LLM operator's share is spread over its prompts and models.

    Raises:
        UserError: where only `repair` has a share, or a template cannot be read.
    """
    arms: list[Arm] = []
    shares: list[float] = []
    asked = {name: share for name, share in config.operators.items() if share > 0}
    if set(asked) == {"repair"}:
        raise UserError("operators: repair alone has nothing to repair; give another operator a share above 0")
    for name, share in asked.items():
        found = _llm_arms(name, config) if name in LLM_OPERATORS else [Arm(name)]
        arms += found
        shares += [share / len(found)] * len(found)
    chooser: Chooser = ThompsonSampling() if config.search.choice == "bandit" else FixedShares()
    models = {entry.model: entry for entry in config.llm.models}
    return Scheduler(tuple(arms), np.array(shares) / sum(shares), chooser, models, config.llm.max_in_flight)


def _llm_arms(operator: str, config: Config) -> list[Arm]:
    from operators.llm.templates import Templates

    templates = Templates(config.llm.prompts, config.llm.leave_out)
    return [
        Arm(operator, entry.model, prompt, templates.hash(prompt))
        for entry in config.llm.models
        for prompt in templates.names(operator)
    ]
