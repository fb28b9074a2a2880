"""What was run, for the report: model, texts, software, settings that were changed, and readings of test."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evolve.config import Config
from evolve.results.provenance import BEGUN, SOFTWARE, config_changes, now, provenance_of
from evolve.store import Store


def origin_view(store: Store, config: Config) -> dict[str, Any]:
    """What the numbers of a run come from, as far as its state knows it.

    Returns:
        `model`, `texts`, `splits`, `max_tokens` and `seed` as `evolve.results.provenance` has them, from the settings
        alone where the search has not begun; `read` (domain -> what was passed over, see
        `fitness.text.corpus.DomainRead`); `searched_with` and `reported_with`, versions of software; `begun`,
        `reported`; `changes` of settings; `readings` of test; `notes` on the model.
    """
    facts, result = provenance_of(store), store.meta("result") or {}
    reported = facts.pop("software")
    unknown = {
        "model": {"name": config.model, "revision": config.revision, "dtype": config.dtype},
        "texts": [{"domain": source.name} for source in config.texts],
        "splits": config.splits.model_dump(),
        "max_tokens": config.max_tokens,
        "seed": config.seed,
    }
    return {
        **unknown,
        **facts,
        "read": (store.meta("texts") or {}).get("domains", {}),
        "searched_with": store.meta(SOFTWARE, []),
        "reported_with": reported,
        "begun": store.meta(BEGUN),
        "reported": now(),
        "changes": config_changes(store),
        "readings": [asdict(reading) for reading in store.readings()],
        "notes": result.get("notes", []),
    }
