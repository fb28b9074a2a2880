"""`headscribe status`: how far a campaign is, what fails, and what each operator earns."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as RichText

from evolve.config import Config
from evolve.run_dir import RunDir
from evolve.scheduler import Arm, make_scheduler
from evolve.store import Store
from evolve.views.console import duration
from operators.llm.client.calls import spend_of

REFRESH_SECONDS = 2.0
BARS = " ▁▂▃▄▅▆▇█"


def show_status(directory: Path, *, watch: bool, quiet: bool) -> dict[str, Any]:
    """Prints the status of a run, once or until Ctrl-C; returns what `--json` prints.

    Raises:
        UserError: where the directory holds no run.
    """
    run_dir = RunDir(directory)
    config = run_dir.load_config()
    status = read_status(run_dir, config)
    if quiet:
        return status
    console = Console()
    if not watch:
        console.print(render(status, directory))
        return status
    with Live(render(status, directory), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            status = read_status(run_dir, config)
            live.update(render(status, directory), refresh=True)


def read_status(run_dir: RunDir, config: Config) -> dict[str, Any]:
    """All that is shown, from one look at the database; a running campaign is not disturbed."""
    store = run_dir.open_store()
    try:
        last = store.last_summary() or {}
        return {
            "run_dir": str(run_dir.path),
            "model": config.model,
            "steps": store.steps(),
            "programs_evaluated": last.get("programs", 0),
            "programs_failed": last.get("failed", 0),
            "mean_iou_held_out": last.get("mean_iou"),
            "best_iou_held_out": last.get("best_iou"),
            "excess_iou_held_out": last.get("excess"),
            "coverage": last.get("coverage"),
            "seconds": round(store.seconds(), 1),
            "outcomes": store.counts(),
            "operators": operator_earnings(store, config),
            "occupancy": occupancy(store, config),
            "llm": llm_spend(store),
            "sandbox": store.meta("sandbox"),
        }
    finally:
        store.close()


def operator_earnings(store: Store, config: Config) -> list[dict[str, Any]]:
    """One row for each operator, prompt and model.

    Rows hold candidates, how many were new, known and failed, the held-out IoU gained, what that is per second of
    reckoned cost, and the chance of the next slot.
    """
    scheduler = make_scheduler(config)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for proposal in store.all_proposals():
        scheduler.learn(proposal, store.get(proposal.call) if proposal.call else None)
        kind = proposal.outcome if proposal.outcome in ("new", "known", "none") else "failed"
        arm = Arm(proposal.operator, proposal.model, proposal.prompt)
        counts[arm.label].update([kind, "candidates"])
    keys = ("candidates", "new", "known", "failed")
    rows = [
        {"operator": row["arm"]}
        | {key: counts[row["arm"]][key] for key in keys}
        | {key: row[key] for key in ("gain", "gain_per_second", "chance")}
        for row in scheduler.explain()
    ]
    return sorted(rows, key=lambda row: (-row["gain"], row["operator"]))


def occupancy(store: Store, config: Config) -> dict[str, list[int]]:
    """Programs by bin of each descriptor axis."""
    names = config.search.descriptors
    found = [r.evaluation.descriptors for r in store.all_programs() if r.evaluation.descriptors is not None]
    values = np.array(found, dtype=np.float32).reshape(len(found), len(names))
    bins = config.search.bins
    index = np.clip((values * bins).astype(int), 0, bins - 1)
    return {name: np.bincount(index[:, axis], minlength=bins).tolist() for axis, name in enumerate(names)}


def llm_spend(store: Store) -> dict[str, Any]:
    """Requests, replies taken from the store by the last session, tokens and dollars so far."""
    spend = spend_of(store.calls())
    return {
        "calls": spend.calls,
        "cached_calls": store.meta("cached_calls", 0),
        "prompt_tokens": spend.prompt_tokens,
        "completion_tokens": spend.completion_tokens,
        "lost_tokens": spend.lost_tokens,
        "cost_usd": round(spend.usd, 6),
    }


def render(status: dict[str, Any], directory: Path) -> Panel:
    """The status as a panel that fits 80 columns."""
    seconds = status["seconds"]
    rate = status["programs_evaluated"] / seconds if seconds else 0.0
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column()
    head.add_row("programs", f"[bold]{status['programs_evaluated']}", "rate", f"{rate:.0f}/s over {duration(seconds)}")
    head.add_row("mean IoU", _number(status["mean_iou_held_out"]), "excess", _number(status["excess_iou_held_out"]))
    head.add_row("best IoU", _number(status["best_iou_held_out"]), "coverage", _percent(status["coverage"]))
    parts: list[Any] = [head, "", _operators(status["operators"]), "", _outcomes(status["outcomes"]), ""]
    parts.append(_bars(status["occupancy"]))
    if status["llm"]["calls"]:
        llm = status["llm"]
        tokens = f"{llm['prompt_tokens']} + {llm['completion_tokens']} tokens"
        parts += ["", f"LLM: {llm['calls']} calls, {tokens}, {llm['cost_usd']:.4f} USD"]
    if status["sandbox"] == "degraded":
        parts += ["", "[bold red]programs run in the degraded sandbox"]
    return Panel(Group(*parts), title=f"{escape(status['model'])}  {escape(str(directory))}", width=80)


def _operators(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operator")
    for name in ("candidates", "new", "known", "failed", "gained", "per second", "chance"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [str(row[key]) for key in ("candidates", "new", "known", "failed")]
        earned = "-" if row["gain_per_second"] is None else f"{row['gain_per_second']:.4f}"
        table.add_row(escape(row["operator"]), *numbers, f"{row['gain']:.3f}", earned, f"{row['chance']:.0%}")
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


def _number(value: float | None) -> str:
    return "-" if value is None else f"[bold]{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%} of cells"
