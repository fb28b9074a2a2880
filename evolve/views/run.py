"""How a campaign ended, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.results.finish import RunResult
from evolve.running import Ended
from evolve.views import transfer
from evolve.views.words import duration, times, with_interval


def render(ended: Ended) -> list[RenderableType]:
    """A table of the library beside what is simpler, and where to read on; nothing of an interrupted run."""
    result, run_dir = ended.result, ended.run_dir
    if result is None:
        return []
    table = Table(title=f"{result.heads} heads, test texts", title_justify="left")
    table.add_column("what predicts the heads")
    table.add_column("mean IoU", justify="right")
    table.add_column("library minus it", justify="right")
    single = with_interval(result.excess_iou_test, result.excess_iou_test_interval, signed=True)
    baseline = with_interval(result.gain_over_baseline, result.gain_over_baseline_interval, signed=True)
    gain = with_interval(result.gain_over_reference, result.gain_over_reference_interval, signed=True)
    table.add_row("best single program for all heads", f"{result.single_best_iou_test:.3f}", escape(single))
    table.add_row("best simple baseline of each head", f"{result.baseline_iou_test:.3f}", escape(baseline))
    for kind, iou in result.tables_iou_test.items():
        table.add_row(f"{kind.replace('_', ' ')} of each head", f"{iou:.3f}", "")
    table.add_row(
        "reference: best table or baseline of each head", f"{result.reference_iou_test:.3f}", f"[bold]{escape(gain)}"
    )
    table.add_row(f"library of {result.library_size} programs", f"[bold]{result.mean_iou_test:.3f}[/bold]", "")
    return [
        table,
        *verdict(result),
        f"held-out minus test: {result.held_out_minus_test:+.3f}; test read {times(result.test_reads)}",
        *map(escape, result.notes),
        *_earlier(result),
        *transfer.render(result.transfer),
        f"{result.programs_evaluated} programs evaluated, {result.programs_failed} failed, {duration(result.seconds)}",
        f"library: {escape(str(run_dir.file('library.py')))}",
        f"report:  {escape(str(run_dir.file('report.html')))}",
    ]


def verdict(result: RunResult) -> list[str]:
    """Whether the campaign beats its references, in words; in red where it does not."""
    won, lost, heads = result.heads_won_over_reference, result.heads_lost_to_reference, result.heads
    counts = f"{won} of {heads} heads won beyond noise ({won / heads:.0%}), {lost} lost"
    if result.beats_reference:
        return [f"the library beats the reference: {counts}"]
    return [
        f"[bold red]this campaign does not beat its references ({counts}): on texts that it has not seen, its programs "
        "explain the heads no better than tables of positions and simple baselines do[/bold red]"
    ]


def _earlier(result: RunResult) -> list[str]:
    return [
        escape(
            f"earlier, at {entry['programs_evaluated']} programs: test IoU {entry['mean_iou_test']:.3f}, gain "
            + with_interval(entry["gain_over_reference"], entry["gain_over_reference_interval"], signed=True)
        )
        for entry in result.earlier
    ]
