"""When the page painted: two clocks, from two messages; and the way from the page's word to `reply.timing.parts`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from holystream_nb import Client, Simulator
from holystream_nb.live.feed import Feed
from holystream_nb.live.lane import Lane
from holystream_nb.live.painted import painted
from holystream_nb.live.saved import bundle
from holystream_nb.live.show import draw

AHEAD = 123_456.0
"""By how much the page's clock is ahead of the kernel's (ms)."""


@pytest.mark.parametrize(("there", "back"), [(10, 10), (4, 26), (26, 4), (0, 0)])
def test_the_paint_lies_within_the_stated_error(there: float, back: float) -> None:
    """However the round trip is divided between the two ways; in equal halves there is no error at all."""
    sent, read, paint = 1000.0, 990.0, 1011.0
    said = {"at": paint + AHEAD, "sent": 1020 + AHEAD, "down": there + AHEAD}
    found = painted(said, came=1020 + back, read=read)
    assert sent < paint
    assert found is not None
    assert found.error_ms == pytest.approx((there + back) / 2)
    assert abs(found.ms - 21) <= found.error_ms + 1e-6
    if there == back:
        assert found.ms == pytest.approx(21)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"at": 1, "sent": 1},
        {"at": 1, "sent": 1, "down": None},
        {"at": "1", "sent": 1, "down": 1},
        {"at": float("nan"), "sent": 1, "down": 1},
        {"at": 1, "sent": 50, "down": 1},  # it would have come before it was sent
        {"at": -1e6, "sent": 2, "down": 1},  # painted before it was read
        {"at": 1, "sent": 1, "down": 1e9},
    ],
)
def test_what_cannot_be_is_not_believed(said: dict[str, Any]) -> None:
    """A page may say anything."""
    assert painted(said, came=5, read=3) is None


class Page:
    """A view that paints the first text 20 ms after it came, by a clock of its own."""

    def __init__(self) -> None:
        self.keyframe: dict[str, Any] = {}
        self.verdict = ""
        self.said: list[dict[str, Any]] = []
        self.feed: Feed | None = None
        self.paints: list[asyncio.Task[None]] = []

    def send(self, content: dict[str, Any]) -> None:
        self.said.append(content)
        if content["kind"] == "delta" and "sent" in content:
            down = time.perf_counter_ns() / 1e6 + AHEAD - content["sent"]
            self.paints.append(asyncio.ensure_future(self._paint(content["lane"], down)))

    async def _paint(self, lane: int, down: float) -> None:
        await asyncio.sleep(0.02)
        at = time.perf_counter_ns() / 1e6 + AHEAD
        assert self.feed is not None
        for _ in range(2):  # a second view says it again
            self.feed.hear(self, {"kind": "painted", "lane": lane, "at": at, "sent": at, "down": down})
            at += 1000

    def close(self) -> None: ...


async def test_the_paint_is_a_part_of_the_reply() -> None:
    """One delta of a lane has the kernel's clock; the first word of a page counts; the saved record has the
    parts, and what is drawn of it no HTML."""
    page = Page()
    with Simulator() as simulator:
        async with (
            Client("simulator", base_url=simulator.url) as client,
            client.stream("Hello", model="gpt-4.1#tokens=30,rate=100") as stream,
        ):
            lane = Lane(stream, label="gpt-4.1", provider="simulator")
            page.feed = Feed(page, [lane])
            await draw(page.feed, [lane])
            page.feed.close()
    assert sum("sent" in said for said in page.said if said["kind"] == "delta") == 1
    parts = lane.reply.timing.parts
    assert parts.paint_ms is not None
    assert parts.paint_error_ms is not None
    assert 20 - parts.paint_error_ms <= parts.paint_ms < 500
    assert "<" not in bundle([lane])[0]["text/markdown"]
    assert bundle([lane])[1]["holystream"]["parts_ms"]["paint"] == pytest.approx(parts.paint_ms, abs=0.001)


async def test_a_word_of_a_lane_that_has_no_text_is_not_heeded() -> None:
    """Nor of one that there is not."""
    page = Page()
    with Simulator() as simulator:
        async with Client("simulator", base_url=simulator.url) as client:
            lane = Lane(client.stream("Hello", model="gpt-4.1"), label="a", provider="simulator")
            feed = Feed(page, [lane])
            for number in (0, 7, None, "0", []):
                feed.hear(page, {"kind": "painted", "lane": number, "at": 1, "sent": 1, "down": 1})
            await asyncio.sleep(0)
    assert lane.painted is None
