"""WebSocket frames on a connection that `transport` opened, and the sockets that are kept between turns.

What is read, and by whom. A turn's reader reads from the network only when somebody takes its next event: a slow
reader slows the socket, and nothing is held here but one read (64 KiB) and the message it leaves unfinished. Nobody
else reads, with one exception: a service's pings want an answer also while nobody takes events (a tool runs, the socket
rests). So every few seconds a timer looks whether bytes wait in an otherwise idle socket, and takes one read of them.
What it finds besides pings stays for the reader, and while it does, nothing more is read.

Our own pings go out every 30 s and want an answer within 10 s. Whatever arrived since is an answer, read or not: a
socket is dead only if nothing was read since the ping and nothing waits to be read. So no ping is judged while our own
reader is the slow side.

No task lives as long as a socket does: there is a timer, and a short task for what it finds to do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from ..errors import HolystreamError, NotAStream, Stalled, StreamInterrupted
from ..parts import Opening
from ..providers.secret import Key, Secrets
from .transport import Response, Transport, mapped

PING_S: Final = 30.0
PONG_S: Final = 10.0
KEEP_S: Final = 60.0

_READ_BYTES: Final = 64 * 1024
_GLANCES_A_PONG: Final = 4
_WAITING_S: Final = 1.0
_GLANCE_S: Final = 0.001
_CLOSE_FRAME_S: Final = 0.05
_PINGS_AT_REST: Final = 16
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3

Payload = str | bytes


class Socket:
    """An open WebSocket. `read` and `send` are for one turn at a time; `aclose` is for anybody.

    `permit`, `asked`, `written` and `opened` are stamps (ns): the pool had room, the handshake was sent, it had been
    handed to the system, it was answered.
    `opening` is what opening the connection took, `with_upgrade` the same with the handshake.
    `bytes` counts what has come since (B). `closed` is the service's close code and reason once it has sent one.
    `names_turns` is for whoever reads the messages: turns begin with their id here. So is `memory`: what the service
    still knows of the turns before.
    """

    def __init__(self, response: Response, *, ping_s: float = PING_S, pong_s: float = PONG_S) -> None:
        self.host = response.host
        self.headers = response.headers
        self.permit, self.asked, self.opened = response.permit, response.sent, response.headers_at
        self.written = response.written
        self.opening = response.opening
        self.bytes = 0
        self.closed: tuple[int, str] | None = None
        self.names_turns = False
        self.memory: Any = None
        self._response = response
        self._stream = response.stream
        self._frames = Connection(ConnectionType.CLIENT)
        self._parts: list[Any] = []
        self._waiting: deque[tuple[int, list[Payload]]] = deque()
        self._failure: HolystreamError | None = None
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._ping_s, self._pong_s = ping_s, pong_s
        self._last_read = self._last_ping = time.perf_counter_ns()
        self._is_judged = True
        self._is_overdue = False
        self._rests_until: int | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_open = True
        self._look_later()

    @property
    def with_upgrade(self) -> Opening | None:
        if self.asked is None or self.opened is None:
            return self.opening
        return replace(self.opening or Opening(), upgrade=self.opened - self.asked)

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent: nobody has closed it, and nothing has broken."""
        return self._is_open and self._failure is None and self.closed is None

    @property
    def last_read(self) -> int:
        """When the network last brought something (ns)."""
        return self._last_read

    @property
    def has_unread(self) -> bool:
        """Whether more has come than was read."""
        return bool(self._waiting) or (self.is_open and self._has_unread())

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop is loop

    async def send(self, text: str, timeout: float) -> int:
        """Sends a message and returns the stamp right before it was written (ns).

        Raises Stalled where the service takes nothing for `timeout` seconds, else StreamInterrupted.
        """
        async with self._writing:
            try:
                data = self._frames.send(TextMessage(text))
            except LocalProtocolError as exc:
                raise self._broken() from exc
            stamp = time.perf_counter_ns()
            await self._write(data, timeout)
        return stamp

    async def read(self, inactivity: float | None) -> tuple[int, list[Payload]] | None:
        """The stamp of the next network read and the messages it completed, maybe none; None after a close frame.

        `inactivity` limits the silence in seconds; the answers to our own pings are silence too. Raises Stalled,
        StreamInterrupted, or NotAStream for bytes that are no WebSocket.
        """
        async with self._reading:
            begin = time.perf_counter_ns()
            while True:
                if self._waiting:
                    return self._waiting.popleft()
                if self._failure is not None:
                    raise self._failure
                if self.closed is not None:
                    return None
                left = None
                if inactivity is not None:
                    left = max(0.0, inactivity - (time.perf_counter_ns() - begin) / 1e9)
                if await self._read(left) and not self._waiting and self.is_open:
                    return self._last_read, []

    def rest(self, seconds: float) -> None:
        """No turn runs on it now: it closes itself after so many seconds, or when the service says anything."""
        self._rests_until = time.perf_counter_ns() + int(seconds * 1e9)

    async def wakes(self) -> bool:
        """Whether it can serve a turn after a rest; if not, close it."""
        until, self._rests_until = self._rests_until, None
        for _ in range(_PINGS_AT_REST):
            if not self.is_open or self._waiting or self._parts:
                break
            # What lies in a buffer above the operating system's cannot be seen, only read.
            has_unread = self._has_unread()
            try:
                async with self._reading:
                    await self._read(_WAITING_S if has_unread else _GLANCE_S)
            except HolystreamError:
                if not has_unread and not self._has_unread():  # else it came as the glance ended
                    break
        is_silent = not self._waiting and not self._parts and not self._has_unread()
        return self.is_open and is_silent and (until is None or time.perf_counter_ns() < until)

    async def aclose(self) -> None:
        """Closes the connection at once, with a close frame if there is room for one; again is harmless."""
        task = None if self._task is asyncio.current_task() else self._task
        if self._is_open:
            self._is_open = False
            if self._timer is not None:
                self._timer.cancel()
            try:
                if self._failure is None and not self._writing.locked():
                    with contextlib.suppress(HolystreamError, LocalProtocolError):
                        await self._write(self._frames.send(CloseConnection(1000)), _CLOSE_FRAME_S)
            finally:
                await self._response.aclose()
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    # Reading and writing

    async def _read(self, timeout: float | None) -> bool:
        """One network read: its messages wait, its pings are answered. False if it held answers to pings only."""
        try:
            with mapped(self.host):
                data = await self._stream.read(_READ_BYTES, timeout)
        except Stalled:
            raise
        except HolystreamError:
            data = b""
        stamp = self._last_read = self._response.last_read
        self.bytes += len(data)
        if not data:
            self._failure = self._failure or self._broken()
            return True
        self._frames.receive_data(data)
        messages: list[Payload] = []
        pings: list[Ping] = []
        pongs = others = 0
        for event in self._frames.events():
            if isinstance(event, Pong):
                pongs += 1
                continue
            others += 1
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    messages.append(self._message())
            elif isinstance(event, Ping):
                pings.append(event)
            elif isinstance(event, CloseConnection):
                self._end(event)
                break
        if messages:
            self._waiting.append((stamp, messages))
        for ping in pings[-1:]:  # RFC 6455, 5.5.3: the most recent may stand for all
            await self._answer(ping.response())
        return others > 0 or not pongs

    def _message(self) -> Payload:
        parts, self._parts = self._parts, []
        whole: Payload = parts[0] if len(parts) == 1 else type(parts[0])().join(parts)
        return whole

    def _end(self, event: CloseConnection) -> None:
        if self._frames.state is ConnectionState.OPEN:  # wsproto's way to say that it could not read on
            self._failure = NotAStream(
                f'What {self.host} sent is no WebSocket message ({event.reason}): try again, or use transport="sse".'
            )
        else:
            self.closed = int(event.code), event.reason or ""

    async def _answer(self, pong: Event) -> None:
        with contextlib.suppress(HolystreamError, LocalProtocolError):
            async with self._writing:
                await self._write(self._frames.send(pong), self._pong_s)

    async def _write(self, data: bytes, timeout: float) -> None:
        try:
            with mapped(self.host):
                await self._stream.write(data, timeout)
        except StreamInterrupted as exc:
            if isinstance(exc, Stalled):
                self._failure = self._failure or self._broken()
            raise
        except BaseException:  # cancelled: part of the frame may be out, so that nothing can follow it
            self._failure = self._failure or self._broken()
            raise

    def _broken(self) -> StreamInterrupted:
        return StreamInterrupted(f"The connection to {self.host} broke; what had arrived is kept: try again.")

    def _has_unread(self) -> bool:
        return bool(self._stream.get_extra_info("is_readable"))

    # The timer

    def _look_later(self) -> None:
        # Weakly: a stream that nobody closed takes its socket along.
        look = weakref.WeakMethod(self._look)
        self._timer = self._loop.call_later(min(self._ping_s, self._pong_s) / _GLANCES_A_PONG, _call, look)

    def _look(self) -> None:
        """Whether there is something to do that no reader does."""
        now = time.perf_counter_ns()
        self._look_later()
        if self._task is not None and not self._task.done():
            return
        has_unread = self._has_unread()
        self._is_judged = self._is_judged or self._last_read > self._last_ping or has_unread
        is_overdue = not self._is_judged and now - self._last_ping >= self._pong_s * 1e9
        was_overdue, self._is_overdue = self._is_overdue, is_overdue
        if self._rests_until is not None and now >= self._rests_until:
            self._do(self.aclose())
        elif is_overdue and not was_overdue:
            # Perhaps our own loop stood for so long: what came is in its hands by the next look, or in a read of ours.
            if not self._reading.locked():
                self._do(self._read_aside(_GLANCE_S))
        elif is_overdue:
            self._failure = StreamInterrupted(
                f"{self.host} has not answered a ping for {self._pong_s:g} s, so the connection is dead; "
                "what had arrived is kept: try again."
            )
            self._do(self.aclose())
        elif has_unread and self.is_open and not (self._waiting or self._parts or self._reading.locked()):
            self._do(self._read_aside(_WAITING_S))
        elif now - self._last_ping >= self._ping_s * 1e9 and self.is_open and not self._writing.locked():
            self._last_ping, self._is_judged = now, False
            self._do(self._ping())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(work)

    async def _read_aside(self, timeout: float) -> None:
        async with self._reading:
            with contextlib.suppress(HolystreamError):
                await self._read(timeout)
        if self._rests_until is not None and (self._waiting or self._parts or not self.is_open):
            await self.aclose()

    async def _ping(self) -> None:
        with contextlib.suppress(HolystreamError, LocalProtocolError):
            async with self._writing:
                await self._write(self._frames.send(Ping()), self._pong_s)


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    if (bound := method()) is not None:
        bound()


class Sockets:
    """The sockets of one client: opened for a turn, kept for the next (times in seconds).

    A `place` is an address and what was agreed there; only a socket of the same place serves a turn.
    """

    def __init__(
        self, connections: Transport, *, keep_s: float = KEEP_S, ping_s: float = PING_S, pong_s: float = PONG_S
    ) -> None:
        self._connections = connections
        self._keep_s, self._ping_s, self._pong_s = keep_s, ping_s, pong_s
        self._open: weakref.WeakSet[Socket] = weakref.WeakSet()
        self._resting: dict[str, list[Socket]] = {}

    async def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Key],
        connect_timeout: float,
        inactivity: float,
        query: Secrets = (),
        on_permit: Callable[[], None] | None = None,
    ) -> Socket | Response:
        """A new socket at `url` (ws or wss), or the answer that refused it, which is the caller's to close.

        Raises as `Transport.post` does.
        """
        await self.make_room()
        nonce = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
        response = await self._connections.upgrade(
            f"http{url.removeprefix('ws')}",
            headers={
                **headers,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": nonce,
            },
            connect_timeout=connect_timeout,
            inactivity=inactivity,
            on_permit=on_permit,
            query=query,
        )
        digest = hashlib.sha1(nonce.encode("ascii") + _GUID, usedforsecurity=False).digest()
        accepted = response.headers.get("sec-websocket-accept") == base64.b64encode(digest).decode("ascii")
        if response.status != 101 or not accepted:
            return response
        socket = Socket(response, ping_s=self._ping_s, pong_s=self._pong_s)
        self._open.add(socket)
        return socket

    async def take(self, place: str, prefers: Callable[[Socket], int] | None = None) -> Socket | None:
        """A socket of the place that rests and still works: the one that `prefers` says most of, the one used last."""
        resting = self._resting.get(place, [])
        if prefers is not None:
            resting.sort(key=prefers)
        while resting:
            socket = resting.pop()
            if not socket.is_of(asyncio.get_running_loop()):
                continue  # its event loop has ended, and with it the socket
            wakes = False
            try:
                wakes = await socket.wakes()
            finally:
                if not wakes:
                    await socket.aclose()
            if wakes:
                return socket
        return None

    async def keep(self, place: str, socket: Socket, seconds: float | None = None) -> None:
        """Lets a socket rest for its place's next turn; where the pool is full, it makes room instead."""
        if self._connections.is_full or not socket.is_open:
            await socket.aclose()
            return
        socket.rest(self._keep_s if seconds is None else seconds)
        self._resting.setdefault(place, []).append(socket)

    async def make_room(self) -> None:
        """Closes what rests if another connection would have to wait for it."""
        if self._connections.is_full:
            while self._resting:
                for socket in self._resting.popitem()[1]:
                    if socket.is_of(asyncio.get_running_loop()):
                        await socket.aclose()

    async def aclose(self) -> None:
        """Closes every socket, also those of running turns."""
        self._resting.clear()
        for socket in list(self._open):
            if socket.is_of(asyncio.get_running_loop()):
                await socket.aclose()
