"""Where texts come from: files, bundled and built-in corpora, data sets on the hub."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from fitness.errors import UserError
from fitness.text.standard_library import BUILT_IN, read_standard_library

DEMO = Path(__file__).parents[1] / "demo"
HUB_ROWS = 5000
CHOICES = (
    "give a .txt, .json, .jsonl, .csv or .parquet file, `stories`, `python-code`, `python-docs`, or a hub data set "
    "owner/name"
)

TextsBy = Literal["blank_line", "line"]


def demo_path(name: str) -> Path | None:
    """The bundled model folder or text file of this name, such as `storyteller-gpt2` or `stories`, or None."""
    for candidate in (DEMO / name, DEMO / f"{name}.txt"):
        if re.fullmatch(r"[\w-]+", name) and candidate.exists():
            return candidate
    return None


def read_texts(
    source: str,
    *,
    texts_by: TextsBy = "blank_line",
    column: str | None = None,
    config: str | None = None,
    split: str = "train",
    rows: int | None = None,
) -> list[str]:
    """Reads a corpus.

    Args:
        source: a `.txt` file; a `.json` list, a `.jsonl`, `.csv` or `.parquet` file (extra `tasks`) of strings or of
            rows with named columns; the name of a bundled corpus (`stories`); `python-code` or `python-docs`, from the
            standard library of this Python; or a hub data set `owner/name` (extra `tasks`).
        texts_by: what separates the texts of a `.txt` file: blank lines, or every line's end.
        column: the column that holds the text; by default `text`, or the only column there is.
        config: configuration of a hub data set.
        split: split of a hub data set.
        rows: read at most this many rows or texts; None is all, and 5,000 from the hub.

    Returns:
        Different texts in their order, surrounding white space removed.

    Raises:
        UserError: where there is no such corpus, it cannot be read, or it holds no text.
    """
    path = Path(source)
    if source not in BUILT_IN and not path.exists():
        path = demo_path(source) or path
    texts: Iterable[str]
    if source in BUILT_IN:
        texts = read_standard_library(source)
    elif path.is_file():
        texts = _read_file(path, texts_by, column)
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source) and path.suffix.lower() not in (".txt", *READERS):
        texts = _read_hub(source, column, config, split, rows or HUB_ROWS)
    else:
        raise UserError(f"texts: no file {source!r}; {CHOICES}")
    stripped = (text.strip() for text in islice(texts, rows))
    different = list(dict.fromkeys(text for text in stripped if text))
    if not different:
        raise UserError(f"texts: {source} holds no text; a .txt corpus has its texts separated by blank lines")
    return different


def _read_file(path: Path, texts_by: TextsBy, column: str | None) -> Iterator[str]:
    reader = READERS.get(path.suffix.lower())
    if reader is None and column is not None:
        raise UserError(f"texts: {path} has no columns; leave `column` out, or give one of {', '.join(READERS)}")
    try:
        if reader is None:
            content = path.read_text(encoding="utf-8-sig")
            yield from content.splitlines() if texts_by == "line" else re.split(r"\n\s*\n", content)
        else:
            yield from _column(reader(path), column, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"texts: cannot read {path}: {error}") from None


def _column(rows: Iterable[Any], column: str | None, place: str) -> Iterator[str]:
    """Texts of rows that are strings, or mappings with a column of strings; empty fields are left out."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            column = column or _only_text_column(row, place)
            if column not in row:
                known = ", ".join(map(str, row))
                raise UserError(f"texts: {place} has no column {column!r} in row {number}; it has {known}")
            row = row[column]
        if row is None:
            continue
        if not isinstance(row, str):
            raise UserError(f"texts: row {number} of {place} is not text but {str(row)[:40]!r}; name another `column`")
        yield row


def _only_text_column(row: dict[str, Any], place: str) -> str:
    holding = [name for name, value in row.items() if isinstance(value, str)]
    if "text" in row or len(holding) != 1:
        if "text" not in row:
            raise UserError(f"texts: {place} has the columns {', '.join(map(str, row))}; name the text's as `column`")
        return "text"
    return holding[0]


def _json_rows(path: Path) -> Iterator[Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(f"texts: {path} is not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, str | dict) for row in rows):
        raise UserError(f"texts: {path} must hold one JSON list of strings, or of objects with a column of strings")
    yield from rows


def _jsonl_rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"texts: line {number} of {path} is not JSON: {error}") from None


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            yield from reader
        except csv.Error as error:
            raise UserError(f"texts: line {reader.line_num} of {path} is not CSV: {error}") from None


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError(f"texts: reading {path} needs pip install 'headscribe[tasks]'") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except ArrowException as error:
        raise UserError(f"texts: {path} is not Parquet: {error}") from None


READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".json": _json_rows,
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _read_hub(name: str, column: str | None, config: str | None, split: str, rows: int) -> list[str]:
    try:
        import datasets
    except ImportError:
        raise UserError(f"texts: reading {name} from the hub needs pip install 'headscribe[tasks]'") from None
    try:
        found = list(datasets.load_dataset(name, config, split=split, streaming=True).take(rows))
    except Exception as error:  # the hub client raises many kinds, all of which mean the same here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"texts: the hub data set {name} could not be read: {reason[:200]}") from None
    return list(_column(found, column, name))
