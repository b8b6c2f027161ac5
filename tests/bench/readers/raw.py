"""The least that reads a stream: httpx2's `aiter_raw`, split on blank lines, each event decoded once by msgspec.

It takes only what the simulator sends by default, and knows no errors, usage, stamps or stop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec


class Delta(msgspec.Struct, gc=False):
    content: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice]


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    decode = msgspec.json.Decoder(Chunk).decode
    headers = {
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer sim-key-1",
    }
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:

        async def read(model: str) -> tuple[int, str]:
            parts: list[str] = []
            rest = b""
            body = {
                "model": model,
                "messages": [{"role": "user", "content": "Count."}],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            async with client.stream("POST", "chat/completions", json=body) as response:
                async for data in response.aiter_raw():
                    *events, rest = (rest + data).split(b"\n\n")
                    for event in events:
                        payload = event.removeprefix(b"data: ")
                        if payload == b"[DONE]":
                            continue
                        chunk = decode(payload)
                        if chunk.choices and (content := chunk.choices[0].delta.content):
                            parts.append(content)
            return len(parts), "".join(parts)

        yield read
