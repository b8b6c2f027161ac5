"""One end: what the service has said outranks what we did, and an answer whose end has arrived is whole."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from raw_service import Asked, Writer, serving, serving_elsewhere

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.client.ending import Cause, Ending, Said, ending
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    DeadlineExceeded,
    HolystreamError,
    ServiceUnavailable,
    SetupError,
    Stalled,
    StreamInterrupted,
    TooLarge,
)
from holystream_nb.events import Usage
from holystream_nb.reply import Reply


def client_at(url: str, **options: Any) -> Client:
    return Client("ollama", base_url=url, **{"backoff": 0.01, "retries": 0, **options})


async def read(stream: Stream, pause: float = 0.0) -> Reply:
    async with stream:
        async for _ in stream:
            await asyncio.sleep(pause)
    return stream.reply


# The rule

CAUSES: tuple[Cause, ...] = ("", "stopped", "length", "deadline", "stalled", "quiet")
BROKEN = StreamInterrupted("broken")
LATE = DeadlineExceeded("late")
BIG = TooLarge("too large")
SAID = ServiceUnavailable("the service said so")


@pytest.mark.parametrize(("cause", "failure"), list(itertools.product(CAUSES, (None, BROKEN, LATE, BIG))))
def test_a_complete_answer_is_whole_whoever_ended_it(cause: Cause, failure: HolystreamError | None) -> None:
    """A stop, a deadline, a broken connection: nothing of ours undoes what the service has said."""
    for reason in ("stop", "length", "tool_calls", "a word of its own"):
        assert ending(Said(reason, True), cause, has_output=True, failure=failure) == Ending(reason, True)
    assert ending(Said("", True), cause, has_output=True, failure=failure) == Ending("stop", True)


@pytest.mark.parametrize("cause", CAUSES)
def test_an_error_that_the_service_says_is_its_last_word(cause: Cause) -> None:
    """Also after a finish reason, unless we had ended it before."""
    end = ending(Said("length", True), cause, has_output=True, failure=SAID)
    assert end == (Ending(cause, False) if cause in ("stopped", "length") else Ending("truncated", False, SAID))


@pytest.mark.parametrize(
    ("cause", "failure", "expected"),
    [
        ("stopped", None, Ending("stopped", False)),
        ("stopped", BROKEN, Ending("stopped", False)),
        ("length", None, Ending("length", False)),
        ("deadline", LATE, Ending("truncated", False, LATE)),
        ("stalled", BROKEN, Ending("interrupted", False, BROKEN)),
        ("", BROKEN, Ending("interrupted", False, BROKEN)),
        ("", BIG, Ending("truncated", False, BIG)),
        ("", None, Ending("truncated", False)),
    ],
)
def test_what_the_service_has_not_ended_says_who_did(
    cause: Cause, failure: HolystreamError | None, expected: Ending
) -> None:
    """Without the service's word, ours or the network's counts."""
    assert ending(Said(), cause, has_output=True, failure=failure) == expected
    nothing = ending(Said(), cause, has_output=False, failure=failure)
    assert nothing.finish_reason == (expected.finish_reason if failure is None or cause == "stopped" else "")


# The end on the wire


async def test_a_second_choice_that_is_slower_loses_nothing() -> None:
    """With n=2 the answer goes on until both have finished, more than 5 s after the first, and the usage comes."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await out.text("first")
        await out.finish()
        for word in ("second ", "choice"):
            await asyncio.sleep(0.15)
            await out.text(word, choice=1)
        await out.finish("length", choice=1)
        await out.usage(300)
        await out.event("[DONE]")
        await out.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holystream_nb.client.stream.AFTER_FINISH_S", 0.1)
        patch.setattr("holystream_nb.client.stream._LOOK_S", 0.02)
        async with serving(answer) as service, client_at(service.url) as client:
            reply = await read(client.stream("Hello", model="m", n=2))
    assert (reply.text, reply.other_choices, reply.finish_reason) == ("first", ("second choice",), "stop")
    assert (reply.usage.completion_tokens, reply.usage.exact) == (300, True)


@pytest.mark.parametrize("keeps", ["silent", "alive"])
async def test_after_the_finish_reason_a_while_without_an_event_ends_it(keeps: str) -> None:
    """Comments do not count as events, and it is no failure."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await out.text("all")
        await out.finish()
        while keeps == "alive" and not out.raw.transport.is_closing():
            await asyncio.sleep(0.02)
            await out.chunk(b": ping\n\n")
        await out.gone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holystream_nb.client.stream.AFTER_FINISH_S", 0.2)
        patch.setattr("holystream_nb.client.stream._LOOK_S", 0.02)
        async with serving(answer) as service, client_at(service.url) as client:
            began = time.perf_counter()
            reply = await read(client.stream("Hello", model="m"))
            assert 0.2 <= time.perf_counter() - began < 2
            assert await service.emptied()
    assert (reply.text, reply.finish_reason, reply.error) == ("all", "stop", None)


@pytest.mark.slow
async def test_the_reader_s_own_pauses_do_not_count_after_the_finish_reason() -> None:
    """One who looks away at that point still gets the usage."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await out.text("all")
        await out.finish()
        await asyncio.sleep(0.3)
        await out.usage(300)
        await out.event("[DONE]")
        await out.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holystream_nb.client.stream.AFTER_FINISH_S", 0.2)
        patch.setattr("holystream_nb.client.stream._LOOK_S", 0.02)
        async with serving(answer) as service, client_at(service.url) as client:
            reply = await read(client.stream("Hello", model="m"), pause=0.25)
    assert (reply.finish_reason, reply.usage.completion_tokens, reply.usage.exact) == ("stop", 300, True)


# A deadline that meets an answer which had come


async def quick(asked: Asked, out: Writer) -> None:
    """Ten pieces, at once."""
    await out.head()
    for number in range(10):
        await out.text(f"{number} ")
    await out.finish()
    await out.usage(300)
    await out.event("[DONE]")
    await out.end()


async def quick_without_a_marker(asked: Asked, out: Writer) -> None:
    """The same, with a finish reason, and nothing behind it but a connection that stays open."""
    await out.head()
    for number in range(10):
        await out.text(f"{number} ")
    await out.finish()
    await out.gone()


@pytest.mark.slow
@pytest.mark.parametrize("answer", [quick, quick_without_a_marker])
async def test_a_slow_reader_does_not_make_a_quick_service_late(
    answer: Callable[[Asked, Writer], Awaitable[None]],
) -> None:
    """The deadline is the service's: what had come by then is read, and is whole."""
    async with serving(answer) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m", timeout=0.3)
        reply = await read(stream, pause=0.08)
    assert (reply.text, reply.finish_reason, reply.error) == ("0 1 2 3 4 5 6 7 8 9 ", "stop", None)
    if answer is quick:
        assert (reply.usage.completion_tokens, reply.usage.exact) == (300, True)


async def test_a_deadline_still_ends_what_has_not_come() -> None:
    """A service that is late is late, also where nobody reads at that moment; what had come is kept."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await out.text("early")
        await out.gone()

    async with serving(answer) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m", timeout=0.2)
        async with stream:
            await anext(stream)
            await asyncio.sleep(0.4)
            assert await service.emptied()
            with pytest.raises(DeadlineExceeded):
                await anext(stream)
    assert (stream.reply.text, stream.reply.finish_reason) == ("early", "truncated")


@pytest.mark.slow
async def test_a_long_answer_that_had_come_is_read_to_its_end() -> None:
    """Thousands of pieces wait in the socket when the deadline meets a reader who looked away: they had come."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        for number in range(3000):
            await out.text(f"{number} ")
        await out.finish()
        await out.usage(3000)
        await out.event("[DONE]")
        await out.end()

    async with serving(answer) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m", timeout=1.5)
        async with stream:
            await anext(stream)
            await asyncio.sleep(1.8)
            rest = [event async for event in stream]
    assert len(rest) > 2999
    assert (stream.reply.finish_reason, stream.reply.usage.completion_tokens) == ("stop", 3000)


@pytest.mark.parametrize("who", ["deadline", "stop"])
async def test_what_came_while_the_loop_was_busy_came_before_our_end(who: str) -> None:
    """A cell that computes holds the event loop: the answer's end and ours are seen in the same turn of it."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await out.text("begun ")
        await asyncio.sleep(0.1)
        await out.text("and done")
        await out.finish()
        await out.usage(300)
        await out.event("[DONE]")
        await out.end()

    with serving_elsewhere(answer) as url:
        async with client_at(url) as client:
            stream = client.stream("Hello", model="m", timeout=0.3 if who == "deadline" else None)
            task = asyncio.create_task(read(stream))
            await asyncio.sleep(0.05)
            if who == "stop":
                asyncio.get_running_loop().call_later(0.1, stream.stop)
            time.sleep(0.4)  # noqa: ASYNC251  # the computation
            reply = await task
    assert (reply.text, reply.finish_reason, reply.usage.completion_tokens) == ("begun and done", "stop", 300)


async def test_a_stop_while_a_late_answer_is_read_closes_at_once() -> None:
    """What had come when the deadline met a reader who looked away is read; a stop does not wait for that."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        while not out.raw.transport.is_closing():
            await out.text("on and on ")

    with serving_elsewhere(answer) as url:
        async with client_at(url) as client:
            stream = client.stream("Hello", model="m", timeout=0.1)
            await anext(stream)
            await asyncio.sleep(0.2)
            began = time.perf_counter()
            stream.stop()
            await stream.aclose()
            assert time.perf_counter() - began < 0.1
    assert stream.reply.finish_reason == "truncated"


async def test_the_deadline_begins_with_the_iteration() -> None:
    """A stream that is made early and read late has all of its time."""
    async with serving(quick) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m", timeout=0.3)
        await asyncio.sleep(0.4)
        assert (await read(stream)).finish_reason == "stop"


async def test_a_limit_of_ours_that_the_last_read_reaches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop_after` in the read that ends the answer: the service's own word and count stay."""
    monkeypatch.setattr("holystream_nb.client.stream.AFTER_FINISH_S", 0.1)
    monkeypatch.setattr("holystream_nb.client.stream._LOOK_S", 0.02)

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        events = [{"choices": [{"delta": {"content": f"{n} "}}]} for n in range(5)]
        events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        events.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 5}})
        await out.chunk(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events))
        await out.gone()

    async with serving(answer) as service, client_at(service.url) as client:
        reply = await read(client.stream("Hello", model="m", stop_after=5))
    assert (reply.finish_reason, reply.usage.completion_tokens, reply.usage.exact) == ("stop", 5, True)


async def test_leaving_on_the_usage_event_leaves_a_whole_answer() -> None:
    """`break` where everything has been said."""
    async with (
        serving(quick) as service,
        client_at(service.url) as client,
        client.stream("Hello", model="m") as stream,
    ):
        async for event in stream:
            if isinstance(event, Usage):
                break
    usage = stream.reply.usage
    assert (stream.reply.finish_reason, usage.completion_tokens, usage.exact) == ("stop", 300, True)


async def test_a_stop_after_the_end_has_come_leaves_it_whole() -> None:
    """The reader lags behind: what the service had finished is finished."""
    async with (
        serving(quick) as service,
        client_at(service.url) as client,
        client.stream("Hello", model="m") as stream,
    ):
        await anext(stream)
        await asyncio.sleep(0.2)
        stream.stop()
        rest = [event async for event in stream]
    assert len(rest) > 5
    assert (stream.reply.finish_reason, stream.reply.usage.exact) == ("stop", True)


# Closing


async def endless(asked: Asked, out: Writer) -> None:
    await out.head()
    await out.text("begun")
    await out.gone()


@pytest.mark.parametrize("way", ["aclose", "async with"])
async def test_closing_while_another_task_reads_ends_the_reader_quietly(way: str) -> None:
    """The reader comes to the end; the connection is closed; nothing is raised."""
    async with serving(endless) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m")
        seen: list[Any] = []

        async def reader() -> None:
            async for event in stream:
                seen.append(event)

        if way == "aclose":
            task = asyncio.create_task(reader())
            await asyncio.sleep(0.1)
            await stream.aclose()
        else:
            async with stream:
                task = asyncio.create_task(reader())
                await asyncio.sleep(0.1)
        await task
        assert await service.emptied()
    assert len(seen) == 1
    assert (stream.reply.text, stream.reply.finish_reason, stream.reply.error) == ("begun", "stopped", None)


async def silent(asked: Asked, out: Writer) -> None:
    await out.gone()


async def failing(asked: Asked, out: Writer) -> None:
    await out.head(b"HTTP/1.1 503 Unavailable\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("answer", [endless, silent, failing], ids=["silence", "no head", "a retry's pause"])
async def test_closing_the_client_ends_what_runs(answer: Callable[[Asked, Writer], Awaitable[None]]) -> None:
    """Its streams are stopped, wherever they wait."""
    async with serving(answer) as service:
        client = client_at(service.url, retries=3)
        stream = client.stream("Hello", model="m")
        task = asyncio.create_task(read(stream))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1):
            await client.aclose()
            reply = await task
        assert await service.emptied()
    assert (reply.finish_reason, reply.error) == ("stopped", None)


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_closed_client_says_so(transport: Any) -> None:
    """Use after close is an error of ours, in a sentence."""
    async with serving(quick) as service:
        client = client_at(service.url)
        await read(client.stream("Hello", model="m"))
        await client.aclose()
        with pytest.raises(SetupError, match="closed"):
            await read(client.stream("Hello", model="m", transport=transport))


def test_a_client_goes_on_in_a_second_event_loop() -> None:
    """`asyncio.run` twice with the same client: each time it answers."""
    clients: list[Client] = []

    async def ask() -> str:
        async with serving(quick) as service:
            if not clients:
                clients.append(client_at(service.url, requests_per_minute=1000))
            clients[0]._service.base_url = service.url  # a port of its own each time
            return (await read(clients[0].stream("Hello", model="m"))).finish_reason

    assert [asyncio.run(ask()), asyncio.run(ask())] == ["stop", "stop"]


@pytest.mark.slow
def test_an_abandoned_stream_is_let_go_quietly() -> None:
    """`async for … break` without a block: the connection is closed at once, and nobody prints anything."""
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with serving(endless) as service, client_at(service.url) as client:
            for _ in range(3):
                async for _ in client.stream("Hello", model="m"):
                    break
            assert await service.emptied()
            gc.collect()
            await asyncio.sleep(0.05)

    gc.collect()  # what other tests have left
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert complaints == []
    assert [str(warning.message) for warning in warned if warning.category is not DeprecationWarning] == []


LEFT = {
    "unnamed": "async for _ in ask('Hi'): break",
    "in a name": "async for _ in (stream := ask('Hi')): break",
    "in a global name": "KEPT[0] = stream = ask('Hi'); await anext(stream)",
    "with an error": "await anext(stream := ask('Hi')); raise SystemExit(0)",
    "texts": "KEPT[0] = texts = ask('Hi').texts(); await anext(texts)",
    "a turn": "KEPT[0] = c = client.connect(**HOW); await c.send('Hi'); await anext(aiter(c))",
    "tools": "KEPT[0] = r = hs.run_tools(client, 'Hi', tools=[get], **HOW); await anext(r)",
    "a rollout": "KEPT[0] = s = hs.Rollout([(client, 95), (client, 5)]).stream('Hi', **HOW); await anext(s)",
    "a task": "asyncio.create_task(anext(ask('Hi'))); await asyncio.sleep(0.2)",
}
PROGRAM = """
import asyncio, sys
import holystream_nb as hs
URL, OVER = sys.argv[1:]
HOW = {{"model": "gpt-4.1#rate=20", "transport": OVER}}
KEPT = [None]
def get(city: str) -> str:
    "Says what the weather is."
    return city
async def main():
    client = hs.Client("simulator", base_url=URL)
    ask = lambda prompt: client.stream(prompt, **HOW)
    {left}
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("over", ["sse", "ws"])
@pytest.mark.parametrize("left", LEFT)
def test_what_a_program_leaves_running_ends_quietly_with_its_event_loop(left: str, over: str) -> None:
    """`asyncio.run` closes all generators at the same time: what reads through several has to be closed before."""
    program = PROGRAM.format(left=LEFT[left])
    with hs.Simulator() as simulator:
        line = [sys.executable, "-c", program, simulator.url, over]
        done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_loop_over_a_stream_that_a_program_leaves_ends_quietly() -> None:
    """The iterator of hs.run, at the interpreter's end."""
    program = """
import sys
import holystream_nb as hs
client = hs.Client("simulator", base_url=sys.argv[1])
events = hs.run(client.stream("Hi", model="gpt-4.1#rate=20", transport=sys.argv[2]))
next(events)
"""
    with hs.Simulator() as simulator:
        for over in ("sse", "ws"):
            line = [sys.executable, "-c", program, simulator.url, over]
            done = subprocess.run(line, capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stderr) == (0, "")


def test_a_stream_of_a_loop_that_was_just_closed_can_be_closed_elsewhere() -> None:
    """Nothing of it is left, and nothing is raised."""
    loop = asyncio.new_event_loop()

    async def begin(url: str) -> Stream:
        stream = client_at(url).stream("Hello", model="m")
        await anext(stream)
        return stream

    with serving_elsewhere(endless) as url:
        stream = loop.run_until_complete(begin(url))
        loop.close()
        asyncio.run(stream.aclose())
    assert stream.reply.finish_reason == "stopped"


async def test_progress_stands_still_after_the_end() -> None:
    """The first token's time stays, and the clock does not go on."""
    async with serving(quick) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m")
        await read(stream)
        first = stream.progress
        await asyncio.sleep(0.05)
    assert stream.progress == first
    assert first.ttft_ms == stream.reply.timing.ttft_ms is not None


async def test_a_body_of_blank_lines_is_too_large_and_costs_no_more_than_its_bytes() -> None:
    """`max_bytes` holds before the first character, too."""

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        while not out.raw.transport.is_closing():
            await out.chunk(b"\n" * 4096)

    async with serving(answer) as service, client_at(service.url, max_bytes=4_000_000) as client:
        tracemalloc.start()
        began = time.process_time()
        with pytest.raises(TooLarge):
            await read(client.stream("Hello", model="m"))
        assert time.process_time() - began < 5
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
        tracemalloc.stop()


# A connection that was kept, and is dead


async def closes_after_one(asked: Asked, out: Writer) -> bool:
    """Answers the first request of a connection, and closes it when a second comes: the race that a keep-alive is."""
    if asked.number:
        return False
    await out.whole()
    return True


@pytest.mark.parametrize("retries", [0, 3])
async def test_a_dead_kept_connection_is_asked_again_on_a_new_one_at_once(retries: int) -> None:
    """Not a failure, not a retry, no pause; counted as resent."""
    async with serving(closes_after_one) as service, client_at(service.url, retries=retries, backoff=5) as client:
        await read(client.stream("Hello", model="m"))
        began = time.perf_counter()
        reply = await read(client.stream("Hello", model="m"))
        assert time.perf_counter() - began < 1
    assert (reply.text, reply.timing.retries, reply.timing.resent) == ("Hello", 0, 1)
    assert [(asked.connection, asked.number) for asked in service.asked] == [(0, 0), (0, 1), (1, 0)]
    assert reply.timing.queue_ms is not None
    assert reply.timing.ttft_ms is not None


async def test_a_new_connection_that_breaks_is_a_failure() -> None:
    """What breaks on a connection of its own may have been worked on: it does not go out again by itself."""

    async def answer(asked: Asked, out: Writer) -> bool:
        return False

    async with serving(answer) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m")
        with pytest.raises(StreamInterrupted):
            await read(stream)
    assert len(service.asked) == 1
    assert stream.reply.timing.resent == 0


async def test_it_is_asked_again_once_only() -> None:
    """The second connection's end is a failure."""

    async def answer(asked: Asked, out: Writer) -> bool:
        if len(service.asked) > 1:
            return False
        await out.whole()
        return True

    async with serving(answer) as service, client_at(service.url) as client:
        await read(client.stream("Hello", model="m"))
        with pytest.raises(StreamInterrupted):
            await read(client.stream("Hello", model="m"))
    assert len(service.asked) == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["late", "after a byte"])
async def test_an_end_that_may_have_been_work_is_a_failure(how: str) -> None:
    """A second after it was sent, or behind the first byte of an answer, the service may have worked on it."""

    async def answer(asked: Asked, out: Writer) -> bool:
        if not asked.number:
            await out.whole()
            return True
        if how == "late":
            await asyncio.sleep(1.1)
        else:
            await out.head(b"HTTP/1.1 ")
        return False

    async with serving(answer) as service, client_at(service.url) as client:
        await read(client.stream("Hello", model="m"))
        with pytest.raises(StreamInterrupted):
            await read(client.stream("Hello", model="m"))
    assert len(service.asked) == 2


# Two clocks


def looks_often(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("holystream_nb.client.stream._LOOK_S", 0.02)
    patch.setattr("holystream_nb.client.stream._SILENT_S", 0.1)


async def comments(asked: Asked, out: Writer) -> None:
    """Alive, and without output."""
    await out.head()
    while not out.raw.transport.is_closing():
        await out.chunk(b": keep-alive\n\n")
        await asyncio.sleep(0.02)


async def thoughts(asked: Asked, out: Writer) -> None:
    """Reasoning for longer than the limit, then an answer."""
    await out.head()
    for _ in range(20):
        await out.event({"choices": [{"delta": {"reasoning_content": "hm "}}]})
        await asyncio.sleep(0.03)
    await out.text("done")
    await out.finish()
    await out.event("[DONE]")
    await out.end()


async def test_keep_alives_are_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that only says that it is alive ends at the progress limit, which the error names."""
    looks_often(monkeypatch)
    async with serving(comments) as service, client_at(service.url, inactivity=0.3, progress_timeout=0.3) as client:
        stream = client.stream("Hello", model="m")
        with pytest.raises(Stalled, match="progress_timeout"):
            await read(stream)
        assert await service.emptied()


@pytest.mark.slow
async def test_reasoning_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thinking that is seen resets the clock."""
    looks_often(monkeypatch)
    async with serving(thoughts) as service, client_at(service.url, progress_timeout=0.3) as client:
        reply = await read(client.stream("Hello", model="m"))
    assert (reply.text, reply.finish_reason) == ("done", "stop")


@pytest.mark.slow
async def test_the_view_is_told_of_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sign of life, or alive without output: which of the two, and for how long."""
    looks_often(monkeypatch)
    for answer, words in (
        (silent, "no sign of life for"),
        (endless, "no sign of life for"),
        (comments, "alive, no output"),
    ):
        async with serving(answer) as service, client_at(service.url) as client:
            stream = client.stream("Hello", model="m")
            task = asyncio.create_task(read(stream))
            await asyncio.sleep(0.3)
            assert words in stream.progress.notice
            stream.stop()
            await task
            assert stream.progress.notice == ""


# The pool


async def test_waiting_for_our_own_pool_is_queue_and_is_said() -> None:
    """A full pool is not the service's slowness: it is in the queue, not in TTFT, and the view says so."""

    async def answer(asked: Asked, out: Writer) -> None:
        await asyncio.sleep(0.2)
        await out.whole()

    async with serving(answer) as service, client_at(service.url, pool="low") as client:
        streams = [client.stream("Hello", model="m") for _ in range(20)]
        tasks = [asyncio.create_task(read(stream)) for stream in streams]
        await asyncio.sleep(0.1)
        waiting = [stream for stream in streams if "pool" in stream.progress.notice]
        assert len(waiting) == 10
        assert all(stream.progress.unanswered_ms is None for stream in waiting)
        replies = await asyncio.gather(*tasks)
    assert all(reply.timing.ttft_ms is not None and reply.timing.ttft_ms < 400 for reply in replies)
    assert sorted(reply.timing.queue_ms or 0 for reply in replies)[-10] > 150


# Strict, and unstreamed


async def cut(asked: Asked, out: Writer) -> bool:
    """Ends clean on the wire, as an answer that was cut behind an HTTP/1.0 upstream does."""
    await out.head()
    await out.text("half an ans")
    await out.end()
    return True


async def test_an_answer_without_its_end_is_truncated_and_strictly_an_error() -> None:
    """Nothing on the wire tells it from a whole one but the missing end."""
    async with serving(cut) as service, client_at(service.url) as client:
        assert (await read(client.stream("Hello", model="m"))).finish_reason == "truncated"
        stream = client.stream("Hello", model="m", strict=True)
        with pytest.raises(StreamInterrupted, match="end marker"):
            await read(stream)
    assert (stream.reply.text, stream.reply.finish_reason) == ("half an ans", "truncated")


async def unstreamed(asked: Asked, out: Writer) -> None:
    """Refuses to stream, and answers whole."""
    if asked.body["stream"]:
        body = b'{"error": {"message": "Your organization must be verified to stream this model.", "param": "stream"}}'
        head = b"HTTP/1.1 400 Bad Request"
    else:
        body = b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}'
        head = b"HTTP/1.1 200 OK"
    await out.head(head + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def test_where_a_service_refuses_to_stream_the_answer_is_asked_for_whole() -> None:
    """Once, with a word, and from then on at once; `stream=False` is taken too."""
    async with serving(unstreamed) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model="m")
        async for _ in stream:
            assert "does not stream" in stream.progress.notice
            break
        await stream.aclose()
        assert stream.reply.text == "whole"
        assert [asked.body["stream"] for asked in service.asked] == [True, False]
        assert "stream_options" not in service.asked[-1].body
        assert (await read(client.stream("Hello", model="m"))).finish_reason == "stop"
        assert (await read(client.stream("Hello", model="other", stream=False))).text == "whole"
    assert [asked.body["stream"] for asked in service.asked] == [True, False, False, False]


async def wants_completion_tokens(asked: Asked, out: Writer) -> None:
    if "max_completion_tokens" in asked.body:
        await out.whole()
        return
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    body = b'{"error": {"message": "%s", "code": "unsupported_parameter"}}' % said.encode()
    await out.head(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def test_a_refusal_that_names_the_right_field_is_mended_once() -> None:
    """The limit goes by the name that the service wants, for this model from then on."""
    async with serving(wants_completion_tokens) as service, client_at(service.url) as client:
        for _ in range(2):
            assert (await read(client.stream("Hello", model="m", max_tokens=7))).text == "Hello"
    assert [asked.body.get("max_completion_tokens") for asked in service.asked] == [None, 7, 7]
