"""A real engine, directly and through what people put before it: LiteLLM, nginx that buffers, HAProxy's defaults.

The models are so small that they answer nonsense: everything here looks at the form of an answer, never at its sense.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Literal

import pytest

import holystream_nb as hs
from holystream_nb import Client, Reply
from holystream_nb.errors import PromptTooLong
from holystream_nb.events import Text
from holystream_nb.live.lane import Lane
from holystream_nb.live.saved import bundle
from holystream_nb.live.terminal import print_lanes

from .conftest import Way
from .programs import CONTEXT, NIGHTLY, SLOTS, Engine

pytestmark = pytest.mark.real

MODEL = "smollm2-135m"
STORY = "Tell me a long story about a tree."
MENDED = ["direct", "litellm", "nginx", "nginx-mended", "haproxy-mended"]
BUFFERING = ["nginx-buffering", "haproxy"]


async def answer(client: Client, prompt: str = STORY, **parameters: object) -> Reply:
    async with client.stream(prompt, model=MODEL, **parameters) as stream:  # type: ignore[arg-type]
        async for _ in stream:
            pass
    return stream.reply


async def test_an_answer_streams_and_is_counted_by_the_engine(client: Client) -> None:
    """The first chunk's content is null; tokens, the prompt's cached ones too, are the engine's own."""
    reply = await answer(client, max_tokens=40, ignore_eos=True)
    assert reply.text.strip()
    assert (reply.finish_reason, reply.usage.exact, reply.usage.completion_tokens) == ("length", True, 40)
    assert reply.usage.prompt_tokens is not None
    assert reply.usage.prompt_tokens > 10
    assert (reply.cost.usd, reply.cost.note) == (None, "local, no price")
    assert sum(reply.timing.events) >= 30
    assert reply.timing.ttft_ms is not None
    assert reply.request_id is not None
    assert reply.request_id.startswith("chatcmpl-")


FREED_MS = {"haproxy": 600}
"""By default HAProxy does not look for a client that has left: it notices when it next writes, and right behind a burst
that is 200 ms later (220 to 290 seen; 5 to 30 at other times, and with `option abortonclose`)."""


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_stop_frees_the_engine(client: Client, way: Way, state: Callable[[str], None]) -> None:
    """Within 100 ms the engine's own /slots has nothing left that works, also behind LiteLLM and nginx."""
    freed_ms = [await freed_after_stop(client, way.engine, ignore_eos=True) for _ in range(20 if NIGHTLY else 4)]
    state(f"{way.name}: /slots free after stop() in {', '.join(f'{each:.0f}' for each in freed_ms)} ms")
    assert max(freed_ms) < FREED_MS.get(way.name, 100)


async def freed_after_stop(client: Client, engine: Engine, **parameters: object) -> float:
    """Stops an answer that has begun; ms until no slot works."""
    async with client.stream(STORY, model=MODEL, max_tokens=900, **parameters) as stream:
        async for event in stream:
            if isinstance(event, Text):
                break
        assert engine.busy == 1
        start = time.perf_counter()
        stream.stop()
        reading = asyncio.ensure_future(anext(stream, None))
        await asyncio.to_thread(engine.until_free, 5)
        freed_ms = (time.perf_counter() - start) * 1e3
        await reading
    assert stream.reply.finish_reason == "stopped"
    assert stream.reply.text
    return freed_ms


async def test_an_answer_keeps_to_a_json_schema(client: Client) -> None:
    """The engine's grammar holds the model to it."""
    schema = {
        "type": "object",
        "properties": {"sky": {"enum": ["blue", "grey"]}, "degrees": {"type": "integer", "minimum": 0, "maximum": 40}},
        "required": ["sky", "degrees"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema, "strict": True}}
    reply = await answer(client, "What is the weather?", max_tokens=100, response_format=wanted)
    found = json.loads(reply.text)
    assert set(found) == {"sky", "degrees"}
    assert found["sky"] in ("blue", "grey")
    assert 0 <= found["degrees"] <= 40
    assert reply.finish_reason == "stop"


async def test_a_tool_that_is_required_is_called_and_its_result_goes_back(client: Client) -> None:
    """Two requests: the call, forced by the engine's grammar, and the answer to what it returned."""
    asked: list[str] = []

    def get_weather(city: Literal["Paris", "Rome"]) -> str:
        """Says what the weather is."""
        asked.append(city)
        return f"blue over {city}"

    run = hs.run_tools(
        client,
        "Call it, five!",  # see chatml_tools.jinja
        tools=[get_weather],
        consent="all",
        model=MODEL,
        tool_choice="required",
        temperature=0,
        max_tokens=80,
    )
    reply = await run
    assert len(asked) == 1
    assert asked[0] in ("Paris", "Rome")
    assert len(run.replies) == 2
    assert run.replies[0].finish_reason == "tool_calls"
    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert reply.text


async def test_a_prompt_that_is_too_long_is_one_clear_sentence(client: Client) -> None:
    """It says what the prompt comes to and what fits, also where a gateway has wrapped the engine's words."""
    with pytest.raises(PromptTooLong, match=f"it comes to 3,0.. tokens and {CONTEXT // SLOTS:,} fit; ") as refused:
        await answer(client, "word " * 3000)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", BUFFERING)
async def test_a_proxy_that_buffers_is_named_with_the_line_that_mends_it(
    name: str, ways: dict[str, Way], state: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the view, in the file and in the terminal."""
    async with ways[name].client() as client:
        lane = Lane(
            client.stream(STORY, model=MODEL, max_tokens=200, ignore_eos=True), label=MODEL, provider="llama.cpp"
        )
        await print_lanes([lane])
    timing = lane.reply.timing
    assert timing.burst is not None
    said = f"arrived in bursts of about {timing.burst} events: a proxy may be buffering (nginx: proxy_buffering off;"
    assert said in lane.status()["figures"][-1]
    assert said in bundle([lane])[0]["text/plain"]
    assert said in capsys.readouterr().out
    gap = sorted(timing.gaps_ms)[len(timing.gaps_ms) // 2]
    state(f"{name}: bursts of {timing.burst} events every {gap:.0f} ms, TTFT {timing.ttft_ms:.0f} ms")


@pytest.mark.parametrize("name", MENDED)
async def test_what_passes_each_event_on_is_not_accused(
    name: str, ways: dict[str, Way], state: Callable[[str], None]
) -> None:
    """Nor are the proxies that were mended with the lines that we name.

    One nginx before the engine passes everything on although it buffers: the engine answers in chunks.
    """
    async with ways[name].client() as client:
        timing = (await answer(client, max_tokens=200, ignore_eos=True)).timing
    assert timing.burst is None
    assert timing.events_per_read is not None
    state(f"{name}: {timing.events_per_read:.2f} events a read, TTFT {timing.ttft_ms:.0f} ms")
