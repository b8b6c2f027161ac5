"""Whose an output is: what it says in its metadata under `MARK` (`cells` has the words)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..journal.values import Origin

MARK: Final = "holystream_answer"


def mark_of(id: str, origin: Origin, order: int, answers: Sequence[str]) -> dict[str, Any]:
    """The mark of a whole answer's output."""
    return {"id": id, "cell": origin.cell, "execution": origin.execution, "order": order, "answers": [*answers]}


def is_at(notebook: str, path: str) -> bool:
    """Whether a notebook, as a kernel knows it, is the one that a page or its server has at this path.

    A server tells its kernels the whole path in the file system, and a page the path below the server's root.
    """
    return bool(path) and f"/{notebook}".replace("\\", "/").endswith(f"/{path.lstrip('/')}")


def renamed(notebook: str, old: str, new: str) -> str:
    """A notebook, as a kernel knows it, after a page has renamed the one at `old`; others stay as they are."""
    return f"{notebook[: len(notebook) - len(old.lstrip('/'))]}{new.lstrip('/')}" if is_at(notebook, old) else notebook
