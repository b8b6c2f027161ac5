"""The body of `POST /v1/chat/completions`, checked and reduced to what the simulator uses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from . import echo
from .faults import FaultError, Faults, parse
from .fields import Fields
from .profiles import PROFILES, Profile
from .refusals import Refusal
from .tokens import tokenize

_SHAPELESS = (
    *("seed", "stream", "stream_options", "stream_mode", "agent_mode", "model", "user", "metadata"),
    *("logprobs", "top_logprobs", "service_tier"),
)
_GO_ON = re.compile(r"\bwas cut off\b|^\s*(?:please )?(?:continue|go on)\b[\s.!…]*$", re.IGNORECASE)
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True)
class Message:
    """One message, its content reduced to text; `tool` is the tool whose result it is, "" where that is not said."""

    role: str
    text: str
    tool: str = ""


@dataclass(frozen=True)
class Resumed:
    """An answer that is to go on: what was asked (`messages`, `digest`), what had been `said` of it.

    `repeats` where a message asks for it, to which the answer begins with the last words: else it goes on at once.
    """

    messages: tuple[Message, ...]
    digest: str
    said: str
    repeats: bool


@dataclass(frozen=True)
class Tool:
    """A function the model may call; `parameters` is its JSON schema."""

    name: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class ChatRequest:
    """One request: `limit` is max_tokens, `wanted_tool` a name, "required" or "", `json` True or a JSON schema.

    `agent_mode` asks for a WebSocket, if the request also says `Upgrade: websocket`; `stream` is then true as well.
    `stop` are the texts that end the answer; `top_logprobs` is None where no log probabilities are asked for; `thinks`
    says whether the model is to reason (None: as it usually does); `tier` is the service tier that the answer names.
    `resumed` is the answer that it asks to go on with.
    `digest` names everything that shapes the answer (not the seed, nor whether it is streamed).
    """

    profile: Profile
    faults: Faults
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    limit: int | None
    choices: int
    seed: int | None
    tools: tuple[Tool, ...]
    wanted_tool: str
    parallel_calls: bool
    json: bool | dict[str, Any]
    prompt_tokens: int
    digest: str
    agent_mode: bool
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    thinks: bool | None = None
    tier: str | None = None
    resumed: Resumed | None = None


def read(body: bytes, header: str) -> ChatRequest:
    """The request in `body`, with the faults of its model's suffix and of the X-Simulate `header` (which wins).

    Raises Refusal: 400 naming the parameter, 404 naming the model.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refusal(400, f"The body is not JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise Refusal(400, "The body must be a JSON object.")
    fields = Fields({name: value for name, value in data.items() if value is not None})
    model, _, suffix = fields.text("model").partition("#")
    faults = faults_of(suffix, header)
    listed = fields.list("messages", least=1)
    called = _called(listed)
    read_in = [_message(item, f"messages[{n}]", called) for n, item in enumerate(listed)]
    messages = tuple(message for n, message in enumerate(read_in) if not _shows_results(listed, n))
    if faults.echo:
        echo.check(faults.echo, listed)
    stream = fields.flag("stream")
    fields.number("temperature", 0, 2)
    fields.number("top_p", 0, 1)
    limit = fields.integer("max_completion_tokens", 1) or fields.integer("max_tokens", 1)
    tools, wanted_tool = _tools(fields)
    profile = profile_of(model)
    shaping = {name: value for name, value in data.items() if name not in _SHAPELESS}
    shaping["messages"] = [_shaping(item) for item in listed]
    resumed = None
    if (at := cut_at(read_in)) is not None:
        earlier = tuple(message for n, message in enumerate(read_in[:at]) if not _shows_results(listed, n))
        digest = digest_of(model, {**shaping, "messages": shaping["messages"][:at]})
        resumed = Resumed(earlier, digest, read_in[at].text, at < len(read_in) - 1)
    return ChatRequest(
        profile=profile,
        faults=unbroken(faults) if resumed else faults,
        messages=messages,
        stream=stream,
        include_usage=_include_usage(fields, stream),
        limit=limit,
        choices=fields.integer("n", 1, 128) or 1,
        seed=fields.integer("seed"),
        tools=tools,
        wanted_tool=wanted_tool,
        parallel_calls=fields.flag("parallel_tool_calls", default=True),
        json=_json(fields),
        prompt_tokens=sum(len(tokenize(text)) for text in (*(message.text for message in messages), *_schemas(fields))),
        digest=digest_of(model, shaping),
        agent_mode=fields.flag("agent_mode"),
        stop=_stop(fields),
        top_logprobs=_top_logprobs(fields),
        tier=_tier(fields, faults),
        resumed=resumed,
    )


def cut_at(messages: Sequence[Message]) -> int | None:
    """Where the answer stands that is to go on: at the end, or before a message that asks for it; None without one."""
    at = len(messages) - 1
    if messages[at].role == "user" and _GO_ON.search(messages[at].text):
        at -= 1
    is_answer = at > 0 and messages[at].role == "assistant" and messages[at].text.strip()
    return at if is_answer else None


def unbroken(faults: Faults) -> Faults:
    """Without what breaks a connection: what broke an answer does not break it again when it goes on."""
    return replace(faults, cut=None, reset=None, end=None)


def _schemas(fields: Fields) -> list[str]:
    """The tools as the model reads them: they are part of the prompt."""
    return [msgspec.json.encode(item["function"]).decode() for item in fields.list("tools")]


def profile_of(model: str) -> Profile:
    """The profile of a model; raises Refusal where there is none."""
    if model not in PROFILES:
        message = f"The model `{model}` does not exist; the simulator has {', '.join(PROFILES)}."
        raise Refusal(404, message, param="model", code="model_not_found")
    return PROFILES[model]


def digest_of(model: str, shaping: Any) -> str:
    """A name for everything that shapes an answer."""
    return hashlib.blake2b(
        model.encode() + msgspec.json.encode(shaping, order="deterministic"), digest_size=12
    ).hexdigest()


def faults_of(*sources: str) -> Faults:
    """The faults that suffix and header ask for; raises Refusal where they are none."""
    try:
        return parse(*sources)
    except FaultError as exc:
        raise Refusal(400, str(exc), param="X-Simulate", code="unknown_fault") from exc


def _called(messages: list[Any]) -> dict[Any, str]:
    """The names of the tools that assistant messages call, by the calls' ids."""
    calls = [
        call
        for item in messages
        if isinstance(item, dict) and isinstance(item.get("tool_calls"), list)
        for call in item["tool_calls"]
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    ]
    return {str(call.get("id")): str(call["function"].get("name", "")) for call in calls}


def _shaping(item: Any) -> Any:
    """What of a message shapes the answer: not the ids of calls, nor whether empty content is null or missing."""
    if not isinstance(item, dict) or not ("tool_call_id" in item or "tool_calls" in item):
        return item
    kept = {name: value for name, value in item.items() if name not in ("tool_call_id", "tool_calls", "name") and value}
    calls = item.get("tool_calls")
    if isinstance(calls, list):
        kept["calls"] = [call.get("function") if isinstance(call, dict) else call for call in calls]
    return kept


def _shows_results(listed: Sequence[Any], number: int) -> bool:
    """Whether a message of the user only brings the pictures of the results before it, which have no place for them."""
    content = listed[number].get("content")
    is_behind = number > 0 and listed[number - 1].get("role") == "tool" and listed[number].get("role") == "user"
    return is_behind and isinstance(content, list) and any(part.get("type") == "image_url" for part in content)


def _message(item: Any, where: str, called: dict[Any, str]) -> Message:
    if not isinstance(item, dict):
        raise Refusal(400, f"Invalid value for `{where}`: expected an object.", param=where, code="invalid_type")
    role = item.get("role")
    if role not in _ROLES:
        wanted = ", ".join(_ROLES)
        raise Refusal(400, f"Invalid value for `{where}.role`: expected one of {wanted}.", param=f"{where}.role")
    content = item.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        if role != "user" and any(part.get("type") == "image_url" for part in content):
            allowed = "Image URLs are only allowed for messages with role 'user'"
            raise Refusal(
                400, f"Invalid '{where}'. {allowed}, but this message with role '{role}' contains an image URL."
            )
        content = "".join(text for part in content if isinstance(text := part.get("text", ""), str))
    if not isinstance(content, str):
        wanted = "a string or an array of parts"
        raise Refusal(400, f"Invalid value for `{where}.content`: expected {wanted}.", param=f"{where}.content")
    return Message(role, content, called.get(str(item.get("tool_call_id")), "") if role == "tool" else "")


def _stop(fields: Fields) -> tuple[str, ...]:
    value = fields.values.get("stop", [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > 4 or not all(isinstance(each, str) and each for each in listed):
        raise Refusal(400, "Invalid value for `stop`: expected a string or an array of up to 4.", param="stop")
    return tuple(listed)


def _top_logprobs(fields: Fields) -> int | None:
    top = fields.integer("top_logprobs", 0, 20)
    if fields.flag("logprobs"):
        return top or 0
    if top is not None:
        raise Refusal(400, "`top_logprobs` is only allowed when `logprobs` is true.", param="top_logprobs")
    return None


def _tier(fields: Fields, faults: Faults) -> str | None:
    """The tier that serves the request: the one it names, for OpenAI's auto the default one."""
    asked = fields.text("service_tier") if "service_tier" in fields.values else None
    return faults.tier or ("default" if asked == "auto" else asked)


def _include_usage(fields: Fields, stream: bool) -> bool:
    if "stream_options" not in fields.values:
        return False
    options = Fields(fields.object("stream_options"))
    if not stream:
        raise Refusal(400, "`stream_options` is only allowed when `stream` is true.", param="stream_options")
    return options.flag("include_usage")


def _tools(fields: Fields) -> tuple[tuple[Tool, ...], str]:
    """The tools, and which one must be called: a name, "required", or "" where the prompt decides."""
    tools: list[Tool] = []
    for number, item in enumerate(fields.list("tools")):
        function = item.get("function") if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            param = f"tools[{number}].function.name"
            raise Refusal(
                400, f"Missing required parameter: `{param}`.", param=param, code="missing_required_parameter"
            )
        parameters = function.get("parameters")
        tools.append(Tool(name, parameters if isinstance(parameters, dict) else {}))
    choice = fields.values.get("tool_choice", "auto")
    if choice == "none":
        return (), ""
    if isinstance(choice, dict):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        if wanted not in [tool.name for tool in tools]:
            raise Refusal(400, f"Tool choice `{wanted}` is not among the tools.", param="tool_choice")
        return tuple(tools), wanted
    if choice not in ("auto", "required"):
        wanted = "none, auto, required or a function"
        raise Refusal(400, f"Invalid value for `tool_choice`: expected {wanted}.", param="tool_choice")
    return tuple(tools), "required" if choice == "required" and tools else ""


def _json(fields: Fields) -> bool | dict[str, Any]:
    form = fields.object("response_format")
    kind = form.get("type", "text")
    if kind == "json_schema":
        wrapper = form.get("json_schema")
        schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
        if not isinstance(schema, dict):
            param = "response_format.json_schema.schema"
            raise Refusal(400, f"Missing required parameter: `{param}`.", param=param)
        return schema
    if kind not in ("text", "json_object"):
        wanted = "text, json_object or json_schema"
        raise Refusal(
            400, f"Invalid value for `response_format.type`: expected {wanted}.", param="response_format.type"
        )
    return bool(kind == "json_object")
