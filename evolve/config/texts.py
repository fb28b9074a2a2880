"""The part of the configuration that names texts: one source or several, each of them a domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from evolve.config.section import Count, Section
from fitness.text.sources import TextsBy, read_texts


class TextSource(Section):
    """One source of texts, see `fitness.text.sources.read_texts`; plain strings stand for a source alone.

    Attributes:
        source: a file, a bundled or built-in corpus, or a hub data set.
        domain: name of the domain; by default the source's own name.
        texts_by: what separates the texts of a `.txt` file; None is the campaign's `texts_by`.
        column: column that holds the text, where there are several.
        config: configuration of a hub data set.
        split: split of a hub data set.
        rows: read at most this many rows.
    """

    source: str
    domain: str | None = None
    texts_by: TextsBy | None = None
    column: str | None = None
    config: str | None = None
    split: str = "train"
    rows: Count | None = None

    @property
    def name(self) -> str:
        """Name of the domain."""
        return self.domain or (Path(self.source).stem if Path(self.source).suffix else Path(self.source).name)

    def read(self, texts_by: TextsBy) -> list[str]:
        """Different texts of the source."""
        settings = self.model_dump(exclude={"domain"})
        return read_texts(**settings | {"texts_by": self.texts_by or texts_by})


def _as_sources(value: Any) -> Any:
    """Entries of a list of sources, from a string, a mapping or a list of both."""
    entries = value if isinstance(value, list | tuple) else [value]
    return [{"source": entry} if isinstance(entry, str) else entry for entry in entries]


def _as_written(sources: tuple[TextSource, ...]) -> Any:
    """Sources in their shortest form: a string where nothing but the source is said, no list around a single one."""
    entries: list[Any] = [source.model_dump(mode="json", exclude_defaults=True) for source in sources]
    entries = [entry["source"] if set(entry) == {"source"} else entry for entry in entries]
    return entries[0] if len(entries) == 1 else entries


_Written = str | TextSource | list[str | TextSource]
TextSources = Annotated[
    tuple[TextSource, ...],
    BeforeValidator(_as_sources, json_schema_input_type=_Written),
    PlainSerializer(_as_written),
]
