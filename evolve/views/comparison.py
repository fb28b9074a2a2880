"""Runs compared, for people: tables, and curves as a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.results.comparison import AXES, Axis, Between, Comparison, Group
from evolve.views.words import duration
from fitness.errors import UserError

_UNITS = {"programs": "programs", "seconds": "seconds", "usd": "dollars"}


def render(comparison: Comparison) -> list[RenderableType]:
    """What the groups came to, how they got there, and the paired differences to the first of them."""
    lines: list[RenderableType] = [_numbers(comparison)]
    if any(group.transfer for group in comparison.groups):
        lines.append(_abroad(comparison))
    lines += [_curves(comparison, axis) for axis in AXES if comparison.groups[0].curves[axis]]
    for found in comparison.differences:
        over = f"{found.difference.runs} shared seed{'s' * (found.difference.runs != 1)}"
        metric = found.metric.replace("_", " ").replace("iou", "IoU")
        lines.append(escape(f"{found.label} less the first, {metric}:"))
        lines.append(escape(f"  {_between(found.difference, signed=True)}, {over}"))
    if comparison.unfinished:
        lines.append(f"[yellow]not finished, in the curves alone: {escape(', '.join(comparison.unfinished))}[/yellow]")
    return lines


def _numbers(comparison: Comparison) -> Table:
    table = Table(title="test texts; intervals in brackets between seeds, below them over texts", title_justify="left")
    table.add_column("runs")
    for name in ("seeds", "IoU", "gain over reference", "programs", "time"):
        table.add_column(name, justify="right")
    for group in comparison.groups:
        table.add_row(*_row(group))
    return table


def _row(group: Group) -> list[str]:
    if not group.numbers:
        return [escape(group.label), str(len(group.seeds)), "-", "-", "-", "-"]
    numbers = group.numbers
    gain = _between(numbers["gain_over_reference"], signed=True)
    if group.gain_intervals:
        low, high = (sum(ends) / len(ends) for ends in zip(*group.gain_intervals, strict=True))
        gain += f"\n({low:+.3f}, {high:+.3f})"
    programs = f"{numbers['library_size'].value:.0f} of {numbers['programs_evaluated'].value:.0f}"
    test = escape(_between(numbers["mean_iou_test"]))
    return [
        escape(group.label),
        str(len(group.seeds)),
        test,
        escape(gain),
        programs,
        duration(numbers["seconds"].value),
    ]


def _abroad(comparison: Comparison) -> Table:
    table = Table(title="gain over the run's own tables on other texts; intervals between seeds", title_justify="left")
    table.add_column("runs")
    domains = dict.fromkeys(name for group in comparison.groups for name in group.transfer)
    for name in domains:
        table.add_column(escape(name), justify="right")
    for group in comparison.groups:
        found = [group.transfer.get(name) for name in domains]
        table.add_row(escape(group.label), *(escape(_between(one, signed=True)) if one else "-" for one in found))
    return table


def _curves(comparison: Comparison, axis: Axis) -> Table:
    table = Table(title=f"mean best held-out IoU after so many {_UNITS[axis]}", title_justify="left")
    table.add_column("runs")
    points = [group.curves[axis] for group in comparison.groups]
    for point in points[0][-5:]:
        table.add_column(f"{point.at:.3g}" if point.at < 1000 else f"{point.at:.0f}", justify="right")
    for group, curve in zip(comparison.groups, points, strict=True):
        table.add_row(escape(group.label), *(_spread(point.mean_iou) for point in curve[-5:]))
    return table


def _spread(found: Between) -> str:
    half = "" if found.high is None else f" ±{found.high - found.value:.3f}"
    return f"{found.value:.3f}{half}"


def _between(found: Between, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if found.low is None or found.high is None:
        return f"{found.value:{sign}.3f}"
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def draw_curves(comparison: Comparison, path: Path) -> None:
    """Writes the curves over programs and seconds as one picture, one line per group, intervals between seeds shaded.

    Raises:
        UserError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("compare: drawing needs matplotlib: pip install 'headscribe[plots]'") from None
    axes = [axis for axis in AXES if comparison.groups[0].curves[axis]]
    figure = Figure(figsize=(4.5 * len(axes), 3.4), layout="constrained")
    for place, axis in zip(figure.subplots(1, len(axes), squeeze=False, sharey=True)[0], axes, strict=True):
        for group in comparison.groups:
            points = group.curves[axis]
            at = [point.at for point in points]
            place.plot(at, [point.mean_iou.value for point in points], marker="o", markersize=3, label=group.label)
            ends = [(p.mean_iou.low, p.mean_iou.high) for p in points]
            if all(low is not None for low, _ in ends):
                place.fill_between(at, [low for low, _ in ends], [high for _, high in ends], alpha=0.2)
        place.set_xscale("log")
        place.set_xlabel(_UNITS[axis])
        place.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean best held-out IoU")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path)
