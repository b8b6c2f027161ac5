"""Comms of ours in ipykernel: where a page's message is handled, and what is said of one that comes too late."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Final

_LATEST: Final = 1_000

_closed: deque[str] = deque(maxlen=_LATEST)


def keep_subshell(comm: Any) -> None:
    """Lets a page's messages come to the subshell on which the page sends them.

    ipykernel 7.4 brings them to the thread that last sent on the comm: to the main thread after every cell that does
    something with it, where they would wait as long as a cell computes. 7.0 to 7.3 do not.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None  # what ipykernel asks, if there is such


def ended(comm: Any) -> None:
    """The comm is being closed. What a page has sent on it meanwhile is not told to the reader of some cell."""
    name = getattr(comm, "comm_id", None)
    if isinstance(name, str):
        _closed.append(name)
        logging.getLogger("Comm").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    if record.msg != "No such comm: %s" or not isinstance(record.args, tuple):
        return True
    return {*record.args}.isdisjoint(_closed.copy())  # another thread may close one
