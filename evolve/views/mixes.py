"""Mixes of a library's programs, for people: what each further program of a mix is worth."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from archives.bootstrap import Estimate
from evolve.results.mixes import Mixes


def render_mixes(mixes: Mixes | None) -> list[RenderableType]:
    """A table of sizes; nothing where no mixes were asked for."""
    if mixes is None:
        return []
    domains = list(mixes.curve[0].abroad)
    table = Table(title_justify="left", title="Mixes of up to k programs per head")
    table.add_column("k", justify="right")
    for name in ("used", "held-out", "test", "gain over k = 1", *map(escape, domains)):
        table.add_column(name, justify="right")
    for point in mixes.curve:
        abroad = [_short(*point.abroad[domain]) for domain in domains]
        gain = "" if point.gain is None else _signed(point.gain)
        cells = (f"{point.programs:.1f}", f"{point.held_out:.3f}", f"{point.test.value:.3f}", gain, *abroad)
        table.add_row(str(point.size), *cells)
    beside = {
        "best single program on test": mixes.single_best_iou_test,
        "references on test": mixes.reference_iou_test,
        "dense ceiling on held-out": mixes.ceiling_iou_held_out,
    }
    lines = [f"{name} {value:.3f}" for name, value in beside.items() if value is not None]
    return [table, "; ".join(lines), "wrote mixes.json"]


def _signed(gain: Estimate) -> str:
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
    return escape(f"{gain.value:+.3f}{interval}")


def _short(value: Estimate, gain: Estimate | None) -> str:
    return f"{value.value:.3f}" + ("" if gain is None else f" ({gain.value:+.3f})")
