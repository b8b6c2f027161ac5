"""What the requests and rounds of one run come to, as one Reply and one Progress."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from ..errors import HolystreamError
from ..events import Usage
from ..money.cost import Cost
from ..money.exact import exactly
from ..reply import Progress, Reply, ToolCall

N = TypeVar("N", int, Decimal)


def reply_of(
    replies: Sequence[Reply],
    *,
    text: str,
    reasoning: str,
    tool_calls: tuple[ToolCall, ...],
    finish_reason: str,
    error: HolystreamError | None,
) -> Reply:
    """All requests as one, with usage and cost summed; `text`, `reasoning` and `tool_calls` are the run's.

    `request_id` and `model` are the last request's. `timing` is the first request's, so that TTFT is what the user
    waited for, with the reads of all: E2E runs from the first request to the last output, tools and waiting for consent
    included. A decode speed, or bursts, over such pauses would be false: there are none; each request over `sse` has
    its own. What services said beside their answers is the last one's, and of all: sources, pictures, raw text and
    pieces, also those that could not be read.
    """
    last = replace(
        replies[-1],
        text=text,
        reasoning=reasoning,
        tool_calls=tool_calls,
        finish_reason=finish_reason,
        error=error or replies[-1].error,
    )
    if len(replies) == 1:
        return last
    usage = _usage([reply.usage for reply in replies])
    has_raw = any(reply.raw for reply in replies)
    timings = [reply.timing for reply in replies]
    return replace(
        last,
        asked=replies[0].asked,
        usage=usage,
        cost=_cost([reply.cost for reply in replies]),
        citations=tuple(source for reply in replies for source in reply.citations),
        images=tuple(image for reply in replies for image in reply.images),
        chunks=tuple(chunk for reply in replies for chunk in reply.chunks),
        unreadable=sum(reply.unreadable for reply in replies),
        raw="".join(reply.raw or reply.text for reply in replies) if has_raw else "",
        timing=replace(
            timings[0],
            reads=array("q", (read for timing in timings for read in timing.reads)),
            events=array("I"),
            first_answer=next((t.first_answer for t in timings if t.first_answer is not None), None),
            bytes=sum(timing.bytes for timing in timings),
            retries=sum(timing.retries for timing in timings),
            resent=sum(timing.resent for timing in timings),
            output_tokens=usage.completion_tokens,
            visible_tokens=None,
        ),
    )


def progress_of(parts: Sequence[Progress], elapsed_ms: float, notice: str) -> Progress:
    """How a run stands whose requests stand like this; the speed is the last one's."""
    return Progress(
        elapsed_ms=elapsed_ms,
        ttft_ms=parts[0].ttft_ms,
        tokens=sum(part.tokens for part in parts),
        tokens_per_s=parts[-1].tokens_per_s,
        reasoning_tokens=sum(part.reasoning_tokens for part in parts),
        thinking_ms=sum(part.thinking_ms for part in parts),
        notice=notice,
        events=sum(part.events for part in parts),
    )


def _usage(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=_sum(usage.prompt_tokens for usage in usages),
        completion_tokens=_sum(usage.completion_tokens for usage in usages),
        total_tokens=_sum(usage.total_tokens for usage in usages),
        reasoning_tokens=_sum(usage.reasoning_tokens for usage in usages),
        cached_tokens=_sum(usage.cached_tokens for usage in usages),
        exact=all(usage.exact for usage in usages),
        read=usages[-1].read,
        cache_write_tokens=_sum(usage.cache_write_tokens for usage in usages),
        other_tokens=sum(usage.other_tokens or 0 for usage in usages) or None,
        cost=_sum(usage.cost for usage in usages),
        cache_write_1h_tokens=_sum(usage.cache_write_1h_tokens for usage in usages),
        prompt_audio_tokens=_sum(usage.prompt_audio_tokens for usage in usages),
        completion_audio_tokens=_sum(usage.completion_audio_tokens for usage in usages),
        web_searches=_sum(usage.web_searches for usage in usages),
        uncounted=any(usage.uncounted for usage in usages),
    )


def _cost(costs: Sequence[Cost]) -> Cost:
    usd, cny = [cost.usd for cost in costs], [cost.cny for cost in costs]
    known = next((cost for cost in costs if cost.usd is None), costs[-1])
    stated = _sum(cost.stated_usd for cost in costs)
    return replace(known, usd=_sum(usd), cny=_sum(cny), exact=all(c.exact for c in costs), stated_usd=stated)


def _sum(values: Iterable[N | None]) -> N | None:
    """The sum; None where one of the values is unknown."""
    known: list[N] = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    with exactly():
        return sum(known[1:], known[0])
