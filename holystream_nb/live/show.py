"""Lanes on whatever screen there is: a live view in a notebook, plain text elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from ..errors import HolystreamError
from ..events import Reasoning, Text, ToolCallPart
from ..tools.call import Call
from .lane import Lane
from .questions import NOBODY
from .saved import bundle
from .screen import current_shell, screen
from .terminal import print_lanes
from .turns import turn

if TYPE_CHECKING:
    from .cells import Shown
    from .feed import Feed
    from .widget import LiveView

Replace = Callable[[dict[str, Any], dict[str, Any]], object]

LONG: Final = 5_000
"""Characters of answers from which on their saved form is written in a thread: it takes up to a second."""


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
            await _write(lanes, lambda data, metadata: ours.show(lambda: display(data, raw=True, metadata=metadata)))


async def _write(lanes: Sequence[Lane], put: Replace) -> None:
    """Hands the saved form of ended lanes to `put`. Other streams go on meanwhile; a cancellation waits for it."""
    if sum(len(lane.reply.text) + len(lane.reply.reasoning) for lane in lanes) < LONG:
        put(*bundle(lanes))
        return
    with ThreadPoolExecutor(1, "holystream saves") as writer:
        writing = writer.submit(bundle, lanes)
        try:
            await asyncio.shield(asyncio.wrap_future(writing))
        finally:
            put(*writing.result())


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
    from .captured import capturing
    from .cells import cells
    from .feed import Feed
    from .page import page
    from .widget import LiveView

    cells.begin()
    output = capturing()
    shown = cells.show(lambda: _ids(lanes)) if output is None else None
    answer = "" if shown is None else shown.id
    view = LiveView(lanes=[lane.title for lane in lanes], format=lanes[0].format, answer=answer)
    feed = Feed(view, lanes)
    view.on_msg(feed.hear)
    replace = _in_output(output, view) if shown is None else _in_cell(shown, view)

    def end(data: dict[str, Any], metadata: dict[str, Any]) -> None:
        if shown is not None:
            data, metadata = cells.end_of(shown, data, metadata)
        feed.end(lambda: replace(data, metadata))

    feed.start()
    try:
        await draw(feed, lanes)
    finally:
        feed.close()
        await _write(lanes, end)
        if shown is not None and shown.final is not None and page.asking() is None:
            await _display_anew(feed, *shown.final)


async def _display_anew(feed: Feed, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """A cell that was moved hears no display update where its page has no extension, but what it displays itself.

    It does so until its end. A view cannot be taken out alone: a cell of `%%stream` has nothing else, and is cleared.
    """
    from IPython.display import clear_output

    too_late = time.monotonic() + _ANSWER_S
    while feed.is_astray:
        if time.monotonic() > too_late:
            if _is_magic_cell():
                clear_output(wait=True)
            current_shell().display_pub.publish(data=data, metadata=metadata)
            return
        await asyncio.sleep(0.05)


_ANSWER_S = 1.0
"""How long a page may take to say that a view has gone."""


def _is_magic_cell() -> bool:
    request = current_shell().kernel.get_parent("shell") or {}
    return str(request.get("content", {}).get("code", "")).lstrip().startswith("%%stream")


def _ids(lanes: Sequence[Lane]) -> list[str]:
    """Their names in the journal, as far as they have one."""
    return [entry.id for lane in lanes if (entry := lane.entry) and entry.id]


def _in_cell(shown: Shown, view: LiveView) -> Replace:
    """Displays a view; returns what puts data and metadata in its place."""
    from IPython.display import display

    from .cells import cells
    from .marks import MARK

    shown.view = view.model_id
    publish = current_shell().display_pub.publish  # that of now: later another may be there, to capture
    handle = display(view, display_id=True, metadata={MARK: shown.mark})
    transient = {"display_id": handle.display_id}
    cells.tell(shown)

    def replace(data: dict[str, Any], metadata: dict[str, Any]) -> None:
        publish(data=data, metadata=metadata, transient=transient, update=True)
        cells.tell(shown)

    return replace


def _in_output(output: Any, view: LiveView) -> Replace:
    """The same in an `ipywidgets.Output`, which no page can lose."""
    from IPython.display import display

    from .captured import Place, takes_displays

    if takes_displays():
        display(view)
    else:
        output.append_display_data(view)
    return Place(output, view).replace


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
