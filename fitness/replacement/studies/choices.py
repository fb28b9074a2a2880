"""Choices of questions as token ids, and how likely a model finds each of them after its query."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement.heads import replacing
from fitness.replacement.lower_layers import without_cache
from fitness.replacement.measurements import Measurements
from fitness.replacement.override import Assignment
from fitness.replacement.predictions import PredictionSource
from fitness.replacement.sources import assignment_id
from fitness.replacement.studies.questions import Question

BATCH = 16

Name = tuple[str, int]


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
    assignments: Mapping[Name, Assignment],
    kept: Measurements | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Name, np.ndarray]:
    """(choices,) float64 for each assignment: log-likelihood of the choice after its query, in nats.

    Choices are read in batches of equal length, so that nothing is padded. What is kept is not read again.

    Args:
        model: a causal model.
        reader: turns token ids into texts.
        source: gives the programs' predictions.
        choices: what to read.
        assignments: name -> what takes the place of which heads; all sources have ids.
        kept: where likelihoods are looked up, and kept as they are found.
        progress: called with the measurements done and all, one for each batch and different assignment.
    """
    kept = kept or Measurements()
    ids = {name: assignment_id(assignment) for name, assignment in assignments.items()}
    different = {ids[name]: assignment for name, assignment in assignments.items()}
    found = {identity: np.zeros(len(choices)) for identity in different}
    batches = _equal_lengths(choices)
    done = 0
    for batch in batches:
        picked = [choices[index] for index in batch]
        rows = torch.tensor([choice.ids for choice in picked], device=model.device)
        asked = rows.cpu().numpy().tobytes() + bytes(f"{[choice.scored for choice in picked]}", "ascii")
        for identity, assignment in different.items():
            key = kept.key("likelihoods", asked, identity)
            values = kept.get(key)
            if values is None:
                values = kept.put(key, np.array(_read_choices(model, reader, source, assignment, rows, picked)))
            found[identity][batch] = values
            done += 1
            if progress is not None:
                progress(done, len(batches) * len(different))
    return {name: found[identity] for name, identity in ids.items()}


def count_failures(
    reader: Reader,
    source: PredictionSource,
    choices: Sequence[Choice],
    programs: Sequence[Program],
    kept: Measurements | None = None,
) -> dict[str, int]:
    """Program id -> number of choices on whose text it fails, where it fails on any; its heads keep their own there."""
    kept = kept or Measurements()
    total = np.zeros(len(programs))
    names = "\n".join(program.id for program in programs)
    for batch in _equal_lengths(choices):
        ids = [choices[index].ids for index in batch]
        key = kept.key("failures", np.array(ids).tobytes(), names)
        failed = kept.get(key)
        if failed is None:
            texts = [reader.text(row) for row in ids]
            missing = [sum(found is None for found in source(program, texts)) for program in programs]
            failed = kept.put(key, np.array(missing))
        total += failed
    return {program.id: int(count) for program, count in zip(programs, total, strict=True) if count}


def _equal_lengths(choices: Sequence[Choice]) -> list[list[int]]:
    """Indices of choices in batches of one length each, the short ones first."""
    by_length: dict[int, list[int]] = {}
    for index, choice in enumerate(choices):
        by_length.setdefault(len(choice.ids), []).append(index)
    step = BATCH
    return [
        indices[begin : begin + step]
        for _, indices in sorted(by_length.items())
        for begin in range(0, len(indices), step)
    ]


def _read_choices(
    model: PreTrainedModel,
    reader: Reader,
    source: PredictionSource,
    assignment: Assignment,
    rows: torch.Tensor,
    choices: Sequence[Choice],
) -> list[float]:
    """Log-likelihood of each row's choice."""
    options: dict[str, Any] = dict(without_cache(model))
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        # The vocabulary takes much of the time, and only what predicts a choice is looked at.
        options["logits_to_keep"] = 1 + max(choice.scored for choice in choices)
    with torch.no_grad(), replacing(model, assignment, reader, source):
        logits = model(input_ids=rows, **options).logits
    sums = []
    for row, choice in enumerate(choices):
        log_probabilities = torch.log_softmax(logits[row, -1 - choice.scored : -1].float(), dim=-1)
        sums.append(float(log_probabilities.gather(1, rows[row, -choice.scored :, None]).sum()))
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
