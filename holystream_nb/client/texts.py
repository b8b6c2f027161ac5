"""The text of an answer, of whatever gives events: a stream, a turn of a connection, a rollout's stream, a tool run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from ..events import Text


class Source(Protocol):
    """What texts are taken of."""

    def stop(self) -> None: ...

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Any]: ...


class Texts:
    """The pieces of an answer's text as they arrive, without its reasoning and all else: `async for text in texts`.

    Leaving the loop closes nothing: the rest can be read on. `stop` and `aclose` are those of what it reads.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._events = aiter(source)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await anext(self._events)
            if isinstance(event, Text):
                return event.text

    def stop(self) -> None:
        self._source.stop()

    async def aclose(self) -> None:
        await self._source.aclose()
