"""Tables for notebooks: escaped HTML, and data frames where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from fitness.errors import UserError

if TYPE_CHECKING:
    import pandas

ROWS_SHOWN = 20


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An HTML table of at most 20 rows; every text is escaped, numbers have three decimals, None is empty.

    >>> html_table("one row", ["source", "IoU"], [["<b>", 0.51234]]).count("&lt;b&gt;")
    1
    """
    rows = list(rows)
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows[:ROWS_SHOWN])
    more = f"<p>and {len(rows) - ROWS_SHOWN} more; to_frame() has all</p>" if len(rows) > ROWS_SHOWN else ""
    title = f'<caption style="text-align:left">{escape(caption)}</caption>'
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def data_frame(columns: Mapping[Any, Any], index: Sequence[Any] | None = None) -> pandas.DataFrame:
    """A data frame of columns by name, each a sequence or an array of one dimension.

    Raises:
        UserError: where pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise UserError("to_frame needs pandas; install it with: pip install 'headscribe[frames]'") from None
    return pandas.DataFrame(dict(columns), index=index)


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td style="text-align:right">{value:.3f}</td>'
    align = "right" if isinstance(value, int) else "left"
    return f'<td style="text-align:{align}">{escape(str(value))}</td>'
