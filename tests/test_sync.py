"""hs.run: the one bridge from synchronous code."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from holystream_nb import Client, Finish, Simulator, Text, Usage, run, run_tools
from holystream_nb.client.options import client_options
from holystream_nb.errors import SetupError, StreamInterrupted
from holystream_nb.session import session

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


async def double(value: int) -> int:
    await asyncio.sleep(0.001)
    return 2 * value


def test_it_runs_without_a_loop_and_keeps_one_per_thread() -> None:
    """The loop stays, so that connections stay warm; another thread has its own."""

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    here = run(loop())
    assert run(double(3)) == 6
    assert run(loop()) is here
    there: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: there.append(run(loop())))
    thread.start()
    thread.join()
    assert there[0] is not here


def test_an_error_comes_out_as_it_is() -> None:
    """Nothing is wrapped, and no error of ours stands before it in a script ("During handling of …")."""

    async def fail() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is") as caught:
        run(fail())
    assert caught.value.__context__ is None


def files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a listing opens one itself


@pytest.mark.slow
@linux
@pytest.mark.parametrize("how", ["thread", "asyncio.run"])
def test_a_loop_that_ends_takes_its_connections_with_it(simulator: Simulator, how: str) -> None:
    """Threads that come and go, and loops of one's own, leave no file open: the loop's, the session's clients'.

    In a process of its own, in which nothing else opens and closes any.
    """
    code = f"""
import asyncio, gc, os, threading, time
from holystream_nb.client.options import client_options
from holystream_nb.session import session
from holystream_nb.sync import run

async def ask():
    client, model = await session.choose("simulator:gpt-4.1", client_options(base_url="{simulator.url}"))
    async with client.stream("count to 2", model=model) as stream:
        return "".join([text async for text in stream.texts()])

def work():
    said.append(run(ask()) if "{how}" == "thread" else asyncio.run(ask()))

def files():
    return len(os.listdir("/proc/self/fd"))

said = []
before = files()
for _ in range(20):
    if "{how}" == "thread":
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
deadline = time.monotonic() + 5
while files() > before and time.monotonic() < deadline:
    time.sleep(0.05)
print(said == ["1, 2"] * 20, files() - before, all(not loop.is_closed() for loop in session._clients._of))
"""
    assert in_a_process(code) == "True 0 True\n"


@pytest.mark.slow
@linux
async def test_a_tool_that_asks_a_model_leaves_no_file_open(simulator: Simulator) -> None:
    """A sync tool runs in a thread of its own, and `hs.run` in it makes a loop: both end with the call."""

    def translate(text: str) -> str:
        """Asks another model."""

        async def ask() -> str:
            client, model = await session.choose("simulator:gpt-4.1", client_options(base_url=simulator.url))
            async with client.stream("count to 2", model=model) as stream:
                return "".join([text async for text in stream.texts()])

        return run(ask())

    async with Client("simulator", base_url=simulator.url) as client:
        call = run_tools(client, "Use translate.", tools=[translate], model="gpt-4.1#rounds=1", consent="all")
        await call
        before = files()
        for _ in range(20):
            call = run_tools(client, "Use translate.", tools=[translate], model="gpt-4.1#rounds=1", consent="all")
            await call
            assert [each.result for each in call.calls] == ["1, 2"]
        deadline = time.monotonic() + 5
        while files() > before and time.monotonic() < deadline:  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(0.05)
        assert files() <= before


def in_a_process(code: str) -> str:
    """Runs code in a fresh interpreter: nesting patches asyncio for good."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_nests_in_a_running_loop() -> None:
    """A synchronous call inside a coroutine gets its result, and the loop goes on."""
    code = """
import asyncio, holystream_nb as hs
async def inner():
    await asyncio.sleep(0.01)
    return "inner"
def synchronous():
    return hs.run(inner())
async def outer():
    first = synchronous()
    await asyncio.sleep(0.01)
    return first, await asyncio.gather(inner(), inner())
print(asyncio.run(outer()))
"""
    assert in_a_process(code) == "('inner', ['inner', 'inner'])\n"


def test_a_cancelled_caller_cancels_what_runs_inside() -> None:
    """■ cancels the awaiting cell, which waits in a synchronous call: the inner awaitable hears it and cleans up."""
    code = """
import asyncio, holystream_nb as hs
async def inner():
    try:
        await asyncio.sleep(30)
    finally:
        print("cleaned up")
async def outer():
    try:
        hs.run(inner())
    except KeyboardInterrupt:
        print("interrupted")
async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(outer())
    loop.call_later(0.2, task.cancel)
    await asyncio.wait([task])
asyncio.run(main())
"""
    started = time.monotonic()
    assert in_a_process(code) == "cleaned up\ninterrupted\n"
    assert time.monotonic() - started < 10


def test_ctrl_c_cancels_waits_for_the_clean_up_and_goes_on() -> None:
    """KeyboardInterrupt comes out after the awaitable has cleaned up."""
    code = """
import asyncio, os, signal, threading, holystream_nb as hs
async def work():
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    hs.run(work())
except KeyboardInterrupt:
    print("interrupted")
async def after():
    return "still works"
print(hs.run(after()))
"""
    assert in_a_process(code) == "cleaned up\ninterrupted\nstill works\n"


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    client = Client("simulator", base_url=simulator.url)
    yield client
    run(client.aclose())


def test_a_stream_is_a_plain_loop_in_a_script(client: Client) -> None:
    """`for event in hs.run(client.stream(…))` gives every event, and the reply is whole after it."""
    stream = client.stream("count to 12", model="gpt-4.1")
    events = list(run(stream))
    assert "".join(event.text for event in events if isinstance(event, Text)) == stream.reply.text
    assert isinstance(events[-1], Usage | Finish)
    assert stream.reply.finish_reason == "stop"


def test_texts_have_no_reasoning(client: Client) -> None:
    """The answer alone, as a plain loop and as an async one; the reasoning is in the reply."""
    stream = client.stream("count to 12", model="sim-reasoner")
    assert "".join(run(stream.texts())) == stream.reply.text
    assert stream.reply.reasoning

    async def read() -> list[str]:
        async with client.stream("count to 3", model="sim-reasoner") as stream:
            return [text async for text in stream.texts()]

    assert "".join(run(read())) == "1, 2, 3"


@pytest.mark.parametrize("what", ["events", "texts"])
def test_a_loop_that_is_left_closes_the_connection(client: Client, simulator: Simulator, what: str) -> None:
    """`break` stops the answer, at the service too."""
    stream = client.stream("count to 12", model="gpt-4.1#first=0,stall=60")
    for _ in run(stream if what == "events" else stream.texts()):
        break
    assert stream.reply.finish_reason == "stopped"
    assert is_idle(simulator)


def test_an_error_of_the_loop_closes_the_connection(client: Client, simulator: Simulator) -> None:
    """What the body raises goes on, and the answer is stopped."""
    stream = client.stream("count to 12", model="gpt-4.1#first=0,stall=60")

    def read() -> None:
        for _ in run(stream):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert stream.reply.finish_reason == "stopped"
    assert is_idle(simulator)


def test_a_failure_comes_out_of_the_loop(client: Client) -> None:
    """What had arrived is there, then the stream's own error."""
    stream = client.stream("count to 12", model="gpt-4.1#cut=3")
    texts: list[str] = []
    with pytest.raises(StreamInterrupted):
        texts.extend(run(stream.texts()))
    assert stream.reply.text == "".join(texts) != ""


def test_what_cannot_be_run_is_refused_in_a_sentence() -> None:
    """A text, or a function that was not called."""
    for wrong in ("Hi", double):
        with pytest.raises(SetupError, match=r"^hs\.run takes .* and not (str|function)\.$"):
            run(wrong)  # type: ignore[call-overload]


def test_a_dropped_iterator_closes_its_stream_from_any_thread(client: Client, simulator: Simulator) -> None:
    """An iterator that another thread lets go of stops the stream all the same."""
    stream = client.stream("count to 12", model="gpt-4.1#first=0,stall=60")
    events = iter(run(stream))
    next(events)
    thread = threading.Thread(target=events.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    run(asyncio.sleep(0.1))
    run(stream.aclose())
    assert stream.reply.finish_reason == "stopped"
    assert is_idle(simulator)


@pytest.mark.slow
def test_a_plain_loop_nests_in_a_running_loop(simulator: Simulator) -> None:
    """In a notebook a loop runs already: the plain loop works there, and the running one goes on between events."""
    code = f"""
import asyncio, holystream_nb as hs
async def main():
    ticks = []
    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)
    ticking = asyncio.ensure_future(tick())
    async with hs.Client("simulator", base_url="{simulator.url}") as client:
        print("".join(hs.run(client.stream("count to 5", model="gpt-4.1#rate=100").texts())), len(ticks) > 5)
    ticking.cancel()
asyncio.run(main())
"""
    assert in_a_process(code) == "1, 2, 3, 4, 5 True\n"


@pytest.mark.slow
def test_ctrl_c_in_a_plain_loop_closes_the_connection(simulator: Simulator) -> None:
    """It stops the wait for the next event, closes the connection, and comes out."""
    code = f"""
import os, signal, threading, holystream_nb as hs
client = hs.Client("simulator", base_url="{simulator.url}")
stream = client.stream("count to 12", model="gpt-4.1#first=0,stall=60")
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for event in hs.run(stream):
        pass
except KeyboardInterrupt:
    print("interrupted", stream.reply.finish_reason)
print(hs.run(client.aclose()))
"""
    assert in_a_process(code) == "interrupted stopped\nNone\n"
    assert is_idle(simulator)


def is_idle(simulator: Simulator) -> bool:
    """Whether no answer runs there any more, soon."""
    deadline = time.monotonic() + 1
    while simulator.active() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not simulator.active()
