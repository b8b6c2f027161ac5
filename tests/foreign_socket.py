"""A foreign WebSocket client for the simulator's tests: wsproto over a blocking socket, every frame kept."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

Open = Callable[..., "Socket"]

TEXT = {"content_block", "token"}
REASONING = {"reasoning_block", "reasoning"}
CALLS = {"function_call", "tool_call"}


@dataclass
class Turn:
    """The messages of one turn."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] in types]

    @property
    def id(self) -> str:
        return str(self.messages[0]["id"])

    @property
    def text(self) -> str:
        return "".join(message.get("content") or "" for message in self.of(*TEXT))

    @property
    def tokens(self) -> int:
        return len(self.of(*TEXT, *REASONING, *CALLS))

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1]


class Socket:
    """One WebSocket, or the HTTP answer that refused it (`status`, `headers`, `body`)."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        address = urlsplit(url)
        self.connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self.broken = self.reset = False
        """No close frame came; and it was a reset."""
        self.code: int | None = None
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.frames: list[TextMessage | BytesMessage] = []
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.write(Request(host=address.netloc, target=address.path, extra_headers=extra))
        for event in self.events():
            if isinstance(event, AcceptConnection):
                self.status, self.headers = 101, _headers(event.extra_headers)
                break
            if isinstance(event, RejectConnection):
                self.status, self.headers = event.status_code, _headers(event.headers)
            elif isinstance(event, RejectData):
                self.body += bytes(event.data)
                if event.body_finished:
                    break

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def write(self, event: Event) -> None:
        self.connection.sendall(self._protocol.send(event))

    def write_together(self, *events: Event) -> None:
        """Several frames in one packet."""
        self.connection.sendall(b"".join(self._protocol.send(event) for event in events))

    def send(self, type: str, payload: dict[str, Any] | None = None, **fields: Any) -> None:
        message = {"type": type, **fields}
        if payload is not None:
            message |= {"payload": payload, "timestamp": 1}
        self.write(Message(json.dumps(message)))

    def init(self, prompt: str = "count to 12", model: str = "gpt-4.1", **parameters: Any) -> None:
        messages = parameters.pop("messages", [{"role": "user", "content": prompt}])
        self.send("init", model=model, messages=messages, stream=True, parameters=parameters)

    def events(self) -> Iterator[Event]:
        """Every event until the connection ends; pings are answered."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, Ping):
                    self.pings.append(bytes(event.payload))
                    self.write(event.response())
                elif isinstance(event, Pong):
                    self.pongs.append(bytes(event.payload))
                yield event
            try:
                data = self.connection.recv(1 << 16)
            except ConnectionResetError:
                self.broken = self.reset = True
                return
            if not data:
                self.broken = True
                return
            self._protocol.receive_data(data)

    def data(self) -> Iterator[bytes]:
        """The content of each message; ends with the connection, with or without a close frame."""
        parts: list[bytes] = []
        for event in self.events():
            if isinstance(event, TextMessage | BytesMessage):
                self.frames.append(event)
                parts.append(event.data.encode() if isinstance(event, TextMessage) else bytes(event.data))
                if event.message_finished:
                    yield b"".join(parts)
                    parts = []
            elif isinstance(event, CloseConnection):
                self.code = int(event.code)
                self.write(event.response())
                return

    def messages(self) -> Iterator[dict[str, Any]]:
        for data in self.data():
            yield json.loads(data)

    def turn(self, react: Callable[[dict[str, Any]], None] | None = None) -> Turn:
        """The messages up to the one that ends the turn, or the connection; `react` sees each as it comes."""
        turn = Turn()
        for message in self.messages():
            turn.messages.append(message)
            if react is not None:
                react(message)
            if message["type"] in ("done", "error"):
                break
        return turn

    def ask(self, prompt: str = "count to 12", **options: Any) -> Turn:
        """One whole turn."""
        self.init(prompt, **options)
        return self.turn()

    def answer_calls(self, results: dict[str, str]) -> Callable[[dict[str, Any]], None]:
        """For `turn`: send the result of each call as soon as it is complete."""

        def react(message: dict[str, Any]) -> None:
            if message["type"] in CALLS and message.get("status", "completed") == "completed":
                name = (message.get("function") or {}).get("name") or (message.get("payload") or {}).get("tool")
                self.send("tool_result", {"call_id": message["call_id"], "tool": name, "result": results[name]})

        return react

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def patiently(condition: Callable[[], Any]) -> Any:
    """Wait until it holds; returns what it returned."""
    for _ in range(500):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came true")


def _headers(pairs: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in pairs}
