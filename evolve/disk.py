"""How much disk a campaign takes: captured attention, and the database."""

from __future__ import annotations

from collections.abc import Sequence

from fitness.models.capture import Attention
from fitness.scoring.packing import packed_size

# Source, proposals and indices of one program in the database, beside its fitness on every head.
PROGRAM_BYTES = 1000
# What is kept for the report of one program of the library, two pictures included, and how many a library has of it.
PICTURED_BYTES = 8000
MOST_PICTURED = 60


def attention_bytes(strings: Sequence[str], measured: Attention, max_tokens: int) -> int:
    """Bytes of the captured attention of texts, from their characters and those per token of a few captured ones.

    Args:
        strings: all texts.
        measured: a few of them, captured.
        max_tokens: length to which they are cut.
    """
    characters = sum(len(text.string) for text in measured.texts)
    per_token = max(1.0, characters / sum(text.n for text in measured.texts))
    lengths = [min(max_tokens, max(2, round(len(string) / per_token))) for string in strings]
    packed = sum(packed_size(length, causal=measured.causal) for length in lengths)
    # float16 attention, and a float64 sum for every head and text
    return len(measured.labels) * (2 * packed + 8 * len(strings))


def database_bytes(heads: int, programs: int) -> int:
    """Bytes of the database of a campaign that asks no language model.

    A program is kept with one number per head, its mean over the held-out texts, however many those are.
    """
    pictured = min(MOST_PICTURED, heads // 2, programs)
    return programs * (4 * heads + PROGRAM_BYTES) + pictured * PICTURED_BYTES
