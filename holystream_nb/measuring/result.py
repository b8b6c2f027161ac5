"""A Result: a run's data, its figures, and its charts."""

from __future__ import annotations

from typing import Any

from .figures.figures import Figures


class Result(Figures):
    """What a bench measured, complete or not.

    `plan`, `sessions` and `path` say how it came to be, `notes` what to know before believing it. `trials` has one row
    a request (`COLUMNS`), `warmups` the same for the discarded ones, `gaps` one row a gap. It shows itself as one text:
    in a notebook, by `print(result)`, by `to_markdown()`; `summary()` has the same as numbers.
    """

    def __repr__(self) -> str:
        return self.text.plain()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def plot(self) -> Any:
        """The best four charts on one sheet."""
        from .charts import sheet  # matplotlib takes a second to import

        return sheet(self)
