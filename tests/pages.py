"""A page in front of a kernel, without a browser: hears a panel's widget, and answers as the front-end does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kernels import Kernel


@dataclass
class KernelPage:
    """What came over a kernel's iopub: a panel's custom messages, its state, and every display, in order.

    `comm_id` is the panel's widget's, once it has been displayed; `subshell` is where this page sends from.
    """

    kernel: Kernel
    name: str = "page"
    comm_id: str = ""
    subshell: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    displays: list[dict[str, Any]] = field(default_factory=list)
    printed: list[tuple[str, str]] = field(default_factory=list)
    """(id of the cell's message, text)"""
    idle: set[str] = field(default_factory=set)

    def start(self, code: str) -> str:
        return self.kernel.start(code)

    def run(self, code: str) -> str:
        """Runs a cell to its end; returns its id."""
        cell = self.start(code)
        self.until(lambda: cell in self.idle)
        return cell

    def until(self, seen: Callable[[], object], timeout: float = 30) -> None:
        """Listens until that is so."""
        deadline = time.monotonic() + timeout
        while not seen():
            left = deadline - time.monotonic()
            assert left > 0, f"not seen in {timeout} s; the last messages: {self.messages[-3:]}"
            try:
                self._take(self.kernel.client.get_iopub_msg(timeout=min(left, 0.2)))
            except Exception as exc:
                if type(exc).__name__ != "Empty":
                    raise

    def send(self, **content: Any) -> None:
        """A custom message of the view."""
        self._send({"method": "custom", "content": content})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("kind") == kind]

    def text(self) -> str:
        """What all deltas together say."""
        inner = [message["message"] for message in self.of("turn")]
        return "".join(message["text"] for message in inner if message["kind"] == "delta")

    def open_subshell(self) -> None:
        """As JupyterLab does for widgets, where the kernel can."""
        client = self.kernel.client
        client.control_channel.send(client.session.msg("create_subshell_request"))
        reply = client.get_control_msg(timeout=10)
        self.subshell = reply["content"]["subshell_id"]

    def _send(self, data: dict[str, Any]) -> None:
        client = self.kernel.client
        message = client.session.msg("comm_msg", {"comm_id": self.comm_id, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        client.shell_channel.send(message)

    def _take(self, message: dict[str, Any]) -> None:
        kind, content, parent = message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
        if kind == "comm_open" and content["data"]["state"].get("_anywidget_id", "").endswith("PanelView"):
            self.comm_id = content["comm_id"]
            self.state.update(content["data"]["state"])
        elif kind == "comm_msg" and content["comm_id"] == self.comm_id:
            data = content["data"]
            if data["method"] == "custom":
                self.messages.append(data["content"])
            else:
                self.state.update(data["state"])
        elif kind in ("display_data", "update_display_data"):
            self.displays.append({"kind": kind, "cell": parent, **content})
        elif kind == "stream":
            self.printed.append((parent, content["text"]))
        elif kind == "error":
            self.printed.append((parent, "\n".join(content["traceback"])))
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle.add(parent)


@contextmanager
def opened(kernel: Kernel, code: str, name: str = "page") -> Iterator[KernelPage]:
    """A page that runs `code`, which displays `panel`, and shows its view; the panel is closed at the end."""
    page = KernelPage(kernel, name)
    page.run(code)
    page.until(lambda: page.comm_id)
    page.send(kind="ready", page=name)
    page.until(lambda: page.of("conversation"))
    try:
        yield page
    finally:
        page.run("panel.close()")
