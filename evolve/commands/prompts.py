"""`headscribe prompts`: what prompts gained in runs, and two templates tried on the same parents and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolve.results.prompts.calls import PromptTable, prompts_of
from evolve.results.prompts.trial import Trial, compare_templates, read_template
from evolve.store.run_dir import RunDir
from evolve.views.consent import ask_for_keys
from evolve.views.stages import StageConsole, print_confinement
from fitness.errors import UserError


def prompts(runs: Sequence[Path]) -> PromptTable:
    """One row for each template version, operator and model of one or more runs.

    Raises:
        UserError: where a directory holds no run.
    """
    return prompts_of(runs)


def compare_prompts(templates: tuple[Path, Path], runs: Sequence[Path], *, operator: str | None, pairs: int) -> Trial:
    """Compares two templates on one run, with progress on stderr.

    Raises:
        UserError: for more than one run, and as `compare_templates` does.
    """
    if len(runs) != 1:
        raise UserError("prompts --compare works on one run")
    run_dir = RunDir(runs[0])
    # A file that is not there is said before anybody is asked about keys.
    for template in templates:
        read_template(template)
    with StageConsole() as stages:
        config = run_dir.load_config()
        print_confinement(stages.console, config)
        ask_for_keys(stages.console, config)
        return compare_templates(templates, run_dir, operator=operator, pairs=pairs, listener=stages)
