"""What the report draws of each head: its attention, its program's prediction and its reference on a few texts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archives.library import ReducedLibrary
from evolve.results.references import run_tables
from fitness.models.attention import Attention
from fitness.program import Program
from fitness.scoring.baselines import baselines
from fitness.scoring.contract import to_prediction
from fitness.scoring.packing import pack, packed_size, unpack
from fitness.scoring.references import KINDS
from fitness.scoring.threads import one_thread
from fitness.scoring.worker import SplitName, WorkerSpec, worker

MOST_TOKENS = 48
# What the matrices may take of a page that opens at once.
MOST_BYTES = 2_400_000
MOST_TEXTS = 12


def run_matrices(library: ReducedLibrary, spec: WorkerSpec, attention: Attention) -> dict[str, Any]:
    """Matrices of every head on some test and held-out texts of each domain, cut to `MOST_TOKENS`.

    A matrix is base64 of one byte per number that the mask lets through, row by row: 255 is a weight of 1, so that a
    weight is right to 0.002. Whoever asks has the reading of test written down.

    Returns:
        `causal`, `texts` (`split`, `domain`, `tokens`, `cut`), `attention` (head -> a matrix per text), `programs` (id
        -> a matrix per text, None where it failed) and `tables` (head -> one matrix for the longest text where causal,
        else one per text; heads whose reference is a simple baseline have theirs among the programs).
    """
    assert library.reference is not None
    causal, than = attention.causal, library.reference.than
    programs = {member.id: member.program for member in library.members if member.program and member.heads}
    programs |= {program.id: program for program in baselines().values() if program.id in than}
    chosen = _choose(spec, attention, len(programs) + len(attention.labels))
    lengths = [min(MOST_TOKENS, attention.texts[where].n) for _, _, where in chosen]
    heads: dict[str, list[str]] = {label: [] for label in attention.labels}
    for (_, _, where), n in zip(chosen, lengths, strict=True):
        block = np.asarray(attention.block(where), dtype=np.float32)
        full = unpack(block, attention.texts[where].n, causal=causal)
        for label, matrix in zip(attention.labels, full, strict=True):
            heads[label].append(_bytes(matrix, n, causal))
    return {
        "causal": causal,
        "texts": [
            {
                "split": split,
                "domain": spec.domains[index % len(spec.domains)],
                "tokens": list(attention.texts[where].tokens[:n]),
                "cut": attention.texts[where].n > n,
            }
            for (split, index, where), n in zip(chosen, lengths, strict=True)
        ],
        "attention": heads,
        "programs": _predictions(programs, chosen, lengths, spec, causal),
        "tables": _tables(than, lengths, spec, attention),
    }


def _choose(spec: WorkerSpec, attention: Attention, matrices: int) -> list[tuple[SplitName, int, int]]:
    """(split, index in it, index of all) of the texts to show: of each domain test before held-out, while they fit."""
    begins: dict[SplitName, int] = {"test": spec.fit + spec.held_out, "held_out": spec.fit}
    domains = len(spec.domains)
    chosen: list[tuple[SplitName, int, int]] = []
    taken = 0
    for round_ in range(2):
        for split, begin in begins.items():
            for index in range(round_ * domains, min((round_ + 1) * domains, getattr(spec, split))):
                n = min(MOST_TOKENS, attention.texts[begin + index].n)
                taken += matrices * packed_size(n, causal=attention.causal) * 4 // 3
                if chosen and (taken > MOST_BYTES or len(chosen) == MOST_TEXTS):
                    return chosen
                chosen.append((split, index, begin + index))
    return chosen


def _predictions(
    programs: Mapping[str, Program],
    chosen: Sequence[tuple[SplitName, int, int]],
    lengths: Sequence[int],
    spec: WorkerSpec,
    causal: bool,
) -> dict[str, list[str | None]]:
    found: dict[str, list[str | None]] = {}
    with one_thread():
        for id_, program in programs.items():
            outcomes = {split: worker(spec).run(program, split) for split in dict.fromkeys(s for s, _, _ in chosen)}
            found[id_] = [
                _bytes(to_prediction(outcomes[split].weights[index], causal=causal), n, causal)
                if outcomes[split].ok
                else None
                for (split, index, _), n in zip(chosen, lengths, strict=True)
            ]
    return found


def _tables(
    than: Sequence[str | None], lengths: Sequence[int], spec: WorkerSpec, attention: Attention
) -> dict[str, list[str]]:
    tables, causal = run_tables(spec), attention.causal
    # The rows of a causal model's table do not depend on how long the text is.
    wanted = [max(lengths)] if causal else lengths
    return {
        label: [_bytes(tables.predict(kind, row, n), n, causal) for n in wanted]
        for row, (label, kind) in enumerate(zip(attention.labels, than, strict=True))
        if kind in KINDS
    }


def _bytes(matrix: np.ndarray, n: int, causal: bool) -> str:
    """The first n queries and keys of a matrix, a byte each."""
    packed = pack(np.ascontiguousarray(matrix[:n, :n]), causal=causal)
    return base64.b64encode(np.round(255 * np.clip(packed, 0, 1)).astype(np.uint8).tobytes()).decode()
