"""Anthropic Messages: a request as it has it, and its events -> ours. No I/O, no clock.

    decoder = MessagesDecoder(asked=model, key=key)
    for sse in lines.feed(data):
        for event in decoder.feed(sse, read): ...

Sources: the types of the `anthropic` package 2.14, https://platform.claude.com/docs/en/api/messages, and what
llama.cpp's server and gateways send instead. Nothing a service sends makes this raise: an error of the service's is in
`MessagesDecoder.error`, and what cannot be read is left out and counted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any, Final

import msgspec

from holystream_nb.errors import HolystreamError, SetupError, StreamInterrupted
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.facts import Facts
from holystream_nb.providers.values import Provider
from holystream_nb.wire.complaints import Complaint, complaint_in, complaint_of, not_a_stream, stream_error
from holystream_nb.wire.endings import word_in
from holystream_nb.wire.format import Format, echoed
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.sse import ServerSentEvent
from holystream_nb.wire.values import Halves, cost_of, count, parse, string, well_formed

# --- a request --------------------------------------------------------------------------------------------------------

DEFAULT_MAX_TOKENS: Final = (
    (re.compile(r"claude-(?:instant|v?2|3)(?=$|[-.:@])"), 4_096),
    (re.compile(r"claude"), 32_000),
    (re.compile(r""), 8_192),
)
"""The limit on an answer where the user sets none, as the format wants one: of the first pattern in the model's name.

Every Claude from 4 on takes 32,000 (4.5 takes 64,000, most later ones 128,000), every older one 4,096: the table in
packages/anthropic/src/anthropic-language-model.ts of github.com/vercel/ai, November 2026. Of other models that are
served in this format nothing is known; 8,192 are an ordinary answer, and fit into a small local context.
"""

_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("n", "seed", "logprobs", "top_logprobs", "logit_bias"), "chat"),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "modalities", "audio", "prediction"), "chat"),
    **dict.fromkeys(("functions", "function_call", "web_search_options"), "chat"),
    **dict.fromkeys(("verbosity", "store", "prompt_cache_key", "safety_identifier"), "chat"),
    **dict.fromkeys(("instructions", "max_output_tokens", "include", "text", "truncation"), "responses"),
    **dict.fromkeys(("previous_response_id", "background", "reasoning"), "responses"),
}
"""Fields that this format has no place for, and a format that has."""

_REWRITTEN: Final = frozenset(
    {
        *("messages", "system", "max_tokens", "max_completion_tokens", "stop", "stop_sequences", "response_format"),
        *("reasoning_effort", "output_config", "user", "metadata", "tools", "tool_choice", "parallel_tool_calls"),
        *("thinking", "stream_options"),
    }
)
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_ONLY_JSON: Final = "Answer with one JSON object and nothing else."


def body(asked: Mapping[str, Any], provider: Provider) -> dict[str, Any]:
    """A request as this format has it; its own fields, and those of no format, go as they are given.

    `reasoning_effort` is `output_config.effort`, and `none` is `thinking` disabled; any other thinking is asked for by
    the format's own `thinking`, as models differ in which kinds they take. The format has no `json_object`: there a
    sentence in `system` asks for it. SetupError names a field that it has no place for.
    """
    model = asked["model"]
    written: dict[str, Any] = {}
    for name, value in asked.items():
        if name in _ELSEWHERE:
            _check_neutral(name, value)
        elif name not in _REWRITTEN:
            written[name] = value
    system, turns = _conversation(asked["messages"], provider, model)
    system = _blocks(asked.get("system")) + system
    output, thinking = dict(asked.get("output_config") or {}), asked.get("thinking")
    _set_format(asked.get("response_format"), output, system)
    if (effort := asked.get("reasoning_effort")) == "none":
        thinking = thinking or {"type": "disabled"}
    elif effort is not None:
        output.setdefault("effort", effort)
    stop = asked.get("stop")
    metadata = dict(asked.get("metadata") or {})
    if asked.get("user") is not None:
        metadata.setdefault("user_id", asked["user"])
    parts = {
        "thinking": thinking,
        "system": _alone(system),
        "output_config": output,
        "stop_sequences": [*(asked.get("stop_sequences") or ()), *([stop] if isinstance(stop, str) else stop or ())],
        "metadata": metadata,
        "tools": [_tool(tool) for tool in asked.get("tools") or ()],
        "tool_choice": _tool_choice(asked),
    }
    return {
        **written,
        "max_tokens": _limit(asked, thinking),
        "messages": turns,
        **{name: value for name, value in parts.items() if value},
    }


def _check_neutral(name: str, value: Any) -> None:
    """Only what says nothing (None, False, one choice) can be left out."""
    if value is None or value is False or (name == "n" and value == 1):
        return
    raise SetupError(
        f'{name} has no place in the Messages format: leave it out, or ask with wire="{_ELSEWHERE[name]}" '
        "where the service has that."
    )


def _limit(asked: Mapping[str, Any], thinking: Any) -> Any:
    """The user's limit on the answer, else a default that leaves room behind a budget for thinking."""
    for name in ("max_tokens", "max_completion_tokens"):
        if asked.get(name) is not None:
            return asked[name]
    most = next(most for pattern, most in DEFAULT_MAX_TOKENS if pattern.search(asked["model"]))
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return most + budget if type(budget) is int and budget >= most else most


def _set_format(wanted: Any, output: dict[str, Any], system: list[dict[str, Any]]) -> None:
    """Puts the form that the answer is to have where this format has it."""
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    schema = wanted["json_schema"] if kind == "json_schema" and isinstance(wanted.get("json_schema"), Mapping) else {}
    if "schema" in schema:
        output.setdefault("format", {"type": "json_schema", "schema": schema["schema"]})
    elif kind == "json_object":
        system.append({"type": "text", "text": _ONLY_JSON})
    elif kind != "text":
        raise SetupError("response_format must be of type json_schema, with its schema, json_object or text.")


def _alone(system: list[dict[str, Any]]) -> Any:
    """The blocks of a system prompt; as one text where they are nothing more."""
    if any(block.keys() != {"type", "text"} for block in system):
        return system
    return "\n\n".join(block["text"] for block in system)


def _tool(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        return tool
    return {
        "name": function.get("name"),
        **{name: function[name] for name in ("description", "strict") if function.get(name) is not None},
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        **{name: value for name, value in tool.items() if name not in ("type", "function")},
    }


def _tool_choice(asked: Mapping[str, Any]) -> Any:
    wanted = asked.get("tool_choice")
    choice: dict[str, Any]
    if isinstance(wanted, str):
        choice = {"type": {"required": "any"}.get(wanted, wanted)}
    elif isinstance(wanted, Mapping) and isinstance(wanted.get("function"), Mapping):
        choice = {"type": "tool", "name": wanted["function"].get("name")}
    else:
        choice = dict(wanted or {})
    if asked.get("parallel_tool_calls") is False and asked.get("tools") and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return choice


def _conversation(
    messages: Iterable[Mapping[str, Any]], provider: Provider, model: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt's blocks, and the turns: of the user and the assistant alternately, results first in a turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    taken: set[str] = set()
    ids: dict[str, list[str]] = {}
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        if role == "tool":
            role, blocks = "user", [_result(message, ids)]
        elif role == "assistant":
            blocks = _said(message, echoed(message, "messages", provider, model))
            ids |= _own_ids(blocks, taken)
        elif role == "user":
            blocks = _blocks(message.get("content"))
        else:
            raise SetupError(
                f"The Messages format has no role {role!r}: a message is of system, developer, user, assistant or tool."
            )
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if turn["role"] == "user":  # else "`tool_use` ids were found without `tool_result` blocks immediately after"
            turn["content"].sort(key=lambda block: block.get("type") != "tool_result")
    return system, turns


def _blocks(content: Any) -> list[dict[str, Any]]:
    """A content's blocks, without those of blank text, which services refuse."""
    if content is None:
        return []
    blocks = [_block(part) for part in (content if isinstance(content, list | tuple) else [content])]
    return [block for block in blocks if not (block.get("type") == "text" and _is_blank(block.get("text")))]


def _is_blank(text: Any) -> bool:
    return not text or (isinstance(text, str) and text.isspace())


def _block(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        raise SetupError("A message's content must be a text, or a list of parts like {'type': 'text', 'text': '…'}.")
    kind = part.get("type")
    if kind == "input_audio":
        raise SetupError('The Messages format has no audio: leave it out, or ask with wire="chat" where that is taken.')
    if kind not in ("image_url", "file"):
        return dict(part)
    if kind == "image_url":
        given = part.get("image_url")
        block = {"type": "image", "source": _image(given.get("url") if isinstance(given, Mapping) else given)}
    else:
        block = _document(part.get("file"))
    return {**block, "cache_control": part["cache_control"]} if "cache_control" in part else block


def _image(url: Any) -> dict[str, Any]:
    media, data = _data_of(url)
    return {"type": "base64", "media_type": media, "data": data} if media else {"type": "url", "url": url}


def _document(file: Any) -> dict[str, Any]:
    file = file if isinstance(file, Mapping) else {}
    source: dict[str, Any]
    if file.get("file_id"):
        source = {"type": "file", "file_id": file["file_id"]}
    else:
        url = file.get("file_data")
        media, data = _data_of(url)
        if not media:
            source = {"type": "url", "url": url}
        elif media == "application/pdf":
            source = {"type": "base64", "media_type": media, "data": data}
        elif media.startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": _text_of(data)}
        else:
            raise SetupError("The Messages format takes PDF and text as files: convert the file, or give its text.")
    return {"type": "document", "source": source, **({"title": file["filename"]} if file.get("filename") else {})}


def _data_of(url: Any) -> tuple[str, str]:
    """The media type and the base64 of a data: address; both "" for an https: one."""
    if isinstance(url, str) and url[:5].lower() == "data:":
        head, _, data = url.partition(",")
        media = head[5:].partition(";")[0].lower()
        if head.lower().endswith(";base64") and media:
            return media, data
    elif isinstance(url, str) and url[:8].lower().startswith(("https://", "http://")):
        return "", ""
    raise SetupError("An image or a file must be an https: address, or data:TYPE;base64,… with its type.")


def _text_of(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except binascii.Error:
        raise SetupError("A file's data must be base64: data:text/plain;base64,…") from None


def _own_ids(blocks: list[dict[str, Any]], taken: set[str]) -> dict[str, list[str]]:
    """Gives each call an id that no other one in the conversation has, and returns these by those that results name.

    Some services count calls anew in every turn; this format refuses an id that comes again.
    """
    own: dict[str, list[str]] = {}
    for block in blocks:
        if block.get("type") == "tool_use" and isinstance(named := block.get("id"), str):
            id, number = named, 2
            while id in taken:
                id, number = f"{named}_{number}", number + 1
            taken.add(id)
            own.setdefault(named, []).append(id)
            block["id"] = id
    return own


def _result(message: Mapping[str, Any], ids: Mapping[str, list[str]]) -> dict[str, Any]:
    """A tool's result; one that begins with our word for a failure says so. `ids` are the calls' own."""
    blocks = _blocks(message.get("content"))
    id = _id(message.get("tool_call_id"))
    own = ids.get(id) or [id]
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": own.pop(0)}
    if blocks:
        result["content"] = blocks
        if str(blocks[0].get("text")).startswith("Error: "):
            result["is_error"] = True
    return result


def _said(message: Mapping[str, Any], echo: Any) -> list[dict[str, Any]]:
    """What the assistant said and called: as its service wrote it, where the message has that."""
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    if isinstance(echo, list) and all(isinstance(block, Mapping) for block in echo):
        blocks = _rejoined(echo, calls)
        if blocks:
            return blocks
    return _blocks(message.get("content")) + [_call(call) for call in calls]


def _rejoined(echo: list[Mapping[str, Any]], calls: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of an echo, whose calls have the ids that their results name; a call without one is left out."""
    left = iter(calls)
    blocks: list[dict[str, Any]] = []
    for block in echo:
        if block.get("type") != "tool_use":
            blocks.append(dict(block))
        elif (call := next(left, None)) is not None:
            blocks.append({**block, "id": _id(call.get("id"))})
    while blocks and blocks[-1].get("type") in _THOUGHTS:  # no turn may end with one
        blocks.pop()
    return blocks


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    given = function.get("arguments")
    arguments = given if isinstance(given, Mapping) else _object(given)
    return {"type": "tool_use", "id": _id(call.get("id")), "name": function.get("name"), "input": arguments}


def _id(id: Any) -> str:
    """An id as this format takes it; other services' have dots and colons."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", str(id))


def _object(text: Any) -> dict[str, Any]:
    """The JSON object in a text; {} where there is none."""
    try:
        tree = parse(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        tree = None
    return tree if isinstance(tree, dict) else {}


# --- the shape of an event: its frame is typed, its leaves are whatever the service sends -----------------------------


class _Delta(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    partial_json: Any = None
    thinking: Any = None
    signature: Any = None
    citation: Any = None
    stop_reason: Any = None
    stop_details: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    index: int | None = None
    delta: _Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def _fields(kind: type[msgspec.Struct], tree: dict[str, Any]) -> dict[str, Any]:
    return {name: tree[name] for name in kind.__struct_fields__ if name in tree}


def _event(tree: dict[str, Any]) -> _Event:
    """The event in an object whose frame is not as it should be: what does not fit is left out."""
    index, delta = tree.get("index"), tree.get("delta")
    fitting = {
        "index": index if type(index) is int else None,
        "delta": _Delta(**_fields(_Delta, delta)) if isinstance(delta, dict) else None,
    }
    return _Event(**{**_fields(_Event, tree), **fitting})


_DEPTH: Final = 32


def _tidy(value: Any, depth: int = _DEPTH) -> Any:
    """A value as JSON can be written of it again: well-formed texts, and nothing nested deeper than anybody reads."""
    if isinstance(value, str):
        return well_formed(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return None
    if isinstance(value, list):
        return [_tidy(each, depth - 1) for each in value]
    return {well_formed(name): _tidy(each, depth - 1) for name, each in value.items()}


class _Block:
    """A block of the answer's content: as it was begun, and what has come to it."""

    __slots__ = ("call", "citations", "given", "is_open", "kind", "signature", "text")

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.kind = string(given.get("type"))
        self.text = StringIO()  # its text, its thinking, or the JSON of its input
        self.signature: str | None = None
        self.citations: list[Any] = []
        self.call: int | None = None  # of a tool_use: which of the answer's calls it is
        self.is_open = True

    def whole(self) -> dict[str, Any]:
        """The block as a request carries it."""
        block, text = dict(self.given), self.text.getvalue()
        if self.kind in ("text", "thinking"):
            block[self.kind] = text
            if self.signature is not None:
                block["signature"] = self.signature
            if self.citations:
                block["citations"] = self.citations
        elif text:
            block["input"] = _object(text)
        tidy: dict[str, Any] = _tidy(block)
        return tidy


# --- one response -----------------------------------------------------------------------------------------------------


class MessagesDecoder:
    """The state of one answer, as `format.Decoder` says.

    An event is what its JSON's `type` says; `event:` lines may lack, and types that are not known are nothing. The
    answer ends with `message_stop`; all of it has come with a stop reason, too.
    """

    __slots__ = (
        "_asked",
        "_at",
        "_blocks",
        "_calls",
        "_counts",
        "_halves",
        "_has_begun",
        "_key",
        "done",
        "empty",
        "error",
        "facts",
        "finish_reason",
        "id",
    )

    def __init__(self, *, asked: str = "", key: Hidden = (), choices: int = 1) -> None:
        self.id: str | None = None
        self.done = False
        self.finish_reason: str | None = None
        self.error: HolystreamError | None = None
        self.empty = True
        self.facts = Facts()
        self._asked = asked
        self._key = key
        self._has_begun = False  # a message_start has come
        self._blocks: list[_Block] = []
        self._at: dict[int | None, _Block] = {}  # by their index; None is the last begun
        self._calls = 0
        self._counts: dict[str, int] = {}
        self._halves = Halves()

    @property
    def is_complete(self) -> bool:
        return self.done or self.finish_reason is not None

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`.

        `cut` says that it comes from the end of the stream: JSON that breaks off there is no error.
        """
        if self.error is not None or self.done:
            return []
        events: list[Event] = []
        try:
            if event.event == "error":
                self._fail(complaint_in(event.data))
                return events
            try:
                piece = _decode(event.data)
            except ValueError:
                return self._feed_odd(event, read, cut)
            self._take(piece, event.data, read, events)
        except RecursionError:
            self._skip(event.data)
        return self._halves.mended(events) if self._halves else events

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an unstreamed answer, a JSON object with `content`; anything else sets `error`."""
        text = body.decode("utf-8-sig", "replace")
        events: list[Event] = []
        try:
            tree = parse(text)
            if isinstance(tree, dict) and isinstance(tree.get("content"), list) and not tree.get("error"):
                self._start({**tree, "usage": None}, read, events)
                self._stop(_Delta(**_fields(_Delta, tree)), read, events)
                self._count(tree.get("usage"), read, events, is_final=True)
                self.done = True
                return self._halves.mended(events)
            complaint = None if isinstance(tree, str) else complaint_of(tree)
        except (ValueError, RecursionError):
            complaint = None
        if complaint is not None:
            self._fail(complaint)
        else:
            self._refuse(text)
        return []

    def echo(self) -> Any:
        """The turn's blocks, whole and in their order, where one is more than a text or a call.

        None before the end: a block that breaks off is taken by no service.
        """
        if not self.is_complete or all(block.kind in ("text", "tool_use") for block in self._blocks):
            return None
        blocks = [block.whole() for block in self._blocks]
        return [block for block in blocks if not (block.get("type") == "text" and _is_blank(block.get("text")))]

    # one event

    def _take(self, piece: _Event, data: str, read: int, events: list[Event]) -> None:
        kind, delta = piece.type, piece.delta
        if kind == "content_block_delta":
            if delta is None:
                return
            text = delta.text
            if delta.type == "text_delta" and type(text) is str:
                if text:
                    self._block(piece.index, "text").text.write(text)
                    events.append(Text(text, read))
            else:
                self._delta(piece.index, delta, read, events)
        elif kind == "content_block_start":
            if isinstance(piece.content_block, dict):
                self._begin(piece.index, piece.content_block, read, events)
        elif kind == "content_block_stop":
            if (block := self._at.get(piece.index)) is not None:
                self._close(block, read, events)
        elif kind == "message_start":
            message = piece.message if isinstance(piece.message, dict) else {}
            self._start(message, read, events)
        elif kind == "message_delta":
            self.empty = False
            self._stop(delta or _Delta(), read, events)
            self._count(piece.usage, read, events, is_final=True)
            if piece.error:
                self._fail(complaint_of(piece.error))
        elif kind == "message_stop":
            self.empty = False
            self._close_all(read, events)
            self.done = True
        elif piece.error or (isinstance(kind, str) and kind.endswith("error")):
            self._fail(complaint_of(parse(data)))
        elif kind is None and self.empty:
            self._refuse(data)  # JSON of another format

    def _start(self, message: dict[str, Any], read: int, events: list[Event]) -> None:
        """The head of a message, which may have content already (calls that another answer began)."""
        id = well_formed(string(message.get("id")))
        if self._has_begun:
            if id and self.id and id != self.id:
                self.error = StreamInterrupted(
                    "Another answer begins in the middle of this one, as a gateway must have joined the two; "
                    "what had arrived is kept: ask again."
                )
            return
        self._has_begun, self.empty = True, False
        self.id = id or None
        self.facts.model = well_formed(string(message.get("model")))
        content = message.get("content")
        for given in content if isinstance(content, list) else ():
            if isinstance(given, dict):
                self._close(self._begin(None, given, read, events), read, events)
        self._count(message.get("usage"), read, events, is_final=False)

    def _stop(self, delta: _Delta, read: int, events: list[Event]) -> None:
        """A stop reason, and what is said about it."""
        details = delta.stop_details
        if isinstance(details, dict):
            words = [string(details.get(name)) for name in ("category", "explanation")]
            self.facts.detail = well_formed(": ".join(filter(None, words))) or self.facts.detail
        reason = word_in(delta.stop_reason)
        if reason and self.finish_reason is None:
            self._close_all(read, events)
            self.finish_reason = reason
            events.append(Finish(self.finish_reason, read))

    def _count(self, usage: Any, read: int, events: list[Event], *, is_final: bool) -> None:
        """Tokens: what comes later replaces what came before; of the first report the output is no count yet.

        What went into the cache, and came from it, stands beside `input_tokens` here, and in our sum.
        """
        if not isinstance(usage, dict):
            return
        self.facts.service_tier = well_formed(string(usage.get("service_tier"))) or self.facts.service_tier
        inside = (usage.get(name) for name in ("output_tokens_details", "cache_creation"))
        found = {name: each for part in (usage, *inside) if isinstance(part, dict) for name, each in part.items()}
        counts = self._counts
        counts |= {name: number for name in _COUNTS if (number := count(found.get(name))) is not None}
        prompt = sum(counts.get(name, 0) for name in _INPUT) or None
        output = counts.get("output_tokens") if is_final else None
        if not output and self._blocks:
            output = None  # a zero beside an answer is no count
        cost = cost_of(usage)
        if prompt is None and output is None and cost is None:
            return
        events.append(
            Usage(
                prompt_tokens=prompt,
                completion_tokens=output,
                total_tokens=None if prompt is None or output is None else prompt + output,
                reasoning_tokens=counts.get("thinking_tokens"),
                cached_tokens=counts.get("cache_read_input_tokens"),
                read=read,
                cache_write_tokens=counts.get("cache_creation_input_tokens"),
                cost=cost,
                cache_write_1h_tokens=counts.get("ephemeral_1h_input_tokens"),
            )
        )

    # blocks

    def _block(self, index: int | None, kind: str) -> _Block:
        """The block of that index and kind; a new one where a service has not begun it."""
        block = self._at.get(index)
        if block is None or block.kind != kind:
            block = self._enter(index, {"type": kind})
        return block

    def _enter(self, index: int | None, given: dict[str, Any]) -> _Block:
        block = _Block(given)
        self.empty = False
        self._blocks.append(block)
        self._at[index] = self._at[None] = block
        return block

    def _begin(self, index: int | None, given: dict[str, Any], read: int, events: list[Event]) -> _Block:
        block = self._enter(index, given)
        text = string(given.get(block.kind)) if block.kind in ("text", "thinking") else ""
        if text:
            block.text.write(text)
            events.append(Text(text, read) if block.kind == "text" else Reasoning(text, read))
        if block.kind == "text" and isinstance(given.get("citations"), list):
            self.facts.citations += [_tidy(each) for each in given["citations"] if isinstance(each, dict)]
        if block.kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            events.append(ToolCallPart(block.call, string(given.get("id")), string(given.get("name")), "", read))
        return block

    def _delta(self, index: int | None, delta: _Delta, read: int, events: list[Event]) -> None:
        """A delta that is no text."""
        kind = delta.type
        if kind == "thinking_delta":
            if type(delta.thinking) is str and delta.thinking:
                self._block(index, "thinking").text.write(delta.thinking)
                events.append(Reasoning(delta.thinking, read))
        elif kind == "input_json_delta":
            block = self._at.get(index)
            if block is None or block.kind in ("text", "thinking") or type(delta.partial_json) is not str:
                return
            if delta.partial_json:
                block.text.write(delta.partial_json)
                if block.call is not None:
                    events.append(ToolCallPart(block.call, "", "", delta.partial_json, read))
        elif kind == "signature_delta":
            if type(delta.signature) is str:
                self._block(index, "thinking").signature = delta.signature
        elif kind == "citations_delta" and isinstance(delta.citation, dict):
            citation = _tidy(delta.citation)
            self._block(index, "text").citations.append(citation)
            self.facts.citations.append(citation)

    def _close(self, block: _Block, read: int, events: list[Event]) -> None:
        """The end of a block: a call of which no argument came has those it was begun with, or none at all."""
        if not block.is_open:
            return
        block.is_open = False
        if block.call is not None and not block.text.getvalue():
            given = block.given.get("input")
            arguments = given if isinstance(given, str) else msgspec.json.encode(_tidy(given or {})).decode()
            arguments = arguments if arguments.startswith("{") else "{}"
            block.text.write(arguments)
            events.append(ToolCallPart(block.call, "", "", arguments, read))

    def _close_all(self, read: int, events: list[Event]) -> None:
        for block in self._blocks:
            self._close(block, read, events)

    # what is no ordinary event

    def _feed_odd(self, event: ServerSentEvent, read: int, cut: bool) -> list[Event]:
        """Data that the typed decoder refused."""
        data, events = event.data, list[Event]()
        stripped = data.strip()
        if not stripped or event.event == "ping":
            return events
        if stripped == "[DONE]":
            self._close_all(read, events)
            self.done = True
            return events
        try:
            tree = parse(data)
        except ValueError:
            if not (cut and (stripped.startswith("{") or "[DONE]".startswith(stripped))):
                self._skip(data)
            return events
        if isinstance(tree, dict):
            self._take(_event(tree), data, read, events)
        else:
            self._skip(data)
        return self._halves.mended(events)

    def _skip(self, data: str) -> None:
        """A piece that cannot be read ends nothing that has begun."""
        if self.empty:
            self._refuse(data)
        else:
            self.facts.unreadable += 1

    def _fail(self, complaint: Complaint | None) -> None:
        self.error = stream_error(complaint or Complaint(), self._asked, self._key, begun=not self.empty)

    def _refuse(self, text: str) -> None:
        self.error = not_a_stream(text, self._key, "an answer in the Messages format")


_INPUT: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_COUNTS: Final = (*_INPUT, "output_tokens", "thinking_tokens", "ephemeral_1h_input_tokens")

MESSAGES: Final = Format("messages", "/messages", {"anthropic-version": "2023-06-01"}, body, MessagesDecoder)
