"""Runs compared, for people: tables, and curves as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from textwrap import fill

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from evolve.results.between_seeds import Between
from evolve.results.comparison import AXES, PREDICTORS, Axis, Comparison, Group
from evolve.views.words import duration
from fitness.errors import UserError

# Of `PREDICTORS`, narrow enough for 80 columns.
_PREDICTORS = ("best\nsingle", "base-\nline", "mean\ntable", "median\ntable", "dist.\ntable", "refer-\nence", "library")
# A label that is longer stands above the tables, and a letter in them.
LONGEST_LABEL = 24
_UNITS = {"programs": "programs", "seconds": "seconds", "usd": "dollars"}


def render(comparison: Comparison, *, layers: bool = False) -> list[RenderableType]:
    """What the groups came to, how they got there, and the paired differences to the first of them.

    Args:
        comparison: the runs, compared.
        layers: show each group layer by layer as well.
    """
    comparison, legend = _named(comparison)
    lines: list[RenderableType] = [*legend, _numbers(comparison), _predictors(comparison)]
    if any(group.transfer for group in comparison.groups):
        lines.append(_abroad(comparison))
    for group in comparison.groups:
        lines += _replacement(group) if group.replacement else []
        lines += [_layers(group)] if layers and group.layers else []
    lines += [_curves(comparison, axis) for axis in AXES if comparison.groups[0].curves[axis]]
    for found in comparison.differences:
        over = f"{found.difference.runs} shared seed{'s' * (found.difference.runs != 1)}"
        metric = found.metric.replace("_", " ").replace("iou", "IoU")
        lines.append(escape(f"{found.label} less the first, {metric}:"))
        lines.append(escape(f"  {_between(found.difference, signed=True)}, {over}"))
    if comparison.unfinished:
        lines.append(f"[yellow]not finished, in the curves alone: {escape(', '.join(comparison.unfinished))}[/yellow]")
    return lines


def _named(comparison: Comparison) -> tuple[Comparison, list[str]]:
    """The comparison with letters for labels that no column has room for, and what the letters stand for."""
    labels = [group.label for group in comparison.groups]
    if max(map(len, labels)) <= LONGEST_LABEL:
        return comparison, []
    names = {label: _letters(place) for place, label in enumerate(labels)}
    groups = tuple(replace(group, label=names[group.label]) for group in comparison.groups)
    differences = tuple(replace(found, label=names[found.label]) for found in comparison.differences)
    legend = [f"[bold]{name}[/bold]: {escape(label)}" for label, name in names.items()]
    return replace(comparison, groups=groups, differences=differences), legend


def _letters(place: int) -> str:
    """A to Z, and then AA, AB and so on."""
    return (_letters(place // 26 - 1) if place >= 26 else "") + ascii_uppercase[place % 26]


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


def _predictors(comparison: Comparison) -> Table:
    table = Table(title="test IoU of what predicts the heads; ± between seeds", title_justify="left")
    table.add_column("runs")
    for name in _PREDICTORS:
        table.add_column(name, justify="right", no_wrap=True)
    for group in comparison.groups:
        found = [group.numbers.get(metric) for metric in PREDICTORS]
        table.add_row(escape(group.label), *(_spread(one, "\n") if one else "-" for one in found))
    return table


def _abroad(comparison: Comparison) -> Table:
    table = Table(title="IoU on other texts, assignment unchanged; intervals between seeds", title_justify="left")
    table.add_column("runs")
    table.add_column("texts")
    for name in ("library", "own tables", "gain"):
        table.add_column(name, justify="right")
    for group in comparison.groups:
        for domain, found in group.transfer.items():
            cells = [_spread(found[name]) if name in found else "-" for name in ("library", "reference")]
            gain = escape(_between(found["gain"], signed=True)) if "gain" in found else "-"
            table.add_row(escape(group.label), escape(domain), *cells, gain)
    return table


def _replacement(group: Group) -> list[RenderableType]:
    found = group.replacement
    assert found is not None
    lines: list[RenderableType] = []
    title = f"{group.label}: perplexity {found.original.value:.2f} rises by per cent"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("in the place of heads")
    for row in found.by_fraction:
        table.add_column(f"{row.fraction:.0%} of them", justify="right")
    for name in dict.fromkeys(name for row in found.by_fraction for name in row.increase_percent):
        cells = [row.increase_percent.get(name) for row in found.by_fraction]
        label = name.replace("_", " ")
        bold = f"[bold]{label}[/bold]" if name == "programs" else label
        table.add_row(bold, *(_percent(one) if one else "-" for one in cells))
    lines.append(table)
    for row in found.by_fraction:
        for where, one in (
            ("heads by IoU", row.programs_minus_mean_table),
            ("random heads", row.random_order_minus_mean_table),
        ):
            if one is not None:
                said = _between(one, signed=True)
                lines.append(escape(f"{row.fraction:.0%}, {where}: programs less mean tables {said} nats"))
    return lines


def _layers(group: Group) -> Table:
    table = Table(title=escape(f"{group.label}: layer by layer; ± between seeds"), title_justify="left")
    names = ("layer", "library", "reference", "gain", "perplexity, layer replaced")
    for name in names:
        table.add_column(name, justify="right")
    for layer in group.layers:
        cells = [_spread(layer.library), _spread(layer.reference), _spread(layer.gain, signed=True)]
        table.add_row(str(layer.layer), *cells, f"{_percent(layer.replaced)} %" if layer.replaced else "-")
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


def _spread(found: Between, gap: str = " ", *, signed: bool = False) -> str:
    half = "" if found.high is None else f"{gap}±{found.high - found.value:.3f}"
    return f"{found.value:{'+' if signed else ''}.3f}{half}"


def _percent(found: Between) -> str:
    half = "" if found.high is None else f" ±{found.high - found.value:,.0f}"
    return f"{found.value:+,.1f}{half}" if abs(found.value) < 1000 else f"{found.value:+,.0f}{half}"


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
            place.plot(
                at, [point.mean_iou.value for point in points], marker="o", markersize=3, label=fill(group.label, 40)
            )
            ends = [(p.mean_iou.low, p.mean_iou.high) for p in points]
            if all(low is not None for low, _ in ends):
                place.fill_between(at, [low for low, _ in ends], [high for _, high in ends], alpha=0.2)
        place.set_xscale("log")
        place.set_xlabel(_UNITS[axis])
        place.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean best held-out IoU")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path)
