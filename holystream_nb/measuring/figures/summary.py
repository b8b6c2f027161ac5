"""Per model and transport: what it did, how sure that is, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ...live.harmless import plain_line
from ...money.amount import currency
from ...money.card import SIMULATED
from ..values.plan import connections
from ..values.record import Trial
from ..values.run import Run
from ..values.words import asked, digits, endings
from .limits import good
from .network import net_ms, round_trip
from .notes import notes
from .statistics import Interval, Quantile, mean, pooled, quantile, share
from .throughput import span_s, throughput

if TYPE_CHECKING:
    from pandas import DataFrame

WORDS: Final = {
    "n": "n",
    "errors": "errors",
    "error_rate": "error rate (%)",
    "ended": "did not end normally",
    "connect_p50_ms": "connect p50 (ms)",
    "ttft_mean_ms": "TTFT mean (ms)",
    "ttft_p50_ms": "TTFT p50 (ms)",
    "ttft_p95_ms": "TTFT p95 (ms)",
    "ttft_p99_ms": "TTFT p99 (ms)",
    "ttft_net_p50_ms": "TTFT p50, net of one round trip (ms)",
    "round_trip_p50_ms": "TCP round trip p50 (ms)",
    "ttfa_p50_ms": "TTFA p50 (ms)",
    "e2e_mean_s": "E2E mean (s)",
    "e2e_p50_s": "E2E p50 (s)",
    "gap_p50_ms": "gap p50 (ms)",
    "gap_p99_ms": "gap p99 (ms)",
    "tpot_p50_ms": "TPOT p50 (ms)",
    "decode_tokens_per_s": "decode tok/s",
    "e2e_tokens_per_s": "e2e tok/s",
    "characters_per_s": "characters/s",
    "goodput_per_s": "goodput (req/s)",
    "output_tokens": "output tokens per request",
    "cached_tokens": "cached tokens per request",
    "usd_per_request": "USD per request",
    "usd_per_1k_requests": "USD per 1k requests",
    "usd_per_1m_tokens": "USD per 1M tokens",
    "cny_per_request": "CNY per request",
    "cny_per_1k_requests": "CNY per 1k requests",
    "cny_per_1m_tokens": "CNY per 1M tokens",
    "stated_usd_per_request": "USD per request, as the service says",
    "price_source": "price",
    "price_as_of": "as of",
}
"""The columns of `summary()` and their words in a table."""


def cells(result: Run, *, adjusted: bool = False) -> dict[str, dict[str, Any]]:
    """The figures of each arm, by the names of `WORDS`: numbers, Decimals, `Quantile`s, `Interval`s, texts, None."""
    span = span_s(result)
    return {arm: _row(result, arm, span, adjusted) for arm in result.arms}


def summary(result: Run, *, adjusted: bool = False) -> DataFrame:
    """One row an arm (index: `provider:model`, or `provider:model · transport` of several), columns as in `WORDS`.

    n counts all requests, errors those that failed; ended counts, in words, those that the service did not end as
    answers end, or left with gaps or empty (also among the errors). Percentiles are `Quantile`s with 95 % intervals, of
    the requests that succeeded; with `adjusted`, failures count as +∞ in TTFT, TTFA and E2E. Means have 95 % intervals
    by Student's t, error_rate the exact one (Clopper and Pearson). Rates are medians over requests. Gap percentiles are
    pooled over requests. goodput_per_s: requests that met all limits / the run's span; None without limits.
    usd_per_request: mean over the requests that brought output and whose cost is known, as a Decimal;
    usd_per_1m_tokens: the sum of those / their prompt and output tokens together; stated_usd_per_request: mean of what
    the service itself says. In cny, the same at each seller's rate.
    """
    from pandas import DataFrame

    found = cells(result, adjusted=adjusted)
    return DataFrame(list(found.values()), index=list(found), columns=list(WORDS))


def to_markdown(result: Run) -> str:
    """The summary, a column an arm, and below it the run and what to know before believing it.

    Costs are in the currency that the reader chose.
    """
    frame = summary(result)
    head = ["", *(_cell(result.label(arm)) for arm in frame.index)]
    lines = [_line(head), _line(["---", *("---:" for _ in frame.index)])]
    other = "usd_" if currency() == "CNY" else "cny_"
    for column, words in WORDS.items():
        if column.startswith(other):
            continue
        cells = [_text(value) for value in frame[column]]
        if name := _ESTIMATED.get(column):
            arms = (result.of(arm) for arm in frame.index)
            cells = [_approximate(cell, trials, name) for cell, trials in zip(cells, arms, strict=True)]
        if "usd_" in column or "cny_" in column:
            cells = [_labelled(cell, price) for cell, price in zip(cells, frame["price_source"], strict=True)]
        if any(cell != "–" for cell in cells):
            lines.append(_line([words, *(_cell(cell) for cell in cells)]))
    plan = result.plan
    figures = throughput(result)
    parts = [*asked(plan), *connections(plan), f"seed {plan.seed}"]
    if (rate := figures["system_tokens_per_s"]) is not None:
        parts.append(f"system {digits(rate)} tok/s")
    lines += ["", _cell(" · ".join(parts)), ""]
    lines += [f"* {_cell(note)}" for note in notes(result)]
    return "\n".join(lines).rstrip() + "\n"


def _row(result: Run, arm: str, span: float, adjusted: bool) -> dict[str, Any]:
    trials = result.of(arm)
    timings = [(trial, trial.timing) for trial in trials]
    succeeded = [timing for trial, timing in timings if not trial.error]
    failures = [float("inf")] * (len(trials) - len(succeeded)) if adjusted else []

    def percentile(name: str, p: float = 0.5, extra: Sequence[float] = ()) -> Quantile:
        known = [value for timing in succeeded if (value := getattr(timing, name)) is not None]
        return quantile([*known, *extra], p)

    def average(name: str) -> Interval:
        return mean([value for timing in succeeded if (value := getattr(timing, name)) is not None])

    provider = result.plan.split(result.plan.arms[arm][0])[0]
    trip_ms = round_trip(result.trips, provider).value
    net = [value for timing in succeeded if (value := net_ms(timing.ttft_ms, trip_ms)) is not None]
    gap_p50, gap_p99 = pooled([timing.gaps_ms for timing in succeeded], (0.5, 0.99))
    limits = result.plan.limits
    kept = sum(good(trial, timing, limits) for trial, timing in timings)
    characters = [trial.characters / timing.e2e_s for trial, timing in timings if not trial.error and timing.e2e_s]
    return {
        "n": len(trials),
        "errors": len(trials) - len(succeeded),
        "error_rate": share(len(trials) - len(succeeded), len(trials)),
        "ended": endings(trials),
        "connect_p50_ms": percentile("connect_ms"),
        "ttft_mean_ms": average("ttft_ms"),
        "ttft_p50_ms": percentile("ttft_ms", 0.5, failures),
        "ttft_p95_ms": percentile("ttft_ms", 0.95, failures),
        "ttft_p99_ms": percentile("ttft_ms", 0.99, failures),
        "ttft_net_p50_ms": quantile(net, 0.5),
        "round_trip_p50_ms": round_trip(result.trips, provider),
        "ttfa_p50_ms": percentile("ttfa_ms", 0.5, failures),
        "e2e_mean_s": average("e2e_s"),
        "e2e_p50_s": percentile("e2e_s", 0.5, failures),
        "gap_p50_ms": gap_p50,
        "gap_p99_ms": gap_p99,
        "tpot_p50_ms": percentile("tpot_ms"),
        "decode_tokens_per_s": percentile("decode_tokens_per_s"),
        "e2e_tokens_per_s": percentile("e2e_tokens_per_s"),
        "characters_per_s": quantile(characters, 0.5),
        "goodput_per_s": kept / span if limits and span else None,
        "output_tokens": _mean([trial.output_tokens for trial in trials if not trial.error]),
        "cached_tokens": _mean([trial.cached_tokens for trial in trials if not trial.error]),
        **_money(trials),
    }


def _money(trials: Sequence[Trial]) -> dict[str, Any]:
    priced = [trial for trial in trials if trial.usd is not None and (trial.reads or not trial.error)]
    sums = {
        name: sum((paid for trial in priced if (paid := getattr(trial, name)) is not None), Decimal(0))
        for name in ("usd", "cny")
    }
    tokens = sum((trial.prompt_tokens or 0) + (trial.output_tokens or 0) for trial in priced)
    stated = [trial.stated_usd for trial in trials if trial.stated_usd is not None]
    latest = next((trial for trial in reversed(trials) if trial.price_source or trial.price_note), None)
    source = "" if latest is None else ": ".join(filter(None, (latest.price_note, latest.price_source)))
    return {
        **{f"{name}_per_request": paid / len(priced) if priced else None for name, paid in sums.items()},
        **{f"{name}_per_1k_requests": paid * 1000 / len(priced) if priced else None for name, paid in sums.items()},
        **{f"{name}_per_1m_tokens": paid * 1_000_000 / tokens if tokens else None for name, paid in sums.items()},
        "stated_usd_per_request": sum(stated, Decimal(0)) / len(stated) if stated else None,
        "price_source": source,
        "price_as_of": "" if latest is None else latest.price_as_of,
    }


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _text(value: Any) -> str:
    if value is None or value != value or value == "":
        return "–"
    if isinstance(value, Decimal):
        return digits(float(value))
    if isinstance(value, float):
        return digits(value)
    return str(value)


def _labelled(cell: str, price: str) -> str:
    """An amount that nobody is paid says so itself: a line of a table is read alone."""
    return f"{cell} ({SIMULATED})" if price.startswith(SIMULATED) and cell != "–" else cell


_ESTIMATED: Final = {
    **dict.fromkeys(("tpot_p50_ms", "decode_tokens_per_s", "e2e_tokens_per_s", "output_tokens"), "is_counted"),
    **{
        f"{name}_per_{what}": "cost_exact"
        for name in ("usd", "cny")
        for what in ("request", "1k_requests", "1m_tokens")
    },
}
"""Columns of figures that may be estimates, and what of a trial says that they are none."""


def _approximate(cell: str, trials: Sequence[Trial], name: str) -> str:
    """The cell, marked where what it says of one of these requests is an estimate."""
    is_exact = all(getattr(trial, name) for trial in trials if not trial.error)
    return cell if is_exact or not cell[:1].isdigit() else f"≈{cell}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text in which nothing is Markdown: models' names are a user's, and notes may quote a service."""
    return plain_line(text).replace("|", "\\|")
