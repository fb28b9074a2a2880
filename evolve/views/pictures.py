"""Curves for the report, as SVG; no plotting library needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def line_svg(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str) -> str:
    """Curves with axes from 0, as an `<svg>` element; each series is named and has (x values, y values)."""
    width, height, left, bottom, top, right = 640, 260, 52, 40, 12, 150
    palette = ["#3a86d0", "#d55e00", "#009e73", "#8a6fd1"]
    most_x = max((max(xs) for xs, _ in series.values() if len(xs)), default=1) or 1
    most_y = max((max(ys) for _, ys in series.values() if len(ys)), default=1) or 1
    step = next(s for s in (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 1e9) if most_y / s <= 6)
    most_y = step * np.ceil(most_y / step)

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (width - left - right) * x / most_x
        return across, height - bottom - (height - bottom - top) * y / most_y

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{y_label} by {x_label}">']
    for tick in np.arange(0, most_y + step / 2, step):
        x, y = place(0, tick)
        parts.append(f'<line x1="{x}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" class="rule"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4:.1f}" class="tick" text-anchor="end">{tick:g}</text>')
    for share in (0, 0.5, 1):
        x, y = place(most_x * share, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" class="tick" text-anchor="middle">{most_x * share:g}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 6}" class="tick" text-anchor="middle">{x_label}</text>')
    for index, (name, (xs, ys)) in enumerate(series.items()):
        if not len(xs):
            continue
        points = [place(x, y) for x, y in zip(xs, ys, strict=True)]
        colour = palette[index % len(palette)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = points[-1]
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}" class="name">{name} {ys[-1]:.3f}</text>')
    return "".join([*parts, "</svg>"])
