"""Waterfall: where the time of an answer went, part after part, and which of it was the network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from matplotlib.patches import Patch

from ...live.figures import milliseconds
from ...reply import Reply
from ...timing import Timing
from ..figures.network import median_trips
from ..values.words import counted
from .canvas import SMALL, add, clean, context, figure, frame, note
from .marks import ON_DARK, ON_LIGHT, background, faint, ink, is_dark, readable
from .names import drawn, names, undrawn
from .scales import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

WORDS: Final = {
    "dns": "DNS",
    "tcp": "TCP",
    "proxy": "proxy",
    "tls": "TLS",
    "upgrade": "WebSocket handshake",
    "other": "other",
    "send": "send",
    "wait": "wait",
    "stream": "stream",
    "paint": "paint",
}
_WHOSE: Final = {"wait": "the service", "stream": "the service", "paint": "the page", "other": "the client"}
_NETWORK: Final = "the network"
_COLOURS: Final = {"the network": 0, "the service": 1, "the page": 2}
_LEAST_MS: Final = 0.05
_SEEN: Final = 0.005
"""A round trip of less than this part of the longest answer is too short to be seen in it."""

_ROOM: Final = 1.24
"""Of the x axis, for the words beside the last bar."""

_WIDE: Final = 0.7
_TOP, _ROW, _SIDES = 0.9, 0.3, 1.5


@dataclass(frozen=True, slots=True)
class _Fall:
    """The parts of one answer, or the medians of an arm's, in ms; `trip_ms` is one round trip of the network.

    n: answers of the arm; None of one answer.
    """

    arm: str
    n: int | None
    parts: Mapping[str, float]
    trip_ms: float | None


def waterfall(of: Reply | Figures, ax: Axes | None = None) -> Axes:
    """The parts of one Reply, or of a Result the median of each part for each arm (`parts` has what they are).

    Each part begins where the one before it ended; `paint` begins with the first output, since it runs beside the
    stream. Within `wait`, hatched, is one round trip of the network: that which was measured beside a run, and for a
    reply what its own TCP connection took (none on a kept one, and none where that ended at a proxy).
    """
    if isinstance(of, Reply):
        falls, under = [_of_reply(of)], f"{clean(of.provider)}:{clean(of.model)}"
        said = "" if of.timing.opening is not None else "The connection was open already."
    else:
        falls, under = [_of_arm(of, arm) for arm in drawn(of.arms)], context(of, ax)
        said = f"{_medians(of)} {undrawn(of.arms)}"
    rows = sum(len(fall.parts) + (fall.n is not None) for fall in falls)
    ax = add(figure(height=_TOP + _ROW * max(3, rows) + _SIDES)) if ax is None else ax
    frame(ax, title="Where the time went", under=under, x="since the connection was asked for (ms)", y="")
    _draw(ax, falls, {} if isinstance(of, Reply) else names(of, ax, _WIDE))
    longest = max((sum(fall.parts.values()) for fall in falls), default=0.0)
    hatched = any("wait" in fall.parts and (fall.trip_ms or 0.0) > _SEEN * longest for fall in falls)
    note(ax, [said, "Hatched in wait: one round trip of the network." if hatched else ""])
    return ax


def _of_reply(reply: Reply) -> _Fall:
    parts = reply.timing.parts
    return _Fall("", None, _shown(parts.known), parts.tcp_ms if parts.proxy_ms is None else None)


def _of_arm(result: Figures, arm: str) -> _Fall:
    """Opening a connection is seen where there was a new one: where they are kept, in the warm-ups."""
    good = [trial.timing for trial in result.of(arm) if not trial.error]
    model, way = result.plan.arms[arm]
    warm = [each.timing for each in result.warmup_records if (each.model, each.way, each.error) == (model, way, "")]
    opened = [timing for timing in [*good, *warm] if timing.opening is not None]
    medians = {
        part: median(values)
        for part in WORDS
        if (values := _values(opened if part in ("dns", "tcp", "proxy", "tls", "upgrade", "other") else good, part))
    }
    trip_ms = median_trips(result.trips).get(result.plan.split(model)[0])
    return _Fall(arm, len(good), _shown(medians), trip_ms)


def _values(timings: list[Timing], part: str) -> list[float]:
    return [value for timing in timings if (value := timing.parts.known.get(part)) is not None]


def _shown(parts: Mapping[str, float]) -> dict[str, float]:
    return {part: parts[part] for part in WORDS if parts.get(part, 0.0) >= _LEAST_MS}


def _medians(result: Figures) -> str:
    opened = sum(each.timing.opening is not None for each in [*result.records, *result.warmup_records])
    return (
        "Medians of each part by itself, which do not add up to the median of the whole. "
        f"Opening is of {counted(opened, 'new connection')}, warm-ups among them."
    )


def _draw(ax: Axes, falls: list[_Fall], called: Mapping[str, str]) -> None:
    ground = background(ax)
    palette = ON_DARK if is_dark(ground) else ON_LIGHT
    colours = {who: palette[index] for who, index in _COLOURS.items()} | {"the client": faint(ax)}
    at, right = 0.0, 0.0
    for fall in falls:
        if fall.n is not None:
            _write(ax, f"{called[fall.arm]} (n = {fall.n})", (0.0, at), ink(ax), bold=True)
            at += 1
        start, first_output = 0.0, 0.0
        for part, took in fall.parts.items():
            colour = colours[_WHOSE.get(part, _NETWORK)]
            begin = first_output if part == "paint" else start
            ax.barh(at, took, 0.62, left=begin, color=colour, edgecolor=colour, linewidth=1.2, zorder=3)
            if part == "wait":
                first_output = start + took
                if fall.trip_ms is not None:
                    width = min(fall.trip_ms, took)
                    ax.barh(at, width, 0.62, left=begin, color="none", edgecolor=ground, hatch="/////", lw=0, zorder=4)
            _write(ax, f"{WORDS[part]} {milliseconds(took)}", (begin + took, at), readable(colour, ground))
            start = start if part == "paint" else start + took
            right = max(right, begin + took)
            at += 1
        at += 0.4
    ax.set_ylim(at - 0.2, -0.8)
    ax.set_xlim(0, right * _ROOM or 1)
    ax.set_yticks([])
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    scale(ax, "x", [0.0])
    there = {_WHOSE.get(part, _NETWORK) for fall in falls for part in fall.parts}
    handles = [Patch(color=colour, label=who) for who, colour in colours.items() if who in there]
    ax.legend(handles=handles, loc="best", fontsize=SMALL, frameon=False, labelcolor=ink(ax))


def _write(ax: Axes, text: str, at: tuple[float, float], colour: str, bold: bool = False) -> None:
    ax.annotate(
        text,
        at,
        (5 if not bold else 0, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
        fontweight="bold" if bold else "normal",
        color=colour,
        annotation_clip=False,
        parse_math=False,
        zorder=5,
    )
