"""A table on whatever screen there is: Markdown where it is drawn, aligned text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .saved import printable

Rows = Sequence[Sequence[str]]
"""The first is the head."""


def aligned(rows: Rows) -> str:
    """The rows as text in columns, one line each."""
    safe = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in safe) for column in range(len(safe[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in safe)
    return "\n".join(line for line in lines if line)


def marked(rows: Rows) -> str:
    """The rows as a table of Markdown, in whose cells nothing is Markdown."""
    from .harmless import plain_line  # late: it brings the parser

    lines = [f"| {' | '.join(plain_line(cell).replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


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
