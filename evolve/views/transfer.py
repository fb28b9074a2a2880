"""What a library is worth on other texts, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from archives.bootstrap import Estimate
from archives.gain import beyond_noise
from evolve.results.transfer import DomainTransfer
from evolve.views.replacement import render_perplexity
from evolve.views.words import with_interval


def render(domains: Mapping[str, DomainTransfer]) -> list[RenderableType]:
    """One table per domain, and whether the library beats the tables of home there, in words."""
    return [line for domain in domains.values() for line in _domain(domain)]


def render_replaced(replaced: Mapping[str, dict[str, Any]]) -> list[RenderableType]:
    """What replacing heads costs on texts of each domain."""
    lines: list[RenderableType] = []
    for domain, found in replaced.items():
        lines += [f"[bold]{escape(domain)}[/bold]", *render_perplexity(found)]
    return lines


def _domain(there: DomainTransfer) -> list[RenderableType]:
    title = f"{there.domain}: {there.texts} texts, {there.tokens} tokens, {there.heads} heads of {there.model}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("what predicts the heads")
    table.add_column("mean IoU", justify="right")
    table.add_column("library minus it", justify="right")
    if there.reference is not None and there.gain is not None:
        table.add_row("reference of the run", f"{there.reference.value:.3f}", _paired(there.gain))
    table.add_row(
        "tables fitted on these texts", f"{there.tables_here.value:.3f}", _paired(there.gain_over_tables_here)
    )
    table.add_row("best single program", f"{there.single_best.value:.3f}", _paired(there.gain_over_single))
    table.add_row("library", f"[bold]{there.library.value:.3f}[/bold]", "")
    return [table, domain_verdict(there)]


def _paired(estimate: Estimate) -> str:
    interval = None if estimate.low is None else [estimate.low, estimate.high]
    return escape(with_interval(estimate.value, interval, signed=True))


def domain_verdict(there: DomainTransfer) -> str:
    """Whether the library holds on these texts, in words; in red where it does not."""
    if there.gain is None:
        held = beyond_noise(there.gain_over_tables_here) > 0
        counts = "programs chosen on every other text, the numbers from the rest"
        beaten = "the tables fitted there"
    else:
        held = beyond_noise(there.gain) > 0
        counts = f"{there.heads_won} of {there.heads} heads won beyond noise, {there.heads_lost} lost"
        beaten = "the run's own tables"
    name = escape(there.domain)
    if held:
        return f"on {name} the library beats {beaten}: {counts}"
    return f"[bold red]on {name} the library does not beat {beaten}: {counts}[/bold red]"
