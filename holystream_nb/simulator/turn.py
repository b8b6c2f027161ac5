"""What is said in one turn on a socket: rounds of text and tool calls, steered by what the client sends meanwhile.

No I/O and no clock: an iterator of chunks, which looks at what has been put into the turn before each token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from . import prose
from .answers import Answer, answer
from .chunks import Chunk, usage
from .messages import Vocabulary, blank_message, call_messages, ending, token_message, usage_message
from .profiles import schedule
from .request import ChatRequest, read
from .script import Begin, Wait
from .tokens import tokenize

Messages = list[dict[str, Any]]


class Turn:
    """One turn. `body` is what the same request over SSE would send, `header` the faults beside its model's suffix.

    Raises Refusal for a request that cannot be answered.
    """

    def __init__(self, words: Vocabulary, body: Mapping[str, Any], header: str, speed: float, seed: int) -> None:
        self._words, self._header, self._speed = words, header, speed
        self._body = {**body, "stream": True}
        self.request = self._read()
        self._seed = seed if self.request.seed is None else self.request.seed
        self._prompt_tokens = self.request.prompt_tokens
        self._told = {"text": 0, "reasoning": 0, "tool": 0}
        self._called = 0
        self._focus = self._interruption = ""
        self._results: dict[str, str | None] = {}
        self._tools: dict[str, str] = {}

    @property
    def waits(self) -> bool:
        """Whether there are calls without results, and nothing else to answer."""
        return not self._interruption and None in self._results.values()

    def take(self, kind: str, payload: Mapping[str, Any]) -> None:
        """What the client sends during the turn: a tool's result, a context update, an interruption; else nothing."""
        match kind:
            case "tool_result":
                self._take_result(payload)
            case "context_update":
                self._focus = _text(payload.get("focus"))
            case "user_interruption":
                self._interruption = _text(payload.get("text")) or "…"

    def _take_result(self, payload: Mapping[str, Any]) -> None:
        """A result belongs to the call with its id; without one, to the first open call of its tool (document 001)."""
        id = payload.get("call_id")
        if id is None:
            named = (each for each, tool in self._tools.items() if tool == payload.get("tool"))
            id = next((each for each in named if self._results.get(each, "") is None), None)
        if id in self._results:
            self._results[id] = _text(payload.get("result"))

    def chunks(self) -> Iterator[Chunk | Begin | Wait]:
        """The turn's messages, each with its beat in its round."""
        while True:
            request = self.request
            said = answer(request, self._seed, 0)
            yield Begin(schedule(request.profile, self._speed, request.faults, f"pace {self._seed} {request.digest}"))
            spoken: list[str] = []
            beat = 0
            for beat, (kind, size, message) in enumerate(self._output(said, spoken)):
                if request.faults.blank:
                    yield Chunk("other", beat, 0, blank_message(self._words, request.faults.blank))
                yield Chunk(kind, beat, 0, message)
                self._told[kind] += size
                if request.faults.usage == "running":
                    yield Chunk("other", beat, 0, usage_message(self._usage()))
                if self._interruption:
                    break
            calls = said.calls if said.finish == "tool_calls" else ()
            if calls and not self._interruption:
                yield Wait()
            if self._interruption:
                self._go_on([_assistant("".join(spoken)), {"role": "user", "content": self._interruption}])
                self._interruption = ""
            elif calls:
                results = [
                    {"role": "tool", "tool_call_id": call.id, "content": self._results[call.id] or ""} for call in calls
                ]
                self._go_on([_assistant("".join(spoken), said), *results])
            else:
                break
        for message in self.ending(None if request.faults.finish == "none" else request.faults.finish or said.finish):
            yield Chunk(str(message["type"]), beat, 0, message)

    def ending(self, finish: str | None) -> Messages:
        """The last messages of the turn, with the usage so far."""
        return ending(self._words, finish, self._usage(), self.request.faults)

    def _output(self, said: Answer, spoken: list[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """The messages of one round, with the kind and the number of their tokens; `spoken` collects the text."""
        faults = self.request.faults
        for token in said.reasoning:
            yield "reasoning", 1, token_message(self._words, "reasoning", token, faults)
        for token in self._text_of(said):
            spoken.append(token)
            yield "text", 1, token_message(self._words, "text", token, faults)
        complete = said.finish == "tool_calls"
        self._results = {call.id: None for call in said.calls} if complete else {}
        self._tools = {call.id: call.name for call in said.calls}
        for size, message in call_messages(self._words, said.calls, self._called, complete, faults.tools):
            yield "tool", size, message
        self._called += len(said.calls)

    def _text_of(self, said: Answer) -> Iterator[str]:
        """The text, behind a line of its own in a later round, with the sentence that a context update brings."""
        if said.text and self._told["text"]:
            yield "\n\n"
        before, last = "", ""
        for token in said.text:
            if self._focus and (last.startswith("\n\n") or (last == "." and not before.strip().isdigit())):
                yield from self._update("" if last.startswith("\n") else " ", "\n\n" if last.startswith("\n") else "")
            yield token
            before, last = last, token
        if self._focus and said.text and said.finish == "stop":
            yield from self._update("\n\n", "")

    def _update(self, before: str, after: str) -> Iterator[str]:
        sentence, self._focus = prose.focus(self._focus), ""
        yield from tokenize(before + sentence + after)

    def _go_on(self, messages: Messages) -> None:
        """The next round: the request that SSE would need for it."""
        self._body["messages"] = [*self._body["messages"], *messages]
        self.request = self._read()
        self._prompt_tokens += sum(
            len(tokenize(message["content"])) for message in messages if message["role"] != "assistant"
        )

    def _read(self) -> ChatRequest:
        return read(msgspec.json.encode(self._body), self._header)

    def _usage(self) -> dict[str, Any]:
        told, shape = self._told, self.request.faults.usage
        report = usage(self._prompt_tokens, sum(told.values()), told["reasoning"], shape)
        return {**report, "cost": 0.0} if self._words.usage_apart else report


def _assistant(content: str, said: Answer | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if said is not None:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in said.calls
        ]
    return message


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
