"""What a notebook shows: attention with its tokens, and a library; pages, and figures of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.store.run_dir import write_atomically
from evolve.views.notebook import Panel, attention_page, framed, library_page
from fitness.errors import UserError
from fitness.heads import Head
from fitness.scoring.iou import iou

if TYPE_CHECKING:
    from headscribe.figures import ShownFigure
    from headscribe.library import Library

# Of a notebook's cell, about; who has another may pull the frame.
CELL_WIDTH = 900
MARGIN, PER_TOKEN = 74, 11
AROUND, LIBRARY_HEIGHT = 190, 640


class Shown:
    """Something to look at: a page in a notebook, which runs apart from it; a line of text elsewhere.

    Args:
        page: the whole page.
        height: of the cell that shows it, in pixels.
        line: what it is, in one line.
    """

    def __init__(self, page: str, height: int, line: str) -> None:
        self._page, self._height, self._line = page, height, line

    def save(self, path: str | Path) -> None:
        """Writes the page, one file that needs nothing beside it.

        Args:
            path: the file, such as "L2H1.html"; replaced as a whole.
        """
        write_atomically(Path(path), self._page)

    def figure(self) -> ShownFigure:
        """The same as a matplotlib figure, to change and to save.

        Raises:
            UserError: where matplotlib is not installed.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._line

    def _repr_html_(self) -> str:
        return framed(self._page, self._height)


class ShownAttention(Shown):
    """Matrices of one text side by side, with its tokens on the axes: queries down, keys across.

    Attributes:
        matrices: name -> (n, n) float32, the weights that are shown.
        tokens: (n,) the text's tokens.
    """

    def __init__(self, title: str, panels: Sequence[Panel], tokens: Sequence[str]) -> None:
        self.matrices = {panel.name: panel.matrix for panel in panels}
        self.tokens = tuple(tokens)
        self._panels = {panel.name: panel for panel in panels}
        across = min(2, len(panels))
        side = min(CELL_WIDTH // across, MARGIN + PER_TOKEN * len(tokens))
        height = AROUND + -(-len(panels) // across) * (side + 40)
        named = ", ".join(panel.title for panel in panels)
        super().__init__(attention_page(title, panels, tokens), height, f"<{title}: {named}; {len(tokens)} tokens>")

    def figure(self, *names: str) -> ShownFigure:
        """The matrices as a matplotlib figure, to change and to save.

        Args:
            names: which of `matrices`, in this order; all but differences where none is named.

        Raises:
            UserError: for a name that is not there, and where matplotlib is not installed.

        Example:
            >>> len(run.show("L2H1").figure("attention", "prediction").axes)  # two matrices and their scale
            3
        """
        for name in names:
            if name not in self._panels:
                raise UserError(f"there is no matrix {name!r} here; there are {', '.join(self._panels)}")
        chosen = [self._panels[name] for name in names] or [p for p in self._panels.values() if not p.difference]
        return _figures().matrices_figure(chosen, self.tokens)


class ShownLibrary(Shown):
    """A library: its heads as a grid, and its programs with their sources.

    Args:
        library: the library.
        caption: what it is, in a line.
    """

    def __init__(self, library: Library, caption: str) -> None:
        split = "held-out" if library.mean_iou_test is None else "test"
        self._measure = f"{split} IoU"
        explained = {head: library[head] for head in library}
        self._ious = {h: e.iou_held_out if split == "held-out" else e.iou_test for h, e in explained.items()}
        place = {entry.numbers["id"]: index for index, entry in enumerate(library.programs)}
        heads = {head: (self._ious[head], place.get(e.numbers["program"])) for head, e in explained.items()}
        programs = [
            {"name": p.name, "says": p.says, "heads": p.heads, "source": p.program.source if p.program else None}
            for p in library.programs
        ]
        page = library_page(f"Library: {caption}", self._measure, heads, programs)
        super().__init__(page, LIBRARY_HEIGHT, f"<Library: {caption}>")

    def figure(self) -> ShownFigure:
        """The heads as a matplotlib figure: layers down, heads across, coloured by the IoU of their programs.

        Raises:
            UserError: where matplotlib is not installed.

        Example:
            >>> len(run.library.show().figure().axes)  # the heads and their scale
            2
        """
        where = [Head.parse(label) for label in self._ious]
        values = np.full((max(h.layer for h in where) + 1, max(h.head for h in where) + 1), np.nan)
        for head, value in zip(where, self._ious.values(), strict=True):
            values[head.layer, head.head] = np.nan if value is None else value
        return _figures().heads_figure(values, self._measure)


def show_attention(
    matrix: np.ndarray | Mapping[str, np.ndarray], tokens: Sequence[str], *, title: str = "attention"
) -> ShownAttention:
    """Shows attention with the tokens on the axes: in a notebook a page whose weights the pointer reads.

    Args:
        matrix: (n, n) weights in [0, 1], row = query token, column = key token; or several by name, shown side by side.
        tokens: (n,) the tokens.
        title: what stands above.

    Returns:
        What a notebook shows as a page; `figure()` is a matplotlib figure of it, `save` writes the page.

    Raises:
        UserError: for weights of another shape or out of range.

    Example:
        >>> shown = hs.show_attention(run.attention["L2H1", 0], run.attention.texts[0].tokens)
        >>> shown
        <attention: weights; 24 tokens>
    """
    named = matrix if isinstance(matrix, Mapping) else {"weights": matrix}
    if not named:
        raise UserError("show_attention: there is no matrix; give one, or several by name")
    panels = []
    for name, weights in named.items():
        array = np.asarray(weights, dtype=np.float32)
        if array.shape != (len(tokens), len(tokens)) or not len(tokens):
            want = f"({len(tokens)}, {len(tokens)})"
            raise UserError(f"show_attention: {name!r} has shape {array.shape}; {len(tokens)} tokens want {want}")
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-4):
            raise UserError(f"show_attention: {name!r} holds numbers outside [0, 1]; attention weights lie within")
        panels.append(Panel(str(name), str(name), array))
    return ShownAttention(title, panels, tokens)


def show_head(
    label: str, text: int, tokens: Sequence[str], attention: np.ndarray, prediction: np.ndarray, reference: Any
) -> ShownAttention:
    """A head's attention beside what predicts it.

    Args:
        label: name of the head.
        text: number of the text.
        tokens: (n,) its tokens.
        attention: (n, n) of the head.
        prediction: (n, n) of the program.
        reference: (n, n) of the head's reference, or None.
    """

    def panel(name: str, says: str, matrix: np.ndarray) -> Panel:
        return Panel(name, f"{says}, IoU {float(iou(matrix.ravel(), attention.ravel())):.3f}", matrix)

    panels = [
        Panel("attention", "attention of the head", attention),
        panel("prediction", "prediction of the program", prediction),
        Panel("difference", "prediction minus attention", prediction - attention, difference=True),
    ]
    panels += [] if reference is None else [panel("reference", "reference of the head", reference)]
    return ShownAttention(f"{label} on text {text}", panels, tokens)


def _figures() -> Any:
    """The room that draws with matplotlib, imported when something is drawn."""
    try:
        from headscribe import figures
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "matplotlib":
            raise UserError("figures need matplotlib; install it with: pip install 'headscribe[plots]'") from None
        raise
    return figures
