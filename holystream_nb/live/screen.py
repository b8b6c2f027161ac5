"""Who sees what a cell shows, and so how an answer is shown there."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

Screen = Literal["page", "text", "file", "marimo"]

_TOLD_S: Final = 0.2
"""How long after an interrupt a kernel may be told to end for both to be one."""


def screen() -> Screen:
    """Where the code that runs now is seen; of each cell anew, since several front-ends may share a kernel.

    page: a front-end known to draw widgets and to replace outputs: JupyterLab, Notebook, VS Code, Colab, Voila.
    text: text as it arrives, which everything shows: a terminal, a script, `jupyter console`, qtconsole, Spyder, and
        whatever is not known.
    file: nobody looks on: nbclient, papermill, nbval, `jupyter execute`, `%%capture`. A widget would be saved in the
        notebook's metadata, code and all.
    marimo: a marimo notebook, which has no IPython; one that is exported as .ipynb shows text.
    """
    if _is_marimo():
        return "text" if os.environ.get("MARIMO_NO_JS") == "true" else "marimo"
    shell = current_shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "text"
    from IPython.core.displaypub import CapturingDisplayPublisher

    if isinstance(shell.display_pub, CapturingDisplayPublisher):
        return "file"
    if "VOILA_SERVER_URL" in os.environ:  # it runs the cells as nbclient does, and then opens a page on the kernel
        return "page"
    if not getattr(kernel, "_allow_stdin", True):
        return "file"
    return "page" if draws_widgets(kernel.get_parent("shell")) else "text"


def draws_widgets(request: Mapping[str, Any]) -> bool:
    """Whether a message comes from a front-end that is known to draw widgets.

    JupyterLab, Notebook 7 and VS Code name the cell they run, and so do servers that run it for them. Consoles name
    nothing, nor does nbclassic, whose messages are of a user called `username`; so may a console's be, but those,
    which jupyter_client sends, are named by their session and a number. What comes on a widget's own channel was drawn.
    """
    header, metadata = request.get("header", {}), request.get("metadata", {})
    name, session = str(header.get("msg_id", "")), str(header.get("session", ""))
    return (
        not metadata.keys().isdisjoint(("cellId", "cell_id"))
        or str(header.get("msg_type", "")).startswith("comm_")
        or (header.get("username") == "username" and not name.startswith(f"{session}_"))
        or "COLAB_RELEASE_TAG" in os.environ
    )


def current_shell() -> Any:
    """IPython's, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _is_marimo() -> bool:
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def kernel_ends() -> bool:
    """Whether the kernel has been told to end (restart, shutdown): it says so to its shell before anything stops."""
    return bool(getattr(current_shell(), "exit_now", False))


async def kernel_is_told() -> None:
    """Waits until the kernel is told to end, or has not been soon: a restart and a shutdown interrupt it first."""
    if getattr(current_shell(), "kernel", None) is None:
        return
    too_late = time.monotonic() + _TOLD_S
    while not kernel_ends() and time.monotonic() < too_late:  # noqa: ASYNC110  # another thread sets it
        await asyncio.sleep(0.002)
