"""A rollout's state as text and as a small picture, and the place in a notebook where it is kept up to date."""

from __future__ import annotations

import asyncio
import math
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ..live.screen import screen
from .guard import Figures, milliseconds, percent

if TYPE_CHECKING:
    from .state import Happening, Point, State

_EVERY_S: Final = 0.3
_EVENTS: Final = 6
_WIDTH, _HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 612, 26, 158
_ROOM: Final = 1.35
# Okabe & Ito's blue and vermilion, and greys that can be read on white: the picture has its own opaque ground.
_OLD, _NEW, _INK, _FAINT, _SHARE = "#0072B2", "#B34700", "#1A1A1A", "#5F5F5F", "#EBEBEB"
_HEAD: Final = ("", "share", "requests", "errors", "p95 TTFT")


def bundle(state: State, note: str = "") -> dict[str, str]:
    """What a notebook shows and keeps: the table, the picture and the latest events, and the same as text."""
    head = " · ".join(part for part in (_headline(state), note) if part)
    rows = [_row(state, 0, state.old), _row(state, 1, state.new)]
    limits = _limits(state)
    events = [_event(happening) for happening in state.events[-_EVENTS:]]
    table = [list(_HEAD), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    cells = [[escape(_plain(cell)) for cell in row] for row in table]
    html = (
        f"<div><strong>{escape(_plain(head))}</strong></div>"
        f"<table><thead>{_html_row(cells[0], 'th')}</thead><tbody>{''.join(_html_row(row) for row in cells[1:])}"
        f"</tbody></table><img alt='{escape(_plain(_spoken(state)), quote=True)}' "
        f"width='{_WIDTH}' src='data:image/svg+xml;base64,{b64encode(picture(state, note).encode()).decode()}'>"
        f"<div>{escape(limits)}</div><ul>{''.join(f'<li>{escape(_plain(event))}</li>' for event in events)}</ul>"
    )
    return {"text/plain": "\n".join(map(_plain, [head, *lines, limits, *events])), "text/html": html}


def picture(state: State, note: str = "") -> str:
    """An SVG: p95 of TTFT of both sides over time against the guard's limits, and the new side's share behind it."""
    guard, course = state.guard, state.history
    # One spike must not flatten the rest: what is higher is drawn at the edge.
    top = guard.p95_ttft_ms * _ROOM
    span = max(state.elapsed_s, 1e-9)

    limits = [(guard.p95_ttft_ms, "roll back", "6 3")]
    if guard.alert_ms < 0.85 * guard.p95_ttft_ms:
        limits.append((guard.alert_ms, "alert", "2 3"))

    def x(at_s: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * min(1.0, at_s / span)

    def y(ms: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * min(ms, top) / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#FFFFFF"/>',
        _shares(course, x, span),
        *(
            f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y(ms):.1f}" y2="{y(ms):.1f}" stroke="{_FAINT}" '
            f'stroke-dasharray="{dash}"/>'
            for ms, _, dash in limits
        ),
        f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="{_FAINT}"/>',
        _line([(x(p.at_s), None if p.old_ms is None else y(p.old_ms)) for p in course], _OLD, "none"),
        _line([(x(p.at_s), None if p.new_ms is None else y(p.new_ms)) for p in course], _NEW, "5 2"),
        *(_text(_LEFT + 4, y(ms) - 3, f"{word} {milliseconds(ms)}", _FAINT) for ms, word, _ in limits),
        *(_marker(happening, x(happening.at_s)) for happening in state.events if happening.kind != "started"),
        _text(_LEFT, 15, f"p95 TTFT (ms){f' · {note}' if note else ''}", _INK),
        _text(_RIGHT, 15, "— old   - - new   grey: share of new", _INK, "end"),
        _text(_LEFT - 5, _BOTTOM, "0", _FAINT, "end"),
        _text(_LEFT - 5, _TOP + 8, f"{top:,.0f}", _FAINT, "end"),
        _text(_RIGHT + 4, _TOP + 8, "100", _FAINT),
        _text(_RIGHT + 4, _BOTTOM, "0 %", _FAINT),
        _text(_LEFT, _HEIGHT - 8, "0", _FAINT),
        _text(_RIGHT, _HEIGHT - 8, f"{clock(state.elapsed_s)} since its start", _FAINT, "end"),
        "</svg>",
    ]
    return "".join(parts)


def clock(seconds: float) -> str:
    """A time since the start: `4.2 s`, `5:12`, `2 d 03:10:00`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if days or hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


class Screen:
    """Where a rollout is shown: a display of a notebook, updated in place at most three times a second."""

    def __init__(self, bundle: Callable[[], dict[str, str]]) -> None:
        self._bundle = bundle
        self._display_id = ""
        self._drawn = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._drawing = False

    def open(self) -> None:
        """Shows it here from now on; where it was before, the last state stays."""
        if screen() not in ("page", "file"):
            print(self._bundle()["text/plain"], flush=True)
            return
        from IPython.display import display

        handle: Any = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self._display_id = handle.display_id
        self._drawn = time.monotonic()

    def update(self) -> None:
        """Something may have changed: draws it now, or when it may again."""
        if not self._display_id or self._drawing or self._timer is not None:
            return
        wait = self._drawn + _EVERY_S - time.monotonic()
        if wait <= 0:
            self._draw()
            return
        try:
            self._timer = asyncio.get_running_loop().call_later(wait, self._draw)
        except RuntimeError:
            self._draw()  # no loop runs: there is no later

    def _draw(self) -> None:
        from IPython.display import update_display

        self._timer = None
        self._drawing = True  # the bundle looks at the state, which would draw
        try:
            data = self._bundle()
        finally:
            self._drawing = False
        update_display(data, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        self._drawn = time.monotonic()


def _headline(state: State) -> str:
    new, share = state.names[1], f"{state.share:g} %"
    if state.stage == "rolled back":
        return f"Rolled back: {state.reason}"
    if state.stage == "complete":
        return f"Complete: all traffic goes to {new}"
    standing = "ALERT" if state.alerts else "well" if state.new.p95_ttft_ms is not None else "too few requests to judge"
    over = f", over the limit for {clock(state.over_s)}" if state.over_s else ""
    return f"{share} to {new}: {standing}{over}"


def _row(state: State, index: int, figures: Figures) -> list[str]:
    share = state.share if index else 100 - state.share
    rate = f" ({percent(figures.errors / figures.requests)})" if figures.errors else ""
    refused = f", {figures.refused} refused" if figures.refused else ""
    p95 = "–" if figures.p95_ttft_ms is None else milliseconds(figures.p95_ttft_ms)
    known = f"{p95} (of {figures.timed})" if figures.p95_ttft_ms is not None else f"n too small ({figures.timed})"
    name = f"{('old', 'new')[index]} {state.names[index]}"
    return [name, f"{share:g} %", f"{figures.requests:,}", f"{figures.errors}{rate}{refused}", known]


def _limits(state: State) -> str:
    guard = state.guard
    return (
        f"Rolls back by itself: p95 over {milliseconds(guard.p95_ttft_ms)} for {guard.for_s:g} s (alert at "
        f"{milliseconds(guard.alert_ms)}), or errors over {percent(guard.error_rate)} in {guard.over_s:g} s; from "
        f"{guard.min_requests} requests on."
    )


def _event(happening: Happening) -> str:
    return f"+{clock(happening.at_s)}  {happening.kind}: {happening.text}"


def _spoken(state: State) -> str:
    """The picture in words, for whoever does not see it."""
    return (
        f"p95 TTFT of {state.names[0]} is {milliseconds(state.old.p95_ttft_ms)}, of {state.names[1]} "
        f"{milliseconds(state.new.p95_ttft_ms)}; {state.share:g} % of the traffic goes to the latter."
    )


def _plain(text: str) -> str:
    """On one line, without characters that a terminal or a page would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _html_row(cells: Sequence[str], tag: str = "td") -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    halo = 'stroke="#FFFFFF" stroke-width="3" paint-order="stroke"'
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} fill="{colour}" {halo}>{escape(_plain(text))}</text>'


def _shares(course: Sequence[Point], x: Callable[[float], float], span: float) -> str:
    """The new side's share as a stepped area, 0 to 100 % over the whole height."""
    ends = [*(point.at_s for point in course[1:]), span]
    steps = "".join(
        f"H{x(point.at_s):.1f}V{_BOTTOM - (_BOTTOM - _TOP) * point.share / 100:.1f}H{x(end):.1f}"
        for point, end in zip(course, ends, strict=True)
    )
    return f'<path d="M{_LEFT} {_BOTTOM}{steps}V{_BOTTOM}Z" fill="{_SHARE}"/>' if steps else ""


def _line(points: Sequence[tuple[float, float | None]], colour: str, dash: str) -> str:
    """A broken line, with a gap where nothing is known."""
    path, pen = "", "M"
    for x, y in points:
        if y is None:
            pen = "M"
        else:
            path += f"{pen}{x:.1f} {y:.1f}"
            pen = "L"
    style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    return f'<path d="{path}" {style}/>' if path else ""


def _marker(happening: Happening, x: float) -> str:
    """A stroke where something happened, and its sign."""
    sign = {"alert": "!", "recovered": "✓", "stepped up": "▲", "rolled back": "✖"}[happening.kind]
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="{_FAINT}" stroke-width="0.6"/>'
    return line + _text(x, _BOTTOM + 13, sign, _INK, "middle")
