"""What a comparison reads from files that runs may have: the library by layer, transfer trials and replacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolve.results.between_seeds import Between, between
from evolve.store.run_dir import RunDir
from fitness.heads import Head

# What is compared of a domain under `transfer`.
ABROAD = ("library", "reference", "tables_here", "single_best", "gain")


@dataclass(frozen=True)
class Layer:
    """The heads of one layer, on test texts.

    Attributes:
        layer: its number.
        library: mean IoU of the library.
        reference: mean IoU of the references.
        gain: library minus reference.
        replaced: increase of perplexity in per cent where programs replace all its heads; None if not measured.
    """

    layer: int
    library: Between
    reference: Between
    gain: Between
    replaced: Between | None


@dataclass(frozen=True)
class Fraction:
    """A fraction of the heads replaced.

    Attributes:
        fraction: in [0, 1].
        increase_percent: condition -> how much perplexity rises over that of the original model.
        programs_minus_mean_table: nats per token on the same heads, None if not measured.
        random_order_minus_mean_table: the same on heads in random order.
    """

    fraction: float
    increase_percent: Mapping[str, Between]
    programs_minus_mean_table: Between | None
    random_order_minus_mean_table: Between | None


@dataclass(frozen=True)
class ReplacementCosts:
    """What `headscribe replace` measured of several runs.

    Attributes:
        runs: number of runs that have been measured.
        original: perplexity of the model as it is.
        by_fraction: what replacing costs.
    """

    runs: int
    original: Between
    by_fraction: tuple[Fraction, ...]


@dataclass(frozen=True)
class Files:
    """What lies in one run's directory: `library.json`, `transfer.json` and `replacement.json`; empty where missing."""

    library: Mapping[str, Any]
    transfer: Mapping[str, Any]
    replacement: Mapping[str, Any]


def read_files(run_dir: RunDir) -> Files:
    """Reads what there is."""
    return Files(*(run_dir.read_json(name) for name in ("library.json", "transfer.json", "replacement.json")))


def has_replaced(run_dir: RunDir, fractions: Sequence[float]) -> bool:
    """Whether these shares of a run's heads have been replaced before, so that test need not be read again."""
    rows = read_files(run_dir).replacement.get("perplexity", {}).get("by_fraction", [])
    return set(fractions) <= {row["fraction"] for row in rows}


def layers_of(runs: Sequence[Files]) -> tuple[Layer, ...]:
    """Layers of the runs whose library has been read on test; none where there is no such run."""
    found: list[dict[int, dict[str, float]]] = []
    for run in runs:
        replaced = {row["layer"]: row["increase_percent"] for row in run.replacement.get("per_layer", [])}
        heads: dict[int, list[tuple[float, float]]] = {}
        for label, line in run.library.get("assignment", {}).items():
            if line.get("iou_test") is not None and line.get("reference_iou_test") is not None:
                heads.setdefault(Head.parse(label).layer, []).append((line["iou_test"], line["reference_iou_test"]))
        layers: dict[int, dict[str, float]] = {}
        for layer, pairs in heads.items():
            library, reference = np.mean(pairs, axis=0).tolist()
            layers[layer] = {"library": library, "reference": reference, "gain": library - reference}
            layers[layer] |= {"replaced": replaced[layer]} if layer in replaced else {}
        found.append(layers)
    rows = []
    for layer in sorted({layer for run in found for layer in run}):
        here = [run[layer] for run in found if layer in run]
        library, reference, gain = (between([one[name] for one in here]) for name in ("library", "reference", "gain"))
        rows.append(Layer(layer, library, reference, gain, _between([one.get("replaced") for one in here])))
    return tuple(rows)


def abroad(results: Sequence[Mapping[str, Any]], runs: Sequence[Files]) -> dict[str, dict[str, Between]]:
    """Domain -> numbers of `ABROAD`, of `transfer:` at the end of a run and of later trials, which take precedence."""
    trials = [
        {**result.get("transfer", {}), **run.transfer.get("transfer", {})}
        for result, run in zip(results, runs, strict=True)
    ]
    domains = dict.fromkeys(domain for trial in trials for domain in trial)
    return {
        domain: {
            name: found
            for name in ABROAD
            if (found := _between([trial[domain].get(name) for trial in trials if domain in trial])) is not None
        }
        for domain in domains
    }


def replacement_costs(runs: Sequence[Files]) -> ReplacementCosts | None:
    """What replacing heads cost, over the runs for which it has been measured; None where there are none."""
    measured = [run.replacement["perplexity"] for run in runs if run.replacement.get("perplexity", {}).get("original")]
    if not measured:
        return None
    rows: dict[float, list[Mapping[str, Any]]] = {}
    for one in measured:
        for row in one.get("by_fraction", []):
            if row["fraction"] > 0:
                rows.setdefault(row["fraction"], []).append(row)
    return ReplacementCosts(
        len(measured),
        between([one["original"] for one in measured]),
        tuple(_fraction(fraction, rows[fraction]) for fraction in sorted(rows)),
    )


def _fraction(fraction: float, rows: Sequence[Mapping[str, Any]]) -> Fraction:
    names = dict.fromkeys(name for row in rows for name in row["conditions"])
    costs = {
        name: between([row["conditions"][name]["increase_percent"] for row in rows if name in row["conditions"]])
        for name in names
    }
    chosen, random = (
        _between([row[name]["value"] for row in rows if name in row])
        for name in ("programs_minus_mean_table", "random_order_minus_mean_table")
    )
    return Fraction(fraction, dict(sorted(costs.items(), key=lambda item: item[1].value)), chosen, random)


def _between(values: Sequence[float | None]) -> Between | None:
    known = [value for value in values if value is not None]
    return between(known) if known else None
