"""Refusals that name what to leave out or to call otherwise: the same request is worth sending once more, changed."""

from __future__ import annotations

import re
from typing import Literal

from holystream_nb.wire.complaints import Complaint, complaint_in

TokensField = Literal["max_tokens", "max_completion_tokens"]

_READ_CHARACTERS = 2_000

_NO_STREAM = re.compile(
    r"""
    \bverified \s to \s stream\b                        # OpenAI: "Your organization must be verified to stream this…"
    | \bstream(?:ing)?\b(?!\s*options) [^.]{0,40} (?:\bnot|n't|\bno \s longer) \s (?:be \s | yet \s | currently \s){0,2}
      (?:support|allow|available|permit|enable|possible)
    | \b'?stream'? \s does \s not \s support\b          # OpenAI: "'stream' does not support true with this model"
    | \bstream(?:ing)?\b [^.]{0,20} \bunsupported\b | \bunsupported \s (?:for|with|in) \s stream(?:ing)?\b
    | (?:\bnot|n't) \s support\w* [^.]{0,30} \bstream(?:ing|ed)?\b(?!\s*options)
    | \bonly \s (?:be \s)? (?:support\w* \s)? non-?stream
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REFUSED_PARAMETER = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|not (?:supported|permitted|allowed)|extra[ _]"
    r"|unsupported_parameter|does not support|deprecated",
    re.IGNORECASE,
)
_INSTEAD = re.compile(
    r"(?:\buse|\bdid you mean|\bin favou?r of|\breplaced (?:by|with))\s(?:the\s)?(?:parameter\s)?\W{0,3}"
    r"(max_completion_tokens|max_tokens)\b",
    re.IGNORECASE,
)


_LIMIT = re.compile(r"\bmax_?(?:completion_?|output_?|new_?)?tokens\b", re.IGNORECASE)
_CONTEXT = re.compile(r"\bcontext (?:length|window|size)\b|\binputs\b|\bprompt\b", re.IGNORECASE)
_AMOUNT = re.compile(r"\d{3,9}")

_OF_A_TURN = re.compile(r"\b(reasoning_content|reasoning_details|extra_content|thought_signature)\b")
_WANTED = re.compile(
    r"\bmissing\b|\bpass(?:ed)?\b[^.]{0,20}\bback\b|\brequired\b|\bmust (?:be|have|include|contain)\b", re.I
)
_NOT_WANTED = re.compile(r"\bremove\b|\bmust not\b|\binvalid (?:field|parameter|property)\b", re.I)


def names_echo(status: int, body: bytes) -> tuple[str, bool] | None:
    """What of earlier turns a refusal wants back (True), or left out (False); None where it is about something else.

    `The reasoning_content in the thinking mode must be passed back to the API` (DeepSeek), `reasoning_content is
    missing in assistant tool call message` (Kimi), `Function call is missing a thought_signature` (Gemini); `property
    'reasoning_content' is unsupported` (Groq).
    """
    if status not in (400, 422):
        return None
    complaint, said = _read(body)
    named = _OF_A_TURN.search(f"{said} {complaint.param}")
    if named is None:
        return None
    words = _OF_A_TURN.sub("", f"{said} {complaint.code} {complaint.type}")
    if _NOT_WANTED.search(words) or _REFUSED_PARAMETER.search(words):
        return named[1], False
    return (named[1], True) if _WANTED.search(words) else None


def refuses_include_usage(status: int, body: bytes) -> bool:
    """Whether a refusal complains about `stream_options.include_usage`: the request is worth sending without it."""
    return status in (400, 422) and (b"stream_options" in body or b"include_usage" in body)


def refuses_streaming(status: int, body: bytes) -> bool:
    """Whether a refusal is of streaming: the answer is worth asking for unstreamed."""
    if status not in (400, 403, 404, 405, 422, 501):
        return False
    complaint, said = _read(body)
    return (status in (400, 422) and complaint.param == "stream") or _NO_STREAM.search(said) is not None


def names_tokens_field(status: int, body: bytes) -> TokensField | None:
    """The field for the limit on the answer that a refusal asks for; None where it is about something else.

    `Unsupported parameter: 'max_tokens' … Use 'max_completion_tokens' instead`, and the reverse.
    """
    if status not in (400, 422):
        return None
    complaint, said = _read(body)
    if instead := _INSTEAD.search(said):
        return "max_tokens" if instead[1].lower() == "max_tokens" else "max_completion_tokens"
    named = {match.lower() for match in re.findall(r"\bmax_(?:completion_)?tokens\b", f"{said} {complaint.param}")}
    if len(named) != 1 or not _REFUSED_PARAMETER.search(f"{said} {complaint.code} {complaint.type}"):
        return None
    return "max_completion_tokens" if named == {"max_tokens"} else "max_tokens"


def refuses_limit(status: int, body: bytes, limit: int) -> Literal["model", "prompt"] | None:
    """Of what a refusal says that the limit on the answer is too much for it, naming less; None where it does not.

    For the model: `max_tokens is too large: 100000. This model supports at most 16384 completion tokens` (OpenAI),
    `the valid range of max_tokens is [1, 8192]` (DeepSeek). For this prompt: `maximum context length is 32768 tokens`
    (vLLM), `inputs tokens + max_new_tokens must be <= 8193` (Together).
    """
    if status not in (400, 422):
        return None
    complaint, said = _read(body)
    is_less = any(int(amount) < limit for amount in _AMOUNT.findall(said.replace(",", "")))
    named = f"{said} {complaint.param}"
    if _REFUSED_PARAMETER.search(f"{said} {complaint.code}"):  # the field itself, and no number in it
        return None
    if not is_less or not (_LIMIT.search(named) or _CONTEXT.search(named)):
        return None
    return "prompt" if _CONTEXT.search(_LIMIT.sub("", named)) else "model"


def _read(body: bytes) -> tuple[Complaint, str]:
    complaint = complaint_in(body.decode("utf-8-sig", "replace"))
    return complaint, " ".join(complaint.message[:_READ_CHARACTERS].split())
