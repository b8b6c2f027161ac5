"""The figures of a run, each made once: tables, comparisons, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..values.run import Run
from . import answers, comparison, notes, summary, throughput, trials

if TYPE_CHECKING:
    from pandas import DataFrame


class Figures(Run):
    """A run with what follows from it: what charts draw.

    `trials` has one row a request (`trials.COLUMNS`), `warmups` the same for the discarded ones, `gaps` one row a gap.
    """

    @cached_property
    def trials(self) -> DataFrame:
        """One row a request, in the order of their starts."""
        return trials.table(self.records, self.sessions, self.plan, self.trips)

    @cached_property
    def warmups(self) -> DataFrame:
        """The discarded requests, in the same columns."""
        return trials.table(self.warmup_records, self.sessions, self.plan, self.trips)

    @cached_property
    def gaps(self) -> DataFrame:
        """One row a gap of the requests that succeeded; see `trials.gaps`."""
        return trials.gaps(self.records, self.plan)

    def rows(self, arm: str) -> DataFrame:
        """The rows of an arm in `trials`."""
        return self._only(self.trials, arm)

    def gap_rows(self, arm: str) -> DataFrame:
        """The rows of an arm in `gaps`."""
        return self._only(self.gaps, arm)

    def _only(self, frame: DataFrame, arm: str) -> DataFrame:
        model, way = self.plan.arms[arm]
        wire, transport = self.plan.ways[way]
        rows = (frame["model"] == model) & (frame["transport"] == transport)
        return frame[rows & (frame["wire"] == wire)] if len(self.plan.wires) > 1 else frame[rows]

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """The figures of each arm as values with their intervals; see `summary.cells`."""
        return summary.cells(self)

    def summary(self, *, adjusted: bool = False) -> DataFrame:
        """One row an arm; see `summary.summary`. With `adjusted`, failures count as +∞ in TTFT, TTFA and E2E."""
        return summary.summary(self, adjusted=adjusted)

    def throughput(self) -> Mapping[str, float | None]:
        """Of the whole run: system tok/s, goodput (req/s) and requests/s; see `throughput.throughput`."""
        return throughput.throughput(self)

    def compare(self, a: str, b: str, metric: str = "ttft_ms") -> comparison.Comparison:
        """Two models or ways in pairs: same prompt and repeat, nearly the same time. Its text says what it means.

        a, b: names of models, of ways ("sse", "messages") if there is one model, or labels (see `arm`).
        """
        return comparison.compare(self, self.arm(a), self.arm(b), metric)

    def by_prompt(self) -> DataFrame:
        """One row a prompt and arm, with medians; see `answers.by_prompt`."""
        return answers.by_prompt(self)

    def answers(self) -> answers.Answers:
        """The answers side by side, of a run that was asked with `answers=True`; `to_frame()` has them as a table."""
        return answers.Answers(self)

    def to_markdown(self) -> str:
        """The summary as a table, with what to know below it."""
        return summary.to_markdown(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing a figure: the simulator, missing requests, failures, the timing error."""
        return tuple(notes.notes(self))
