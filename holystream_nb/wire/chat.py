"""Chunk JSON -> events: the OpenAI-compatible format as some 30 services really send it. No I/O, no clock.

    chunks = ChunkDecoder(asked=model, key=key)
    for sse in decoder.feed(data):
        for event in chunks.feed(sse, read): ...
    for sse in decoder.close():
        for event in chunks.feed(sse, read, cut=True): ...
    error = chunks.error or stray_error(decoder.ignored, empty=chunks.empty, asked=model, key=key)

Source of the format: https://platform.openai.com/docs/api-reference/chat-streaming. Nothing a service sends makes this
raise: what cannot be read ends in `ChunkDecoder.error`, or, in an answer that has begun, is left out and counted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from holystream_nb.errors import HolystreamError
from holystream_nb.events import Event, Finish, OtherChoice, Reasoning, Text
from holystream_nb.providers.values import Provider
from holystream_nb.wire.calls import Calls
from holystream_nb.wire.complaints import Complaint, complaint_in, complaint_of, not_a_stream, stream_error
from holystream_nb.wire.echoes import Gathered, with_echoes
from holystream_nb.wire.endings import word_in
from holystream_nb.wire.format import Format, State
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.sse import ServerSentEvent
from holystream_nb.wire.values import flat, parse, string, usage_of, well_formed

# --- the shape of a chunk: its frame is typed, its leaves are whatever the service sends ------------------------------


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    extra_content: Any = None
    annotations: Any = None
    images: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    native_finish_reason: Any = None
    logprobs: Any = None
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
    service_tier: Any = None
    citations: Any = None
    search_results: Any = None
    timings: Any = None
    time_info: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_named_chunk = msgspec.json.Decoder(_NamedChunk).decode


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


def _channels(delta: _Delta) -> tuple[str, str]:
    """The reasoning and the text of a delta or a message; the reasoning once, in however many fields it comes."""
    reasoning = flat(delta.reasoning_content) or flat(delta.reasoning) or flat(delta.reasoning_details)
    content = delta.content
    if isinstance(content, str):
        return reasoning, content + flat(delta.refusal)
    thoughts, text = "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thoughts += flat(part)
        else:
            text += flat(part)
    return reasoning or thoughts, text + flat(delta.refusal)


# --- one response -----------------------------------------------------------------------------------------------------


class ChunkDecoder(State):
    """The state of one response: call `feed` with each server-sent event, or `whole` once with an unstreamed body.

    `id` is the chunks' own; `done` says that the service ended the stream itself (`[DONE]`, or a whole
    body); `finish_reason` is the first choice's, in the service's word; `is_complete` says that all has come: it is
    done, or every choice that was asked for (`choices`) or seen has finished. `error` is set when the stream carried an
    error or something that is no chunk: the events before it have been returned, and none comes after it. `empty` says
    that no chunk with choices has come.

    `asked` is the model that was asked for, named in messages; `key` is what they must never contain.
    """

    __slots__ = (
        "_calls",
        "_choices",
        "_decode",
        "_gathered",
        "_has_tags",
        "_others",
        "_said",
        "_spoken",
    )

    def __init__(self, *, asked: str = "", key: Hidden = (), choices: int = 1, limit: int | None = None) -> None:
        super().__init__(asked, key)
        self._decode: Any = _decode_named_chunk  # until id and model are known: they take a third of a chunk's time
        self._spoken = False  # a delta has brought output
        self._said: dict[type[Text | Reasoning], str] = {}  # what `message` brought where there are no deltas
        self._calls = Calls()
        self._gathered = Gathered()
        self._has_tags = False  # a thought is marked, and in tags too
        self._choices = choices
        self._others: dict[int, bool] = {}  # further choices that were seen, and whether each has finished

    @property
    def is_complete(self) -> bool:
        if self.done:
            return True
        others = self._others
        return self.finish_reason is not None and len(others) >= self._choices - 1 and all(others.values())

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`.

        `cut` says that it comes from `Decoder.close`: the stream ended in it, so JSON that breaks off there is left out
        (the answer is truncated) and is no error.
        """
        if self.error is not None:
            return []
        if event.event != "message":
            if event.event == "error":
                return self._fail(complaint_in(event.data))
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
                if self._halves.waiting:
                    events = self._halves.mended(events)
        except RecursionError:
            self._skip(event.data)
        return events

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an unstreamed answer, a JSON object with `choices[].message`; anything else sets `error`."""
        text = body.decode("utf-8-sig", "replace")
        events: list[Event] = []
        try:
            tree = parse(text)
            chunk = _chunk(tree) if isinstance(tree, dict) else _NamedChunk()
            if chunk.choices:
                self._take(chunk, text, read, events)
                self.done = True
                return self._halves.mended(events)
            complaint = None if isinstance(tree, str) else complaint_of(tree)
        except (ValueError, RecursionError):
            complaint = None
        return self._fail(complaint) if complaint is not None else self._refuse(text)

    def echo(self) -> Any:
        return self._gathered.echo(self.facts.raw)

    # one chunk

    def _take(self, chunk: _Chunk, data: str, read: int, events: list[Event]) -> None:
        usage = chunk.usage
        error = chunk.error
        choices = chunk.choices
        finished = self.finish_reason
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
                    self._others[index] = self._others.get(index, False) or bool(word_in(choice.finish_reason))
                usage = usage or choice.usage
                error = error or choice.error
        elif choices is None and not usage and not error:
            error = _bare_error(data)
        if isinstance(chunk, _NamedChunk):
            self._name(chunk)
        elif (usage and not choices) or self.finish_reason is not finished:
            self._name_again(data)
        if chunk.x_groq and isinstance(chunk.x_groq, dict):
            if counts := chunk.x_groq.get("usage"):
                usage, self.facts.timings = usage or counts, chunk.x_groq
            error = error or chunk.x_groq.get("error")
        if usage:
            counts = usage_of(usage, read)
            if counts is not None:
                events.append(counts)
        if error:
            self._fail(complaint_of(error))

    def _name(self, chunk: _NamedChunk) -> None:
        facts = self.facts
        self.id = self.id or well_formed(string(chunk.id)) or None
        facts.model = facts.model or well_formed(string(chunk.model))
        facts.service_tier = well_formed(string(chunk.service_tier)) or facts.service_tier
        if isinstance(said := chunk.timings or chunk.time_info, dict):
            facts.timings = said
        if sources := chunk.search_results or chunk.citations:  # all so far, with every chunk (Perplexity)
            facts.citations = _sources(sources)
        if self.id and facts.model:
            self._decode = _decode_chunk

    def _name_again(self, data: str) -> None:
        """What stands only, or again, in the chunk that ends the answer and in the one that counts it."""
        with contextlib.suppress(ValueError):
            self._name(_decode_named_chunk(data))

    def _answer(self, choice: _Choice, read: int, events: list[Event]) -> None:
        """The first choice of a chunk."""
        delta = choice.delta
        reason = choice.finish_reason
        if delta is not None:
            content = delta.content
            if (content is None or type(content) is str) and not (
                delta.reasoning_content
                or delta.reasoning
                or delta.reasoning_details
                or delta.refusal
                or delta.extra_content
                or delta.annotations
                or delta.images
            ):
                if content:
                    events.append(Text(content, read))
                    self._spoken = True
            else:
                reasoning, text = self._beside(delta)
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
        if choice.logprobs:
            self._add_logprobs(choice.logprobs)
        if reason and self.finish_reason is None and (word := word_in(reason)):
            self.finish_reason = word
            self.facts.detail = well_formed(string(choice.native_finish_reason))
            events.append(Finish(self.finish_reason, read))

    def _beside(self, delta: _Delta) -> tuple[str, str]:
        """The reasoning and the text of a delta or a message that brings more than text, of which the rest is kept."""
        reasoning, text = _channels(delta)
        facts, gathered = self.facts, self._gathered
        if reasoning:
            gathered.reasoning.append(reasoning)
        if delta.reasoning_details:
            gathered.add_details(delta.reasoning_details)
        if delta.refusal:
            facts.refusal += well_formed(flat(delta.refusal))
        for note in delta.annotations if isinstance(delta.annotations, list) else ():
            if isinstance(note, dict):
                facts.citations.append(note)
        for parts in (delta.content, delta.images):
            if isinstance(parts, list):
                self._keep(parts)
        if isinstance(delta.extra_content, dict):
            return self._thought(delta.extra_content, reasoning, text)
        return reasoning, text

    def _keep(self, parts: list[Any]) -> None:
        """What of a content in parts is no text: thinking that goes back as it came, and pictures."""
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "thinking":
                self._gathered.add_part(part)
            elif kind == "image_url" and (url := _image(part)):
                self.facts.images.append(url)

    def _thought(self, extra: dict[str, Any], reasoning: str, text: str) -> tuple[str, str]:
        """The same of a delta that may be marked as a thought (Gemini): in tags, which mark it too, or without."""
        google = extra.get("google")
        if not (isinstance(google, dict) and google.get("thought")):
            self._gathered.add_extra(extra)
            return reasoning, text
        self._has_tags = self._has_tags or text.lstrip().startswith("<thought>")
        return (reasoning, text) if self._has_tags else (reasoning + text, "")

    def _add_logprobs(self, logprobs: Any) -> None:
        for name in ("content", "refusal"):
            entries = logprobs.get(name) if isinstance(logprobs, dict) else None
            if isinstance(entries, list):
                self.facts.logprobs += [entry for entry in entries if isinstance(entry, dict)]

    def _message(self, message: _Delta, read: int, events: list[Event]) -> None:
        """A `message` where no delta spoke: the whole answer, or the whole so far, of which only the rest is new."""
        self._gathered.begin_again()
        self.facts.refusal, self.facts.citations, self.facts.images = "", [], []
        reasoning, text = self._beside(message)
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
            id, name = string(part.get("id")), string(function.get("name"))
            extra = part.get("extra_content")
            if not (id or name or arguments or (extra and self._calls)):
                continue  # it says nothing yet: the call gets its number when it does
            event = self._calls.part(part.get("index"), id, name, arguments, read)
            if event.id or event.name or extra:
                self._gathered.add_call(event.index, event.id, extra)
            if event.id or event.name or event.arguments:
                events.append(event)

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
            tree = parse(data)
        except ValueError:
            broken_off = cut and (stripped.startswith("{") or "[DONE]".startswith(stripped))
            if not (broken_off or self.done):
                self._skip(data)
            return
        if isinstance(tree, dict):
            self._take(_chunk(tree), data, read, events)
            events[:] = self._halves.mended(events)
        elif isinstance(tree, list) and tree and isinstance(tree[0], dict) and tree[0].get("error"):
            self._fail(complaint_of(tree))
        else:
            self._skip(data)

    def _skip(self, data: str) -> None:
        """What cannot be read: of an answer that has begun the rest is kept."""
        if self.empty:
            self._refuse(data)
        else:
            self.facts.unreadable += 1

    def _fail(self, complaint: Complaint | None) -> list[Event]:
        self.error = stream_error(complaint or Complaint(), self._asked, self._key, begun=not self.empty)
        return []

    def _refuse(self, text: str) -> list[Event]:
        self.error = not_a_stream(text, self._key)
        return []


def _sources(sources: Any) -> list[Mapping[str, Any]]:
    """Sources as objects, also where a service sends their addresses alone."""
    entries = sources if isinstance(sources, list) else []
    return [{"url": entry} if isinstance(entry, str) else entry for entry in entries if isinstance(entry, str | dict)]


def _image(part: dict[str, Any]) -> str:
    """The address of a picture; "" for one that is neither http:, https: nor data:."""
    image = part.get("image_url")
    url = string(image.get("url") if isinstance(image, dict) else image)
    return url if url.startswith(("https://", "http://", "data:image/")) else ""


_KEEP_ALIVES = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})


def _bare_error(data: str) -> Any:
    """The error that a chunk without choices is as a whole; None if it is none."""
    try:
        tree = parse(data)
    except ValueError:
        return None
    named = "error" in (tree.get("object"), tree.get("type"))
    coded = tree.get("code") not in (None, "", 0, "0", 200, "200") and isinstance(tree.get("message"), str)
    return tree if named or coded else None


def stray_error(
    ignored: Sequence[tuple[str, str]], *, empty: bool = False, asked: str = "", key: Hidden = ()
) -> HolystreamError | None:
    """The error in the lines of a stream that were no fields (`Decoder.ignored`), to be asked for at its end.

    An `error:` line is the service's error. If the stream was `empty`, other lines say that it was no event stream.
    """
    for name, value in ignored:
        if name == "error":
            return stream_error(complaint_in(value), asked, key, begun=not empty)
    if not (empty and ignored):
        return None
    return not_a_stream("\n".join(f"{name}:{value}" if value else name for name, value in ignored), key)


def body(asked: Mapping[str, Any], provider: Provider) -> dict[str, Any]:
    """A request as it is sent: with what the service wants back of earlier turns, and pictures where they are taken."""
    return with_echoes({**asked, "messages": _with_pictures_of_users(asked["messages"])}, provider)


def _with_pictures_of_users(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages with the pictures of tools' results in one of the user behind them: a result is text alone here."""
    given: list[Mapping[str, Any]] = []
    pictures: list[Any] = []
    for message in messages:
        if message.get("role") != "tool":
            if pictures:
                given.append({"role": "user", "content": pictures})
                pictures = []
            given.append(message)
            continue
        content = message.get("content")
        found = [part for part in content if _is_picture(part)] if isinstance(content, list) else []
        if found:
            pictures += [{"type": "text", "text": f"The pictures of {message.get('tool_call_id')}:"}, *found]
            message = {**message, "content": flat([part for part in content or () if not _is_picture(part)])}
        given.append(message)
    return [*given, {"role": "user", "content": pictures}] if pictures else given


def _is_picture(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"


CHAT: Final = Format("chat", "/chat/completions", {}, body, ChunkDecoder)
