"""Connection: turn after turn with one model, with events in both directions where a socket carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from ..errors import SetupError
from ..events import Event
from ..providers.secret import sealing
from ..reply import Progress, Reply
from .stream import Stream
from .texts import Texts


class Connection:
    """A conversation with one model: `await connection.send(…)`, `async for event in connection: …`, and again.

    A turn's iteration ends with the turn. `reply` and `progress` are the running turn's, or the last one's. Turns share
    the client's open sockets; what the service should remember is in the messages of each `send`. On a socket of the
    Responses, whose service still has the conversation, only what is new in them goes out.
    """

    def __init__(self, start: Callable[..., Stream]) -> None:
        self._start = start
        self._turn: Stream | None = None

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the running turn, which is `stopped`."""
        if self._turn is not None:
            await self._turn.aclose()

    @property
    def reply(self) -> Reply:
        """What has arrived in this turn, also after a stop or a failure."""
        return self._last.reply

    @property
    def progress(self) -> Progress:
        return self._last.progress

    @property
    def model(self) -> str:
        return self._last.model

    @property
    def provider(self) -> str:
        return self._last.provider

    @sealing()
    async def send(self, prompt: str | Sequence[Mapping[str, Any]], **parameters: Any) -> None:
        """Starts a turn, and returns when its answer begins. `parameters` go over those of the connection.

        Raises SetupError while a turn is running, and whatever keeps the answer from beginning.
        """
        if self._turn is not None and self._turn.is_running:
            raise SetupError("A turn is still running: read it to its end or cancel() it, then send the next.")
        await self.aclose()
        self._turn = self._start(prompt, **parameters)
        await self._turn.begin()

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        """Sends an event into the running turn: `tool_result`, `context_update`, `user_interruption`, or your own.

        A tool's result is `{"call_id": …, "tool": …, "result": "a text"}`; while one is owed, silence is not limited.
        In Responses there is one event, `steer` with `{"input": "a text"}`: the answer that is running goes on with
        what the user says meanwhile, and stays one answer; where the input was not used, the progress and the reply's
        `detail` say so. Results of tools stand there in the messages of the next `send`.
        Raises SetupError where no turn is running, or where it runs over server-sent events.
        """
        await self._last.send_event(type, payload)

    async def cancel(self) -> None:
        """Ends the turn, which is `stopped`, and keeps its socket if the service takes the cancel at once."""
        await self.aclose()

    def stop(self) -> None:
        """The same from any thread, without waiting for it."""
        if self._turn is not None:
            self._turn.stop()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._last)

    def texts(self) -> Texts:
        """The pieces of the turn alone, without its reasoning: `async for text in connection.texts()`."""
        return Texts(self)

    @property
    def _last(self) -> Stream:
        if self._turn is None:
            raise SetupError("Nothing has been sent on this connection: begin with `await connection.send(…)`.")
        return self._turn
