"""The shapes of OpenAI's Responses: the events of a stream, in the dialects that exist, and the whole response.

Nothing here knows of bytes or time: a stream is an iterator of chunks, each with the beat at which it is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .answers import Answer, Call
from .chunks import CREATED, SOURCES, Chunk, in_order, logprob, parsed
from .chunks import usage as chat_usage
from .profiles import Schedule
from .refusals import failure
from .responses_memory import Item, Items, Mint
from .responses_request import ResponsesRequest
from .script import Begin

_PADDING = "8Wn3kQ0zJr5tYxVe"
"""Makes every delta's text and `obfuscation` together a multiple of this long, as OpenAI hides the sizes of tokens."""

_PLACES = frozenset({"output_index", "content_index", "summary_index", "sequence_number"})
_INCOMPLETE = {"length": "max_output_tokens", "max_tokens": "max_output_tokens"}
_COMPLETE = frozenset({"stop", "tool_calls", "none"})
_FAILED = frozenset({"error", "failed"})

_NAMES = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}
"""What counts are called here, by what chat completions call them."""

_Event = tuple[str, str, dict[str, Any]]
"""An event before it has its number: its kind as in `Chunk`, its type, and its fields."""


class ResponseStream:
    """Makes one response. `id` is the response's; `keep` gets every item up to its end, right before the client does.

    `lane` is a socket's `stream_id`, which every event repeats. Setting `steered` ends it after the next token.
    """

    def __init__(
        self,
        request: ResponsesRequest,
        answer: Answer,
        pace: Schedule,
        id: str,
        mint: Mint,
        keep: Callable[[Items], None],
        lane: str | None = None,
    ) -> None:
        self.request, self.id = request, id
        self.steered = self._cut = False
        self.faults, self._answer, self._pace = request.faults, answer, pace
        self._mint, self._keep, self._lane = mint, keep, lane
        self._key = id.removeprefix("resp_")[:24]
        self._reasons = bool(answer.reasoning)
        self._output: list[Item] = []
        self._number = 0
        self._beat = -1
        self._reasoned = 0
        self.notices: list[tuple[str, dict[str, Any]]] = []
        """Types and fields of events about this response that are none of its output's, and have not been sent yet."""

    @property
    def output(self) -> list[Item]:
        """The items that are complete, or as complete as they will be."""
        return [item for item in self._output if item]

    def chunks(self) -> Iterator[Chunk | Begin]:
        """The events: the response is announced at once, its output comes at the model's pace."""
        for chunk in self._events():
            yield chunk
            while self.notices:
                type, fields = self.notices.pop(0)
                yield self._chunk("other", type, **fields)

    def _events(self) -> Iterator[Chunk | Begin]:
        early = self.faults.first is None
        if not early:
            yield Begin(self._pace)
        yield self._chunk("start", "response.created", response=self.response("in_progress"))
        yield self._chunk("other", "response.in_progress", response=self.response("in_progress"))
        if self.request.generate:
            if early:
                yield Begin(self._pace)
            yield from self._generated()
        if not self.faults.no_done:
            yield self._terminal()

    def whole(self) -> dict[str, Any]:
        """The response in one piece."""
        *_, last = self.chunks()
        assert isinstance(last, Chunk)  # noqa: S101 - the terminal event, or with no-done the last that there is
        return dict(last.body.get("response") or self.response("in_progress"))

    def response(self, status: str | None, **fields: Any) -> dict[str, Any]:
        """The response object as it is now."""
        data, request = self.request.data, self.request
        reasoning, text = data.get("reasoning") or {}, data.get("text") or {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": data.get("instructions"),
            "max_output_tokens": data.get("max_output_tokens"),
            "metadata": data.get("metadata", {}),
            "model": self.faults.served or request.chat.profile.model,
            "output": [],
            "parallel_tool_calls": request.chat.parallel_calls,
            "previous_response_id": data.get("previous_response_id"),
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "service_tier": request.chat.tier or "default",
            "store": request.store,
            "temperature": data.get("temperature", 1.0),
            "text": {"format": {"type": "text"}, **text},
            "tool_choice": data.get("tool_choice", "auto"),
            "tools": data.get("tools", []),
            "top_p": data.get("top_p", 1.0),
            "truncation": data.get("truncation", "disabled"),
            "usage": None,
            **fields,
        }

    def event(self, type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """An event about this response after its last one."""
        return self._body(type, fields)

    def failure(self, fault: str, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """An error in the stream: nested and once more in `response.failed`, as it comes live; that alone; or flat."""
        error = failure(500)["error"]
        told = {"code": error["code"] or error["type"], "message": error["message"], "param": None}
        self._number = body.get("sequence_number", self._number)
        match fault:
            case "error":
                nested = self._body("error", {"error": {"type": error["type"], **told}})
                return [nested, self._body("response.failed", {"response": self.failed()})]
            case "error_chunk":
                return [self._body("response.failed", {"response": self.failed()})]
        return [self._body("error", told)]

    def failed(self) -> dict[str, Any]:
        """The response object of a failure."""
        error = failure(500)["error"]
        told = {"code": error["type"], "message": error["message"]}
        return self.response("failed", error=told, output=self.output, usage=self._usage())

    def _generated(self) -> Iterator[Chunk]:
        ends: list[Chunk] = []
        if self._reasons:
            yield from self._reasoning(ends)
        if not self._cut and (self._answer.text or not self._answer.calls):
            yield from self._message(ends)
        yield from ends
        if not self._cut and self._answer.calls:
            yield from self._calls()

    def _reasoning(self, ends: list[Chunk]) -> Iterator[Chunk]:
        """The reasoning item; OpenRouter ends it after the message, so its last events are left in `ends`."""
        answer, request = self._answer, self.request
        item: Item = {"id": self._item_id("rs", 0), "type": "reasoning", "summary": []}
        self._output.append({})
        spelling = self.faults.reasoning or "summary"
        as_summary = request.summary and spelling not in ("reasoning", "text")
        as_text = request.summary and spelling in ("reasoning", "text", "both", "both-details")
        yield self._added(0, {**item, **self._sealed(item, part=True)})
        place = {"item_id": item["id"], "output_index": 0}
        if as_summary:
            part = {"type": "summary_text", "text": ""}
            yield self._chunk("other", "response.reasoning_summary_part.added", **place, summary_index=0, part=part)
        said: list[str] = []
        for token in answer.reasoning:
            self._beat += 1
            self._reasoned += 1
            said.append(token)
            if as_summary:
                fields = {**place, "summary_index": 0}
                yield from self._delta("reasoning", "response.reasoning_summary_text.delta", fields, token)
            if as_text:
                # told twice, a token is still one
                kind = "other" if as_summary else "reasoning"
                yield from self._delta(kind, "response.reasoning_text.delta", {**place, "content_index": 0}, token)
            if self.steered:
                self._cut = True
                break
        text = "".join(said)
        last = []
        if as_summary:
            item["summary"] = [{"type": "summary_text", "text": text}]
            done, part = {**place, "summary_index": 0}, {"type": "summary_text", "text": text}
            last.append(self._chunk("other", "response.reasoning_summary_text.done", **done, text=text))
            last.append(self._chunk("other", "response.reasoning_summary_part.done", **done, part=part))
        if as_text:
            item["content"] = [{"type": "reasoning_text", "text": text}]
            last.append(self._chunk("other", "response.reasoning_text.done", **place, content_index=0, text=text))
        item |= self._sealed(item)
        self._output[0] = item
        last.append(self._done(0, item))
        if self.faults.dialect == "openrouter":
            ends += last
        else:
            yield from last

    def _message(self, ends: list[Chunk]) -> Iterator[Chunk]:
        index, refusal = len(self._output), self.faults.refusal
        item: Item = {"id": self._item_id("msg", index), "type": "message", "status": "in_progress"}
        item |= {"role": "assistant", "content": []}
        self._output.append({})
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        name = "refusal" if refusal else "output_text"
        cited: list[dict[str, Any]] = []

        def part(text: str) -> dict[str, Any]:
            if refusal:
                return {"type": "refusal", "refusal": text}
            return {"type": "output_text", "annotations": cited, "logprobs": likely, "text": text}

        likely: list[dict[str, Any]] = []
        more: dict[str, Any] = {} if refusal else {"logprobs": []}
        yield self._added(index, item)
        yield self._chunk("other", "response.content_part.added", **place, part=part(""))
        said: list[str] = []
        for token in self._answer.text:
            self._beat += 1
            if more and self.request.chat.top_logprobs is not None:
                more = {"logprobs": [logprob(self.request.chat, 0, len(said), token)]}
                likely += more["logprobs"]
            said.append(token)
            yield from self._delta("text", f"response.{name}.delta", place | more, token)
            if self.steered:
                self._cut = True
                break
        text = "".join(said)
        if self.faults.citations and not refusal:
            end = min(20, len(text))
            cited = [
                {"type": "url_citation", "start_index": 0, "end_index": end, "url": url, "title": title}
                for url, title in SOURCES
            ]
        for number, each in enumerate(cited):
            fields = {**place, "annotation_index": number, "annotation": each}
            yield self._chunk("other", "response.output_text.annotation.added", **fields)
        whole: dict[str, Any] = {"refusal": text} if refusal else {"text": text, "logprobs": likely}
        yield self._chunk("other", f"response.{name}.done", **place, **whole)
        yield self._chunk("other", "response.content_part.done", **place, part=part(text))
        item |= {"status": self._status(), "content": [part(text)]}
        self._output[index] = item
        yield self._done(index, item)

    def _calls(self) -> Iterator[Chunk]:
        first = len(self._output)
        ids = [call.id for call in self._answer.calls]
        columns = [list(self._call(call, first + number)) for number, call in enumerate(self._answer.calls)]
        self._output += [{} for _ in columns]
        for kind, type, fields in in_order(columns, self.faults.tools):
            if kind == "tool":
                self._beat += 1
                if type.endswith("delta"):
                    yield from self._delta(kind, type, fields, fields["delta"])
                    continue
            elif type == "response.output_item.done":
                self._output[first + ids.index(fields["item"]["call_id"])] = fields["item"]
            yield self._chunk(kind, type, **fields)

    def _call(self, call: Call, index: int) -> Iterator[_Event]:
        """The events of a call; its name and each piece of its arguments is a token."""
        shape, arguments = self.faults.tools, "".join(call.arguments)
        id = self._item_id("fc", index)
        named = {"call_id": call.id, "name": call.name}
        item = {"id": id, "type": "function_call", "status": "in_progress", "arguments": "", **named}
        place = {"output_index": index + (shape == "index-1")}
        told = {"item_id": {"empty-ids": "", "null-ids": None}.get(shape or "", id), **place}
        if shape == "no-index":
            place, told = {}, {"item_id": id}
        if shape == "repeat-name":
            told |= {"name": call.name}
        whole = parsed(arguments) if shape == "object" else arguments
        yield "tool", "response.output_item.added", {**place, "item": item}
        if shape not in ("whole", "object"):
            for piece in call.arguments:
                yield "tool", "response.function_call_arguments.delta", {**told, "delta": piece}
        yield "other", "response.function_call_arguments.done", {**told, "arguments": whole}
        status = "incomplete" if self._answer.finish == "length" and call is self._answer.calls[-1] else "completed"
        yield "other", "response.output_item.done", {**place, "item": {**item, "status": status, "arguments": whole}}

    def _terminal(self) -> Chunk:
        """The last event. What the response said is remembered first: the client may go on as soon as it sees it."""
        finish = "steered" if self._cut else self.faults.finish or self._answer.finish
        if finish == "length" and self.faults.dialect == "llama.cpp":
            finish = "stop"
        output, usage = self.output, self._usage()
        if finish in _FAILED:
            return self._chunk("done", "response.failed", response=self.failed())
        self._keep((*self.request.items, *output))
        if self.faults.dialect == "openrouter":
            output = [{**item, "id": f"{item['id']}x"} for item in output]
        if self.faults.dialect == "vllm":
            output = []
        if finish in _COMPLETE:
            status = None if finish == "none" else "completed"
            response = self.response(status, output=output, usage=usage, completed_at=CREATED)
            return self._chunk("done", "response.completed", response=response)
        why = {"reason": _INCOMPLETE.get(finish, finish)}
        response = self.response("incomplete", output=output, usage=usage, incomplete_details=why)
        event = "completed" if self.faults.dialect == "vllm" else "incomplete"
        return self._chunk("done", f"response.{event}", response=response)

    def _status(self) -> str:
        cut = self._cut or (self._answer.finish == "length" and not self._answer.calls)
        return "incomplete" if cut else "completed"

    def _sealed(self, item: Item, *, part: bool = False) -> dict[str, str]:
        """The item's encrypted content where it is wanted; in the event that opens the item only a `part` of it."""
        if not self.request.encrypted:
            return {}
        sealed = self._mint.encrypted(self._key, item)
        return {"encrypted_content": sealed[: len(sealed) // 2] if part else sealed}

    def _item_id(self, prefix: str, index: int) -> str:
        return self._mint.id(prefix, self._key, self._reasons, index)

    def _usage(self) -> dict[str, Any] | None:
        if self.faults.usage in ("null", "none"):
            return None
        asked = self.request.chat.prompt_tokens
        told = self._beat + 1 if self._cut else self._answer.tokens
        common = chat_usage(asked, told, self._reasoned, self.faults.usage)
        report = {_NAMES.get(name, name): value for name, value in common.items()}
        if self.faults.usage == "null-counts":
            return dict.fromkeys((*_NAMES.values(), "total_tokens"))
        if (cached := report.get("input_tokens_details")) is not None:
            report["input_tokens_details"] = {"cache_write_tokens": 0, **cached}
        if self.faults.dialect == "llama.cpp":
            report.pop("output_tokens_details", None)
        return report

    def _added(self, index: int, item: Item) -> Chunk:
        return self._chunk("other", "response.output_item.added", output_index=index, item=item)

    def _done(self, index: int, item: Item) -> Chunk:
        return self._chunk("other", "response.output_item.done", output_index=index, item=item)

    def _delta(self, kind: str, type: str, fields: Mapping[str, Any], token: str) -> Iterator[Chunk]:
        """The event of a token, and the empty one before it where that was asked for."""
        if blank := self.faults.blank:
            nothing = {} if blank.startswith("no-") else {"delta": "" if blank == "empty" else None}
            kept = {name: value for name, value in fields.items() if name != "delta"}
            yield self._chunk("other", type, **kept, **nothing)
        padding = {"obfuscation": _PADDING[len(token) % 16 :]} if self.request.obfuscated else {}
        yield self._chunk(kind, type, **{**fields, "delta": token}, **padding)

    def _chunk(self, kind: str, type: str, **fields: Any) -> Chunk:
        # what opens an item is due with its first token, what closes it with its last
        opens = type.endswith("added") and kind != "tool"
        beat = self._beat + 1 if opens else max(self._beat, 0)
        return Chunk(kind, beat, 0, self._body(type, fields))

    def _body(self, type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        body = {"type": type, **fields, "sequence_number": self._number}
        self._number += 1
        if self.faults.dialect == "llama.cpp":
            body = {name: value for name, value in body.items() if name not in _PLACES}
        elif self.faults.dialect == "copilot":
            if "item_id" in body:
                body["item_id"] = f"{body['item_id']}x{self._number}"
            if isinstance(body.get("item"), dict):
                body["item"] = {**body["item"], "id": f"{body['item']['id']}x{self._number}"}
        if self._lane is not None:
            body["stream_id"] = self._lane
        return body
