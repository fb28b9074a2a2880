"""Pages for the cells of a notebook: matrices with their tokens, and a library; each in a frame of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from evolve.views.highlight import highlighted
from evolve.views.page import page

DECIMALS = 4


@dataclass(frozen=True)
class Panel:
    """One matrix of a page.

    Attributes:
        name: what the matrix is called where a cell is read.
        title: what stands above it.
        matrix: (n, n) weights in [0, 1]; or, of a difference, numbers in [-1, 1].
        difference: whether it is a difference.
    """

    name: str
    title: str
    matrix: np.ndarray
    difference: bool = False


def attention_page(title: str, panels: Sequence[Panel], tokens: Sequence[str]) -> str:
    """Matrices side by side with the tokens on their axes: queries down, keys across; the pointer reads the weights.

    Args:
        title: what stands above all.
        panels: the matrices, at least one.
        tokens: (n,) what the axes say.
    """
    data = {
        "tokens": list(tokens),
        "panels": [
            {
                "name": panel.name,
                "title": panel.title,
                "difference": panel.difference,
                "weights": np.round(panel.matrix.astype(float), DECIMALS).ravel().tolist(),
            }
            for panel in panels
        ],
    }
    scripts = ("colours", "matrices", "notebook_attention")
    return _page("notebook_attention.html", scripts, title=title, panels=len(panels), data={"data": data})


def library_page(
    title: str,
    measure: str,
    heads: Mapping[str, tuple[float | None, int | None]],
    programs: Sequence[Mapping[str, Any]],
) -> str:
    """A library: its heads as a grid, coloured by how well they are explained, and its programs with their sources.

    Args:
        title: what stands above all.
        measure: what colours the heads.
        heads: name -> value in [0, 1] and index of its program; None where there is none.
        programs: `name`, `says`, `heads` and `source` of each.
    """
    rows = [{"label": label, "value": value, "program": index} for label, (value, index) in heads.items()]
    data = {"data": {"measure": measure, "heads": rows}}
    scripts = ("colours", "notebook_library")
    return _page("notebook_library.html", scripts, title=title, measure=measure, programs=programs, data=data)


def framed(content: str, height: int) -> str:
    """A page as the output of a cell: in a frame that can reach neither the notebook nor the network.

    Args:
        content: a whole HTML page.
        height: of the frame, in pixels; whoever looks at it may pull it larger.
    """
    style = f"width:100%;height:{height}px;border:0;resize:vertical;overflow:auto"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(content)}"></iframe>'


def _page(template: str, scripts: Sequence[str], **values: Any) -> str:
    filters = {"highlighted": highlighted}
    return page(template, scripts=scripts, styles=("report", "notebook"), filters=filters, **values)
