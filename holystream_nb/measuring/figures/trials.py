"""A table with a row a request, and one with a row a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..values.plan import Plan
from ..values.record import Session, Trial, Trip
from .limits import good
from .network import median_trips, net_ms
from .statistics import point

if TYPE_CHECKING:
    from pandas import DataFrame


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
    "dns_ms",
    "tcp_ms",
    "tls_ms",
    "ttft_ms",
    "ttft_net_ms",
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
dns_ms, tcp_ms, tls_ms: of a new connection; None on a kept one (see `parts`)
ttft_net_ms: TTFT − the median TCP round trip to the provider (see `network.net_ms`)
token_source: usage (the service's count) or text (estimated here, ≈) · bytes (B) · retries
resent: how often it met a kept connection that the service had closed, and went out again
transport_used: which brought the answer: sse or ws
cost_usd, cost_cny: exact Decimals, None where unknown; price_note: "" for a real price
stated_cost_usd: what the service itself says that it cost, None where it says nothing
finish_reason: the service's word · ended: how it ended in plain words, "" where that is as answers end
meets_limits: whether it kept all stated limits; None if none are stated · response_id: the service's own
"""


def table(trials: Sequence[Trial], sessions: Sequence[Session], plan: Plan, trips: Sequence[Trip] = ()) -> DataFrame:
    from pandas import DataFrame

    anchors = {session.number: (session.wall_ns - sessions[0].wall_ns) / 1e9 for session in sessions}
    starts = [anchors.get(trial.session, 0.0) + trial.submitted / 1e9 for trial in trials]
    first = min(starts, default=0.0)
    network = median_trips(trips)
    net = [network.get(plan.split(trial.model)[0]) for trial in trials]
    rows = [_row(trial, at - first, plan, trip) for trial, at, trip in zip(trials, starts, net, strict=True)]
    rows.sort(key=lambda row: row["at_s"])
    frame = DataFrame(rows, columns=list(COLUMNS))
    figures = [name for name in COLUMNS if name.endswith(("_ms", "_s"))]
    return frame.astype(dict.fromkeys(figures, float))


def _row(trial: Trial, at_s: float, plan: Plan, trip_ms: float | None) -> dict[str, Any]:
    timing, limits = trial.timing, plan.limits
    parts = timing.parts
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
        "dns_ms": parts.dns_ms,
        "tcp_ms": parts.tcp_ms,
        "tls_ms": parts.tls_ms,
        "ttft_ms": timing.ttft_ms,
        "ttft_net_ms": net_ms(timing.ttft_ms, trip_ms),
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


def gaps(trials: Sequence[Trial], plan: Plan) -> DataFrame:
    """One row a gap of the requests that succeeded: model, transport, wire, prompt, repeat, index, at_s, gap_ms,
    events.

    at_s is the gap's end, since sent; events is how many output events the read brought that ended it.
    """
    from pandas import DataFrame

    rows, ways = [], plan.ways
    for trial in trials:
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
