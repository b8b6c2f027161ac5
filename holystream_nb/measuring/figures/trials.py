"""A table with a row a request, and one with a row a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..values.plan import Plan
from ..values.record import Session, Trial, Trip
from ..values.service import FIGURES
from .limits import good
from .network import median_trips, net_ms
from .statistics import point
from .steady import Steady

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame


COLUMNS: Final = (
    "model",
    "transport",
    "wire",
    "cache",
    "prompt",
    "repeat",
    "turn",
    "error",
    "at_s",
    "end_s",
    "steady",
    "scheduled_s",
    "lag_ms",
    "queue_ms",
    "connect_ms",
    "dns_ms",
    "tcp_ms",
    "tls_ms",
    "ttft_ms",
    "ttft_net_ms",
    "ttft_scheduled_ms",
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
    "events_per_read",
    "tokens_per_event",
    "burst",
    "service_queue_ms",
    "service_prompt_ms",
    "service_ttft_ms",
    "service_decode_ms",
    "service_decode_tokens_per_s",
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
cache: cold or warm, where they are compared, else ""
prompt, repeat: what was asked; rows of two models, transports or wires with the same are a pair
turn: of a conversation, from 1; None where there is none
error: "" or its class · at_s: the call's start, after the run's first · end_s: when it was over, failures too
steady: whether it began in the steady part (`Steady`) · scheduled_s: the intended start (open loop)
lag_ms, queue_ms, connect_ms, ttft_ms, ttft_scheduled_ms, ttfa_ms, e2e_s, e2e_scheduled_s, tpot_ms, decode_tokens_per_s,
e2e_tokens_per_s: as `timing` defines them · characters_per_s: characters of text and reasoning / E2E
gap_p50_ms, gap_p99_ms, gap_max_ms: of this request's own gaps
events_per_read: output events that a read brought, on average · tokens_per_event: output tokens in an event
burst: about how many events came at once, where the answer came in bursts (`Timing.burst`), NaN where it did not
service_…: by the service's own clock, where it says so (`service.FIGURES`)
output_tokens (reasoning included), reasoning_tokens, prompt_tokens (cached included), cached_tokens
dns_ms, tcp_ms, tls_ms: of a new connection; None on a kept one (see `parts`)
ttft_net_ms: TTFT − the median TCP round trip to the provider (see `network.net_ms`)
token_source: usage (the service's count) or text (estimated here, ≈) · bytes (B) · retries
resent: how often it met a kept connection that the service had closed, and went out again
transport_used: which brought the answer: sse or ws
cost_usd, cost_cny: exact Decimals, None where unknown; cny by the seller's own rate, see `Figures.summary`
price_note: "" for a real price
stated_cost_usd: what the service itself says that it cost, None where it says nothing
finish_reason: the service's word · ended: how it ended in plain words, "" where that is as answers end
meets_limits: whether it kept all stated limits (open loop: from its scheduled start); None if none are stated
response_id: the service's own
"""


def table(
    trials: Sequence[Trial], sessions: Sequence[Session], plan: Plan, steady: Steady, trips: Sequence[Trip] = ()
) -> DataFrame:
    from pandas import DataFrame

    anchors = {session.number: (session.wall_ns - sessions[0].wall_ns) / 1e9 for session in sessions}
    starts = [anchors.get(trial.session, 0.0) + trial.submitted / 1e9 for trial in trials]
    first = min(starts, default=0.0)
    network = median_trips(trips)
    trip = {model: network.get(plan.split(model)[0]) for model in plan.models}
    ways = _ways(plan)
    rows = [
        _row(trial, at - first, plan, ways, steady, trip[trial.model]) for trial, at in zip(trials, starts, strict=True)
    ]
    rows.sort(key=lambda row: row["at_s"])
    frame = DataFrame(rows, columns=list(COLUMNS))
    figures = [name for name in COLUMNS if name.endswith(("_ms", "_s"))]
    return frame.astype(dict.fromkeys([*figures, "events_per_read", "tokens_per_event", "burst"], float))


def _ways(plan: Plan) -> Mapping[str, tuple[str, str]]:
    """(transport, cache) of each way."""
    return {way: (transport, plan.cached(number)) for number, (way, (_, transport)) in enumerate(plan.ways.items())}


def gaps_ms(trial: Trial) -> NDArray[Any]:
    """A request's gaps, as `Timing.gaps_ms` has them."""
    import numpy as np

    return np.asarray(trial.reads[1:], dtype=float) / 1e6


def _row(
    trial: Trial,
    at_s: float,
    plan: Plan,
    ways: Mapping[str, tuple[str, str]],
    steady: Steady,
    trip_ms: float | None,
) -> dict[str, Any]:
    timing, parts = trial.timing, trial.timing.parts
    transport, cache = ways[trial.way]
    number = plan.number(trial.prompt)
    gaps = gaps_ms(trial)
    e2e_s = timing.e2e_s
    return {
        "model": trial.model,
        "transport": transport,
        "wire": trial.wire,
        "cache": cache,
        "prompt": trial.prompt,
        "repeat": trial.repeat,
        "turn": None if number is None else number + 1,
        "error": trial.error,
        "at_s": at_s,
        "end_s": at_s + (trial.over - trial.submitted) / 1e9,
        "steady": steady.holds(trial),
        "scheduled_s": None if trial.scheduled is None else at_s - (trial.submitted - trial.scheduled) / 1e9,
        "lag_ms": timing.lag_ms,
        "queue_ms": timing.queue_ms,
        "connect_ms": timing.connect_ms,
        "dns_ms": parts.dns_ms,
        "tcp_ms": parts.tcp_ms,
        "tls_ms": parts.tls_ms,
        "ttft_ms": timing.ttft_ms,
        "ttft_net_ms": net_ms(timing.ttft_ms, trip_ms),
        "ttft_scheduled_ms": timing.ttft_scheduled_ms,
        "ttfa_ms": timing.ttfa_ms,
        "e2e_s": e2e_s,
        "e2e_scheduled_s": timing.e2e_scheduled_s,
        "tpot_ms": timing.tpot_ms,
        "decode_tokens_per_s": timing.decode_tokens_per_s,
        "e2e_tokens_per_s": timing.e2e_tokens_per_s,
        "characters_per_s": trial.characters / e2e_s if e2e_s and not trial.error else None,
        "gap_p50_ms": point(gaps, 0.5) if len(gaps) else None,
        "gap_p99_ms": point(gaps, 0.99) if len(gaps) else None,
        "gap_max_ms": gaps.max() if len(gaps) else None,
        "events_per_read": timing.events_per_read,
        "tokens_per_event": timing.tokens_per_event,
        "burst": timing.burst,
        **{f"service_{name}": trial.service.get(name) for name in FIGURES},
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
        "meets_limits": good(trial, plan.limits) if plan.limits else None,
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
    """One row a gap of the requests that succeeded: model, transport, cache, wire, prompt, repeat, index, at_s,
    gap_ms, events.

    at_s is the gap's end, since sent; events is how many output events the read brought that ended it.
    """
    import numpy as np
    from pandas import DataFrame

    ways = _ways(plan)
    kept = [trial for trial in trials if not trial.error and trial.reads]
    counts = [len(trial.reads) - 1 for trial in kept]
    asked = [(trial.model, *ways[trial.way], trial.wire, trial.prompt, trial.repeat) for trial in kept]
    frame = DataFrame(asked, columns=["model", "transport", "cache", "wire", "prompt", "repeat"])
    stamps = [np.asarray(trial.timing.reads[1:], dtype=float) - (trial.sent or 0) for trial in kept]
    found = frame.take(np.repeat(np.arange(len(kept)), counts)).reset_index(drop=True)
    return found.assign(
        index=_joined([np.arange(1, count + 1) for count in counts], int),
        at_s=_joined(stamps, float) / 1e9,
        gap_ms=_joined([gaps_ms(trial) for trial in kept], float),
        events=_joined([np.asarray(trial.timing.events[1:]) for trial in kept], int),
    )


def _joined(arrays: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    import numpy as np

    return np.concatenate([np.empty(0, dtype=kind), *arrays]).astype(kind)
