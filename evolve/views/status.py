"""The status of a run as a panel that fits 80 columns."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as RichText

from evolve.results.status import GridStatus, OperatorRow, Status
from evolve.views.words import duration, number, times, with_interval
from fitness.printable import one_line
from fitness.sandbox import NOT_STOPPED

CHANGES_SHOWN = 8
BARS = " ▁▂▃▄▅▆▇█"


def render(status: Status) -> Panel:
    """The panel."""
    rate = status.programs_evaluated / status.seconds if status.seconds else 0.0
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column()
    coverage = "-" if status.coverage is None else f"{status.coverage:.1%} of cells"
    head.add_row(
        "programs", f"[bold]{status.programs_evaluated}", "rate", f"{rate:.0f}/s over {duration(status.seconds)}"
    )
    head.add_row("held-out mean", _bold(status.mean_iou_held_out), "excess", _bold(status.excess_iou_held_out))
    head.add_row("held-out best", _bold(status.best_iou_held_out), "coverage", coverage)
    grid = status.grid
    head.add_row("elites", f"{grid.num_elites:.1f} per head", "QD score", f"{grid.qd_score:.2f} per head")
    head.add_row("reference", _bold(status.reference_iou_held_out), "gain", _bold(status.gain_over_reference_held_out))
    head.add_row("ceiling", _bold(status.ceiling_iou_held_out), "", "of a dense log-linear model")
    parts: list[Any] = [head, "", _operators(status.operators), "", _outcomes(status.outcomes), ""]
    entered = f"{grid.opened_cells} opened a cell, {grid.improved_cells} improved an elite, {grid.not_added} neither"
    parts += [RichText(f"programs: {entered}"), "", _bars(grid.occupancy), *_clipped(grid)]
    if status.llm.calls:
        llm = status.llm
        cached = f" ({llm.cached_tokens} cached)" if llm.cached_tokens else ""
        thought = f" ({llm.reasoning_tokens} thought)" if llm.reasoning_tokens else ""
        tokens = f"{llm.prompt_tokens}{cached} + {llm.completion_tokens}{thought} tokens"
        parts += ["", f"LLM: {llm.calls} calls, {tokens}, {llm.cost_usd:.4f} USD"]
    if status.gain_over_reference is not None:
        gain = with_interval(status.gain_over_reference, status.gain_over_reference_interval, signed=True)
        parts += ["", escape(f"gain over reference on test {gain}; test read {times(status.test_reads)}")]
    parts += _changes(status.config_changes)
    if status.sandbox == "degraded":
        parts += ["", f"[bold red]programs run in the degraded sandbox: {NOT_STOPPED}"]
    title = RichText(f"{status.model}  {status.run_dir}", style="bold", overflow="fold")
    return Panel(Group(title, *parts), width=80)


def _operators(rows: list[OperatorRow]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operator")
    for name in ("candidates", "new", "known", "failed", "gained", "per second", "chance"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = [str(count) for count in (row.candidates, row.new, row.known, row.failed)]
        rate = number(row.gain_per_second, 4)
        table.add_row(escape(row.operator), *counts, f"{row.gain:.3f}", rate, f"{row.chance:.0%}")
    return table


def _outcomes(counts: dict[str, int]) -> RichText:
    failures = [f"{kind} {count}" for kind, count in counts.items() if kind != "ok"]
    return RichText("failures: " + (", ".join(failures) or "none"))


def _bars(occupied: dict[str, list[int]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, counts in occupied.items():
        most = max([*counts, 1])
        bar = "".join(BARS[0 if not c else 1 + round(c / most * (len(BARS) - 2))] for c in counts)
        table.add_row(f"[dim]{name}[/dim]", f"0 [cyan]{bar}[/cyan] 1", " ".join(map(str, counts)))
    return table


def _clipped(grid: GridStatus) -> list[RichText]:
    """A line on descriptors that were measured outside [0, 1], if there are any."""
    beyond = [f"{name} {count}" for name, count in grid.clipped.items() if count]
    return [RichText(f"values outside [0, 1], clipped: {', '.join(beyond)}", style="yellow")] if beyond else []


def _changes(changes: list[dict[str, Any]]) -> list[RichText]:
    """What sessions changed of the settings, the latest last."""
    lines = [_change(change) for change in changes[-CHANGES_SHOWN:]]
    before = len(changes) - len(lines)
    lines = [f"{before} earlier changes: status --json has all", *lines] if before else lines
    shown = ["", "settings changed on resuming", *(f"  {line}" for line in lines)] if lines else []
    return [RichText(line) for line in shown]


def _change(change: dict[str, Any]) -> str:
    became = f"{_value(change['old'])} -> {_value(change['new'])}"
    return f"{one_line(change['key'])}: {became} at {change['programs']} programs"


def _value(value: Any) -> str:
    return one_line("none" if value is None else value if isinstance(value, str) else json.dumps(value), most=60)


def _bold(value: float | None) -> str:
    return f"[bold]{number(value)}"
