"""A reply's figures in words, the same under the live view, in the saved output and in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..money import amount
from ..money.card import SIMULATED, UNKNOWN
from ..money.cost import Cost
from ..reply import Reply
from ..timing import MEND
from .beside import named


def figures(reply: Reply) -> list[str]:
    """TTFT, decode tokens/s, tokens and cost, each with its unit; what is unknown says so."""
    timing, usage = reply.timing, reply.usage
    parts: list[str] = []
    hidden = ["hidden reasoning not counted"] if usage.uncounted else []
    if timing.ttft_ms is None and not (usage.exact and usage.prompt_tokens):
        return hidden  # nothing arrived, so there is nothing to count
    parts += way(reply)
    if timing.ttft_ms is not None:
        parts.append(f"TTFT {milliseconds(timing.ttft_ms)}")
    if timing.decode_tokens_per_s is not None:
        parts.append(f"{approximate(usage.exact)}{rate(timing.decode_tokens_per_s)}")
    if usage.completion_tokens is not None:
        among = f" in {len(reply.other_choices) + 1} choices" if reply.other_choices else ""
        parts.append(tokens(usage.completion_tokens, exact=usage.exact) + among)
        if reasoning := min(usage.reasoning_tokens or 0, usage.completion_tokens):  # some services count one more
            parts.append(f"{reasoning:,} of them reasoning")
    if usage.other_tokens:
        parts.append(f"{usage.other_tokens:,} of them other output")
    parts += costs(reply) + hidden
    if timing.retries:
        parts.append(f"{timing.retries} {'retry' if timing.retries == 1 else 'retries'}")
    if timing.resent:
        parts.append("resent on a new connection")
    return parts + named(reply)


def way(reply: Reply) -> list[str]:
    """The format and the transport, where they are not Chat Completions and server-sent events."""
    return [word for word in (reply.wire, reply.transport) if word not in ("chat", "sse")]


def bursts(reply: Reply) -> list[str]:
    """That it came in bursts, with the line that mends it; nothing where it did not, or came over a socket."""
    count = reply.timing.burst if reply.transport == "sse" else None
    return [] if count is None else [f"arrived in bursts of about {count:,} events: a proxy may be buffering ({MEND})"]


def verdict(replies: Mapping[str, Reply]) -> str:
    """Who spoke first, who was fastest and who cheapest, of several; "" where there is nothing to compare.

    Answers that broke off are not cheap, nor are those that the service did not finish, or that are empty.
    """
    whole = {
        label: reply
        for label, reply in replies.items()
        if reply.usage.exact and not reply.is_empty and reply.end not in ("filter", "failure", "pause")
    }
    first = _least(replies, lambda reply: reply.timing.ttft_ms)
    fastest = _least(replies, lambda reply: _negative(reply.timing.decode_tokens_per_s))
    cheapest = _least(whole, lambda reply: None if (due := amount.due(reply.cost)) is None else due.shown)
    parts = []
    if first is not None:
        parts.append(f"first to speak: {first} ({milliseconds(replies[first].timing.ttft_ms or 0)})")
    if fastest is not None:
        parts.append(f"fastest: {fastest} ({rate(replies[fastest].timing.decode_tokens_per_s or 0)})")
    if cheapest is not None:
        parts.append(f"cheapest: {cheapest} at {', '.join(costs(replies[cheapest]))}")
    return " · ".join(parts)


def _least(replies: Mapping[str, Reply], figure: Callable[[Reply], Any]) -> str | None:
    known = {label: value for label, reply in replies.items() if (value := figure(reply)) is not None}
    return min(known, key=known.__getitem__) if len(known) > 1 else None


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def approximate(exact: bool) -> str:
    return "" if exact else "≈"


def tokens(count: int, *, exact: bool) -> str:
    """`142 tokens`, `1 token`, `≈142 tokens`."""
    return f"{approximate(exact)}{count:,} token{'' if count == 1 else 's'}"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def duration(seconds: float) -> str:
    return milliseconds(seconds * 1e3) if seconds < 1 else f"{seconds:,.1f} s"


def rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:,.0f} tok/s" if tokens_per_s >= 100 else f"{tokens_per_s:.1f} tok/s"


def money(cost: Cost) -> str:
    """Our sum, with two significant digits at least, and whether it is paid; else the word for it."""
    sum_ = amount.of(cost)
    if sum_ is None:
        return "cost unknown" if cost.note == UNKNOWN else cost.note
    return amount.total(sum_, sum_ if cost.note == SIMULATED else None, exact=cost.exact)


def costs(reply: Reply) -> list[str]:
    """Our sum, and the service's own figure where it states one.

    That has no "$": two in a line might be maths, and Markdown would show them as code.
    """
    stated = amount.stated(reply.cost)
    ours = money(reply.cost)
    if stated is None:
        return [ours]
    theirs = str(stated)
    theirs = f"{theirs[1:]} USD" if theirs.startswith("$") else theirs
    return [ours, f"{theirs} as {reply.provider} says"]


def record(reply: Reply) -> dict[str, Any]:
    """What is kept in the output's metadata: figures, model, provider, outcome; never the prompt, parameters or key."""
    timing, usage, cost = reply.timing, reply.usage, reply.cost
    return {
        "model": reply.model,
        "provider": reply.provider,
        "simulated": reply.provider == "simulator",
        "wire": reply.wire,
        "transport": reply.transport,
        "finish_reason": reply.finish_reason,
        "error": type(reply.error).__name__ if reply.error is not None else None,
        "ttft_ms": _round(timing.ttft_ms),
        "ttfa_ms": _round(timing.ttfa_ms),
        "e2e_s": _round(timing.e2e_s),
        "tpot_ms": _round(timing.tpot_ms),
        "decode_tokens_per_s": _round(timing.decode_tokens_per_s),
        "queue_ms": _round(timing.queue_ms),
        "connect_ms": _round(timing.connect_ms),
        "parts_ms": {name: round(value, 3) for name, value in timing.parts.known.items()},
        "paint_error_ms": _round(timing.paint_error_ms),
        "retries": timing.retries,
        "resent": timing.resent,
        "bytes": timing.bytes,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "other_tokens": usage.other_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "tokens_exact": usage.exact,
        "cost_usd": None if cost.usd is None else str(cost.usd),
        "cost_cny": None if cost.cny is None else str(cost.cny),
        "cost_exact": cost.exact,
        "stated_cost_usd": None if cost.stated_usd is None else str(cost.stated_usd),
        "cny_per_usd": None if cost.cny_per_usd is None else str(cost.cny_per_usd),
        "rate_source": cost.rate_source,
        "price_source": cost.source,
        "price_as_of": cost.as_of,
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
