"""A real kernel in a process of its own, for tests: run cells, see what they publish."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from jupyter_client.manager import start_new_kernel


@dataclass
class Ran:
    """What a cell published. `outputs` are its messages (type, content) in order."""

    reply: dict[str, Any]
    outputs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [content for name, content in self.outputs if name == kind]

    @property
    def error(self) -> str:
        """What the cell shows as its error."""
        return "\n".join(line for content in self.all("error") for line in content["traceback"])

    @property
    def markdown(self) -> str:
        """The last Markdown displayed, at first or as an update."""
        shown = [
            content["data"]["text/markdown"]
            for name, content in self.outputs
            if name in ("display_data", "update_display_data") and "text/markdown" in content["data"]
        ]
        return str(shown[-1]) if shown else ""

    @property
    def printed(self) -> str:
        return "".join(content["text"] for content in self.all("stream"))


class Kernel:
    """`run` waits for a cell's end; `start` and `finish` do it in two steps."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    def start(self, code: str, *, watched: bool = True) -> str:
        """Sends a cell; `watched` as JupyterLab does, else as nbclient does. Returns its message id."""
        return send(self.client, code, allow_stdin=watched, metadata={"cellId": str(uuid4())} if watched else {})

    def messages(self, msg_id: str, timeout: float = 30) -> Iterator[tuple[str, dict[str, Any]]]:
        """The cell's published messages until it is idle."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            yield kind, content

    def finish(self, msg_id: str) -> Ran:
        outputs = list(self.messages(msg_id))
        while True:
            reply = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == msg_id:
                return Ran(reply["content"], outputs)

    def run(self, code: str, *, watched: bool = True) -> Ran:
        return self.finish(self.start(code, watched=watched))

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()


def send(client: Any, code: str, *, allow_stdin: bool, metadata: dict[str, Any]) -> str:
    """Sends a cell as a front-end does, which says what it does in the request's metadata. Returns its message id."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": allow_stdin,
        "stop_on_error": True,
    }
    message = client.session.msg("execute_request", content, metadata=metadata)
    client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


@contextmanager
def kernel(**variables: str) -> Iterator[Kernel]:
    """A kernel with the extension loaded, the simulator as fast as possible, and no key."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith(("_API_KEY", "_BASE_URL"))}
    manager, client = start_new_kernel(
        kernel_name="python3", env={**environment, "HOLYSTREAM_SIMULATOR_SPEED": "max", **variables}
    )
    try:
        running = Kernel(manager, client)
        running.run("%load_ext holystream_nb")
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
