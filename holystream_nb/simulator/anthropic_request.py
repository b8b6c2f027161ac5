"""The body of `POST /v1/messages`, checked as Anthropic's API checks it, and turned into what the answer maker knows.

The refusals are the API's own sentences; the field a sentence begins with is written with dots.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from . import echo
from .faults import Faults
from .prompt_cache import Block
from .refusals import Refusal
from .request import ChatRequest, Message, Resumed, Tool, cut_at, digest_of, faults_of, profile_of, unbroken
from .signatures import is_ours, sign
from .tokens import tokenize

_KNOWN = frozenset(
    (
        *("model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k"),
        *("metadata", "tools", "tool_choice", "thinking", "output_config", "output_format", "cache_control", "speed"),
        *("service_tier", "container", "context_management", "mcp_servers", "inference_geo", "diagnostics"),
        *("user_profile_id", "workspace_id", "billing_policy", "compaction", "fallbacks"),
    )
)
_BLOCKS = (
    *("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result"),
    *("server_tool_use", "web_search_tool_result", "container_upload"),
)
_UNHELD = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("minItems", "maxItems", "uniqueItems", "prefixItems", "minProperties", "maxProperties", "oneOf", "not"),
    }
)
"""Rules of JSON Schema that are refused in `output_config.format`."""

_HOMES = {"tool_result": "user", "tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant"}
"""In whose messages a block can be, where that is not both."""
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_STARTS = (
    "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
    "set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
    "avoid this requirement, disable `thinking`."
)


@dataclass(frozen=True)
class MessagesRequest:
    """One request: `chat` is what the answer maker knows of it, `blocks` what its prompt cache sees.

    `shows_thoughts` is False where thoughts are to be a signature only (`display: omitted`).
    """

    chat: ChatRequest
    blocks: tuple[Block, ...]
    shows_thoughts: bool

    @property
    def faults(self) -> Faults:
        """What the request asks of the simulator."""
        return self.chat.faults


def read_messages(body: bytes, header: str, *, counting: bool = False) -> MessagesRequest:
    """The request in `body`, with the faults of its model's suffix and of the X-Simulate `header` (which wins).

    `counting` is a request whose tokens are to be counted: it needs no `max_tokens`. Raises Refusal.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refusal(400, f"The request body is not valid JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise Refusal(400, "Input should be a valid dictionary")
    data = {name: value for name, value in data.items() if value is not None}
    for name in data.keys() - _KNOWN:
        raise Refusal(400, f"{name}: Extra inputs are not permitted")
    model, _, suffix = _typed(data, "model", str, "string").partition("#")
    faults = faults_of(suffix, header)
    limit = None if counting and "max_tokens" not in data else _limit(data)
    try:
        profile = profile_of(model)
    except Refusal as refusal:
        raise Refusal(404, f"model: {model}") from refusal
    temperature = data.get("temperature", 1)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        raise Refusal(400, "temperature: range: 0..1")
    thinks, shows_thoughts = _thinking(data, limit)
    tools = tuple(_tools(data))
    wanted_tool, parallel = _tool_choice(data, tools, thinks)
    system = _texts(data.get("system", ""), "system")
    history = _history(data, bool(thinks) and echo.spelling(faults) != "think")
    messages = ([Message("system", system)] if system else []) + history
    blocks = tuple(_blocks(data))

    def digest(of: Sequence[Message]) -> str:
        shaping = [
            *([each.role, each.text, each.tool] for each in of),
            *([tool.name, tool.parameters] for tool in tools),
            *(wanted_tool, parallel, limit, thinks, _json(data), _stop(data)),
        ]
        return digest_of(model, shaping)

    resumed = None
    if (at := cut_at(messages)) is not None:
        earlier = tuple(messages[:at])
        resumed = Resumed(earlier, digest(earlier), messages[at].text, at < len(messages) - 1)
    chat = ChatRequest(
        profile=profile,
        faults=unbroken(faults) if resumed else faults,
        messages=tuple(messages),
        stream=_typed(data, "stream", bool, "boolean", False),
        include_usage=True,
        limit=limit,
        choices=1,
        seed=None,
        tools=() if data.get("tool_choice", {}).get("type") == "none" else tools,
        wanted_tool=wanted_tool,
        parallel_calls=parallel,
        json=_json(data),
        prompt_tokens=sum(block.tokens for block in blocks),
        digest=digest(messages),
        agent_mode=False,
        stop=_stop(data),
        thinks=thinks,
        tier=faults.tier or "standard",
        resumed=resumed,
    )
    return MessagesRequest(chat, blocks, shows_thoughts)


def _typed(data: Mapping[str, Any], name: str, kind: Any, word: str, otherwise: Any = None, where: str = "") -> Any:
    """A field of this type; raises Refusal where it is another, or missing and without an `otherwise`."""
    value = data.get(name, otherwise)
    if value is None:
        raise Refusal(400, f"{where}{name}: Field required")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refusal(400, f"{where}{name}: Input should be a valid {word}")
    return value


def _limit(data: Mapping[str, Any]) -> int:
    limit = int(_typed(data, "max_tokens", int, "integer"))
    if limit < 1:
        raise Refusal(400, "max_tokens: Input should be greater than or equal to 1")
    return limit


def _thinking(data: Mapping[str, Any], limit: int | None) -> tuple[bool | None, bool]:
    """Whether the model is to think, and whether its thoughts are shown."""
    thinking = _typed(data, "thinking", dict, "dictionary", {})
    kind = thinking.get("type")
    if not thinking or kind == "disabled":
        return (False if thinking else None), True
    if kind not in ("enabled", "adaptive", "between_tools"):
        raise Refusal(400, f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if kind == "enabled":
        budget = _typed(thinking, "budget_tokens", int, "integer", where="thinking.enabled.")
        if budget < 1024:
            raise Refusal(400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if limit is not None and limit <= budget:
            raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        if data.get("temperature", 1) != 1:
            raise Refusal(400, "`temperature` may only be set to 1 when thinking is enabled.")
        if isinstance(data.get("tool_choice"), dict) and data["tool_choice"].get("type") in ("any", "tool"):
            raise Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")
    return True, thinking.get("display") != "omitted"


def _tools(data: Mapping[str, Any]) -> Iterator[Tool]:
    """The client's tools; the service's own (`type: web_search_…`) are taken and never called."""
    for number, item in enumerate(_typed(data, "tools", list, "list", [])):
        where = f"tools.{number}."
        if not isinstance(item, dict):
            raise Refusal(400, f"tools.{number}: Input should be a valid dictionary")
        if item.get("type", "custom") != "custom":
            continue
        name = _typed(item, "name", str, "string", where=f"{where}custom.")
        if not _NAME.fullmatch(name):
            raise Refusal(400, f"{where}custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        schema = _typed(item, "input_schema", dict, "dictionary", where=f"{where}custom.")
        if schema.get("type") != "object":
            raise Refusal(400, f"{where}custom.input_schema.type: Input should be 'object'")
        yield Tool(name, schema)


def _tool_choice(data: Mapping[str, Any], tools: tuple[Tool, ...], thinks: bool | None) -> tuple[str, bool]:
    """Which tool must be called (a name, "required" or ""), and whether several may be at once."""
    choice = _typed(data, "tool_choice", dict, "dictionary", {"type": "auto"})
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        raise Refusal(
            400, f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        )
    if "tool_choice" in data and kind != "none" and not data.get("tools"):
        raise Refusal(400, "tool_choice: tool_choice may only be specified while providing tools.")
    parallel = not choice.get("disable_parallel_tool_use", False)
    if kind != "tool":
        return ("required" if kind == "any" else ""), parallel
    name = _typed(choice, "name", str, "string", where="tool_choice.tool.")
    if name not in [tool.name for tool in tools]:
        raise Refusal(400, f"Tool '{name}' not found in provided tools")
    return name, parallel


def _json(data: Mapping[str, Any]) -> bool | dict[str, Any]:
    config = _typed(data, "output_config", dict, "dictionary", {})
    form = config.get("format") or data.get("output_format")
    if form is None:
        return False
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise Refusal(400, "output_config.format.type: Input should be 'json_schema'")
    schema = dict(_typed(form, "schema", dict, "dictionary", where="output_config.format."))
    _check_schema(schema)
    return schema


def _check_schema(schema: Any) -> None:
    """The grammar that an answer is held to knows no bounds, and closed objects only."""
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    for name in schema:
        if name in _UNHELD and not (name == "minItems" and schema[name] in (0, 1)):
            where = f"For '{kind}' type, property '{name}' is not supported"
            raise Refusal(400, f"output_config.format.schema: {where}")
    if kind == "object" and schema.get("additionalProperties") is not False:
        where = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise Refusal(400, f"output_config.format.schema: {where}")
    named = [schema.get(name) for name in ("properties", "$defs")]
    inner = [each for part in named if isinstance(part, dict) for each in part.values()]
    listed = [schema.get(name) for name in ("anyOf", "allOf")]
    for each in (*inner, *(each for part in listed if isinstance(part, list) for each in part), schema.get("items")):
        _check_schema(each)


def _stop(data: Mapping[str, Any]) -> tuple[str, ...]:
    listed = _typed(data, "stop_sequences", list, "list", [])
    for number, each in enumerate(listed):
        if not isinstance(each, str):
            raise Refusal(400, f"stop_sequences.{number}: Input should be a valid string")
        if not each.strip():
            raise Refusal(400, "stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(listed)


def _history(data: Mapping[str, Any], thinks: bool) -> list[Message]:
    """The messages in the words of chat completions, the rules for tools and thoughts checked."""
    listed = _typed(data, "messages", list, "list")
    if not listed:
        raise Refusal(400, "messages: at least one message is required")
    turns = [_turn(item, number, number == len(listed) - 1) for number, item in enumerate(listed)]
    if turns[0][0] != "user":
        raise Refusal(400, 'messages: first message must use the "user" role')
    _check_tools(turns)
    _check_thoughts(turns, thinks)
    called = {block["id"]: block["name"] for _, blocks in turns for block in blocks if block["type"] == "tool_use"}
    messages = []
    for role, blocks in turns:
        results = [block for block in blocks if block["type"] == "tool_result"]
        others = [block for block in blocks if block["type"] != "tool_result"]
        messages += [Message("tool", _text_of(block), called.get(block["tool_use_id"], "")) for block in results]
        if others or not results:
            messages.append(Message(role, "".join(map(_text_of, others))))
    return messages


_Turn = tuple[str, list[dict[str, Any]]]


def _turn(item: Any, number: int, last: bool) -> _Turn:
    """The role of a message and its blocks, each checked by itself."""
    where = f"messages.{number}"
    if not isinstance(item, dict):
        raise Refusal(400, f"{where}: Input should be a valid dictionary")
    role = item.get("role")
    if role == "system":
        message = 'The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
        raise Refusal(400, f'messages: Unexpected role "system". {message}')
    if role not in ("user", "assistant"):
        raise Refusal(400, f"{where}.role: Input should be 'user' or 'assistant'")
    for name in item.keys() - {"role", "content"}:
        raise Refusal(400, f"{where}.{name}: Extra inputs are not permitted")
    content = item.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    elif not isinstance(content, list):
        raise Refusal(400, f"{where}.content: Input should be a valid list")
    if not content and not (last and role == "assistant"):
        rule = "all messages must have non-empty content except for the optional final assistant message"
        raise Refusal(400, f"{where}: {rule}")
    blocks = [_block(block, f"{where}.content.{place}", role) for place, block in enumerate(content)]
    said = _text_of(blocks[-1]) if last and role == "assistant" and blocks else ""
    if said != said.rstrip():
        raise Refusal(400, "messages: final assistant content cannot end with trailing whitespace")
    return role, blocks


def _block(block: Any, where: str, role: str) -> dict[str, Any]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _BLOCKS:
        tags = ", ".join(f"'{each}'" for each in _BLOCKS)
        found = f"Input tag '{kind}' found using 'type' does not match any of the expected tags"
        raise Refusal(400, f"{where}: {found}: {tags}")
    inside = f"{where}.{kind}."
    match kind:
        case "text":
            if not _typed(block, "text", str, "string", where=inside).strip():
                raise Refusal(400, "messages: text content blocks must be non-empty")
        case "image":
            _check_image(_typed(block, "source", dict, "dictionary", where=inside), f"{inside}source")
        case "tool_use":
            id = _typed(block, "id", str, "string", where=inside)
            if not _NAME.fullmatch(id):
                raise Refusal(400, f"{inside}id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            _typed(block, "name", str, "string", where=inside)
            _typed(block, "input", dict, "dictionary", where=inside)
        case "tool_result":
            _typed(block, "tool_use_id", str, "string", where=inside)
            _texts(block.get("content", ""), f"{inside}content")
        case "thinking":
            _typed(block, "signature", str, "string", where=inside)
            _typed(block, "thinking", str, "string", where=inside)
        case "redacted_thinking":
            if not is_ours(_typed(block, "data", str, "string", where=inside)):
                raise Refusal(400, f"{where}: Invalid `data` in `redacted_thinking` block")
    if role != _HOMES.get(kind, role):
        raise Refusal(400, f"{where}: `{kind}` blocks can only be in `{_HOMES[kind]}` messages")
    return dict(block)


def _check_image(source: Mapping[str, Any], where: str) -> None:
    kind = source.get("type")
    if kind == "base64":
        if source.get("media_type") not in _IMAGES:
            wanted = "'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
            raise Refusal(400, f"{where}.base64.media_type: Input should be {wanted}")
        try:
            base64.b64decode(_typed(source, "data", str, "string", where=f"{where}.base64."), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Refusal(400, f"{where}.base64.data: Invalid base64 data") from exc
    elif kind not in ("url", "file"):
        raise Refusal(400, f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")


def _check_tools(turns: list[_Turn]) -> None:
    """Each call has its one result at the head of the next message, and each result its call in the one before."""
    seen: set[str] = set()
    for number, (_, blocks) in enumerate(turns):
        ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
        before = turns[number - 1][1] if number else []
        called = [block["id"] for block in before if block["type"] == "tool_use"]
        for place, block in enumerate(blocks):
            if block["type"] != "tool_result":
                continue
            id = block["tool_use_id"]
            if id not in called:
                raise Refusal(
                    400,
                    f"messages.{number}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
            if [each.get("tool_use_id") for each in blocks].count(id) > 1:
                rule = "each tool_use must have a single result. Found multiple `tool_result` blocks with id"
                raise Refusal(400, f"messages.{number}.content.{place}: {rule}: {id}")
        if seen & {*ids} or len({*ids}) < len(ids):
            raise Refusal(400, f"messages.{number}: `tool_use` ids must be unique")
        seen |= {*ids}
        if number + 1 == len(turns):
            answered = set() if ids else {*ids}
        else:
            answered = {block["tool_use_id"] for block in _leading_results(turns[number + 1][1])}
        missing = [id for id in ids if id not in answered]
        if missing:
            raise Refusal(
                400,
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message.",
            )


def _leading_results(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if block["type"] != "tool_result":
            return
        yield block


def _check_thoughts(turns: list[_Turn], thinks: bool) -> None:
    """Thoughts are as they were given; where the model thinks, a round of tools begins with them."""
    latest = max((number for number, (role, _) in enumerate(turns) if role == "assistant"), default=-1)
    for number, (_, blocks) in enumerate(turns):
        for place, block in enumerate(blocks):
            if block["type"] != "thinking" or block["signature"] == sign(block["thinking"]):
                continue
            where = f"messages.{number}.content.{place}"
            if number == latest and is_ours(block["signature"]):
                raise Refusal(
                    400,
                    f"{where}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
                    "modified. These blocks must remain as they were in the original response.",
                )
            raise Refusal(400, f"{where}: Invalid `signature` in `thinking` block")
    if not thinks:
        return
    for number in range(len(turns) - 1, -1, -1):
        role, blocks = turns[number]
        if role == "user" and not any(block["type"] == "tool_result" for block in blocks):
            return  # the turn that goes on began here
        if role == "assistant" and blocks and any(block["type"] == "tool_use" for block in blocks):
            found = blocks[0]["type"]
            if found not in ("thinking", "redacted_thinking"):
                expected = f"Expected `thinking` or `redacted_thinking`, but found `{found}`"
                raise Refusal(400, f"messages.{number}.content.0.type: {expected}. {_STARTS}")


def _texts(content: Any, where: str) -> str:
    """The text of a string or of blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise Refusal(400, f"{where}: Input should be a valid list")
    return "".join(map(_text_of, content))


def _text_of(block: Mapping[str, Any]) -> str:
    """What of a block is text: its own, that of a text document, that of the blocks in it."""
    text = block.get("text")
    if isinstance(text, str):
        return text
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text":
        return str(source.get("data", ""))
    content = block.get("content")
    if isinstance(content, list):
        return "".join(_text_of(each) for each in content if isinstance(each, dict))
    return content if isinstance(content, str) else ""


def _blocks(data: Mapping[str, Any]) -> Iterator[Block]:
    """The blocks of the prompt in the order in which it is cached: tools, system, messages."""
    blocks = [_cache_block(tool, msgspec.json.encode(tool).decode()) for tool in data.get("tools", [])]
    system = data.get("system", [])
    for part in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        blocks.append(_cache_block(part, _text_of(part)))
    for message in data["messages"]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            blocks.append(_cache_block({**part, "role": message["role"]}, _text_of(part)))
    if blocks and isinstance(data.get("cache_control"), dict):
        blocks[-1] = blocks[-1]._replace(ttl=_ttl(data["cache_control"]))
    yield from blocks


def _cache_block(part: Mapping[str, Any], text: str) -> Block:
    control = part.get("cache_control")
    content = {name: value for name, value in part.items() if name != "cache_control"}
    ttl = _ttl(control) if isinstance(control, dict) else ""
    return Block(msgspec.json.encode(content, order="deterministic"), len(tokenize(text)), ttl)


def _ttl(control: Mapping[str, Any]) -> str:
    ttl = control.get("ttl", "5m")
    if control.get("type") != "ephemeral" or ttl not in ("5m", "1h"):
        raise Refusal(400, "cache_control: Input should be {'type': 'ephemeral', 'ttl': '5m' or '1h'}")
    return str(ttl)
