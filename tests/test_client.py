"""The client's policy: stop, deadlines, retries, limits, keys, warm connections."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holystream_nb import Client, Simulator
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    HolystreamError,
    KeyRefused,
    MissingKey,
    RateLimited,
    SetupError,
    Stalled,
    TooLarge,
    UnknownModel,
)
from holystream_nb.reply import Reply

KEY = "hs_live_0123456789abcdef"


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with Client("simulator", base_url=simulator.url, api_key=KEY, backoff=0.01) as client:
        yield client


async def read(stream: Stream) -> Reply:
    async with stream:
        async for _ in stream:
            pass
    return stream.reply


async def left_at(simulator: Simulator, request_id: str | None) -> int | None:
    """When the simulator saw the client leave (ns), once it has."""
    assert request_id is not None
    for _ in range(40):
        if (left := simulator.record(request_id)["disconnected_ns"]) is not None:
            return int(left)
        await asyncio.sleep(0.01)
    return None


# Stop


async def test_stop_closes_the_connection_within_100_ms_also_during_a_stall(
    client: Client, simulator: Simulator
) -> None:
    """The simulator sees the client leave at once, and what had arrived stays."""
    async with client.stream("Hello", model="gpt-4.1#stall=30,after=4") as stream:
        seen = [await anext(stream) for _ in range(4)]
        stopped = time.perf_counter_ns()
        asyncio.get_running_loop().call_later(0.05, stream.stop)
        rest = [event async for event in stream]
    left = await left_at(simulator, stream.reply.request_id)
    assert left is not None
    assert (left - stopped) / 1e6 < 50 + 100
    assert stream.reply.text == "".join(event.text for event in seen + rest if hasattr(event, "text"))
    assert (stream.reply.finish_reason, stream.reply.error, stream.reply.usage.exact) == ("stopped", None, False)


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_stop_works_while_nobody_reads(client: Client, simulator: Simulator) -> None:
    """A slow reader's stream is closed at the stop, not at its next read."""
    async with client.stream("Hello", model="gpt-4.1#rate=50") as stream:
        await anext(stream)
        stopped = time.perf_counter_ns()
        stream.stop()
        left = await left_at(simulator, stream.reply.request_id)
        assert left is not None
        assert (left - stopped) / 1e6 < 100
        assert len([event async for event in stream]) < 3  # what had come
    assert stream.reply.finish_reason == "stopped"


async def test_stop_from_the_loop_that_reads(client: Client) -> None:
    """The reader itself stops: no error, and what was received of that read still comes."""
    async with client.stream("Hello", model="gpt-4.1#tokens=50,rate=100") as stream:
        seen = []
        async for event in stream:
            seen.append(event)
            if len(seen) == 5:
                stream.stop()
    assert stream.reply.finish_reason == "stopped"
    assert 5 <= len(seen) < 50
    assert stream.reply.text == "".join(event.text for event in seen if hasattr(event, "text"))


async def test_stop_after_some_tokens(client: Client) -> None:
    """For a service that does not keep max_tokens."""
    reply = await read(client.stream("Hello", model="gpt-4.1#tokens=500,rate=400", stop_after=7))
    assert reply.finish_reason == "length"
    assert reply.usage.completion_tokens is not None
    assert 7 <= reply.usage.completion_tokens < 20


async def test_stop_from_another_thread(client: Client) -> None:
    """A callback on a subshell's thread stops a stream of the main thread's loop."""
    async with client.stream("Hello", model="gpt-4.1#stall=30") as stream:
        await anext(stream)
        threading.Timer(0.05, stream.stop).start()
        async with asyncio.timeout(2):
            async for _ in stream:
                pass
    assert stream.reply.finish_reason == "stopped"


@pytest.mark.parametrize("faults", ["head=30", "first=30", "fail=503,tries=9,retry-after=30"])
async def test_stop_before_the_first_event(client: Client, faults: str) -> None:
    """Waiting for the head, for the first event, or for the next attempt: each ends at the stop."""
    async with client.stream("Hello", model=f"gpt-4.1#{faults}") as stream:
        asyncio.get_running_loop().call_later(0.1, stream.stop)
        async with asyncio.timeout(2):
            assert [event async for event in stream] == []
    assert (stream.reply.finish_reason, stream.reply.text, stream.reply.error) == ("stopped", "", None)


async def test_stop_before_the_start_and_after_the_end_is_harmless(client: Client) -> None:
    """A stopped stream sends nothing; a finished one keeps its reason."""
    async with client.stream("Hello", model="gpt-4.1") as stream:
        stream.stop()
        assert [event async for event in stream] == []
    assert stream.reply.finish_reason == "stopped"
    finished = client.stream("Hello", model="gpt-4.1")
    reply = await read(finished)
    finished.stop()
    assert finished.reply is reply
    assert reply.finish_reason == "stop"


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_a_cancelled_task_closes_the_connection_and_keeps_the_text(client: Client, simulator: Simulator) -> None:
    """■ arrives as a cancellation: it goes on, and leaves a `stopped` reply."""
    stream = client.stream("Hello", model="gpt-4.1#stall=30,after=4")
    task = asyncio.create_task(read(stream))
    await asyncio.sleep(0.2)
    cancelled = time.perf_counter_ns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await left_at(simulator, stream.reply.request_id)
    assert left is not None
    assert (left - cancelled) / 1e6 < 100
    assert stream.reply.finish_reason == "stopped"
    assert stream.reply.text


async def test_leaving_the_block_early_stops_the_stream(client: Client, simulator: Simulator) -> None:
    """`break` out of the loop costs nothing more."""
    async with client.stream("Hello", model="gpt-4.1#rate=50") as stream:
        async for _ in stream:
            break
    assert stream.reply.finish_reason == "stopped"
    assert await left_at(simulator, stream.reply.request_id) is not None


async def test_an_outer_timeout_still_works_as_its_users_expect(client: Client) -> None:
    """asyncio.timeout around a stream raises TimeoutError: our own cancellations do not swallow it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await read(client.stream("Hello", model="gpt-4.1#stall=30"))


# Limits


async def test_the_deadline_ends_the_whole_answer_with_its_own_error(client: Client) -> None:
    """`timeout` limits the whole answer; the text stays."""
    stream = client.stream("Hello", model="gpt-4.1#stall=30", timeout=0.2)
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await read(stream)
    assert stream.reply.text
    assert stream.reply.finish_reason == "truncated"


@pytest.mark.slow
async def test_every_byte_resets_the_inactivity_limit(simulator: Simulator) -> None:
    """Slow but steady is no stall: comments count as life, silence does not."""
    async with Client("simulator", base_url=simulator.url, api_key=KEY, inactivity=0.3) as client:
        steady = await read(client.stream("Hello", model="gpt-4.1#tokens=8,rate=10,comments"))
        assert steady.finish_reason == "stop"
        with pytest.raises(Stalled):
            await read(client.stream("Hello", model="gpt-4.1#stall=2"))


async def test_a_response_over_the_limit_ends_with_its_text_kept(simulator: Simulator) -> None:
    """A hard limit on the size, with a clear error."""
    async with Client("simulator", base_url=simulator.url, api_key=KEY, max_bytes=20_000) as client:
        stream = client.stream("Hello", model="gpt-4.1#tokens=1000,numbered")
        with pytest.raises(TooLarge, match="20,000"):
            await read(stream)
    assert stream.reply.text.startswith("0 1 2 3 ")


@pytest.mark.slow
async def test_a_slow_reader_slows_the_service(client: Client, simulator: Simulator) -> None:
    """Of 44 MB of events only what the system's own buffers hold is sent; nothing piles up here."""
    tokens = 200_000
    async with client.stream("Hello", model=f"gpt-4.1#tokens={tokens},numbered,rate=max") as stream:
        await anext(stream)
        tracemalloc.start()
        before, sent = -1, 0
        while sent != before:
            await anext(stream)
            await asyncio.sleep(0.1)
            before, sent = sent, len(simulator.record(str(stream.reply.request_id))["sent_ns"])
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sent < tokens / 3
    assert stream.reply.timing.bytes < 1_000_000
    assert held < 1_000_000


# Retries


@pytest.mark.slow
async def test_a_refusal_where_no_key_was_sent_says_so(simulator: Simulator) -> None:
    """Whoever sent none is told where to put one; whoever sent one, or a header that lets in, is told to check it."""
    for sent in ({}, {"api_key": KEY}, {"headers": {"x-api-key": KEY}}):
        async with Client("simulator", base_url=simulator.url, **sent) as client:
            with pytest.raises(KeyRefused) as caught:
                await read(client.stream("Hello", model="gpt-4.1#fail=401,tries=9"))
        assert ("none was sent: pass api_key, or name" in str(caught.value)) is (not sent)
        assert KEY not in str(caught.value)


async def test_a_cloud_needs_the_users_address() -> None:
    """Nothing is sent, and no key is looked for, before it is known where to."""
    with pytest.raises(SetupError, match="The address of azure depends on your resource"):
        Client("azure")


@pytest.mark.parametrize(("model", "field"), [("o3-mini", "max_completion_tokens"), ("gpt-4.1", "max_tokens")])
async def test_a_limit_is_called_what_the_model_takes(client: Client, model: str, field: str) -> None:
    """OpenAI's reasoning models refuse max_tokens wherever they are served."""
    body = client.stream("Hello", model=model, max_tokens=9)._request.body
    assert {name: value for name, value in body.items() if "tokens" in name} == {field: 9}


@pytest.mark.slow
async def test_retry_after_is_obeyed(client: Client) -> None:
    """The pause a service asks for is at least kept, and is in no latency figure but queue."""
    started = time.perf_counter()
    reply = await read(client.stream("Hello", model="gpt-4.1#fail=429,tries=1,retry-after=1"))
    assert time.perf_counter() - started >= 1
    assert reply.timing.retries == 1
    assert reply.timing.queue_ms is not None
    assert reply.timing.queue_ms >= 1000
    assert reply.timing.ttft_ms is not None
    assert reply.timing.ttft_ms < 900


async def test_a_pause_longer_than_a_minute_is_an_error_and_not_a_silent_wait(client: Client) -> None:
    """Nobody watches a cell for an hour: the error says how long the service asked to wait."""
    stream = client.stream("Hello", model="gpt-4.1#fail=429,retry-after=3600")
    with pytest.raises(RateLimited) as caught:
        await read(stream)
    assert caught.value.retry_after == 3600
    assert "3600" in str(caught.value).replace(",", "")


async def test_the_key_is_never_retried(simulator: Simulator) -> None:
    """401 ends at once."""
    async with Client("simulator", base_url=simulator.url, api_key="bad-0123456789") as client:
        stream = client.stream("Hello", model="gpt-4.1")
        with pytest.raises(KeyRefused):
            await read(stream)
    assert stream.reply.timing.retries == 0


async def test_an_unknown_model_is_named(client: Client) -> None:
    """404 says which model it was."""
    with pytest.raises(UnknownModel, match="gpt-17"):
        await read(client.stream("Hello", model="gpt-17"))


async def test_no_service_at_the_address() -> None:
    """A refused connection on this machine is one sentence with the host, at once: nobody is there to be asked."""
    async with Client("ollama", base_url="http://127.0.0.1:9/v1", retries=1, backoff=0.01) as client:
        stream = client.stream("Hello", model="m")
        with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:9"):
            await read(stream)
    assert stream.reply.timing.retries == 0


# Requests


async def test_connections_stay_warm(client: Client) -> None:
    """After a complete answer the connection is used again: nothing is spent on connecting."""
    first = await read(client.stream("Hello", model="gpt-4.1"))
    second = await read(client.stream("Hello", model="gpt-4.1"))
    assert first.timing.connect_ms is not None
    assert second.timing.connect_ms is not None
    assert second.timing.connect_ms < 0.5
    assert second.timing.connect_ms < first.timing.connect_ms


async def test_the_simulators_events_are_not_held_back(client: Client, simulator: Simulator) -> None:
    """Nagle's algorithm would keep a small event some 40 ms: most reads follow their true send within a few."""
    late = []
    for _ in range(9):
        reply = await read(client.stream("Hello", model="gpt-4.1#tokens=2,rate=200"))
        record = simulator.record(str(reply.request_id))
        sent = dict(zip(reversed(record["kinds"]), reversed(record["sent_ns"]), strict=True))["text"]
        late.append((reply.timing.reads[0] - sent) / 1e6)
    assert sorted(late)[4] < 25


async def test_a_message_list_and_further_parameters_arrive(client: Client) -> None:
    """max_tokens is the service's own limit."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    reply = await read(client.stream(messages, model="gpt-4.1", max_tokens=5, temperature=0.1))
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 5)


@pytest.mark.parametrize("parameters", [{"input": "Hello"}, {"messages": []}])
async def test_parameters_the_call_sets_itself_are_refused(client: Client, parameters: dict[str, Any]) -> None:
    """What the call sets itself cannot be smuggled in."""
    with pytest.raises(SetupError, match=next(iter(parameters))):
        client.stream("Hello", model="gpt-4.1", **parameters)


@pytest.mark.parametrize(
    ("prompt", "said"), [("half \ud83d", "surrogate"), ([{"role": "user", "content": 1j}], "JSON")]
)
async def test_a_prompt_that_cannot_be_written_is_refused(client: Client, prompt: Any, said: str) -> None:
    """One sentence, and not the encoder's traceback."""
    with pytest.raises(SetupError, match=said):
        await read(client.stream(prompt, model="gpt-4.1"))


@pytest.mark.parametrize("prompt", [[], [{"content": "no role"}]])
async def test_a_prompt_that_is_none_is_refused(client: Client, prompt: Any) -> None:
    """Nothing is sent."""
    with pytest.raises(SetupError, match="role"):
        client.stream(prompt, model="gpt-4.1")


async def test_several_streams_of_one_client_run_side_by_side(client: Client) -> None:
    """Twenty at once, each with its own whole answer."""
    replies = await asyncio.gather(
        *(read(client.stream(f"Count to {n}", model=f"gpt-4.1#tokens={n},numbered")) for n in range(1, 21))
    )
    assert [reply.text for reply in replies] == ["".join(f"{i} " for i in range(n)) for n in range(1, 21)]


# Keys


def test_a_missing_key_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, no request: the sentence names the variable."""
    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)
    with pytest.raises(MissingKey, match="HOLYSHEEP_API_KEY"):
        Client()


async def test_another_host_never_gets_the_providers_key(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With base_url the provider's variable is not read; the simulator saw no key."""
    monkeypatch.setenv("HOLYSHEEP_API_KEY", KEY)
    async with Client(base_url=simulator.url) as client:
        reply = await read_or_fail(client.stream("Hello", model="gpt-4.1"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(simulator.url.replace("/v1", "/sim/requests")) as response:
        newest = json.load(response)["requests"][0]
    assert newest["has_key"] is False
    assert reply.provider == simulator.url.split("/")[2]


async def read_or_fail(stream: Stream) -> Reply:
    try:
        return await read(stream)
    except HolystreamError:
        return stream.reply


async def test_a_redirect_carries_no_key_anywhere(client: Client, simulator: Simulator) -> None:
    """A redirect is an error that names the other address; it is not followed."""
    with pytest.raises(HolystreamError, match="localhost"):
        await read(client.stream("Hello", model="gpt-4.1#redirect=307"))


async def test_loopback_never_goes_through_a_proxy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is for other hosts."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await read(client.stream("Hello", model="gpt-4.1"))).finish_reason == "stop"


async def test_the_key_is_in_no_text_of_the_client_or_its_errors(client: Client) -> None:
    """repr, errors and replies do not hold it."""
    stream = client.stream("Hello", model="gpt-17")
    with pytest.raises(UnknownModel) as caught:
        await read(stream)
    for value in (client, stream, stream.reply, caught.value, caught.value.__dict__, client.__dict__):
        assert KEY not in repr(value)


async def test_a_refused_request_costs_nothing(client: Client) -> None:
    """Its prompt was not read by any model; that of an answer without end is estimated."""
    refused = client.stream("word " * 400, model="gpt-4.1#fail=400")
    with pytest.raises(HolystreamError):
        await anext(refused)
    assert (refused.reply.usage.prompt_tokens, refused.reply.cost.usd) == (0, 0)
    stopped = client.stream("word " * 400, model="gpt-4.1")
    stopped.stop()
    assert [event async for event in stopped] == []
    assert stopped.reply.cost.usd == 0
    async with client.stream("word " * 400, model="gpt-4.1#end=2") as cut:
        async for _ in cut:
            pass
    assert cut.reply.usage.prompt_tokens == 500
