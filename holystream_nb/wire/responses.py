"""OpenAI's Responses: the events of an answer read. No I/O, no clock. `responses_request` has the other half.

    decoder = ResponsesDecoder(asked=model, key=key)
    for sse in lines.feed(data):
        for event in decoder.feed(sse, read): ...

Some twenty services speak it, each a little otherwise: events go by their JSON `type`, unknown ones are ignored, the
end is a terminal event (`[DONE]` may follow, or stand in its place), and the output is what the deltas and
`output_item.done` brought, as `response.completed` may come without any. Items go by `output_index`, else by their id.
Source: https://platform.openai.com/docs/api-reference/responses-streaming. Nothing a service sends makes this raise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from holystream_nb.events import Event, Finish, Reasoning, Text, Usage
from holystream_nb.wire.calls import Calls
from holystream_nb.wire.complaints import Complaint, complaint_in, complaint_of, not_a_stream, seconds, stream_error
from holystream_nb.wire.endings import word_in
from holystream_nb.wire.format import Format, State
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.responses_request import body
from holystream_nb.wire.sse import ServerSentEvent
from holystream_nb.wire.values import flat, parse, string, usage_of, well_formed


class _Piece(msgspec.Struct, gc=False):
    """What nearly every event is: a delta."""

    type: Any = None
    delta: Any = None


class _Event(_Piece, gc=False):
    item_id: Any = None
    output_index: Any = None
    item: Any = None
    response: Any = None
    name: Any = None
    arguments: Any = None
    annotation: Any = None
    timings: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
    status: Any = None
    headers: Any = None
    steer: Any = None


_decode_piece = msgspec.json.Decoder(_Piece).decode
_decode_event = msgspec.json.Decoder(_Event).decode

_TEXT: Final = "response.output_text.delta"
_SUMMARY: Final = "response.reasoning_summary_text.delta"
_THOUGHTS: Final = ("response.reasoning_text.delta", _SUMMARY)
_ENDS: Final = frozenset(f"response.{word}" for word in ("completed", "incomplete", "failed", "cancelled", "done"))
_UNFINISHED: Final = frozenset({"incomplete", "failed", "cancelled"})
_BEGUN: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_PARAGRAPH: Final = "\n\n"
_WITHOUT_INDEX: Final = 1 << 20
"""From here on items are numbered whose service numbers none."""


class ResponsesDecoder(State):
    """The state of one answer: call `feed` with each server-sent event, `take` with each message of a socket, or
    `whole` once with an unstreamed body.

    `id` is the response's own; `done` says that the service ended the answer; `finish_reason` is `stop`, `tool_calls`
    where it has calls, or the service's word for why it is incomplete; it is `length` where all the tokens of the
    `limit` came, whatever the service says (llama.cpp: `completed`). `is_complete` says that all has come; the rest is
    as in `Decoder`. `asked` is the model that was asked for, named in messages; `key` is what they must never contain.

    On a socket an answer may be steered: `steer` says that input was sent. An answer that input ends goes on in the
    next response, and is one. `notices` are words for the reader about it.
    """

    __slots__ = (
        "_accepted",
        "_before",
        "_calls",
        "_cited",
        "_has_text",
        "_has_thoughts",
        "_inputs",
        "_items",
        "_keys",
        "_limit",
        "_numbers",
        "_paragraph",
        "_refusal",
        "_source",
        "_spent",
        "_spoke",
        "_thinks_anew",
        "_thought",
        "_waiting",
        "_waits",
        "notices",
    )

    def __init__(self, *, asked: str = "", key: Hidden = (), choices: int = 1, limit: int | None = None) -> None:
        super().__init__(asked, key)
        self.notices: list[str] = []
        self._limit = limit
        self._calls = Calls()
        self._numbers: dict[str, int] = {}  # places of items by their ids
        # What deltas brought: of the answer, and of the item they are in.
        self._has_text = self._has_thoughts = False
        self._spoke = self._thought = False
        self._paragraph = self._thinks_anew = False  # the next piece begins a message, or a part of reasoning
        self._source = ""  # the events that this item's reasoning comes in: some services send it in two kinds
        self._refusal: list[str] = []
        self._cited = 0  # citations of messages that are complete
        self._items: list[tuple[int, dict[str, Any]]] = []  # that are complete, each with its place
        self._keys: set[tuple[Any, ...]] = set()
        # Steering: input that was sent and is not yet part of a response, and what came before this one.
        self._inputs: list[Any] = []
        self._accepted = 0
        self._waiting: list[Any] = []  # input that the service keeps until the calls have results
        self._waits = False  # the response has ended, the answer may have not
        self._before: list[dict[str, Any]] = []
        self._spent: Usage | None = None

    @property
    def is_complete(self) -> bool:
        return self.done or self._waits

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`.

        `cut` says that the stream ended in it, so JSON that breaks off there is left out (the answer is truncated).
        """
        return self.take(event.data, read, named=event.event, cut=cut)

    def take(self, data: str | bytes, read: int, *, named: str = "message", cut: bool = False) -> list[Event]:
        """The events of one JSON object; `named` is the type that stands beside it, if any."""
        if self.done or self.error is not None:
            return []
        try:
            piece: _Piece = _decode_piece(data)
            if piece.type == _TEXT and type(piece.delta) is str and not self._halves:
                return self._text(piece.delta, read)
            if self._source and piece.type == self._source and type(piece.delta) is str and not self._halves:
                return self._reasoning(self._source, piece.delta, read)
            events = self._taken(_decode_event(data), named, data, read)
        except (ValueError, RecursionError):
            return self._take_odd(data, named, read, cut)
        return self._halves.mended(events) if self._halves else events

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an unstreamed answer, a response with its `output`; anything else sets `error`."""
        text = body.decode("utf-8-sig", "replace")
        try:
            tree = _whole(parse(text))
            if isinstance(tree, dict) and isinstance(tree.get("output"), list):
                self.empty = False
                return self._end("response.done", tree, read)
            complaint = None if isinstance(tree, str) else complaint_of(tree)
        except (ValueError, RecursionError):
            complaint = None
        if complaint is None:
            self.error = not_a_stream(text, self._key, "an answer in the Responses format")
            return []
        return self._fail(complaint)

    def echo(self) -> Any:
        """The output's items, where text and calls do not say them: reasoning, phases, what the service ran itself."""
        if self.error is not None or not self.is_complete:
            return None
        items = [*self._before, *self._output(), *_of_user(self._waiting)]
        return items if any(_is_more_than_text(item) for item in items) else None

    def steer(self, given: Any) -> None:
        """Input was sent into the running answer."""
        self._inputs.append(given)

    # one event

    def _take_odd(self, data: str | bytes, named: str, read: int, cut: bool) -> list[Event]:
        """Data that the typed decoder refused."""
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        stripped = text.strip()
        if stripped == "[DONE]":
            return self._finish(read) if self._waits else self._ended()
        try:
            tree = parse(text) if stripped else None
            if isinstance(tree, dict):
                tree = tree if "delta" in tree else _whole(tree)  # a half in a delta may have its other in the next
                event = _Event(**{name: tree[name] for name in _Event.__struct_fields__ if name in tree})
                return self._halves.mended(self._taken(event, named, text, read))
        except (ValueError, RecursionError):
            pass
        if named == "error":
            return self._fail(complaint_in(text))
        broken_off = cut and (stripped.startswith("{") or "[DONE]".startswith(stripped))
        return [] if broken_off or not stripped or named not in ("message", *_KNOWN) else self._unreadable(text)

    def _ended(self) -> list[Event]:
        self.done = True
        return []

    def _unreadable(self, text: str | bytes) -> list[Event]:
        """A piece that is none of this format's: the answer's beginning, or one to be left out."""
        if self.empty:
            text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            self.error = not_a_stream(text, self._key, "an answer in the Responses format")
        else:
            self.facts.unreadable += 1
        return []

    def _taken(self, event: _Event, named: str, data: str | bytes, read: int) -> list[Event]:
        kind = event.type if type(event.type) is str else "" if named == "message" else named
        if kind == "error" or (event.error and not kind):
            return self._fail(_complaint(event), _wait(event))
        if not kind.startswith("response."):
            return self._unreadable(data) if not kind and self.empty else []  # JSON of another format
        self.empty = False
        if kind == _TEXT:
            return self._text(flat(event.delta), read)
        if kind in _THOUGHTS:
            return self._reasoning(kind, flat(event.delta), read)
        if kind.startswith("response.function_call_arguments."):
            return self._arguments(event, kind, read)
        if kind == "response.output_item.added":
            return self._added(event, read)
        if kind == "response.output_item.done" and isinstance(event.item, dict):
            return self._item(event.item, event.output_index, read)
        if kind == "response.refusal.delta":
            self._refusal.append(flat(event.delta))
            self.facts.refusal = self.facts.refusal or well_formed(self._refusal[0])
            return self._text(self._refusal[-1], read)
        if kind == "response.reasoning_summary_part.added":
            self._thinks_anew = self._has_thoughts
        elif kind == "response.output_text.annotation.added" and isinstance(event.annotation, dict):
            self.facts.citations.append(event.annotation)
        elif kind in _BEGUN and isinstance(event.response, dict):
            self._begin(event.response)
        elif kind in _ENDS:
            self.facts.timings = event.timings if isinstance(event.timings, dict) else self.facts.timings
            return self._end(kind, event.response if isinstance(event.response, dict) else {}, read)
        elif kind.startswith("response.steer."):
            return self._steered(event, kind.rpartition(".")[2], read)
        return []

    def _text(self, piece: str, read: int) -> list[Event]:
        if not piece:
            return []
        self.empty = False
        self._spoke = self._has_text = True
        if self._paragraph:
            self._paragraph = False
            piece = _PARAGRAPH + piece
        return [Text(piece, read)]

    def _reasoning(self, kind: str, piece: str, read: int) -> list[Event]:
        if not piece or kind != (self._source or kind):
            return []
        self._source = kind
        self._thought = self._has_thoughts = True
        if self._thinks_anew:
            self._thinks_anew = False
            piece = _PARAGRAPH + piece
        return [Reasoning(piece, read)]

    # items

    def _added(self, event: _Event, read: int) -> list[Event]:
        item = event.item if isinstance(event.item, dict) else {}
        kind, id = item.get("type"), string(item.get("id"))
        self._place(event.output_index, id)
        if kind == "message":
            self._paragraph, self._spoke = self._has_text, False
        elif kind == "reasoning":
            self._thinks_anew, self._thought, self._source = self._has_thoughts, False, ""
        elif kind == "function_call":
            return self._call(event.output_index, id, item, None, read)
        return []

    def _item(self, item: dict[str, Any], index: Any, read: int, *, is_late: bool = False) -> list[Event]:
        """A complete item: what its deltas did not bring. `is_late` says that it comes with the end of the answer."""
        kind, id = item.get("type"), string(item.get("id"))
        place = self._place(index, id)
        key = (kind, place, string(item.get("call_id")))
        if key in self._keys:
            return []
        self._keys.add(key)
        self._items.append((place, item))
        if kind == "message":
            spoke, self._spoke = self._has_text if is_late else self._spoke, False
            said = self._message(item)
            return [] if spoke else self._text(said, read)
        if kind == "reasoning":
            thought, self._thought = self._has_thoughts if is_late else self._thought, False
            parts = [flat(part) for part in _list(item.get("summary")) or _list(item.get("content"))]
            self._source = ""
            return [] if thought else self._reasoning(_SUMMARY, _PARAGRAPH.join(filter(None, parts)), read)
        if kind == "function_call":
            # What comes this late is known by the call's own id, if at all: not every service counts the output alike.
            index, id = (None, "") if is_late else (index, id)
            return self._call(index, id, item, item.get("arguments"), read)
        if kind == "image_generation_call" and isinstance(item.get("result"), str):
            form = string(item.get("output_format")) or "png"
            self.facts.images.append(f"data:image/{form};base64,{item['result']}")
        return []

    def _message(self, item: dict[str, Any]) -> str:
        """The text of a message; what else it says goes to the facts."""
        parts = [part for part in _list(item.get("content")) if isinstance(part, dict)]
        refusals = [flat(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
        if refusals:
            self.facts.refusal = "".join(refusals)
        cited = [each for part in parts for each in _list(part.get("annotations")) if isinstance(each, dict)]
        if cited:  # those that came before are among them
            self.facts.citations[self._cited :] = cited
        self._cited = len(self.facts.citations)
        self.facts.logprobs += [
            each for part in parts for each in _list(part.get("logprobs")) if isinstance(each, dict)
        ]
        return "".join(flat(part.get("text")) or flat(part.get("refusal")) for part in parts)

    def _arguments(self, event: _Event, kind: str, read: int) -> list[Event]:
        item_id = string(event.item_id)
        if kind.endswith(".delta"):
            piece = flat(event.delta)
            return [self._calls.part(self._number(event.output_index, item_id), "", "", piece, read)] if piece else []
        return self._call(event.output_index, item_id, {"name": event.name}, event.arguments, read)

    def _call(self, index: Any, item_id: str, item: dict[str, Any], arguments: Any, read: int) -> list[Event]:
        """What an item or its end says of a call: name and id, and what the deltas did not bring of its arguments."""
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        id, name = string(item.get("call_id")), string(item.get("name"))
        if not (id or name or arguments):
            return []
        is_known = type(index) is not int and id in self._calls  # whatever its item is called now
        part = self._calls.part(None if is_known else self._number(index, item_id), id, name, "", read)
        call = self._calls[part.index]
        said = "".join(call.arguments)
        rest = arguments[len(said) :] if arguments.startswith(said) else ""
        if rest:
            call.arguments.append(rest)
        return [msgspec.structs.replace(part, arguments=rest)] if part.id or part.name or rest else []

    def _number(self, index: Any, item_id: str) -> int | None:
        return index if type(index) is int else self._numbers.get(item_id)

    def _place(self, index: Any, item_id: str) -> int:
        """Where an item stands in the output: its index, else in the order in which they were named."""
        if type(index) is int:
            place = index
        else:
            place = self._numbers.get(item_id, _WITHOUT_INDEX + len(self._numbers) + len(self._items))
        if item_id:
            self._numbers[item_id] = place
        return place

    # the response

    def _begin(self, response: dict[str, Any]) -> None:
        if self._waits and string(response.get("id")) != self.id:
            self._go_on()
        self._name(response)

    def _name(self, response: dict[str, Any]) -> None:
        self.id = well_formed(string(response.get("id"))) or self.id
        self.facts.model = well_formed(string(response.get("model"))) or self.facts.model
        self.facts.service_tier = well_formed(string(response.get("service_tier"))) or self.facts.service_tier

    def _end(self, kind: str, response: dict[str, Any], read: int) -> list[Event]:
        self._name(response)
        status, own = kind.removeprefix("response."), string(response.get("status"))
        if status == "done" or own in _UNFINISHED:  # vLLM says `completed` also of what is not
            status = own or "completed"
        events: list[Event] = []
        if not self._items:
            for place, item in enumerate(_list(response.get("output"))):
                if isinstance(item, dict):
                    events += self._item(item, place, read, is_late=True)
        if self._refusal and len(self.facts.refusal) < sum(map(len, self._refusal)):
            self.facts.refusal = well_formed("".join(self._refusal))
        usage = _usage(response.get("usage"), read)
        if usage is not None:
            searches = sum(item.get("type") == "web_search_call" for _, item in self._items)
            usage = msgspec.structs.replace(usage, web_searches=searches or None)
            self._spent = usage if self._spent is None else _sum(self._spent, usage)
            events.append(self._spent)
        if status == "failed":
            self._fail(complaint_of(response.get("error")))
            return events
        why = response.get("incomplete_details")
        reason = word_in(why.get("reason")) if isinstance(why, dict) and status == "incomplete" else ""
        self.facts.detail = reason or self.facts.detail
        derived = "tool_calls" if self._calls else "stop"
        if (
            status == "completed"
            and self._limit is not None
            and usage
            and (usage.completion_tokens or 0) >= self._limit
        ):
            derived, self.facts.detail = "length", "the service said completed"
        self.finish_reason = reason or (derived if status == "completed" else word_in(status))
        self._waits = bool(self._inputs) or reason == "steered"
        return events if self._waits else [*events, *self._finish(read)]

    def _finish(self, read: int) -> list[Event]:
        self._waits, self.done = False, True
        return [Finish(self.finish_reason or "stop", read)]

    def _fail(self, complaint: Complaint | None, retry_after: float | None = None) -> list[Event]:
        complaint = complaint or Complaint()
        if complaint.status is None and "not_found" in (complaint.code or "") and "model" not in (complaint.code or ""):
            complaint = msgspec.structs.replace(complaint, status=400)  # it is no model that was not found
        self.error = stream_error(complaint, self._asked, self._key, retry_after, begun=not self.empty)
        return []

    def _output(self) -> list[dict[str, Any]]:
        """The complete items in their order. Reasoning at the end led to nothing, and no service takes it back."""
        items = [item for _, item in sorted(self._items, key=lambda each: each[0])]
        while items and items[-1].get("type") == "reasoning":
            items.pop()
        return items

    # steering

    def _go_on(self) -> None:
        """The next response of a steered answer begins, with the input that was accepted."""
        taken = self._inputs[: self._accepted]
        del self._inputs[: self._accepted]
        self._before += [*self._output(), *_of_user(taken)]
        self._accepted, self._waits, self.finish_reason, self.facts.detail = 0, False, None, ""
        self._paragraph, self._thinks_anew = self._has_text, self._has_thoughts
        self._items.clear()
        self._keys.clear()
        self._numbers.clear()

    def _steered(self, event: _Event, word: str, read: int) -> list[Event]:
        if word == "accepted":
            self._accepted = min(self._accepted + 1, len(self._inputs))
            return []
        if word not in ("failed", "pending") or not self._inputs:
            return []
        given = self._inputs.pop(0 if word == "pending" or self._accepted else -1)
        self._accepted = max(0, self._accepted - 1)
        if word == "pending":
            self._waiting.append(given)
            self.notices.append("the input waits for the results of the calls")
        else:
            error = event.error if isinstance(event.error, dict) else {}
            why = string(error.get("code")).replace("_", " ")[:100]
            self.notices.append(f"the input was not used{why and f': {well_formed(why)}'}")
        self.facts.detail = self.notices[-1]
        is_over = self._waits and not self._inputs and self.finish_reason != "steered"
        return self._finish(read) if is_over else []


_KNOWN: Final = frozenset({_TEXT, *_THOUGHTS, *_ENDS, *_BEGUN})


def _whole(tree: Any) -> Any:
    """The value with well-formed texts: what only Python's parser takes may have halves of characters."""
    return json.loads(well_formed(json.dumps(tree, ensure_ascii=False)))


def _of_user(inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """The items of steering input: each is a text, or a list of messages."""
    lists = [[{"role": "user", "content": each}] if isinstance(each, str) else each for each in inputs]
    return [item for several in lists for item in several]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_more_than_text(item: dict[str, Any]) -> bool:
    if item.get("type") == "function_call":
        return False
    return item.get("type") != "message" or bool(item.get("phase")) or item.get("role") != "assistant"


def _complaint(event: _Event) -> Complaint | None:
    """What an `error` event says: in an `error` of its own as it comes live, or flat as it is documented."""
    names = ("error", "code", "message", "param", "status")
    tree = {name: value for name in names if (value := getattr(event, name)) is not None}
    return complaint_of(tree)


def _wait(event: _Event) -> float | None:
    headers = event.headers if isinstance(event.headers, dict) else {}
    return seconds(str(headers.get("retry-after", "")))


_COMMON: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""Fields of usage by what chat completions call them."""


def _usage(tree: Any, read: int) -> Usage | None:
    if not isinstance(tree, dict):
        return None
    return usage_of({_COMMON.get(name, name): value for name, value in tree.items()}, read)


def _sum(first: Usage, second: Usage) -> Usage:
    """The tokens of two responses that are one answer."""
    both = {}
    for name in ("prompt", "completion", "total", "reasoning", "cached", "cache_write"):
        one, other = getattr(first, f"{name}_tokens"), getattr(second, f"{name}_tokens")
        both[f"{name}_tokens"] = None if one is None or other is None else one + other
    cost = None if first.cost is None or second.cost is None else first.cost + second.cost
    more = {
        name: (getattr(first, name) or 0) + (getattr(second, name) or 0) or None
        for name in ("other_tokens", "web_searches", "prompt_audio_tokens", "completion_audio_tokens")
    }
    return msgspec.structs.replace(second, **both, **more, cost=cost)


RESPONSES: Final = Format("responses", "/responses", {}, body, ResponsesDecoder)
