"""A Result: a run's data, its figures, and its charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SetupError
from .figures.against import Against, against
from .figures.figures import Figures
from .votes import Ballot


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

    def vote(self, a: str | None = None, b: str | None = None, *, seed: int | None = None) -> Ballot:
        """Two arms' answers to each prompt, shown without their names for your vote; see `Ballot`.

        a, b: as for `compare`; not needed where there are two. For a run that was asked with `answers=True`.
        """
        if a is None or b is None:
            if len(self.arms) != 2:
                raise SetupError(f"Name two to vote on, of {', '.join(self.arms)}.")
            a, b = self.arms
        return Ballot(self, a, b, seed=seed)

    def plot(self) -> Any:
        """The best four charts on one sheet."""
        from .charts import sheet  # matplotlib takes a second to import

        return sheet(self)

    def against(self, before: Figures) -> Against:
        """This run against an earlier one of the same prompts: what got better, and how sure that is."""
        return against(before, self)

    def to_csv(self, path: str | Path) -> Path:
        """Writes one row a request, with what was asked and the answer where it was kept, by the names of
        `export.schema()`, which are OpenTelemetry's where it has one; times in s, costs exact.

        `trials` has the figures by our names, in ms. A text that a spreadsheet would carry out begins with an
        apostrophe; JSON and Parquet have it as it came.
        """
        from .export import to_csv

        return to_csv(self, path)

    def to_parquet(self, path: str | Path) -> Path:
        """Writes the rows of `to_csv` as Parquet; SetupError where pyarrow is not installed."""
        from .export import to_parquet

        return to_parquet(self, path)

    def to_json(self, path: str | Path) -> Path:
        """Writes the rows of `to_csv` as JSON, with their schema, how the run came to be, the summary and the notes."""
        from .export import to_json

        return to_json(self, path)

    def report(self, path: str | Path) -> Path:
        """Writes one HTML page with tables, notes and charts, for light and dark; it needs no other file, no script."""
        from .page import report

        return report(self, path)
