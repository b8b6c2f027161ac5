"""The panel's half on the page; `frontend/src/chatprotocol.ts` holds the twins of its words.

Traits are state, messages are motion. Kernel -> page:  conversation {seq, turns, said, told, state} · added {seq, turn}
· cut {seq, from} · chosen {seq, turn, lane} · said {seq, text, level} · beat {seq, told, turn, at, heard}
· turn {turn, message}, a message of that turn's feed (`live/widget.py`)
Page -> kernel:  ready {page, view, appends} · missed {told} · gone {page, view} · turn {turn, message} · send {text}
· stop · regenerate {turn} · edit {turn, text} · delete {turn} · begin_anew · choose {turn, lane} · open {provider}
· save_copy · set {models, system, temperature, max_tokens} (some of them) · have {seq, told, at}
What a page says but `have` is numbered: heeded once and in order, and said again until it is heard (`live/heard.py`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import traitlets

from ..live.bundle import Bundled
from ..live.comms import keep_subshell
from .settings import Settings

EXAMPLES: Final = (
    "Explain server-sent events in three sentences.",
    "Write a Python function that merges two sorted lists, with a test.",
    "Compare TCP and UDP in a small table.",
)


class PanelView(Bundled):
    """A chat panel on pages.

    The panel's thread writes the traits, with `tell`; what a page sets comes as a message.
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
    told = traitlets.Int(0).tag(sync=True)
    is_kept = traitlets.Bool(False).tag(sync=True)
    panel = traitlets.Unicode("").tag(sync=True)

    def __init__(self, settings: Settings, *, is_kept: bool, closed: Callable[[], object]) -> None:
        self._closed = closed
        super().__init__(
            models=list(settings.models),
            system=settings.system,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            is_kept=is_kept,
            panel=secrets.token_hex(8),
        )
        if self.comm is not None and hasattr(self.comm, "on_close"):
            self.comm.on_close(lambda _message: closed())
        keep_subshell(self.comm)

    def __repr__(self) -> str:
        """What stands in a file where no widget is drawn."""
        return f"<chat panel of {', '.join(self.models)}; its saved copy is below>"

    def tell(self, **state: Any) -> None:
        """Sets traits, from the panel's thread, in one message."""
        with self.hold_sync():
            for name, value in state.items():
                setattr(self, name, value)

    def close(self) -> None:
        self._closed()
        super().close()
