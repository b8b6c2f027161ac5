"""Where an answer was asked for: the notebook, the cell, the request that runs it; and where it is kept, said once."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from ..journal.values import Door, Origin
from .marks import is_at
from .page import page
from .screen import current_shell, screen


def origin(door: Door, conversation: str = "") -> Origin:
    """The cell that asks now: read it when the request is made, on the cell's thread or in a task of the cell.

    A task stays its cell's also when others run; a thread of one's own belongs to the cell that runs (ipykernel 7).
    """
    shell = current_shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return Origin(door, conversation=conversation)
    request = _request(kernel)
    return Origin(
        door,
        notebook=notebook(shell),
        cell=_text(request.get("metadata"), "cellId"),
        execution=_text(request.get("header"), "msg_id"),
        kernel=_kernel_id(),
        conversation=conversation,
    )


def notebook(shell: Any) -> str:
    """The notebook's path: VS Code puts it into a variable, Jupyter's server into the kernel's environment.

    The page that asks knows it better: the environment stays what it was when the kernel began.
    """
    named = getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__", "")
    return named if isinstance(named, str) and named else whole_path(page.notebook() or "")


def whole_path(path: str) -> str:
    """The path in the file system of what a page calls so: the kernel's own, or where there is such a file."""
    own = os.environ.get("JPY_SESSION_NAME", "")
    if not path or not own or is_at(own, path):
        return own
    places = (parent / path for parent in Path(own).parents)
    return next((str(place) for place in places if place.is_file()), own)


def _request(kernel: Any) -> dict[str, Any]:
    request: Any = None
    with contextlib.suppress(Exception):  # other kernels have other insides
        request = kernel.get_parent("shell")
    return request if isinstance(request, dict) else {}


def _text(part: Any, name: str) -> str:
    value = part.get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""


def _kernel_id() -> str:
    """The id that a server gives it, which its connection file is named after; it stays over a restart."""
    with contextlib.suppress(Exception):
        from ipykernel.connect import get_connection_file

        return Path(get_connection_file()).stem.removeprefix("kernel-")
    return ""


def say_notice() -> None:
    """Prints what the journal has to say, once: where it is. Only where somebody looks on: nobody else asks for it."""
    has_kernel = getattr(current_shell(), "kernel", None) is not None
    on = screen()
    looks_on = on != "file" and (on != "text" or has_kernel or sys.stdout.isatty())
    if looks_on and (said := notice()):
        print(said)


def notice() -> str:
    """The same, to be shown elsewhere; the home folder's name is left out, as the line may be saved in a notebook."""
    from ..journal.journal import journal  # late: loading the extension needs none of it
    from .saved import printable

    said = journal.notice()
    with contextlib.suppress(RuntimeError):  # nobody's home
        home = Path.home()
        said = said if home == home.parent else said.replace(f"{home}{os.sep}", f"~{os.sep}")
    return printable(said)
