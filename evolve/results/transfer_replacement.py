"""What replacing heads by a run's programs costs on texts that its search never used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evolve.config import Config
from evolve.listeners import Listener
from evolve.results.abroad import captured_abroad
from evolve.results.replaceable import open_replaceable
from fitness.replacement.studies.bench import SplitTexts
from fitness.replacement.studies.settings import FRACTIONS, Settings

# Everything measured so far: an interrupted command resumes from it.
KEPT = "transfer.partial.jsonl"


def replace_abroad(
    path: Path, config: Config, listener: Listener, *, fractions: Sequence[float] | None = None
) -> dict[str, dict[str, Any]]:
    """Replaces heads on the texts under `transfer` of a configuration, domain by domain.

    The assignment, its order, the tables and the mean outputs are those of the run: nothing is fitted on these texts.

    Args:
        path: a finished run.
        config: its configuration, but for `transfer`, `splits.test` and `max_tokens`, which may differ.
        listener: told how it goes.
        fractions: shares in [0, 1] of the heads that are replaced; None is a few.

    Returns:
        Domain -> what `fitness.replacement.studies.replace.study` returns of the stage `fractions`.

    Raises:
        UserError: for fractions out of range, and a model where replacement is not exact.
    """
    from fitness.replacement.studies.replace import study

    settings = Settings(config.seed, FRACTIONS if fractions is None else tuple(fractions), only=("fractions",))
    settings.check()
    run = open_replaceable(path, listener)
    model, tokenizer = run.load_model()
    found = {}
    for domain, attention in captured_abroad(run.config, config, listener):
        texts = SplitTexts(run.texts.fit, (), attention.texts)
        found[domain] = study(
            model,
            tokenizer,
            run.explanation,
            texts,
            run.sandbox,
            settings,
            kept=run.measurements(KEPT),
            progress=partial(_on_stage, listener, domain),
            note=listener.on_note,
        )
    return found


def _on_stage(listener: Listener, domain: str, name: str, done: int, total: int) -> None:
    listener.on_stage(f"{domain}, {name}", done, total)
