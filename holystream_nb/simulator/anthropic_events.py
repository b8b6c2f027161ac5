"""The shapes of Anthropic's answers: the events of a stream, and the whole message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import echo
from .answers import Answer, Call
from .anthropic_request import MessagesRequest
from .chunks import SOURCES, Chunk, argument_pieces, in_order, parsed
from .prompt_cache import Cached
from .refusals import anthropic_error, failure
from .signatures import sign

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

Event = tuple[str, dict[str, Any]]
"""What an event carries, as records name it, and its object."""


class MessageStream:
    """One answer in Anthropic's words; `cached` is how its prompt's tokens were counted, `id` that of the request."""

    def __init__(self, request: MessagesRequest, answer: Answer, cached: Cached, id: str) -> None:
        self._request, self._answer, self._cached, self._id = request, answer, cached, id
        self._chat, self._faults = request.chat, request.faults

    def chunks(self) -> Iterator[Chunk]:
        """The events of the stream, each with the beat at which it is due."""
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        start = self._usage(min(1, self._answer.tokens), beginning=True)
        yield Chunk("role", 0, 0, {"type": "message_start", "message": {**message, "usage": start}})
        beat, pinged = -1, False
        for kind, event in self._content():
            beat += kind in ("text", "reasoning", "tool")
            if self._faults.blank and kind in ("text", "reasoning", "tool"):
                yield Chunk("other", beat, 0, self._blank(kind, event))
            yield Chunk(kind, max(beat, 0), 0, event)
            if not pinged:
                yield Chunk("other", max(beat, 0), 0, {"type": "ping"})
                pinged = True
        if (reason := self._stop_reason()) is not None:
            delta = {"stop_reason": reason, **self._stop_fields(reason)}
            event = {"type": "message_delta", "delta": delta}
            if self._faults.usage != "none":
                event["usage"] = self._usage(self._answer.tokens)
            yield Chunk("finish", max(beat, 0), 0, event)
        if not self._faults.no_done:
            yield Chunk("done", max(beat, 0), 0, {"type": "message_stop"})

    def whole(self) -> dict[str, Any]:
        """The message, unstreamed."""
        reason, answer = self._stop_reason(), self._answer
        content: list[dict[str, Any]] = []
        if answer.reasoning:
            content.append(self._thoughts())
        if answer.text:
            text: dict[str, Any] = {"type": "text", "text": "".join(answer.text), "citations": None}
            content.append({**text, "citations": self._citations()} if self._faults.citations else text)
        for call in answer.calls:
            given = parsed("".join(call.arguments) or "{}")
            right = isinstance(given, dict) or self._faults.arguments == "twice"
            content.append({**_call_head(call), "input": given if right else {}})
        return {
            **self._head(),
            "content": content,
            "stop_reason": reason,
            **self._stop_fields(reason),
            "usage": self._usage(answer.tokens, beginning=True),
        }

    def failure(self, fault: str, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """An error in the stream: Anthropic's when it has too much to do; a gateway's in OpenAI's shape."""
        if fault == "error_chunk":
            return [failure(500)]
        return [{**anthropic_error("Overloaded", 529), "request_id": self._id}]

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"msg_sim_{self._chat.digest}",
            "type": "message",
            "role": "assistant",
            "model": self._faults.served or self._chat.profile.model,
        }

    def _content(self) -> Iterator[Event]:
        """The events of the content, block by block."""
        answer, index = self._answer, 0
        if answer.reasoning:
            yield from _block(index, self._thinking_parts())
            index += 1
        if answer.text:
            yield from _block(index, self._text_parts())
            index += 1
        shape = self._faults.tools
        columns = []
        for call in answer.calls:
            place = None if shape == "no-index" else index + (shape == "index-1")
            columns.append(list(_block(place, self._call_parts(call))))
            index += 1
        yield from in_order(columns, shape)

    def _thoughts(self) -> dict[str, Any]:
        """The thinking block; its signature is of what is shown of it."""
        thoughts = "".join(self._answer.reasoning)
        if echo.spelling(self._faults) == "encrypted":
            return {"type": "redacted_thinking", "data": sign(thoughts)}
        shown = thoughts if self._request.shows_thoughts else ""
        return {"type": "thinking", "thinking": shown, "signature": sign(shown)}

    def _thinking_parts(self) -> Iterator[Event]:
        block = self._thoughts()
        if block["type"] == "redacted_thinking":
            yield "other", block
            return
        yield "other", {"type": "thinking", "thinking": "", "signature": ""}
        if block["thinking"]:
            for token in self._answer.reasoning:
                yield "reasoning", {"type": "thinking_delta", "thinking": token}
        yield "other", {"type": "signature_delta", "signature": block["signature"]}

    def _text_parts(self) -> Iterator[Event]:
        yield "other", {"type": "text", "text": ""}
        for token in self._answer.text:
            yield "text", {"type": "text_delta", "text": token}
        if self._faults.citations:
            for citation in self._citations():
                yield "other", {"type": "citations_delta", "citation": citation}

    def _call_parts(self, call: Call) -> Iterator[Event]:
        """A call's block: an empty piece first, as the API sends it, and nothing else where there are no arguments."""
        arguments = "".join(call.arguments)
        if self._faults.tools == "object":
            yield "tool", {**_call_head(call), "input": parsed(arguments)}
            return
        yield "other", {**_call_head(call), "input": {}}
        yield "tool", {"type": "input_json_delta", "partial_json": ""}
        pieces = [arguments] if self._faults.tools == "whole" else argument_pieces(call, self._faults)
        if arguments != "{}":
            for piece in pieces:
                yield "tool", {"type": "input_json_delta", "partial_json": piece}

    def _citations(self) -> list[dict[str, Any]]:
        said = "".join(self._answer.text[:20])[:20]
        return [
            {
                "type": "web_search_result_location",
                "url": url,
                "title": title,
                "cited_text": said,
                "encrypted_index": sign(url),
            }
            for url, title in SOURCES
        ]

    def _blank(self, kind: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """An empty piece of text where there is text; else a ping."""
        if kind == "text" and self._faults.blank == "empty":
            return {**event, "delta": {"type": "text_delta", "text": ""}}
        return {"type": "ping"}

    def _stop_reason(self) -> str | None:
        """Why the answer ends; None where that is not to be said."""
        word = self._faults.finish
        if word == "none":
            return None
        if word is None and self._faults.refusal:
            return "refusal"
        if word is None and self._answer.stopped_by and self._answer.finish == "stop":
            return "stop_sequence"
        word = word or self._answer.finish
        return _REASONS.get(word, word)

    def _stop_fields(self, reason: str | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"stop_sequence": self._answer.stopped_by if reason == "stop_sequence" else None}
        if reason == "refusal":
            explanation = "The simulator refuses, as the request asked for."
            fields["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": explanation}
        return fields

    def _usage(self, output: int, *, beginning: bool = False) -> dict[str, Any]:
        """The tokens so far; the one at the beginning has the tier and how long what was written is kept."""
        cached, shape = self._cached, self._faults.usage
        counts: dict[str, Any] = {
            "input_tokens": cached.rest,
            "cache_creation_input_tokens": cached.written_5m + cached.written_1h,
            "cache_read_input_tokens": cached.read,
            "output_tokens": output,
        }
        if shape in ("zeros", "null-counts") or (shape == "finish" and beginning):
            return dict.fromkeys(counts, None if shape == "null-counts" else 0)
        if not beginning or output == self._answer.tokens:
            counts["output_tokens_details"] = {"thinking_tokens": len(self._answer.reasoning)}
        if beginning:
            counts["cache_creation"] = {
                "ephemeral_5m_input_tokens": cached.written_5m,
                "ephemeral_1h_input_tokens": cached.written_1h,
            }
            counts["service_tier"] = self._chat.tier
        return counts


def _block(index: int | None, parts: Iterator[Event]) -> Iterator[Event]:
    """The events of one block: the first of its parts is its beginning, the others are its deltas."""
    place = {} if index is None else {"index": index}
    kind, head = next(parts)
    yield kind, {"type": "content_block_start", **place, "content_block": head}
    for kind, delta in parts:
        yield kind, {"type": "content_block_delta", **place, "delta": delta}
    yield "other", {"type": "content_block_stop", **place}


def _call_head(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.id.removeprefix('call_')}", "name": call.name}
