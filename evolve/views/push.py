"""What was shared, or would be, for people."""

from __future__ import annotations

from rich.markup import escape

from evolve.results.sharing import CARD, Shared


def render(shared: Shared) -> list[str]:
    """The files with their sizes, and where they are; the card itself where nothing was sent."""
    lines = [f"{escape(name)}, {len(content.encode())} bytes" for name, content in shared.files.items()]
    if shared.address:
        return [*lines, f"sent to {escape(shared.address)}"]
    if shared.folder:
        return [*lines, f"written to {escape(str(shared.folder))}; nothing was sent"]
    return [
        *lines,
        "",
        escape(shared.files[CARD]),
        f"nothing was sent; without --dry-run it goes to {escape(shared.name)}",
    ]
