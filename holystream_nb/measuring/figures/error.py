"""The error of our own stopwatch: what was measured against what a simulator truly did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from ...errors import HolystreamError
from ..values.record import Calibration, Trial
from ..values.run import Run
from .statistics import Quantile, needed, pooled, quantile
from .throughput import span_s

OUTPUT: Final = frozenset({"text", "reasoning", "tool"})

PERCENTILES: Final = (0.5, 0.95, 0.99)


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


@dataclass
class Errors:
    """|measured − true| of requests, in ms: of TTFT and E2E one each, of gaps a list each; TTFT's also by way."""

    ttft: list[float] = field(default_factory=list)
    e2e: list[float] = field(default_factory=list)
    gaps: list[list[float]] = field(default_factory=list)
    ttft_by_way: dict[str, list[float]] = field(default_factory=dict)

    def add(self, way: str, ttft: float, e2e: float, gaps: list[float]) -> None:
        self.ttft.append(ttft)
        self.ttft_by_way.setdefault(way, []).append(ttft)
        self.e2e.append(e2e)
        self.gaps.append(gaps)


def calibration(found: Errors, concurrency: float, workers: int, tokens_per_s: float, *, own: bool) -> Calibration:
    if not found.ttft:
        raise HolystreamError("The calibration found no request in the simulator's records: try again.")
    several = found.ttft_by_way if len(found.ttft_by_way) > 1 else {}
    rows = {
        "ttft": [quantile(found.ttft, p) for p in PERCENTILES],
        "e2e": [quantile(found.e2e, p) for p in PERCENTILES],
        "gap": pooled(found.gaps, PERCENTILES),
        **{f"ttft {way}": [quantile(several[way], p) for p in PERCENTILES] for way in sorted(several)},
    }
    has_gaps = any(found.gaps)
    return Calibration(
        concurrency=concurrency,
        workers=workers,
        requests=len(found.ttft),
        tokens_per_s=tokens_per_s,
        ttft_ms=_values(rows["ttft"]),
        e2e_ms=_values(rows["e2e"]),
        gap_ms=_values(rows["gap"]) if has_gaps else None,
        own=own,
        ttft_ms_by_transport={way: _values(rows[f"ttft {way}"]) for way in sorted(several)},
        intervals={
            name: tuple(None if each.low is None or each.high is None else (each.low, each.high) for each in row)
            for name, row in rows.items()
            if has_gaps or name != "gap"
        },
    )


def quantiles(of: Calibration, name: str) -> list[Quantile]:
    """p50, p95 and p99 of the error of `ttft`, `e2e`, `gap`, or `ttft sse` and the like, in ms.

    Of a file that states no intervals there are none; [] where there is no such error. `n` is that of all requests.
    """
    values = {"ttft": of.ttft_ms, "e2e": of.e2e_ms, "gap": of.gap_ms}
    values |= {f"ttft {way}": row for way, row in of.ttft_ms_by_transport.items()}
    row = values.get(name)
    known = of.intervals.get(name, (None,) * len(PERCENTILES))
    if row is None:
        return []
    return [
        Quantile(p, value, ends and ends[0], ends and ends[1], of.requests, needed(p))
        for p, value, ends in zip(PERCENTILES, row, known, strict=True)
    ]


def _values(row: Sequence[Quantile]) -> tuple[float, float, float]:
    p50, p95, p99 = (each.value or 0.0 for each in row)
    return p50, p95, p99
