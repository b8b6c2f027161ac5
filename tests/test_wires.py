"""Three formats behind one iterator: every door takes `wire=`, and above the wire nothing knows which it was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import kernels
import pytest

import holystream_nb as hs
from holystream_nb import Simulator, report
from holystream_nb.client.stream import Stream
from holystream_nb.errors import DeadlineExceeded, HolystreamError, ServiceUnavailable, SetupError, StreamInterrupted
from holystream_nb.events import Text
from holystream_nb.facts import WIRES
from holystream_nb.session import Session

PATHS: Final = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODEL: Final = "gpt-4.1#tokens=4"
Door = Callable[..., Awaitable[object]]


@hs.tool
def get_weather(city: str) -> str:
    """Says what the weather is."""
    return f"sunny in {city}"


@contextmanager
def asked(simulator: Simulator) -> Iterator[set[str]]:
    """The paths of the requests that were posted meanwhile."""
    before = {record["id"] for record in simulator.requests()}
    found: set[str] = set()
    yield found
    new = [record for record in simulator.requests() if record["id"] not in before]
    assert len(new) < 100, "the simulator does not tell of more"
    found |= {record["path"] for record in new if record["method"] == "POST"}


# Every door


async def client(url: str, **given: Any) -> None:
    async with hs.Client("simulator", base_url=url, **given) as made, made.stream("Hi", model=MODEL) as stream:
        await read(stream)


async def client_stream(url: str, **given: Any) -> None:
    async with hs.Client("simulator", base_url=url) as made, made.stream("Hi", model=MODEL, **given) as stream:
        await read(stream)


async def client_connect(url: str, **given: Any) -> None:
    async with hs.Client("simulator", base_url=url) as made, made.connect(model=MODEL, **given) as connection:
        for text in ("Hi", "And now?"):
            await connection.send(text)
            async for _ in connection:
                pass


async def stream(url: str, **given: Any) -> None:
    await hs.stream("Hi", model=MODEL, base_url=url, **given)


async def of_tools(url: str, **given: Any) -> None:
    async with hs.Client("simulator", base_url=url) as made:
        run = hs.run_tools(made, "Use get_weather", tools=[get_weather], consent="all", model="gpt-4.1", **given)
        await run
    assert len(run.replies) == 2


async def stream_with_tools(url: str, **given: Any) -> None:
    await hs.stream("Use get_weather", model="gpt-4.1", base_url=url, tools=[get_weather], allow="all", **given)


async def panel(url: str, **given: Any) -> None:
    made = hs.ChatPanel(MODEL, base_url=url, **given)
    try:
        await made.send("Hi")
    finally:
        made.close()


async def check(url: str, **given: Any) -> None:
    await hs.check(MODEL, base_url=url, **given)


async def rollout(url: str, **given: Any) -> None:
    async with hs.Client("simulator", base_url=url, **given) as old, hs.Client("simulator", base_url=url) as new:
        moving = hs.Rollout(routes=[(old, 100), (new, 0)])
        async with moving.stream("Hi", model=MODEL) as stream:
            await read(stream)


async def configured(url: str, **given: Any) -> None:
    session = Session()
    try:
        session.configure(base_url=url, model=MODEL, **given)
        await session.stream("Hi")
    finally:
        await session.close()


async def of_config(url: str, **given: Any) -> None:
    session = Session()
    try:
        session.config = {"base_url": url, "model": MODEL, **given}
        await session.stream("Hi")
    finally:
        await session.close()


async def bench(url: str, **given: Any) -> None:
    result = await hs.bench(MODEL, "Hi", base_url=url, calibrate=False, **given)
    assert not any(trial.error for trial in result.records)


async def bench_of_a_mapping(url: str, **given: Any) -> None:
    result = await hs.bench({"base_url": url, "model": MODEL, **given}, "Hi", calibrate=False)
    assert not any(trial.error for trial in result.records)


async def sweep(url: str, **given: Any) -> None:
    await hs.sweep(MODEL, "Hi", concurrencies=[1], base_url=url, calibrate=False, **given)


async def shadow(url: str, **given: Any) -> None:
    sides = {side: {"base_url": url, "model": model, **given} for side, model in (("old", MODEL), ("new", "gpt-4o"))}
    found = await hs.shadow("Hi", **sides, calibrate=False)
    assert not any(trial.error for trial in found.result.records)


async def shadow_of_both(url: str, **given: Any) -> None:
    old, new = ({"base_url": url, "model": model} for model in (MODEL, "gpt-4o"))
    found = await hs.shadow("Hi", old=old, new=new, calibrate=False, **given)
    assert not any(trial.error for trial in found.result.records)


DOORS: Final = (
    *(client, client_stream, client_connect, stream, of_tools, stream_with_tools, panel, check, rollout, configured),
    of_config,
)
MEASURING: Final = (bench, bench_of_a_mapping, sweep, shadow, shadow_of_both)
"""Those that ask from processes of their own."""

doors = pytest.mark.parametrize(
    "door",
    [*DOORS, *(pytest.param(door, marks=pytest.mark.slow) for door in MEASURING)],
    ids=lambda door: door.__name__,
)


@pytest.fixture(autouse=True)
def runs_are_in_a_folder_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


async def read(stream: Stream) -> Stream:
    async with asyncio.timeout(15), stream:
        async for _ in stream:
            pass
    return stream


@pytest.mark.parametrize("wire", WIRES)
@doors
async def test_every_door_asks_in_the_format_that_it_is_given(simulator: Simulator, door: Door, wire: str) -> None:
    """All of its requests, those with the results of tools too."""
    with asked(simulator) as found:
        await door(simulator.url, wire=wire)
    assert found == {PATHS[wire]}


@doors
async def test_every_door_asks_in_the_provider_s_first_format_by_itself(simulator: Simulator, door: Door) -> None:
    """Chat Completions, at an address that no table has."""
    with asked(simulator) as found:
        await door(simulator.url)
    assert found == {PATHS["chat"]}


@doors
async def test_every_door_refuses_another_word_in_one_sentence(simulator: Simulator, door: Door) -> None:
    """Before anything is sent; the sentence has the three words there are."""
    with asked(simulator) as found, pytest.raises(SetupError) as refused:
        await door(simulator.url, wire="grpc")
    assert re.fullmatch(r"[^\n]*grpc[^\n]*chat, messages(,| or) responses[^.\n]*\.", str(refused.value))
    assert not found


@pytest.mark.slow
def test_the_magic_and_its_config_take_a_wire(simulator: Simulator) -> None:
    """`--wire` over %config over the provider's first; %stream config shows it, and another word changes nothing."""
    with kernels.kernel() as kernel:
        kernel.run("%load_ext holystream_nb")
        kernel.run(f"%config StreamMagics.base_url = {simulator.url!r}\n%config StreamMagics.model = {MODEL!r}")
        for wire in WIRES:
            with asked(simulator) as found:
                assert kernel.run(f"%%stream --wire {wire}\nHi").reply["status"] == "ok"
            assert found == {PATHS[wire]}
        kernel.run("%config StreamMagics.wire = 'messages'")
        for refused in ("%config StreamMagics.wire = 'grpc'", "%%stream --wire grpc\nHi"):
            ran = kernel.run(refused)
            error = ran.error + ran.printed
            assert all(word in error for word in ("grpc", *WIRES))
        with asked(simulator) as found:
            kernel.run("%%stream\nHi")
        assert found == {PATHS["messages"]}
        kernel.run(f"%%stream -m simulator:{MODEL} --wire responses --transport ws --as it\nHi")
        assert kernel.run("print(it.wire, it.transport)").printed == "responses ws\n"
        shown = kernel.run("%stream config").all("display_data")[-1]["data"]["text/plain"]
        assert re.search(r"wire +messages +%config StreamMagics", shown)


def test_config_shows_a_first_format_that_is_not_the_usual() -> None:
    """Who is asked in Messages without having said so is told."""
    session = Session()
    assert "wire" not in [row[0] for row in report._settings(session)]
    session.configure(base_url="https://api.anthropic.com/v1", api_key="sk-ant-0123456789")
    assert ["wire", "messages", "built in"] in report._settings(session)
    session.configure(wire="chat")
    assert [row for row in report._settings(session) if row[0] == "wire"] == [["wire", "chat", "hs.configure"]]


async def test_a_format_belongs_to_the_service_that_it_was_set_for(simulator: Simulator) -> None:
    """Another one is asked in its own first format, unless the call says otherwise; another address takes it away."""
    session = Session()
    with Simulator(speed=None) as other:
        try:
            session.configure(base_url=simulator.url, wire="messages")
            with asked(other) as found:
                await session.stream("Hi", model=MODEL, base_url=other.url)
            assert found == {PATHS["chat"]}
            session.configure(base_url=other.url)
            with asked(other) as found:
                await session.stream("Hi", model=MODEL)
            assert found == {PATHS["chat"]}
            with asked(other) as found:
                await session.stream("Hi", model=MODEL, wire="responses")
            assert found == {PATHS["responses"]}
        finally:
            await session.close()


async def test_a_provider_s_row_says_which_format_is_its_first(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of one's own may name another, and every door asks in that."""
    path = tmp_path / "providers.toml"
    path.write_text(f'[mine]\nbase_url = "{simulator.url}"\nkey_variable = ""\nwires = ["messages", "chat"]\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    with asked(simulator) as found:
        async with hs.Client("mine") as made, made.stream("Hi", model=MODEL) as answer:
            await read(answer)
        await hs.stream("Hi", model=f"mine:{MODEL}")
        await hs.check(f"mine:{MODEL}")
    assert found == {PATHS["messages"]}


# The same above the wire

WAYS: Final = (("chat", "sse"), ("chat", "ws"), ("messages", "sse"), ("responses", "sse"), ("responses", "ws"))
ways = pytest.mark.parametrize(("wire", "transport"), WAYS, ids=[" ".join(way) for way in WAYS])


@pytest.fixture
async def ask(simulator: Simulator, wire: str, transport: str) -> Any:
    """Makes streams in one of the ways."""
    async with hs.Client("simulator", base_url=simulator.url, wire=wire, transport=transport) as made:  # type: ignore[arg-type]
        yield made


async def failed(stream: Stream) -> HolystreamError:
    with pytest.raises(HolystreamError) as found:
        await read(stream)
    return found.value


@ways
async def test_the_text_and_its_figures(ask: hs.Client, wire: str, transport: str) -> None:
    """What came, counted as the service counts it, with stamps."""
    stream = ask.stream("Repeat after me: one two three", model="gpt-4.1")
    texts = [event.text async for event in stream if isinstance(event, Text)]
    reply = stream.reply
    assert "".join(texts) == reply.text == "one two three"
    assert (reply.wire, reply.transport, reply.end) == (wire, transport, "stop")
    assert (reply.usage.exact, reply.usage.completion_tokens) == (True, 3)
    assert reply.usage.prompt_tokens
    assert reply.timing.ttft_ms
    assert reply.timing.bytes


@ways
async def test_reasoning_is_apart(ask: hs.Client, wire: str, transport: str) -> None:
    """Counted inside of the output, and no part of the text."""
    wanted = {"reasoning": {"summary": "auto"}} if wire == "responses" else {}  # else it keeps it to itself
    stream = ask.stream("Why?", model="sim-reasoner#tokens=4,numbered", parameters=wanted)
    reply = (await read(stream)).reply
    assert reply.text.split() == ["0", "1", "2", "3"]
    assert reply.reasoning
    assert reply.usage.reasoning_tokens
    assert reply.usage.completion_tokens == reply.usage.reasoning_tokens + 4


@ways
async def test_the_limit_of_tokens(ask: hs.Client, wire: str, transport: str) -> None:
    """The request's, and ours for services that do not keep it."""
    reply = (await read(ask.stream("Hi", model="gpt-4.1", max_tokens=3))).reply
    assert (reply.end, reply.usage.completion_tokens) == ("length", 3)
    reply = (await read(ask.stream("Hi", model="gpt-4.1#tokens=500,rate=100,numbered", stop_after=3))).reply
    assert reply.finish_reason == "length"
    assert reply.text.startswith("0 1 2 ")
    assert len(reply.text.split()) < 50  # over a socket, what comes until the service has read the cancel


@ways
async def test_stop_ends_the_answer_at_the_service(
    ask: hs.Client, simulator: Simulator, wire: str, transport: str
) -> None:
    """What had arrived is kept, and nothing goes on to be paid for."""
    stream = ask.stream("Hi", model="gpt-4.1#tokens=5000,rate=200,numbered")
    async with asyncio.timeout(10):
        async for event in stream:
            if isinstance(event, Text):
                stream.stop()
    assert stream.reply.finish_reason == "stopped"
    assert stream.reply.text.startswith("0 ")
    async with asyncio.timeout(2):
        while simulator.active():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@ways
async def test_a_limit_of_time(ask: hs.Client, wire: str, transport: str) -> None:
    """On the whole answer; the beginning is kept."""
    stream = ask.stream("Hi", model="gpt-4.1#tokens=9,numbered,stall=9", timeout=0.2)
    assert isinstance(await failed(stream), DeadlineExceeded)
    assert stream.reply.text.split() == ["0", "1", "2"]


@ways
@pytest.mark.parametrize(
    ("fault", "error"), [("cut=3", StreamInterrupted), ("reset=3", StreamInterrupted), ("error", ServiceUnavailable)]
)
async def test_a_failure_has_the_same_name(
    ask: hs.Client, wire: str, transport: str, fault: str, error: type[HolystreamError]
) -> None:
    """And what had arrived is kept."""
    stream = ask.stream("Hi", model=f"gpt-4.1#tokens=9,numbered,{fault}")
    found = await failed(stream)
    assert isinstance(found, error)
    assert stream.reply.error is found
    assert stream.reply.text.split() == ["0", "1", "2"]


@ways
async def test_tools_answer_and_the_model_goes_on(ask: hs.Client, wire: str, transport: str) -> None:
    """The same call, the same exchange, the same last answer."""
    run = hs.run_tools(ask, "Use get_weather for Paris", tools=[get_weather], consent="all", model="gpt-4.1")
    await run
    assert [(call.name, call.arguments) for call in run.calls] == [("get_weather", '{"city":"Paris"}')]
    assert "sunny in Paris" in run.reply.text
    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]


@ways
async def test_a_conversation_goes_on(ask: hs.Client, wire: str, transport: str) -> None:
    """Turn by turn, each with what was said before."""
    async with ask.connect(model="gpt-4.1") as connection:
        messages = []
        for text in ("Repeat after me: one two three", "Repeat after me: four five six"):
            messages.append({"role": "user", "content": text})
            await connection.send(messages)
            async for _ in connection:
                pass
            assert connection.reply.end == "stop"
            assert connection.reply.text == text.removeprefix("Repeat after me: ")
            messages.append({"role": "assistant", "content": connection.reply.text})


async def test_a_format_without_a_socket_is_asked_over_sse_and_that_is_said(simulator: Simulator) -> None:
    """Messages has none: `transport="ws"` is what was asked for, and `sse` what came."""
    async with hs.Client("simulator", base_url=simulator.url, wire="messages", transport="ws") as made:
        stream = made.stream("Hi", model=MODEL)
        notices = []
        async for _ in stream:
            notices.append(stream.progress.notice)
        assert stream.reply.transport == "sse"
    assert "no socket is offered: over SSE" in notices
