"""Anthropic's official SDK, used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from anthropic import AsyncAnthropic


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    async with AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key="sim-key-1") as client:

        async def read(model: str) -> tuple[int, str]:
            parts: list[str] = []
            stream = await client.messages.create(
                model=model,
                max_tokens=100_000,
                messages=[{"role": "user", "content": "Count."}],
                stream=True,
            )
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    parts.append(event.delta.text)
            return len(parts), "".join(parts)

        yield read
