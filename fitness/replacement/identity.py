"""Proof, for one model, that replacement changes nothing but what it is told to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

import torch
from transformers import PreTrainedModel

from fitness.errors import UserError
from fitness.models.hooks import attention_route
from fitness.models.loading import Reader
from fitness.program import Program
from fitness.replacement.heads import own_attention, replacing
from fitness.text.view import Text

# Of the standard deviation of the logits. Eager attention is exact; other ways of computing it differ by rounding.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HALF_TOLERANCE = 0.1


class IdentityError(UserError):
    """Replacement cannot be trusted with this model."""


@dataclass(frozen=True)
class Identity:
    """Largest differences of logits on a few texts.

    Attributes:
        nothing_replaced: the mechanism in place, with no head replaced, against the model alone.
        own_attention: every head replaced by its own attention, against the model alone.
        spread: standard deviation of the model's logits.
        exact: whether both differences are zero.
    """

    nothing_replaced: float
    own_attention: float
    spread: float
    exact: bool

    def as_dict(self) -> dict[str, float | bool]:
        """Plain values for JSON."""
        return asdict(self)


def prove_identity(model: PreTrainedModel, reader: Reader, texts: Sequence[Text]) -> Identity:
    """Compares the model with itself under replacement that must change nothing.

    Raises:
        IdentityError: where logits differ by more than rounding; then no number about replacement means anything.
    """
    idle = own = spread = 0.0
    with torch.no_grad():
        for text in texts:
            ids = torch.tensor([text.ids.tolist()], device=model.device)
            expected = model(input_ids=ids).logits
            spread = max(spread, float(expected.float().std()))
            with attention_route(model, replace=lambda *_: None):
                idle = max(idle, _difference(model(input_ids=ids).logits, expected))
            with replacing(model, own_attention(model, [text]), reader, _no_programs):
                own = max(own, _difference(model(input_ids=ids).logits, expected))
    tolerance = TOLERANCE.get(model.dtype, HALF_TOLERANCE) * spread
    if not (idle <= tolerance and own <= tolerance):
        raise IdentityError(
            f"replacement is not exact for {type(model).__name__}: logits change by {idle:.2g} with nothing replaced "
            f"and by {own:.2g} with every head's own attention, of a spread of {spread:.2g}; no number would be right"
        )
    return Identity(idle, own, spread, idle == 0 and own == 0)


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).abs().max())


def _no_programs(program: Program, texts: Sequence[Text]) -> NoReturn:
    raise AssertionError("own attention asks for no program")
