"""What a person sees while a campaign runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from evolve.config import Stop
from evolve.listeners import SEARCHING, Listener
from evolve.store.records import StepSummary
from evolve.views.stages import PLAIN_EVERY_SECONDS, PlainStages
from evolve.views.words import duration, texts_lines
from fitness.text.corpus import Splits


class CampaignConsole(Listener):
    """Shows the progress of a campaign on stderr.

    Args:
        console: where to write.
        title: name of the target and the run directory.
        stop: when the campaign will end, for the bar and the time left.
    """

    def __init__(self, console: Console, title: str, stop: Stop) -> None:
        self._console = console
        self._title = title
        self._stop = stop
        self._summary: StepSummary | None = None
        self._stage = "starting"
        self._plain = PlainStages(console)
        self._began = time.monotonic()
        self._programs_at_start: int | None = None
        self._last_plain = 0.0
        self._last_step = -1
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> CampaignConsole:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        if self._summary and self._summary.step != self._last_step:
            self._console.print(self._line(self._summary), highlight=False)

    def on_stage(self, name: str, done: int, total: int) -> None:
        """Something long that is no step of the search has come this far."""
        self._stage = f"{name}: {done} of {total}" if total else name
        if name == SEARCHING:
            self._began = time.monotonic()
        if not self._console.is_terminal:
            self._plain.show(name, done, total)

    def on_step(self, summary: StepSummary) -> None:
        """A step was committed."""
        if self._programs_at_start is None:
            self._programs_at_start = summary.programs - summary.new
        self._summary = summary
        if not self._console.is_terminal and time.monotonic() - self._last_plain >= PLAIN_EVERY_SECONDS:
            self._last_plain, self._last_step = time.monotonic(), summary.step
            self._console.print(self._line(summary), highlight=False)

    def on_texts(self, splits: Splits, max_tokens: int) -> None:
        """Says what was read, a line for each domain."""
        for line in texts_lines(splits, max_tokens):
            self._console.print(escape(line), highlight=False)

    def on_note(self, message: str) -> None:
        """Says it."""
        self._console.print(escape(message), highlight=False)

    def on_incident(self, message: str) -> None:
        """Something went wrong and was survived."""
        self._console.print(f"[yellow]{escape(message)}[/yellow]")

    def _rate(self, s: StepSummary) -> float:
        evaluated = s.programs - (self._programs_at_start or 0)
        return float(evaluated / max(1e-9, time.monotonic() - self._began))

    def _left(self, s: StepSummary) -> tuple[float, float | None]:
        """Share done in [0, 1], and seconds left where they can be told."""
        shares: list[tuple[float, float | None]] = [(0.0, None)]
        if self._stop.max_programs:
            share, rate = s.programs / self._stop.max_programs, self._rate(s)
            left = (self._stop.max_programs - s.programs) / rate if rate > 0 else None
            shares.append((share, left))
        if self._stop.max_seconds:
            shares.append((s.seconds / self._stop.max_seconds, self._stop.max_seconds - s.seconds))
        share, left = max(shares, key=lambda entry: entry[0])
        return min(1.0, share), None if left is None else max(0.0, left)

    def _line(self, s: StepSummary) -> str:
        _, left = self._left(s)
        ahead = f", {duration(left)} left" if left else ""
        return (
            f"step {s.step}: {s.programs} programs, held-out mean IoU {s.mean_iou:.3f}, best {s.best_iou:.3f}, "
            f"excess {s.excess:.3f}, {s.failed} failed, {self._rate(s):.0f}/s{ahead}"
        )

    def _render(self) -> Panel:
        s = self._summary
        if s is None:
            return Panel(f"[bold]{escape(self._title)}[/bold]\n{escape(self._stage)} ...")
        share, left = self._left(s)
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in range(4):
            table.add_column(ratio=1)
        table.add_row("step", f"[bold]{s.step}", "programs", f"[bold]{s.programs}[/bold] ({self._rate(s):.0f}/s)")
        found = f"[bold green]{s.mean_iou:.3f}"
        table.add_row("held-out mean", found, "held-out excess", f"[bold green]{s.excess:.3f}")
        table.add_row("held-out best", f"{s.best_iou:.3f}", "grid coverage", f"{s.coverage:.1%}")
        failed = s.failed / max(1, s.programs)
        table.add_row("failed", f"{s.failed} ({failed:.1%})", "time left", duration(left) if left is not None else "?")
        table.add_row("test texts", "read at the end", "", "")
        grid = Table.grid(expand=True)
        grid.add_row(f"[bold]{escape(self._title)}")
        grid.add_row(table)
        grid.add_row(ProgressBar(total=1.0, completed=share))
        advice = "Ctrl-C stops after this step; run again to resume"
        grid.add_row(f"[dim]{advice if self._stage == SEARCHING else escape(self._stage)}")
        return Panel(grid)
