"""The MCP servers of this process while they run: started once, asked from anywhere, ended with the extension.

They live on an event loop in a thread of their own, each session in one task (anyio's task groups belong to one), so
that a server outlives cells, their loops and the panels'. A program is a process group of its own: the interrupt that
ends a cell does not reach it. The package `mcp` is imported there, when the first server starts.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import json
import logging
import os
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from ..errors import SetupError
from ..providers.address import is_loopback
from ..wire.redaction import redact
from .mcp_lines import LINES, register
from .mcp_servers import INSTALL, Server

if TYPE_CHECKING:
    import httpx2
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp_types import CallToolResult, Tool

T = TypeVar("T")

START_S: Final = 60.0
"""A server may take so long until it answers: many are downloaded when they start."""
LIST_S: Final = 30.0
MOST_TOOLS: Final = 128
"""Tools of one server; most services take no more in one request."""
MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""The longest answer that is read from an address."""

_CLOSED: Final = "Connection closed"
"""The SDK's word for a request whose connection has ended; its code is also servers' for errors of theirs."""
_SUBSCRIBING_S: Final = 5.0
_PAGES: Final = 32
_CLOSING_S: Final = 8.0
"""Longer than the SDK takes to end a process that will not: its input closed, then two signals, 2 s each."""
_TAIL_BYTES: Final = 4096
_TAIL_SHOWN: Final = 300
_LOGGERS: Final = (
    *("client", "httpx2", "mcp.client.client", "mcp.client.stdio", "mcp.client.streamable_http"),
    *("mcp.shared.dispatcher", "mcp.shared.jsonrpc_dispatcher", "mcp.os.posix.utilities", "mcp.os.win32.utilities"),
)


class ServerFailed(Exception):
    """Why a server gave no answer: one sentence, without keys."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as a server describes it, nothing taken out; `fingerprint` is of all that a model is told of it."""

    name: str
    description: str
    schema: dict[str, Any]
    fingerprint: str


class Session:
    """One server: started at its first use, and again if it has ended. Its methods may be awaited on any loop.

    `vouched` has the fingerprints under which tools were allowed, by name, as long as this process lives.
    """

    def __init__(self, server: Server, sessions: Sessions) -> None:
        self.server = server
        self.vouched: dict[str, str] = {}
        self.is_stale = True
        """Whether the server has said, or may have, that its tools are others now."""
        self._sessions = sessions
        self._offers: dict[str, Offer] = {}
        self._client: Client | None = None
        self._ready: asyncio.Future[Client] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Event | None = None
        self._tail = Tail()
        self._status = 0
        self._has_ended = False

    @property
    def is_running(self) -> bool:
        return self._client is not None and self._closing is not None and not self._closing.is_set()

    @property
    def notice(self) -> str:
        """What is waited for while it starts."""
        return f"starting {self.server.name}{' again: it had ended' if self._has_ended else ''}"

    async def offers(self) -> list[Offer]:
        """Its tools as they are now. Raises SetupError, a sentence with the end of what it wrote to its stderr."""
        try:
            return await self._sessions.there(self._listed())
        except ServerFailed as exc:
            raise SetupError(str(exc)) from None

    async def call(self, offer: Offer, arguments: dict[str, Any]) -> CallToolResult:
        """Calls a tool as it was offered; cancelled, it tells the server so. Raises ServerFailed."""
        return await self._sessions.there(self._called(offer, arguments))

    # On the loop of the servers

    async def _listed(self) -> list[Offer]:
        was_running = self.is_running
        while True:
            client = await self._connected()
            try:
                async with asyncio.timeout(LIST_S):
                    found = await self._all_pages(client)
            except Exception as exc:
                if was_running and not self.is_running:  # it had died unnoticed: once more, from the start
                    was_running = False
                    continue
                raise self._failure(exc, "did not say which tools it has") from None
            self._offers = {offer.name: offer for offer in found}
            return found

    async def _all_pages(self, client: Client) -> list[Offer]:
        self.is_stale = False  # what is said from here on is said of a newer list
        offers: list[Offer] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            offers += [_offer(each) for each in page.tools]
            cursor = page.next_cursor
            if len(offers) > MOST_TOOLS:
                break
            if not cursor:
                return offers
        raise ServerFailed(
            f"The MCP server {self.server.name} offers more than {MOST_TOOLS} tools: no model takes so many."
        )

    async def _called(self, offer: Offer, arguments: dict[str, Any]) -> CallToolResult:
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult, InputRequiredResult
        from pydantic import TypeAdapter

        client = await self._connected()
        if not self._offers:  # it was started again since
            await self._listed()
        if (now := self._offers.get(offer.name)) is None or now.fingerprint != offer.fingerprint:
            self.is_stale = True
            raise ServerFailed(f"{offer.name} of the MCP server {self.server.name} is not what was offered any more.")
        # Not client.call_tool: it would send a call again for a tool that has changed, and run the server's patterns.
        request = CallToolRequest(params=CallToolRequestParams(name=offer.name, arguments=arguments))
        answer: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(CallToolResult | InputRequiredResult)
        try:
            result = await client.session.send_request(request, answer)
        except Exception as exc:
            raise self._failure(exc, f"gave no result of {offer.name}") from None
        if isinstance(result, InputRequiredResult):
            raise ServerFailed(f"The MCP server {self.server.name} asked for sampling, input or roots: there is none.")
        return result

    async def _connected(self) -> Client:
        if self._task is None or self._task.done():
            self._offers = {}
            self._tail = Tail()
            self._status = 0
            self._closing = asyncio.Event()
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._ready, self._closing))
        elif self._closing is not None and self._closing.is_set():
            await asyncio.wait({self._task})
            return await self._connected()
        assert self._ready is not None  # noqa: S101  # made with the task
        return await asyncio.shield(self._ready)

    async def _live(self, ready: asyncio.Future[Client], closing: asyncio.Event) -> None:
        """From its start to its end."""
        listening: asyncio.Task[None] | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(START_S):
                    client = await stack.enter_async_context(_client(self, closing.set))
                subscribed = asyncio.Event()
                listening = asyncio.create_task(self._listen(client, subscribed))
                with contextlib.suppress(TimeoutError):  # before the first list, or a change after it is missed
                    async with asyncio.timeout(_SUBSCRIBING_S):
                        await subscribed.wait()
                self._client = client
                ready.set_result(client)
                await closing.wait()
        except BaseException as exc:  # also the cancellation of a task group whose connection broke
            if not ready.done():
                await self._tail.drained()
                ready.set_exception(self._failure(exc, "did not start"))
                ready.exception()  # nobody may wait for it any more
            if not isinstance(exc, Exception | asyncio.CancelledError | BaseExceptionGroup):
                raise
        finally:
            closing.set()
            self._has_ended = self._client is not None
            self._client = None
            self.is_stale = True
            if listening is not None:
                listening.cancel()

    async def _listen(self, client: Client, subscribed: asyncio.Event) -> None:
        """Hears of changes where a client has to ask to be told (since protocol 2026-07-28)."""
        try:
            async with client.listen(tools_list_changed=True) as changes:
                subscribed.set()
                async for _ in changes:
                    self.is_stale = True
        except Exception:
            return  # an older one tells unasked, and of any other a change is seen when the next run begins
        finally:
            subscribed.set()

    async def hear(self, message: Any) -> None:
        """What the server says unasked."""
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self.is_stale = True
        elif isinstance(message, Exception):
            self._tail.add(b"what it wrote to its output is no message of MCP\n")

    def saw(self, status: int) -> None:
        """The status of an answer over HTTP."""
        self._status = status if status >= 300 else 0

    @property
    def errors(self) -> Tail:
        return self._tail

    async def close(self) -> None:
        """Ends it, and returns when its process has gone."""
        if self._task is not None and self._closing is not None:
            self._closing.set()
            if self._ready is not None and not self._ready.done():
                self._task.cancel()
            await asyncio.wait({self._task})

    def _failure(self, exc: BaseException, what: str) -> ServerFailed:
        if isinstance(exc, ServerFailed):
            return exc
        name = self.server.name
        cause = _first(exc)
        if "Session terminated" in str(cause) and self._closing is not None:
            self._closing.set()
        if isinstance(cause, ImportError):
            return ServerFailed(INSTALL)
        if isinstance(cause, FileNotFoundError | PermissionError) and self.server.words:
            return ServerFailed(
                f"The MCP server {name} did not start: {self.server.place} cannot be run ({cause.strerror}); "
                "install it, or give its whole path."
            )
        if isinstance(cause, TimeoutError):
            limit = START_S if what == "did not start" else LIST_S
            why = f"no answer within {limit:g} s"
        elif self._status in (401, 403):
            why = f"{self._status}, so check the key in its headers"
        elif self._status:
            why = f"it answered {self._status}"
        elif isinstance(cause, asyncio.CancelledError) or str(cause) == _CLOSED:
            why = "it has ended, and is started again at the next use" if what != "did not start" else "it ended"
        elif what != "did not start":  # it answers, and what it writes elsewhere is of other things
            return ServerFailed(f"The MCP server {name} {what}: {plain(_said(cause), self.server)}.")
        else:
            why = plain(_said(cause, with_type=True), self.server)
        return ServerFailed(f"The MCP server {name} {what}: {why}{self._tail.said(self.server)}.")


class Sessions:
    """Every server of this process by what it runs, and the thread they live in, which begins with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sessions: dict[str, Session] = {}

    def of(self, server: Server) -> Session:
        """The session of a server; the same for all that say the same."""
        with self._lock:
            return self._sessions.setdefault(server.identity, Session(server, self))

    async def there(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the servers' loop; cancelled here, it is cancelled there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._running_loop()))

    def end(self) -> None:
        """Ends every server and waits until the processes have gone; what was allowed is forgotten."""
        with self._lock:
            loop, self._loop, thread, self._thread = self._loop, None, self._thread, None
            ending, self._sessions = [*self._sessions.values()], {}
        if loop is None or thread is None:
            return

        async def end() -> None:
            await asyncio.gather(*(session.close() for session in ending), return_exceptions=True)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        done = asyncio.run_coroutine_threadsafe(end(), loop)
        done.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        thread.join(_CLOSING_S)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="holystream mcp", daemon=True)
                self._thread.start()
                atexit.unregister(self.end)
                atexit.register(self.end)
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """The thread. What the SDK logs there would repeat what servers write, and addresses with their queries."""
    here = threading.get_ident()

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    for name in _LOGGERS:
        logging.getLogger(name).addFilter(is_elsewhere)
    try:
        loop.run_forever()
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(is_elsewhere)
        loop.close()


sessions: Final = Sessions()
"""The servers of this process."""


# Connections


@contextlib.asynccontextmanager
async def _client(session: Session, has_ended: Callable[[], None]) -> AsyncIterator[Client]:
    """The SDK's client, which has negotiated; it offers the server nothing (no sampling, elicitation or roots)."""
    from mcp import Client
    from mcp_types import Implementation

    from .. import __version__

    server = session.server
    transport = _over_http(session) if server.url is not None else _of_process(session)
    async with Client(
        _watched(transport, has_ended),
        client_info=Implementation(name="holystream_nb", version=__version__),
        message_handler=session.hear,
        cache=None,
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def _of_process(session: Session) -> AsyncIterator[TransportStreams]:
    from mcp import StdioServerParameters, stdio_client

    program, *arguments = session.server.words
    environment = {name: key.reveal() for name, key in session.server.env}
    register()
    parameters = StdioServerParameters(
        command=program,
        args=arguments,
        env=environment,
        cwd=session.server.cwd,
        encoding=LINES,
        encoding_error_handler="replace",
    )
    async with contextlib.AsyncExitStack() as stack:
        with session.errors.opened() as errors:
            streams = await stack.enter_async_context(stdio_client(parameters, errors))
        yield streams


@contextlib.asynccontextmanager
async def _over_http(session: Session) -> AsyncIterator[TransportStreams]:
    """The SDK follows a redirect to the same origin only, so the headers go nowhere else."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    assert session.server.url is not None  # noqa: S101  # whoever calls has looked
    url = session.server.url.reveal()

    async def look(response: httpx2.Response) -> None:
        session.saw(response.status_code)
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            response.stream = _limited(response.stream)

    async with (
        httpx2.AsyncClient(
            headers={name: key.reveal() for name, key in session.server.headers},
            timeout=httpx2.Timeout(30.0, read=None),  # an answer takes as long as its tool, which has its own limit
            trust_env=not is_loopback(url),
            event_hooks={"response": [look]},
        ) as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=MESSAGE_BYTES) as streams,
    ):
        yield streams


def _limited(stream: Any) -> Any:
    """The bytes of an answer, which is an error where it does not end in time."""
    import httpx2

    class Limited(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in stream:
                size += len(piece)
                if size > MESSAGE_BYTES:
                    raise httpx2.StreamError(f"the answer is longer than {MESSAGE_BYTES:,} bytes")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Limited()


@contextlib.asynccontextmanager
async def _watched(
    transport: contextlib.AbstractAsyncContextManager[TransportStreams], has_ended: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """The transport, which says when nothing more will be read from it."""
    async with transport as (reader, writer):
        yield _Reader(reader, has_ended), writer


class _Reader:
    """A stream of messages that says when it has ended."""

    def __init__(self, stream: Any, has_ended: Callable[[], None]) -> None:
        self._stream = stream
        self._has_ended = has_ended

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._has_ended()
            raise

    async def __aenter__(self) -> _Reader:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._stream.__aexit__(*exc_info)


class Tail:
    """The last few kilobytes that a process wrote to its stderr."""

    def __init__(self) -> None:
        self._data = b""
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[TextIO]:
        """What a process is given to write to; closed here when it has been."""
        reader, writer = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(reader,), name="holystream mcp stderr", daemon=True)
        self._thread.start()
        with os.fdopen(writer, "w") as file:
            yield file

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-_TAIL_BYTES:]

    def said(self, server: Server) -> str:
        """Its last lines in a few words, or nothing."""
        text = plain(self._data.decode("utf-8", "replace"), server, most=10 * _TAIL_SHOWN)
        if not text:
            return ""
        return f"; it said: {text if len(text) <= _TAIL_SHOWN else f'… {text[-_TAIL_SHOWN:]}'}"

    async def drained(self) -> None:
        """Waits a moment for what is still in the pipe."""
        for _ in range(20):
            if self._thread is None or not self._thread.is_alive():
                return
            await asyncio.sleep(0.01)

    def _read(self, reader: int) -> None:
        with os.fdopen(reader, "rb", buffering=0) as file:
            while data := file.read(_TAIL_BYTES):
                self.add(data)


# Words


def plain(text: str, server: Server, most: int = _TAIL_SHOWN) -> str:
    """A server's words on one line: without keys, without what cannot be seen, shortened."""
    return readable(redact(text, server.keys), most).rstrip(".")


def readable(text: str, most: int) -> str:
    """A server's words on one line: nothing that cannot be seen or turns text round, and no more than so much."""
    # Cf holds the marks that turn text round, zero widths, and the tags in which instructions are hidden.
    seen = "".join(each for each in text[: 4 * most] if unicodedata.category(each) not in ("Cf", "Co", "Cs", "Cn"))
    line = " ".join("".join(each if each.isprintable() else " " for each in seen).split())
    return line if len(line) <= most else f"{line[:most]} …"


def _offer(tool: Tool) -> Offer:
    told = json.dumps([tool.name, tool.description, tool.input_schema], sort_keys=True)
    fingerprint = hashlib.sha256(told.encode()).hexdigest()
    return Offer(tool.name, tool.description or "", tool.input_schema, fingerprint)


def _said(exc: BaseException, *, with_type: bool = False) -> str:
    from pydantic import ValidationError

    if not isinstance(exc, ValidationError):
        said = str(exc).partition(" [type=")[0]  # where the SDK quotes pydantic
        return f"{type(exc).__name__}: {said}" if with_type else said
    error = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"what it answers is not as MCP has it ({'.'.join(map(str, error['loc']))}: {error['msg']})"


def _first(exc: BaseException) -> BaseException:
    """The first error of a group."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
