"""What a campaign would cost, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.estimate import CostEstimate
from evolve.views.words import duration


def render(estimate: CostEstimate) -> list[RenderableType]:
    """One row for each kind of cost, and a line of space: what a terminal says next does not run into them."""
    table = Table(title="estimates; nothing was started", title_justify="left", show_header=False)
    table.add_row("model", f"{escape(estimate.model)}, {estimate.heads} heads")
    table.add_row("programs", str(estimate.programs))
    table.add_row("time", f"{duration(estimate.seconds)}, of which capture {duration(estimate.capture_seconds)}")
    table.add_row("replace", f"{duration(estimate.replace_seconds)} more, where it is asked for on the finished run")
    table.add_row("memory", f"{estimate.memory_bytes / 1e9:.1f} GB while attention is captured")
    table.add_row("disk", f"{estimate.disk_bytes / 1e6:.1f} MB")
    llm = estimate.llm
    if llm.calls:
        table.add_row("LLM calls", str(llm.calls))
        table.add_row("LLM tokens", f"{llm.prompt_tokens} in, {llm.completion_tokens} out")
        unpriced = f", without {escape(', '.join(llm.unpriced))}: no price is known" if llm.unpriced else ""
        table.add_row("LLM cost", f"{llm.cost_usd:.2f} USD{unpriced}")
    for endpoint in llm.endpoints:
        table.add_row("endpoint", f"{escape(endpoint.model)} answers")
    return [table, ""]
