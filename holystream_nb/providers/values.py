"""A provider and a price, as values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


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
    default_model: used where no model is named.
    include_usage: whether to ask for usage with `stream_options`.
    max_tokens_field: what the request calls the limit on the answer.
    price_list: `card` (HolySheep's), `simulated` (the same, for the simulator), `own` (only `prices`), `local` (runs on
        one's own machine: no price), or a provider's id in genai-prices.
    prices: the entry's own prices, before any list.
    cny_per_usd, rate_source: the exchange rate this provider is paid at, and who says so.
    reasoning_models: glob patterns of models that reason without showing it.
    requests_per_minute, tokens_per_minute: what a client sends at most; None is no limit.
    websocket: the address of its WebSocket (`wss://…`, or a path on the base_url's own host); None where it has none.
    websocket_hosts: hosts, besides base_url's, that a socket it offers may be on (`host` or `host:port`).
    websocket_emulation: whether a connection over SSE says so in its requests (document 003).
    tried: whether anybody has called it.
    source: the documentation these facts are from.
    """

    name: str
    base_url: str | None
    key_variable: str | None
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
    websocket: str | None
    websocket_hosts: tuple[str, ...]
    websocket_emulation: bool
    tried: str
    source: str
