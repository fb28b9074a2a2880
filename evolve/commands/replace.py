"""`headscribe replace`: perplexity with ever more heads replaced by programs, beside controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evolve.results.replaceable import open_replaceable
from evolve.run_dir import write_atomically
from evolve.views.stages import StageConsole, print_confinement


def replace(path: Path, *, fractions: list[float] | None, random_orders: int) -> dict[str, Any]:
    """Measures replacement on the test texts of a run and writes `replacement.json`.

    Args:
        path: a finished run.
        fractions: shares of the heads in [0, 1]; None is every 5 %.
        random_orders: seeds of the control that replaces heads in random order.

    Returns:
        What `--json` prints: `perplexity` with `original` and `by_fraction`, and the rest of docs/replacement.md.

    Raises:
        UserError: for a run without a library, fractions out of range, and a model where replacement is not exact.
    """
    from fitness.replacement.study import FRACTIONS, study

    with StageConsole() as stages:
        run = open_replaceable(path, stages)
        print_confinement(stages.console, run.config)
        model, tokenizer = run.load_model()
        result = study(
            model,
            tokenizer,
            run.test,
            run.held_out,
            run.assignment,
            run.head_iou,
            run.sandbox,
            seed=run.config.seed,
            fractions=FRACTIONS if fractions is None else fractions,
            random_orders=random_orders,
            progress=stages.on_stage,
        )
    write_atomically(run.run_dir.file("replacement.json"), json.dumps(result, indent=1) + "\n")
    return result
