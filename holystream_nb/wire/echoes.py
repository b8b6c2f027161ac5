"""What a chat completion must be given back of a turn with the next one: gathered, and put into a request.

An echo is JSON: {"reasoning_content": text, "reasoning_details": [fragments, merged], "thinking": [parts],
"extra_content": {…}, "calls": [{"id", "extra_content"}], "think": text}, each where it came. Which of it goes back is
the provider's: `Provider.echo`, `echo_turns`, `no_echo_models`, `echo_fields`. No I/O, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from holystream_nb.providers.values import Provider, refuses_reasoning
from holystream_nb.wire.format import echoed
from holystream_nb.wire.values import flat, is_shallow, string, well_formed

_PIECES: Final = ("text", "summary", "data")
"""What of a fragment is a piece of a whole; the rest is said once."""

_UNSIGNED: Final = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""What Gemini takes with a call that it did not make, or did not finish, as public clients cite its documents."""

_NOTHING_THOUGHT: Final = " "
"""Services that want reasoning of every turn take this for one that has none; some refuse an empty text."""


class Gathered:
    """The echo of an answer, piece by piece. Reasoning's text is gathered without looking at it."""

    __slots__ = ("_calls", "_details", "_extra", "_parts", "reasoning")

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._parts: list[dict[str, Any]] = []
        self._extra: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}

    def begin_again(self) -> None:
        """A message repeats the whole so far."""
        self.reasoning.clear()
        self._details.clear()
        self._parts.clear()

    def add_details(self, details: Any) -> None:
        """Fragments of OpenRouter's `reasoning_details`: those of one index, and one type, are one block.

        The signature of a text may come by itself, after it.
        """
        for fragment in details if isinstance(details, list) else [details]:
            if isinstance(fragment, dict):
                block = next((b for b in reversed(self._details) if _is_of(fragment, b)), None)
                if block is None:
                    self._details.append(dict(fragment))
                else:
                    _merge(block, fragment)

    def add_part(self, part: Mapping[str, Any]) -> None:
        """A part `thinking` of Mistral's content: its text comes in pieces."""
        last = self._parts[-1] if self._parts and not self._parts[-1].get("closed") else None
        if last is None:
            last = {"type": "thinking", "thinking": [{"type": "text", "text": ""}]}
            self._parts.append(last)
        last["thinking"][0]["text"] += flat(part.get("thinking"))
        last.update({name: value for name, value in part.items() if name not in ("type", "thinking")})

    def add_extra(self, extra: Any) -> None:
        """Gemini's `extra_content` of a message: not that which marks a text as a thought."""
        for name, value in extra.items() if isinstance(extra, dict) else ():
            if isinstance(value, dict) and isinstance(self._extra.get(name), dict):
                self._extra[name] |= value
            else:
                self._extra[name] = dict(value) if isinstance(value, dict) else value

    def add_call(self, index: int, id: str, extra: Any) -> None:
        """A call, by its number in the answer, and what it has beside its arguments."""
        call = self._calls.setdefault(index, {"id": ""})
        call["id"] = call["id"] or id
        if isinstance(extra, dict) and extra:
            call["extra_content"] = extra

    def echo(self, think: str) -> dict[str, Any] | None:
        """As JSON has it; None where there is nothing. `think` is reasoning in tags, as it was sent."""
        calls = [self._calls[index] for index in sorted(self._calls)]
        found: dict[str, Any] = {
            "reasoning_content": "".join(self.reasoning),
            "reasoning_details": self._details,
            "thinking": self._parts,
            "extra_content": self._extra,
            "calls": calls if any("extra_content" in call for call in calls) else [],
            "think": think,
        }
        found = {name: value for name, value in found.items() if value}
        if not found or not is_shallow(found):
            return None
        try:
            tidy: dict[str, Any] = msgspec.json.decode(well_formed(json.dumps(found, ensure_ascii=False)))
        except ValueError:  # NaN, which no request can carry
            return None
        return tidy


def _is_of(fragment: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    same = all(fragment.get(name, block.get(name)) == block.get(name) for name in ("index", "type"))
    return same and (not fragment.get("id") or not block.get("id") or fragment["id"] == block["id"])


def _merge(block: dict[str, Any], fragment: Mapping[str, Any]) -> None:
    for name, value in fragment.items():
        if name in _PIECES and isinstance(value, str) and isinstance(block.get(name), str):
            block[name] += value
        elif value is not None:
            block[name] = value


# --- a request --------------------------------------------------------------------------------------------------------


def with_echoes(asked: Mapping[str, Any], provider: Provider) -> dict[str, Any]:
    """The request with what this service wants back of each turn, and nothing else of echoes."""
    model = string(asked.get("model"))
    wanted = [name for name in provider.echo if name != "reasoning_content" or not refuses_reasoning(provider, model)]
    messages, has_reasoning = [], False
    for message in asked["messages"]:
        echo = echoed(message, "chat", provider, model)
        if "echo" in message:
            message = {name: value for name, value in message.items() if name != "echo"}
        if message.get("role") == "assistant" and (provider.echo_turns == "all" or message.get("tool_calls")):
            found = echo if isinstance(echo, Mapping) else {}
            message = _given_back(message, found, wanted)
            has_reasoning = has_reasoning or bool(found.get("reasoning_content"))
        messages.append(message)
    body = {**asked, "messages": messages}
    if has_reasoning and "reasoning_content" in wanted:
        _complete(body, provider.echo_fields)
    return body


def _given_back(message: Mapping[str, Any], echo: Mapping[str, Any], wanted: Sequence[str]) -> Mapping[str, Any]:
    given = dict(message)
    if "reasoning_content" in wanted:
        given.setdefault("reasoning_content", string(echo.get("reasoning_content")) or _NOTHING_THOUGHT)
    for name in ("reasoning_details", "extra_content"):
        if name in wanted and echo.get(name):
            given.setdefault(name, echo[name])
    if "extra_content" in wanted and echo.get("calls"):
        given["tool_calls"] = _with_extras(message.get("tool_calls"), echo["calls"])
    if "thought_signature" in wanted:
        given["tool_calls"] = _signed(given.get("tool_calls"))
    said = message.get("content")
    if said is None or isinstance(said, str):
        if "thinking" in wanted and isinstance(echo.get("thinking"), list):
            given["content"] = [*echo["thinking"], *([{"type": "text", "text": said}] if said else [])]
        elif "think" in wanted and not echo.get("reasoning_details"):
            given["content"] = (string(echo.get("think")) + (said or "")) or None
    return given


def _with_extras(calls: Any, echoes: Any) -> Any:
    """The calls with what belongs to each: by its id, where there are not as many as there were."""
    if not (isinstance(calls, list) and all(isinstance(call, Mapping) for call in calls) and isinstance(echoes, list)):
        return calls
    known = [echo for echo in echoes if isinstance(echo, Mapping)]
    by_id = {echo["id"]: echo for echo in known if isinstance(echo.get("id"), str) and echo["id"]}
    of_call = known if len(known) == len(calls) else [by_id.get(call.get("id"), {}) for call in calls]
    return [
        {**call, "extra_content": echo["extra_content"]} if echo.get("extra_content") else call
        for call, echo in zip(calls, of_call, strict=True)
    ]


def _signed(calls: Any) -> Any:
    """The calls, of which the first, the one that must, has a signature."""
    if not (isinstance(calls, list) and calls and isinstance(calls[0], Mapping)) or calls[0].get("extra_content"):
        return calls
    return [{**calls[0], "extra_content": _UNSIGNED}, *calls[1:]]


def _complete(fields: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds the fields that are not given, also inside of those that are."""
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(fields.get(name), Mapping):
            inner = dict(fields[name])
            _complete(inner, value)
            fields[name] = inner
        else:
            fields.setdefault(name, value)
