"""One simulator for all tests of this folder, and a client that sees every byte it sends."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from foreign_socket import Socket

from holystream_nb.simulator import Simulator

Ask = Callable[..., "Answer"]


@dataclass
class Answer:
    """What came over the socket: the head, the HTTP chunks of the body, and whether and how the body ended."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    ended: bool = False
    reset: bool = False
    sent_ns: int = 0

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[bytes]:
        """The data of each plain event."""
        events = self.body.split(b"\n\n")
        return [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: ")]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON of each event but [DONE]."""
        return [json.loads(data) for data in self.data if data != b"[DONE]"]

    @property
    def text(self) -> str:
        """The text of the first choice of a plain stream."""
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def deltas(self) -> list[dict[str, Any]]:
        choices = [choice for chunk in self.objects for choice in chunk["choices"] or [] if choice["index"] == 0]
        return [choice.get("delta") or {} for choice in choices]

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


def read_answer(connection: socket.socket) -> Answer:
    """Read one HTTP/1.1 answer by hand: chunked, or with a length, or until the connection breaks."""
    answer, buffer = Answer(), b""

    def more() -> bool:
        nonlocal buffer
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            answer.reset = True
            return False
        buffer += piece
        return bool(piece)

    while b"\r\n\r\n" not in buffer:
        if not more():
            return answer
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    answer.status = int(first.split()[1])
    answer.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if "content-length" in answer.headers:
        length = int(answer.headers["content-length"])
        while len(buffer) < length and more():
            pass
        answer.chunks, answer.ended = [buffer], len(buffer) == length
        return answer
    while True:
        size, separator, rest = buffer.partition(b"\r\n")
        if separator and len(rest) >= int(size, 16) + 2:
            length = int(size, 16)
            if length == 0:
                answer.ended = True
                return answer
            answer.chunks.append(rest[:length])
            answer.stamps.append(time.perf_counter_ns())
            buffer = rest[length + 2 :]
        elif not more():
            return answer


def send_request(url: str, body: bytes, headers: dict[str, str], path: str, method: str) -> tuple[socket.socket, int]:
    """Open a connection and send one request; returns it and the moment before sending."""
    address = urlsplit(url)
    wanted = {"host": address.netloc, "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
    sent_ns = time.perf_counter_ns()
    connection.sendall(f"{method} {address.path}{path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return connection, sent_ns


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=None, seed=7) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def connect(simulator: Simulator) -> Callable[..., tuple[socket.socket, int]]:
    """Send a chat request and leave the connection to the test."""

    def connect(prompt: str = "Tell me about sheep", simulate: str = "", **options: Any) -> tuple[socket.socket, int]:
        headers = {"authorization": "Bearer key", "content-type": "application/json", **options.pop("headers", {})}
        if simulate:
            headers["x-simulate"] = simulate
        path, method = options.pop("path", "/chat/completions"), options.pop("method", "POST")
        request = {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], "stream": True, **options}
        body = options.get("body") or json.dumps(request).encode()
        return send_request(simulator.url, body, headers, path, method)

    return connect


@pytest.fixture(scope="session")
def ask(connect: Callable[..., tuple[socket.socket, int]]) -> Ask:
    """Send a chat request (streamed, unless told otherwise) and read the whole answer."""

    def ask(*arguments: Any, **options: Any) -> Answer:
        connection, sent_ns = connect(*arguments, **options)
        with connection:
            answer = read_answer(connection)
        answer.sent_ns = sent_ns
        return answer

    return ask


@pytest.fixture(scope="session")
def open_socket(simulator: Simulator) -> Callable[..., Socket]:
    """Open the socket of description A, or the one that is at `url`."""

    def open_socket(simulate: str = "", url: str = "", key: str = "key", **headers: str) -> Socket:
        wanted = {"authorization": f"Bearer {key}"} if key else {}
        wanted |= {"x-simulate": simulate} if simulate else {}
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Socket(url or simulator.url.replace("http", "ws", 1) + "/chat/stream", wanted)

    return open_socket


@pytest.fixture(scope="session")
def offered(ask: Ask) -> Ask:
    """Send the POST of description B and read its answer."""

    def offered(*arguments: Any, **options: Any) -> Answer:
        headers = {"upgrade": "websocket", **options.pop("headers", {})}
        return ask(*arguments, headers=headers, agent_mode=True, **options)

    return offered
