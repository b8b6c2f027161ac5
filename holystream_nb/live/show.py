"""Lanes on whatever screen there is: a live view in a notebook, plain text elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from ..errors import HolystreamError
from ..events import Reasoning, Text, ToolCallPart
from ..tools.call import Call
from .lane import Lane
from .questions import NOBODY
from .saved import bundle
from .screen import current_shell, screen
from .terminal import print_lanes
from .turns import turn


async def show(lanes: Sequence[Lane]) -> None:
    """Draws lanes until all have ended; a lane's failure is in its `error`, and does not end the others.

    A cancellation stops every lane, leaves what arrived on the screen, and goes on.
    """
    on = screen()
    if on == "page":
        await _show_live(lanes)
    elif on == "file":
        await _show_result(lanes)
    elif on == "marimo":
        from .in_marimo import show_in_marimo  # late: it brings ipywidgets

        await show_in_marimo(lanes, draw)
    else:
        await print_lanes(lanes)


async def _show_result(lanes: Sequence[Lane]) -> None:
    from IPython.display import display

    for lane in lanes:
        lane.questions.close(NOBODY)
    with turn() as ours:
        try:
            await _gather(_consume(lane) for lane in lanes)
        finally:
            data, metadata = bundle(lanes)
            ours.show(lambda: display(data, raw=True, metadata=metadata))


async def _consume(lane: Lane) -> None:
    error: HolystreamError | None = None
    try:
        async for _ in lane.events():
            pass
    except HolystreamError as exc:
        error = exc
    finally:
        lane.end(error)


async def _show_live(lanes: Sequence[Lane]) -> None:
    from IPython.display import display

    from .cells import cells
    from .feed import Feed
    from .marks import MARK
    from .page import page
    from .widget import LiveView

    cells.begin()
    shown = cells.show(lambda: [entry.id for lane in lanes if (entry := lane.entry) and entry.id])
    view = LiveView(lanes=[lane.title for lane in lanes], format=lanes[0].format, answer=shown.id)
    shown.view = view.model_id
    publish = current_shell().display_pub.publish  # that of now: later another may be there, to capture
    feed = Feed(view, lanes)
    view.on_msg(feed.hear)
    handle = display(view, display_id=True, metadata={MARK: shown.mark})
    cells.tell(shown)
    feed.start()
    try:
        await draw(feed, lanes)
    finally:
        feed.close()
        data, metadata = cells.end_of(shown, *bundle(lanes))
        transient = {"display_id": handle.display_id}

        def replace() -> None:
            publish(data=data, metadata=metadata, transient=transient, update=True)
            cells.tell(shown)

        feed.end(replace)
        if page.asking() is None:
            await _display_anew(feed, data, {**metadata}, transient)


async def _display_anew(feed: Any, data: dict[str, str], metadata: dict[str, Any], transient: dict[str, Any]) -> None:
    """A cell that was moved hears no display update where its page has no extension, but what it displays itself.

    It does so until its end. A view cannot be taken out alone: a cell of `%%stream` has nothing else, and is cleared.
    """
    from IPython.display import clear_output

    too_late = time.monotonic() + _ANSWER_S
    while feed.is_astray:
        if time.monotonic() > too_late:
            if _is_magic_cell():
                clear_output(wait=True)
            current_shell().display_pub.publish(data=data, metadata=metadata, transient=transient)
            return
        await asyncio.sleep(0.05)


_ANSWER_S = 1.0
"""How long a page may take to say that a view has gone."""


def _is_magic_cell() -> bool:
    request = current_shell().kernel.get_parent("shell") or {}
    return str(request.get("content", {}).get("code", "")).lstrip().startswith("%%stream")


async def draw(feed: Any, lanes: Sequence[Lane]) -> None:
    """Draws lanes side by side into a feed until all have ended; a lane's failure is in its `error`."""
    await _gather(_draw(feed, index, lane) for index, lane in enumerate(lanes))


async def _draw(feed: Any, index: int, lane: Lane) -> None:
    error: HolystreamError | None = None
    try:
        async for event in lane.events():
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
