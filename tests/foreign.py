"""A service whose every byte, and the time between them, is a test's own.

`answering(handler)` runs it; the handler gets each request and returns what goes out, piece by piece.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Piece = bytes | float
"""What goes out, or how long to wait before the next (s)."""


@dataclass(frozen=True)
class Asked:
    """A request; its headers by their names in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """An answer: the connection's end is its end."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Foreign:
    """The running service: its address, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)


def listed(tree: Any, status: int = 200) -> Given:
    """A JSON answer."""
    return Given((json.dumps(tree).encode(),), status, {"content-type": "application/json"})


def streamed(*chunks: Mapping[str, Any] | Piece, done: bool = True, headers: Mapping[str, str] | None = None) -> Given:
    """A stream of these chunks, each written by itself, and times to wait."""
    pieces = [b"data: " + json.dumps(each).encode() + b"\n\n" if isinstance(each, Mapping) else each for each in chunks]
    end = [b"data: [DONE]\n\n"] if done else []
    return Given((*pieces, *end), 200, {"content-type": "text/event-stream", **(headers or {})})


@contextmanager
def answering(handler: Callable[[Asked], Given]) -> Iterator[Foreign]:
    """Runs the service on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = Foreign(f"http://127.0.0.1:{server.server_port}/v1")
    server.service, server.handler = service, handler  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: the end of the connection is the end of the answer."""

    def do_POST(self) -> None:
        self._do(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def do_GET(self) -> None:
        self._do({})

    def _do(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        self.server.service.asked.append(asked)  # type: ignore[attr-defined]
        given: Given = self.server.handler(asked)  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):  # a client may stop in the middle
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in given.pieces:
                if isinstance(piece, bytes):
                    self.wfile.write(piece)
                    self.wfile.flush()
                else:
                    time.sleep(piece)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
