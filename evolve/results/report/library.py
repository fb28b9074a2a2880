"""The library in the report: what each size of it covers, what each of its programs is worth, and mixes of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from typing import Any

from evolve.store.run_dir import RunDir

# Columns of `coverage.csv` that are drawn; those of heads as shares.
_DRAWN = ("mean_held_out", "mean_test", "excess_held_out", "excess_test", "source_lines")
_SHARES = ("heads_within_epsilon_held_out", "heads_within_epsilon_test")


def library_view(run_dir: RunDir, ids: Collection[str], heads: int) -> dict[str, Any]:
    """What the files of a run say of its library; empty where they are not there.

    Args:
        run_dir: where `library.json`, `coverage.csv` and `mixes.json` may lie.
        ids: of the programs that the report shows; `library` may have written another library since.
        heads: number of heads.

    Returns:
        `criterion` (its `name` and `value`), `bound` (no choice has fewer programs), `optimal`, `lines`, `worth` (id ->
        see `_worth`), `other` (number of programs in the file where that is not the library shown), `curve` (a list
        for each column, `k` among them, None where not known) and `mixes` (as in the file).
    """
    library = run_dir.read_json("library.json")
    entries = {entry["id"]: entry for entry in library.get("programs", [])}
    same = set(entries) == set(ids)
    return {
        "criterion": library.get("criterion") if same else None,
        "bound": library.get("lower_bound"),
        "optimal": library.get("optimal"),
        "lines": library.get("source_lines"),
        "worth": {id_: _worth(entry, heads) for id_, entry in entries.items()} if same else {},
        "other": None if same or not entries else len(entries),
        "curve": coverage_columns(run_dir, heads),
        "mixes": run_dir.read_json("mixes.json"),
    }


def _worth(entry: Mapping[str, Any], heads: int) -> dict[str, Any]:
    """What a library would lose without one of its programs, on test.

    Returns:
        `lines` of its source, `loss` (of the mean IoU over all heads, in [-1, 1]), and of the head that loses most its
        name `hit` and loss `hit_loss`; `substitute_loss`, what its heads would lose on average to the best program
        outside the library, on held-out texts.
    """
    losses = entry["loss_without"]
    hit = max(losses, key=losses.__getitem__, default=None)
    return {
        "lines": entry["source_lines"],
        "loss": sum(losses.values()) / max(1, heads),
        "hit": hit,
        "hit_loss": losses[hit] if hit else None,
        "substitute_loss": entry["substitute_loss"],
    }


def coverage_columns(run_dir: RunDir, heads: int) -> dict[str, list[float | None]]:
    """`coverage.csv` by column: `k`, `source_lines`, mean IoU and excess, and shares of heads within epsilon."""
    try:
        text = run_dir.file("coverage.csv").read_text(encoding="utf-8")
    except OSError:
        return {}
    rows = list(csv.DictReader(io.StringIO(text)))
    columns = {name: [_number(row.get(name)) for row in rows] for name in ("k", *_DRAWN, *_SHARES)}
    for name in _SHARES:
        columns[name] = [None if value is None else round(value / max(1, heads), 4) for value in columns[name]]
    return columns


def _number(cell: str | None) -> float | None:
    return round(float(cell), 4) if cell else None
