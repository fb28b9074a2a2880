"""What an export wrote, for people."""

from __future__ import annotations

from rich.markup import escape

from evolve.results.export import Exported


def render(exported: Exported) -> list[str]:
    """One line a file."""
    lines = [f"wrote {escape(str(exported.folder / name))}, {rows} rows" for name, rows in exported.rows.items()]
    return [*lines, f"wrote {escape(str(exported.folder / 'provenance.json'))}"]
