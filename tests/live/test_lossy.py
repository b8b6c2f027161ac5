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
from lossy import IS_BUILDABLE, Page, Speaking, Weather
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
    """A live view's half in the kernel."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.is_closed = False
        self.is_forgotten = False

    @property
    def keyframe(self) -> dict[str, Any]:
        return {}

    @keyframe.setter
    def keyframe(self, state: dict[str, Any]) -> None:
        self.page.update({"keyframe": state})

    def send(self, content: dict[str, Any]) -> None:
        self.page.send(content)

    def close(self) -> None:
        self.is_closed = True

    def forget(self) -> None:
        self.is_forgotten = True


def feeding(page: Page, *sources: Speaking) -> tuple[Feed, list[Lane], Widget]:
    loop = asyncio.get_running_loop()
    lanes = [Lane(source, label=source.name, provider="p") for source in sources]
    widget = Widget(page)
    feed = Feed(widget, lanes, clock=loop.time, later=loop.call_later)
    page.hear = lambda message: feed.hear(widget, message)
    page.tell("live", traits={"lanes": [lane.title for lane in lanes], "keyframe": {}, "format": "markdown"})
    return feed, lanes, widget


def agree(page: Page, lanes: list[Lane], feed: Feed) -> bool:
    shown = page.shows()
    theirs = [(lane["text"], lane["state"], lane["figures"], lane["units"]) for lane in shown["lanes"]]
    ours = [(lane.reply.text, lane.state, lane.status()["figures"], lane.status()["units"]) for lane in lanes]
    return shown["whole"] and not shown["behind"] and theirs == ours and shown["verdict"] == feed.verdict


@given(weathers, st.booleans(), st.booleans())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_live_view_has_all_of_it_in_the_end(weather: Weather, stops: bool, several: bool) -> None:
    """Text, states, figures and the comparison; a Stop is seen; after the last view the widget is closed."""

    async def main() -> None:
        page = Page(weather)
        loop = asyncio.get_running_loop()
        sources = [Speaking(60, name="a"), *([Speaking(20, name="b")] if several else [])]
        feed, lanes, widget = feeding(page, *sources)
        page.tell("appeared", view="v")
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
        page.tell("left", view="v")
        await asyncio.sleep(0.1)
        assert widget.is_closed

    run_virtually(main())
