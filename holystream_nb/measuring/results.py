"""A run as data: trials, gaps, and what follows from them. A table is a function of trials, a chart of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import SetupError
from ..timing import Timing
from .journal import read
from .plan import Plan
from .record import Calibration, Contents, Session, Trial, Warmup

if TYPE_CHECKING:
    from pandas import DataFrame

    from .comparison import Comparison

COLUMNS: Final = (
    "model",
    "transport",
    "wire",
    "prompt",
    "repeat",
    "error",
    "at_s",
    "scheduled_s",
    "lag_ms",
    "queue_ms",
    "connect_ms",
    "ttft_ms",
    "ttfa_ms",
    "e2e_s",
    "e2e_scheduled_s",
    "tpot_ms",
    "decode_tokens_per_s",
    "e2e_tokens_per_s",
    "characters_per_s",
    "gap_p50_ms",
    "gap_p99_ms",
    "gap_max_ms",
    "output_tokens",
    "token_source",
    "reasoning_tokens",
    "prompt_tokens",
    "cached_tokens",
    "characters",
    "bytes",
    "retries",
    "resent",
    "transport_used",
    "cost_usd",
    "cost_cny",
    "stated_cost_usd",
    "price_note",
    "meets_limits",
    "finish_reason",
    "ended",
    "status",
    "message",
    "session",
    "worker",
    "stream",
    "response_id",
)
"""One row a request:

model `provider:model` · transport: what was asked for: sse, ws or auto · wire: the format: chat, messages, responses
prompt, repeat: what was asked; rows of two models, transports or wires with the same are a pair
error: "" or its class · at_s: the call's start, after the run's first · scheduled_s: the intended one (open loop)
lag_ms, queue_ms, connect_ms, ttft_ms, ttfa_ms, e2e_s, e2e_scheduled_s, tpot_ms, decode_tokens_per_s,
e2e_tokens_per_s: as `timing` defines them · characters_per_s: characters of text and reasoning / E2E
gap_p50_ms, gap_p99_ms, gap_max_ms: of this request's own gaps
output_tokens (reasoning included), reasoning_tokens, prompt_tokens (cached included), cached_tokens
token_source: usage (the service's count) or text (estimated here, ≈) · bytes (B) · retries
resent: how often it met a kept connection that the service had closed, and went out again
transport_used: which brought the answer: sse or ws
cost_usd, cost_cny: exact Decimals, None where unknown; price_note: "" for a real price
stated_cost_usd: what the service itself says that it cost, None where it says nothing
finish_reason: the service's word · ended: how it ended in plain words, "" where that is as answers end
meets_limits: whether it kept all stated limits; None if none are stated · response_id: the service's own
"""


class Result:
    """What a bench measured, complete or not.

    `plan`, `sessions` and `path` say how it came to be, `notes` what to know before believing it. `trials` has one row
    a request (`COLUMNS`), `warmups` the same for the discarded ones, `gaps` one row a gap.
    """

    def __init__(self, contents: Contents, path: Path) -> None:
        self.plan: Plan = contents.header.plan
        self.sessions: tuple[Session, ...] = contents.sessions
        self.calibration: Calibration | None = contents.calibration
        self.path = path
        self.records: tuple[Trial, ...] = contents.trials
        self._warmups: tuple[Warmup, ...] = contents.warmups
        self._contents = contents

    def __repr__(self) -> str:
        failed = sum(bool(trial.error) for trial in self.records)
        return f"<Result {', '.join(self.arms)}: {len(self.records)} of {self.plan.requests} requests, {failed} failed>"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    @property
    def models(self) -> tuple[str, ...]:
        """Models in the plan's order, each `provider:model`."""
        return self.plan.models

    @property
    def arms(self) -> tuple[str, ...]:
        """What is compared: the models, or `provider:model · ws` for each way where there are several."""
        return tuple(self.plan.arms)

    def of(self, arm: str) -> list[Trial]:
        """The records of an arm."""
        model, way = self.plan.arms[arm]
        return [trial for trial in self.records if trial.model == model and trial.way == way]

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

    @property
    def missing(self) -> int:
        """Requests of the plan that are not there: `hs.bench(…, resume=result.path)` makes them."""
        return self.plan.requests - len(self.records)

    @property
    def simulator(self) -> str:
        """ "simulator ×20" and the like where no model answered; charts name it. "" otherwise."""
        return self.plan.simulator

    @cached_property
    def trials(self) -> DataFrame:
        """One row a request, in the order of their starts."""
        return _frame(self.records, self.sessions, self.plan)

    @cached_property
    def warmups(self) -> DataFrame:
        """The discarded requests, in the same columns."""
        return _frame(self._warmups, self.sessions, self.plan)

    @cached_property
    def gaps(self) -> DataFrame:
        """One row a gap of the requests that succeeded: model, transport, wire, prompt, repeat, index, at_s, gap_ms,
        events.

        at_s is the gap's end, since sent; events is how many output events the read brought that ended it.
        """
        from pandas import DataFrame

        rows, ways = [], self.plan.ways
        for trial in self.records:
            if trial.error or not trial.reads:
                continue
            asked = trial.model, ways[trial.way][1], trial.wire, trial.prompt, trial.repeat
            stamps = list(trial.read_stamps())
            for index, gap in enumerate(trial.reads[1:], 1):
                at_s = (stamps[index] - (trial.sent or 0)) / 1e9
                events = trial.events[index] if trial.events else 1
                rows.append((*asked, index, at_s, gap / 1e6, events))
        columns = ["model", "transport", "wire", "prompt", "repeat", "index", "at_s", "gap_ms", "events"]
        return DataFrame(rows, columns=columns)

    def arm(self, name: str) -> str:
        """The arm that a name means: its label, a model or a way where that is enough; SetupError names those meant.

        `simulator:deepseek-v3.2 · ws` is also `deepseek-v3.2 · ws`, `deepseek-v3.2 ws`, and `ws` if there is one model.
        """
        found = [
            arm for arm, (model, way) in self.plan.arms.items() if name in _names(model, self.plan.split(model)[1], way)
        ]
        if len(found) == 1:
            return found[0]
        raise SetupError(
            f"{name!r} is {'several' if found else 'none'} of what was compared here: {', '.join(found or self.arms)}."
        )

    def label(self, arm: str) -> str:
        """An arm's name for a table or a chart: without its provider where all have the same."""
        providers = {self.plan.split(each)[0] for each in self.models}
        return self.plan.split(arm)[1] if len(providers) == 1 else arm

    def summary(self, *, adjusted: bool = False) -> DataFrame:
        """One row an arm; see `summary.summary`. With `adjusted`, failures count as +∞ in TTFT, TTFA and E2E."""
        from .summary import summary

        return summary(self, adjusted=adjusted)

    def throughput(self) -> Mapping[str, float | None]:
        """Of the whole run: system tok/s, goodput (req/s) and requests/s; see `throughput.throughput`."""
        from .throughput import throughput

        return throughput(self)

    def compare(self, a: str, b: str, metric: str = "ttft_ms") -> Comparison:
        """Two models or ways in pairs: same prompt and repeat, nearly the same time. Its text says what it means.

        a, b: names of models, of ways ("sse", "messages") if there is one model, or labels (see `arm`).
        """
        from .comparison import compare

        return compare(self, self.arm(a), self.arm(b), metric)

    def to_markdown(self) -> str:
        """The summary as a table, with what to know below it."""
        from .summary import to_markdown

        return to_markdown(self)

    def plot(self) -> Any:
        """The best four charts on one sheet."""
        from .charts import sheet

        return sheet(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing a figure: the simulator, missing requests, failures, the timing error."""
        from .notes import notes

        return tuple(notes(self, self._contents))


def load(path: str | Path) -> Any:
    """The Result of a file that a bench wrote, whole or not; for a folder that a sweep wrote, its Sweep."""
    path = Path(path).expanduser()
    if path.is_dir():
        from .sweep import load_sweep

        return load_sweep(path)
    return Result(read(path), path)


def _names(model: str, name: str, way: str) -> list[str]:
    """All that an arm may be called."""
    models = (model, name)
    return [way, *models, *(f"{each}{between}{way}" for each in models for between in (" · ", " "))]


def good(trial: Trial, timing: Timing, limits: Mapping[str, float]) -> bool:
    """Whether a request meets all limits; a failure does not, nor one whose figure is unknown."""
    if trial.error:
        return False
    figures = (getattr(timing, name) for name in limits)
    return all(figure is not None and figure <= limit for figure, limit in zip(figures, limits.values(), strict=True))


def _frame(trials: Sequence[Trial], sessions: Sequence[Session], plan: Plan) -> DataFrame:
    from pandas import DataFrame

    anchors = {session.number: (session.wall_ns - sessions[0].wall_ns) / 1e9 for session in sessions}
    starts = [anchors.get(trial.session, 0.0) + trial.submitted / 1e9 for trial in trials]
    first = min(starts, default=0.0)
    rows = [_row(trial, at - first, plan) for trial, at in zip(trials, starts, strict=True)]
    rows.sort(key=lambda row: row["at_s"])
    frame = DataFrame(rows, columns=list(COLUMNS))
    figures = [name for name in COLUMNS if name.endswith(("_ms", "_s"))]
    return frame.astype(dict.fromkeys(figures, float))


def _row(trial: Trial, at_s: float, plan: Plan) -> dict[str, Any]:
    from .statistics import point

    timing, limits = trial.timing, plan.limits
    transport = plan.ways[trial.way][1]
    gaps = timing.gaps_ms
    e2e_s = timing.e2e_s
    return {
        "model": trial.model,
        "transport": transport,
        "wire": trial.wire,
        "prompt": trial.prompt,
        "repeat": trial.repeat,
        "error": trial.error,
        "at_s": at_s,
        "scheduled_s": None if trial.scheduled is None else at_s - (trial.submitted - trial.scheduled) / 1e9,
        "lag_ms": timing.lag_ms,
        "queue_ms": timing.queue_ms,
        "connect_ms": timing.connect_ms,
        "ttft_ms": timing.ttft_ms,
        "ttfa_ms": timing.ttfa_ms,
        "e2e_s": e2e_s,
        "e2e_scheduled_s": timing.e2e_scheduled_s,
        "tpot_ms": timing.tpot_ms,
        "decode_tokens_per_s": timing.decode_tokens_per_s,
        "e2e_tokens_per_s": timing.e2e_tokens_per_s,
        "characters_per_s": trial.characters / e2e_s if e2e_s and not trial.error else None,
        "gap_p50_ms": point(gaps, 0.5) if gaps else None,
        "gap_p99_ms": point(gaps, 0.99) if gaps else None,
        "gap_max_ms": max(gaps, default=None),
        "output_tokens": trial.output_tokens,
        "token_source": trial.token_source,
        "reasoning_tokens": trial.reasoning_tokens,
        "prompt_tokens": trial.prompt_tokens,
        "cached_tokens": trial.cached_tokens,
        "characters": trial.characters,
        "bytes": trial.bytes,
        "retries": trial.retries,
        "resent": trial.resent,
        "transport_used": trial.transport_used or transport,
        "cost_usd": trial.usd,
        "cost_cny": trial.cny,
        "stated_cost_usd": trial.stated_usd,
        "price_note": trial.price_note,
        "meets_limits": good(trial, timing, limits) if limits else None,
        "finish_reason": trial.finish_reason,
        "ended": trial.ended,
        "status": trial.status,
        "message": trial.message,
        "session": trial.session,
        "worker": trial.worker,
        "stream": trial.stream,
        "response_id": trial.response_id,
    }
