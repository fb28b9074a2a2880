"""What prompts gained, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.results.prompts.calls import PromptTable
from evolve.results.prompts.statistics import Interval
from evolve.results.prompts.trial import Trial

COLUMNS = ("prompt", "model", "calls", "valid", "improved", "gain per call", "unfitted", "per 1k tokens", "per USD")


def render(found: PromptTable) -> list[RenderableType]:
    """One row for each template version, operator and model, and the kinds of their failures."""
    rows = found.rows
    if not rows:
        return [
            "no LLM was asked in these runs: `llm.models` and a share for fresh, mutate or crossover make one be asked"
        ]
    table = Table(title="95 % intervals in brackets", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("prompt", "model") else "right")
    lines: list[RenderableType] = [table]
    for row in rows:
        numbers = [_share(row.valid_share), _share(row.improved_share), _interval(row.mean_gain)]
        numbers += [_interval(row.mean_unfitted_gain), _interval(row.gain_per_1000_tokens), _interval(row.gain_per_usd)]
        table.add_row(escape(row.name), escape(row.model), str(row.calls), *numbers)
        if row.errors:
            lines.append(escape(f"{row.name}: " + ", ".join(f"{kind} {count}" for kind, count in row.errors.items())))
    return lines


def render_trial(trial: Trial) -> list[RenderableType]:
    """Which of two templates is better, in a sentence."""
    return [escape(trial.sentence)]


def _share(interval: Interval) -> str:
    return escape(f"{interval.value:.0%} [{interval.low:.0%}, {interval.high:.0%}]")


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else escape(f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
