"""A chart in words: its alternative text, in which names are whole and what stands in a legend is said too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from .glyphs import spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROSE: Final = "prose"
"""Marks words that are wrapped: their line ends mean nothing."""

_whole: WeakKeyDictionary[Axes, dict[str, str]] = WeakKeyDictionary()
_beside: WeakKeyDictionary[Axes, list[str]] = WeakKeyDictionary()


def remember(ax: Axes, whole: Mapping[str, str]) -> None:
    """Keeps what the short names on an Axes mean."""
    _whole.setdefault(ax, {}).update({short: long for short, long in whole.items() if short != long})


def beside(ax: Axes, text: str) -> None:
    """Keeps words that stand in a legend or beside an axis."""
    _beside.setdefault(ax, []).append(text)


def says(ax: Axes) -> str:
    """A chart in words: its title, its axes and all that is written on it."""
    head = ax.get_title(loc="left") or "Chart"
    axes = " against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))
    written = [
        text.get_text().replace("·\n", "· ").replace("\n", " " if text.get_gid() == PROSE else " · ")
        for text in ax.texts
        if text.get_visible()
    ]
    return "\n".join(spoken(_in_full(ax, line)) for line in (head, axes, *_beside.get(ax, []), *written) if line)


def _in_full(ax: Axes, text: str) -> str:
    known = _whole.get(ax, {})
    for short in sorted(known, key=len, reverse=True):
        text = text.replace(short, known[short])
    return text
