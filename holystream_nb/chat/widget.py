"""The panel's half on the page; `frontend/src/chatprotocol.ts` holds the twins of its words.

Traits are state, messages are motion. Kernel -> page:  conversation {seq, turns} · added {seq, turn} · cut {seq, from}
· chosen {seq, turn, lane} · judged {seq, turn, verdict} · said {text, level}
· turn {turn, message}, a message of that turn's feed (`live/widget.py`)
Page -> kernel:  ready {page} · missed · gone {page} · turn {turn, message} · send {text} · stop · regenerate {turn}
· edit {turn, text} · delete {turn} · clear · choose {turn, lane} · save_copy
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import traitlets

from ..live.bundle import Bundled
from .settings import Settings

EXAMPLES: Final = (
    "Explain server-sent events in three sentences.",
    "Write a Python function that merges two sorted lists, with a test.",
    "Compare TCP and UDP in a small table.",
)
SETTINGS: Final = ("models", "system", "temperature", "max_tokens")


class PanelView(Bundled):
    """A chat panel on pages.

    `models`, `system`, `temperature` and `max_tokens` are written on both sides. The rest is written by the panel's
    thread with `tell`, while the page's changes come on the main thread or a subshell's: no two at a time, and nobody
    waits for another.
    """

    _bundle = "chat"
    models = traitlets.List(traitlets.Unicode()).tag(sync=True)
    system = traitlets.Unicode("").tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True).tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True).tag(sync=True)
    catalogue = traitlets.List(traitlets.Dict()).tag(sync=True)
    is_streaming = traitlets.Bool(False).tag(sync=True)
    total = traitlets.Unicode("").tag(sync=True)
    examples = traitlets.List(traitlets.Unicode(), list(EXAMPLES)).tag(sync=True)
    stale = traitlets.List(traitlets.Unicode()).tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, settings: Settings, *, changed: Callable[[Settings], object], closed: Callable[[], object]
    ) -> None:
        self._told: deque[dict[str, Any]] = deque()
        self._writing = threading.Lock()
        self._changed = changed
        self._closed = closed
        super().__init__(
            models=list(settings.models),
            system=settings.system,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
        )
        if self.comm is not None and hasattr(self.comm, "on_close"):
            self.comm.on_close(lambda _message: closed())
        self._open_to_all_threads()

    def __repr__(self) -> str:
        """What stands in a file where no widget is drawn."""
        return f"<chat panel of {', '.join(self.models)}; its saved copy is below>"

    @property
    def settings(self) -> Settings:
        return Settings(tuple(self.models), self.system, self.temperature, self.max_tokens)

    def tell(self, **state: Any) -> None:
        """Sets traits, from the panel's thread."""
        self._told.append(state)
        self._write()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """The page's changes."""
        with self._writing:
            super().set_state(sync_data)
        self._write()
        if not sync_data.keys().isdisjoint(SETTINGS):
            self._changed(self.settings)

    def close(self) -> None:
        self._closed()
        super().close()

    def _send(self, msg: dict[str, Any], buffers: Any = None) -> None:
        super()._send(msg, buffers=buffers)
        self._open_to_all_threads()

    def _open_to_all_threads(self) -> None:
        """Lets the page's messages come to the subshell on which JupyterLab sends them.

        ipykernel 7.4 brings them to the thread that last sent on the comm: to the main thread after every cell that
        does something with the panel, where they would wait as long as a cell computes. 7.0 to 7.3 do not.
        """
        getattr(self.comm, "__dict__", {}).pop("_reply_subshell_id", None)

    def _write(self) -> None:
        while self._told and self._writing.acquire(blocking=False):  # who holds it writes ours too, at its end
            try:
                while self._told:
                    with self.hold_sync():
                        for name, value in self._told.popleft().items():
                            setattr(self, name, value)
            finally:
                self._writing.release()
