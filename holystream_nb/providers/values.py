"""A provider and a price, as values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .secret import Secrets


@dataclass(frozen=True, slots=True)
class Price:
    """An entry's own price of one model, in USD per million tokens; None is unknown."""

    model: str
    input: Decimal | None
    output: Decimal | None
    cached_input: Decimal | None
    source: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that speaks OpenAI's chat completions.

    base_url: what stands before `/chat/completions`; None for the simulator, which has an address once it runs.
    key_variable: the environment variable with the key; None where no key is needed.
    key_header: the header that carries the key, bare; None is `Authorization`, with `Bearer`.
    headers, query: further ones of every request, whose values are treated as keys.
    http_key_hosts: hosts (`host:port`) that a key may go to over http; from a user's own file only.
    default_model: used where no model is named.
    include_usage: whether to ask for usage with `stream_options`.
    max_tokens_field: what the request calls the limit on the answer.
    price_list: `card` (HolySheep's), `simulated` (the same, for the simulator), `own` (only `prices`), `local` (runs on
        one's own machine: no price), or a provider's id in genai-prices.
    prices: the entry's own prices, before any list.
    cny_per_usd, rate_source: the exchange rate this provider is paid at, and who says so.
    reasoning_models: glob patterns of models that reason without showing it.
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
    key_variable: str | None
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
