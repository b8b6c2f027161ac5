"""The official SDK's Responses socket, used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from openai import AsyncOpenAI


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    async with AsyncOpenAI(base_url=url, api_key="sim-key-1") as client, client.responses.connect() as connection:

        async def read(model: str) -> tuple[int, str]:
            parts: list[str] = []
            await connection.response.create(model=model, input="Count.", store=False)
            async for event in connection:
                if event.type == "response.output_text.delta":
                    parts.append(event.delta)
                elif event.type == "response.completed":
                    break
            return len(parts), "".join(parts)

        yield read
