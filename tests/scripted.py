"""A service that answers as a test says, answer by answer: text, tool calls, and why each ends.

Where a request asks for a socket, one is offered, and a turn on it goes on as soon as its calls have results. To a test
each round looks like a request, whatever carried it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, TextMessage

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Says:
    """One answer; `calls` are (name, arguments) pairs. `hold`: it stays open until the service is released.

    On a socket a call that is held, or cut off by `finish`, is never whole; `waits` False ends the turn without waiting
    for results; `breaks` closes the connection instead.
    """

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    finish: str = ""
    ids: Sequence[str] = ()
    hold: bool = False
    waits: bool = True
    breaks: bool = False


@dataclass
class Service:
    """An OpenAI-compatible address; the last answer is given again and again.

    `bodies` are the requests, and what rounds on a socket would be as requests; `turns` are the turns on sockets.
    """

    url: str
    answers: list[Says] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    turns: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    offered: dict[str, dict[str, Any]] = field(default_factory=dict)

    def script(self, *answers: Says) -> None:
        self.answers[:] = answers
        self.bodies.clear()
        self.turns = 0
        self.released.clear()

    @property
    def answer(self) -> Says:
        """What belongs to the last request."""
        return self.answers[min(len(self.bodies), len(self.answers)) - 1]


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

    @property
    def service(self) -> Service:
        return self.server.service  # type: ignore[attr-defined,no-any-return]

    def do_POST(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client may stop in the middle
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if body.pop("agent_mode", False):
                self._offer(body)
            else:
                self.service.bodies.append(body)
                self._answer()

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError):
            accept = base64.b64encode(hashlib.sha1(self.headers["sec-websocket-key"].encode() + GUID).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            self.wfile.write(head + b"sec-websocket-accept: " + accept + b"\r\n\r\n")
            _Socket(self, self.service).serve(self.service.offered.pop(self.path))

    def _offer(self, body: dict[str, Any]) -> None:
        path = f"/socket/{len(self.service.offered)}"
        self.service.offered[path] = body
        self.send_response(200)
        self.send_header("sec-websocket-url", f"{self.service.url.removesuffix('/v1')}{path}")
        self.send_header("content-length", "0")
        self.end_headers()

    def _answer(self) -> None:
        answer = self.service.answer
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if answer.text:
            self._event({"delta": {"content": answer.text}, "finish_reason": None})
        for index, (id, name, arguments) in enumerate(_calls(self.service)):
            for piece in ({"id": id, "function": {"name": name, "arguments": ""}}, *_pieces(arguments)):
                self._event({"delta": {"tool_calls": [{"index": index, **piece}]}, "finish_reason": None})
        if answer.hold:
            self.service.released.wait(30)
        self._event({"delta": {}, "finish_reason": answer.finish or ("tool_calls" if answer.calls else "stop")})
        self._write({"choices": [], "usage": _usage(1)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, choice: dict[str, Any]) -> None:
        self._write({"choices": [{"index": 0, **choice}]})

    def _write(self, chunk: dict[str, Any]) -> None:
        head = {"id": "scripted", "object": "chat.completion.chunk", "model": "scripted"}
        self.wfile.write(b"data: " + json.dumps({**head, **chunk}).encode() + b"\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class _Socket:
    """Turn after turn on one socket, in document 001's words."""

    def __init__(self, handler: _Handler, service: Service) -> None:
        self._handler, self._service = handler, service
        self._frames = Connection(ConnectionType.SERVER)

    def serve(self, body: dict[str, Any]) -> None:
        while self._turn(body):
            while (message := self._read())["type"] != "init":
                pass
            body = {"model": message["model"], "messages": message["messages"], **message["parameters"]}

    def _turn(self, body: dict[str, Any]) -> bool:
        service = self._service
        service.turns += 1
        rounds = 0
        while True:
            rounds += 1
            service.bodies.append(body)
            answer, calls = service.answer, _calls(service)
            self._say(answer, calls)
            if answer.hold:
                service.released.wait(30)
            if answer.breaks:
                self._handler.close_connection = True
                return False
            finish = answer.finish or ("tool_calls" if calls else "stop")
            results = self._results(len(calls)) if calls and answer.waits and not (answer.finish or answer.hold) else []
            if not results:
                finish = finish if results is not None else "cancelled"
                break
            said = [{"id": id, "function": {"name": name, "arguments": text}} for id, name, text in calls]
            told = {"role": "assistant", "content": answer.text, "tool_calls": said}
            body = {**body, "messages": [*body["messages"], told, *results]}
        self._write({"type": "usage", "usage": _usage(rounds)})
        self._write({"type": "done", "finish_reason": finish})
        return True

    def _say(self, answer: Says, calls: Sequence[tuple[str, str, str]]) -> None:
        if answer.text:
            self._write({"type": "token", "content": answer.text})
        first = 100 * len(self._service.bodies)  # an index is never used again in a turn
        for index, (id, name, arguments) in enumerate(calls, start=first):
            pieces = [{"tool": name, "arguments": ""}, *(piece["function"] for piece in _pieces(arguments))]
            breaks_off = (answer.finish or (answer.hold and answer.waits)) and index == first + len(calls) - 1
            for piece in pieces:
                status = "completed" if piece is pieces[-1] and not breaks_off else "in_progress"
                call = {"type": "tool_call", "call_id": id or None, "index": index, "payload": piece, "status": status}
                self._write(call)

    def _results(self, count: int) -> list[dict[str, Any]] | None:
        """The results of so many calls as a request carries them; None where the turn is cancelled instead."""
        results: list[dict[str, Any]] = []
        while len(results) < count:
            message = self._read()
            if message["type"] == "cancel":
                return None
            payload = message["payload"]
            results.append({"role": "tool", "tool_call_id": payload.get("call_id"), "content": payload["result"]})
        return results

    def _read(self) -> dict[str, Any]:
        parts: list[str] = []
        while True:
            for event in self._frames.events():
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        message: dict[str, Any] = json.loads("".join(parts))
                        return message
                elif isinstance(event, CloseConnection):
                    raise ConnectionError
            data = self._handler.connection.recv(1 << 16)
            if not data:
                raise ConnectionError
            self._frames.receive_data(data)

    def _write(self, message: dict[str, Any]) -> None:
        self._handler.wfile.write(self._frames.send(TextMessage(json.dumps(message))))


def _calls(service: Service) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call of the last request's answer."""
    answer, round = service.answer, len(service.bodies)
    ids = answer.ids or [f"call_{round}_{index}" for index in range(len(answer.calls))]
    return [(id, name, arguments) for id, (name, arguments) in zip(ids, answer.calls, strict=True)]


def _usage(rounds: int) -> dict[str, int]:
    return {"prompt_tokens": 10 * rounds, "completion_tokens": 5 * rounds, "total_tokens": 15 * rounds}


def _pieces(text: str) -> list[dict[str, Any]]:
    return [{"function": {"arguments": text[start : start + 9]}} for start in range(0, len(text), 9)]
