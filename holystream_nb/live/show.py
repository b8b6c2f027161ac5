"""Lanes on whatever screen there is: a live view in a notebook, plain text elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import HolystreamError
from ..events import Reasoning, Text, ToolCallPart
from ..tools.call import Call
from .lane import Lane
from .questions import NOBODY
from .saved import bundle
from .terminal import print_lanes


async def show(lanes: Sequence[Lane]) -> None:
    """Draws lanes until all have ended; a lane's failure is in its `error`, and does not end the others.

    A cancellation stops every lane, leaves what arrived on the screen, and goes on.
    """
    shell = current_shell()
    if shell is None or getattr(shell, "kernel", None) is None:
        await print_lanes(lanes)
    elif is_watched(shell):
        await _show_live(lanes)
    else:
        await _show_result(lanes)


def current_shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def is_watched(shell: Any) -> bool:
    """Whether somebody looks on: not under `%%capture`, and not where a cell is run without a person.

    nbclient, nbval, papermill and `jupyter execute` say so themselves: their requests have `allow_stdin` false. A
    widget there would be saved in the notebook's metadata, code and all.
    """
    from IPython.core.displaypub import CapturingDisplayPublisher

    captured = isinstance(shell.display_pub, CapturingDisplayPublisher)
    return not captured and bool(getattr(shell.kernel, "_allow_stdin", True))


async def _show_result(lanes: Sequence[Lane]) -> None:
    from IPython.display import display

    for lane in lanes:
        lane.questions.close(NOBODY)
    try:
        await _gather(_consume(lane) for lane in lanes)
    finally:
        data, metadata = bundle(lanes)
        display(data, raw=True, metadata=metadata)


async def _consume(lane: Lane) -> None:
    error: HolystreamError | None = None
    try:
        async for _ in lane.source:
            pass
    except HolystreamError as exc:
        error = exc
    finally:
        lane.end(error)


async def _show_live(lanes: Sequence[Lane]) -> None:
    from IPython.display import display

    from .feed import Feed
    from .widget import LiveView

    view = LiveView(lanes=[lane.title for lane in lanes], format=lanes[0].format)
    publish = current_shell().display_pub.publish  # that of now: later another may be there, to capture
    feed = Feed(view, lanes)
    view.on_msg(feed.hear)
    handle = display(view, display_id=True)
    feed.start()
    try:
        await draw(feed, lanes)
    finally:
        feed.close()
        data, metadata = bundle(lanes)
        transient = {"display_id": handle.display_id}
        feed.end(lambda: publish(data=data, metadata=metadata, transient=transient, update=True))


async def draw(feed: Any, lanes: Sequence[Lane]) -> None:
    """Draws lanes side by side into a feed until all have ended; a lane's failure is in its `error`."""
    await _gather(_draw(feed, index, lane) for index, lane in enumerate(lanes))


async def _draw(feed: Any, index: int, lane: Lane) -> None:
    error: HolystreamError | None = None
    try:
        async for event in lane.source:
            kind = type(event)
            if kind is Text:
                feed.draw(index, text=event.text, read=event.read)  # type: ignore[union-attr]  # mypy does not narrow on `kind is`
            elif kind is Reasoning:
                feed.draw(index, reasoning=event.text, read=event.read)  # type: ignore[union-attr]
            elif kind is ToolCallPart:
                feed.draw_calls(index)
            elif kind is Call:
                feed.status(index)
    except HolystreamError as exc:
        error = exc
    finally:
        feed.flush()
        lane.end(error)
        if lane.is_parted:
            feed.redraw()
        feed.status(index)


async def _gather(draws: Any) -> None:
    """Runs them side by side; a cancellation cancels all of them and waits until each has cleaned up."""
    tasks = [asyncio.ensure_future(draw) for draw in draws]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        raise
