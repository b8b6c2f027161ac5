"""A result as one page of HTML that needs nothing else: tables, notes, charts; no script, nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..live.saved import printable
from .export import written
from .figures.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
th, td { overflow-wrap: normal }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, #0000) }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; height: auto }
figure { margin: 2rem 0 }
.quiet { opacity: .7 }
"""


def report(result: Figures, path: str | Path) -> Path:
    """Writes the page; see `Result.report`."""
    return written(path, lambda to: to.write_text(page(result), "utf-8"))


def page(result: Figures) -> str:
    """The page's HTML. Every name, note and error is only text."""
    title = f"{', '.join(result.label(arm) for arm in result.arms)}: a measurement"
    first = result.sessions[0]
    made = " · ".join([first.started, f"plan {result.plan.hash}", first.cpu])
    charts = "".join(_figure(draw) for draw in _charts(result)) if result.records else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_text(title)}</h1>"
        f'<p class="quiet">{_text(made)}</p>{result.text.html()}{charts}</body></html>\n'
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _charts(result: Figures) -> list[Callable[[], Any]]:
    from .charts import over_run, sheet, timeline  # matplotlib takes a second to import

    return [lambda: sheet(result), lambda: over_run(result), lambda: timeline(result)]


def _figure(draw: Callable[[], Any]) -> str:
    """A chart in both lights: the page shows the reader's."""
    from matplotlib import style

    from .charts.canvas import png

    def source(of: Figure) -> str:
        return f"data:image/png;base64,{b64encode(png(of)).decode('ascii')}"

    with style.context("default"):
        chart = draw()
        light, words = source(_drawn(chart)), repr(chart)
    with style.context("dark_background"):
        dark = source(_drawn(draw()))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{_text(words)}"></picture></figure>'
    )


def _drawn(chart: Any) -> Figure:
    of: Figure = chart.figure
    return of
