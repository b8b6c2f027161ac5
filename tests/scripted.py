"""A service that answers as a test says, answer by answer: text, tool calls, and why each ends."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Says:
    """One answer; `calls` are (name, arguments) pairs. `hold`: it stays open until the service is released."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    finish: str = ""
    ids: Sequence[str] = ()
    hold: bool = False


@dataclass
class Service:
    """An OpenAI-compatible address; the last answer is given again and again. `bodies` are the requests."""

    url: str
    answers: list[Says] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def script(self, *answers: Says) -> None:
        self.answers[:] = answers
        self.bodies.clear()
        self.released.clear()


@contextmanager
def scripted() -> Iterator[Service]:
    """Runs the service on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = server.service = Service(f"http://127.0.0.1:{server.server_port}/v1")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: the end of the connection is the end of the answer."""

    def do_POST(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client may stop in the middle
            self._answer()

    def _answer(self) -> None:
        service: Service = self.server.service  # type: ignore[attr-defined]
        service.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        answer = service.answers[min(len(service.bodies), len(service.answers)) - 1]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if answer.text:
            self._event({"delta": {"content": answer.text}, "finish_reason": None})
        for index, (name, arguments) in enumerate(answer.calls):
            id = answer.ids[index] if answer.ids else f"call_{len(service.bodies)}_{index}"
            for piece in ({"id": id, "function": {"name": name, "arguments": ""}}, *_pieces(arguments)):
                self._event({"delta": {"tool_calls": [{"index": index, **piece}]}, "finish_reason": None})
        if answer.hold:
            service.released.wait(30)
        self._event({"delta": {}, "finish_reason": answer.finish or ("tool_calls" if answer.calls else "stop")})
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self._write({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, choice: dict[str, Any]) -> None:
        self._write({"choices": [{"index": 0, **choice}]})

    def _write(self, chunk: dict[str, Any]) -> None:
        head = {"id": "scripted", "object": "chat.completion.chunk", "model": "scripted"}
        self.wfile.write(b"data: " + json.dumps({**head, **chunk}).encode() + b"\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _pieces(text: str) -> list[dict[str, Any]]:
    return [{"function": {"arguments": text[start : start + 9]}} for start in range(0, len(text), 9)]
