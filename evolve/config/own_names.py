"""Operators and descriptors of the user's own, looked up before a campaign begins."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.config.schema import Config
from fitness.own import Own
from fitness.scoring.descriptors import get_descriptor
from operators.registry import get_operator


def check_own_names(config: Config, own: Sequence[Own] = ()) -> None:
    """Finds every operator and descriptor that a configuration names, without running any.

    Args:
        config: what is asked.
        own: operators and descriptors that were given as objects.

    Raises:
        UserError: saying what was looked for, where one is missing or is not what it should be.
    """
    for name, share in config.operators.items():
        if share > 0:
            get_operator(name, own)
    for name in config.search.descriptors:
        get_descriptor(name, own)
