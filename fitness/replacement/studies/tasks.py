"""Multiple-choice questions answered with heads replaced: the study behind `headscribe tasks`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.errors import UserError, nearest
from fitness.models.loading import Reader, context_length
from fitness.models.observe import inspect_heads
from fitness.program import Program
from fitness.replacement.identity import Identity, prove_identity
from fitness.replacement.lower_layers import without_cache
from fitness.replacement.measurements import Measurements
from fitness.replacement.override import Assignment
from fitness.replacement.predictions import SandboxPredictions
from fitness.replacement.sources import assignment_id
from fitness.replacement.studies.choices import Choice, Name, answered, count_failures, encode, log_likelihoods
from fitness.replacement.studies.conditions import PROGRAMS, HeadPrograms, all_conditions, by_iou, heads_at
from fitness.replacement.studies.fitted import mean_outputs
from fitness.replacement.studies.questions import Question
from fitness.sandbox import Sandbox
from fitness.text.view import Text

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
IDENTITY_TEXTS = 2

ORIGINAL: Name = ("original", 0)


def evaluate_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Sequence[Question]],
    explanation: HeadPrograms,
    make_sandbox: Callable[[], Sandbox],
    *,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    only: Sequence[str] | None = None,
    fit_texts: Sequence[Text] = (),
    kept: Measurements | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Accuracy on multiple-choice tasks with ever more heads replaced; identity is proven first.

    Args:
        model: a causal model.
        tokenizer: its tokenizer.
        tasks: name -> questions.
        explanation: the programs, and what is fitted beside them; heads are replaced in the order of their IoU.
        make_sandbox: gives an empty sandbox.
        seed: of the controls that are drawn.
        fractions: shares in [0, 1] of the assigned heads that are replaced.
        only: the controls that stand beside programs, by name; None is all.
        fit_texts: texts that heads' mean outputs are taken over; no such condition if empty.
        kept: where measurements are looked up and kept, so that an interrupted evaluation goes on.
        progress: called with a task's name, the measurements done and all.
        note: called with a line for people, such as how long it will take.

    Returns:
        plain values for JSON, as described in docs/replacement.md.

    Raises:
        UserError: for an encoder, an empty assignment, an unknown control, or a task of which no question fits.
        IdentityError: where replacement is not exact for this model.
    """
    reader = Reader(tokenizer)
    encoded = _encoded(model, tokenizer, tasks, explanation)
    identity = _proven(model, reader, encoded)
    counts = heads_at(fractions := sorted(set(fractions)), len(explanation.assignment))
    conditions = _conditions(explanation, mean_outputs(model, fit_texts), counts, seed, only)
    results: dict[str, dict[str, Any]] = {}
    every = [choice for _, choices in encoded.values() for choice in choices]
    note(_forecast(model, every, len({assignment_id(assignment) for assignment in conditions.values()})))
    with SandboxPredictions(make_sandbox, causal=True) as source:
        for name, (questions, choices) in encoded.items():
            stage = None if progress is None else lambda done, total, name=name: progress(name, done, total)
            likelihoods = log_likelihoods(model, reader, source, choices, conditions, kept, stage)
            results[name] = _task_result(questions, choices, likelihoods, fractions, counts)
            results[name]["left_out"] = len(tasks[name]) - len(questions)
        failed = count_failures(reader, source, every, _replacing(conditions), kept)
    return {
        "tasks": results,
        "identity": identity.as_dict(),
        "heads": len(explanation.assignment),
        "failed_programs": failed,
        "seed": seed,
    }


def _encoded(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Sequence[Question]],
    explanation: HeadPrograms,
) -> dict[str, tuple[list[Question], list[Choice]]]:
    """Name -> the questions that fit, and their choices as token ids; refuses what cannot be scored."""
    if not explanation.assignment:
        raise UserError("no head has a program: there is nothing to replace")
    if not inspect_heads(model)[2]:
        raise UserError("tasks: the likelihood of an answer needs a causal model, and this one is bidirectional")
    context = context_length(model, tokenizer)
    encoded = {name: encode(questions, tokenizer, context) for name, questions in tasks.items()}
    for name, (questions, _) in encoded.items():
        if not questions:
            raise UserError(f"tasks: no question of {name} fits the model's context of {context} tokens")
    return encoded


def _proven(
    model: PreTrainedModel, reader: Reader, encoded: Mapping[str, tuple[list[Question], list[Choice]]]
) -> Identity:
    """Identity on the first choice of a few tasks."""
    texts = [reader.text(choices[0].ids) for _, choices in encoded.values()]
    return prove_identity(model, reader, texts[:IDENTITY_TEXTS])


def _forecast(model: PreTrainedModel, choices: Sequence[Choice], conditions: int) -> str:
    """How much there is to do, in words; one batch is read for it."""
    longest = max(choices, key=lambda choice: len(choice.ids))
    ids = torch.tensor([longest.ids] * 4, device=model.device)
    began = time.perf_counter()
    with torch.no_grad():
        model(input_ids=ids, **without_cache(model))
    tokens = sum(len(choice.ids) for choice in choices)
    seconds = (time.perf_counter() - began) / ids.numel() * tokens
    return (
        f"{len(choices)} choices of {tokens} tokens, about {seconds:.0f} s under each of {conditions} conditions: "
        f"{max(1, round(seconds * conditions / 60))} min, less what an earlier run has read"
    )


def _conditions(
    explanation: HeadPrograms,
    mean_output: Assignment | None,
    counts: Sequence[int],
    seed: int,
    only: Sequence[str] | None,
) -> dict[Name, Assignment]:
    """(name, number of heads) -> what stands where; each control is drawn once, as questions are many."""
    order = by_iou(explanation.assignment, explanation.head_iou)
    every = all_conditions(explanation, mean_output, draws=1, seed=seed)
    names = [condition.name for condition in every]
    for name in only or ():
        if name not in names:
            raise UserError(f"conditions: there is no {name!r} here{nearest(name, names)}")
    found: dict[Name, Assignment] = {ORIGINAL: {}}
    for condition in every:
        if only is None or condition.name in (PROGRAMS, *only):
            found |= {(condition.name, count): condition.on(order[:count]) for count in counts}
    return found


def _replacing(conditions: Mapping[Name, Assignment]) -> list[Program]:
    """The programs that stand in heads' own places under any condition, each once."""
    own = [source for name, assignment in conditions.items() if name[0] == PROGRAMS for source in assignment.values()]
    return list({source.id: source for source in own if isinstance(source, Program)}.values())


def _task_result(
    questions: Sequence[Question],
    choices: Sequence[Choice],
    likelihoods: Mapping[Name, np.ndarray],
    fractions: Sequence[float],
    counts: Sequence[int],
) -> dict[str, Any]:
    original = likelihoods[ORIGINAL]
    rows = []
    for fraction, count in zip(fractions, counts, strict=True):
        here = {name: found for (name, heads), found in likelihoods.items() if heads == count and name != ORIGINAL[0]}
        row: dict[str, Any] = {"fraction": fraction, "heads": count}
        rows.append(row | {name: _accuracy(questions, found, original) for name, found in here.items()})
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
