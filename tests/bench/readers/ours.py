"""This project's client: every event is looked at, and the Reply is taken at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from holystream_nb import Client
from holystream_nb.events import Text


@asynccontextmanager
async def reader(
    url: str, transport: str = "sse", wire: str = "chat", **fields: object
) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    async with Client("simulator", base_url=url, api_key="sim-key-1", transport=transport, wire=wire) as client:

        async def read(model: str) -> tuple[int, str]:
            chunks = 0
            async with client.stream("Count.", model=model, **fields) as stream:
                async for event in stream:
                    if type(event) is Text:
                        chunks += 1
            return chunks, stream.reply.text

        yield read
