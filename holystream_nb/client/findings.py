"""What one answer of a check shows: whether it streams, reports its usage, says its end, calls a tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import BadRequest, HolystreamError, UnknownModel
from ..reply import Reply
from ..timing import BURST_EVENTS, MEND
from ..wire.refusals import refuses_include_usage
from ..wire.values import parse
from .shape import ENDS, end_in, short
from .tap import Exchange

Verdict = Literal["ok", "warn", "fail", "unknown"]

TOKENS: Final = 48
"""Enough for an answer whose pieces show whether they come one by one."""

CALL_TOKENS: Final = 64
TOOL: Final = "get_weather"
"""The name of the tool that is offered."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was looked at, how it stands, what was seen, and what to do about it."""

    name: str
    verdict: Verdict
    seen: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """A request, and what came of it."""

    reply: Reply
    error: HolystreamError | None
    exchanges: Sequence[Exchange]
    notice: str

    @property
    def last(self) -> Exchange | None:
        return self.exchanges[-1] if self.exchanges else None

    @property
    def has_output(self) -> bool:
        return self.reply.timing.ttft_ms is not None


def of_answer(answer: Tried) -> Iterator[Finding]:
    """What an answer with output, or without an error, shows."""
    yield _first_token(answer)
    if answer.last is None:
        return
    yield from _pieces(answer)
    yield _usage(answer)
    yield _end(answer, answer.last.body)


def is_whole(answer: Tried) -> bool:
    """Whether it came as one piece of JSON, and not as a stream."""
    return answer.last is not None and answer.last.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _first_token(answer: Tried) -> Finding:
    timing = answer.reply.timing
    if timing.ttft_ms is None:
        return Finding(
            "first token",
            "warn",
            f"none within {TOKENS} tokens",
            "a model that reasons out of sight needs more max_tokens",
        )
    what = "reasoning" if answer.reply.reasoning and not answer.reply.text else "first token"
    return Finding("first token", "ok", f"{what} after {timing.ttft_ms:,.0f} ms")


def _pieces(answer: Tried) -> Iterator[Finding]:
    timing = answer.reply.timing
    if is_whole(answer):
        yield Finding(
            "pieces",
            "fail",
            "the answer came whole, as JSON",
            "the service, or something before it, does not stream",
        )
    elif timing.reads:
        count, events = len(timing.reads), sum(timing.events)
        span = (timing.reads[-1] - timing.reads[0]) / 1e6
        if timing.burst is not None:
            came = "at once" if count == 1 else f"in bursts of about {timing.burst}"
            yield Finding("pieces", "warn", f"{_counted(events, 'event')} came {came}: a proxy may be buffering", MEND)
        elif count == 1 or events / count >= BURST_EVENTS:
            seen = f"{_counted(events, 'event')} in {_counted(count, 'read')}: too few, or too fast, to tell"
            yield Finding("pieces", "unknown", seen)
        else:
            yield Finding("pieces", "ok", f"{_counted(events, 'event')} in {count} reads over {span:,.0f} ms")


def _usage(answer: Tried) -> Finding:
    usage = answer.reply.usage
    refused = any(refuses_include_usage(each.status, each.body) for each in answer.exchanges)
    word = " (asking for it is refused)" if refused else ""
    if usage.exact:
        prompt, output = ("unknown" if n is None else f"{n:,}" for n in (usage.prompt_tokens, usage.completion_tokens))
        return Finding("usage", "ok", f"{prompt} prompt + {output} output tokens, reported{word}")
    return Finding("usage", "warn", f"none is reported{word}", "tokens and cost are estimated (≈)")


def _end(answer: Tried, body: bytes) -> Finding:
    reason, error, wire = answer.reply.finish_reason, answer.error, answer.reply.wire
    if error is not None:
        return Finding("end", "fail", str(error))
    if is_whole(answer):
        return Finding("end", "ok", f"{reason}, with the body's end")
    if reason == "truncated":
        advice = "an answer that breaks off looks the same: strict programs refuse it"
        return Finding("end", "fail", f"it ends without a finish reason and without {ENDS[wire][0]}", advice)
    if end := end_in(body, wire):
        return Finding("end", "ok", f"finish reason {short(reason)}, then {end}")
    return Finding("end", "warn", f"finish reason {short(reason)}, no {ENDS[wire][0]}", "it is taken as the end here")


def of_call(tried: Tried, note: str) -> Finding:
    """What an answer shows that was to call the tool; `note` says what else was seen."""
    calls = tried.reply.tool_calls
    if calls:
        call = calls[0]
        what = short(f"{call.name}({call.arguments})")
        if call.name != TOOL:
            return Finding("tools", "warn", f"called {what}, which is no tool that was given{note}")
        if _is_object(call.arguments):
            return Finding("tools", "ok", f"called {what}{note}")
        if tried.reply.end == "length":
            return Finding("tools", "ok", f"called {what}, cut by the limit of {CALL_TOKENS} tokens{note}")
        return Finding("tools", "warn", f"called {what}: the arguments are no JSON object{note}")
    if isinstance(tried.error, BadRequest | UnknownModel):
        return Finding("tools", "warn", str(tried.error), "ask this model without tools")
    if tried.error is not None:
        return Finding("tools", "unknown", str(tried.error))
    if tried.reply.end == "length" and not tried.reply.text:
        return Finding("tools", "unknown", f"no tool was called within the limit of {CALL_TOKENS} tokens{note}")
    if note:
        return Finding("tools", "unknown", f"no tool was called{note}")
    ignored = 'no tool was called, although tool_choice="required" asked for one'
    return Finding("tools", "warn", ignored, "check that the model, and the server's settings, have tools")


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse(text), dict)
    except (ValueError, RecursionError):
        return False


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
