"""A table on whatever screen there is: Markdown where it is drawn, aligned text elsewhere."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

from .saved import printable

Rows = Sequence[Sequence[str]]
"""The first is the head."""

CELL: Final = 60
"""Characters after which a cell goes on in the next line: a terminal would break the whole line, and the columns."""


def aligned(rows: Rows) -> str:
    """The rows as text in columns; what is long in a cell goes on below it, in its column."""
    folded = [[_folded(printable(cell)) for cell in row] for row in rows]
    widths = [max(len(line) for row in folded for line in row[column]) for column in range(len(folded[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for row in folded
        for line in zip_longest(*row, fillvalue="")
    )
    return "\n".join(line for line in lines if line)


def _folded(cell: str) -> list[str]:
    return textwrap.wrap(cell, CELL, break_long_words=False, break_on_hyphens=False) or [""]


def marked(rows: Rows) -> str:
    """The rows as a table of Markdown, in whose cells nothing is Markdown."""
    from .harmless import plain_line  # late: it brings the parser

    lines = [f"| {' | '.join(plain_line(cell).replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " :--- |" * len(rows[0]), *lines[1:]])


def bundle(rows: Rows) -> dict[str, str]:
    return {"text/plain": aligned(rows), "text/markdown": marked(rows)}


def present(data: dict[str, str]) -> None:
    """Displays it in a notebook, and prints its text elsewhere."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        print(data["text/plain"])
    else:
        ipython.display.display(data, raw=True)
