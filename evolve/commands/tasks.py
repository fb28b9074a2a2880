"""`headscribe tasks`: multiple-choice questions answered with heads replaced by programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evolve.results.provenance import content_hash, dated
from evolve.results.replaceable import open_replaceable
from evolve.store.run_dir import write_atomically
from evolve.views.stages import StageConsole, print_confinement

# Everything read so far: an interrupted command, or one of other fractions, resumes from it.
KEPT = "tasks.partial.jsonl"


def tasks(
    path: Path,
    *,
    names: list[str],
    fractions: list[float] | None,
    limit: int | None,
    conditions: list[str] | None = None,
) -> dict[str, Any]:
    """Measures accuracies with heads replaced and writes `tasks.json`.

    Args:
        path: a finished run.
        names: JSON-lines files, or names of hub tasks.
        fractions: shares of the heads in [0, 1]; None is a few.
        limit: the most questions of a task.
        conditions: controls that stand beside programs; None is all of docs/replacement.md.

    Raises:
        UserError: for a run without a library, tasks that cannot be read, and a model where replacement is not exact.
    """
    from fitness.replacement.studies.questions import read_questions
    from fitness.replacement.studies.tasks import FRACTIONS, evaluate_tasks

    questions = {Path(task).stem: read_questions(task, limit) for task in names}
    with StageConsole() as stages:
        run = open_replaceable(path, stages)
        print_confinement(stages.console, run.config)
        model, tokenizer = run.load_model()
        try:
            result = evaluate_tasks(
                model,
                tokenizer,
                questions,
                run.explanation,
                run.sandbox,
                seed=run.config.seed,
                fractions=FRACTIONS if fractions is None else fractions,
                only=conditions,
                fit_texts=run.texts.fit,
                kept=run.measurements(KEPT),
                progress=stages.on_stage,
                note=lambda line: stages.console.print(line, highlight=False),
            )
        except KeyboardInterrupt:
            stages.console.print(f"what was read is in {run.run_dir.file(KEPT)}; the same command resumes from it")
            raise
    asked = {
        name: {"questions": len(own), "sha256": content_hash([asdict(question) for question in own])}
        for name, own in questions.items()
    }
    result["provenance"] = dated(run.provenance) | {"tasks": asked}
    write_atomically(run.run_dir.file("tasks.json"), json.dumps(result, indent=1) + "\n")
    return result
