"""The shapes of OpenAI's answers: chunks of a stream, in the dialects that exist, and the whole completion.

Nothing here knows of bytes or time: a stream is an iterator of chunks, each with the beat at which it is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, TypeVar

import msgspec

from . import echo
from .answers import Answer, Call
from .faults import Faults
from .logprobs import logprobs_of
from .request import ChatRequest
from .signatures import sign

CREATED = 1_735_689_600
"""The `created` of every answer (1 January 2025): a real time would make two streams of one seed differ."""

Part = TypeVar("Part")

SOURCES = (("https://example.com/sheep", "Sheep, simulated"), ("https://example.com/goats", "Goats, simulated"))
"""Address and title of each source that an answer can cite."""

IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One pixel."""

OUTPUT = frozenset({"text", "reasoning", "tool"})
"""Kinds of chunks that carry a token."""


class Chunk(NamedTuple):
    """One chunk: what it carries, the beat at which it is due (0: the first token), its choice, the JSON object."""

    kind: str
    beat: int
    choice: int
    body: dict[str, Any]


_INPUT_PRICE, _OUTPUT_PRICE = 1e-6, 4e-6
"""What a token costs in the usage reports that state a cost, in dollars."""

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def completion_id(request: ChatRequest) -> str:
    """The id of an answer: the same for the same request."""
    return f"chatcmpl-sim-{request.digest}"


def usage(prompt: int, completion: int, reasoning: int, shape: str | None = None) -> dict[str, Any]:
    """OpenAI's usage object, of these tokens; `shape` is a value of the fault `usage`."""
    report: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    paid_in, paid_out = prompt * _INPUT_PRICE, completion * _OUTPUT_PRICE
    match shape:
        case "null-counts":
            return dict.fromkeys(_COUNTS)
        case "zeros":
            return dict.fromkeys(_COUNTS, 0)
        case "total":
            return {
                "prompt_tokens": prompt,
                "completion_tokens": completion - reasoning,
                "total_tokens": prompt + completion,
            }
        case "outside":
            report["completion_tokens"] -= reasoning
        case "cached":
            report["prompt_tokens_details"] = {"cached_tokens": prompt // 2, "cache_write_tokens": prompt // 4}
        case "cost":
            report |= {"cost": paid_in + paid_out, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
        case "costs":
            parts = {"input_tokens_cost": paid_in, "output_tokens_cost": paid_out}
            report["cost"] = {**parts, "request_cost": 0.0, "total_cost": paid_in + paid_out}
        case "ticks":
            report["cost_in_usd_ticks"] = round((paid_in + paid_out) * 1e10)
        case "estimate":
            report["estimated_cost"] = paid_in + paid_out
    return report


def total_usage(request: ChatRequest, answers: Sequence[Answer]) -> dict[str, Any]:
    """The usage of all choices together."""
    tokens, reasoning = sum(each.tokens for each in answers), sum(len(each.reasoning) for each in answers)
    return usage(request.prompt_tokens, tokens, reasoning, request.faults.usage)


def completion(request: ChatRequest, answers: Sequence[Answer]) -> dict[str, Any]:
    """The whole answer, unstreamed."""
    choices = []
    for index, each in enumerate(answers):
        logprobs = None
        if request.top_logprobs is not None and each.text:
            logprobs = _logprobs(request, [logprob(request, index, at, token) for at, token in enumerate(each.text)])
        choices.append(
            {
                "index": index,
                "message": _message(request.faults, each),
                "logprobs": logprobs,
                "finish_reason": _finish(request.faults, each),
            }
        )
    return {
        **_head(request, "chat.completion"),
        "choices": choices,
        "usage": total_usage(request, answers),
    }


def _message(faults: Faults, answer: Answer) -> dict[str, Any]:
    content: Any = "".join(answer.text)
    message: dict[str, Any] = {"role": "assistant", "content": content if content or not answer.calls else None}
    message["refusal"] = None
    if faults.refusal:
        message["content"], message["refusal"] = None, content
    if answer.reasoning:
        thought = reasoning_delta("".join(answer.reasoning), faults)
        if "content" in thought:
            text = [{"type": "text", "text": content}] if content else []
            thought = {"content": [*({**part, "closed": True} for part in thought["content"]), *text]}
        elif signed := _signature_delta(answer, faults):
            thought["reasoning_details"][0] |= signed["reasoning_details"][0]
        message |= thought
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
                **_call_extra(call, index, faults),
            }
            for index, call in enumerate(answer.calls)
        ]
    return message | _extras(answer, faults)


def chunks(request: ChatRequest, answers: Sequence[Answer]) -> Iterator[Chunk]:
    """The chunks of a stream, choices interleaved token by token, in the dialect that the request's faults name."""
    stream = _Stream(request, answers)
    for index, each in enumerate(answers):
        yield from stream.opening(index, each)
    beat = 0
    speaking = dict(enumerate(answers))
    columns = [stream.tokens(index, each) for index, each in enumerate(answers)]
    for beat, row in enumerate(zip_longest(*columns)):
        for index, delta in enumerate(row):
            if delta is not None:
                yield from stream.output(beat, index, *delta)
            elif index in speaking:
                yield from stream.closing(beat, index, speaking.pop(index))
    for index, each in speaking.items():
        yield from stream.closing(beat, index, each, last=index == max(speaking))
    if request.include_usage and request.faults.usage not in ("finish", "none"):
        yield stream.usage(beat)


class _Stream:
    """Makes the chunks of one stream."""

    def __init__(self, request: ChatRequest, answers: Sequence[Answer]) -> None:
        self.request = request
        self.faults = request.faults
        self.answers = answers
        self.head = _head(request, "chat.completion.chunk")
        self.told = {"text": 0, "reasoning": 0, "tool": 0}
        self.spoken = [0] * len(answers)
        self.said: list[list[str]] = [[] for _ in answers]

    def opening(self, index: int, answer: Answer) -> Iterator[Chunk]:
        """The chunk that names the role."""
        match self.faults.role:
            case "none" | "joined":
                return
            case "only":
                delta: dict[str, Any] = {"role": "assistant"}
            case "null":
                delta = {"role": "assistant", "content": None}
            case _:
                delta = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
        yield Chunk("role", 0, index, self._chunk(index, delta))

    def tokens(self, index: int, answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
        """The kind and delta of each token of one choice."""
        if answer.reasoning and echo.spelling(self.faults) == "encrypted":
            yield "reasoning", reasoning_delta("".join(answer.reasoning), self.faults)
        elif echo.spelling(self.faults) != "hidden":
            for token in answer.reasoning:
                yield "reasoning", reasoning_delta(token, self.faults)
            if signed := _signature_delta(answer, self.faults):
                yield "other", signed
        for token in answer.text:
            yield "text", text_delta(token, self.faults)
        for delta in call_deltas(answer.calls, self.faults):
            yield "tool", delta

    def output(self, beat: int, index: int, kind: str, delta: dict[str, Any]) -> Iterator[Chunk]:
        """One token's chunk, and the empty one before it where the dialect has such."""
        if self.faults.blank:
            yield Chunk("other", beat, index, self._blank(self.faults.blank, index))
        if beat == 0 and self.faults.role == "joined":
            delta = {"role": "assistant", **delta}
        if kind != "other":
            self.told[kind] += 1
        body = self._chunk(index, delta)
        if kind == "text" and self.request.top_logprobs is not None:
            token = self.answers[index].text[self.spoken[index]]
            item = logprob(self.request, index, self.spoken[index], token)
            body["choices"][0]["logprobs"] = _logprobs(self.request, [item])
            self.spoken[index] += 1
        if self.faults.message:
            self.said[index].append(str(delta.get("content", "")))
            body["choices"][0]["message"] = {"role": "assistant", "content": "".join(self.said[index])}
        yield Chunk(kind, beat, index, body)

    def closing(self, beat: int, index: int, answer: Answer, *, last: bool = False) -> Iterator[Chunk]:
        """The chunk with sources and images, and the one that names the finish reason."""
        if extras := _extras(answer, self.faults):
            yield Chunk("other", beat, index, self._chunk(index, extras))
        finish = _finish(self.faults, answer)
        if finish is None:
            return
        body = self._chunk(index, {}, finish)
        if self.faults.usage in ("finish", "running") and last:
            body["usage"] = total_usage(self.request, self.answers)
        yield Chunk("finish", beat, index, body)

    def usage(self, beat: int) -> Chunk:
        """The last chunk, which has usage and no choices."""
        return Chunk("usage", beat, 0, {**self.head, "choices": [], "usage": total_usage(self.request, self.answers)})

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._with_usage({**self.head, "choices": [choice]})

    def _blank(self, shape: str, index: int) -> dict[str, Any]:
        shapes: dict[str, dict[str, Any]] = {
            "no-choices": {"choices": []},
            "null-choices": {"choices": None},
            "no-delta": {"choices": [{"index": index, "finish_reason": None}]},
            "null-delta": {"choices": [{"index": index, "delta": None, "finish_reason": None}]},
        }
        if shape in shapes:
            return self._with_usage({**self.head, **shapes[shape]})
        return self._chunk(index, {"content": "" if shape == "empty" else None})

    def _with_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.faults.usage == "running":
            body["usage"] = usage(self.request.prompt_tokens, sum(self.told.values()), self.told["reasoning"])
        elif self.faults.usage == "null" or (
            self.request.include_usage and self.faults.usage not in ("finish", "none")
        ):
            body["usage"] = None
        return body


def text_delta(token: str, faults: Faults) -> dict[str, Any]:
    """The delta of a token of text."""
    if faults.refusal:
        return {"refusal": token}
    return {"content": [{"type": "text", "text": token}] if faults.parts else token}


def reasoning_delta(token: str, faults: Faults) -> dict[str, Any]:
    """The delta of a token of reasoning, in the spelling that is asked for."""
    spelling = echo.spelling(faults)
    if faults.parts or spelling == "parts":
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": token}]}]}
    details = [{"type": "reasoning.text", "text": token, "index": 0}]
    spellings: dict[str, dict[str, Any]] = {
        "reasoning": {"reasoning": token},
        "text": {"reasoning_details": details},
        "summary": {"reasoning_details": [{"type": "reasoning.summary", "summary": token, "index": 0}]},
        "both": {"reasoning": token, "reasoning_content": token},
        "both-details": {"reasoning": token, "reasoning_details": details},
        "hidden": {},
    }
    if spelling == "encrypted":
        spellings["encrypted"] = {
            "reasoning_details": [{"type": "reasoning.encrypted", "data": sign(token), "format": None, "index": 0}]
        }
    return spellings.get(spelling, {"reasoning_content": token})


def _signature_delta(answer: Answer, faults: Faults) -> dict[str, Any]:
    """OpenRouter's signature of the reasoning, in a detail that has no text."""
    if faults.echo != "openrouter" or not answer.reasoning or echo.spelling(faults) != "text":
        return {}
    signature = sign("".join(answer.reasoning))
    return {
        "reasoning_details": [
            {"type": "reasoning.text", "signature": signature, "format": "anthropic-claude-v1", "index": 0}
        ]
    }


def _call_extra(call: Call, index: int, faults: Faults) -> dict[str, Any]:
    """Gemini's signature, in the first call of a round."""
    if faults.echo != "gemini" or index:
        return {}
    signature = echo.call_signature(call.name, "".join(call.arguments))
    return {"extra_content": {"google": {"thought_signature": signature}}}


def _extras(answer: Answer, faults: Faults) -> dict[str, Any]:
    """What an answer has beside text and calls: sources as OpenAI's annotations, and an image."""
    extras: dict[str, Any] = {}
    if faults.citations == "annotations":
        end = min(20, sum(map(len, answer.text[:20])))
        extras["annotations"] = [
            {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": end, "url": url, "title": title}}
            for url, title in SOURCES
        ]
    if faults.image:
        extras["images"] = [{"type": "image_url", "image_url": {"url": IMAGE}, "index": 0}]
    return extras


def _head(request: ChatRequest, kind: str) -> dict[str, Any]:
    """The fields that every object of an answer has."""
    faults = request.faults
    head: dict[str, Any] = {
        "id": completion_id(request),
        "object": kind,
        "created": CREATED,
        "model": faults.served or request.profile.model,
    }
    if request.tier:
        head["service_tier"] = request.tier
    if faults.citations == "search":
        head["citations"] = [url for url, _ in SOURCES]
        head["search_results"] = [{"title": title, "url": url, "date": None} for url, title in SOURCES]
    return head


def _logprobs(request: ChatRequest, items: list[dict[str, Any]]) -> dict[str, Any]:
    if request.faults.refusal:
        return {"content": None, "refusal": items}
    return {"content": items, "refusal": None}


def logprob(request: ChatRequest, choice: int, place: int, token: str) -> dict[str, Any]:
    """What a request that asks for log probabilities is told of a token at its place."""
    return logprobs_of(token, f"{request.digest} {choice} {place}", request.top_logprobs or 0)


def call_deltas(calls: Sequence[Call], faults: Faults) -> Iterator[dict[str, Any]]:
    """The deltas of tool calls, a token each: first the name, then the arguments piece by piece."""
    columns = [list(_fragments(call, index, faults)) for index, call in enumerate(calls)]
    return ({"tool_calls": [part]} for part in in_order(columns, faults.tools))


def argument_pieces(call: Call, faults: Faults) -> Iterator[str]:
    """The pieces in which the arguments of a call are streamed."""
    if faults.arguments == "empty-first":
        yield "{}"
    yield from call.arguments
    if faults.arguments == "repeat" and call.arguments:
        yield "".join(call.arguments)


def in_order(columns: Sequence[Sequence[Part]], shape: str | None) -> list[Part]:
    """The parts of several calls, one call after the other, or interleaved."""
    if shape == "interleaved":
        return [part for row in zip_longest(*columns) for part in row if part is not None]
    return [part for column in columns for part in column]


def _fragments(call: Call, index: int, faults: Faults) -> Iterator[dict[str, Any]]:
    shape = faults.tools
    place = {} if shape == "no-index" else {"index": index + (shape == "index-1")}
    start = {**place, "id": call.id, "type": "function", **_call_extra(call, index, faults)}
    if shape in ("whole", "object"):
        arguments = "".join(call.arguments)
        given = parsed(arguments) if shape == "object" else arguments
        yield {**start, "function": {"name": call.name, "arguments": given}}
        return
    yield {**start, "function": {"name": call.name, "arguments": ""}}
    for piece in argument_pieces(call, faults):
        match shape:
            case "empty-ids":
                yield {**place, "id": "", "function": {"name": "", "arguments": piece}}
            case "null-ids":
                yield {**place, "id": None, "type": None, "function": {"name": None, "arguments": piece}}
            case "repeat-name":
                yield {**start, "function": {"name": call.name, "arguments": piece}}
            case _:
                yield {**place, "function": {"arguments": piece}}


def parsed(arguments: str) -> Any:
    """The object that arguments spell, or their text where a limit has cut it off."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _finish(faults: Faults, answer: Answer) -> str | None:
    return None if faults.finish == "none" else faults.finish or answer.finish
