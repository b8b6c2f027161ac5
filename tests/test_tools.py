"""Functions that a model may call: their schema, rounds, consent, errors, stop and time-outs."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from scripted import Says, Service, scripted

import holystream_nb as hs
from holystream_nb import Client, Reply, Simulator
from holystream_nb.errors import DeadlineExceeded, SetupError, Stalled, StreamInterrupted
from holystream_nb.events import Finish, Text
from holystream_nb.tools.call import Answer, Call, perform
from holystream_nb.tools.results import RESULT_BYTES, result_of
from holystream_nb.tools.run import ToolRun


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with scripted() as running:
        yield running


@pytest.fixture(params=["sse", "ws"])
async def client(service: Service, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Over either transport, which no test with it should notice."""
    async with Client("ollama", base_url=service.url, transport=request.param) as client:
        yield client


@hs.tool
def get_weather(city: str, days: int = 3) -> dict[str, Any]:
    """Says what the weather
    will be.

    Args:
        city: the name of
            the city
        days (int): how far to look
    """
    return {"city": city, "days": days, "sky": "blue"}


async def get_time(zone: str) -> str:
    """Says what time it is."""
    return f"12:00 in {zone}"


def wants(*calls: tuple[str, str], **more: Any) -> Says:
    return Says(calls=calls, **more)


PARIS = ("get_weather", '{"city": "Paris"}')
DONE = Says("It is fine.")


def run(client: Client, *tools: Callable[..., Any], **more: Any) -> ToolRun:
    return hs.run_tools(client, "Hello", tools=tools or [get_weather], model="scripted", **{"consent": "all", **more})


def results(service: Service) -> list[str]:
    """What went back to the model last."""
    return [message["content"] for message in service.bodies[-1]["messages"] if message["role"] == "tool"]


# The schema


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(TypedDict):
    city: str


@dataclass
class Point:
    x: float
    y: float = 0.0


NUMBER = {"type": "integer"}
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, TEXT),
        (int, NUMBER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list[int], {"type": "array", "items": NUMBER}),
        (dict[str, int], {"type": "object", "additionalProperties": NUMBER}),
        (int | None, {"anyOf": [NUMBER, {"type": "null"}]}),
        (Literal["a", "b"], {**TEXT, "enum": ["a", "b"]}),
        (
            Annotated[int, msgspec.Meta(ge=1, description="how many")],
            {**NUMBER, "minimum": 1, "description": "how many"},
        ),
        (Any, {}),
        (Unit, {"$ref": "#/$defs/Unit"}),
        (Place, {"$ref": "#/$defs/Place"}),
        (Point, {"$ref": "#/$defs/Point"}),
    ],
)
def test_types_become_json_schema(hint: Any, expected: dict[str, Any]) -> None:
    """Each kind of type has its own form; what is named stands under $defs."""

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = hint
    parameters = hs.tool(function).parameters
    assert parameters["properties"] == {"value": expected}
    assert parameters["required"] == ["value"]
    assert parameters["additionalProperties"] is False
    if "$ref" in expected:
        assert expected["$ref"].rpartition("/")[2] in parameters["$defs"]


def test_the_docstring_describes_the_tool_and_its_parameters() -> None:
    """First paragraph, lines below Args:, defaults; and the function is called as before."""
    assert get_weather.specification == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Says what the weather will be.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "the name of the city"},
                    "days": {"type": "integer", "description": "how far to look", "default": 3},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    assert get_weather("Oslo", days=1) == {"city": "Oslo", "days": 1, "sky": "blue"}
    assert get_weather.__doc__ is not None


async def test_other_ways_to_describe_and_to_call() -> None:
    """Meta wins over the docstring, our house's and Sphinx's lines are read, async stays async."""

    @hs.tool(timeout=5)
    async def add(a: Annotated[int, msgspec.Meta(description="from Meta")], b: int, c: list[int] = [1]) -> int:  # noqa: B006
        """Adds. Here: not a parameter.

        a: from the docstring
        b: the second
        :param c: the others
        """
        return a + b + sum(c)

    described = {name: entry.get("description") for name, entry in add.parameters["properties"].items()}
    assert described == {"a": "from Meta", "b": "the second", "c": "the others"}
    assert add.parameters["properties"]["c"]["default"] == [1]
    assert (add.timeout, await add(1, 2)) == (5, 4)


def _unnamed(*values: int) -> None: ...
def _keywords(**values: int) -> None: ...
def _positional(value: int, /) -> None: ...
def _untyped(value) -> None: ...  # type: ignore[no-untyped-def]
def _foreign(value: threading.Lock) -> None: ...  # type: ignore[valid-type]
def _lost(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _yields(value: int) -> Iterator[int]:
    yield value


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_unnamed, r"\*values"),
        (_keywords, r"\*\*values"),
        (_positional, "value, /"),
        (_untyped, "value has no type"),
        (_foreign, "JSON has no form of value's type"),
        (_lost, "Nowhere"),
        (_yields, "it yields"),
        (lambda: None, "name"),
        (functools.partial(_unnamed), r"\*values"),
        (Point, "function"),
        ({"type": "function"}, "function"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_in_a_sentence(function: Any, said: str) -> None:
    """At decoration, before anything is sent."""
    with pytest.raises(SetupError, match=said):
        hs.tool(function)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"city": "Rome"}', {"city": "Rome"}),
        (' {"city": "Rome", "days": 1} ', {"city": "Rome", "days": 1}),
        ("", "city: Field required"),
        ('{"city": "Ro', "truncated"),
        ("[]", "Expected a JSON object"),
        ('{"city": []}', "city: Input should be a valid string"),
        ('{"city": "Rome", "days": "a few"}', "days: Input should be a valid integer"),
        ('{"city": "Rome", "days": 1.5}', "days: Input should be a valid integer"),
    ],
)
def test_arguments_are_checked(text: str, expected: Any) -> None:
    """What the model left out is left to the function; what is wrong is named."""
    if isinstance(expected, dict):
        assert get_weather.arguments(text) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            get_weather.arguments(text)


# Rounds


async def test_results_go_back_until_the_model_ends(client: Client, service: Service) -> None:
    """Two rounds of calls: every request carries all before it; the reply sums them up; the calls are kept."""
    service.script(Says("Let me look.", [PARIS]), wants(("get_time", '{"zone": "CET"}')), DONE)
    tools = run(client, get_weather, get_time)
    reply = await tools
    assert reply is tools.reply
    assert (reply.text, reply.finish_reason, reply.tool_calls) == ("Let me look.\n\nIt is fine.", "stop", ())
    assert [len(body["messages"]) for body in service.bodies] == [1, 3, 5]
    assert [message["role"] for message in tools.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]
    assert tools.messages[1]["content"] == "Let me look."
    assert tools.messages[1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert tools.messages[2] == {
        "role": "tool",
        "tool_call_id": "call_1_0",
        "content": '{"city":"Paris","days":3,"sky":"blue"}',
    }
    assert tools.messages[-1] == {"role": "assistant", "content": "It is fine."}
    shown = [(call.name, call.state, call.result, call.round, call.at) for call in tools.calls]
    assert shown == [
        ("get_weather", "done", '{"city":"Paris","days":3,"sky":"blue"}', 1, 12),
        ("get_time", "done", "12:00 in CET", 2, 12),
    ]
    assert all(call.seconds is not None and call.seconds < 5 for call in tools.calls)
    assert {tool["function"]["name"] for tool in service.bodies[2]["tools"]} == {"get_weather", "get_time"}


async def test_usage_and_timing_are_of_all_requests(client: Client, service: Service) -> None:
    """Tokens are summed, TTFT is the first request's, E2E runs to the last output, and no false speed is given."""
    service.script(wants(("pause", "{}")), DONE)

    async def pause() -> None:
        await asyncio.sleep(0.05)

    tools = run(client, pause)
    reply = await tools
    first, last = tools.replies[0], tools.replies[-1]
    assert len(tools.replies) == (2 if client.transport == "sse" else 1)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.exact) == (20, 10, True)
    assert reply.timing.ttft_ms == first.timing.ttft_ms
    assert reply.timing.e2e_s == pytest.approx((last.timing.reads[-1] - first.timing.sent) / 1e9)
    assert reply.timing.e2e_s > 0.05
    assert reply.timing.decode_tokens_per_s is None
    assert (tools.progress.ttft_ms, tools.progress.events) == (first.timing.ttft_ms, len(first.tool_calls) * 2 + 1)
    assert tools.progress.tokens_per_s is None
    stands = tools.progress
    await asyncio.sleep(0.02)
    assert tools.progress == stands
    assert reply.cost.note == "local, no price"


async def test_events_and_calls_come_as_they_change(client: Client, service: Service) -> None:
    """`async for` gives the pieces of arguments, then each state of a call, and all text of the reply."""
    service.script(Says("One.", [PARIS]), Says("Two."))
    tools = run(client)
    seen: list[Any] = []
    async with tools:
        async for event in tools:
            if type(event).__name__ == "ToolCallPart":
                seen.append((tools.calls[0].state, tools.calls[0].arguments))
            elif isinstance(event, Call):
                seen.append(event.state)
            elif isinstance(event, Text):
                seen.append(event.text)
    assert seen[:3] == ["One.", ("writing", ""), ("writing", '{"city": ')]
    assert seen[-3:] == ["running", "done", "\n\nTwo."]
    assert (
        "".join(text for text in seen if isinstance(text, str) and text not in ("running", "done")) == tools.reply.text
    )


async def test_calls_of_one_answer_run_side_by_side(client: Client, service: Service) -> None:
    """Sync ones in threads and async ones meet at one barrier; results keep the model's order."""
    service.script(wants(("meet", '{"who": 1}'), ("meet_later", '{"who": 2}')), DONE)
    barrier = threading.Barrier(2, timeout=10)

    def meet(who: int) -> int:
        barrier.wait()
        return who

    async def meet_later(who: int) -> int:
        await asyncio.to_thread(barrier.wait)
        return who

    await run(client, meet, meet_later)
    assert results(service) == ["1", "2"]


@pytest.mark.slow
async def test_rounds_are_limited(client: Client, service: Service) -> None:
    """The calls of the last round are not run, and say so; nothing is raised."""
    service.script(wants(PARIS))
    tools = run(client, max_rounds=3)
    reply = await tools
    assert (len(service.bodies), reply.finish_reason) == (3, "tool_calls")
    assert [call.state for call in tools.calls] == ["done", "done", "refused"]
    assert "limit of 3 rounds" in tools.calls[-1].error
    assert [message["role"] for message in tools.messages][-1] == "tool"


async def test_a_call_that_broke_off_is_not_run(client: Client, service: Service) -> None:
    """Arguments cut at max_tokens may say something else than was meant."""
    service.script(wants(PARIS, finish="length"))
    tools = run(client)
    reply = await tools
    assert (reply.finish_reason, tools.calls[0].state) == ("length", "refused")
    assert len(service.bodies) == 1


@pytest.mark.slow
async def test_a_forced_call_is_forced_once(client: Client, service: Service) -> None:
    """`tool_choice: required` in every round would never end."""
    service.script(wants(PARIS), DONE)
    await run(client, tool_choice="required", temperature=0)
    assert [body.get("tool_choice") for body in service.bodies] == ["required", None]
    assert [body["temperature"] for body in service.bodies] == [0, 0]


async def test_ids_that_are_missing_or_doubled_are_made_anew(client: Client, service: Service) -> None:
    """Every result names its own call."""
    service.script(wants(PARIS, PARIS, PARIS, ids=["", "same", "same"]), DONE)
    tools = run(client)
    await tools
    ids = [call["id"] for call in tools.messages[1]["tool_calls"]]
    assert len(set(ids)) == 3
    assert "" not in ids
    assert ids == [message["tool_call_id"] for message in tools.messages[2:5]]


async def test_it_runs_on_the_simulator(simulator: Simulator) -> None:
    """The simulator calls the tools that a prompt names, and answers with what they returned."""
    async with Client("simulator", base_url=simulator.url) as client:
        tools = hs.run_tools(
            client, "Ask get_weather about Paris", tools=[get_weather, get_time], model="gpt-4.1", consent="all"
        )
        reply = await tools
    assert [(call.name, json.loads(call.arguments)) for call in tools.calls] == [("get_weather", {"city": "Paris"})]
    assert '"sky":"blue"' in reply.text
    assert reply.cost.usd == sum(each.cost.usd for each in tools.replies if each.cost.usd is not None)


SIMULATED = "Ask get_weather about Paris and get_time, then get_weather again"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4.1#rounds=3", "gpt-4.1#no-socket", "gpt-4.1#tools=whole"])
async def test_a_socket_gives_what_requests_give(simulator: Simulator, model: str) -> None:
    """Text, calls, rounds and the exchange are the same; on a socket all rounds are one turn with one prompt."""
    seen: list[Any] = []
    prompt_tokens: list[int] = []
    async with Client("simulator", base_url=simulator.url) as client:
        for transport in ("sse", "ws", "auto"):
            tools = hs.run_tools(
                client, SIMULATED, tools=[get_weather, get_time], model=model, consent="all", transport=transport
            )
            reply = await tools
            has_socket = transport == "ws" or (transport == "auto" and "no-socket" not in model)
            assert reply.transport == ("ws" if has_socket else "sse")
            assert len(tools.replies) == (1 if has_socket else tools.calls[-1].round + 1)
            assert reply.usage.exact
            if has_socket:
                prompt_tokens.append(reply.usage.prompt_tokens or 0)
            calls = [(call.name, call.arguments, call.state, call.result, call.round, call.at) for call in tools.calls]
            said = [(message["role"], message["content"]) for message in tools.messages]
            tokens = reply.usage.completion_tokens
            seen.append((reply.text, reply.finish_reason, reply.tool_calls, tokens, calls, said))
    assert seen[0] == seen[1] == seen[2]
    assert [call[4] for call in seen[0][4]][:3] == [1, 1, 2]
    assert len(set(prompt_tokens)) == 1


async def test_reasoning_of_rounds_is_joined_alike(simulator: Simulator) -> None:
    """Where a model thinks again after results, over either transport."""
    seen: list[str] = []
    async with Client("simulator", base_url=simulator.url) as client:
        for transport in ("sse", "ws"):
            tools = hs.run_tools(
                client, SIMULATED, tools=[get_weather], model="sim-reasoner", consent="all", transport=transport
            )
            seen.append((await tools).reasoning)
    assert seen[0] == seen[1]
    assert "\n\n" in seen[0]


async def test_the_example_of_run_tools_runs(simulator: Simulator) -> None:
    """As it stands in the docstring."""
    code = (hs.run_tools.__doc__ or "").partition("\n\n")[2].partition("    Nothing is sent")[0]
    names: dict[str, Any] = {"hs": hs, "simulator": simulator}
    exec("async def example():\n" + textwrap.indent(textwrap.dedent(code), "    ") + "\n    return reply", names)
    assert "sunny in Paris" in (await names["example"]()).text


# On a socket


@pytest.fixture
async def socket(service: Service) -> AsyncIterator[Client]:
    async with Client("ollama", base_url=service.url, transport="ws", inactivity=0.3) as client:
        yield client


async def test_a_call_runs_while_the_next_is_written(socket: Client, service: Service) -> None:
    """As soon as its own arguments are whole."""
    service.script(wants(PARIS, ("find", "{}"), hold=True), DONE)

    @hs.tool
    async def get_weather(city: str) -> str:
        while len(tools.calls) < 2:  # noqa: ASYNC110  # what comes meanwhile is the point
            await asyncio.sleep(0.01)
        seen.append(tools.calls[1].state)
        service.released.set()
        return city

    def find() -> str:
        return "found"

    seen: list[str] = []
    tools = run(socket, get_weather, find)
    async with asyncio.timeout(10):
        reply = await tools
    assert seen == ["writing"]
    assert ([call.state for call in tools.calls], results(service)) == (["done", "done"], ["Paris", "found"])
    assert reply.text == "It is fine."


@pytest.mark.slow
async def test_calls_that_come_one_by_one_are_one_round(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results wait until the model is silent, so that quick tools do not make a round of each call."""
    monkeypatch.setattr("holystream_nb.tools.run._SILENCE_S", 0.7)
    async with Client("simulator", base_url=simulator.url) as client:
        tools = hs.run_tools(
            client,
            "Ask get_weather about Paris and get_time",
            tools=[get_weather, get_time],
            model="gpt-4.1#rate=100",
            consent="all",
            transport="ws",
        )
        await tools
    assert [call.round for call in tools.calls] == [1, 1]


@pytest.mark.slow
async def test_a_slow_tool_is_no_silence_but_a_silent_service_is(socket: Client, service: Service) -> None:
    """Inactivity is not counted while results are owed, and begins when they have gone."""
    service.script(wants(("wait", "{}")), Says(hold=True))

    async def wait() -> None:
        await asyncio.sleep(0.7)

    tools = run(socket, wait)
    async with asyncio.timeout(10):
        with pytest.raises(Stalled):
            await tools
    service.released.set()
    assert (tools.calls[0].state, len(service.bodies), service.turns) == ("done", 2, 1)
    assert [message["role"] for message in tools.messages] == ["user", "assistant", "tool"]


async def test_a_turn_that_ends_without_its_results_is_continued_by_a_request(socket: Client, service: Service) -> None:
    """Where a service does not wait for them, as over server-sent events."""
    service.script(wants(PARIS, waits=False), DONE)
    tools = run(socket)
    assert (await tools).text == "It is fine."
    assert (service.turns, len(tools.replies), len(results(service))) == (2, 2, 1)


async def test_results_that_came_too_late_go_again_with_the_next_request(socket: Client, service: Service) -> None:
    """The turn had them, and ended with calls all the same."""
    service.script(wants(PARIS, hold=True, waits=False), DONE)
    tools = run(socket)

    async def release() -> None:
        while len(tools.messages) < 3:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0.01)
        service.released.set()

    async with asyncio.timeout(10):
        reply, _ = await asyncio.gather(_reply(tools), release())
    assert (reply.text, service.turns, len(results(service))) == ("It is fine.", 2, 1)


async def _reply(tools: ToolRun) -> Reply:
    return await tools


async def test_a_socket_that_breaks_is_an_error_and_no_repeat(socket: Client, service: Service) -> None:
    """What had arrived is kept, and the calls that ran are stopped."""
    service.script(Says("One.", [("wait", "{}")], breaks=True))

    async def wait() -> None:
        await asyncio.sleep(30)

    tools = run(socket, wait)
    async with asyncio.timeout(10):
        with pytest.raises(StreamInterrupted):
            await tools
    assert (tools.reply.text, tools.reply.finish_reason) == ("One.", "interrupted")
    assert isinstance(tools.reply.error, StreamInterrupted)
    assert (tools.calls[0].state, len(service.bodies)) == ("stopped", 1)
    assert tools.messages[-1] == {"role": "assistant", "content": "One."}


async def test_the_simulator_cuts_a_socket_in_a_later_round(simulator: Simulator) -> None:
    """The rounds before it stay in the exchange."""
    async with Client("simulator", base_url=simulator.url, transport="ws") as client:
        tools = hs.run_tools(client, "Ask get_time", tools=[get_time], model="gpt-4.1#cut=12,after=1", consent="all")
        with pytest.raises(StreamInterrupted):
            await tools
    assert [message["role"] for message in tools.messages] == ["user", "assistant", "tool", "assistant"]
    assert tools.messages[-1]["content"] == tools.reply.text != ""


@pytest.mark.slow
async def test_calls_that_nobody_answers_end_an_answer_with_exact_tokens(simulator: Simulator) -> None:
    """A stream on a socket ends by itself a second after the last call, as over server-sent events."""
    async with Client("simulator", base_url=simulator.url) as client:
        replies = []
        for transport in ("sse", "ws"):
            tools = [hs.tool(get_time).specification]
            async with client.stream("Ask get_time", model="gpt-4.1", transport=transport, tools=tools) as stream:
                async for _ in stream:
                    pass
            replies.append(stream.reply)
    sse, ws = replies
    assert (ws.finish_reason, ws.usage.exact) == (sse.finish_reason, True) == ("tool_calls", True)
    assert ws.usage.completion_tokens == sse.usage.completion_tokens


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_rollout_can_be_asked(simulator: Simulator, transport: str) -> None:
    """Its streams take results on a socket as a client's do."""
    async with Client("simulator", base_url=simulator.url, transport=transport) as client:
        rollout = hs.Rollout([(client, 100), (client, 0)])
        tools = hs.run_tools(rollout, "Ask get_time", tools=[get_time], model="gpt-4.1", consent="all")
        reply = await tools
    assert (reply.transport, len(tools.replies)) == (transport, 2 if transport == "sse" else 1)
    assert "12:00 in" in reply.text


async def test_a_rollout_keeps_a_run_on_one_side_and_its_model() -> None:
    """Every round goes where the first one went, by the caller's name of the model or by the route's own."""
    seen = set()
    with scripted() as old, scripted() as new:
        async with Client("ollama", base_url=old.url) as one, Client("ollama", base_url=new.url) as other:
            for seed in range(16):
                for side in (old, new):
                    side.script(wants(PARIS), wants(PARIS), DONE)
                rollout = hs.Rollout([(one, 50), (other, 50, "renamed")], seed=seed)
                await hs.run_tools(rollout, "Hello", tools=[get_weather], model="scripted", consent="all")
                asked = ([body["model"] for body in old.bodies], [body["model"] for body in new.bodies])
                assert asked in ((["scripted"] * 3, []), ([], ["renamed"] * 3))
                seen.add(len(asked[0]))
    assert seen == {0, 3}


async def test_text_of_rounds_is_joined_by_one_blank_line(client: Client, service: Service) -> None:
    """Whatever the service puts there itself."""
    service.script(Says("One.\n", [PARIS]), Says("\nTwo.", [PARIS]), Says("\n\nThree."))
    tools = run(client)
    reply = await tools
    assert reply.text == "One.\n\nTwo.\n\nThree."
    assert [message["content"] for message in tools.messages if message["role"] == "assistant"] == [
        "One.\n",
        "Two.",
        "Three.",
    ]


# What goes wrong


def fails() -> None:
    raise RuntimeError("no luck\nwith https://ann:secret-word@example.org sk-abcdef0123456789 and hs-env-0123456789")


def fails_with_login() -> None:
    raise ConnectionError("https://ann:secret-word@example.org refused sk-abcdef0123456789 and env-value-0123")


def returns_object() -> object:
    return object()


class Odd(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises_odd() -> None:
    raise Odd


def leaves() -> None:
    raise SystemExit(3)


def finds_none() -> object:
    return next(iter([]))


async def cancels_itself() -> None:
    raise asyncio.CancelledError


@hs.tool(timeout=0.05)
async def never() -> None:
    await asyncio.sleep(30)


@hs.tool(timeout=0.05)
def sleeps() -> None:
    time.sleep(0.3)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("nothing", "{}"), "there is no tool 'nothing'; there are: get_weather, "),
        (("get_weather", '{"city'), "the arguments do not fit get_weather: Input data was truncated"),
        (("get_weather", '{"city": []}'), "the arguments do not fit get_weather: city: Input should be a valid str"),
        (("fails", "{}"), "RuntimeError: no luck"),
        (("fails_with_login", "{}"), "ConnectionError: https://…@example.org refused … and …"),
        (("returns_object", "{}"), "returned object, which JSON has no form of"),
        (("leaves", "{}"), "SystemExit: 3"),
        (("raises_odd", "{}"), "Odd"),
        (("finds_none", "{}"), "RuntimeError: finds_none raised StopIteration"),
        (("cancels_itself", "{}"), "was cancelled"),
        (("never", "{}"), "took longer than 0.05 s"),
        (("sleeps", "{}"), "took longer than 0.05 s"),
    ],
)
async def test_errors_go_back_to_the_model_in_one_short_line(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch, call: tuple[str, str], error: str
) -> None:
    """Unknown tools, bad arguments, exceptions, time-outs: without traceback or secrets, and the run goes on."""
    monkeypatch.setenv("SOME_SERVICE_TOKEN", "env-value-0123")
    service.script(wants(call), DONE)
    functions = (fails, fails_with_login, returns_object, leaves, raises_odd, finds_none, cancels_itself, never, sleeps)
    tools = run(client, get_weather, *functions)
    reply = await tools
    assert reply.text == "It is fine."
    (only,) = tools.calls
    assert only.state == "failed"
    assert error in only.error
    assert results(service) == [f"Error: {only.error}"]
    assert "\n" not in only.error
    assert len(only.error) < 400
    sent = tools.messages[1]["tool_calls"][0]["function"]["arguments"]
    assert isinstance(json.loads(sent), dict), "services refuse a request whose arguments are not JSON"


async def test_results_are_text_or_json_within_bounds(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text as it is, values as JSON, long ones cut at 64 kB with a word about it, secrets and half characters gone."""
    monkeypatch.setenv("SOME_API_KEY", "env-value-0123")

    def long() -> str:
        return "é" * RESULT_BYTES

    def odd() -> str:
        return "half \ud83d, env-value-0123"

    def nothing() -> None:
        return None

    def point() -> Point:
        return Point(1.5)

    service.script(wants(*[(name, "{}") for name in ("long", "odd", "nothing", "point")]), DONE)
    await run(client, long, odd, nothing, point)
    first, second, third, fourth = results(service)
    assert first.encode()[:RESULT_BYTES] == ("é" * (RESULT_BYTES // 2)).encode()
    assert first.endswith("\n[cut here: 65,536 of 131,072 bytes]")
    assert second == "half ?, …"
    assert (third, fourth) == ("null", '{"x":1.5,"y":0.0}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOME_API_KEY", 'ab"cd\\efghij'),
        ("SOME_API_KEY", "schlüssel-wort"),
        ("GITHUB_PAT", "a-pat-0123"),
        ("DB_PASS", "a-pass-0123"),
        ("CLOUD_CREDENTIALS", "some-credentials"),
    ],
)
@pytest.mark.parametrize("form", [lambda value: {"k": [value]}, lambda value: value, json.dumps])
def test_secrets_of_the_environment_do_not_go_back(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, form: Callable[[str], Any]
) -> None:
    """Neither as they are nor as JSON writes them."""
    monkeypatch.setenv(name, value)
    assert result_of("f", form(value)).text in ('{"k":["…"]}', "…", '"…"')


def test_logins_and_marked_keys_do_not_go_back_but_ids_do() -> None:
    """Also in JSON, where an address and a mail address stand side by side."""
    commit = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233"
    value = ["postgres://ann:pw@h/db", "http://a.example", "me@b.example", "sk-abcdef0123456789", commit]
    assert result_of("f", value).text == f'["postgres://…@h/db","http://a.example","me@b.example","…","{commit}"]'


async def test_functions_that_hang_do_not_keep_others_from_running() -> None:
    """However many: neither other tools nor what else the loop does in threads, name look-ups for instance."""
    released = threading.Event()

    @hs.tool(timeout=0.05)
    def hangs() -> None:
        released.wait(30)

    @hs.tool(timeout=5)
    def quick() -> str:
        return "here"

    try:
        ends = await asyncio.gather(*(perform(hangs, {}) for _ in range(40)), return_exceptions=True)
        assert {str(end) for end in ends} == {"hangs took longer than 0.05 s."}
        assert (await perform(quick, {})).text == "here"
        async with asyncio.timeout(5):
            await asyncio.to_thread(int)
    finally:
        released.set()


@pytest.mark.slow
async def test_calls_without_end_are_cut_off(client: Client, service: Service) -> None:
    """64 run; a few more are told that they did not, and of the rest nothing is kept."""
    service.script(wants(*[PARIS] * 300), DONE)
    tools = run(client)
    await tools
    assert [call.state for call in tools.calls] == ["done"] * 64 + ["failed"] * 8
    assert len(results(service)) == 72
    assert tools.calls is tools.calls


async def test_a_request_that_fails_ends_the_run_and_keeps_what_came(simulator: Simulator) -> None:
    """The error is the stream's own, the reply has it, and the rounds before it stay."""
    async with Client("simulator", base_url=simulator.url, retries=0) as client:
        tools = hs.run_tools(client, "Use get_weather", tools=[get_weather], model="gpt-4.1#cut=3", consent="all")
        with pytest.raises(StreamInterrupted):
            await tools
    assert isinstance(tools.reply.error, StreamInterrupted)
    assert tools.reply.finish_reason == "interrupted"
    assert [call.state for call in tools.calls] == ["stopped"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": []}, "no tool"),
        ({"tools": [get_time, get_time]}, "Two tools are called get_time"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"consent": "get_wether"}, "get_wether cannot be allowed"),
        ({"consent": ["get_time", "rm"]}, "rm cannot be allowed"),
        ({"input": "Hello"}, "input cannot be"),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_once(client: Client, more: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    arguments: dict[str, Any] = {"tools": [get_time], "model": "scripted", **more}
    with pytest.raises(SetupError, match=said):
        hs.run_tools(client, "Hello", **arguments)


# Consent


async def test_nothing_runs_without_consent(client: Client, service: Service) -> None:
    """By default, and where nobody can be asked: refused, with what to do about it; the model is told."""
    service.script(wants(PARIS, ("get_time", '{"zone": "CET"}')), DONE)
    tools = run(client, get_weather, get_time, consent=["get_time"])
    await tools
    assert [call.state for call in tools.calls] == ["refused", "done"]
    assert "consent=['get_weather']" in tools.calls[0].error
    assert results(service)[0].startswith("Error: get_weather was not allowed")
    service.script(wants(PARIS), DONE)
    tools = hs.run_tools(client, "Hello", tools=[get_weather], model="scripted")
    await tools
    assert tools.calls[0].state == "refused"


@pytest.mark.slow
async def test_a_run_whose_last_answer_has_come_is_whole_whoever_ends_it(client: Client, service: Service) -> None:
    """The rule of a single answer: a stop, a deadline or leaving early does not undo what the service has said."""
    for way in ("stop", "leave", "deadline"):
        service.script(wants(PARIS), DONE)
        tools = run(client, timeout=1.0 if way == "deadline" else None)
        async with tools:
            async for event in tools:
                if isinstance(event, Finish) and event.reason == "stop":
                    if way == "stop":
                        tools.stop()
                    if way == "deadline":
                        await asyncio.sleep(1.1)
                    if way == "leave":
                        break
        reply = tools.reply
        assert (way, reply.text, reply.finish_reason, reply.error) == (way, "It is fine.", "stop", None)


async def test_a_run_that_is_stopped_before_its_last_answer_is_not_whole(client: Client, service: Service) -> None:
    """A call that was asked for is no end, although its request has one."""
    service.script(wants(PARIS), DONE)
    waiting = asyncio.Event()

    async def never(call: Call) -> str:
        waiting.set()
        await asyncio.sleep(60)
        return "refuse"

    tools = run(client, consent="ask", ask=never)
    task = asyncio.ensure_future(tools._drained())
    await waiting.wait()
    tools.stop()
    assert (await task).finish_reason == "stopped"


@pytest.mark.slow
async def test_the_time_of_a_run_begins_with_its_iteration(client: Client, service: Service) -> None:
    """A run that is made early and awaited late has all of its time."""
    service.script(DONE)
    tools = run(client, timeout=0.4)
    await asyncio.sleep(0.5)
    assert (await tools).finish_reason == "stop"


@pytest.mark.parametrize(
    ("answers", "states"),
    [
        (["allow", "refuse", "allow"], ["done", "refused", "done"]),
        (["always"], ["done", "done", "done"]),
        (["refuse", "always"], ["refused", "done", "done"]),
        ([True, "yes", None], ["refused", "refused", "refused"]),
    ],
)
async def test_a_person_is_asked_for_each_call(
    client: Client, service: Service, answers: list[Any], states: list[str]
) -> None:
    """Allow is for one call, always for this tool in this run; anything else than these words is a refusal."""
    service.script(wants(PARIS), wants(PARIS), wants(PARIS), DONE)
    asked: list[Call] = []

    async def ask(call: Call) -> Answer:
        asked.append(call)
        answer: Answer = answers[len(asked) - 1]
        return answer

    tools = run(client, consent="ask", ask=ask)
    await tools
    assert [call.state for call in tools.calls] == states
    assert len(asked) == len(answers)
    assert all((call.state, call.arguments) == ("asking", '{"city": "Paris"}') for call in asked)


async def test_a_question_that_fails_is_no_consent(client: Client, service: Service) -> None:
    """An exception in the callback refuses the call."""
    service.script(wants(PARIS), DONE)

    async def ask(call: Call) -> Answer:
        raise KeyError("oops")

    tools = run(client, consent="ask", ask=ask)
    await tools
    assert tools.calls[0].state == "refused"
    assert "KeyError" in tools.calls[0].error


async def test_bad_calls_are_not_asked_for(client: Client, service: Service) -> None:
    """A person is asked only for what could run."""
    service.script(wants(("rm", "{}"), ("get_weather", "{}")), DONE)

    async def ask(call: Call) -> Answer:
        raise AssertionError(call)

    tools = run(client, consent="ask", ask=ask)
    await tools
    assert [call.state for call in tools.calls] == ["failed", "failed"]


# Stop


async def test_stop_ends_the_calls_that_run(client: Client, service: Service) -> None:
    """An async function is cancelled, a sync one left behind, a question dropped; no task stays, no request follows."""
    service.script(wants(("wait", "{}"), ("block", "{}"), PARIS))
    ended: list[str] = []
    going = threading.Event()
    free = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("cancelled")

    def block() -> None:
        going.set()
        free.wait(10)

    async def ask(call: Call) -> Answer:
        await asyncio.to_thread(going.wait, 10)
        threading.Timer(0.02, tools.stop).start()
        await asyncio.sleep(30)
        return "allow"

    tasks = asyncio.all_tasks()
    tools = run(client, wait, block, get_weather, consent=["wait", "block"], ask=ask)
    async with asyncio.timeout(10):
        reply = await tools
    free.set()
    assert [call.state for call in tools.calls] == ["stopped", "stopped", "stopped"]
    assert (reply.finish_reason, reply.error, ended) == ("stopped", None, ["cancelled"])
    assert len(service.bodies) == 1
    assert [message["role"] for message in tools.messages] == ["user"]
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks


async def test_stop_while_the_model_writes(client: Client, service: Service) -> None:
    """The request is closed, and a call that was being written is never run."""
    service.script(Says("One.", [PARIS], hold=True))
    tools = run(client)
    async with asyncio.timeout(10):
        async for _ in tools:
            if tools.calls and "Paris" in tools.calls[0].arguments:
                tools.stop()
    service.released.set()
    assert (tools.reply.finish_reason, tools.reply.text) == ("stopped", "One.")
    assert tools.calls[0].state == "stopped"


async def test_the_time_limit_is_on_everything(client: Client, service: Service) -> None:
    """Tools and questions count; what had arrived is kept."""
    service.script(Says("One.", [("wait", "{}")]))

    async def wait() -> None:
        await asyncio.sleep(30)

    tools = run(client, wait, timeout=0.3)
    with pytest.raises(DeadlineExceeded, match=r"did not finish within 0\.3 s"):
        await tools
    assert (tools.reply.text, tools.reply.finish_reason) == ("One.", "truncated")
    assert isinstance(tools.reply.error, DeadlineExceeded)


async def test_a_cancellation_cancels_the_calls_too(client: Client, service: Service) -> None:
    """■: the function's clean-up has run, the reply is `stopped`, and no task stays."""
    service.script(wants(("wait", "{}")))
    started = asyncio.Event()
    ended: list[str] = []

    async def wait() -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("cancelled")

    async def drain() -> None:
        await tools

    tasks = asyncio.all_tasks()
    tools = run(client, wait)
    reader = asyncio.ensure_future(drain())
    async with asyncio.timeout(10):
        await started.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert (ended, tools.reply.finish_reason, tools.calls[0].state) == (["cancelled"], "stopped", "stopped")
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks
