"""How much disk a campaign takes: captured attention, and the database."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.results.report.matrices import MOST_BYTES, MOST_TEXTS, MOST_TOKENS
from fitness.models.capture import Attention
from fitness.scoring.packing import packed_size

# Source, proposals and indices of one program in the database, beside its fitness on every head.
PROGRAM_BYTES = 2200
# What is kept for the report: of a head its numbers, of a program of the library its source and measures.
HEAD_BYTES, MEMBER_BYTES = 600, 2000


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


def database_bytes(heads: int, programs: int, *, max_tokens: int, domains: int = 1, causal: bool = True) -> int:
    """Bytes of the database of a campaign that asks no language model, matrices of its report included.

    A program is kept with one number per head, its mean over the held-out texts, however many those are.

    Args:
        heads: of the model.
        programs: that the campaign evaluates.
        max_tokens: length to which texts are cut.
        domains: of the texts.
        causal: whether the model is.
    """
    library = min(heads, programs // 3)
    matrix = packed_size(min(MOST_TOKENS, max_tokens), causal=causal) * 4 // 3  # a byte a weight, in base64
    texts = min(MOST_TEXTS, 4 * domains)
    shown = min(MOST_BYTES, texts * (heads + library) * matrix) + heads * matrix
    return programs * (4 * heads + PROGRAM_BYTES) + heads * HEAD_BYTES + library * MEMBER_BYTES + shown
