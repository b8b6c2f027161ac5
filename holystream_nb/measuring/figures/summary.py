"""Per model and transport: what it did, how sure that is, what it cost. As values, and as a table of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ...money.exact import exactly
from ...timing import Timing
from ..values.record import Trial
from ..values.run import Run
from ..values.words import endings
from .limits import SCHEDULED, good, judged
from .network import net_ms, round_trip
from .statistics import Interval, Quantile, mean, pooled, quantile, share
from .steady import Steady, steady
from .throughput import busy_s, span_s, throughput
from .trials import gaps_ms

if TYPE_CHECKING:
    from pandas import DataFrame

WORDS: Final = {
    "n": "n",
    "errors": "errors",
    "error_rate": "error rate (%)",
    "ended": "not ended by the model",
    "good_share": "good requests (%)",
    "connect_p50_ms": "connect p50 (ms)",
    "ttft_mean_ms": "TTFT mean (ms)",
    "ttft_p50_ms": "TTFT p50 (ms)",
    "ttft_p95_ms": "TTFT p95 (ms)",
    "ttft_p99_ms": "TTFT p99 (ms)",
    "ttft_net_p50_ms": "TTFT p50, net of one round trip (ms)",
    "round_trip_p50_ms": "TCP round trip p50 (ms)",
    "ttft_min_ms": "TTFT min (ms)",
    "ttft_max_ms": "TTFT max (ms)",
    "ttft_sd_ms": "TTFT sd (ms)",
    "ttft_scheduled_p50_ms": "TTFT from the scheduled start p50 (ms)",
    "ttft_scheduled_p95_ms": "TTFT from the scheduled start p95 (ms)",
    "ttfa_p50_ms": "TTFA p50 (ms)",
    "e2e_mean_s": "E2E mean (s)",
    "e2e_p50_s": "E2E p50 (s)",
    "e2e_p95_s": "E2E p95 (s)",
    "e2e_p99_s": "E2E p99 (s)",
    "e2e_min_s": "E2E min (s)",
    "e2e_max_s": "E2E max (s)",
    "e2e_sd_s": "E2E sd (s)",
    "e2e_scheduled_p50_s": "E2E from the scheduled start p50 (s)",
    "e2e_scheduled_p95_s": "E2E from the scheduled start p95 (s)",
    "gap_p50_ms": "gap p50 (ms)",
    "gap_p95_ms": "gap p95 (ms)",
    "gap_p99_ms": "gap p99 (ms)",
    "tpot_p50_ms": "TPOT p50 (ms)",
    "tpot_p95_ms": "TPOT p95 (ms)",
    "decode_tokens_per_s": "decode tok/s",
    "e2e_tokens_per_s": "e2e tok/s",
    "characters_per_s": "characters/s",
    "events_per_read": "events per read",
    "tokens_per_event": "tokens per event",
    "bursts": "in bursts (%)",
    "service_ttft_ms": "TTFT p50 by the service's clock (ms)",
    "service_queue_ms": "queue p50 by the service's clock (ms)",
    "service_decode_tokens_per_s": "decode tok/s by the service's clock",
    "lag_p50_ms": "lag p50 (ms)",
    "lag_p95_ms": "lag p95 (ms)",
    "queue_p50_ms": "queue p50 (ms)",
    "queue_p95_ms": "queue p95 (ms)",
    "in_flight": "in flight (mean)",
    "duration_s": "duration (s)",
    "requests_per_s": "requests/s",
    "goodput_per_s": "goodput (req/s)",
    "output_tokens_per_s": "output tok/s",
    "system_tokens_per_s": "system tok/s",
    "input_tokens": "input tokens per request",
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
"""The figures of an arm and their words in a table."""

TEXTS: Final = ("ended", "price_source", "price_as_of")

_RUN: Final = (
    "duration_s",
    "requests_per_s",
    "goodput_per_s",
    "output_tokens_per_s",
    "system_tokens_per_s",
)
"""Of the whole run. In a mixed one, where a slow model holds a fast one's users, they are no model's own."""

MOST: Final = 50.0
"""Answers in bursts (%) past which a row's figures are marked, and warned of."""

_SPOILT: Final = ("ttft_", "ttfa_", "gap_", "tpot_", "decode_tokens")


def cells(result: Run, *, adjusted: bool = False) -> dict[str, dict[str, Any]]:
    """The figures of each arm, by the names of `WORDS`: numbers, Decimals, `Quantile`s, `Interval`s, texts, None."""
    whole = throughput(result)
    part, span = steady(result), span_s(result)
    alone = {name: whole[name] if len(result.arms) == 1 else None for name in _RUN}
    return {arm: _row(result, arm, part, span, adjusted) | alone for arm in result.arms}


def waits(result: Run, arm: str, part: Steady) -> dict[str, Any]:
    """The figures of an open loop's TTFT, TTFA and E2E from the scheduled start, by the names that those from when it
    was sent have in `cells`.
    """
    succeeded = [trial for trial in part.counted(result.of(arm)) if not trial.error]
    found: dict[str, Any] = {}
    for name in SCHEDULED:
        sample = [value for trial in succeeded if (value := judged(trial, name)) is not None]
        stem, _, unit = name.rpartition("_")
        found[f"{stem}_mean_{unit}"] = mean(sample)
        found |= _percentiles(name, sample, (50, 95, 99)) | _extremes(f"{stem}_{{}}_{unit}", sample)
    return found


def is_spoilt(name: str) -> bool:
    """Whether a figure is wrong where answers come in bursts: something held the first events back, and let them go
    together.
    """
    return name.startswith(_SPOILT)


def in_bursts(trials: Sequence[Trial]) -> list[Timing]:
    """The answers that came in bursts, if those are most of them."""
    succeeded = [trial.timing for trial in trials if not trial.error]
    held = [timing for timing in succeeded if timing.burst is not None]
    return held if len(held) > len(succeeded) * MOST / 100 else []


def frame(cells: dict[str, dict[str, Any]]) -> DataFrame:
    """The cells as numbers: a row an arm, the columns of `WORDS`; see `Figures.summary`."""
    return numbers(cells, WORDS)


def numbers(cells: Mapping[Any, Mapping[str, Any]], names: Iterable[str], *, texts: Sequence[str] = TEXTS) -> DataFrame:
    """Typed values as a table that sorts and exports; a Decimal is a float, a `Quantile` or `Interval` three columns:

    `name`, `name_low` and `name_high`; NaN where there is no value, or no interval at this size.
    """
    from pandas import DataFrame

    rows = {arm: {name: part for each in names for name, part in _parts(each, row[each])} for arm, row in cells.items()}
    found = DataFrame.from_dict(rows, orient="index")
    kept = {name: float for name in found.columns if name not in texts and found[name].dtype == object}
    return found.astype(kept)


def _parts(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Quantile | Interval):
        return (name, value.value), (f"{name}_low", value.low), (f"{name}_high", value.high)
    return ((name, float(value) if isinstance(value, Decimal) else value),)


def _row(result: Run, arm: str, part: Steady, span: float, adjusted: bool) -> dict[str, Any]:
    trials = result.of(arm)
    counted = part.counted(trials)
    succeeded = [trial for trial in counted if not trial.error]
    failures = [float("inf")] * (len(counted) - len(succeeded)) if adjusted else []
    failed = sum(bool(trial.error) for trial in trials)

    def values(name: str) -> list[float]:
        return [value for trial in succeeded if (value := getattr(trial.timing, name)) is not None]

    def percentiles(name: str, ps: Sequence[int], extra: Sequence[float] = ()) -> dict[str, Quantile]:
        return _percentiles(name, [*values(name), *extra], ps)

    trips = round_trip(result.trips, result.plan.split(result.plan.arms[arm][0])[0])
    net = [value for ttft in values("ttft_ms") if (value := net_ms(ttft, trips.value)) is not None]

    def median(name: str) -> Quantile:
        return quantile(values(name), 0.5)

    def service(name: str) -> Quantile:
        return quantile([trial.service[name] for trial in succeeded if name in trial.service], 0.5)

    each: list[Any] = [gaps_ms(trial) for trial in succeeded]
    gaps = pooled(each, (0.5, 0.95, 0.99))
    limits = result.plan.limits
    done = [trial for trial in trials if not trial.error]
    bursts = sum(trial.timing.burst is not None for trial in succeeded)
    return {
        "n": len(trials),
        "errors": failed,
        "error_rate": share(failed, len(trials)),
        "ended": endings(trials),
        "good_share": share(sum(good(trial, limits) for trial in trials), len(trials) if limits else 0),
        **percentiles("connect_ms", (50,)),
        "ttft_mean_ms": mean(values("ttft_ms")),
        **percentiles("ttft_ms", (50, 95, 99), failures),
        **_extremes("ttft_{}_ms", values("ttft_ms")),
        "ttft_net_p50_ms": quantile(net, 0.5),
        "round_trip_p50_ms": trips,
        **percentiles("ttft_scheduled_ms", (50, 95), failures if result.plan.rate else ()),
        **percentiles("ttfa_ms", (50,), failures),
        "e2e_mean_s": mean(values("e2e_s")),
        **percentiles("e2e_s", (50, 95, 99), failures),
        **_extremes("e2e_{}_s", values("e2e_s")),
        **percentiles("e2e_scheduled_s", (50, 95), failures if result.plan.rate else ()),
        **dict(zip(("gap_p50_ms", "gap_p95_ms", "gap_p99_ms"), gaps, strict=True)),
        **percentiles("tpot_ms", (50, 95)),
        "decode_tokens_per_s": median("decode_tokens_per_s"),
        "e2e_tokens_per_s": median("e2e_tokens_per_s"),
        "characters_per_s": quantile([t.characters / t.timing.e2e_s for t in succeeded if t.timing.e2e_s], 0.5),
        "events_per_read": median("events_per_read"),
        "tokens_per_event": median("tokens_per_event"),
        "bursts": share(bursts, len(succeeded)),
        "service_ttft_ms": service("ttft_ms"),
        "service_queue_ms": service("queue_ms"),
        "service_decode_tokens_per_s": service("decode_tokens_per_s"),
        **percentiles("lag_ms", (50, 95)),
        **percentiles("queue_ms", (50, 95)),
        "in_flight": busy_s([*trials, *result.of(arm, result.contents.retried)]) / span if span else None,
        "input_tokens": _mean([trial.prompt_tokens for trial in done]),
        "output_tokens": _mean([trial.output_tokens for trial in done]),
        "cached_tokens": _mean([trial.cached_tokens for trial in done]),
        **_money(trials),
    }


def _percentiles(name: str, values: Sequence[float], ps: Sequence[int]) -> dict[str, Quantile]:
    stem, _, unit = name.rpartition("_")
    return {f"{stem}_p{p}_{unit}": quantile(values, p / 100) for p in ps}


def _extremes(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """min, max and the standard deviation of a sample (n − 1)."""
    from statistics import stdev

    found: dict[str, tuple[Callable[[Sequence[float]], float], int]] = {
        "min": (min, 1),
        "max": (max, 1),
        "sd": (stdev, 2),
    }
    return {name.format(word): of(values) if len(values) >= least else None for word, (of, least) in found.items()}


def _money(trials: Sequence[Trial]) -> dict[str, Any]:
    with exactly():
        return _sums(trials)


def _sums(trials: Sequence[Trial]) -> dict[str, Any]:
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
