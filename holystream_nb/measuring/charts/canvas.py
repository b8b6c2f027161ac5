"""The figure under every chart: without pyplot, opaque, shown by the notebook that returns it; and the words around."""

from __future__ import annotations

import textwrap
from base64 import b64encode
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..figures.comparison import WORDS
from ..figures.error import quantiles
from ..figures.tables import dagger
from ..values.plan import connections
from ..values.words import counted, digits, load
from .glyphs import drawable
from .marks import faint, ink, is_dark
from .words import PROSE, says

if TYPE_CHECKING:
    from matplotlib.text import Annotation

    from ..figures.figures import Figures

WIDTH: Final = 7.6
HEIGHT: Final = 4.4
SMALL: Final = 8.0

_DOTS: Final = 144
_TRIES: Final = 4
_BESIDE: Final = 1.5
_ENOUGH: Final = 0.05
_SHOWN: Final = 100
_TITLE: Final = 11.0
_NOTE: Final = 7.5
_LINE: Final = 1.35
_UNDER: Final = 34.0
"""From an Axes' lower edge to its note, in points: past the ticks and the label."""


class Chart(Axes):
    """An Axes that shows its whole figure where it is the result of a notebook's cell, and saves it.

    `least` is the height in inches below which it is not to be pressed by its notes and its legend.
    """

    least: float = 2.6

    def savefig(self, fname: Any, **options: Any) -> None:
        """Saves the whole figure, as `Figure.savefig` does, with an opaque background."""
        save(self.figure_of_all, fname, **options)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        return _bundle(self.figure_of_all, says(self))

    @property
    def figure_of_all(self) -> Figure:
        return figure_of(self)

    def __repr__(self) -> str:
        return says(self)


class Panels(tuple[Axes, ...]):
    """Several Axes of one figure, which a notebook shows like a single one; `figure` is theirs."""

    __slots__ = ()

    @property
    def figure(self) -> Figure:
        return figure_of(self[0])

    def savefig(self, fname: Any, **options: Any) -> None:
        """Saves the whole figure, as `Figure.savefig` does, with an opaque background."""
        save(self.figure, fname, **options)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        return _bundle(self.figure, repr(self))

    def __repr__(self) -> str:
        return "\n\n".join(says(ax) for ax in self)


def figure_of(ax: Axes) -> Figure:
    """The whole figure that an Axes stands on."""
    found = ax.get_figure(root=True)
    assert isinstance(found, Figure)  # noqa: S101  # an Axes that was not removed has one
    return found


def figure(width: float = WIDTH, height: float = HEIGHT, pad: float = 0.06) -> Figure:
    """An empty figure in the style in force, with an opaque background, that no registry keeps alive."""
    made = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    red, green, blue, alpha = to_rgba(made.get_facecolor())
    if alpha < 1:
        over = 1.0 if is_dark(to_hex(matplotlib.rcParams["text.color"])) else 0.0
        rest = over * (1 - alpha)
        made.set_facecolor((red * alpha + rest, green * alpha + rest, blue * alpha + rest))
    return made


def add(on: Figure, place: Any = 111, **options: Any) -> Chart:
    """A Chart on a figure; one without a background of its own gets the figure's."""
    ax = on.add_subplot(place, axes_class=Chart, **options)
    assert isinstance(ax, Chart)  # noqa: S101
    if to_rgba(ax.get_facecolor())[3] < 1:
        ax.set_facecolor(on.get_facecolor())
    return ax


def prepared(ax: Axes | None, height: float = HEIGHT) -> Axes:
    """The Axes to draw on: the caller's, or that of a new figure."""
    return add(figure(height=height)) if ax is None else ax


def frame(ax: Axes, *, title: str, under: str, x: str, y: str, names: float = 0.0) -> None:
    """Title and what is to be known under it, the labels, a quiet grid; `names` is the share that rows' names take."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(faint(ax))
    ax.grid(True, color=faint(ax), alpha=0.18, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL, color=faint(ax), labelcolor=ink(ax), which="both", length=3)
    lines = _wrapped(ax, under, SMALL, 1 - names)
    ax.set_title(
        title,
        loc="left",
        fontsize=_TITLE,
        fontweight="bold",
        color=ink(ax),
        pad=7 + 11.5 * len(lines),
        parse_math=False,
    )
    outside(ax, "\n".join(lines), (0, 1), (0, 4), SMALL, va="bottom")
    ax.set_xlabel(x, fontsize=SMALL + 1, color=ink(ax))
    ax.set_ylabel(y, fontsize=SMALL + 1, color=ink(ax))


def note(ax: Axes, parts: Iterable[str], *, left: float = 0.0) -> None:
    """What the chart leaves out or how it was made, under its x label; it begins so many points left of the Axes."""
    lines = [line for part in parts if part for line in _wrapped(ax, part, _NOTE)]
    if lines:
        outside(ax, "\n".join(lines), (0, 0), (-left, -_UNDER), _NOTE, va="top").set_gid(PROSE)


def below(ax: Axes) -> float:
    """Where a legend may begin: points below the lower edge of an Axes, past its label and its note."""
    noted = (text.get_text().count("\n") + 1 for text in ax.texts if text.get_gid() == PROSE)
    return _UNDER + 4 + sum(noted) * _NOTE * _LINE


def outside(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], size: float, va: str
) -> Annotation:
    """Quiet words beside the Axes, for which the layout makes room."""
    return ax.annotate(
        text,
        at,
        offset,
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=size,
        color=faint(ax),
        ha="left",
        va=va,
        linespacing=_LINE,
        annotation_clip=False,
        parse_math=False,
    )


def clean(text: str) -> str:
    """Words of others on one line, of characters that can be drawn and that turn no figure after them round."""
    return drawable(" ".join("".join(each if each.isprintable() else " " for each in text).split()))


def name(result: Figures, arm: str) -> str:
    """A model, or a model over a transport, as it is called on a chart."""
    return clean(result.label(arm))


def figure_name(metric: str) -> str:
    """A figure of `comparison.WORDS` in measuring's words: `TTFT`, `decode tok/s`."""
    words, unit, *_ = WORDS[metric]
    return words.replace("rate", unit)


def context(result: Figures, ax: Axes | None = None) -> str:
    """What every chart of a run says: whether anybody answered, under which load, how true the stopwatch was.

    On a sheet, which says the rest once, an Axes says only the first.
    """
    if ax is not None and _columns(ax) > 1:
        return result.simulator
    plan = result.plan
    true = timing_error([result]) or "timing error not measured"
    missing = f"{counted(result.missing, 'request')} missing" if result.missing else ""
    return " · ".join(filter(None, (result.simulator, load(plan), *connections(plan), true, missing)))


def timing_error(results: Sequence[Figures]) -> str:
    """`timing error of TTFT 1.50 ms (p95)`, the largest of these runs; starred without an interval; "" if unknown."""
    found = [quantiles(result.calibration, "ttft")[1] for result in results if result.calibration]
    if not found:
        return ""
    worst = max(found, key=lambda each: each.value or 0.0)
    star, said = ("", "") if worst.has_interval else ("*", ", * no interval")
    up = "up to " if len(results) > 1 else ""
    return f"timing error of TTFT {up}{digits(worst.value or 0.0)}{star} ms (p95{said})"


def steady_part(result: Figures) -> str:
    """Which requests a distribution is of, where that is not all."""
    part = result.steady
    if not part.is_used or part.requests == part.of:
        return ""
    return f"Of the steady part: {part.requests:,} of {counted(part.of, 'request')}."


def bursts(result: Figures) -> str:
    """Whose answers came in bursts, and what that does to the figures of a chart that has a †."""
    arms = [name(result, arm) for arm, row in result.cells.items() if dagger(row, "ttft_ms")]
    return f"† Answers of {', '.join(arms)} came in bursts: TTFT is too long, tok/s may be too high." if arms else ""


def png(of: Figure) -> bytes:
    """The figure as a file, opaque whatever the style says of saved figures."""
    target = BytesIO()
    save(of, target, format="png")
    return target.getvalue()


def save(of: Figure, fname: Any, **options: Any) -> None:
    of.savefig(
        fname,
        **{"dpi": _DOTS, "facecolor": of.get_facecolor(), "edgecolor": "none", "transparent": False, **options},
    )


def layout(of: Figure) -> None:
    """Gives each Axes its place, which drawing would do too, with much besides."""
    engine = of.get_layout_engine()
    if engine is None:
        of.draw_without_rendering()
    else:
        engine.execute(of)


def grow(of: Figure) -> None:
    """Makes a figure of Charts higher, until notes and legends leave each of them the height that it needs."""
    charts = [ax for ax in of.axes if isinstance(ax, Chart)]
    if len(charts) < len(of.axes):
        layout(of)
        return
    for _ in range(_TRIES):
        layout(of)
        lacks: dict[int, float] = {}
        for ax in charts:
            place, lack = ax.get_subplotspec(), ax.least - ax.get_window_extent().height / of.dpi
            row = 0 if place is None else place.rowspan.start
            lacks[row] = max(lacks.get(row, 0.0), lack)
        if max(lacks.values()) < _ENOUGH:
            return
        width, height = of.get_size_inches()
        of.set_size_inches(width, height + max(lacks.values()) * len(lacks))


def _bundle(of: Figure, words: str) -> tuple[dict[str, str], dict[str, Any]]:
    data = {"image/png": b64encode(png(of)).decode("ascii"), "text/plain": words}
    width, height = (round(inches * _SHOWN) for inches in of.get_size_inches())
    return data, {"image/png": {"width": width, "height": height, "alt": words}}


def _wrapped(ax: Axes, text: str, size: float, share: float = 1.0) -> list[str]:
    """Lines about as long as the Axes is wide, or as this share of it."""
    return textwrap.wrap(clean(text), max(20, int(share * inches(ax) * 72 / (size * 0.56))))


def inches(ax: Axes) -> float:
    """About how wide an Axes is before the layout is made: less beside another, whose rows have names."""
    columns = _columns(ax)
    return float(figure_of(ax).get_size_inches()[0]) / columns - (0.8 if columns == 1 else _BESIDE)


def _columns(ax: Axes) -> int:
    """How many Axes stand side by side."""
    grid = ax.get_subplotspec()
    return 1 if grid is None else grid.get_gridspec().ncols
