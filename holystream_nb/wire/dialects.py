"""Chunk JSON -> events: the OpenAI-compatible format as some 30 services really send it. No I/O, no clock.

    chunks = ChunkDecoder(asked=model, key=key)
    for sse in decoder.feed(data):
        for event in chunks.feed(sse, read): ...
    for sse in decoder.close():
        for event in chunks.feed(sse, read, cut=True): ...
    error = chunks.error or stray_error(decoder.ignored, empty=chunks.empty, asked=model, key=key)

Source of the format: https://platform.openai.com/docs/api-reference/chat-streaming. Nothing a service sends makes this
raise: what cannot be read ends in `ChunkDecoder.error`, after the events that came before it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from holystream_nb.errors import (
    BadRequest,
    HolystreamError,
    KeyRefused,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    UnknownModel,
)
from holystream_nb.events import Event, Finish, OtherChoice, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.wire.sse import ServerSentEvent

# --- the shape of a chunk: its frame is typed, its leaves are whatever the service sends ------------------------------


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


class _NamedChunk(_Chunk, gc=False):
    id: Any = None
    model: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_named_chunk = msgspec.json.Decoder(_NamedChunk).decode


def _parse(text: str | bytes) -> Any:
    """Any JSON value, also what only Python's parser takes: NaN, raw control characters, half surrogate pairs.

    Raises ValueError or RecursionError.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text, strict=False)


def _fields(kind: type[msgspec.Struct], tree: dict[str, Any]) -> dict[str, Any]:
    return {name: tree[name] for name in kind.__struct_fields__ if name in tree}


def _chunk(tree: dict[str, Any]) -> _NamedChunk:
    """The chunk in an object whose frame is not as it should be: what does not fit is left out."""
    choices = tree.get("choices")
    if isinstance(choices, dict):
        choices = [choices]
    kept = [_choice(choice) for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else None
    return _NamedChunk(**{**_fields(_NamedChunk, tree), "choices": kept})


def _choice(tree: dict[str, Any]) -> _Choice:
    parts = {name: tree.get(name) for name in ("delta", "message")}
    deltas = {name: _Delta(**_fields(_Delta, part)) if isinstance(part, dict) else None for name, part in parts.items()}
    return _Choice(**{**_fields(_Choice, tree), **deltas})


# --- text and counts in their many forms ------------------------------------------------------------------------------


def _flat(value: Any) -> str:
    """The text in a string, a part, or a list of either."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_flat, value))
    if isinstance(value, dict):
        for name in ("text", "thinking", "reasoning", "summary", "refusal", "content"):
            text = _flat(value.get(name))
            if text:
                return text
    return ""


def _channels(delta: _Delta) -> tuple[str, str]:
    """The reasoning and the text of a delta or a message; the reasoning once, in however many fields it comes."""
    reasoning = _flat(delta.reasoning_content) or _flat(delta.reasoning) or _flat(delta.reasoning_details)
    content = delta.content
    if isinstance(content, str):
        return reasoning, content + _flat(delta.refusal)
    thoughts, text = "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thoughts += _flat(part)
        else:
            text += _flat(part)
    return reasoning or thoughts, text + _flat(delta.refusal)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _detail(tree: dict[str, Any], details: str, name: str) -> int | None:
    part = tree.get(details)
    count = _count(part.get(name)) if isinstance(part, dict) else None
    return _count(tree.get(name)) if count is None else count


def _usage(tree: Any, read: int) -> Usage | None:
    """The usage in an object; None if it holds no count.

    Some services (xAI) count reasoning beside `completion_tokens` and not within: their total tells, and it is added.
    """
    if not isinstance(tree, dict):
        return None
    prompt, completion = _count(tree.get("prompt_tokens")), _count(tree.get("completion_tokens"))
    total = _count(tree.get("total_tokens"))
    reasoning = _detail(tree, "completion_tokens_details", "reasoning_tokens")
    cached = _detail(tree, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = _count(tree.get("prompt_cache_hit_tokens"))
    if prompt is None and completion is None and total is None and reasoning is None and cached is None:
        return None
    if reasoning and prompt is not None and completion is not None and total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(prompt, completion, total, reasoning, cached, True, read)


def _well_formed(text: str) -> str:
    """The text with its surrogate pairs joined, and a half one replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- one response -----------------------------------------------------------------------------------------------------


class _Call:
    """A tool call as far as it has come."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object, so that nothing can follow."""
        text = "".join(self.arguments)
        if not text.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(text), dict)
        except (ValueError, RecursionError):
            return False


class ChunkDecoder:
    """The state of one response: call `feed` with each server-sent event, or `whole` once with an unstreamed body.

    `id` and `model` are the chunks' own; `done` says that the service ended the stream itself (`[DONE]`, or a whole
    body); `finish_reason` is the first choice's, in the service's word. `error` is set when the stream carried an error
    or something that is no chunk: the events before it have been returned, and none comes after it. `empty` says that
    no chunk with choices has come.

    `asked` is the model that was asked for, named in messages; `key` is what they must never contain.
    """

    __slots__ = (
        "_asked",
        "_by_id",
        "_by_index",
        "_calls",
        "_decode",
        "_halves",
        "_key",
        "_said",
        "_spoken",
        "done",
        "empty",
        "error",
        "finish_reason",
        "id",
        "model",
    )

    def __init__(self, *, asked: str = "", key: str = "") -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.done = False
        self.finish_reason: str | None = None
        self.error: HolystreamError | None = None
        self.empty = True
        self._asked = asked
        self._key = key
        self._decode: Any = _decode_named_chunk  # until id and model are known: they take a third of a chunk's time
        self._spoken = False  # a delta has brought output
        self._said: dict[type[Text | Reasoning], str] = {}  # what `message` brought where there are no deltas
        self._halves: dict[type[Text | Reasoning], str] = {}  # half a surrogate pair at the end of a chunk's text
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`.

        `cut` says that it comes from `Decoder.close`: the stream ended in it, so JSON that breaks off there is left out
        (the answer is truncated) and is no error.
        """
        if self.error is not None:
            return []
        if event.event != "message":
            if event.event == "error":
                return self._fail(_complaint_in(event.data))
            if event.event in _KEEP_ALIVES:
                return []
        events: list[Event] = []
        try:
            try:
                chunk: _Chunk = self._decode(event.data)
            except ValueError:
                self._feed_odd(event.data, read, cut, events)
            else:
                self._take(chunk, event.data, read, events)
                if self._halves:
                    events = self._mended(events)
        except RecursionError:
            self._refuse(event.data)
        return events

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an unstreamed answer, a JSON object with `choices[].message`; anything else sets `error`."""
        text = body.decode("utf-8-sig", "replace")
        events: list[Event] = []
        try:
            tree = _parse(text)
            chunk = _chunk(tree) if isinstance(tree, dict) else _NamedChunk()
            if chunk.choices:
                self._take(chunk, text, read, events)
                self.done = True
                return self._mended(events)
            complaint = None if isinstance(tree, str) else _complaint(tree)
        except (ValueError, RecursionError):
            complaint = None
        return self._fail(complaint) if complaint is not None else self._refuse(text)

    # one chunk

    def _take(self, chunk: _Chunk, data: str, read: int, events: list[Event]) -> None:
        if isinstance(chunk, _NamedChunk):
            self._name(chunk)
        usage = chunk.usage
        error = chunk.error
        choices = chunk.choices
        if choices is not None:
            self.empty = False
        if choices:
            for position, choice in enumerate(choices):
                index = choice.index if type(choice.index) is int else position
                if index == 0:
                    self._answer(choice, read, events)
                else:
                    text = _channels(choice.delta or choice.message or _Delta())[1]
                    if text:
                        events.append(OtherChoice(index, text, read))
                usage = usage or choice.usage
                error = error or choice.error
        elif choices is None and not usage and not error:
            error = _bare_error(data)
        if chunk.x_groq and isinstance(chunk.x_groq, dict):
            usage = usage or chunk.x_groq.get("usage")
            error = error or chunk.x_groq.get("error")
        if usage:
            counts = _usage(usage, read)
            if counts is not None:
                events.append(counts)
        if error:
            self._fail(_complaint(error))

    def _name(self, chunk: _NamedChunk) -> None:
        self.id = self.id or _well_formed(_string(chunk.id)) or None
        self.model = self.model or _well_formed(_string(chunk.model)) or None
        if self.id and self.model:
            self._decode = _decode_chunk

    def _answer(self, choice: _Choice, read: int, events: list[Event]) -> None:
        """The first choice of a chunk."""
        delta = choice.delta
        reason = choice.finish_reason
        if delta is not None:
            content = delta.content
            if (content is None or type(content) is str) and not (
                delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.refusal
            ):
                if content:
                    events.append(Text(content, read))
                    self._spoken = True
            else:
                reasoning, text = _channels(delta)
                if reasoning:
                    events.append(Reasoning(reasoning, read))
                    self._spoken = True
                if text:
                    events.append(Text(text, read))
                    self._spoken = True
            if delta.tool_calls or delta.function_call:
                self._spoken = True
                self._call_parts(delta, read, events)
        if choice.message is not None and (delta is None or reason) and not self._spoken:
            self._message(choice.message, read, events)
        if reason and type(reason) is str and self.finish_reason is None:
            self.finish_reason = _well_formed(reason)
            events.append(Finish(self.finish_reason, read))

    def _message(self, message: _Delta, read: int, events: list[Event]) -> None:
        """A `message` where no delta spoke: the whole answer, or the whole so far, of which only the rest is new."""
        reasoning, text = _channels(message)
        kinds: tuple[tuple[type[Reasoning | Text], str], ...] = ((Reasoning, reasoning), (Text, text))
        for kind, said in kinds:
            before = self._said.get(kind, "")
            new = said.removeprefix(before)
            if new:
                events.append(kind(new, read))
                self._said[kind] = said if len(new) < len(said) else before + said
        if not self._calls:
            calls = message.tool_calls
            if isinstance(calls, list):  # here they have no index, and each is whole
                message.tool_calls = [{**part, "index": i} for i, part in enumerate(calls) if isinstance(part, dict)]
            self._call_parts(message, read, events)

    # tool calls

    def _call_parts(self, delta: _Delta, read: int, events: list[Event]) -> None:
        calls = delta.tool_calls
        if not calls and delta.function_call:
            calls = [{"function": delta.function_call}]
        for part in calls if isinstance(calls, list) else [calls]:
            if not isinstance(part, dict):
                continue
            function = part.get("function")
            if not isinstance(function, dict):
                function = part
            arguments = function.get("arguments")
            if not isinstance(arguments, str):
                arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
            event = self._call_part(
                part.get("index"), _string(part.get("id")), _string(function.get("name")), arguments, read
            )
            if event.id or event.name or event.arguments:
                events.append(event)

    def _call_part(self, index: Any, id: str, name: str, arguments: str, read: int) -> ToolCallPart:
        """The part of a call, with `id` and `name` only where they are new."""
        call = self._call(index, id, name, arguments)
        if type(index) is int:
            self._by_index[index] = call
        new_id = "" if call.id else id
        new_name = "" if call.name else name
        call.id = call.id or id
        call.name = call.name or name
        if id:
            self._by_id[id] = call
        if arguments:
            call.arguments.append(arguments)
        return ToolCallPart(call.index, new_id, new_name, arguments, read)

    def _call(self, index: Any, id: str, name: str, arguments: str) -> _Call:
        """The call that a part belongs to, or a new one.

        Indexes may start anywhere, be missing, or be 0 for every call; ids may be missing, "", the same for every part,
        or another one for every part; the name may come with every part.
        """
        numbered = type(index) is int
        call = self._by_index.get(index) if numbered else self._calls[-1] if self._calls else None
        known = self._by_id.get(id) if id else None
        if known is not None and not (numbered and call is None and name):
            same = not (name and known.name and name != known.name)
            return known if same else self._new_call()
        if call is None:
            return self._new_call() if id or name or not self._calls else self._calls[-1]
        if id and call.id:  # and they differ: a new call says its name, another id alone does not make one
            return self._new_call() if name or not numbered else call
        if name and call.name and (name != call.name or (arguments.lstrip().startswith("{") and call.is_whole())):
            return self._new_call()
        return call

    def _new_call(self) -> _Call:
        self._calls.append(_Call(len(self._calls)))
        return self._calls[-1]

    # what is no ordinary chunk

    def _feed_odd(self, data: str, read: int, cut: bool, events: list[Event]) -> None:
        """Data that the typed decoder refused."""
        stripped = data.strip()
        if stripped == "[DONE]":
            self.done = True
            return
        if not stripped:
            return
        try:
            tree = _parse(data)
        except ValueError:
            broken_off = cut and (stripped.startswith("{") or "[DONE]".startswith(stripped))
            if not (broken_off or self.done):
                self._refuse(data)
            return
        if isinstance(tree, dict):
            self._take(_chunk(tree), data, read, events)
            events[:] = self._mended(events)
        elif isinstance(tree, list) and tree and isinstance(tree[0], dict) and tree[0].get("error"):
            self._fail(_complaint(tree))
        else:
            self._refuse(data)

    def _mended(self, events: list[Event]) -> list[Event]:
        """The events with well-formed text: a surrogate pair cut in two by the chunks is joined."""
        mended: list[Event] = []
        for event in events:
            if isinstance(event, Text | Reasoning):
                kind = type(event)
                text = self._halves.pop(kind, "") + event.text
                if "\ud800" <= text[-1] <= "\udbff":
                    self._halves[kind] = text[-1]
                    text = text[:-1]
                if text:
                    mended.append(kind(_well_formed(text), event.read))
            else:
                fields = msgspec.structs.asdict(event).items()
                texts = {name: _well_formed(value) for name, value in fields if isinstance(value, str)}
                mended.append(msgspec.structs.replace(event, **texts))
        return mended

    def _fail(self, complaint: _Complaint | None) -> list[Event]:
        self.error = _stream_error(complaint or _Complaint(), self._asked, self._key)
        return []

    def _refuse(self, text: str) -> list[Event]:
        self.error = _not_a_stream(text, self._key)
        return []


# --- errors -----------------------------------------------------------------------------------------------------------

_KEEP_ALIVES = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})

_STATUS_OF_WORDS = (
    # what services call an error in `code` or `type`, by the HTTP status that means the same
    ("model_not_found", 404),
    ("invalid_api_key", 401),
    ("authentication", 401),
    ("permission", 403),
    ("rate_limit", 429),
    ("insufficient_quota", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("server_error", 500),
    ("invalid_request", 400),
)
_NO_SUCH_MODEL = re.compile(
    r"model\b.{0,80}\b(not (exist|found)|does not exist)|\b(unknown|no such) model", re.I | re.S
)

_READABLE_CHARACTERS = 10_000
_SAID_CHARACTERS = 300

_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.I)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1[^<>]*>?", re.I | re.S)
_TAG = re.compile(r"</?[a-z!][^<>]*>", re.I)
_TAG_OPENING = re.compile(r"<(?=[a-z/!?])", re.I)
_KEYS = (
    (re.compile(r"\bBearer\s+[^\s\"',;]+", re.I), "Bearer …"),
    (re.compile(r"\b(?:sk|pk|rk|hs|gsk|xai|csk|fw|tgp|pplx|nvapi|hf)[-_][\w*.-]{6,}|\b(?:AIza|eyJ)[\w.-]{16,}"), "…"),
    (re.compile(r"(api[-_ ]?key(?: provided)?[\"']?\s*[:=]\s*[\"']?)(?=\S*\d|\S{16})[^\s\"',;}]{4,}", re.I), r"\1…"),
    (re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{24,}\b"), "…"),
)


class _Complaint(msgspec.Struct, frozen=True):
    """What a service says is wrong, in its own words."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    status: int | None = None


def _complaint(tree: Any, depth: int = 4) -> _Complaint | None:
    """The complaint in a JSON value of any of the shapes in use; None if there is none to find.

    Shapes: {"error": {"message", "type", "code"}}, {"error": "text"}, {"message"}, {"detail": "text"}, {"detail":
    [{"loc", "msg"}]}, {"errors": […]}, [{"error": …}], "text".
    """
    if isinstance(tree, str):
        return _Complaint(message=tree) if tree.strip() else None
    if not depth:
        return None
    if isinstance(tree, list):
        inner = [found for part in tree[:5] if (found := _complaint(part, depth - 1))]
        if not inner:
            return None
        return msgspec.structs.replace(inner[0], message="; ".join(part.message for part in inner if part.message))
    if not isinstance(tree, dict):
        return None
    found = None
    for name in ("error", "errors", "message", "detail", "msg", "error_description", "title"):
        if found is None or not found.message:
            found = _complaint(tree.get(name), depth - 1) or found
    code, kind = _word(tree.get("code")), _word(tree.get("type"))
    statuses = (_http_status(tree.get(name)) for name in ("status", "status_code", "code"))
    status = next((status for status in statuses if status), None)
    if found is None and code is None and kind is None and status is None:
        return None
    found = found or _Complaint()
    where = tree.get("loc")
    path = ".".join(str(step) for step in where if isinstance(step, str | int)) if isinstance(where, list) else ""
    return _Complaint(
        f"{path}: {found.message}" if path and found.message else found.message,
        found.code or code,
        found.type or kind,
        found.status or status,
    )


def _complaint_in(text: str) -> _Complaint:
    try:
        return _complaint(_parse(text)) or _Complaint(message=text)
    except (ValueError, RecursionError):
        return _Complaint(message=text)


def _bare_error(data: str) -> Any:
    """The error that a chunk without choices is as a whole; None if it is none."""
    try:
        tree = _parse(data)
    except ValueError:
        return None
    named = "error" in (tree.get("object"), tree.get("type"))
    coded = tree.get("code") not in (None, "", 0, "0", 200, "200") and isinstance(tree.get("message"), str)
    return tree if named or coded else None


def _word(value: Any) -> str | None:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _http_status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def redact(text: str, key: str = "") -> str:
    """The text without the key, and without anything else that looks like one: services echo keys."""
    if len(key) >= 6:  # shorter ones are placeholders of local services, and everyday words
        text = text.replace(key, "…")
    for pattern, replacement in _KEYS:
        text = pattern.sub(replacement, text)
    return text


def _excerpt(text: str, limit: int, key: str) -> str:
    """The readable beginning of a text: one line, no keys, no tags, no control characters, an HTML page's title."""
    text = text[:_READABLE_CHARACTERS]
    title = _TITLE.search(text)
    if title and title[1].strip():
        text = title[1]
    text = _TAG.sub(" ", _UNSEEN.sub(" ", redact(text, key)))
    text = _TAG_OPENING.sub("", text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _service_error(
    status: int | None, complaint: _Complaint, *, model: str, retry_after: float | None, key: str
) -> ServiceError:
    kind = _kind(status, complaint)
    wait = f"wait {math.ceil(retry_after)} s and" if retry_after is not None else "wait a little and"
    named = f'the model "{model}"' if model else "the model"
    kinds: dict[int, tuple[type[ServiceError], str]] = {
        400: (BadRequest, "refused the request{}: change what it names"),
        413: (BadRequest, "refused the request{} as too long: shorten the prompt"),
        422: (BadRequest, "refused the request{}: change what it names"),
        401: (KeyRefused, "refused the key{}: check that it is right, still valid, and meant for this address"),
        402: (ServiceError, "wants to be paid{}: check the account's credit"),
        403: (KeyRefused, f"denied access{{}}: check that this key and its account may use {named}"),
        404: (UnknownModel, f"does not know {named}{{}}: check the model's name and the base URL"),
        429: (RateLimited, f"takes no more requests for now{{}}: {wait} try again, or check the account's quota"),
    }
    failed = (ServiceUnavailable, f"is overloaded or broken{{}}: {wait} try again")
    other = (ServiceError, "answered with an error{}: try again, and check the request and the base URL")
    error, sentence = failed if 500 <= kind <= 599 else kinds.get(kind, other)
    message = f"The service {sentence.format(f' ({status})' if status else '')}"
    said = _excerpt(complaint.message, _SAID_CHARACTERS, key)
    return error(
        f'{message}; it said: "{said}"' if said else f"{message}.",
        status=status,
        code=redact(complaint.code, key) if complaint.code else None,
        type=redact(complaint.type, key) if complaint.type else None,
        retry_after=retry_after,
    )


def _kind(status: int | None, complaint: _Complaint) -> int:
    """The HTTP status that says what an error is: the service's own, unless its words say more."""
    words = f"{complaint.code} {complaint.type}".lower()
    if status in (None, 400):
        if "model_not_found" in words or _NO_SUCH_MODEL.search(complaint.message[:_SAID_CHARACTERS]):
            return 404
        if status is None:
            return next((meant for word, meant in _STATUS_OF_WORDS if word in words), 0)
    return status or 0


def _stream_error(complaint: _Complaint, asked: str, key: str) -> ServiceError:
    """An error inside a stream; its status is the one it names itself, None if none."""
    return _service_error(complaint.status, complaint, model=asked, retry_after=None, key=key)


def _not_a_stream(text: str, key: str) -> NotAStream:
    excerpt = _excerpt(text, 80, key)
    begins = f'it begins with "{excerpt}"' if excerpt else "it is empty"
    return NotAStream(f"What arrived is not a chat completion, {begins}: check the base URL, or try again.")


def stray_error(
    ignored: Sequence[tuple[str, str]], *, empty: bool = False, asked: str = "", key: str = ""
) -> HolystreamError | None:
    """The error in the lines of a stream that were no fields (`Decoder.ignored`), to be asked for at its end.

    An `error:` line is the service's error. If the stream was `empty`, other lines say that it was no event stream.
    """
    for name, value in ignored:
        if name == "error":
            return _stream_error(_complaint_in(value), asked, key)
    if not (empty and ignored):
        return None
    return _not_a_stream("\n".join(f"{name}:{value}" if value else name for name, value in ignored), key)


def service_error(
    status: int, headers: Mapping[str, str], body: bytes, *, model: str, now: float, key: str = ""
) -> ServiceError:
    """The error that an HTTP answer is: its class by the status, its message one sentence that says what to do.

    `model` is the one asked for, `now` the wall time in seconds since 1970 (for a `Retry-After` that is a date), `key`
    what the message must not contain. At most 300 characters of the body are quoted, without tags and keys.
    """
    complaint = _complaint_in(body.decode("utf-8-sig", "replace"))
    return _service_error(status, complaint, model=model, retry_after=_retry_after(headers, now), key=key)


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait, from a number or a date (RFC 9110, 10.2.3); None where the header is missing or neither."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def refuses_include_usage(status: int, body: bytes) -> bool:
    """Whether a refusal complains about `stream_options.include_usage`: the request is worth sending without it."""
    return status in (400, 422) and (b"stream_options" in body or b"include_usage" in body)
