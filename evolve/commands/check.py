"""`headscribe check`: would this campaign run, and what would it cost? Nothing of it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolve.config import load_config
from evolve.config.own_names import check_own_names
from evolve.views.consent import ask_for_keys
from evolve.views.stages import StageConsole, print_confinement

if TYPE_CHECKING:
    from evolve.estimate import CostEstimate


def check(
    name: str,
    overrides: list[str],
    *,
    llm_model: str | None = None,
    llm_url: str | None = None,
    verbose: bool = False,
) -> CostEstimate:
    """Validates a configuration with all that it names, and estimates calls, cost, time and disk.

    Args:
        name: configuration file or preset.
        overrides: `a.b=c` settings.
        llm_model: a language model in place of those that the configuration names, if any.
        llm_url: its endpoint.
        verbose: say in full how programs are confined.

    Raises:
        UserError: for anything that would keep the campaign from running.
    """
    config = load_config(name, overrides, llm_model=llm_model, llm_url=llm_url)
    check_own_names(config)
    # Loads what loads models, for which a configuration that is none need not wait.
    from evolve.estimate import estimate_costs

    with StageConsole() as stages:
        print_confinement(stages.console, config, verbose=verbose)
        ask_for_keys(stages.console, config)
        return estimate_costs(config, stages)
