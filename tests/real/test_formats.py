"""The three formats as a real engine speaks them, directly and through LiteLLM, which makes chat completions of them.

What this engine does differently from the formats' makers is said where it is looked at. `test_ways` has the same for
chat completions through every gateway.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.errors import PromptTooLong

from .conftest import Way
from .programs import CONTEXT, NIGHTLY, SLOTS
from .test_ways import answer, freed_after_stop

pytestmark = pytest.mark.real

WIRES = ["chat", "messages", "responses"]
ROUTES = ["direct", "litellm"]


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ROUTES)
def route(ways: dict[str, Way], request: pytest.FixtureRequest) -> Way:
    found = ways[request.param]
    found.engine.until_free()
    return found


@pytest.fixture
async def speaking(route: Way, wire: str) -> AsyncIterator[Client]:
    """A client that speaks this format, on this way to the engine."""
    async with route.client(wire=wire) as client:
        yield client


async def test_an_answer_has_the_engine_s_own_figures(
    speaking: Client, route: Way, wire: str, state: Callable[[str], None]
) -> None:
    """Tokens are those that the engine's log says, the prompt's cached ones apart; TTFT is its time for the prompt."""
    since = len(route.engine.log.read_text("utf-8", "replace"))
    reply = await answer(speaking, max_tokens=40, temperature=0)
    route.engine.until_free()
    theirs = route.engine.timings(since)[-1]
    assert reply.text.strip()
    assert reply.wire == wire
    assert reply.usage.exact
    assert reply.usage.completion_tokens == theirs.predicted_n
    if route.name == "direct":
        assert (reply.usage.prompt_tokens or 0) - (reply.usage.cached_tokens or 0) == theirs.prompt_n
    assert sum(reply.timing.events) >= 0.7 * theirs.predicted_n
    later = (reply.timing.ttft_ms or 0) - theirs.prompt_ms
    state(
        f"{route.name}, {wire}: TTFT − prompt_ms {later:.1f} ms, {sum(reply.timing.events)} events of "
        f"{theirs.predicted_n} tokens, usage {reply.usage.prompt_tokens} + {reply.usage.completion_tokens} "
        f"(cached {reply.usage.cached_tokens})"
    )
    assert later > 0


@pytest.mark.parametrize("wire", ["chat", "responses"])
async def test_the_engine_s_timings_are_kept(smollm: Any, wire: str) -> None:
    """`timings` of the last event are the reply's; Messages have none."""
    smollm.until_free()
    since = len(smollm.log.read_text("utf-8", "replace"))
    async with Client("llama.cpp", base_url=smollm.url, wire=wire) as client:
        said = (await answer(client, max_tokens=20, temperature=0)).timings
    smollm.until_free()
    logged = smollm.timings(since)[-1]
    assert said["predicted_n"] == logged.predicted_n
    assert said["prompt_ms"] == pytest.approx(logged.prompt_ms, abs=0.02)
    assert said["predicted_ms"] == pytest.approx(logged.predicted_ms, abs=0.02)


CUT = {
    ("direct", "chat"): "length",
    ("direct", "messages"): "max_tokens",
    ("direct", "responses"): "length",  # the engine says `completed`: ours, by the tokens
    ("litellm", "chat"): "length",
    ("litellm", "messages"): "max_tokens",
    ("litellm", "responses"): "max_output_tokens",
}


async def test_an_answer_that_is_cut_says_so(speaking: Client, route: Way, wire: str) -> None:
    """Five tokens and no more."""
    reply = await answer(speaking, max_tokens=5, temperature=0)
    assert reply.usage.completion_tokens == 5
    assert reply.finish_reason == CUT[route.name, wire]


async def test_a_tool_that_is_required_is_called_and_its_result_goes_back(speaking: Client, wire: str) -> None:
    """Two requests: the call, forced by the engine's grammar, and the answer to what it returned."""
    asked: list[str] = []

    def get_weather(city: Literal["Paris", "Rome"]) -> str:
        """Says what the weather is."""
        asked.append(city)
        return f"blue over {city}"

    run = hs.run_tools(
        speaking,
        "Call it, five!",  # see chatml_tools.jinja
        tools=[get_weather],
        consent="all",
        model="smollm2-135m",
        tool_choice="required",
        temperature=0,
        max_tokens=80,
    )
    reply = await run
    assert len(asked) == 1
    assert asked[0] in ("Paris", "Rome")
    assert len(run.replies) == 2
    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert {each.wire for each in run.replies} == {wire}
    assert reply.text


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_stop_frees_the_engine(speaking: Client, route: Way, wire: str, state: Callable[[str], None]) -> None:
    """Within 100 ms the engine's own /slots has nothing left that works."""
    fields = {"ignore_eos": True} if wire == "chat" else {}  # the engine's own field, which not every way passes on
    freed_ms = [await freed_after_stop(speaking, route.engine, **fields) for _ in range(20 if NIGHTLY else 3)]
    state(f"{route.name}, {wire}: /slots free after stop() in {', '.join(f'{each:.0f}' for each in freed_ms)} ms")
    assert max(freed_ms) < 100


async def test_a_prompt_that_is_too_long_is_one_clear_sentence(speaking: Client) -> None:
    """It says what the prompt comes to and what fits."""
    with pytest.raises(PromptTooLong, match=f"it comes to 3,0.. tokens and {CONTEXT // SLOTS:,} fit; ") as refused:
        await answer(speaking, "word " * 3000)
    assert len(str(refused.value).splitlines()) == 1


SCHEMA = {
    "type": "object",
    "properties": {"sky": {"enum": ["blue", "grey"]}, "degrees": {"type": "integer", "minimum": 0, "maximum": 40}},
    "required": ["sky", "degrees"],
    "additionalProperties": False,
}
WANTED = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}


async def test_an_answer_keeps_to_a_json_schema(ways: dict[str, Way], wire: str) -> None:
    """Where the engine hears of it: it reads a schema in chat completions alone, and LiteLLM translates."""
    async with ways["direct" if wire == "chat" else "litellm"].client(wire=wire) as client:
        reply = await answer(client, "What is the weather?", max_tokens=100, response_format=WANTED)
    found = json.loads(reply.text)
    assert set(found) == {"sky", "degrees"}
    assert found["sky"] in ("blue", "grey")
    assert 0 <= found["degrees"] <= 40


async def test_the_engine_s_own_field_holds_responses_to_a_schema(smollm: Any) -> None:
    """`text.format` is not read there; `json_schema`, a field that only this engine knows, is."""
    async with Client("llama.cpp", base_url=smollm.url, wire="responses") as client:
        reply = await answer(client, "What is the weather?", max_tokens=100, parameters={"json_schema": SCHEMA})
    assert set(json.loads(reply.text)) == {"sky", "degrees"}
