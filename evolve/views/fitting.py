"""Tables made to fit a narrow terminal: names are folded, numbers stay whole, and nothing is cut.

rich itself ends a cell that does not fit with an ellipsis, and takes from all columns alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Column, Table

# Names are not folded to less than this while anything else can give way.
NARROWEST_NAME = 8


def fit(table: Table, console: Console, options: ConsoleOptions) -> None:
    """Sets the widths of a table's columns where it is wider than there is room for; leaves it alone where it fits.

    Names are folded first, then the lines between columns go, then headers are folded; numbers where all else fails.

    Args:
        table: is changed; tables that share out a given width among their columns are left as they are.
        console: measures cells.
        options: say how much room there is.
    """
    for column in table.columns:
        column.overflow = "fold"
    if table.expand or any(column.ratio for column in table.columns):
        return
    wanted = [_widest(column, console, options) for column in table.columns]
    if sum(wanted) + _around(table) <= options.max_width:
        return
    floors = [_floor(column, width, NARROWEST_NAME) for column, width in zip(table.columns, wanted, strict=True)]
    if table.box is None:
        table.padding = (0, 1, 0, 0)
    elif sum(floors) + _around(table) > options.max_width:
        table.box, table.padding, table.pad_edge, table.show_edge = box.SIMPLE_HEAD, (0, 1, 0, 0), False, False
    room = options.max_width - _around(table)
    if sum(floors) > room:
        numbers = [max([*_widths(column, console, options), 1]) for column in table.columns]
        floors = [_floor(column, width, 1) for column, width in zip(table.columns, numbers, strict=True)]
    if sum(floors) > room:
        floors = [1] * len(wanted)
    for column, width in zip(table.columns, _shrunk(wanted, floors, room), strict=True):
        column.width, column.no_wrap = width, False


def _shrunk(wanted: Sequence[int], floors: Sequence[int], room: int) -> list[int]:
    """Widths that fit into a room, taken from the widest column that can still give way."""
    widths = list(wanted)
    while sum(widths) > room:
        can = [index for index, width in enumerate(widths) if width > floors[index]]
        if not can:
            break
        widths[max(can, key=lambda index: widths[index])] -= 1
    return widths


def _floor(column: Column, width: int, name: int) -> int:
    """The least that a column is given: all of its numbers, or so much of its names."""
    return width if column.justify == "right" else min(width, name)


def _widest(column: Column, console: Console, options: ConsoleOptions) -> int:
    """Cells of a column without a line break; above numbers, the header may be broken between words."""
    header = Measurement.get(console, options, column.header)
    return max([*_widths(column, console, options), header.minimum if column.justify == "right" else header.maximum, 1])


def _widths(column: Column, console: Console, options: ConsoleOptions) -> list[int]:
    return [Measurement.get(console, options, cell).maximum for cell in column.cells]


def _around(table: Table) -> int:
    """Columns of the terminal that a table takes beside its cells: padding, and lines."""
    _, right, _, left = table.padding
    left = 0 if table.collapse_padding else left
    lines = 0 if table.box is None else len(table.columns) - 1 + 2 * table.show_edge
    return lines + (left + right) * len(table.columns) - (0 if table.pad_edge else left + right)
