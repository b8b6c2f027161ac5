"""Finding out how many words have a prompt's tokens, where not every length fits into the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import holystream_nb as hs

TEMPLATE = 35


@asynccontextmanager
async def slot(most: int) -> AsyncIterator[str]:
    """A chat service with a slot of so many tokens: of a prompt one for each word, and `TEMPLATE`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                size = next(int(line[15:]) for line in lines if line.startswith(b"content-length"))
                asked = json.loads(await reader.readexactly(size))
                tokens = len(asked["messages"][0]["content"].split()) + TEMPLATE
                if tokens + asked["max_tokens"] > most:
                    said = f"request ({tokens} tokens) exceeds the available context size ({most} tokens)"
                    body = json.dumps({"error": {"code": 400, "message": said, "type": "exceed_context_size_error"}})
                    kind = "400 Bad Request\r\ncontent-type: application/json"
                else:
                    deltas = [{"choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": None}]}]
                    deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
                    deltas.append({"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})
                    body = "".join(f"data: {json.dumps(each)}\n\n" for each in deltas) + "data: [DONE]\n\n"
                    kind = "200 OK\r\ncontent-type: text/event-stream"
                writer.write(f"HTTP/1.1 {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.slow
@pytest.mark.parametrize("most", [1024, 700, 200])
async def test_a_length_that_does_not_fit_leaves_the_others_exact(most: int, tmp_path: Path) -> None:
    """Of prompts of 100, 500 and 2,000 tokens all had 35 too many, because the longest was refused."""
    async with slot(most) as url:
        result = await hs.bench(
            "m",
            hs.synthetic([100, 500, 2000], 20),
            base_url=url,
            api_key="none",
            calibrate=False,
            path=tmp_path / "run.jsonl",
        )
    counts = {result.plan.prompts[trial.prompt].input_tokens: trial for trial in result.records}  # type: ignore[union-attr]
    fitting = [tokens for tokens in (100, 500, 2000) if tokens + 20 <= most]
    assert [counts[tokens].prompt_tokens for tokens in fitting] == fitting
    assert {trial.error for tokens, trial in counts.items() if tokens not in fitting} == {"PromptTooLong"}
    assert any("PromptTooLong" in note for note in result.notes)
    assert not any(note.startswith("Input tokens of what was asked for") for note in result.notes)
    mixed = "Prompts of 3 lengths are mixed in every figure here: result.by_prompt() has them one by one."
    assert mixed in result.notes
    assert "(a synthetic prompt of 500 tokens)" in list(result.by_prompt()["question"])
