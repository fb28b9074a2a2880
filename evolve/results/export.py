"""A run as tables: its programs, their held-out IoU on heads, proposals with lineage, LLM calls and steps.

No scores of single texts and nothing of the test split is among them; keys, prompts and replies stay in the database.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evolve.results.provenance import config_changes, dated, provenance_of
from evolve.store import Store
from evolve.store.records import ProgramRecord
from evolve.store.run_dir import RunDir, write_atomically
from fitness.errors import UserError, nearest
from fitness.heads import Head
from fitness.printable import csv_cell

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")
FOLDER = "export"
PROVENANCE = "provenance.json"
# Settings whose values are paths or addresses of this machine.
_OWN = ("attention_cache", "llm.models", "llm.prompts")

# What an LLM call was for: the slot of the proposal, and how it was asked.
_PURPOSE = ("operator", "prompt", "template", "step", "slot")

# Column -> values, one per row.
Columns = dict[str, Sequence[Any] | np.ndarray]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where to.
        rows: file -> its number of rows.
        provenance: what it is about, as `provenance.json` holds it.
    """

    folder: Path
    rows: Mapping[str, int]
    provenance: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"folder": str(self.folder), "rows": dict(self.rows), "provenance": dict(self.provenance)}


def export_run(run_dir: RunDir, folder: Path | None = None, form: str = "csv") -> Exported:
    """Writes the tables of a run, which may be running, and `provenance.json`.

    Args:
        run_dir: the run.
        folder: where to; None is `export/` in the run.
        form: "csv", or "parquet" (extra `parquet`).

    Raises:
        UserError: for a directory without a run, a format that is neither, and where pyarrow is missing for Parquet.
    """
    if form not in FORMATS:
        raise UserError(f"export: unknown format {form!r}{nearest(form, FORMATS)}")
    write = _write_csv if form == "csv" else _parquet_writer()
    run_dir.load_config()
    store = run_dir.open_store()
    try:
        with store.snapshot():
            tables, about = _tables(store), dated(provenance_of(store), store)
            about["config_changes"] = [change for change in config_changes(store) if change["key"] not in _OWN]
    finally:
        store.close()
    folder = folder or run_dir.file(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in tables.items():
        write(folder / f"{name}.{form}", columns)
    write_atomically(folder / PROVENANCE, json.dumps(about, indent=1) + "\n")
    rows = {f"{name}.{form}": len(next(iter(columns.values()))) for name, columns in tables.items()}
    return Exported(folder, rows, about)


def _tables(store: Store) -> dict[str, Columns]:
    labels, records = store.meta("labels"), list(store.all_programs())
    return {
        "programs": _programs(store, records, labels),
        "scores": _scores(records, labels),
        "proposals": _proposals(store, records, labels),
        "calls": _calls(store),
        "steps": _columns([summary.as_json() for summary in store.summaries()], ["step", "programs"]),
    }


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Columns:
    """Columns of rows that have the same keys; `names` are those of a table without rows."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else names)}


def _programs(store: Store, records: Sequence[ProgramRecord], labels: Sequence[str]) -> Columns:
    """One row a program: how it came about, how it ran, how good it is, and its source."""
    first: dict[int, str] = {}
    for proposal in store.all_proposals():
        if proposal.number is not None and proposal.outcome == "new":
            first[proposal.number] = proposal.operator
    rows = []
    axes = store.meta("fingerprint")["search.descriptors"]
    for record in records:
        program, ran = record.program(), record.evaluation
        best = None if record.iou is None else int(record.iou.argmax())
        behaviour = [None] * len(axes) if ran.descriptors is None else ran.descriptors.tolist()
        rows.append(
            {
                "number": record.number,
                "program": record.id,
                "step": record.step,
                "operator": first.get(record.number, "baseline"),
                "docstring": program.docstring,
                "statements": sum(isinstance(n, ast.stmt) for n in ast.walk(ast.parse(program.normalised))),
                "characters": record.length,
                "outcome": str(ran.kind),
                "message": ran.message,
                "line": ran.line,
                "degenerate": ran.degenerate,
                "signature": ran.signature,
                "cpu_seconds": ran.cpu_seconds,
                "masked_mass": ran.masked_mass,
                "empty_rows": ran.empty_rows,
                **dict(zip(axes, behaviour, strict=True)),
                "mean_iou": None if record.iou is None else float(record.iou.mean(dtype=np.float64)),
                "best_iou": None if best is None or record.iou is None else float(record.iou[best]),
                "best_head": None if best is None else labels[best],
                "source": record.source,
            }
        )
    return _columns(rows, ["number", "program"])


def _scores(records: Sequence[ProgramRecord], labels: Sequence[str]) -> Columns:
    """One row for each head and program that ran: mean held-out IoU, as `headscribe library` and `score` read it."""
    ran = [(record.id, record.iou) for record in records if record.iou is not None]
    heads = [Head.parse(label) for label in labels]
    return {
        "layer": np.tile(np.array([head.layer for head in heads], dtype=np.int32), len(ran)),
        "head": np.tile(np.array([head.head for head in heads], dtype=np.int32), len(ran)),
        "program_name": np.repeat([name for name, _ in ran], len(heads)),
        "iou_score": np.concatenate([iou for _, iou in ran]) if ran else np.zeros(0, np.float32),
    }


def _proposals(store: Store, records: Sequence[ProgramRecord], labels: Sequence[str]) -> Columns:
    """One row a candidate: who proposed it from what, and what became of it."""
    known = {record.number: record for record in records}
    rows = []
    for proposal in store.all_proposals():
        record = None if proposal.number is None else known.get(proposal.number)
        row = asdict(proposal) | {
            "head": labels[proposal.head],
            "parents": " ".join(known[number].id for number in proposal.parents if number in known),
            "outcome": str(proposal.outcome),
            "number": None if record is None else record.id,
            "evaluation": None if record is None else str(record.evaluation.kind),
            "cpu_seconds": None if record is None else record.evaluation.cpu_seconds,
        }
        row["program"] = row.pop("number")
        rows.append(row)
    return _columns(rows, ["step", "slot", "candidate"])


def _calls(store: Store) -> Columns:
    """One row a stored event of an LLM call: what was asked of which model, tokens and dollars."""
    tokens = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "tokens")
    names = ("event", "model", "sample", "finish", *tokens, "cost_usd", "kind")
    rows = []
    for key, record in store.calls():
        purpose = record.get("purpose") or {}
        row = {"call": key, **{name: record.get(name) for name in names}}
        rows.append(row | {name: purpose.get(name) for name in _PURPOSE})
    return _columns(rows, ["call", *names, *_PURPOSE])


def _write_csv(path: Path, columns: Columns) -> None:
    with _replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(_csv_column(values) for values in columns.values()), strict=True))


def _csv_column(values: Sequence[Any] | np.ndarray) -> Sequence[Any] | np.ndarray:
    # Text of numpy is of program ids alone; float32 in its shortest form reads back as it was.
    if isinstance(values, np.ndarray):
        return values.astype(str) if values.dtype == np.float32 else values
    return [csv_cell(value, lines=True) for value in values]


def _parquet_writer() -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise UserError("export: Parquet needs pyarrow: pip install 'headscribe[parquet]'") from None

    def write(path: Path, columns: Columns) -> None:
        with _replacing(path) as temporary:
            parquet.write_table(pyarrow.table(dict(columns)), temporary)

    return write


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside another, which takes its place as a whole at the end."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    yield temporary
    temporary.replace(path)
