"""A model's colour, marker and line: two channels, so that no reader depends on colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final, Literal

from matplotlib.colors import to_hex, to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LineStyle = Literal["-"] | tuple[float, tuple[float, ...]]

# Okabe & Ito's colours for all kinds of colour blindness (https://jfly.uni-koeln.de/color/), those first that stand out
# from the background most; then black or white, and one that is as far from the others to every kind of eye as they are
# from each other (by Machado's simulation of 2009).
ON_LIGHT: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
ON_DARK: Final = ("#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#F0E442", "#FFFFFF", "#7B68EE")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
SIGNS: Final = "●■▲◆▼✚✖★◀▶⬟⬢"
LINES: Final[tuple[LineStyle, ...]] = ("-", (0, (5, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1.2)), (0, (8, 2)))
READABLE: Final = 4.5
"""The contrast that text needs: https://www.w3.org/TR/WCAG22/#contrast-minimum"""


@dataclass(frozen=True, slots=True)
class Mark:
    """How one model is drawn; `text` is its colour for words, dark or light enough to be read, `sign` its marker."""

    colour: str
    text: str
    marker: str
    sign: str
    line: LineStyle


def marks(arms: Sequence[str], ax: Axes) -> dict[str, Mark]:
    """A Mark for each model or transport of a run, by its place in the alphabet: a sweep and a bench agree.

    Twelve have a marker each; of two that share a colour, the lines differ.
    """
    ground = background(ax)
    colours = ON_DARK if is_dark(ground) else ON_LIGHT
    rows = zip(sorted(arms), cycle(colours), cycle(MARKERS), cycle(SIGNS), cycle(LINES), strict=False)
    return {arm: Mark(colour, readable(colour, ground), marker, sign, line) for arm, colour, marker, sign, line in rows}


def background(ax: Axes) -> str:
    """What lies under the marks of an Axes."""
    return to_hex(ax.get_facecolor())


def ink(ax: Axes) -> str:
    """The colour of words that belong to no model."""
    return "#F2F2F2" if is_dark(background(ax)) else "#1A1A1A"


def faint(ax: Axes) -> str:
    """The colour of notes and aids: less than ink, and still readable."""
    return "#ABABAB" if is_dark(background(ax)) else "#5F5F5F"


def is_dark(colour: str) -> bool:
    return luminance(colour) < 0.18


def readable(colour: str, ground: str) -> str:
    """The colour, moved towards white or black until words in it can be read on the ground."""
    end = 1.0 if is_dark(ground) else 0.0
    red, green, blue = to_rgb(colour)
    for step in range(21):
        share = step / 20
        mixed = to_hex((red + (end - red) * share, green + (end - green) * share, blue + (end - blue) * share))
        if contrast(mixed, ground) >= READABLE:
            break
    return mixed


def contrast(one: str, other: str) -> float:
    """1 to 21, as https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """0 to 1: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def hollow(ax: Axes, x: float, y: float, mark: Mark, size: float = 8.0) -> None:
    """A value without an interval: an empty mark with a dashed edge."""
    ax.scatter(
        [x],
        [y],
        s=size**2,
        marker=mark.marker,
        facecolors="none",
        edgecolors=mark.text,
        linewidths=1.4,
        linestyle=(0, (2, 1.2)),
        zorder=4,
    )
