"""Rollout: the split, what it tells its guard, and what it shows; for real against a simulator that gets worse."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import re
import time
import xml.etree.ElementTree as ElementTree
from array import array
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels import kernel
from raw_service import Asked, Writer, serving

from holystream_nb import Client, Guard, HolystreamError, Rollout, Simulator
from holystream_nb.errors import BadRequest, ServiceUnavailable, SetupError
from holystream_nb.events import Text, Usage
from holystream_nb.live.lane import Lane
from holystream_nb.live.show import show
from holystream_nb.migration.rollout import RolloutStream
from holystream_nb.migration.view import clock as in_words
from holystream_nb.money.cost import Cost
from holystream_nb.providers.table import provider
from holystream_nb.reply import Progress, Reply
from holystream_nb.timing import Timing

MS = 1_000_000


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ScriptedStream:
    """A client's stream whose TTFT and end are said beforehand; it waits for `gate` before it speaks."""

    def __init__(self, ttft_ms: float | None, error: HolystreamError | None, gate: asyncio.Event | None) -> None:
        self.model, self.provider, self.is_finished = "m", "simulator", False
        self._ttft_ms, self._error, self._gate = ttft_ms, error, gate
        self._left = [Text("a", 1), Text("b", 2)] if ttft_ms is not None else []
        self._spoke = False
        self._stopped = False
        self.unanswered_ms: float | None = float("inf")

    @property
    def progress(self) -> Progress:
        return Progress(0, self._ttft_ms if self._spoke else None, 0, None, 0, 0, "", self.unanswered_ms)

    @property
    def reply(self) -> Reply:
        reads = array("q", [round((self._ttft_ms or 0) * MS)]) if self._spoke else array("q")
        timing = Timing(submitted=0, sent=0, reads=reads)
        cost = Cost(None, None, False, "", "", "unknown")
        reason = "stopped" if self._stopped else "stop"
        return Reply("", "", (), reason, Usage(), timing, cost, "m", "simulator", error=self._error)

    def stop(self) -> None:
        self._stopped = True
        if self._gate is not None:
            self._gate.set()

    async def aclose(self) -> None:
        self._stopped = self._stopped or bool(self._left)

    async def __anext__(self) -> Text:
        if self._gate is not None:
            await self._gate.wait()
        if self._left and not self._stopped:
            self._spoke = True
            return self._left.pop(0)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


class ScriptedClient:
    """A client whose next streams a test describes."""

    def __init__(self) -> None:
        self.provider = provider("simulator")
        self.ttft_ms: float | None = 300
        self.error: HolystreamError | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[dict[str, Any]] = []
        self.streams: list[ScriptedStream] = []

    def stream(self, prompt: object, **options: Any) -> ScriptedStream:
        self.asked.append({"prompt": prompt, **options})
        stream = ScriptedStream(self.ttft_ms, self.error, self.gate)
        self.streams.append(stream)
        return stream


class Scene:
    """A rollout over two scripted clients and a clock."""

    def __init__(self, share: float = 100, **guard: Any) -> None:
        self.clock, self.old, self.new = Clock(), ScriptedClient(), ScriptedClient()
        routes: Any = [(self.old, 100 - share, "incumbent"), (self.new, share, "newcomer")]
        self.rollout = Rollout(routes, guard=Guard(**guard), clock=self.clock, seed=0)

    async def ask(self, after_s: float = 0, **options: Any) -> RolloutStream:
        self.clock.now += after_s
        stream = self.rollout.stream("Hello", **options)
        with contextlib.suppress(HolystreamError):
            await read(stream)
        return stream

    def log(self) -> list[tuple[float, str]]:
        return [(round(event.at_s, 3), event.kind) for event in self.rollout.state.events]


async def read(stream: RolloutStream) -> Reply:
    async with stream:
        async for _ in stream:
            pass
    return stream.reply


# The split


def sides(rollout: Rollout, ids: list[str]) -> list[str]:
    return [rollout.stream("Hello", conversation=each).side for each in ids]


@pytest.mark.slow
@given(st.lists(st.text(min_size=1), min_size=1, max_size=30), st.lists(st.floats(0.1, 60), max_size=6))
def test_a_conversation_keeps_its_side_and_moves_once_at_most(ids: list[str], steps: list[float]) -> None:
    """The same id, the same side; a step up only ever moves from old to new, and a roll back moves all to old."""
    scene = Scene(5)
    before = sides(scene.rollout, ids)
    assert sides(scene.rollout, ids) == before
    assert sides(Scene(5).rollout, ids) == before
    for step in steps:
        scene.rollout.step_up(step)
        after = sides(scene.rollout, ids)
        assert all(new == "new" for old, new in zip(before, after, strict=True) if old == "new")
        before = after
    scene.rollout.roll_back("enough")
    assert set(sides(scene.rollout, ids)) == {"old"}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 5, 30, 55, 80, 100])
def test_shares_are_what_they_say(share: float) -> None:
    """Of 4,000 conversations and of 4,000 single requests, within four standard deviations; exact at both ends."""
    rollout = Scene(share).rollout
    for streams in (
        [rollout.stream("Hello", conversation=number) for number in range(4000)],
        [rollout.stream("Hello") for _ in range(4000)],
    ):
        found = sum(stream.side == "new" for stream in streams)
        spread = 4 * (4000 * share / 100 * (1 - share / 100)) ** 0.5
        assert abs(found - 4000 * share / 100) <= spread


def test_a_step_up_moves_no_more_than_it_must() -> None:
    """From 5 to 30 %: about a quarter of the conversations, and none back."""
    rollout = Scene(5).rollout
    ids = [f"conversation {number}" for number in range(4000)]
    before = sides(rollout, ids)
    assert rollout.step_up() == 30
    moved = sum(one != other for one, other in zip(before, sides(rollout, ids), strict=True))
    assert abs(moved - 1000) < 110


def test_the_call_goes_through_as_it_is() -> None:
    """A drop-in: parameters arrive; a route's model stands over the call's."""
    scene = Scene(0)
    stream = scene.rollout.stream("Hello", model="gpt-4.1", conversation="c", timeout=3, temperature=0)
    assert scene.old.asked == [{"prompt": "Hello", "model": "incumbent", "timeout": 3, "temperature": 0}]
    assert (stream.side, stream.model, stream.provider) == ("old", "m", "simulator")
    routes: Any = [(scene.old, 100), (scene.new, 0)]
    Rollout(routes).stream("Hello", model="gpt-4.1")
    assert scene.old.asked[-1]["model"] == "gpt-4.1"


@pytest.mark.parametrize("weights", [(95, 6), (101, -1), (50, 50, 0), (100,)])
def test_routes_that_cannot_be_split_are_refused(weights: tuple[float, ...]) -> None:
    """Two sides that add up to 100 percent."""
    routes: Any = [(ScriptedClient(), weight) for weight in weights]
    with pytest.raises(SetupError, match=r"\(old, 95\), \(new, 5\)"):
        Rollout(routes)


# Commands


def test_steps_go_to_a_hundred_and_are_in_the_log() -> None:
    """5, 30, 55, 80, 100: the plan of document 004."""
    scene = Scene(5)
    assert [scene.rollout.step_up() for _ in range(4)] == [30, 55, 80, 100]
    assert scene.rollout.state.stage == "complete"
    assert [event.text for event in scene.rollout.state.events[1:]] == ["to 30 %", "to 55 %", "to 80 %", "to 100 %"]
    with pytest.raises(SetupError):
        scene.rollout.step_up(-5)


def test_the_manual_trip_rolls_back_once_with_its_reason() -> None:
    """Quality needs a human; a second word changes nothing, and there is no step up afterwards."""
    scene = Scene(30)
    scene.rollout.trip("complaints up 20 %")
    scene.rollout.trip("again")
    scene.rollout.roll_back("again")
    state = scene.rollout.state
    assert (state.stage, state.share, state.reason) == ("rolled back", 0, "quality: complaints up 20 %")
    assert [event.kind for event in state.events] == ["started", "rolled back"]
    with pytest.raises(SetupError, match=r"complaints up 20 %.*new Rollout"):
        scene.rollout.step_up()


async def test_a_step_up_during_an_alert_says_so() -> None:
    """On command means on command; the log keeps that there was an alert."""
    scene = Scene(50, min_requests=3)
    scene.new.ttft_ms = scene.old.ttft_ms = 1600
    for _ in range(12):
        await scene.ask()
    scene.rollout.step_up()
    assert scene.rollout.state.events[-1].text.startswith("to 75 %, while this alert stands: p95 TTFT is 1,600 ms")


# What it hears


async def test_slow_answers_roll_it_back_by_itself_and_once() -> None:
    """TTFT of the new side only; then everything goes to the old one, and nothing more is said."""
    scene = Scene(100)
    scene.new.ttft_ms = 2500
    for _ in range(400):
        await scene.ask(1)
    assert scene.log() == [(0, "started"), (20, "alert"), (320, "rolled back")]
    state = scene.rollout.state
    assert (state.stage, state.share, state.alerts) == ("rolled back", 0, ())
    assert state.reason == "p95 TTFT was over 2,000 ms for 300 s, and is 2,500 ms (59 requests)"
    assert len(scene.new.asked) == 319  # the 320th looks before it chooses its side
    assert len(scene.old.asked) == 81


async def test_a_slow_old_side_is_nobodys_fault() -> None:
    """The guard watches the new side; the old one is there to compare with."""
    scene = Scene(0)
    scene.old.ttft_ms, scene.old.error = 9000, ServiceUnavailable("…", status=503)
    for _ in range(400):
        await scene.ask(1)
    assert scene.log() == [(0, "started")]
    assert scene.rollout.state.old.p95_ttft_ms == 9000
    assert scene.rollout.state.old.errors == 400


async def test_failures_roll_it_back_with_their_kind() -> None:
    """The 20th failure of 20; the caller gets each error, and the old side is not asked behind its back."""
    scene = Scene(100)
    scene.new.ttft_ms, scene.new.error = None, ServiceUnavailable("…", status=503)
    stream = await scene.ask()
    assert stream.reply.error is scene.new.error
    for _ in range(19):
        await scene.ask(1)
    assert scene.rollout.state.reason == "20 of 20 requests failed in 600 s (100 %, over 1 %): 20 ServiceUnavailable"
    assert scene.old.asked == []


async def test_refused_requests_do_not_roll_it_back() -> None:
    """400 is the request's own fault as far as anyone can tell; a human is told."""
    scene = Scene(100)
    scene.new.ttft_ms, scene.new.error = None, BadRequest("…", status=400)
    for _ in range(30):
        await scene.ask(1)
    assert [kind for _, kind in scene.log()] == ["started", "alert"]
    assert scene.rollout.state.new.p95_ttft_ms is None


async def test_a_user_who_stops_early_says_nothing_about_the_service() -> None:
    """A short wait is left out; a long one counts with what it was."""
    scene = Scene(100, min_requests=1)
    for wait_s in (1.5, 1.501):
        scene.new.gate = asyncio.Event()
        task = asyncio.create_task(scene.ask())
        await asyncio.sleep(0)
        scene.clock.now += wait_s
        scene.new.streams[-1].stop()
        await task
        figures = scene.rollout.state.new
        assert (figures.errors, figures.requests) == (0, 1 if wait_s == 1.5 else 2)
        assert figures.p95_ttft_ms == (None if wait_s == 1.5 else pytest.approx(1501))


async def test_answers_that_hang_are_seen_while_they_hang() -> None:
    """No time-out is waited for: requests that wait are in p95, a new request looks, and the next goes to old."""
    scene = Scene(100, for_s=30, min_requests=5)
    scene.new.gate = asyncio.Event()
    tasks = []
    for _ in range(45):
        scene.clock.now += 1
        tasks.append(asyncio.create_task(read(scene.rollout.stream("Hello"))))
        await asyncio.sleep(0)
    state = scene.rollout.state
    assert state.stage == "rolled back"
    assert state.reason.startswith("p95 TTFT was over 2,000 ms for 30 s")
    assert len(scene.old.asked) > 0
    scene.new.gate.set()
    await asyncio.gather(*tasks)
    assert len([event for event in scene.rollout.state.events if event.kind == "rolled back"]) == 1


async def test_the_limiters_wait_is_not_the_services() -> None:
    """Only since the request went out does it wait for its first token."""
    scene = Scene(100, min_requests=1)
    scene.new.gate = asyncio.Event()
    task = asyncio.create_task(scene.ask())
    await asyncio.sleep(0)
    scene.new.streams[0].unanswered_ms = None
    scene.clock.now += 9
    assert scene.rollout.state.new.p95_ttft_ms is None
    scene.new.streams[0].unanswered_ms = 1400
    assert scene.rollout.state.new.p95_ttft_ms is None
    scene.new.streams[0].unanswered_ms = 1600
    assert scene.rollout.state.new.p95_ttft_ms == pytest.approx(1600)
    scene.new.gate.set()
    await task


@pytest.mark.slow
async def test_a_stream_that_was_dropped_does_not_wait_for_ever() -> None:
    """Begun, never closed, forgotten: no phantom in p95."""
    scene = Scene(100, min_requests=1)
    scene.new.gate = asyncio.Event()
    stream = scene.rollout.stream("Hello")
    task = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    del stream, task
    scene.new.streams.clear()
    gc.collect()
    scene.clock.now += 100
    assert scene.rollout.state.new.p95_ttft_ms is None


@pytest.mark.slow
async def test_its_memory_does_not_grow_with_its_age() -> None:
    """Windows forget, and the course is thinned out."""
    scene = Scene(100, for_s=5, over_s=10)
    for _ in range(3000):
        await scene.ask(1)
    state = scene.rollout.state
    assert len(state.history) <= 401
    assert state.history[0].at_s == 0
    assert state.new.timed <= 20
    assert state.new.requests <= 10


# What it shows


async def test_the_picture_has_a_plain_text_twin_and_nothing_active() -> None:
    """Names and reasons are only text, in HTML, in the SVG and on a terminal."""
    scene = Scene(30, min_requests=2)
    scene.new.ttft_ms = 1700
    for _ in range(20):
        await scene.ask(1)
    scene.rollout.step_up()
    scene.rollout.note = "simulator ×20"
    scene.rollout.trip("<script>alert(1)</script>\x1b[31m & 'more'")
    data = scene.rollout._repr_mimebundle_()
    text, html = data["text/plain"], data["text/html"]
    assert repr(scene.rollout) == text
    assert "Rolled back: quality: <script>" in text
    assert "\x1b" not in text + html
    assert "<script" not in html
    for part in ("simulator ×20", "old simulator:incumbent", "new simulator:newcomer", "1,700 ms", "stepped up"):
        assert part in text
        assert part in html or "simulator ×20" in part
    (source,) = re.findall(r"src='data:image/svg\+xml;base64,([^']+)'", html)
    svg = ElementTree.fromstring(base64.b64decode(source))
    words = " ".join(node.text or "" for node in svg.iter() if node.tag.endswith("text"))
    assert "simulator ×20" in words
    assert "roll back 2,000 ms" in words
    assert len([node for node in svg.iter() if node.tag.endswith("line")]) >= 4


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (99.94, "99.9 s"), (312, "5:12"), (3725, "1:02:05"), (184_200, "2 d 3:10:00")]
)
def test_times_since_the_start(seconds: float, words: str) -> None:
    """As a clock would show them, with days."""
    assert in_words(seconds) == words


# For real


@pytest.fixture
async def clients(simulator: Simulator) -> AsyncIterator[tuple[Client, Client]]:
    async with (
        Client("simulator", base_url=simulator.url, api_key="sim-key-1", backoff=0.01) as old,
        Client("simulator", base_url=simulator.url, api_key="sim-key-2", backoff=0.01) as new,
    ):
        yield old, new


async def burst(rollout: Rollout, count: int, **options: Any) -> list[RolloutStream]:
    """Requests from many tasks, a few milliseconds apart."""
    streams = []

    async def one(number: int) -> None:
        stream = rollout.stream(f"Hello {number}", max_tokens=3, **options)
        streams.append(stream)
        with contextlib.suppress(HolystreamError):
            await read(stream)

    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0.003)
    await asyncio.gather(*tasks)
    return streams


@pytest.mark.slow
async def test_a_service_that_gets_slow_is_left(clients: tuple[Client, Client]) -> None:
    """Its first token takes 0.4 s: an alert, then the roll back, and the last requests go to the old side."""
    old, new = clients
    guard = Guard(p95_ttft_ms=250, alert_ms=200, for_s=0.5, over_s=30, min_requests=5)
    rollout = Rollout([(old, 50, "gpt-4.1"), (new, 50, "deepseek-v3.2#first=0.4")], guard=guard, seed=1)
    for _ in range(20):
        await burst(rollout, 20)
        if rollout.state.stage == "rolled back":
            break
    kinds = [event.kind for event in rollout.state.events]
    assert kinds == ["started", "alert", "rolled back"]
    assert "over 250 ms for" in rollout.state.reason
    assert {stream.side for stream in await burst(rollout, 20)} == {"old"}


async def test_a_service_that_fails_is_left(clients: tuple[Client, Client]) -> None:
    """503, also where retries rescue the answer: the service failed all the same."""
    old, new = clients
    for faults, kind in (("fail=503,tries=99", "ServiceUnavailable"), ("fail=503", "retried")):
        rollout = Rollout([(old, 50, "gpt-4.1"), (new, 50, f"gpt-4.1#{faults}")], seed=1)
        streams = await burst(rollout, 60)
        assert rollout.state.stage == "rolled back"
        assert kind in rollout.state.reason
        assert rollout.state.old.errors == 0
        failed = [stream for stream in streams if stream.reply.error is not None]
        assert bool(failed) == (kind != "retried")


async def test_running_answers_end_where_they_began(clients: tuple[Client, Client]) -> None:
    """A roll back cuts nothing off."""
    old, new = clients
    rollout = Rollout([(old, 0), (new, 100)], seed=1)
    stream = rollout.stream("Hello", model="gpt-4.1#tokens=10,rate=50")
    async with stream:
        await anext(stream)
        rollout.roll_back("in the middle")
        async for _ in stream:
            pass
    assert (stream.side, stream.reply.finish_reason, stream.is_finished) == ("new", "stop", True)
    assert rollout.stream("Hello").side == "old"


async def test_its_streams_can_be_drawn_like_any_others(
    clients: tuple[Client, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """A lane's source; Stop ends it."""
    old, new = clients
    rollout = Rollout([(old, 0), (new, 100)], seed=1)
    stream = rollout.stream("Repeat after me: sheep", model="gpt-4.1")
    await show([Lane(stream, label="new", provider=stream.provider)])
    assert "sheep" in capsys.readouterr().out
    stopped = rollout.stream("Hello", model="gpt-4.1#stall=30")
    asyncio.get_running_loop().call_later(0.2, stopped.stop)
    assert (await read(stopped)).finish_reason == "stopped"
    assert rollout.state.new.errors == 0


def test_outside_of_a_notebook_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The plain-text twin, once."""
    scene = Scene(5)
    scene.rollout.show()
    assert capsys.readouterr().out == f"{scene.rollout!r}\n"


SHOWN = """
import asyncio, holystream_nb as hs
clients = [hs.Client("simulator", base_url="{url}", api_key="sim-key-1") for _ in range(2)]
rollout = hs.Rollout([(clients[0], 50), (clients[1], 50)], seed=1, note="simulator, unpaced")
rollout.show()
"""
TRAFFIC = """
async def one(number):
    async with rollout.stream(f"Hello {number}", max_tokens=3) as stream:
        async for _ in stream:
            pass
for number in range(60):
    await one(number)
    await asyncio.sleep(0.01)
rollout.trip("complaints")
await asyncio.sleep(0.5)
"""


@pytest.mark.slow
def test_in_a_notebook_it_is_kept_up_to_date_in_place(simulator: Simulator) -> None:
    """Updates of the same output, a few times a second at most, also from a later cell; the last state is the last."""
    with kernel() as running:
        (first,) = running.run(SHOWN.format(url=simulator.url)).all("display_data")
        started = time.monotonic()
        ran = running.run(TRAFFIC)
        took = time.monotonic() - started
        shown = running.run("rollout").all("execute_result")
    updates = ran.all("update_display_data")
    assert {update["transient"]["display_id"] for update in updates} == {first["transient"]["display_id"]}
    assert 2 <= len(updates) <= 2 + took / 0.3
    assert "started" in first["data"]["text/plain"]
    assert "Rolled back: quality: complaints" in updates[-1]["data"]["text/plain"]
    assert set(updates[-1]["data"]) == {"text/plain", "text/html"}
    assert "complaints" in shown[0]["data"]["text/html"]


@pytest.mark.slow
async def test_what_waits_for_a_connection_of_our_own_pool_is_not_the_service_s_slowness() -> None:
    """Eighty requests at once over a pool of ten: the last ones wait for seconds, and a healthy service stays."""

    async def answer(asked: Asked, out: Writer) -> None:
        await asyncio.sleep(0.1)
        await out.whole()

    guard = Guard(p95_ttft_ms=400, alert_ms=300, for_s=0.2, min_requests=5)
    async with serving(answer) as service, Client("ollama", base_url=service.url, pool="low") as client:
        rollout = Rollout([(client, 0), (client, 100)], guard=guard)

        async def ask() -> None:
            async with rollout.stream("Hello", model="m") as stream:
                async for _ in stream:
                    pass

        asking = [asyncio.create_task(ask()) for _ in range(80)]
        while not all(task.done() for task in asking):
            await asyncio.sleep(0.05)
            assert rollout.state.stage == "complete", rollout.state.reason
        await asyncio.gather(*asking)
    assert rollout.state.alerts == ()
    assert (rollout.state.new.p95_ttft_ms or 0) < 300
