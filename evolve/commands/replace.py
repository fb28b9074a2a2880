"""`headscribe replace`: perplexity with ever more heads replaced by programs, beside controls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve.results.compared_files import read_files
from evolve.results.provenance import dated
from evolve.results.replaceable import open_replaceable
from evolve.store.run_dir import write_atomically
from evolve.views.stages import StageConsole, print_confinement

# Everything measured so far: an interrupted command, or one of other fractions, resumes from it.
KEPT = "replacement.partial.jsonl"
WRITTEN = "replacement.json"


def replace(
    path: Path,
    *,
    fractions: list[float] | None = None,
    random_orders: int = 5,
    measure_heads: int | None = None,
    pairs: int | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measures replacement on the test texts of a run and writes `replacement.json`.

    Stages that are not asked for stay in the file as an earlier command left them, where the library is still the same.

    Args:
        path: a finished run.
        fractions: shares of the heads in [0, 1]; None is a few.
        random_orders: number of random orders, and of draws of each control with programs on the wrong heads.
        measure_heads: the most heads whose cost is measured as well as estimated; None is a few.
        pairs: the most of these on which another program, and uniform attention, is measured as well; None is a few.
        only: the stages wanted, of `fractions`, `layers`, `heads` and `order`; None is all.

    Returns:
        What was measured: `perplexity` with `original` and `by_fraction`, `provenance`, and the rest of
            docs/replacement.md.

    Raises:
        UserError: for a run without a library, fractions out of range, and a model where replacement is not exact.
    """
    from fitness.replacement.studies.replace import study
    from fitness.replacement.studies.settings import Settings

    asked = {"fractions": fractions, "measure_heads": measure_heads, "pairs": pairs, "only": only}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    with StageConsole() as stages:
        run = open_replaceable(path, stages)
        settings = Settings(seed=run.config.seed, draws=random_orders, **given)
        settings.check()
        print_confinement(stages.console, run.config)
        model, tokenizer = run.load_model()
        run.note_test_reading("replace")
        try:
            result = study(
                model,
                tokenizer,
                run.explanation,
                run.texts,
                run.sandbox,
                settings,
                kept=run.measurements(KEPT),
                progress=stages.on_stage,
                note=lambda line: stages.console.print(line, highlight=False),
            )
        except KeyboardInterrupt:
            stages.console.print(f"what was measured is in {run.run_dir.file(KEPT)}; the same command resumes from it")
            raise
    result["provenance"] = dated(run.provenance)
    result["digest"] = run.digest
    file = run.run_dir.file(WRITTEN)
    write_atomically(file, json.dumps(beside_earlier(result, read_files(run.run_dir).replacement), indent=1) + "\n")
    return result


def beside_earlier(result: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the stages that an earlier one has beyond it, where both are of one model, texts and programs."""
    if earlier.get("digest") != result["digest"]:
        return result
    return {**earlier, **result, "perplexity": {**earlier["perplexity"], **result["perplexity"]}}
