"""Replacement in the report: what `replace` and `tasks` left in a run, cut to what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve.store.run_dir import RunDir

# Differences from mean tables that a row of a fraction may hold, and on which heads they are.
_VERDICTS = {
    "programs_minus_mean_table": "on these heads",
    "random_order_minus_mean_table": "on heads in random order",
}


def replacement_view(run_dir: RunDir) -> dict[str, Any] | None:
    """What replacing heads by programs costs; None where `replace` has not measured it.

    Returns:
        `measure` (name of the perplexity), `original` with `original_interval`, `texts`; `fractions`, see `_fraction`;
        `names` of the conditions, programs first, then from the cheapest at the largest fraction; `heads` (head ->
        `estimated`, `measured` and its `error`, nats per token, None where unknown, and held-out `iou`); `layers`
        (`layer`, `heads`, `increase` in per cent with `interval`, and that of mean tables); `correlation` of IoU with
        measured cost (`spearman`, `interval`, `heads`), None where not measured.
    """
    found = run_dir.read_json("replacement.json")
    perplexity = found.get("perplexity")
    if not perplexity:
        return None
    fractions = [_fraction(row) for row in perplexity.get("by_fraction", []) if row["heads"]]
    names = {name: numbers["increase"] for row in fractions for name, numbers in row["conditions"].items()}
    original = perplexity["original"]
    return {
        "measure": perplexity["measure"],
        "original": original,
        "original_interval": perplexity["original_interval"],
        "texts": found["texts"],
        "fractions": fractions,
        "names": sorted(names, key=lambda name: (name != "programs", names[name])),
        "heads": {
            row["head"]: {
                "estimated": row["estimated_cost"],
                "measured": row["cost"],
                "error": row["cost_standard_error"],
                "iou": row["iou"],
            }
            for row in found.get("per_head", [])
        },
        "layers": [
            {
                "layer": row["layer"],
                "heads": row["heads"],
                "increase": row["increase_percent"],
                "interval": row["increase_percent_interval"],
                "table": 100 * (row["mean_table"] / original - 1),
            }
            for row in found.get("per_layer", [])
        ],
        "correlation": found.get("correlation"),
    }


def _fraction(row: Mapping[str, Any]) -> dict[str, Any]:
    """One fraction of the heads.

    Returns:
        `fraction`, `heads` (their number); `conditions`, name -> `perplexity`, `increase` of it in per cent with
        `interval`, `kl` and `agreement`; `verdicts` on programs beside mean tables: `where`, what it
        `says`, the difference in nats per token as `value` with `interval`, and whether that is `bad`.
    """
    return {
        "fraction": row["fraction"],
        "heads": row["heads"],
        "conditions": {
            name: {
                "perplexity": numbers["perplexity"],
                "increase": numbers["increase_percent"],
                "interval": numbers["increase_percent_interval"],
                "kl": numbers["kl"],
                "agreement": numbers["agreement"],
            }
            for name, numbers in row["conditions"].items()
        },
        "verdicts": [
            {
                "where": where,
                "says": row[key]["says"],
                "value": row[key]["value"],
                "interval": row[key]["interval"],
                "bad": row[key]["interval"][0] > 0,
            }
            for key, where in _VERDICTS.items()
            if key in row
        ],
    }


def tasks_view(run_dir: RunDir) -> list[dict[str, Any]]:
    """Accuracies on questions with heads replaced, one entry a task; empty where `tasks` has not measured any.

    Returns:
        `name`, `questions`, `chance`, `original` and `conditions` (name -> one for each of `fractions`), each an
        `accuracy` with `standard_error`.
    """
    tasks = []
    for name, task in run_dir.read_json("tasks.json").get("tasks", {}).items():
        rows = [row for row in task["by_fraction"] if row["heads"]]
        names = dict.fromkeys(key for row in rows for key in row if key not in ("fraction", "heads"))
        tasks.append(
            {
                "name": name,
                "questions": task["questions"],
                "chance": task["chance"],
                "original": _accuracy(task["original"]),
                "fractions": [row["fraction"] for row in rows],
                "conditions": {key: [_accuracy(row[key]) if key in row else None for row in rows] for key in names},
            }
        )
    return tasks


def _accuracy(found: Mapping[str, Any]) -> dict[str, float]:
    return {"accuracy": found["accuracy"], "standard_error": found["standard_error"]}
