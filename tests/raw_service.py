"""A service that a test writes byte by byte, over real sockets, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Asked:
    """One request: `connection` and `number` say on which connection, and how many were on it before (from 0)."""

    line: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    number: int


@dataclass
class Writer:
    """Writes an answer; the rest is a StreamWriter's."""

    raw: asyncio.StreamWriter
    reader: asyncio.StreamReader

    async def head(self, head: bytes = HEAD) -> None:
        self.raw.write(head)
        await self.raw.drain()

    async def chunk(self, data: bytes) -> None:
        self.raw.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.raw.drain()

    async def event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        await self.chunk(f"data: {text}\n\n".encode())

    async def text(self, text: str, choice: int = 0) -> None:
        await self.event({"choices": [{"index": choice, "delta": {"content": text}}]})

    async def finish(self, reason: str = "stop", choice: int = 0) -> None:
        await self.event({"choices": [{"index": choice, "delta": {}, "finish_reason": reason}]})

    async def usage(self, completion: int, prompt: int = 10) -> None:
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        await self.event({"choices": [], "usage": counts})

    async def end(self) -> None:
        """The end of the body; the connection stays."""
        self.raw.write(b"0\r\n\r\n")
        await self.raw.drain()

    async def whole(self, text: str = "Hello", tokens: int = 1) -> None:
        """A whole short answer."""
        await self.head()
        await self.text(text)
        await self.finish()
        await self.usage(tokens)
        await self.event("[DONE]")
        await self.end()

    async def gone(self, timeout: float = 5) -> bool:
        """Waits until the client has left."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(timeout):
                return not await self.reader.read(1)
        return False


Answering = Callable[[Asked, Writer], Awaitable[object]]


@dataclass
class Service:
    """Where it is, and what was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def emptied(self, timeout: float = 2) -> bool:
        """Waits until no connection is open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.open:  # noqa: ASYNC110  # it goes down in several tasks
                    await asyncio.sleep(0.005)
                return True
        return False


@asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[Service]:
    """Runs a service on a free port. What `answer` returns False for ends its connection."""
    service = Service()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, raw: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        index, service.connections, service.open = service.connections, service.connections + 1, service.open + 1
        number = 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                data = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(head[0], headers, json.loads(data) if data else {}, index, number)
                service.asked.append(asked)
                number += 1
                if await answer(asked, Writer(raw, reader)) is False:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            service.open -= 1
            raw.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield service
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def serving_elsewhere(answer: Answering) -> Iterator[str]:
    """The same in an event loop of another thread, which goes on while a test's own is busy; gives the address."""
    found: list[str] = []
    begun = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with serving(answer) as service:
            found.append(service.url)
            begun.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    begun.wait()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
