"""The official SDK, used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from openai import AsyncOpenAI


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    async with AsyncOpenAI(base_url=url, api_key="sim-key-1") as client:

        async def read(model: str) -> tuple[int, str]:
            parts: list[str] = []
            stream = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Count."}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    parts.append(chunk.choices[0].delta.content)
            return len(parts), "".join(parts)

        yield read
