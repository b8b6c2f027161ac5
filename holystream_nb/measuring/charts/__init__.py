"""Charts of a Result or a Sweep, in the words and units of its tables.

Each function draws on `ax`, or on a new figure without pyplot, and returns its Axes: as the result of a notebook's cell
that shows the figure, once. Colours and background follow the matplotlib style in force, so
`matplotlib.style.use("dark_background")` gives dark charts; the background is always opaque, because a saved chart
meets light and dark pages. A model has the same colour, marker and line on every chart of one run.

What cannot be said is said to be missing: failures, unknown prices, percentiles whose n is too small.
"""

from .cost import speed_against_cost, ttft_against_cost
from .drift import over_run
from .ecdf import distribution
from .four import sheet
from .load import concurrency
from .pairs import differences
from .rows import timeline
from .waterfall import waterfall

__all__ = [
    "concurrency",
    "differences",
    "distribution",
    "over_run",
    "sheet",
    "speed_against_cost",
    "timeline",
    "ttft_against_cost",
    "waterfall",
]
