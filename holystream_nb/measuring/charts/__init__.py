"""Charts of a Result or a Sweep, in the words and units of its tables.

Each function draws on `ax`, or on a new figure without pyplot, and returns its Axes: as the result of a notebook's cell
that shows the figure, once; `savefig` puts it into a file. Colours and background follow the matplotlib style in force,
so `matplotlib.style.use("dark_background")` gives dark charts; the background is always opaque, because a saved chart
meets light and dark pages. A model has the same colour, marker and line on every chart of one run.

Names that are too long are shortened in the middle, and whole in the alternative text; where names find no place at
what they name, a legend has them. Twelve models are drawn at most, and a chart of more says which.

What cannot be said is said to be missing: failures, unknown prices. A value without an interval at its size is dashed,
with a star.
"""

from .capacity import Level, capacity
from .cost import speed_against_cost, ttft_against_cost
from .drift import over_run
from .ecdf import distribution
from .four import sheet
from .load import concurrency
from .pairs import differences
from .rows import timeline
from .waterfall import waterfall

__all__ = [
    "Level",
    "capacity",
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
