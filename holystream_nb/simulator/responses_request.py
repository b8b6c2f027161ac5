"""The body of `POST /v1/responses`, checked and turned into the request that the answer maker knows.

The shapes are OpenAI's (`input` items, flat tools, `text.format`); the refusals are its own sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from .faults import Faults
from .refusals import Refusal
from .request import ChatRequest, read
from .responses_memory import Item, Items, Memory, Mint, Recall, not_found, previous_not_found

_MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
_REFUSED = ("n", "stop", "logit_bias", "conversation", "prompt")
_SAME = ("model", "seed", "temperature", "top_p", "parallel_tool_calls", "user", "metadata")
_ROLES = ("user", "system", "developer", "assistant")
_IDS = {"function_call": "fc", "reasoning": "rs"}
_OUTPUT_PARTS = ("output_text", "refusal")
_INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")


@dataclass(frozen=True)
class ResponsesRequest:
    """One request: `chat` is the same in the words of chat completions, `data` the body without nulls.

    `items` are all of its items, those before `previous_response_id` first, and what a next response goes on from;
    `generate` False is a warm-up; `summary` whether reasoning is shown, `encrypted` whether it is given to the client.
    """

    chat: ChatRequest
    data: Mapping[str, Any]
    items: Items
    store: bool
    generate: bool
    summary: bool
    encrypted: bool
    obfuscated: bool

    @property
    def faults(self) -> Faults:
        """What the request asks of the simulator."""
        return self.chat.faults


def read_responses(body: Any, header: str, memory: Memory, recall: Recall, mint: Mint) -> ResponsesRequest:
    """The request in the JSON object `body`, with the faults of its model's suffix and of the X-Simulate `header`.

    `recall` finds what `previous_response_id` names. Raises Refusal, in OpenAI's words.
    """
    if not isinstance(body, dict):
        raise Refusal(400, "The body must be a JSON object.")
    data = {name: value for name, value in body.items() if value is not None}
    _refuse_foreign(data)
    store, generate = _flag(data, "store", True), _flag(data, "generate", True)
    before = _before(data, recall)
    given = _given(data, memory)
    mint.check(given, before)
    items = (*before, *given)
    _check_calls(items)
    reasoning = _object(data, "reasoning")
    chat = read(msgspec.json.encode(_chat_body(data, items, generate)), header)
    if reasoning.get("effort") == "none":
        chat = replace(chat, profile=replace(chat.profile, reasons=False))
    include = data.get("include")
    wanted = "reasoning.encrypted_content"
    return ResponsesRequest(
        chat=chat,
        data=data,
        items=items,
        store=store,
        generate=generate,
        summary=reasoning.get("summary") is not None or chat.faults.reasoning is not None,
        encrypted=not store or (isinstance(include, list) and wanted in include),
        obfuscated=_flag(_object(data, "stream_options"), "include_obfuscation", True),
    )


def _refuse_foreign(data: Mapping[str, Any]) -> None:
    for name, instead in _MOVED.items():
        if name in data:
            message = (
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{instead}'. "
                "Try again with the new parameter."
            )
            raise Refusal(400, message, param=name, code="unsupported_parameter")
    for name in _REFUSED:
        if name in data:
            raise Refusal(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if _flag(data, "background", False):
        raise Refusal(400, "The simulator has no background mode.", param="background", code="unsupported_value")


def _before(data: Mapping[str, Any], recall: Recall) -> Items:
    id = data.get("previous_response_id")
    if id is None:
        return ()
    if not isinstance(id, str) or not id.startswith("resp"):
        message = f"Invalid 'previous_response_id': '{id}'. Expected an ID that begins with 'resp'."
        raise Refusal(400, message, param="previous_response_id", code="invalid_value")
    items = recall(id)
    if items is None:
        raise previous_not_found(id)
    return items


def _given(data: Mapping[str, Any], memory: Memory) -> Items:
    """The items of `input`, each checked, references looked up."""
    given = data.get("input", [])
    if isinstance(given, str):
        return ({"type": "message", "role": "user", "content": given},)
    if not isinstance(given, list):
        raise _invalid_type("input", "a string or an array of items")
    if not given and "previous_response_id" not in data and data.get("generate") is not False:
        message = "One of 'input' or 'previous_response_id' or 'prompt' or 'conversation' must be provided."
        raise Refusal(400, message, param="input", code="missing_required_parameter")
    return tuple(_item(item, f"input[{number}]", memory) for number, item in enumerate(given))


def _item(item: Any, where: str, memory: Memory) -> Item:
    if not isinstance(item, dict):
        raise _invalid_type(where, "an object")
    kind = item.get("type", "message" if "role" in item else None)
    id = item.get("id")
    prefix = _IDS.get(str(kind), "msg" if item.get("role") == "assistant" else "")
    if id is not None and kind != "item_reference" and not str(id).startswith(prefix):
        message = f"Invalid '{where}.id': '{id}'. Expected an ID that begins with '{prefix}'."
        raise Refusal(400, message, param=f"{where}.id", code="invalid_value")
    match kind:
        case "message":
            _check_message(item, where)
            return {**item, "type": "message"}
        case "function_call":
            for name in ("call_id", "name", "arguments"):
                _required_text(item, name, where)
        case "function_call_output":
            _required_text(item, "call_id", where)
            if not isinstance(item.get("output"), str | list):
                raise _missing(f"{where}.output")
        case "reasoning":
            if not isinstance(item.get("summary"), list):
                raise _missing(f"{where}.summary")
            if item.get("encrypted_content") is None:
                return {**_known(str(id), memory)}
        case "item_reference":
            return _known(str(id), memory)
        case _:
            kinds = "'message', 'function_call', 'function_call_output', 'reasoning', and 'item_reference'"
            message = f"Invalid value: '{kind}'. Supported values are: {kinds}."
            raise Refusal(400, message, param=f"{where}.type", code="invalid_value")
    return item


def _known(id: str, memory: Memory) -> Item:
    item = memory.item(id)
    if item is None:
        raise not_found(id)
    return item


def _check_message(item: Item, where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        message = f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'."
        raise Refusal(400, message, param=f"{where}.role", code="invalid_value")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _invalid_type(f"{where}.content", "a string or an array of parts")
    allowed = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            *others, last = (f"'{each}'" for each in allowed)
            message = f"Invalid value: '{kind}'. Supported values are: {', '.join(others)} and {last}."
            raise Refusal(400, message, param=f"{where}.content[{number}].type", code="invalid_value")


def _check_calls(items: Sequence[Item]) -> None:
    called = [item["call_id"] for item in items if item["type"] == "function_call"]
    answered = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    for id in answered:
        if id not in called:
            message = f"No tool call found for function call output with call_id {id}."
            raise Refusal(400, message, param="input")
    for id in called:
        if id not in answered:
            raise Refusal(400, f"No tool output found for function call {id}.", param="input")


def _chat_body(data: Mapping[str, Any], items: Sequence[Item], generate: bool) -> dict[str, Any]:
    """The same request in the words of chat completions."""
    messages = _messages(items)
    instructions = data.get("instructions")
    if isinstance(instructions, str):
        messages.insert(0, {"role": "system", "content": instructions})
    elif isinstance(instructions, list):
        messages[:0] = _messages([each for each in instructions if isinstance(each, dict)])
    if not messages and not generate:
        messages.append({"role": "user", "content": ""})
    body: dict[str, Any] = {name: data[name] for name in _SAME if name in data}
    body |= {"messages": messages, "stream": _flag(data, "stream", False)}
    if (limit := data.get("max_output_tokens")) is not None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise _invalid_type("max_output_tokens", "an integer above 0")
        body["max_completion_tokens"] = limit
    if tools := _tools(data):
        body["tools"] = tools
    choice = data.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(choice, dict):
        choice = choice.get("mode")  # of allowed_tools
    if choice is not None:
        body["tool_choice"] = choice
    if form := _format(_object(data, "text")):
        body["response_format"] = form
    include = data.get("include")
    if isinstance(include, list) and "message.output_text.logprobs" in include:
        body |= {"logprobs": True, "top_logprobs": data.get("top_logprobs", 0)}
    return body


def _messages(items: Sequence[Item]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for item in items:
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item.get("role"), "content": _content(item.get("content"))})
            case "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                call = {"id": item["call_id"], "type": "function", "function": function}
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                messages[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                content = _content(item["output"], of_tool=True)
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
    return messages


def _content(content: Any, *, of_tool: bool = False) -> Any:
    """Text alone becomes a string, as a client of chat completions would send it; images stay what they are.

    Those of a tool's result have no place in a chat completion, and stay parts of this format.
    """
    if not isinstance(content, list):
        return content
    parts = [part for part in content if isinstance(part, dict)]
    texts = [str(part.get("text", part.get("refusal", ""))) for part in parts if "image" not in str(part.get("type"))]
    images = [
        part if of_tool else {"type": "image_url", "image_url": {"url": part.get("image_url", "")}}
        for part in parts
        if part.get("type") == "input_image"
    ]
    return [*({"type": "text", "text": text} for text in texts), *images] if images else "".join(texts)


def _tools(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions among the tools; what OpenAI would run itself is not known here, and is never called."""
    listed = data.get("tools", [])
    if not isinstance(listed, list):
        raise _invalid_type("tools", "an array")
    tools = []
    for number, tool in enumerate(listed):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise _missing(f"tools[{number}].type")
        if tool["type"] == "function":
            _required_text(tool, "name", f"tools[{number}]")
            tools.append({"type": "function", "function": {name: tool[name] for name in tool if name != "type"}})
    return tools


def _format(text: Mapping[str, Any]) -> dict[str, Any] | None:
    form = _object(text, "format", "text.")
    match form.get("type", "text"):
        case "json_schema":
            _required_text(form, "name", "text.format")
            if not isinstance(form.get("schema"), dict):
                raise _missing("text.format.schema")
            return {"type": "json_schema", "json_schema": {name: form[name] for name in form if name != "type"}}
        case "json_object":
            return {"type": "json_object"}
        case "text":
            return None
        case kind:
            message = f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."
            raise Refusal(400, message, param="text.format.type", code="invalid_value")


def _flag(data: Mapping[str, Any], name: str, default: bool) -> bool:
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _invalid_type(name, "a boolean")
    return value


def _object(data: Mapping[str, Any], name: str, inside: str = "") -> Mapping[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid_type(inside + name, "an object")
    return value


def _required_text(item: Mapping[str, Any], name: str, where: str) -> None:
    if not isinstance(item.get(name), str) or (name != "arguments" and not item[name]):
        raise _missing(f"{where}.{name}")


def _missing(param: str) -> Refusal:
    return Refusal(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _invalid_type(param: str, wanted: str) -> Refusal:
    return Refusal(400, f"Invalid type for '{param}': expected {wanted}.", param=param, code="invalid_type")
