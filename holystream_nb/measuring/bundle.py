"""A table and sentences as a notebook and a terminal show them, with a chart where there is one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..live.saved import printable
from .values.words import digits

if TYPE_CHECKING:
    from pandas import DataFrame


def bundle(table: DataFrame, sentences: Sequence[str], chart: Any = None) -> dict[str, str]:
    """Text and HTML in which every name is only text; `chart` is an Axes or Panels, whose picture comes below."""
    rows = [[_cell(value) for value in row] for row in table.to_numpy(dtype=object).tolist()]
    head = [str(column) for column in table.columns]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    said = [printable(each) for each in sentences]
    html = f"<table><thead>{_row(head, 'th')}</thead><tbody>{''.join(_row(row, 'td') for row in rows)}</tbody></table>"
    html += "".join(f"<p>{escape(each)}</p>" for each in said)
    if chart is not None:
        from .charts.canvas import png

        picture = b64encode(png(chart.figure)).decode("ascii")
        html += f'<img alt="{escape(printable(repr(chart)))}" src="data:image/png;base64,{picture}" width="760">'
    return {"text/plain": "\n".join([*lines, "", *said]), "text/html": html}


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return digits(value) if isinstance(value, float) else printable(str(value))
