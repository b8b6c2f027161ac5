"""The shapes of OpenAI's answers: chunks of a stream, in the dialects that exist, and the whole completion.

Nothing here knows of bytes or time: a stream is an iterator of chunks, each with the beat at which it is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, TypeVar

import msgspec

from .answers import Answer, Call
from .faults import Faults
from .request import ChatRequest

CREATED = 1_735_689_600
"""The `created` of every answer (1 January 2025): a real time would make two streams of one seed differ."""

Part = TypeVar("Part")

OUTPUT = frozenset({"text", "reasoning", "tool"})
"""Kinds of chunks that carry a token."""


class Chunk(NamedTuple):
    """One chunk: what it carries, the beat at which it is due (0: the first token), its choice, the JSON object."""

    kind: str
    beat: int
    choice: int
    body: dict[str, Any]


def completion_id(request: ChatRequest) -> str:
    """The id of an answer: the same for the same request."""
    return f"chatcmpl-sim-{request.digest}"


def usage(prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
    """OpenAI's usage object, of these tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def total_usage(request: ChatRequest, answers: Sequence[Answer]) -> dict[str, Any]:
    """The usage of all choices together."""
    tokens, reasoning = sum(each.tokens for each in answers), sum(len(each.reasoning) for each in answers)
    return usage(request.prompt_tokens, tokens, reasoning)


def completion(request: ChatRequest, answers: Sequence[Answer]) -> dict[str, Any]:
    """The whole answer, unstreamed."""
    choices = []
    for index, each in enumerate(answers):
        content = "".join(each.text)
        message: dict[str, Any] = {"role": "assistant", "content": content if content or not each.calls else None}
        message["refusal"] = None
        if request.faults.refusal:
            message["content"], message["refusal"] = None, content
        if each.reasoning:
            message["reasoning_content"] = "".join(each.reasoning)
        if each.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in each.calls
            ]
        finish = _finish(request.faults, each)
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return {
        "id": completion_id(request),
        "object": "chat.completion",
        "created": CREATED,
        "model": request.profile.model,
        "choices": choices,
        "usage": total_usage(request, answers),
    }


def chunks(request: ChatRequest, answers: Sequence[Answer]) -> Iterator[Chunk]:
    """The chunks of a stream, choices interleaved token by token, in the dialect that the request's faults name."""
    stream = _Stream(request, answers)
    for index, each in enumerate(answers):
        yield from stream.opening(index, each)
    beat = 0
    columns = [stream.tokens(index, each) for index, each in enumerate(answers)]
    for beat, row in enumerate(zip_longest(*columns)):
        for index, delta in enumerate(row):
            if delta is not None:
                yield from stream.output(beat, index, *delta)
    for index, each in enumerate(answers):
        yield from stream.closing(beat, index, each)
    if request.include_usage and request.faults.usage not in ("finish", "none"):
        yield stream.usage(beat)


class _Stream:
    """Makes the chunks of one stream."""

    def __init__(self, request: ChatRequest, answers: Sequence[Answer]) -> None:
        self.request = request
        self.faults = request.faults
        self.answers = answers
        self.head = {
            "id": completion_id(request),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": request.profile.model,
        }
        self.told = {"text": 0, "reasoning": 0, "tool": 0}
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
        for token in answer.reasoning:
            yield "reasoning", reasoning_delta(token, self.faults)
        for token in answer.text:
            yield "text", text_delta(token, self.faults)
        for delta in call_deltas(answer.calls, self.faults.tools):
            yield "tool", delta

    def output(self, beat: int, index: int, kind: str, delta: dict[str, Any]) -> Iterator[Chunk]:
        """One token's chunk, and the empty one before it where the dialect has such."""
        if self.faults.blank:
            yield Chunk("other", beat, index, self._blank(self.faults.blank, index))
        if beat == 0 and self.faults.role == "joined":
            delta = {"role": "assistant", **delta}
        self.told[kind] += 1
        body = self._chunk(index, delta)
        if self.faults.message:
            self.said[index].append(str(delta.get("content", "")))
            body["choices"][0]["message"] = {"role": "assistant", "content": "".join(self.said[index])}
        yield Chunk(kind, beat, index, body)

    def closing(self, beat: int, index: int, answer: Answer) -> Iterator[Chunk]:
        """The chunk that names the finish reason."""
        finish = _finish(self.faults, answer)
        if finish is None:
            return
        body = self._chunk(index, {}, finish)
        if self.faults.usage in ("finish", "running") and index == len(self.answers) - 1:
            body["usage"] = total_usage(self.request, self.answers)
        yield Chunk("finish", beat, index, body)

    def usage(self, beat: int) -> Chunk:
        """The last chunk, which has usage and no choices."""
        report = total_usage(self.request, self.answers)
        if self.faults.usage == "null-counts":
            report = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
        return Chunk("usage", beat, 0, {**self.head, "choices": [], "usage": report})

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
        elif self.faults.usage == "null" or (self.request.include_usage and self.faults.usage is None):
            body["usage"] = None
        return body


def text_delta(token: str, faults: Faults) -> dict[str, Any]:
    """The delta of a token of text."""
    if faults.refusal:
        return {"refusal": token}
    return {"content": [{"type": "text", "text": token}] if faults.parts else token}


def reasoning_delta(token: str, faults: Faults) -> dict[str, Any]:
    """The delta of a token of reasoning, in the spelling that is asked for."""
    if faults.parts:
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": token}]}]}
    details = [{"type": "reasoning.text", "text": token, "index": 0}]
    spellings: dict[str, dict[str, Any]] = {
        "reasoning": {"reasoning": token},
        "text": {"reasoning_details": details},
        "summary": {"reasoning_details": [{"type": "reasoning.summary", "summary": token, "index": 0}]},
        "both": {"reasoning": token, "reasoning_content": token},
        "both-details": {"reasoning": token, "reasoning_details": details},
    }
    return spellings.get(faults.reasoning or "", {"reasoning_content": token})


def call_deltas(calls: Sequence[Call], shape: str | None) -> Iterator[dict[str, Any]]:
    """The deltas of tool calls, a token each: first the name, then the arguments piece by piece."""
    columns = [list(_fragments(call, index, shape)) for index, call in enumerate(calls)]
    return ({"tool_calls": [part]} for part in in_order(columns, shape))


def in_order(columns: Sequence[Sequence[Part]], shape: str | None) -> list[Part]:
    """The parts of several calls, one call after the other, or interleaved."""
    if shape == "interleaved":
        return [part for row in zip_longest(*columns) for part in row if part is not None]
    return [part for column in columns for part in column]


def _fragments(call: Call, index: int, shape: str | None) -> Iterator[dict[str, Any]]:
    place = {} if shape == "no-index" else {"index": index + (shape == "index-1")}
    start = {**place, "id": call.id, "type": "function"}
    if shape in ("whole", "object"):
        arguments = "".join(call.arguments)
        given = parsed(arguments) if shape == "object" else arguments
        yield {**start, "function": {"name": call.name, "arguments": given}}
        return
    yield {**start, "function": {"name": call.name, "arguments": ""}}
    for piece in call.arguments:
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
