"""A page that is one file: our own style and scripts, allowed by their hashes, and what is stored as inert JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fitness.printable import printable

TEMPLATES = Path(__file__).with_name("templates")


def page(
    template: str,
    *,
    title: str,
    scripts: Sequence[str],
    styles: Sequence[str] = ("report",),
    also: str = "",
    filters: Mapping[str, Callable[..., Any]] | None = None,
    data: Mapping[str, Any] | None = None,
    **values: Any,
) -> str:
    """A page of a template that extends `base.html`; text among the values is escaped and printable.

    Args:
        template: its file among the templates.
        title: what stands above the page, and in the tab.
        scripts: our own scripts, without suffix, in their order.
        styles: our own styles, without suffix.
        also: what the security policy allows beside them.
        filters: for the template.
        data: what the scripts read, each value as inert JSON in an element of its own by that name; what is not
            shown at once stands apart, so that the browser need not parse it to open the page.
        values: for the template.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    environment.filters |= dict(filters or {})
    style, script = _part(f"{name}.css" for name in styles), _part(f"scripts/{name}.js" for name in scripts)
    policy = Markup(f"{_policy(style, script)}{also}")
    return environment.get_template(template).render(
        title=title,
        style=style,
        script=script,
        policy=policy,
        data={name: inert_json(value) for name, value in (data or {}).items()},
        **values,
    )


def _part(names: Iterable[str]) -> Markup:
    """Our own files of `templates`, one after the other, as they stand in a `<style>` or `<script>`."""
    return Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))


def _policy(style: str, script: str) -> str:
    """The content security policy of a page: nothing is loaded, and only this style and this script count."""
    own = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def inert_json(value: Any) -> Markup:
    r"""JSON for a `<script type="application/json">`: no tag, comment or entity can begin or end in it.

    Example:
        >>> str(inert_json({"a": "</script>"}))
        '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(
        _clean(value), separators=(",", ":")
    )  # ASCII alone: line separators of JavaScript are escaped as well
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> Any:
    """What a page shows of any value: text of others without marks of direction and control codes."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value, lines=True)
