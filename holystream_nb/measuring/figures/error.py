"""The error of our own stopwatch: what was measured against what a simulator truly did."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from ...errors import HolystreamError
from ..values.record import Calibration, Trial
from ..values.run import Run
from .statistics import point
from .throughput import span_s

OUTPUT: Final = frozenset({"text", "reasoning", "tool"})

_PERCENTILES: Final = (0.5, 0.95, 0.99)


def event_rate(result: Run) -> float:
    """Output events a second of a stream, the median of a run's; 50 where none is known."""

    rates = []
    for trial in result.records:
        if len(trial.reads) > 1 and (seconds := sum(trial.reads[1:]) / 1e9) > 0:
            rates.append((sum(trial.events or [1] * len(trial.reads)) - 1) / seconds)
    return median(rates) if rates else 50.0


def streams(result: Run) -> float:
    """Streams that ran at once in an open loop, on average: the time of all answers / the span."""
    busy = sum(timing.e2e_s or 0.0 for timing in (trial.timing for trial in result.records))
    span = span_s(result)
    return busy / span if span else 1.0


def errors(trial: Trial, record: Mapping[str, Any]) -> tuple[float, float, list[float]] | None:
    """|measured − true| of TTFT, E2E and each gap, in ms, for one request and the simulator's record of it.

    None where the two do not tell of the same events. A read that brought several events is compared by its first: it
    is the one that waited.
    """
    true = [stamp for stamp, kind in zip(record["sent_ns"], record["kinds"], strict=True) if kind in OUTPUT]
    counts = trial.events or [1] * len(trial.reads)
    timing = trial.timing
    if not true or sum(counts) != len(true) or timing.ttft_ms is None or timing.e2e_s is None:
        return None
    received = record["received_ns"]
    ttft = abs(timing.ttft_ms - (true[0] - received) / 1e6)
    e2e = abs(timing.e2e_s * 1e3 - (true[-1] - received) / 1e6)
    opened, position = [], 0
    for count in counts:
        opened.append(true[position])
        position += count
    gaps = [abs(gap - (b - a) / 1e6) for gap, a, b in zip(timing.gaps_ms, opened, opened[1:], strict=False)]
    return ttft, e2e, gaps


def calibration(
    error: Mapping[str, list[float]], concurrency: float, workers: int, tokens_per_s: float, *, own: bool
) -> Calibration:
    if not error["ttft"]:
        raise HolystreamError("The calibration found no request in the simulator's records: try again.")

    def row(name: str) -> tuple[float, float, float]:
        p50, p95, p99 = (point(error[name], p) for p in _PERCENTILES)
        return p50, p95, p99

    ways = sorted(name for name in error if name.startswith("ttft "))
    return Calibration(
        concurrency=concurrency,
        workers=workers,
        requests=len(error["ttft"]),
        tokens_per_s=tokens_per_s,
        ttft_ms=row("ttft"),
        e2e_ms=row("e2e"),
        gap_ms=row("gap") if error["gap"] else None,
        own=own,
        ttft_ms_by_transport={name.removeprefix("ttft "): row(name) for name in ways} if len(ways) > 1 else {},
    )
