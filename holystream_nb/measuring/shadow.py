"""hs.shadow: both services asked the same, before any traffic goes to the new one."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import kinds
from ..client.options import client_options
from ..errors import SetupError
from ..facts import Wire
from ..live.harmless import plain_line
from ..providers.secret import sealing
from .carry import as_begun, carry_out, file_of, measured_fields, seed_of
from .figures.comparison import WORDS, Comparison, of_pairs, prompt_of
from .figures.statistics import Interval, Quantile, median, quantile, share
from .figures.summary import numbers
from .figures.tables import legend, shown
from .result import Result
from .running import addresses
from .running.addresses import Model
from .values.folder import path_of
from .values.given import limits_of, repeats_of
from .values.journal import read
from .values.plan import MAX_FAILURES, Plan
from .values.prompts import read_prompts
from .values.record import Trial
from .values.words import counted, digits

if TYPE_CHECKING:
    from pandas import DataFrame

NOT_QUALITY: Final = "similarity of words is not a judgement of quality"

_SIDES: Final = ("old", "new", "difference")
_FIGURES: Final = ("ttft_ms", "e2e_s", "decode_tokens_per_s")


@sealing("old", "new")
async def shadow(
    prompts: Any,
    *,
    old: Model,
    new: Model,
    repeats: int | None = None,
    duration: kinds.Span | None = None,
    concurrency: int | None = None,
    pause: float = 0.0,
    rate: float | None = None,
    warmup: int = 1,
    seed: int | None = None,
    limits: Mapping[str, float] | None = None,
    max_cost: Decimal | float | str | None = None,
    max_failures: int | None = MAX_FAILURES,
    cache: bool = False,
    retries: int = 0,
    timeout: float | None = None,
    ca: str | Path | None = None,
    connect_timeout: float | None = None,
    inactivity: float | None = None,
    progress_timeout: float | None = None,
    wire: Wire | None = None,
    reuse: bool = True,
    workers: int | None = None,
    path: str | Path | None = None,
    resume: str | Path | None = None,
    retry_failed: bool = False,
    calibrate: bool = True,
    answers: bool = False,
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Shadow:
    """Asks the old and the new service the same, in pairs and in random order, and compares what they did.

    old, new: each a model as for `hs.bench`, which does the measuring: in child processes, while this one only draws.
        `{"base_url": …, "model": …, "api_key": …}` is one with an address, a key, headers of its own.
    wire, ca, connect_timeout, inactivity, progress_timeout: of both, as for `Client`; a side's mapping may say its own.
    rate: requests a second of both together, in one Poisson stream: the two of a pair stay with one worker.
    answers: keeps both answers, in `pairs` and in the run's file on this machine. By default an answer leaves the
        process that measured it only as a number, its similarity, and is written nowhere.
    The rest is as for `hs.bench`. Half a pair that `resume` completes has no similarity: the other half is forgotten.

    Raises SetupError as `bench` does.
    """
    asked = measured_fields("hs.shadow", fields, parameters, names=_KEYWORDS, options_at="the mapping of old or new")
    options = client_options(
        wire=wire, ca=ca, connect_timeout=connect_timeout, inactivity=inactivity, progress_timeout=progress_timeout
    )
    kinds.switch("calibrate", calibrate)
    kinds.switch("answers", answers)
    addresses.check_side("old", old)
    addresses.check_side("new", new)
    before = None if resume is None else read(path_of(resume))
    read_in = read_prompts("hs.shadow", prompts)
    if read_in.times:
        raise SetupError("A trace is replayed by hs.bench, of both models: hs.shadow has no arrivals.")
    wanted = Plan(
        models=("to be located",),
        prompts=read_in.prompts,
        names=read_in.names,
        source=read_in.source,
        repeats=repeats_of(repeats, is_endless=duration is not None),
        duration=kinds.optional_span("duration", duration),
        concurrency=1 if concurrency is None and rate is None else kinds.optional_count("concurrency", concurrency),
        pause=kinds.number("pause", pause, unit="seconds"),
        rate=None if rate is None else kinds.number("rate", rate, above=0, unit="requests a second"),
        warmup=kinds.count("warmup", warmup),
        seed=seed_of(kinds.optional_count("seed", seed), before),
        max_cost=kinds.optional_money("max_cost", max_cost),
        limits=limits_of(limits),
        max_failures=kinds.optional_count("max_failures", max_failures, least=1),
        cache=kinds.switch("cache", cache),
        reuse=kinds.switch("reuse", reuse),
        retries=kinds.count("retries", retries),
        timeout=kinds.optional_seconds("timeout", timeout),
        parameters=asked,
    )
    located = await addresses.locate("hs.shadow", [old, new], options)
    if located.models[0] == located.models[1]:
        raise SetupError(f"{located.models[0]} cannot be compared with itself: name two as old and new.")
    plan = located.planned(wanted)
    plan = as_begun(plan, before)
    file = file_of(plan, path, resume, before)
    result = await carry_out(
        plan,
        located,
        file,
        before,
        workers=kinds.optional_count("workers", workers, least=1),
        calibrate=calibrate,
        answers="kept" if answers else "compared",
        retry_failed=kinds.switch("retry_failed", retry_failed),
    )
    return Shadow(result)


_KEYWORDS: Final = frozenset(signature(shadow).parameters) - {"fields"}


class Shadow:
    """What both sides did. `result` is the bench's; `Shadow(hs.load(path))` makes it again from the run's file."""

    def __init__(self, result: Result) -> None:
        if len(result.models) != 2:
            raise SetupError("A shadow compares two models: this run has another number of them.")
        self.result = result
        self.old, self.new = result.models

    def __repr__(self) -> str:
        return self.verdict

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    @cached_property
    def pairs(self) -> DataFrame:
        """One row a pair: prompt, repeat, similarity (None where not both answers were whole); then, of each side with
        `old_` and `new_` before it: error, ttft_ms, e2e_s, output_tokens, cost_usd (Decimal); and the answer, where
        answers are kept.
        """
        from pandas import DataFrame

        found: dict[tuple[int, int], dict[str, Trial]] = {}
        for trial in self.result.records:
            found.setdefault((trial.prompt, trial.repeat), {})[trial.model] = trial
        kept = any(trial.text for trial in self.result.records)
        return DataFrame(
            [
                _pair(key, *(sides.get(model) for model in self.result.models), kept=kept)
                for key, sides in sorted(found.items())
            ]
        )

    @cached_property
    def similarity(self) -> Quantile:
        """Median similarity of the two answers of a pair, 0 to 1, with its 95 % interval; see `similarity`."""
        return self._alike("similarity")

    @cached_property
    def unrelated(self) -> Quantile:
        """The same of answers to different prompts: what mere language has in common. Needs two prompts."""
        return self._alike("unrelated")

    def compare(self, metric: str = "ttft_ms") -> Comparison:
        """The new side against the old in pairs; `metric` is one of `comparison.WORDS`."""
        return self.result.compare(self.old, self.new, metric)

    @property
    def cost(self) -> Quantile:
        """Median paired difference of the cost of a request in USD, new − old; unknown prices are left out."""
        pairs = self.pairs.dropna(subset=["old_cost_usd", "new_cost_usd"])
        pairs = pairs[(pairs["old_error"] == "") & (pairs["new_error"] == "")]
        saved = [float(new - old) for old, new in zip(pairs["old_cost_usd"], pairs["new_cost_usd"], strict=True)]
        return of_pairs(saved, [prompt_of(self.result, number) for number in pairs["prompt"]])[0]

    def _alike(self, name: str) -> Quantile:
        found = [(value, trial.prompt) for trial in self.result.records if (value := getattr(trial, name)) is not None]
        return of_pairs([value for value, _ in found], [prompt_of(self.result, number) for _, number in found])[0]

    def summary(self) -> DataFrame:
        """Both sides and their difference, as numbers; a row a figure, columns old, new and difference.

        Each has its 95 % interval beside it (`old_low`, `old_high`, …), NaN where there is none. Percentiles are of the
        requests that succeeded in the steady part; differences are medians of the pairs, new − old. The error rate has
        the exact interval of Clopper and Pearson. Similarity is of both sides together.
        """
        rows = {name: dict(zip(_SIDES, row, strict=True)) for name, row in self.rows.items()}
        parts = [f"{side}{end}" for side in _SIDES for end in ("", "_low", "_high")]
        return numbers(rows, _SIDES).reindex(columns=parts)

    @cached_property
    def rows(self) -> dict[str, list[Any]]:
        """What the table shows: by the figure's words old, new and difference, each a `Quantile`, a count, or None."""
        rows: dict[str, list[Any]] = {"requests": [*(len(self._of(model)) for model in self.result.models), None]}
        rows["errors"] = [*(sum(bool(t.error) for t in self._of(model)) for model in self.result.models), None]
        rows["error rate (%)"] = [*(self._error_rate(model) for model in self.result.models), None]
        for metric in _FIGURES:
            name, unit, *_ = WORDS[metric]
            rows[f"{name} p50 ({unit})"] = [
                *(self._quantile(metric, 0.5, m) for m in self.result.models),
                self.compare(metric).difference,
            ]
            if metric == "ttft_ms":
                rows[f"{name} p95 ({unit})"] = [*(self._quantile(metric, 0.95, m) for m in self.result.models), None]
        rows["USD per request"] = [*(self._costs(model) for model in self.result.models), self.cost]
        rows["similarity"] = [None, None, self.similarity]
        rows["similarity, different prompts"] = [None, None, self.unrelated]
        return rows

    @property
    def verdict(self) -> str:
        """One sentence: first token, whole answer, cost, errors, similarity; and what that is not."""
        old, new = self._label(self.old), self._label(self.new)
        failed = [f"{sum(bool(t.error) for t in self._of(m))} of {len(self._of(m))}" for m in (self.new, self.old)]
        parts = [
            _difference(self.compare("ttft_ms"), "first token"),
            _difference(self.compare("e2e_s"), "whole answer"),
            _money(self.cost, self._costs(self.old), self.result),
            f"{failed[0]} requests failed against {failed[1]}",
            _alike(self.similarity, self.unrelated),
            NOT_QUALITY,
        ]
        return f"{new} against {old}: {'; '.join(parts)}."

    def to_markdown(self) -> str:
        """The table, the verdict, and what to know before believing it."""
        head = ["", f"old: {self._label(self.old)}", f"new: {self._label(self.new)}", "difference (median of pairs)"]
        lines = [_line(map(_cell, head)), _line(["---", "---:", "---:", "---:"])]
        lines += [
            _line(map(_cell, [name, *map(shown, row)]))
            for name, row in self.rows.items()
            if any(shown(each) != "–" for each in row)
        ]
        notes = [f"* {_cell(note)}" for note in self.result.notes]
        marks = [part for mark in legend([["", line] for line in lines]) for part in ("", _cell(mark))]
        return "\n".join([*lines, "", _cell(self.verdict), *marks, "", *notes]).rstrip() + "\n"

    def plot(self) -> Any:
        """Paired ratios of latency and cost, and the similarity of the answers."""
        from .charts.sides import sides

        return sides(self.result, self.pairs, similarity=self.similarity, unrelated=self.unrelated)

    def _of(self, model: str) -> list[Trial]:
        return [trial for trial in self.result.records if trial.model == model]

    def _label(self, model: str) -> str:
        return self.result.label(model)

    def _quantile(self, metric: str, p: float, model: str) -> Quantile:
        timings = [trial.timing for trial in self.result.steady.counted(self._of(model)) if not trial.error]
        return quantile([value for timing in timings if (value := getattr(timing, metric)) is not None], p)

    def _costs(self, model: str) -> Quantile:
        return median([float(t.usd) for t in self._of(model) if t.usd is not None and not t.error])

    def _error_rate(self, model: str) -> Interval:
        trials = self._of(model)
        return share(sum(bool(trial.error) for trial in trials), len(trials))


def _pair(key: tuple[int, int], old: Trial | None, new: Trial | None, *, kept: bool) -> dict[str, Any]:
    alike = next((t.similarity for t in (old, new) if t is not None and t.similarity is not None), None)
    row: dict[str, Any] = {"prompt": key[0], "repeat": key[1], "similarity": alike}
    for side, trial in (("old", old), ("new", new)):
        row |= {
            f"{side}_error": "missing" if trial is None else trial.error,
            f"{side}_ttft_ms": None if trial is None else trial.timing.ttft_ms,
            f"{side}_e2e_s": None if trial is None else trial.timing.e2e_s,
            f"{side}_output_tokens": None if trial is None else trial.output_tokens,
            f"{side}_cost_usd": None if trial is None else trial.usd,
        }
        if kept:
            row[f"{side}_answer"] = "" if trial is None else trial.text
    return row


def _difference(each: Comparison, name: str) -> str:
    value, low, high = each.difference.value, each.difference.low, each.difference.high
    if value is None or low is None or high is None:
        return f"{name}: n too small ({counted(each.pairs, 'pair')})"
    _, unit, less, more = WORDS[each.metric]
    word = less if value < 0 else more
    sure = "more than noise" if each.is_more_than_noise else "no more than noise"
    near, far = sorted((abs(low), abs(high))) if low * high >= 0 else (low, high)
    return f"{name} {digits(abs(value))} {unit} {word} ({digits(near)} to {digits(far)}: {sure}{each.scope})"


def _money(cost: Quantile, before: Quantile, result: Result) -> str:
    if cost.value is None or cost.low is None or cost.high is None:
        return "cost unknown" if not cost.n else f"cost: n too small ({counted(cost.n, 'pair')})"
    word = "less" if cost.value < 0 else "more"
    noise = "" if cost.low > 0 or cost.high < 0 else f" ({digits(cost.low)} to {digits(cost.high)}: no more than noise)"
    simulated = " (simulated)" if any(trial.price_note == "simulated" for trial in result.records) else ""
    share = f" ({100 * abs(cost.value) / before.value:.0f} %)" if before.value else ""
    return f"${digits(abs(cost.value))}{share} {word} a request{noise}{simulated}"


def _alike(similarity: Quantile, unrelated: Quantile) -> str:
    if similarity.value is None:
        return f"similarity: n too small ({counted(similarity.n, 'pair')})"
    beside = f", of answers to different prompts {digits(unrelated.value)}" if unrelated.value is not None else ""
    return f"similarity {similarity}{beside}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return plain_line(text).replace("|", "\\|")
