"""The least that reads a stream: httpx2's `aiter_raw`, split on blank lines, each event decoded once by msgspec.

It takes only what the simulator sends by default, and knows no errors, usage, stamps or stop. A format is the path, the
request's body and what an event's JSON is decoded to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec


class Delta(msgspec.Struct, gc=False):
    content: str | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice]

    def piece(self) -> str | None:
        return self.choices[0].delta.content if self.choices else None


CHAT = {
    "messages": [{"role": "user", "content": "Count."}],
    "stream": True,
    "stream_options": {"include_usage": True},
}


@asynccontextmanager
async def reader(
    url: str, path: str = "chat/completions", asked: Mapping[str, Any] = CHAT, kind: Any = Chunk
) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    decode = msgspec.json.Decoder(kind).decode
    headers = {
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer sim-key-1",
        "anthropic-version": "2023-06-01",
    }
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:

        async def read(model: str) -> tuple[int, str]:
            parts: list[str] = []
            rest = b""
            async with client.stream("POST", path, json={"model": model, **asked}) as response:
                async for data in response.aiter_raw():
                    *events, rest = (rest + data).split(b"\n\n")
                    for event in events:
                        payload = event[event.index(b"data: ") + 6 :]
                        if payload != b"[DONE]" and (piece := decode(payload).piece()):
                            parts.append(piece)
            return len(parts), "".join(parts)

        yield read
