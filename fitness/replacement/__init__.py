"""Programs in the place of heads: the mechanism, its proof, and what the model can still do."""

from fitness.replacement.heads import Assignment, Head, own_attention, replaced, replacing

__all__ = ["Assignment", "Head", "own_attention", "replaced", "replacing"]
