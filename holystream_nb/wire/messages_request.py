"""A request as Anthropic Messages has it. No I/O, no clock.

Sources: the types of the `anthropic` package 2.14, and https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from holystream_nb.errors import SetupError
from holystream_nb.providers.values import Provider
from holystream_nb.wire.format import echoed, says_nothing
from holystream_nb.wire.values import encoded, parse

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

_UNHELD: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames", "dependentRequired"),
        *("dependentSchemas", "unevaluatedProperties", "if", "then", "else", "not"),
    }
)
"""Rules that Claude's services refuse in a schema: "For 'integer' type, property 'minimum' is not supported"."""

_CHECKED: Final = frozenset({"anthropic", "simulator"})
"""Who refuses them whatever the model is called; other services hold a model that is no Claude to the whole schema."""


def body(asked: Mapping[str, Any], provider: Provider) -> dict[str, Any]:
    """A request as this format has it; its own fields, and those of no format, go as they are given.

    `reasoning_effort` is `output_config.effort`, whose least is `low`, and `none` is `thinking` disabled; any other
    thinking is asked for by the format's own `thinking`, as models differ in which kinds they take. The format has no
    `json_object`: there a sentence in `system` asks for it. SetupError names a field that it has no place for.
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
    is_checked = provider.name in _CHECKED or "claude" in model.lower()
    _set_format(asked.get("response_format"), output, system, is_checked=is_checked)
    if (effort := asked.get("reasoning_effort")) == "none":
        thinking = thinking or {"type": "disabled"}
    elif effort is not None:
        output.setdefault("effort", "low" if effort == "minimal" else effort)
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
    if not parts["tools"]:
        parts |= _told(turns)
    return {
        **written,
        "max_tokens": _limit(asked, thinking),
        "messages": turns,
        **{name: value for name, value in parts.items() if value},
    }


def _check_neutral(name: str, value: Any) -> None:
    """Only what says nothing can be left out."""
    if says_nothing(name, value):
        return
    raise SetupError(
        f'{name} has no place in the Messages format: leave it out, or ask with wire="{_ELSEWHERE[name]}" '
        "where the service has that."
    )


def _limit(asked: Mapping[str, Any], thinking: Any) -> Any:
    """The user's limit on the answer, else a default."""
    for name in ("max_tokens", "max_completion_tokens"):
        if asked.get(name) is not None:
            return asked[name]
    return default_limit(asked["model"], thinking)


def default_limit(model: str, thinking: Any) -> int:
    """The limit on an answer where the user sets none; it leaves room behind a budget for thinking."""
    most = next(most for pattern, most in DEFAULT_MAX_TOKENS if pattern.search(model))
    budget = thinking_budget(thinking)
    return most + budget if budget >= most else most


def thinking_budget(thinking: Any) -> int:
    """Tokens that are set apart for thinking; the limit on the answer must be above them. 0 is none."""
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return budget if type(budget) is int else 0


def _set_format(wanted: Any, output: dict[str, Any], system: list[dict[str, Any]], *, is_checked: bool) -> None:
    """Puts the form that the answer is to have where this format has it."""
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    schema = wanted["json_schema"] if kind == "json_schema" and isinstance(wanted.get("json_schema"), Mapping) else {}
    if "schema" in schema:
        asked = _schema(schema["schema"]) if is_checked else schema["schema"]
        output.setdefault("format", {"type": "json_schema", "schema": asked})
    elif kind == "json_object":
        system.append({"type": "text", "text": _ONLY_JSON})
    elif kind != "text":
        raise SetupError("response_format must be of type json_schema, with its schema, json_object or text.")


def _schema(schema: Any) -> Any:
    """A schema as Claude's services take it: what they refuse is told in descriptions, as Anthropic's SDK does it."""
    if not isinstance(schema, Mapping):
        return schema
    written: dict[str, Any] = {}
    told: list[str] = []
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            written[name] = {key: _schema(each) for key, each in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list | tuple):
            written["anyOf" if name == "oneOf" else name] = [_schema(each) for each in value]
        elif name == "items":
            written[name] = _schema(value)
        elif name in _UNHELD and not (name == "minItems" and value in (0, 1)):
            told.append(f"{name}: {encoded(value).decode()}")
        else:
            written[name] = value
    if told:
        described = [written["description"]] if written.get("description") else []
        written["description"] = "\n\n".join([*described, "{" + ", ".join(told) + "}"])
    if written.get("type") == "object" or "properties" in written:
        written.setdefault("additionalProperties", False)  # it "must be explicitly set to false"
    return written


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


def _told(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The tools that earlier turns called, none of which may be called: calls without any tool are refused."""
    blocks = [block for turn in turns if isinstance(turn["content"], list) for block in turn["content"]]
    names = dict.fromkeys(block.get("name") for block in blocks if block.get("type") == "tool_use")
    tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}


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
    if not turns:  # there must be one
        system, turns = [], [{"role": "user", "content": system}]
    last = turns[-1]["content"][-1] if turns[-1]["role"] == "assistant" else {}
    if last.get("type") == "text":  # else "final assistant content cannot end with trailing whitespace"
        last["text"] = last["text"].rstrip()
    for turn in turns:
        if turn["role"] == "user":  # else "`tool_use` ids were found without `tool_result` blocks immediately after"
            turn["content"].sort(key=lambda block: block.get("type") != "tool_result")
    return system, turns


def _blocks(content: Any) -> list[dict[str, Any]]:
    """A content's blocks, without those of blank text, which services refuse."""
    if content is None:
        return []
    blocks = [_block(part) for part in (content if isinstance(content, list | tuple) else [content])]
    return [block for block in blocks if not (block.get("type") == "text" and is_blank(block.get("text")))]


def is_blank(text: Any) -> bool:
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
    arguments = given if isinstance(given, Mapping) else json_object(given)
    return {"type": "tool_use", "id": _id(call.get("id")), "name": function.get("name"), "input": arguments}


def _id(id: Any) -> str:
    """An id as this format takes it; other services' have dots and colons."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", str(id))


def json_object(text: Any) -> dict[str, Any]:
    """The JSON object in a text; {} where there is none."""
    try:
        tree = parse(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        tree = None
    return tree if isinstance(tree, dict) else {}
