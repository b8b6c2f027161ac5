"""How services word what no status says: a prompt too long, an account with nothing left, when to come back. Text only.

Sources: the digests of formats.md, llama.cpp's server, and the messages quoted beside the patterns.
"""

from __future__ import annotations

import re

_READ_CHARACTERS = 2_000

_TOO_LONG_WORDS = re.compile(
    r"context_length_exceeded|exceed_context_size|context_?window_?exceeded|prompt_too_long|string_above_max_length"
)
_TOO_LONG = re.compile(
    r"""
    \b(?:prompt|input|inputs|messages?) \s (?:is|are|was) \s too \s (?:long|large)      # Anthropic, Fireworks, Bedrock
    | \b(?:maximum|max) \s (?:context|prompt|input) \s (?:length|window|size)           # OpenAI, vLLM, DeepSeek, xAI
    | exceed\w* \b .{0,60} \b context \s (?:length|window|size|limit)                   # llama.cpp, OpenAI, Anthropic
    | \bcontext \s (?:length|window|size) \b .{0,40} \b (?:exceed|overflow|only \s \d)  # MiniMax, LM Studio
    | \b(?:greater|longer) \s than \s the \s (?:model's \s)? context                    # LM Studio
    | \btokens? \s count \b .{0,40} \b exceeds? \s the \s (?:limit|maximum)             # Gemini, GitHub Copilot
    | exceed\w* \s (?:the \s)? (?:model \s token \s limit | max(?:imum)? \s (?:length|message \s tokens))  # Kimi, GLM
    | \breduce \s the \s length \s of \s (?:the|your) \s (?:messages|prompt|input)      # Groq
    | \brange \s of \s input \s length                                                  # Qwen
    | \binputs?`? \s tokens \s \+ .{0,30} \b must \s be \s <=                           # TGI, Together
    | \btotal \s number \s of \s tokens \s in \s the \s prompt \s cannot \s exceed      # Cohere
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
# vLLM: "'max_tokens' or 'max_completion_tokens' is too large: 10000. This model's maximum context length is …"
_ANSWER_TOO_LONG = re.compile(r"max_(?:completion_)?tokens\W{1,3}(?:is|=|of)?.{0,20}\btoo (?:large|high|big)", re.I)

_NUMBER = r"(?!2013\))(\d[\d,]{2,11})\b"  # MiniMax: "context window exceeds limit (2013)" is an error's number
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:>|<=)\s*{_NUMBER}",
        rf"(?:exceeds? the|maximum|max\b|limit|\bcontext\b|only)[^\d>]{{0,60}}{_NUMBER}",
        rf"{_NUMBER}(?: tokens?)? max",
    )
)

_SPENT_WORDS = re.compile(
    r"insufficient_?(?:quota|balance|credit|fund)|current_quota|billing|payment_required|credits?_(?:deplet|exhaust)"
)
_SPENT = re.compile(
    r"""
    exceeded \s (?:your|the) \s current \s quota                                        # OpenAI, Gemini
    | \binsufficient \s (?:account \s)? (?:quota|balance|credits?|funds)                # DeepSeek, OpenRouter
    | \bcredit \s balance \b | \b(?:out \s of|not \s enough|no \s more|used \s all \s available) \s credits?\b
    | \b(?:billing \s hard | billing | monthly \s spending | spending | spend | usage) \s limit \b .{0,30} \breached
    | \breached \b .{0,30} \b (?:monthly|daily|spending|billing|usage) .{0,12} \b limit
    | 余额不足 | 欠费                                                                    # GLM, Ark
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_LONG_QUOTA = re.compile(  # "requests per day (RPD)", "free-models-per-day", "quota exceeded for the month"
    r"\bper[- ]?(?:day|month)\b|PerDay|\b(?:daily|monthly)\b.{0,30}\b(?:quota|limit)"
    r"|\bquota\b.{0,40}\b(?:day|month|daily|monthly)\b",
    re.IGNORECASE | re.DOTALL,
)

_SOON = re.compile(r"\b(?:try again|retry) (?:in|after) ((?:\d{1,7}(?:\.\d{1,9})? ?[a-z]{1,7}\.?\s?){1,4})", re.I)
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]+)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "sec": 1.0, "min": 60.0}
_SECONDS |= {"milliseconds": 0.001, "second": 1.0, "seconds": 1.0, "minute": 60.0, "minutes": 60.0}
_SECONDS |= {"secs": 1.0, "mins": 60.0, "hour": 3600.0, "hours": 3600.0}


def is_too_long(words: str, message: str) -> bool:
    """Whether a refusal is of the prompt's length. `words` are its code and type, in small letters."""
    message = message[:_READ_CHARACTERS]
    if _ANSWER_TOO_LONG.search(message):
        return False
    return bool(_TOO_LONG_WORDS.search(words) or _TOO_LONG.search(message))


def lengths(message: str) -> tuple[int | None, int | None]:
    """How many tokens a refusal says were asked for, and how many fit; None where it does not say."""
    message = message[:_READ_CHARACTERS]
    found = next((match for pattern in _LIMITS if (match := pattern.search(message))), None)
    if found is None:
        return None, None
    limit = _integer(found[1])
    larger = [number for text in re.findall(_NUMBER, message) if (number := _integer(text)) > limit]
    return max(larger, default=None), limit


def is_spent(words: str, message: str, wait: float | None) -> bool:
    """Whether a refusal says that the account's credit, or a quota of a day or more, is used up.

    Gemini says "exceeded your current quota" of a minute's quota too, but then names the seconds to wait.
    """
    message = message[:_READ_CHARACTERS]
    if _SPENT_WORDS.search(words) or _LONG_QUOTA.search(message):
        return True
    return wait is None and _SPENT.search(message) is not None


def wait_in(message: str) -> float | None:
    """The seconds after which a refusal says to come back ("try again in 1m20.5s"); None where it does not say."""
    found = _SOON.search(message[:_READ_CHARACTERS])
    if found is None:
        return None
    spans = [(float(number), _SECONDS.get(unit.lower())) for number, unit in _SPAN.findall(found[1])]
    known = [number * seconds for number, seconds in spans if seconds is not None]
    return sum(known) if known else None


def _integer(text: str) -> int:
    return int(text.replace(",", ""))
