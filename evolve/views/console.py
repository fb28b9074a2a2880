"""What a person sees while a campaign runs: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from evolve.config import Stop

PLAIN_EVERY_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Seconds as people say them, such as `1 h 02 min` or `48 s`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def error_console() -> Console:
    """A console on stderr; where that is no terminal, lines stay whole for whoever reads the log."""
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())


class CampaignConsole:
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
        self._summary: dict[str, Any] = {}
        self._incidents: list[str] = []
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
        if self._summary and self._summary["step"] != self._last_step:
            self._console.print(self._line(), highlight=False)

    def on_step(self, summary: dict[str, Any]) -> None:
        """A step was committed."""
        if self._programs_at_start is None:
            self._programs_at_start = summary["programs"] - summary["new"]
        self._summary = summary
        if not self._console.is_terminal and time.monotonic() - self._last_plain >= PLAIN_EVERY_SECONDS:
            self._last_plain, self._last_step = time.monotonic(), summary["step"]
            self._console.print(self._line(), highlight=False)

    def on_incident(self, message: str) -> None:
        """Something went wrong and was survived."""
        self._incidents.append(message)
        self._console.print(f"[yellow]{escape(message)}[/yellow]")

    @property
    def _rate(self) -> float:
        evaluated = self._summary["programs"] - (self._programs_at_start or 0)
        return float(evaluated / max(1e-9, time.monotonic() - self._began))

    def _left(self) -> tuple[float, float | None]:
        """Share done in [0, 1], and seconds left where they can be told."""
        shares: list[tuple[float, float | None]] = [(0.0, None)]
        if self._stop.max_programs:
            share = self._summary["programs"] / self._stop.max_programs
            left = (self._stop.max_programs - self._summary["programs"]) / self._rate if self._rate > 0 else None
            shares.append((share, left))
        if self._stop.max_seconds:
            seconds = self._summary["seconds"]
            shares.append((seconds / self._stop.max_seconds, self._stop.max_seconds - seconds))
        share, left = max(shares, key=lambda entry: entry[0])
        return min(1.0, share), None if left is None else max(0.0, left)

    def _line(self) -> str:
        s = self._summary
        _, left = self._left()
        ahead = f", {duration(left)} left" if left else ""
        return (
            f"step {s['step']}: {s['programs']} programs, mean IoU {s['mean_iou']:.3f}, best {s['best_iou']:.3f}, "
            f"excess {s['excess']:.3f}, {s['failed']} failed, {self._rate:.0f}/s{ahead}"
        )

    def _render(self) -> Panel:
        if not self._summary:
            return Panel("starting ...", title=escape(self._title))
        s = self._summary
        share, left = self._left()
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in range(4):
            table.add_column(ratio=1)
        table.add_row("step", f"[bold]{s['step']}", "programs", f"[bold]{s['programs']}[/bold] ({self._rate:.0f}/s)")
        table.add_row("mean IoU", f"[bold green]{s['mean_iou']:.3f}", "excess", f"[bold green]{s['excess']:.3f}")
        table.add_row("best IoU", f"{s['best_iou']:.3f}", "grid coverage", f"{s['coverage']:.1%}")
        failed = s["failed"] / max(1, s["programs"])
        table.add_row(
            "failed", f"{s['failed']} ({failed:.1%})", "time left", duration(left) if left is not None else "?"
        )
        grid = Table.grid(expand=True)
        grid.add_row(table)
        grid.add_row(ProgressBar(total=1.0, completed=share))
        return Panel(grid, title=escape(self._title), subtitle="Ctrl-C stops after this step; run again to go on")
