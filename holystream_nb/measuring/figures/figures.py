"""The figures of a run, each made once: tables, comparisons, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..values.run import Run
from . import answers, comparison, notes, steady, summary, tables, throughput, trials

if TYPE_CHECKING:
    from pandas import DataFrame


class Figures(Run):
    """A run with what follows from it: what charts draw.

    `trials` has one row a request (`trials.COLUMNS`), `warmups` the same for the discarded ones, `gaps` one row a gap.
    """

    @cached_property
    def trials(self) -> DataFrame:
        """One row a request, in the order of their starts."""
        return trials.table(self.records, self.sessions, self.plan, self.steady, self.trips)

    @cached_property
    def warmups(self) -> DataFrame:
        """The discarded requests, in the same columns."""
        return trials.table(self.warmup_records, self.sessions, self.plan, steady.NONE, self.trips)

    @cached_property
    def gaps(self) -> DataFrame:
        """One row a gap of the requests that succeeded; see `trials.gaps`."""
        return trials.gaps(self.records, self.plan)

    def rows(self, arm: str) -> DataFrame:
        """The rows of an arm in `trials`."""
        frame = self.trials
        model, way = self.plan.arms[arm]
        wire, transport = self.plan.ways[way]
        rows = (frame["model"] == model) & (frame["transport"] == transport)
        if self.plan.caches:
            rows &= frame["cache"] == self.plan.cached(list(self.plan.ways).index(way))
        return frame[rows & (frame["wire"] == wire)] if len(self.plan.wires) > 1 else frame[rows]

    def steady_rows(self, arm: str) -> DataFrame:
        """Those of them that percentiles are of: the steady part's, or all where that holds too few."""
        rows = self.rows(arm)
        return rows[rows["steady"]] if self.steady.is_used else rows

    @cached_property
    def steady(self) -> steady.Steady:
        """The steady part, which percentiles are of; its text says so. Pairs (`compare`) are of all requests."""
        return steady.steady(self)

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """The figures of each arm as values with their intervals; see `summary.cells`."""
        return summary.cells(self)

    def summary(self, *, adjusted: bool = False) -> DataFrame:
        """Numbers: a row an arm (index: `provider:model`, or `provider:model · transport` of several), the columns of
        `summary.WORDS`. Texts are only `ended`, `price_source` and `price_as_of`: `select_dtypes("number")` has the
        others.

        A figure with an interval is three columns: `ttft_p50_ms`, `ttft_p50_ms_low` and `ttft_p50_ms_high`; the last
        two are NaN where the sample is too small for one. What is not known is NaN. Exact money is in `cells`; here it
        is floats. `print(result)` and a result as a cell's last line show the same for a reader.

        n counts all requests, errors those that failed (error_rate in %, with the exact interval of Clopper and
        Pearson); ended counts, in words, those that the service did not end as answers end, or left with gaps or empty
        (also among the errors); good_share is the % of all that met all limits.
        Percentiles, means (95 % by Student's t) and extremes are of the requests that succeeded in the steady part
        (`steady`); with `adjusted`, failures count as +∞ in the percentiles of TTFT, TTFA and E2E. Rates are medians
        over requests. Gap percentiles are pooled over requests.
        bursts: the % of requests whose events came in bursts; service_…: medians of what the service itself says.
        in_flight: requests of this arm that ran at once, the mean. duration_s, requests_per_s, goodput_per_s and both
        tok/s are the run's: NaN where several arms share one; `throughput()` has them.
        usd_per_request: mean over the requests that brought output and whose cost is known; usd_per_1m_tokens: the sum
        of those / their prompt and output tokens together; stated_usd_per_request: mean of what the service itself
        says. In cny_…, the same at the rate that each seller is paid at, `cny_per_usd` of its entry in providers.toml:
        1 at HolySheep, which sells a dollar's worth for a yuan, and at the simulator, so that both are one number
        there; 7.3 elsewhere unless you say otherwise.
        """
        return (self._adjusted if adjusted else self._summary).copy()

    @cached_property
    def _summary(self) -> DataFrame:
        return summary.frame(self.cells)

    @cached_property
    def _adjusted(self) -> DataFrame:
        return summary.frame(summary.cells(self, adjusted=True))

    def throughput(self) -> Mapping[str, float | None]:
        """Of the whole run: tok/s, requests/s, goodput (req/s), duration (s); see `throughput.throughput`."""
        return throughput.throughput(self)

    def compare(self, a: str, b: str, metric: str = "ttft_ms") -> comparison.Comparison:
        """Two models or ways in pairs: same prompt and repeat, nearly the same time. Its text says what it means.

        a, b: names of models, of ways ("sse", "messages") if there is one model, or labels (see `arm`).
        """
        return comparison.compare(self, self.arm(a), self.arm(b), metric)

    @property
    def text(self) -> tables.Text:
        """The summary for a reader: the table, the verdict of the pairs, the run, what to know before believing it."""
        return tables.text(self, self.cells)

    def by_prompt(self) -> DataFrame:
        """One row a prompt and arm, with medians; see `answers.by_prompt`."""
        return answers.by_prompt(self)

    def answers(self) -> answers.Answers:
        """The answers side by side, of a run that was asked with `answers=True`; `to_frame()` has them as a table."""
        return answers.Answers(self)

    def to_markdown(self) -> str:
        """That text as Markdown; `print(result)` has it for a terminal."""
        return self.text.markdown()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing a figure: the simulator, missing requests, failures, the timing error."""
        return tuple(notes.notes(self))
