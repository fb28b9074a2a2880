"""`headscribe check`: would this campaign run, and what would it cost? Nothing of it is started."""

from __future__ import annotations

from evolve.config import load_config
from evolve.config.own_names import check_own_names
from evolve.estimate import CostEstimate, estimate_costs
from evolve.views.stages import StageConsole, print_confinement


def check(name: str, overrides: list[str]) -> CostEstimate:
    """Validates a configuration with all that it names, and estimates calls, cost, time and disk.

    Raises:
        UserError: for anything that would keep the campaign from running.
    """
    config = load_config(name, overrides)
    check_own_names(config)
    with StageConsole() as stages:
        print_confinement(stages.console, config)
        return estimate_costs(config, stages)
