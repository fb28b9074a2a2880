"""All that the report's script shows, as plain values: heads, the library, and what other commands left in the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evolve.config import Config
from evolve.results.prompts.calls import prompts_of
from evolve.results.report.ancestry import lineages, runner_ups
from evolve.results.report.library import library_view
from evolve.results.report.origin import origin_view
from evolve.results.report.replacement import replacement_view, tasks_view
from evolve.results.report.search import search_view
from evolve.store import Store
from evolve.store.run_dir import RunDir
from fitness.errors import UserError


def report_contents(run_dir: RunDir, store: Store, config: Config) -> dict[str, Any]:
    """Plain values; sources of the library's programs are left out, as they stand in the page itself.

    Returns:
        `iou_on`, `heads`, `programs` and `matrices` as `evolve.results.report.details` kept them, empty or None before
        a campaign has ended; `runners`, `sources` and `lineage`; `library`, `replacement`, `tasks`, `origin` and
        `search`, each as its module says; and `prompts`, as `headscribe prompts` has them.

    Raises:
        UserError: where a file of the run is not as headscribe writes it.
    """
    details = store.meta("details") or {}
    heads = details.get("heads", {})
    programs = [
        {key: value for key, value in entry.items() if key != "source"} for entry in details.get("programs", [])
    ]
    ids = [entry["id"] for entry in programs]
    records, proposals, labels = list(store.all_programs()), store.all_proposals(), store.meta("labels") or []
    runners, sources = runner_ups(records, labels, {label: head["program"] for label, head in heads.items()})
    numbers = {record.id: record.number for record in records if record.id in set(ids)}
    with as_written(run_dir):
        library, replacement = library_view(run_dir, ids, len(heads)), replacement_view(run_dir)
        tasks = tasks_view(run_dir)
    return {
        "iou_on": details.get("iou_on", []),
        "heads": heads,
        "programs": programs,
        "matrices": details.get("matrices"),
        "runners": runners,
        "sources": sources,
        "lineage": lineages(numbers, proposals, labels),
        "library": library,
        "replacement": replacement,
        "tasks": tasks,
        "origin": origin_view(store, config),
        "search": search_view(store, records, proposals, config.search.descriptors, config.search.bins),
        "prompts": prompts_of([run_dir.path]).as_json()["prompts"],
    }


@contextmanager
def as_written(run_dir: RunDir) -> Iterator[None]:
    """Where what is read of a run's files inside is not as it should be, says so in a `UserError`."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{run_dir.path}: a JSON or CSV file in it is not as headscribe writes it ({error!r}); "
            "let the command that wrote it write it again, or remove it"
        ) from None
