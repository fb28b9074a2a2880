"""Programs in the place of heads, by the heads' names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headscribe.heads import HeadName, head_of

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from fitness.program import Program
    from fitness.replacement.heads import Replacement
    from fitness.text.view import Text


@contextmanager
def replaced(
    model: PreTrainedModel,
    assignment: Mapping[HeadName, Program | Callable[[Text], np.ndarray | None]],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Iterator[Replacement]:
    """Within the context, the model runs with the attention of chosen heads taken from programs.

    The model is called as ever, in batches, with a cache and `generate` too. Predictions are multiplied by the model's
    own mask. The intervention is that of Hayes, Li and Andreas (2026, arXiv 2606.19317); docs/replacement.md says what
    differs.

    Args:
        model: a model of transformers.
        assignment: head ("L2H1" or (2, 1)) -> a program, such as `library.assignment`, or a function of one's own from
            `Text` to (n, n) weights that are taken as they are (None: the head keeps its own attention).
        tokenizer: the model's tokenizer; loaded from where the model came from if None.

    Yields:
        a record that counts, by head, on how many texts its program failed, so that it kept its own attention.

    Raises:
        UserError: for heads that the model does not have.

    Example:
        >>> model, tokenizer = run.load_model()
        >>> ids = tokenizer("Once upon a time", return_tensors="pt")["input_ids"]
        >>> with hs.replaced(model, run.library.assignment, tokenizer=tokenizer) as record:
        ...     model(ids).logits.shape[:2] == ids.shape
        True
        >>> record.rows
        1
    """
    from fitness.replacement import replaced as by_number

    numbered = {head_of(head): source for head, source in assignment.items()}
    with by_number(model, numbered, tokenizer=tokenizer) as record:
        yield record
