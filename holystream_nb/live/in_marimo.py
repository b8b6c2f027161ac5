"""Answers in a marimo notebook: the live view, which marimo keeps with the notebook's outputs as it is.

marimo shows a cell's last value in the place of what the cell has shown before: a Reply is drawn as the answer that it
is. Its kernel takes one request after the other, and a cell is one: a click on Stop would come when the cell has ended.
Who reads in `marimo edit` has its ■, in `marimo run` nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from ..reply import Progress, Reply
from .feed import Feed
from .lane import Lane
from .saved import bundle
from .widget import LiveView


async def show_in_marimo(lanes: Sequence[Lane], draw: Callable[[Feed, Sequence[Lane]], Awaitable[None]]) -> None:
    """Draws lanes live, with `show.draw`.

    What had come of one that fails is printed too: marimo puts the error in the view's place.
    """
    import marimo

    _draw_replies()
    view = LiveView(lanes=[lane.title for lane in lanes], format=lanes[0].format)
    feed = Feed(view, lanes)
    view.on_msg(feed.hear)
    marimo.output.append(view)
    feed.start()
    try:
        await draw(feed, lanes)
    finally:
        feed.close()
        view.keyframe = feed.snapshot()  # what a page that is loaded again, or an exported one, starts with
        if any(lane.error is not None or lane.state == "stopped" for lane in lanes):
            print(bundle(lanes)[0]["text/plain"])


def drawn(reply: Reply) -> LiveView:
    """An answer that has ended, as a view."""
    lane = Lane(
        _Ended(reply),
        label=reply.model,
        provider=reply.provider,
        note="simulator" if reply.provider == "simulator" else "",
        format="json" if reply.data is not None else "markdown",
    )
    lane.end(reply.error)
    whole = {"seq": 1, "lanes": [lane.snapshot()], "verdict": "", "whole": True}
    return LiveView(lanes=[lane.title], format=lane.format, keyframe=whole)


class _Ended:
    """The source of a lane that only shows how it ended."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    @property
    def progress(self) -> Progress:
        return Progress(0.0, None, 0, None, 0, 0.0, "")

    def stop(self) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Any]:
        return
        yield


def _draw_replies() -> None:
    """Has marimo draw every Reply that is a cell's value."""
    from marimo._output.formatting import as_html, formatter

    def mime(reply: Any) -> Any:
        return as_html(drawn(reply))._mime_()

    formatter(Reply)(mime)
