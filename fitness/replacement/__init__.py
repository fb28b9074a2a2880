"""Programs in the place of heads: the mechanism, its proof, and what the model can still do."""

from fitness.replacement.heads import own_attention, replaced, replacing
from fitness.replacement.override import Assignment, FixedOutput, Head, Source

__all__ = ["Assignment", "FixedOutput", "Head", "Source", "own_attention", "replaced", "replacing"]
