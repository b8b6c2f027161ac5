"""A thousand cuts: an answer broken anywhere keeps what was whole, ends soon, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal
from urllib.parse import urlsplit

import psutil
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from patience import until
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage
from wsproto.utilities import generate_accept_token

from holystream_nb import Client, Simulator
from holystream_nb.client.stream import Stream
from holystream_nb.errors import HolystreamError, Stalled, StreamInterrupted
from holystream_nb.reply import Reply

Over = Literal["sse", "ws"]

PROMPT: Final = "Repeat after me: é 🐑🐑 漢字, naïve — “quoted” 👩‍👩‍👧 and plain.\n\nEnd ✓"
CUTS: Final = 500
AT_ONCE: Final = 20
STALL_S: Final = 0.05
PATIENCE_S: Final = 5.0
_NONCE: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_END: Final = {"sse": b"0\r\n\r\n", "ws": b"\x88\x02\x03\xe8"}
"""The last chunk; a close frame with code 1000."""
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Part:
    """What is whole once `end` bytes have come; `is_last`: so is the answer."""

    end: int
    text: str = ""
    reasoning: str = ""
    is_last: bool = False


@dataclass(frozen=True)
class Recording:
    """The bytes of a true answer, from its head on, and what they say; `ends` are places where it could end cleanly."""

    over: Over
    model: str
    data: bytes = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)
    ends: tuple[int, ...] = field(repr=False)


How = Literal["end", "close", "reset", "stall"]


@dataclass(frozen=True)
class Cut:
    """After `at` bytes, written in pieces that end at `splits`, the service ends it, closes, resets or is silent."""

    recording: Recording
    at: int
    how: How
    splits: tuple[int, ...]

    @property
    def came(self) -> list[Part]:
        return [part for part in self.recording.parts if part.end <= self.at]

    @property
    def is_whole(self) -> bool:
        return any(part.is_last for part in self.came)


# Recordings, read without the client's decoders


def recorded(simulator: Simulator, over: Over, model: str) -> Recording:
    """One answer of the simulator."""
    address = urlsplit(simulator.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        return _recorded_sse(connection, model) if over == "sse" else _recorded_socket(connection, model)


def _recorded_sse(connection: socket.socket, model: str) -> Recording:
    """HTTP chunks around events; an event is whole with its blank line."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    data = b""
    while not data.endswith(b"\r\n0\r\n\r\n"):
        data += connection.recv(1 << 16)
    content, places, clean = b"", list[int](), list[int]()
    place = data.index(b"\r\n\r\n") + 4
    while size := int(data[place : (begin := data.index(b"\r\n", place) + 2)], 16):
        content += data[begin : begin + size]
        places += range(begin, begin + size)
        place = begin + size + 2
        clean += [place] if content.endswith(b"\n\n") else []
    ends = [0, *(blank.end() for blank in re.finditer(b"\n\n", content))]
    events = ((places[end - 1] + 1, content[begin:end].decode()) for begin, end in pairwise(ends))
    parts = tuple(_event(end, lines.strip().removeprefix("data: ")) for end, lines in events)
    return Recording("sse", model, data, parts, tuple(clean))


def _event(end: int, said: str) -> Part:
    if said == "[DONE]":
        return Part(end, is_last=True)
    [choice] = json.loads(said)["choices"]
    delta = choice["delta"]
    is_last = choice["finish_reason"] is not None
    return Part(end, delta.get("content") or "", delta.get("reasoning_content") or "", is_last)


def _recorded_socket(connection: socket.socket, model: str) -> Recording:
    """Frames behind the head of the handshake; a message is whole with its last frame."""
    connection.sendall(
        "GET /v1/chat/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_NONCE}\r\n\r\n".encode()
    )
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    asked = {"type": "init", "model": model, "messages": [{"role": "user", "content": PROMPT}], "parameters": {}}
    connection.sendall(Connection(ConnectionType.CLIENT).send(TextMessage(json.dumps(asked))))
    head, frames, parts = _accept(_NONCE), b"", list[Part]()
    while not (parts and parts[-1].is_last):
        frames += connection.recv(1 << 16)
        parts = list(_messages(frames, len(head)))
    return Recording("ws", model, head + frames, tuple(parts), tuple(part.end for part in parts))


def _messages(frames: bytes, offset: int) -> Iterator[Part]:
    """Unmasked frames (RFC 6455, 5.2) of at most 65,535 bytes."""
    place, content = 0, b""
    while place + 2 <= len(frames):
        is_long = frames[place + 1] == 126
        begin = place + 2 + 2 * is_long
        size = int.from_bytes(frames[place + 2 : begin]) if is_long else frames[place + 1]
        if begin + size > len(frames):
            return
        content += frames[begin : begin + size]
        if frames[place] & 0x80:
            message = json.loads(content)
            said = {"content_block": "text", "reasoning_block": "reasoning"}.get(message["type"])
            yield Part(
                offset + begin + size,
                is_last=message["type"] == "done",
                **({said: message["content"]} if said else {}),
            )
            content = b""
        place = begin + size


def _accept(nonce: str) -> bytes:
    token = generate_accept_token(nonce.encode()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {token}\r\n\r\n"
    ).encode()


# The service


class Cutting:
    """A service in the test's own loop; each request names its cut in a header."""

    def __init__(self) -> None:
        self.cuts: dict[str, Cut] = {}
        self.open = 0
        self.port = 0
        self.clients: dict[int, Cut] = {}
        """The cut of each connection, by the client's port."""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            with contextlib.suppress(OSError):
                await self._answer(reader, writer)
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        named = re.search(r"x-cut: (.*)\r", head, re.I)
        assert named is not None
        cut = self.clients[writer.get_extra_info("peername")[1]] = self.cuts[named[1]]
        data = cut.recording.data[: cut.at] + (_END[cut.recording.over] if cut.how == "end" else b"")
        nonce = re.search(r"sec-websocket-key: (.*)\r", head, re.I)
        if nonce is None:
            size = re.search(r"content-length: (.*)\r", head, re.I)
            assert size is not None
            await reader.readexactly(int(size[1]))
            await _write(writer, data, cut.splits)
        else:
            accept = _accept(nonce[1])
            await _write(writer, accept[: cut.at], cut.splits)
            if cut.at > len(accept):
                await reader.read(1 << 16)  # what asks for the turn
                await _write(writer, data[len(accept) :], [split - len(accept) for split in cut.splits])
        if cut.how == "stall" and not cut.is_whole:
            await reader.read()
        elif cut.how == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, data: bytes, splits: Iterable[int]) -> None:
    """Piece by piece; the client reads in between."""
    for start, stop in pairwise([0, *(each for each in splits if 0 < each < len(data)), len(data)]):
        writer.write(data[start:stop])
        for _ in range(3):
            await asyncio.sleep(0)


# The test


def cuts_of(recordings: list[Recording]) -> st.SearchStrategy[Cut]:
    """Cuts at any byte, often beside the end of a message or within a character; an end is between messages."""

    def of(recording: Recording) -> st.SearchStrategy[Cut]:
        size = len(recording.data)
        delicate = [part.end + by for part in recording.parts for by in (-1, 0, 1) if part.end + by <= size]
        delicate += [place for place, byte in enumerate(recording.data) if byte & 0xC0 == 0x80]
        anywhere = st.integers(0, size) | st.sampled_from(delicate)
        hows: st.SearchStrategy[How] = st.sampled_from(["close", "reset", "stall"])
        splits = st.lists(anywhere, max_size=12).map(sorted).map(tuple)
        broken = st.builds(Cut, st.just(recording), anywhere, hows, splits)
        ended = st.builds(Cut, st.just(recording), st.sampled_from(recording.ends), st.just("end"), splits)
        return broken | broken | broken | ended

    return st.sampled_from(recordings).flatmap(of)


class Trial:
    """Clients against the service, each with a cut of its own."""

    def __init__(self, over: Over) -> None:
        self._over = over
        self._service = Cutting()
        self._process = psutil.Process()

    async def start(self) -> None:
        await self._service.start()

    async def stop(self) -> None:
        await self._service.stop()

    async def batch(self, cuts: list[Cut]) -> None:
        """All at once. Then no task runs any more, and only what ended properly may have its connection kept."""
        tasks, files = asyncio.all_tasks(), self._process.num_fds()
        self._service.clients.clear()
        self._service.cuts = {str(index): cut for index, cut in enumerate(cuts)}
        async with contextlib.AsyncExitStack() as clients:
            failures = await asyncio.gather(
                *(self._failure(name, cut, clients) for name, cut in self._service.cuts.items())
            )
            assert not list(filter(None, failures))
            await until(lambda: self._service.open == 0)
            await until(lambda: all(cut.is_whole or cut.how == "end" for cut in self._connected()))
        await until(lambda: asyncio.all_tasks() == tasks)
        await until(lambda: self._process.num_fds() == files)

    def _connected(self) -> list[Cut]:
        """The cuts whose connection the client has not closed."""
        connections = [each for each in self._process.net_connections("tcp") if each.raddr]
        ports = [each.laddr.port for each in connections if each.raddr.port == self._service.port]
        return [cut for port, cut in self._service.clients.items() if port in ports]

    async def _failure(self, name: str, cut: Cut, clients: contextlib.AsyncExitStack) -> str:
        found = await self._wrong(name, cut, clients, STALL_S if cut.how == "stall" else PATIENCE_S)
        if found and cut.how == "stall":  # a busy machine can be silent for so long too
            found = await self._wrong(name, cut, clients, PATIENCE_S / 2)
        return f"{cut}: {found}" if found else ""

    async def _wrong(self, name: str, cut: Cut, clients: contextlib.AsyncExitStack, inactivity: float) -> str:
        """What is wrong with the reply to a cut; "" if nothing."""
        client = Client(
            "simulator",
            base_url=f"http://127.0.0.1:{self._service.port}",
            transport=self._over,
            retries=0,
            inactivity=inactivity,
            headers={"X-Cut": name},
        )
        await clients.enter_async_context(client)
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                reply, seen = await _read(client.stream("Go", model="m"))
        except TimeoutError:
            return "it hangs"
        text, reasoning = ("".join(getattr(part, kind) for part in cut.came) for kind in ("text", "reasoning"))
        if (reply.text, reply.reasoning) != (text, reasoning):
            return f"kept {reply.text!r} and {reply.reasoning!r}, not {text!r} and {reasoning!r}"
        if seen != reasoning + text:
            return f"gave {seen!r}, not {reasoning + text!r}"
        broken, error = ("interrupted" if seen else ""), type(reply.error)
        wanted = {
            "end": ("truncated", type(None)),
            "close": (broken, StreamInterrupted),
            "reset": (broken, StreamInterrupted),
            "stall": (broken, Stalled),
        }[cut.how]
        if cut.is_whole:
            wanted = ("stop", type(None))
        return "" if (reply.finish_reason, error) == wanted else f"ended with {reply.finish_reason!r}, {reply.error!r}"


async def _read(stream: Stream) -> tuple[Reply, str]:
    """The reply, and the text of its events."""
    seen = ""
    async with stream:
        with contextlib.suppress(HolystreamError):
            async for event in stream:
                seen += getattr(event, "text", "")
    return stream.reply, seen


@pytest.mark.slow
@pytest.mark.parametrize("over", ["sse", "ws"])
def test_cuts_lose_nothing_double_nothing_hang_nowhere_and_leave_nothing(simulator: Simulator, over: Over) -> None:
    """What is kept is the text of what had come whole, for 500 cuts of each transport; the same ones in every run."""
    models = ("gpt-4.1#split-utf8", "gpt-4.1#bytes=7", "gpt-4.1#group=4", "sim-reasoner#rate=max")
    recordings = [recorded(simulator, over, f"{model},usage=none") for model in models]
    assert all("🐑" in "".join(part.text for part in recording.parts) for recording in recordings)
    trial = Trial(over)
    with asyncio.Runner() as runner:
        runner.run(trial.start())

        @settings(max_examples=CUTS // AT_ONCE, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
        @given(st.lists(cuts_of(recordings), min_size=AT_ONCE, max_size=AT_ONCE))
        def cut(cuts: list[Cut]) -> None:
            runner.run(trial.batch(cuts))

        cut()
        runner.run(trial.stop())
