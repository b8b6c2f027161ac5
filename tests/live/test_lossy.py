"""Any message between kernel and page may be lost, doubled or late, the last one too: in the end both agree.

The real feed in Python, the real feed in TypeScript, a lossy pipe between them, virtual time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossy import IS_BUILDABLE, Calling, Page, Speaking, Weather
from missing import needs
from virtual import run_virtually

from holystream_nb.live.feed import Feed
from holystream_nb.live.lane import Lane
from holystream_nb.live.show import draw

pytestmark = [
    pytest.mark.slow,
    needs(IS_BUILDABLE, "NO NODE OR NO esbuild UNDER frontend/node_modules: what the page's code does is NOT TESTED"),
]

AGREES_S = 5.0
"""How long after the flood both sides agree at the latest."""

losses = st.sampled_from([0.0, 0.2, 0.5, 0.9])
weathers = st.builds(
    Weather,
    seed=st.integers(0, 10**6),
    ends=st.sampled_from([1.5, 3.0, 6.0]),
    down=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    up=losses,
    doubled=st.sampled_from([0.0, 0.3]),
    late=st.sampled_from([0.0, 0.4]),
)


class Widget:
    """A live view's half in the kernel, and the pages that have it."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.is_closed = False
        self.is_forgotten = False
        self._keyframe: dict[str, Any] = {}

    @property
    def keyframe(self) -> dict[str, Any]:
        return self._keyframe

    @keyframe.setter
    def keyframe(self, state: dict[str, Any]) -> None:
        self._keyframe = state
        for page in self.pages:
            page.update({"keyframe": state})

    def send(self, content: dict[str, Any]) -> None:
        for page in self.pages:
            page.send(content)

    def close(self) -> None:
        self.is_closed = True

    def forget(self) -> None:
        self.is_forgotten = True


def feeding(*sources: Speaking) -> tuple[Feed, list[Lane], Widget]:
    loop = asyncio.get_running_loop()
    lanes = [
        Lane(each, label=each.name, provider="p", questions=each.questions if isinstance(each, Calling) else None)
        for each in sources
    ]
    widget = Widget()
    return Feed(widget, lanes, clock=loop.time, later=loop.call_later), lanes, widget


def appear(page: Page, feed: Feed, lanes: list[Lane], widget: Widget) -> None:
    """The view is on a page."""
    widget.pages.append(page)
    page.hear = lambda message: feed.hear(widget, message)
    titles = [lane.title for lane in lanes]
    page.tell("live", traits={"lanes": titles, "keyframe": widget.keyframe, "format": "markdown"})
    page.tell("appeared", view=f"view of {page.name}")


def agree(page: Page, lanes: list[Lane], feed: Feed) -> bool:
    shown = page.shows()
    theirs = [(lane["text"], lane["state"], lane["figures"], lane["units"], lane["calls"]) for lane in shown["lanes"]]
    ours = [
        (lane.reply.text, lane.state, lane.status()["figures"], lane.status()["units"], lane.cards()) for lane in lanes
    ]
    return shown["whole"] and not shown["behind"] and theirs == ours and shown["verdict"] == feed.verdict


@given(weathers, st.booleans(), st.booleans())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_live_view_has_all_of_it_in_the_end(weather: Weather, stops: bool, several: bool) -> None:
    """Text, states, figures and the comparison; a Stop is seen; after the last view the widget is closed."""

    async def main() -> None:
        page = Page(weather)
        loop = asyncio.get_running_loop()
        sources = [Speaking(60, name="a"), *([Speaking(20, name="b")] if several else [])]
        feed, lanes, widget = feeding(*sources)
        appear(page, feed, lanes, widget)
        feed.start()
        if stops:
            loop.call_later(1.0, lambda: page.tell("say", message={"kind": "stop", "lane": 0}))
        await draw(feed, lanes)
        feed.close()
        feed.end()
        await asyncio.sleep(max(0.0, weather.ends - loop.time()) + AGREES_S)
        assert agree(page, lanes, feed)
        assert not widget.is_closed
        await asyncio.sleep(20)  # until the view has been told for the last time that it stays
        before = len(page.said), len(page.sent)
        await asyncio.sleep(30)
        assert (len(page.said), len(page.sent)) == before, "an idle page and kernel say nothing"
        page.tell("left", view=f"view of {page.name}")
        await asyncio.sleep(0.1)
        assert widget.is_closed

    run_virtually(main())


happenings = st.lists(
    st.tuples(st.floats(0.0, 6.0), st.integers(0, 1), st.sampled_from(["reload", "reload", "stop", "sleep"])),
    max_size=5,
)


@given(weathers, happenings)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_pages_with_tools_have_all_of_it_in_the_end(weather: Weather, deeds: list[tuple[float, int, str]]) -> None:
    """Either may allow a call, stop, be reloaded at any time, or sleep for half a minute."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        feed, lanes, widget = feeding(Calling(40, name="a"), Calling(20, name="b"))
        pages = [Page(weather, f"page {number}") for number in range(2)]
        for page in pages:
            appear(page, feed, lanes, widget)
        feed.start()
        reader = asyncio.ensure_future(allowing(pages))

        def befall(which: int, deed: str, name: str) -> None:
            page = pages[which]
            if page.is_asleep:
                return
            if deed == "stop":
                page.tell("say", message={"kind": "stop", "lane": 0})
            elif deed == "sleep":
                page.sleep()
            else:
                page.close()
                widget.pages.remove(page)
                pages[which] = Page(weather, name)
                appear(pages[which], feed, lanes, widget)

        for number, (at, which, deed) in enumerate(deeds):
            loop.call_at(at, befall, which, deed, f"page {which} {number}")
        loop.call_at(30, lambda: [page.wake() for page in pages if page.is_asleep])
        async with asyncio.timeout(100):
            await draw(feed, lanes)
        feed.close()
        feed.end()
        await asyncio.sleep(max(0.0, max(weather.ends, 30) - loop.time()) + AGREES_S)
        reader.cancel()
        for page in pages:
            assert agree(page, lanes, feed)
        for lane in lanes:
            assert len(set(lane.source.done)) == len(lane.source.done)

    run_virtually(main())


async def allowing(pages: list[Page]) -> None:
    """A reader at every page, who allows every call that asks there, once."""
    allowed: set[tuple[str, int, int]] = set()
    while True:
        await asyncio.sleep(0.7)
        for page in pages:
            shown = [] if page.is_asleep else page.shows()["lanes"]
            asking = [
                (lane, each["number"])
                for lane, all in enumerate(shown)
                for each in all["calls"]
                if each["state"] == "asking"
            ]
            for lane, call in asking:
                if (page.name, lane, call) not in allowed:
                    allowed.add((page.name, lane, call))
                    page.tell("say", message={"kind": "consent", "lane": lane, "call": call, "answer": "allow"})
