"""What may be said at a door: how a service is reached, the fields of a request, and what is neither.

Every door that takes keywords names the client's options itself, and gives the rest to `fields_of`.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

from .. import kinds
from ..errors import SetupError
from ..facts import WIRES, Wire
from ..providers.address import parts_of
from ..providers.extras import (
    header_name_flaw,
    header_value_flaw,
    query_name_flaw,
    query_value_flaw,
    secrets_of,
    variable_flaw,
)
from ..providers.secret import Key, Secrets, opened, sealing
from ..wire.pool import POOLS
from ..wire.redaction import redact_marked


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a service is reached; None is the provider's own value, or the default. Times are in seconds.

    base_url: another address, with its path; a query goes into `query`.
    api_key: instead of a variable's. key_variable: the variable that has it. key_header: the header that carries it,
        bare; by default `Authorization`, with `Bearer`.
    headers, query: further ones, whose values are treated as keys.
    ca, cert: files of certificates: whom to trust, and who we are (`cert` or `(cert, key)`).
    wire: the format it is spoken to in, `chat`, `messages` or `responses`.
    inactivity: limit on a silence without any byte. progress_timeout: limit on the time without output.
    """

    base_url: str | None = None
    api_key: Key | None = None
    key_variable: str | None = None
    key_header: str | None = None
    headers: Secrets = field(default=(), repr=False)
    query: Secrets = field(default=(), repr=False)
    ca: str | None = None
    cert: str | tuple[str, str] | None = None
    wire: Wire | None = None
    connect_timeout: float | None = None
    inactivity: float | None = None
    progress_timeout: float | None = None
    retries: int | None = None
    backoff: float | None = None
    pool: str | None = None
    max_bytes: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for equal options, in this process only; no key can be had from it."""
        digest = hashlib.blake2b(key=_SALT, digest_size=16)
        for each in fields(self):
            digest.update(f"{each.name}={_revealed(getattr(self, each.name))!r};".encode())
        return digest.hexdigest()


_SALT: Final = secrets.token_bytes(32)


def _revealed(value: Any) -> Any:
    if isinstance(value, Key):
        return value.reveal()
    return [_revealed(each) for each in value] if isinstance(value, tuple) else value


OPTIONS: Final = frozenset(each.name for each in fields(ClientOptions))


@sealing()
def client_options(**given: Any) -> ClientOptions:
    """The options as a reader gives them (a key is a text, headers and a query are mappings), each checked.

    Raises SetupError in one sentence, which repeats no value that may be a key. A query in base_url goes into `query`.
    """
    found = {name: value for name, value in given.items() if value is not None}
    for name, value in found.items():
        if name not in _READ:
            likely = get_close_matches(name, OPTIONS, n=1)
            instead = f"did you mean {likely[0]}?" if likely else f"there are {', '.join(_READ)}."
            raise SetupError(f"There is no option {name}: {instead}")
        read, flaw = _read(name, value)
        if flaw:
            raise SetupError(flaw)
        found[name] = read
    if isinstance(found.get("base_url"), tuple):
        found["base_url"], query = found["base_url"]
        if twice := sorted({name for name, _ in query} & {name for name, _ in found.get("query", ())}):
            raise SetupError(f"{twice[0]} is in the query of the base_url and in query: give it once.")
        found["query"] = (*query, *found.get("query", ()))
    silence, progress = found.get("inactivity"), found.get("progress_timeout")
    if silence is not None and progress is not None and silence > progress:
        raise SetupError(
            f"inactivity={silence:g} is above progress_timeout={progress:g}, which would end the answer before it: "
            "raise progress_timeout, or leave it out."
        )
    return ClientOptions(**found)


def _read(name: str, value: object) -> tuple[Any, str]:
    """The option, or what is wrong with it: an error raised here would show the value in its frames."""
    try:
        return _READ[name](name, opened(value)), ""
    except SetupError as exc:
        return None, str(exc)
    except ValueError as exc:
        return None, f"The {'mapping ' if name in ('headers', 'query') else ''}{name} {exc}."


def _url(_name: str, value: object) -> tuple[str, Secrets]:
    address, query = parts_of(kinds.text("base_url", value, "https://api.example.com/v1"))
    try:
        return address, _query("query", query)
    except ValueError as exc:
        raise ValueError(f"has a query that {exc}") from None


def _key(name: str, value: object) -> Key:
    if not isinstance(value, str | Key):
        raise SetupError(f"{name} is {kinds.kind(value)}: give the key as a text.")
    return Key(value)


def _variable(_name: str, value: object) -> str:
    if value != "" and (flaw := variable_flaw(value)):
        raise ValueError(flaw)
    return str(value)


def _key_header(_name: str, value: object) -> str:
    if flaw := header_name_flaw(value):
        raise ValueError(flaw)
    return _no_key(str(value))


def _no_key(name: str) -> str:
    """A name, which is shown where values are not."""
    if redact_marked(name) != name:
        raise ValueError("has a key where a name belongs")
    return name


def _headers(_name: str, value: object) -> Secrets:
    return _named(value, header_name_flaw, header_value_flaw)


def _query(_name: str, value: object) -> Secrets:
    return _named(value, query_name_flaw, query_value_flaw)


def _named(value: object, name_flaw: Callable[[object], str], value_flaw: Callable[[str], str]) -> Secrets:
    pairs = _pairs(value) if isinstance(value, tuple) else secrets_of(value, name_flaw, value_flaw)
    for name, _ in pairs:
        _no_key(name)
    return pairs


def _pairs(value: tuple[Any, ...]) -> Secrets:
    """Those of other options, which have been checked."""
    if not all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Key) for pair in value):
        raise ValueError("must be names with their values, like {'x-title': 'notebook'}")
    return value


def _file(name: str, value: object) -> str:
    if not isinstance(value, str | Path) or not str(value):
        raise SetupError(f"{name} is {kinds.kind(value)}: give the path of a file.")
    return str(value)


def _files(name: str, value: object) -> str | tuple[str, str]:
    if isinstance(value, tuple | list) and len(value) == 2:
        return _file(name, value[0]), _file(name, value[1])
    return _file(name, value)


def _not_negative(name: str, value: object) -> float:
    return kinds.number(name, value, unit="seconds")


def _per_minute(name: str, value: object) -> float:
    return kinds.number(name, value, above=0)


def _bytes(name: str, value: object) -> int:
    return kinds.count(name, value, least=1)


def _wire(name: str, value: object) -> str:
    return kinds.choice(name, value, WIRES)


def _pool(name: str, value: object) -> str:
    return kinds.choice(name, value, tuple(POOLS))


_READ: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "base_url": _url,
    "api_key": _key,
    "key_variable": _variable,
    "key_header": _key_header,
    "headers": _headers,
    "query": _query,
    "ca": _file,
    "cert": _files,
    "wire": _wire,
    "connect_timeout": kinds.seconds,
    "inactivity": kinds.seconds,
    "progress_timeout": kinds.seconds,
    "retries": kinds.count,
    "backoff": _not_negative,
    "pool": _pool,
    "max_bytes": _bytes,
    "requests_per_minute": _per_minute,
    "tokens_per_minute": _per_minute,
}

REQUEST_FIELDS: Final = frozenset(
    {
        # Chat Completions, and what services that speak it add
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "max_tokens", "max_completion_tokens", "min_tokens"),
        *("stop", "seed", "n", "logprobs", "top_logprobs", "logit_bias", "ignore_eos", "response_format"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty", "tools", "tool_choice"),
        *("parallel_tool_calls", "functions", "function_call", "stream_options", "user", "metadata", "store"),
        *("service_tier", "modalities", "audio", "prediction", "web_search_options", "cache_prompt"),
        *("reasoning", "reasoning_effort", "include_reasoning", "thinking", "enable_thinking", "verbosity"),
        *("chat_template_kwargs", "guided_json", "grammar", "json_schema", "safe_prompt"),
        *("prompt_cache_key", "safety_identifier"),
        # Messages and Responses
        *("stop_sequences", "output_config", "instructions", "max_output_tokens", "include", "text", "truncation"),
        *("previous_response_id", "background", "cache_control"),
    }
)
"""Fields that a request may have as keywords; any other goes through `parameters={…}`."""

_MEANT: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("users", "num_users", "clients", "max_users", "max_concurrency", "num_concurrent", "parallel", "streams"),
        ("most", "concurrencies", "concurrency"),
    ),
    **dict.fromkeys(
        ("count", "requests", "num_requests", "max_requests", "request_count", "num_prompts", "iterations"),
        ("requests", "repeats"),
    ),
    **dict.fromkeys(("rps", "qps", "request_rate", "requests_per_second"), ("rate",)),
    **dict.fromkeys(("seconds", "max_seconds", "benchmark_duration"), ("duration",)),
    **dict.fromkeys(("slo", "goodput", "sla"), ("limits",)),
    **dict.fromkeys(("budget", "max_usd"), ("max_cost",)),
    "burstiness": ("arrivals",),
    "num_warmups": ("warmup",),
    "interval": ("every",),
}
"""What is called otherwise here than by other tools, which no likeness of letters tells: of these names the first that
a door has is meant."""

_SET_BY_THE_CALL: Final = frozenset({"model", "messages", "prompt", "stream", "input"})
_SECRET_NAME: Final = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|authorization|token|secret|password|bearer)", re.IGNORECASE
)

_SECRET_INSIDE: Final = re.compile(
    r"(?:[\w-]*[_-])?(?:api[_-]?key|authorization|password|secret|(?:access|auth|bearer|id|refresh)[_-]?token)",
    re.IGNORECASE,
)
"""Names of keys inside a field, where `bos_token` is none."""

_ELSEWHERE: Final = {
    "extra_headers": "headers are an option of the client, headers={…}.",
    "default_headers": "headers are an option of the client, headers={…}.",
    "extra_query": "the query is an option of the client, query={…}.",
    "default_query": "the query is an option of the client, query={…}.",
    "extra_body": "fields of the service's own are parameters={…}.",
    "max_cost": "hs.stream, ChatPanel, hs.bench, hs.sweep and hs.shadow take it, and %%stream has --max-cost.",
}
"""What has its place elsewhere, some of it by another library's name."""


def fields_of(
    door: str,
    keywords: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    names: Iterable[str] = (),
    options_at: str = "Client(…)",
) -> dict[str, Any]:
    """The fields of a request that a door was given: `keywords` that are known ones, and `parameters` of any name.

    door: as the reader wrote it, for messages: "hs.bench". names: the door's own keywords, for a likely misspelling.
    options_at: the door that takes the client's options where this one does not.
    Raises SetupError for an unknown name, an option of the client, and whatever is or looks like a key; no value of
    theirs is repeated.
    """
    try:
        return _fields(door, keywords, parameters, names, options_at)
    except SetupError as exc:
        flaw = str(exc)
    raise SetupError(flaw)  # an error raised below would show the values in its frames


def _fields(
    door: str,
    keywords: Mapping[str, Any],
    parameters: Mapping[str, Any] | None,
    names: Iterable[str],
    options_at: str,
) -> dict[str, Any]:
    keywords, parameters = {name: opened(value) for name, value in keywords.items()}, opened(parameters)
    names = frozenset(names)
    for name, value in keywords.items():
        if name in _ELSEWHERE:
            raise SetupError(f"{door} does not know {name}: {_ELSEWHERE[name]}")
        if name in OPTIONS:
            raise SetupError(f"{name} is an option of the client: give it to {options_at}, not to {door}.")
        if name in _SET_BY_THE_CALL:
            raise SetupError(f"{name} cannot be a field for {door}, as it is set by the call itself: leave it out.")
        if _SECRET_NAME.fullmatch(name) and not get_close_matches(name, REQUEST_FIELDS, n=1, cutoff=0.9):
            raise SetupError(f"{name} would go into the request's body: a key is given as api_key to {options_at}.")
        if name not in REQUEST_FIELDS:
            meant = [each for each in _MEANT.get(name, ()) if each in names]
            likely = meant or get_close_matches(name, {*names, *REQUEST_FIELDS, *OPTIONS}, n=1)
            own = "a field of the service's own goes into parameters={…}"
            instead = f"did you mean {likely[0]}? ({own})" if likely else f"{own}."
            raise SetupError(f"{door} does not know {name}: {instead}")
        refuse_keys(door, name, value)
    if parameters is not None and not isinstance(parameters, Mapping):
        raise SetupError(f"The parameters of {door} must be a mapping of names to values: parameters={{'seed': 7}}.")
    further = dict(parameters or {})
    for name, value in further.items():
        if not isinstance(name, str):
            raise SetupError(f"A name in the parameters of {door} is {kinds.kind(name)}: give each as a text.")
        if name in _SET_BY_THE_CALL:
            raise SetupError(
                f"{name} cannot be in the parameters of {door}, as it is set by the call itself: leave it out."
            )
        if name in _ELSEWHERE:
            raise SetupError(f"{name} would go into the request's body: {_ELSEWHERE[name]}")
        if name in OPTIONS - {"headers", "query", "pool"} or _SECRET_NAME.fullmatch(name):
            raise SetupError(f"{name} would go into the request's body: give it as an argument of {options_at}.")
        refuse_keys(door, name, value)
    if twice := sorted(keywords.keys() & further.keys()):
        raise SetupError(f"{twice[0]} is given to {door} twice, as a keyword and in parameters: give it once.")
    found: dict[str, Any] = kinds.plain({**keywords, **further})
    for name, value in found.items():
        if value is not None and (check := _NUMBERS.get(name)):
            check(name, value)
    if strange := next((name for name, value in found.items() if not _is_json(value)), None):
        raise SetupError(
            f"{strange} of {door} is or holds what JSON has no form for: give texts, numbers, lists and mappings."
        )
    return found


def _whole(name: str, value: object) -> None:
    """Of any size: some services take −1 as no limit."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise SetupError(f"{name} is {kinds.kind(value)}: give a whole number.")


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SetupError(f"{name} is {kinds.kind(value)}: give a number.")


_NUMBERS: Final[Mapping[str, Callable[[str, object], None]]] = {
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "n", "seed", "top_k"), _whole
    ),
    **dict.fromkeys(
        ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"), _number
    ),
}
"""Fields that are numbers with every service; how large they may be, each says itself."""


def _is_json(value: Any) -> bool:
    """Whether JSON says just this: bytes would be written as a text, a Decimal too, and NaN as null."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_json(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64  # what the encoder takes
    return value is None or isinstance(value, str)


def refuse_keys(door: str, name: str, value: Any, depth: int = 6) -> None:
    """Raises SetupError where a text in the value has a key's shape."""
    if isinstance(value, str):
        if redact_marked(value) != value:
            raise SetupError(
                f"{name} of {door} holds what looks like a key, and would be sent in the body: take it out."
            )
    elif isinstance(value, Mapping) and depth:
        for inner, each in value.items():
            is_named = name != "tools" and isinstance(inner, str) and _SECRET_INSIDE.fullmatch(inner)
            if is_named and isinstance(each, str) and each:
                raise SetupError(f"{name} of {door} has {inner} in it, which would be sent in the body: take it out.")
            refuse_keys(door, name, each, depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for each in value:
            refuse_keys(door, name, each, depth - 1)
