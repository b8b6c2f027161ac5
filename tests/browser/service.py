"""A service that answers with the prompt itself, so that a test decides every character a model says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_PIECE: Final = 7
"""Characters of one delta."""


class Echo:
    """An OpenAI-compatible address, `url`; `magic` is the option line that uses it.

    `requests` are the bodies that came. While `held`, an answer stays open after its last character, until `release()`;
    its pieces come `pace_s` seconds apart, and from `release()` on at once.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.magic = f"%%stream -m ollama:echo --base-url {self.url}"
        self.requests: list[dict[str, Any]] = []
        self.pace_s = 0.0
        self.held = threading.Event()
        self.released = threading.Event()

    def hold(self, pace_s: float = 0.0) -> None:
        self.pace_s = pace_s
        self.released.clear()
        self.held.set()

    def release(self) -> None:
        self.held.clear()
        self.released.set()


@contextmanager
def echoing() -> Iterator[Echo]:
    """Runs the service on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.echo = Echo(server.server_port)  # type: ignore[attr-defined]  # for the handlers
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.echo  # type: ignore[attr-defined]
    finally:
        server.echo.release()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: the end of the connection is the end of the answer."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        echo: Echo = self.server.echo  # type: ignore[attr-defined]
        echo.requests.append(body)
        text: str = body["messages"][-1]["content"]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for start in range(0, len(text), _PIECE):
            self._event({"delta": {"content": text[start : start + _PIECE]}, "finish_reason": None})
            if echo.held.is_set() and echo.pace_s:
                echo.released.wait(echo.pace_s)
        if echo.held.is_set():
            echo.released.wait(30)
        self._event({"delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, choice: dict[str, Any]) -> None:
        chunk = {"id": "echo", "object": "chat.completion.chunk", "model": "echo", "choices": [{"index": 0, **choice}]}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
