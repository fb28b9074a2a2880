"""Multiple-choice questions answered with heads replaced: the study behind `headscribe tasks`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError
from fitness.models.capture import inspect_heads
from fitness.models.loading import Reader, context_length
from fitness.program import Program
from fitness.replacement.conditions import FIRST_TOKEN, UNIFORM, Programs, by_iou, heads_at, shuffled
from fitness.replacement.heads import Assignment, Head, replacing
from fitness.replacement.identity import prove_identity
from fitness.replacement.predictions import PredictionSource, SandboxPredictions
from fitness.replacement.questions import Question
from fitness.sandbox import Sandbox

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
CONTROLS = ("programs", "uniform", "first_token", "random_programs")
BATCH = 16
IDENTITY_TEXTS = 2


@dataclass(frozen=True)
class Choice:
    """One choice of one question, as token ids.

    Attributes:
        question: index of the question among those that fit.
        ids: query and choice.
        scored: how many ids at the end belong to the choice.
        cut: whether tokens of the query were left out, so that it fits the model's context.
    """

    question: int
    ids: tuple[int, ...]
    scored: int
    cut: bool


def encode(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, context: int | None
) -> tuple[list[Question], list[Choice]]:
    """Token ids of every choice of every question.

    Query and choice are encoded as one string; the choice's ids are what comes after as many ids as the query has
    alone. A text that is too long loses tokens of its query, those after the begin token first.

    Args:
        questions: the questions.
        tokenizer: the model's tokenizer.
        context: the most tokens that the model takes, or None.

    Returns:
        the questions all of whose choices fit the context, and all their choices in order.
    """
    begin = _begin(tokenizer)
    kept: list[Question] = []
    encoded: list[Choice] = []
    for question in questions:
        before = len(tokenizer(question.query.rstrip(), add_special_tokens=False, verbose=False)["input_ids"])
        choices = []
        for choice in question.choices:
            ids = tokenizer(f"{question.query} {choice}", add_special_tokens=False, verbose=False)["input_ids"]
            room = len(ids) if context is None else context - len(begin)
            whole = (*begin, *ids[-room:])
            choices.append(Choice(len(kept), whole, len(ids) - before, cut=len(ids) > room))
        if all(0 < choice.scored < len(choice.ids) for choice in choices):
            kept.append(question)
            encoded += choices
    return kept, encoded


def _begin(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that the tokenizer puts before a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    special = tokenizer("a")["input_ids"]
    for begin in range(len(special) - len(plain) + 1):
        if special[begin : begin + len(plain)] == plain:
            return list(special[:begin])
    return []


def log_likelihoods(
    model: PreTrainedModel,
    reader: Reader,
    source: PredictionSource,
    choices: Sequence[Choice],
    assignments: Mapping[Hashable, Assignment],
    progress: Callable[[int, int], None] | None = None,
) -> dict[Hashable, np.ndarray]:
    """(choices,) float64 for each assignment: log-likelihood of the choice after its query, in nats."""
    found = {name: np.zeros(len(choices)) for name in assignments}
    order = sorted(range(len(choices)), key=lambda index: (len(choices[index].ids), index))
    batches = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]
    with torch.no_grad():
        for done, batch in enumerate(batches):
            picked = [choices[index] for index in batch]
            ids = torch.zeros((len(batch), len(picked[-1].ids)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, choice in enumerate(picked):
                ids[row, : len(choice.ids)] = torch.tensor(choice.ids)
                mask[row, : len(choice.ids)] = 1
            ids, mask = ids.to(model.device), mask.to(model.device)
            for name, assignment in assignments.items():
                with replacing(model, assignment, reader, source):
                    logits = model(input_ids=ids, attention_mask=mask).logits
                found[name][batch] = _sum_scored(logits, ids, picked)
            if progress is not None:
                progress(done + 1, len(batches))
    return found


def _sum_scored(logits: torch.Tensor, ids: torch.Tensor, choices: Sequence[Choice]) -> list[float]:
    sums = []
    for row, choice in enumerate(choices):
        begin, end = len(choice.ids) - choice.scored, len(choice.ids)
        log_probabilities = torch.log_softmax(logits[row, begin - 1 : end - 1].float(), dim=-1)
        sums.append(float(log_probabilities.gather(1, ids[row, begin:end, None]).sum()))
    return sums


def answered(questions: Sequence[Question], likelihoods: np.ndarray, *, normalised: bool) -> np.ndarray:
    """(questions,) bool: whether the likeliest choice is the right one.

    Args:
        questions: the questions.
        likelihoods: log-likelihoods of all choices of all questions, in order.
        normalised: divide by the number of characters of the choice first.
    """
    right, begin = [], 0
    for question in questions:
        scores = likelihoods[begin : begin + len(question.choices)]
        if normalised:
            scores = scores / np.array([len(choice) for choice in question.choices])
        right.append(int(np.argmax(scores)) == question.gold)
        begin += len(question.choices)
    return np.array(right)


def evaluate_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Sequence[Question]],
    assignment: Mapping[Head, Program],
    head_iou: Mapping[Head, float],
    make_sandbox: Callable[[], Sandbox],
    *,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Accuracy on multiple-choice tasks with ever more heads replaced, by programs and by controls.

    Identity is proven first; without it no number is returned.

    Args:
        model: a causal model.
        tokenizer: its tokenizer.
        tasks: name -> questions.
        assignment: (layer, head) -> its program.
        head_iou: (layer, head) -> held-out IoU of that program; heads are replaced in its order.
        make_sandbox: gives an empty sandbox.
        seed: of the shuffled programs.
        fractions: shares in [0, 1] of the assigned heads that are replaced.
        progress: called with a task's name, batches done and all batches.

    Returns:
        plain values for JSON, as described in docs/replacement.md.

    Raises:
        UserError: for an encoder, an empty assignment, or a task of which no question fits the model's context.
        IdentityError: where replacement is not exact for this model.
    """
    if not assignment:
        raise UserError("no head has a program: there is nothing to replace")
    if not inspect_heads(model)[2]:
        raise UserError("tasks: the likelihood of an answer needs a causal model, and this one looks ahead")
    reader = Reader(tokenizer)
    context = context_length(model, tokenizer)
    encoded = {name: encode(questions, tokenizer, context) for name, questions in tasks.items()}
    for name, (kept, _) in encoded.items():
        if not kept:
            raise UserError(f"tasks: no question of {name} fits the model's context of {context} tokens")
    texts = [reader.text(choices[0].ids) for _, choices in encoded.values()]
    identity = prove_identity(model, reader, texts[:IDENTITY_TEXTS])
    fractions = sorted(set(fractions))
    counts = heads_at(fractions, len(assignment))
    conditions = _conditions(assignment, head_iou, counts, seed)
    results: dict[str, dict[str, Any]] = {}
    with SandboxPredictions(make_sandbox, causal=True) as source:
        for name, questions in tasks.items():
            stage = None if progress is None else lambda done, total, name=name: progress(name, done, total)
            kept, choices = encoded[name]
            likelihoods = log_likelihoods(model, reader, source, choices, conditions, stage)
            results[name] = {"left_out": len(questions) - len(kept)}
            results[name] |= _task_result(kept, choices, likelihoods, fractions, counts)
        failures = dict(source.failures)
    return {
        "tasks": results,
        "identity": identity.as_dict(),
        "heads": len(assignment),
        "failed_programs": failures,
        "seed": seed,
    }


def _conditions(
    assignment: Mapping[Head, Program], head_iou: Mapping[Head, float], counts: Sequence[int], seed: int
) -> dict[Hashable, Programs]:
    wrong = shuffled(assignment, np.random.default_rng((seed, 0x9E91)))
    order = by_iou(assignment, head_iou)
    conditions: dict[Hashable, Programs] = {"original": {}}
    for count in counts:
        if count == 0:
            continue
        conditions["programs", count] = {head: assignment[head] for head in order[:count]}
        conditions["uniform", count] = dict.fromkeys(order[:count], UNIFORM)
        conditions["first_token", count] = dict.fromkeys(order[:count], FIRST_TOKEN)
        conditions["random_programs", count] = {head: wrong[head] for head in order[:count]}
    return conditions


def _task_result(
    questions: Sequence[Question],
    choices: Sequence[Choice],
    likelihoods: Mapping[Hashable, np.ndarray],
    fractions: Sequence[float],
    counts: Sequence[int],
) -> dict[str, Any]:
    original = likelihoods["original"]
    rows = []
    for fraction, count in zip(fractions, counts, strict=True):
        row: dict[str, Any] = {"fraction": fraction, "heads": count}
        for control in CONTROLS:
            row[control] = _accuracy(questions, likelihoods[control, count] if count else original, original)
        rows.append(row)
    return {
        "questions": len(questions),
        "chance": float(np.mean([1 / len(question.choices) for question in questions])),
        "cut_queries": len({choice.question for choice in choices if choice.cut}),
        "original": _accuracy(questions, original, original),
        "by_fraction": rows,
    }


def _accuracy(questions: Sequence[Question], likelihoods: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """Accuracies with standard errors, and the paired difference from the original model."""
    right = answered(questions, likelihoods, normalised=True)
    plain = answered(questions, likelihoods, normalised=False)
    difference = right.astype(float) - answered(questions, original, normalised=True)
    return {
        "accuracy": float(right.mean()),
        "standard_error": _standard_error(right),
        "accuracy_not_normalised": float(plain.mean()),
        "standard_error_not_normalised": _standard_error(plain),
        "difference": float(difference.mean()),
        "difference_standard_error": _standard_error(difference),
    }


def _standard_error(values: np.ndarray) -> float:
    """Of the mean: sample standard deviation over the root of the count."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
