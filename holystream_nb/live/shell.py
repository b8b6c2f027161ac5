"""The IPython that this runs in, and whether somebody looks on."""

from __future__ import annotations

import sys
from typing import Any


def current_shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def is_watched(shell: Any) -> bool:
    """Whether somebody looks on: not under `%%capture`, and not where a cell is run without a person.

    nbclient, nbval, papermill and `jupyter execute` say so themselves: their requests have `allow_stdin` false. A
    widget there would be saved in the notebook's metadata, code and all.
    """
    from IPython.core.displaypub import CapturingDisplayPublisher

    captured = isinstance(shell.display_pub, CapturingDisplayPublisher)
    return not captured and bool(getattr(shell.kernel, "_allow_stdin", True))
