"""A request as OpenAI's Responses have it, written as items. No I/O, no clock.

Source: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holystream_nb.errors import SetupError
from holystream_nb.providers.values import Provider, hides_reasoning
from holystream_nb.wire.calls import is_object
from holystream_nb.wire.format import echoed, says_nothing
from holystream_nb.wire.values import flat

_CHAT_ONLY: Final = frozenset(
    {
        *("stop", "seed", "logit_bias", "frequency_penalty", "presence_penalty", "prediction", "modalities", "audio"),
        *("functions", "function_call", "web_search_options"),
    }
)
_WRITTEN: Final = frozenset(
    {
        *("messages", "n", "max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning", "response_format"),
        *("verbosity", "text", "tools", "tool_choice", "logprobs", "include", "store", "stream_options"),
        "instructions",
    }
)
"""What has another name or shape here; every other field goes as it is."""

_PADDED: Final = frozenset({"openai", "azure", "simulator"})
"""Whose events are padded to hide the sizes of tokens, unless a request says otherwise: half of the bytes."""

ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"

Item = Mapping[str, Any]


def body(asked: Mapping[str, Any], provider: Provider, known: int = 0) -> dict[str, Any]:
    """A request as this format has it; of the messages the service already has the first `known`.

    Nothing is stored there unless `store` says so, and reasoning then comes back encrypted from models that hide it.
    Raises SetupError for a field that only Chat Completions has.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        if (name in _CHAT_ONLY or name == "n") and not says_nothing(name, value):
            raise SetupError(f'{name} has no place in Responses: leave it out, or use wire="chat", which has it.')
    model, messages = given["model"], given["messages"]
    written = {name: value for name, value in given.items() if name not in _WRITTEN and name not in _CHAT_ONLY}
    if "instructions" in given:
        written["instructions"], lead = given["instructions"], 0
    else:
        instructions, lead = _instructions(messages)
        written |= {"instructions": instructions} if lead else {}
    written["input"] = _input(messages[max(lead, known) :], provider, model)
    limit = given.get("max_tokens", given.get("max_completion_tokens"))
    if limit is not None:
        written.setdefault("max_output_tokens", limit)
    if "tools" in given:
        tools = given["tools"]
        written["tools"] = [_tool(tool) for tool in tools] if isinstance(tools, list | tuple) else tools
    if "tool_choice" in given:
        written["tool_choice"] = _flattened(given["tool_choice"])
    written |= _nested(given, "reasoning", effort=given.get("reasoning_effort"))
    written |= _nested(given, "text", format=_flattened(given.get("response_format")), verbosity=given.get("verbosity"))
    written["store"] = given.get("store", False)
    wanted = [_LOGPROBS] if given.get("logprobs") else []
    if not written["store"] and hides_reasoning(provider, model):
        wanted.append(ENCRYPTED)
    if include := list(dict.fromkeys([*given.get("include", ()), *wanted])):
        written["include"] = include
    own = given.get("stream_options")
    options = {**own} if isinstance(own, Mapping) else {}
    options.pop("include_usage", None)
    if provider.name in _PADDED:
        options.setdefault("include_obfuscation", False)
    if options and given["stream"]:
        written["stream_options"] = options
    return written


def _instructions(messages: Sequence[Item]) -> tuple[str, int]:
    """The text of the system's messages that lead, and how many they are; one that is not only text ends them.

    The last message is never one, as there must be an item.
    """
    texts: list[str] = []
    for message in messages[:-1]:
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] not in ("system", "developer") or not isinstance(parts, list):
            break
        if not all(isinstance(part, Mapping) and part.get("type") in ("text", "input_text") for part in parts):
            break
        texts.append(flat(parts))
    return "\n\n".join(texts), len(texts)


def _input(messages: Sequence[Item], provider: Provider, model: str) -> list[Item]:
    """The items that messages are here. Input at the end of an echo waited for results: it comes after them."""
    items: list[Item] = []
    waiting: list[Item] = []
    for message in messages:
        if message["role"] != "tool":
            items += waiting
            waiting = []
        items += _items(message, provider, model)
        while message["role"] == "assistant" and items and items[-1].get("role") == "user":
            waiting.insert(0, items.pop())
    return items + waiting


def _items(message: Item, provider: Provider, model: str) -> list[Item]:
    """The items that a message is here."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        output = "" if content is None else _parts(content)
        return [{"type": "function_call_output", "call_id": message.get("tool_call_id", ""), "output": output}]
    if role != "assistant":
        return [{"role": role, "content": "" if content is None else _parts(content)}]
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    if (items := _as_echoed(echoed(message, "responses", provider, model), calls)) is not None:
        return items
    text = flat(content) if content else ""
    # As a text: its parts would be those of an output, which some services take with an id alone.
    said: list[Item] = [{"type": "message", "role": "assistant", "content": text}] if text else []
    return [*said, *map(_call_item, calls)]


def _call_item(call: Item) -> Item:
    function = call.get("function") or {}
    name, arguments = function.get("name", ""), function.get("arguments") or "{}"
    return {"type": "function_call", "call_id": call.get("id", ""), "name": name, "arguments": arguments}


def _as_echoed(echo: Any, calls: Sequence[Item]) -> list[Item] | None:
    """The items of an echo, unchanged but for what the results must fit: ids, and arguments that are JSON.

    None where there is no echo, or where it has other calls than the message.
    """
    if not isinstance(echo, list) or not all(isinstance(item, Mapping) for item in echo):
        return None
    if sum(item.get("type") == "function_call" for item in echo) != len(calls):
        return None
    rest = iter(calls)
    items: list[Item] = []
    for item in echo:
        if item.get("type") == "function_call":
            ours = _call_item(next(rest))
            kept = item.get("arguments") if is_object(item.get("arguments")) else ours["arguments"]
            item = {**item, "call_id": ours["call_id"] or item.get("call_id"), "arguments": kept}
        items.append(item)
    return items


def _parts(content: Any) -> Any:
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    """A part of a message; what is in this format's own shape stays as it is."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return {**part, "type": "input_text"}
    if kind == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, Mapping) else {"url": image}
        return {"type": "input_image", "image_url": image.get("url", ""), "detail": image.get("detail") or "auto"}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    if kind == "input_audio":
        raise SetupError('Responses take no audio: leave it out, or use wire="chat", which has it.')
    return part


def _tool(tool: Any) -> Any:
    """A tool, whose schema stays as it is: what does not say `strict` is made strict here, and all of it required."""
    flattened = _flattened(tool)
    if flattened is tool or tool.get("type") != "function":
        return flattened
    return {"strict": False, **flattened}


def _flattened(tool: Any) -> Any:
    """A tool, the choice of one, or a schema: its fields stand beside its type, `{"type": "function", "name": …}`."""
    inner = tool.get(tool.get("type")) if isinstance(tool, Mapping) else None
    if not isinstance(inner, Mapping):
        return tool
    tools = {"tools": [_flattened(each) for each in inner["tools"]]} if "tools" in inner else {}
    return {"type": tool["type"], **inner, **tools}


def _nested(given: Mapping[str, Any], name: str, **inner: Any) -> dict[str, Any]:
    """A field with what chat completions have beside it; what was given inside it comes first."""
    own = given.get(name, {})
    more = {key: value for key, value in inner.items() if value is not None}
    if not isinstance(own, Mapping):
        return {name: own}
    return {name: {**more, **own}} if own or more else {}
