"""A legend like a table: a row an arm with its line and mark, its name, and figures in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, OffsetBox, VPacker
from matplotlib.text import Text

from .canvas import SMALL
from .marks import Mark
from .names import shortened, width
from .words import beside, remember

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW: Final = 14.0
"""The height of a row, in points."""

_SAMPLE: Final = 26.0
_BETWEEN: Final = 12.0
_GROUPS: Final = 3
_NAME: Final = 110.0
"""The least room for a name, in points: with less, its figures stand under it."""

_HINTED: Final = 1.08
"""Letters that are fitted to the pixels of a file are up to so much wider (8 pt at 60 to 300 dpi)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One arm: how it is drawn, its whole name, and what else is to be said of it, a text a column."""

    mark: Mark
    name: str
    columns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " · ".join(filter(None, (f"{self.mark.sign} {self.name}", *self.columns)))


def table(ax: Axes, entries: Sequence[Entry], points: float, *, lines: bool = True) -> tuple[OffsetBox, int]:
    """The legend for so much width (points), in as many groups beside each other as fit, and how many rows it has.

    Names are shortened where even one group is too wide; the Axes remembers the whole ones.
    """
    widths = _widths(entries)
    rest = _SAMPLE + _BETWEEN * (2 + len(widths)) + sum(widths)
    is_stacked = points - rest < _NAME
    needed = rest + max(_wide(entry.name) for entry in entries)
    groups = max(1, min(_GROUPS, int(points // needed), -(-len(entries) // 2)))
    rest = _SAMPLE + 2 * _BETWEEN if is_stacked else rest
    most = max(60.0, points / groups - rest)
    short = shortened([entry.name for entry in entries], _wide, most)
    remember(ax, dict(zip(short, (entry.name for entry in entries), strict=True)))
    for entry in entries:
        beside(ax, entry.text)
    rows = -(-len(entries) // groups)
    pairs = list(zip(entries, short, strict=True))
    group = _stack if is_stacked else _group
    packed: list[Artist] = [group(pairs[start : start + rows], lines) for start in range(0, len(entries), rows)]
    return HPacker(children=packed, pad=0, sep=2 * _BETWEEN, align="top"), rows * (1 + is_stacked)


def below(ax: Axes, box: OffsetBox, down: float) -> None:
    """Puts a legend under an Axes, so many points below its lower edge; the layout makes room for it."""
    ax.add_artist(
        AnnotationBbox(
            box,
            (0, 0),
            xybox=(0, -down),
            xycoords="axes fraction",
            boxcoords="offset points",
            box_alignment=(0, 1),
            pad=0,
            frameon=False,
            annotation_clip=False,
        )
    )


def _group(rows: Sequence[tuple[Entry, str]], lines: bool) -> OffsetBox:
    samples = VPacker(children=[_sample(entry.mark, lines) for entry, _ in rows], pad=0, sep=0)
    texts = zip_longest(*([name, *entry.columns] for entry, name in rows), fillvalue="")
    columns = [
        VPacker(children=[_cell(text, entry.mark) for (entry, _), text in zip(rows, column, strict=True)], pad=0, sep=0)
        for column in texts
        if any(column)
    ]
    return HPacker(children=[samples, *columns], pad=0, sep=_BETWEEN, align="top")


def _stack(rows: Sequence[tuple[Entry, str]], lines: bool) -> OffsetBox:
    """Two lines an arm: its name, and under it what stands in columns where there is room."""
    samples: list[Artist] = []
    texts: list[Artist] = []
    for entry, name in rows:
        samples += [_sample(entry.mark, lines), _cell("", entry.mark)]
        texts += [_cell(name, entry.mark), _cell(" · ".join(filter(None, entry.columns)), entry.mark)]
    packed: list[Artist] = [VPacker(children=column, pad=0, sep=0) for column in (samples, texts)]
    return HPacker(children=packed, pad=0, sep=_BETWEEN, align="top")


def _sample(mark: Mark, lines: bool) -> OffsetBox:
    area = DrawingArea(_SAMPLE, ROW, 0, 0)
    middle = ROW / 2 - 1
    if lines:
        area.add_artist(Line2D([0, _SAMPLE], [middle] * 2, color=mark.colour, linestyle=mark.line, linewidth=1.8))
    sample = Line2D([_SAMPLE / 2], [middle], linestyle="", marker=mark.marker, color=mark.text, markersize=6)
    area.add_artist(sample)
    return area


def _cell(text: str, mark: Mark) -> OffsetBox:
    """A text in a box of a row's height, as wide as it is."""
    words: dict[str, Any] = {"fontsize": SMALL, "color": mark.text, "va": "center", "parse_math": False}
    area = DrawingArea(max(1.0, _wide(text)), ROW, 0, 0)
    area.add_artist(Text(0, ROW / 2 - 1, text, **words))
    return area


def _widths(entries: Sequence[Entry]) -> list[float]:
    """Of each column but the names."""
    columns = zip_longest(*(entry.columns for entry in entries), fillvalue="")
    return [max(_wide(text) for text in column) for column in columns]


def _wide(text: str) -> float:
    """The width in points that a text may need."""
    return _HINTED * width(text, SMALL)
