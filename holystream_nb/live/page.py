"""The kernel's half of the talk with a page's extension; `frontend/src/extension/page.ts` is the other.

A kernel that has come to know us announces itself once; each page that is there, or comes later, opens a comm of its
own for each notebook that it shows, with a hello, and says nothing more until it is welcomed: ipykernel 7.4 looks for
the comm of a message before it has come to it. A page that comes later learns from the kernel's list of comms, over the
control channel, whether the kernel knows us: another would log an error. Messages are `{kind, …}`; a question's `id`
comes back with its answer.

Kernel -> page:  announce {} · welcome {bundle} · who {} (are you there?) · what others send
Page -> kernel:  hello {application, bundle, client, notebook} (as the comm is opened, in answer to `who`, and when one
                 changes) · what others `on`

Pages' messages come on the kernel's main thread or on a subshell's (7.0 and later), where they wait for no cell.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

from .comms import ended, keep_subshell

TARGET: Final = "holystream_nb"

_BUNDLE: Final = Path(__file__).parent.parent / "static" / "live.js"
_FRESH_S: Final = 60.0
_PATIENCE_S: Final = 10.0

_DROPPED: Final = r"coroutine '_async_in_context\."
"""A page ends a subshell while messages wait for it: ipykernel 7 drops them, and Python warns of it in some cell."""

Message = dict[str, Any]


class Reply(Protocol):
    """Answers one message, to the page that sent it; from any thread, at any time."""

    def __call__(self, kind: str, content: Mapping[str, Any] | None = None) -> None: ...


Handler = Callable[[Message, Reply], object]


@dataclass(frozen=True, slots=True)
class Page:
    """A notebook in a page of JupyterLab or Notebook 7 that has our extension.

    id: another after each load of the page. bundle: digest of the sources its widgets were made from. client: the
    `session` of the page's messages. notebook: the current path of its file.
    """

    id: str
    application: str
    bundle: str
    client: str
    notebook: str


class _Talk:
    """One page's comm, and when it was last heard."""

    def __init__(self, comm: Any, clock: Callable[[], float]) -> None:
        self.comm = comm
        self.page: Page | None = None
        self.heard = clock()
        self.asked: float | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        self.comm.send(dict(message))

    def close(self) -> None:
        ended(self.comm)
        self.comm.close()


class Pages:
    """The pages that talk with this kernel."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._talks: dict[str, _Talk] = {}
        self._handlers: dict[str, list[Handler]] = {}
        self._beacon: Any = None

    def begin(self) -> None:
        """Announces this kernel to the pages that are there; nothing outside a kernel, or the second time."""
        shell = _shell()
        if getattr(shell, "kernel", None) is None:
            return
        with self._lock:
            if self._beacon is not None:
                return
            from comm import create_comm, get_comm_manager

            warnings.filterwarnings("ignore", _DROPPED, RuntimeWarning)
            manager = get_comm_manager()
            manager.register_target(TARGET, self._opened)
            self._beacon = create_comm(target_name=TARGET, primary=False)  # in the list of comms, and unknown to pages
            manager.register_comm(self._beacon)
            self._beacon.send({"kind": "announce"})

    def end(self) -> None:
        """Closes every talk, and takes the kernel's part back."""
        with self._lock:
            if self._beacon is None:
                return
            from comm import get_comm_manager

            manager = get_comm_manager()
            manager.unregister_target(TARGET, self._opened)
            manager.unregister_comm(self._beacon)
            self._beacon._closed = True  # no page knows it: nothing is said when it is collected
            self._beacon = None
            for talk in self._talks.values():
                talk.close()
            self._talks.clear()

    def on(self, kind: str, handler: Handler) -> None:
        """Calls `handler(message, reply)` with every message of this kind, on the thread that it comes on.

        The message has the `page` that sent it.
        """
        self._handlers.setdefault(kind, []).append(handler)

    def send(self, kind: str, content: Mapping[str, Any] | None = None, *, to: Page | str | None = None) -> None:
        """Sends to every page, or to one (a Page, or its id); from any thread. A page that has gone hears nothing."""
        name = to.id if isinstance(to, Page) else to
        for talk in self._present():
            if talk.page is not None and name in (None, talk.page.id):
                talk.send({**(content or {}), "kind": kind})

    @property
    def pages(self) -> list[Page]:
        """The pages that are there; one that was closed without a word is dropped when it does not answer for 10 s."""
        return [talk.page for talk in self._present() if talk.page is not None]

    def asking(self) -> Page | None:
        """The page whose request is being handled: the one that runs this cell. None where it has no extension."""
        client = _client()
        return next((page for page in self.pages if page.client == client), None)

    def notebook(self) -> str | None:
        """The current path of the notebook whose cell runs, as its page has it; None where no page says so."""
        asking = self.asking()
        return asking.notebook if asking is not None else None

    def _doubt(self, new: Page) -> None:
        """A page that was reloaded or closed may not have said goodbye: the others of this notebook are asked."""
        with self._lock:
            others = [talk for talk in self._talks.values() if talk.page is not None and talk.page is not new]
        for talk in others:
            if talk.asked is None and talk.page is not None and talk.page.notebook == new.notebook:
                self._ask(talk)

    def _ask(self, talk: _Talk) -> None:
        talk.asked = self._clock()
        talk.send({"kind": "who"})

    def _present(self) -> list[_Talk]:
        with self._lock:
            talks = list(self._talks.values())
        now = self._clock()
        for talk in talks:
            if talk.asked is None and now - talk.heard > _FRESH_S:
                self._ask(talk)
            elif talk.asked is not None and now - talk.asked > _PATIENCE_S:
                talk.close()  # should it be there after all, it opens another
                self._closed(talk)
        return [talk for talk in talks if talk.comm.comm_id in self._talks]

    def _opened(self, comm: Any, message: dict[str, Any]) -> None:
        keep_subshell(comm)
        talk = _Talk(comm, self._clock)
        comm.on_msg(lambda message: self._hear(talk, message["content"]["data"]))
        comm.on_close(lambda _message: self._closed(talk))
        with self._lock:
            self._talks[comm.comm_id] = talk
        self._hear(talk, message["content"]["data"])

    def _closed(self, talk: _Talk) -> None:
        with self._lock:
            self._talks.pop(talk.comm.comm_id, None)

    def _greet(self, talk: _Talk, hello: Message) -> None:
        is_new = talk.page is None
        said = (str(hello.get(name, "")) for name in ("application", "bundle", "client", "notebook"))
        talk.page = Page(talk.comm.comm_id, *said)
        if is_new:
            talk.send({"kind": "welcome", "bundle": sources()})
            self._doubt(talk.page)
        self._call(talk, hello)

    def _hear(self, talk: _Talk, message: Message) -> None:
        talk.heard, talk.asked = self._clock(), None
        if message.get("kind") == "hello":
            self._greet(talk, message)
        else:
            self._call(talk, message)

    def _call(self, talk: _Talk, message: Message) -> None:
        def reply(kind: str, content: Mapping[str, Any] | None = None) -> None:
            talk.send({**(content or {}), "kind": kind, "id": message.get("id")})

        handlers = self._handlers.get(str(message.get("kind")), ())
        if not handlers and "id" in message:
            reply("unknown")
        for handler in handlers:
            try:
                handler({**message, "page": talk.page}, reply)
            except Exception:
                logging.getLogger(__name__).exception("A page's message %r was not handled.", message.get("kind"))


@cache
def sources() -> str:
    """Digest of what this package's widgets were made from: it stands in the first line of each bundle."""
    with _BUNDLE.open(encoding="utf-8") as lines:
        found = re.search(r"sources (\w+)", lines.readline())
    return found[1] if found else ""


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _client() -> str:
    """The client whose request is being handled."""
    kernel = getattr(_shell(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else {}
    return str((parent or {}).get("header", {}).get("session", ""))


page: Final = Pages()
"""The pages of this process's kernel."""
