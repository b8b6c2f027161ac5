"""How a run stands, on whatever screen there is, drawn by the parent only, a few times a second.

In a notebook a small widget whose Stop shows only once the kernel has proved that it hears (as `live.feed` does), and
which is replaced by plain output at the end; where nobody looks on, only that output; in a terminal one line.

Kernel -> view:  trait `state` {title, columns, rows, line, heard, running} · view -> kernel:  ready {} · stop {}
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...live.saved import printable
from ...live.screen import screen
from ...money.amount import total
from ..values.words import digits
from .estimate import Estimate
from .tally import Tally

if TYPE_CHECKING:
    from .widget import ProgressView

COLUMNS: Final = ("model", "done", "failed", "TTFT (ms)", "tok/s")
_TERMINAL_S: Final = 10.0
_SHORT: Final = 200


class View(Protocol):
    """A place where a run is shown."""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        """Shows what will be done, before anything is sent; `stop` is for a Stop button, in the loop's thread."""

    def update(self) -> None:
        """Shows how it stands."""

    def say(self, state: str) -> None:
        """Shows what it does besides running."""

    def end(self, reason: str) -> None:
        """Leaves the last state: complete, decided, duration, stopped, max_cost, failures, cancelled, failed.

        Nothing, if it was never begun.
        """


class Silent:
    """Shows nothing."""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        pass

    def update(self) -> None:
        pass

    def say(self, state: str) -> None:
        pass

    def end(self, reason: str) -> None:
        pass


class Place:
    """One output of a notebook's cell, and what it shows.

    `with place:` makes it that of all runs that begin within: those of a search, each of which replaces the one before.
    """

    def __init__(self) -> None:
        self.view: ProgressView | None = None
        """The widget of its runs, where it stays."""
        self._handle: Any = None
        self._tokens: list[Token[Place | None]] = []

    def __enter__(self) -> Place:
        self._tokens.append(_shared.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _shared.reset(self._tokens.pop())

    def show(self, content: Any, *, raw: bool = False) -> None:
        from IPython.display import display, update_display

        if self._handle is None:
            self._handle = display(content, raw=raw, display_id=True)  # type: ignore[no-untyped-call]
        else:
            update_display(content, raw=raw, display_id=self._handle.display_id)  # type: ignore[no-untyped-call]


_shared: Final[ContextVar[Place | None]] = ContextVar("the output of several runs", default=None)


def view(file: Path) -> View:
    """The view for this process."""
    on = screen()
    if on == "text":
        return _Terminal(file)
    place = _shared.get() or Place()
    return {"page": _Widget, "marimo": _Marimo, "file": _Plain}[on](file, place)


def shown(file: Path) -> str:
    """A path as it may stay in a notebook: below the home folder it begins with ~, which `hs.load` understands."""
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{file.relative_to(Path.home()).as_posix()}"
    return str(file)


def rows(tally: Tally) -> list[list[str]]:
    """A row an arm, in the words of `COLUMNS`: TTFT and decode tok/s are medians of its latest successes."""
    return [
        [
            part.label,
            f"{part.done:,} of {part.planned:,}" if part.planned else f"{part.done:,}",
            f"{part.failed:,}",
            "–" if part.ttft_ms is None else digits(part.ttft_ms),
            "–" if part.tokens_per_s is None else digits(part.tokens_per_s),
        ]
        for part in tally.parts.values()
    ]


def line(tally: Tally) -> str:
    """State, failures and what they mostly were, cost so far, and time.

    `running · 34 of 120 · 2 failed (RateLimited, 2 times: …) · $0.012 (simulated) · 12 s, about 31 s left`
    """
    parts = [tally.state, f"{tally.done:,} of {tally.planned:,}" if tally.planned else f"{tally.done:,}"]
    if tally.failed:
        parts.append(f"{tally.failed:,} failed{'' if tally.stops else f' ({_short(tally.reason)})'}")
    if tally.lost:
        parts.append(f"{tally.lost:,} lost in flight")
    parts += [_short(stop) for stop in tally.stops]
    if tally.paid is None:
        parts.append("cost unknown")
    elif tally.paid.usd:
        parts.append(total(tally.paid, tally.simulated, exact=True))
    left = tally.left_s
    running = tally.state in ("running", "warming up")
    rest = f", about {left:.0f} s left" if left is not None and running else ""
    return " · ".join([*parts, f"{tally.elapsed_s:.0f} s{rest}"])


def _short(text: str) -> str:
    """One line of what a service said, which may be long."""
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


_ENDINGS: Final = {
    "complete": "done",
    "decided": "done: the difference is clear",
    "duration": "done: the time was up",
    "failures": "stopped after failures in a row; what is there is kept",
    "stopped": "stopped; what is there is kept",
    "max_cost": "limit on the cost reached; the rest was not sent",
    "cancelled": "stopped; what is there is kept",
    "failed": "failed; what is there is kept",
}


class _Shown:
    """What all views know: the run's tally once it has begun, its estimate, its file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.tally: Tally | None = None
        self.title = ""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        self.tally, self.title = tally, "; ".join([*([tally.source] if tally.source else []), str(expected)])

    def update(self) -> None:
        if self.tally is not None:
            self._draw(self.tally)

    def say(self, state: str) -> None:
        if self.tally is not None:
            self.tally.state = state
        self.update()

    def end(self, reason: str) -> None:
        if self.tally is not None:
            self.tally.state = _ENDINGS[reason]
            file = shown(self.file)
            self._leave(self.tally, f"hs.load({file!r})" if reason in ("cancelled", "failed") else file)

    def _draw(self, tally: Tally) -> None:
        """How it stands."""

    def _leave(self, tally: Tally, file: str) -> None:
        """The last state, and where the data is."""


class _Terminal(_Shown):
    """One line that is written over in a terminal; in a log a new one every 10 s."""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        super().begin(tally, expected, stop)
        self._overwrites = sys.stdout.isatty()
        self._next = time.monotonic() + _TERMINAL_S
        print(printable(f"{', '.join(tally.parts)}: {self.title}"), flush=True)
        self.update()

    def say(self, state: str) -> None:
        self._next = time.monotonic()  # also in a log at once
        super().say(state)

    def _draw(self, tally: Tally) -> None:
        if self._overwrites:
            print(f"\r\x1b[K{printable(line(tally))}", end="", flush=True)
        elif time.monotonic() >= self._next:
            self._next += _TERMINAL_S
            print(printable(line(tally)), flush=True)

    def _leave(self, tally: Tally, file: str) -> None:
        start = "\r\x1b[K" if self._overwrites else ""
        print(f"{start}{printable(f'{line(tally)} · {file}')}", flush=True)


class _InNotebook(_Shown):
    """In an output of the cell."""

    def __init__(self, file: Path, place: Place) -> None:
        super().__init__(file)
        self._place = place


class _Plain(_InNotebook):
    """What will be done, and in its place the last state."""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        super().begin(tally, expected, stop)
        self._place.show({"text/plain": printable(self.title)}, raw=True)

    def _leave(self, tally: Tally, file: str) -> None:
        self._place.show(bundle(tally, file), raw=True)


class _Widget(_InNotebook):
    """Live, with Stop."""

    def begin(self, tally: Tally, expected: Estimate, stop: Callable[[], object]) -> None:
        super().begin(tally, expected, stop)
        self._stop = stop
        self._heard = False
        self._loop = asyncio.get_running_loop()
        self._view = self._shown(tally)
        self._view.on_msg(self._hear)

    def _shown(self, tally: Tally) -> ProgressView:
        from .widget import ProgressView

        view = ProgressView(state=self._state(tally))
        self._place.show(view)
        return view

    def _draw(self, tally: Tally) -> None:
        self._view.state = self._state(tally)

    def _leave(self, tally: Tally, file: str) -> None:
        self._place.show(bundle(tally, file), raw=True)
        self.tally = None  # a late message changes nothing any more
        self._view.close()

    def _state(self, tally: Tally) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": COLUMNS,
            "rows": rows(tally),
            "line": line(tally),
            "heard": self._heard,
            "running": True,
        }

    def _hear(self, _view: object, content: dict[str, Any], _buffers: object = None) -> None:
        """A message from a view. It may come on a subshell's thread, so it only hands over; or after the loop's end."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heed, content.get("kind"))

    def _heed(self, kind: object) -> None:
        self._heard = True
        if kind == "stop" and self.tally is not None:
            self.say("stopping")
            self._stop()
        self.update()


class _Marimo(_Widget):
    """The same, and it stays: marimo keeps widgets with the notebook's outputs. Several runs of a search share one."""

    def _shown(self, tally: Tally) -> ProgressView:
        import marimo

        from .widget import ProgressView

        if self._place.view is None:
            self._place.view = ProgressView()
            marimo.output.append(self._place.view)
        self._place.view.state = self._state(tally)
        return self._place.view

    def _leave(self, tally: Tally, file: str) -> None:
        last = {**self._state(tally), "line": f"{line(tally)} · {file}", "heard": False, "running": False}
        self._view.state = last
        self.tally = None


def bundle(tally: Tally, file: str) -> dict[str, str]:
    """What stays in the notebook: the table and the line, as text and as HTML in which every name is only text."""
    table = [list(COLUMNS), *rows(tally)]
    foot = [line(tally), file]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    head, *body = (_html_row(row, "th" if row is table[0] else "td") for row in table)
    return {
        "text/plain": printable("\n".join([*text, *foot])),
        "text/html": f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
        f"<div>{'<br>'.join(escape(each) for each in foot)}</div>",
    }


def _html_row(cells: list[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
