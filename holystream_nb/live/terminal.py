"""Plain incremental text, for terminals, consoles and scripts: text as it arrives, then a status line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from ..errors import HolystreamError
from ..events import Event, Reasoning, Text
from ..tools.call import Answer, Call
from .cards import card
from .figures import verdict
from .lane import Lane
from .questions import NOBODY
from .saved import plain_beside, plain_call, printable, status_line, tool_calls
from .screen import current_shell
from .turns import Turn, turn

if sys.platform != "win32":
    import termios

_Write = Callable[..., None]

_LOOK_S: Final = 1.0
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"


async def print_lanes(lanes: Sequence[Lane]) -> None:
    """Writes lanes to standard output one after the other, while all of them run from the start."""
    if not _can_ask():
        for lane in lanes:
            lane.questions.close(NOBODY)
    with turn() as ours:
        await _print_lanes(lanes, ours)


async def _print_lanes(lanes: Sequence[Lane], ours: Turn) -> None:
    def write(text: str, colour: str = "") -> None:
        ours.show(lambda: _write(text, colour))

    queues: list[asyncio.Queue[Event | Call | None]] = [asyncio.Queue() for _ in lanes]
    readers = [asyncio.ensure_future(_read(lane, queue)) for lane, queue in zip(lanes, queues, strict=True)]
    open_lanes = list(lanes)
    try:
        for lane, queue in zip(lanes, queues, strict=True):
            await _print(lane, queue, ours, write, titled=len(lanes) > 1)
            open_lanes.remove(lane)
    except BaseException:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for lane in open_lanes:
            _print_end(lane, write, titled=len(lanes) > 1)
        raise
    await asyncio.gather(*readers)
    if said := verdict({lane.label: lane.reply for lane in lanes}):
        write(f"{said}\n", _BOLD)


async def _read(lane: Lane, queue: asyncio.Queue[Event | Call | None]) -> None:
    error: HolystreamError | None = None
    try:
        async for event in lane.events():
            queue.put_nowait(event)
    except HolystreamError as exc:
        error = exc
    finally:
        try:
            lane.end(error)
        finally:
            queue.put_nowait(None)  # whatever happens: it is waited for


async def _print(
    lane: Lane, queue: asyncio.Queue[Event | Call | None], ours: Turn, write: _Write, *, titled: bool
) -> None:
    """Writes one lane until it ends; what the model wrote cannot move the cursor or set colours."""
    if titled:
        write(f"== {lane.label}\n", _BOLD)
    shown: type[Text] | type[Reasoning] = Text
    after_call = False
    while (event := await _next(lane, queue, write)) is not None:
        if isinstance(event, Text | Reasoning):
            if type(event) is Reasoning is not shown and event.text.isspace():
                continue  # space before it, or alone
            if type(event) is not shown and isinstance(event, Text):
                write("\n\n")
            shown = type(event)
            write(
                f"\n{printable(event.text)}" if after_call else printable(event.text),
                _DIM if shown is Reasoning else "",
            )
            after_call = False
        elif isinstance(event, Call) and lane.questions.waits_for(event):
            await ours.come()
            lane.questions.answer(event.number, await _asked(event))
        elif isinstance(event, Call) and event.is_final:
            write(f"\n{plain_call(event)}\n", _DIM)
            after_call = True
    _print_end(lane, write, titled=titled)


async def _next(lane: Lane, queue: asyncio.Queue[Event | Call | None], write: _Write) -> Event | Call | None:
    """The next event; what is waited for is said once, where it takes long."""
    said = ""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                return await queue.get()
        notice = lane.source.progress.notice
        if notice and not said:
            said = notice
            write(f"\n[{printable(notice)}]\n", _DIM)


def _can_ask() -> bool:
    """Whether a person sits there who can be asked: by a console's kernel, or on a terminal whose keyboard can be
    awaited (not on Windows' loop).
    """
    kernel = getattr(current_shell(), "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin.isatty() and sys.stdout.isatty() and os.name == "posix"


async def _asked(call: Call) -> Answer:
    """Asks on the terminal; no answer is a refusal. The loop goes on while the keyboard is waited for, but in a kernel.

    What was typed before the question is dropped: it answers something else.
    """
    shown = card(call)
    if shown["error"]:
        _write(f"\n{printable(shown['error'])}", _DIM)
    question = f"\nRun {printable(shown['name'])}({printable(shown['arguments'])})? [y]es, [a]lways, [N]o: "
    is_terminal = getattr(current_shell(), "kernel", None) is None
    word = (await _typed(question) if is_terminal else input(question)).strip().lower()  # noqa: ASYNC250  # it asks its console
    return "allow" if word in ("y", "yes") else "always" if word in ("a", "always") else "refuse"


async def _typed(question: str) -> str:
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    _write(question, _BOLD)
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        loop.remove_reader(sys.stdin)
        line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, read)
    try:
        return await line
    finally:
        loop.remove_reader(sys.stdin)


def _print_end(lane: Lane, write: _Write, *, titled: bool) -> None:
    reply, beside = lane.reply, plain_beside(lane.sources, lane.pictures)
    gap = "\n\n" if reply.text or reply.reasoning.strip() or lane.calls else ""
    for said, colour in ((tool_calls(lane), ""), (beside, ""), (lane.warning, _RED)):
        if said:
            write(gap + printable(said), colour)
            gap = "\n\n"
    write(f"{gap}[{printable(status_line(lane))}]\n", _DIM)
    write(f"[{lane.ending}]\n" if lane.ending else "", _RED)
    if titled and lane.error is not None:
        write(f"{printable(str(lane.error))}\n", _RED)
    write("\n" if titled else "")


def _write(text: str, colour: str = "") -> None:
    """Colours only on a terminal; flushed, so that it is seen at once."""
    coloured = colour and text and sys.stdout.isatty()
    sys.stdout.write(f"{colour}{text}{_PLAIN}" if coloured else text)
    sys.stdout.flush()
