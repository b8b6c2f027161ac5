"""A provider and a price, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal

from ..facts import Wire
from .secret import Secrets


@dataclass(frozen=True, slots=True)
class Price:
    """An entry's own price of one model, in USD per million tokens; None is unknown.

    cached_input: of tokens that came out of a cache. cache_write: of those that were written to one.
    """

    model: str
    input: Decimal | None
    output: Decimal | None
    cached_input: Decimal | None
    source: str
    as_of: str
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that streams answers in one of the wire formats.

    base_url: what stands before `/chat/completions`; None for the simulator, which has an address once it runs.
    wire: the format it is spoken to in; wires: all that it speaks, this one first.
    messages_url, responses_url: what stands before `/messages` and `/responses`, where that is not base_url: an
        address, or a path on base_url's own host.
    messages_key_header: the header that carries the key in Messages, bare; None is as in the other formats.
    responses_websocket: the address of its Responses socket (WebSocket mode); None where it has none.
    echo: what goes back of an assistant's turn with the next request: `reasoning_content`, `reasoning_details`,
        `extra_content`, `thinking` (parts of the content), `think` (the tags in the text), `thought_signature` (a call
        that has none gets one that says so). echo_turns: of `all` of them, or of those with `tools`. no_echo_models:
        glob patterns of models that refuse `reasoning_content`.
    echo_fields: what a request must say besides, so that the reasoning that goes back with it counts.
    unnamed_output: what output is called that only the total counts: `reasoning` or `other`.
    addresses: further addresses of the same service; {word} in one stands for what is yours (a resource, a region).
    key_variable: the environment variable with the key; None where no key is needed.
    key_optional: whether requests go out without a key where the variable is not set.
    key_header: the header that carries the key, bare; None is `Authorization`, with `Bearer`.
    headers, query: further ones of every request, whose values are treated as keys.
    http_key_hosts: hosts (`host:port`) that a key may go to over http; from a user's own file only.
    default_model: used where no model is named.
    include_usage: whether to ask for usage with `stream_options`.
    max_tokens_field: what the request calls the limit on the answer.
    price_list: `card` (HolySheep's), `simulated` (the same, for the simulator), `own` (only `prices`), `local` (runs on
        one's own machine: no price), or a provider's id in genai-prices, in which {prefix} stands for what the model
        has before its first "/", and {suffix} for what it has behind its last ":".
    prices: the entry's own prices, before any list.
    cny_per_usd, rate_source: the exchange rate this provider is paid at, and who says so.
    reasoning_models: glob patterns of models that reason without showing it.
    completion_tokens_models: of models whose limit is called max_completion_tokens, whatever max_tokens_field says.
    requests_per_minute, tokens_per_minute: what a client sends at most; None is no limit.
    inactivity: seconds without any byte after which a service is given up; progress_timeout: without output.
    websocket_inactivity: the first on its own sockets; None is the same.
    websocket: the address of its WebSocket (`wss://…`, or a path on the base_url's own host); None where it has none.
    websocket_hosts: hosts, besides base_url's, that a socket it offers may be on (`host` or `host:port`).
    websocket_emulation: whether a connection over SSE says so in its requests (document 003).
    tried: whether anybody has called it.
    source: the documentation these facts are from.
    """

    name: str
    base_url: str | None
    wire: Wire
    wires: tuple[Wire, ...]
    messages_url: str | None
    responses_url: str | None
    messages_key_header: str | None
    responses_websocket: str | None
    echo: tuple[str, ...]
    echo_turns: Literal["all", "tools"]
    no_echo_models: tuple[str, ...]
    echo_fields: Mapping[str, Any] = field(hash=False)
    unnamed_output: Literal["reasoning", "other"]
    addresses: tuple[str, ...]
    key_variable: str | None
    key_optional: bool
    key_header: str | None
    headers: Secrets
    query: Secrets
    http_key_hosts: tuple[str, ...]
    default_model: str | None
    include_usage: bool
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"]
    price_list: str
    prices: tuple[Price, ...]
    cny_per_usd: Decimal
    rate_source: str
    reasoning_models: tuple[str, ...]
    completion_tokens_models: tuple[str, ...]
    requests_per_minute: Decimal | None
    tokens_per_minute: Decimal | None
    inactivity: float
    progress_timeout: float
    websocket_inactivity: float | None
    websocket: str | None
    websocket_hosts: tuple[str, ...]
    websocket_emulation: bool
    tried: str
    source: str


def tokens_field(provider: Provider, model: str) -> Literal["max_tokens", "max_completion_tokens"]:
    """What a request for this model calls the limit on its answer."""
    return (
        "max_completion_tokens" if _is_one_of(model, provider.completion_tokens_models) else provider.max_tokens_field
    )


def refuses_reasoning(provider: Provider, model: str) -> bool:
    """Whether a model refuses a request that carries reasoning of earlier turns."""
    return _is_one_of(model, provider.no_echo_models)


def hides_reasoning(provider: Provider, model: str) -> bool:
    """Whether a model reasons without showing it."""
    return _is_one_of(model, provider.reasoning_models)


def _is_one_of(model: str, globs: tuple[str, ...]) -> bool:
    """Whether a pattern fits the model's name, with or without the vendor before it (`openai/o3`)."""
    names = (model.lower(), model.lower().rpartition("/")[2])
    return any(fnmatchcase(name, glob.lower()) for glob in globs for name in names)
