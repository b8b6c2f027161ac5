"""Usage times a price card is a cost: exact decimals, with the price's source and date.

HolySheep's card is data (`prices.toml`); everybody else's list prices are genai-prices', whose own sum is used (cached
input, tiers, prices by the time of day). A price nobody knows is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

UNKNOWN: Final = "unknown"
LOCAL: Final = "local, no price"
SIMULATED: Final = "simulated"


class Row(Protocol):
    """A seller's own price of one model, in USD per million tokens (`providers.Price`)."""

    @property
    def model(self) -> str: ...
    @property
    def input(self) -> Decimal | None: ...
    @property
    def output(self) -> Decimal | None: ...
    @property
    def cached_input(self) -> Decimal | None: ...
    @property
    def cache_write(self) -> Decimal | None: ...
    @property
    def source(self) -> str: ...
    @property
    def as_of(self) -> str: ...


class Seller(Protocol):
    """What a price depends on besides the model (`providers.Provider`, where the fields are explained)."""

    @property
    def name(self) -> str: ...
    @property
    def price_list(self) -> str: ...
    @property
    def prices(self) -> Iterable[Row]: ...
    @property
    def cny_per_usd(self) -> Decimal: ...
    @property
    def rate_source(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PriceCard:
    """The prices of one model at one moment, in USD per million tokens; None is unknown.

    `input` is for tokens that were not cached; without a price of their own, cached tokens cost as much, and so do
    those that are written to a cache (`cache_write`, for five minutes; an hour has its own price on a list). `note` is
    "" for a real price, else `unknown`, `local, no price` or `simulated`. Where `list_id` names a provider of
    genai-prices, `cost` uses that list's own sum for the time `at` and the model `listed`: the prices here are then its
    first tier's.
    """

    model: str
    input: Decimal | None
    output: Decimal | None
    cached_input: Decimal | None
    cny_per_usd: Decimal
    source: str
    as_of: str
    note: str = ""
    list_id: str | None = None
    at: datetime | None = None
    listed: str | None = None
    cache_write: Decimal | None = None
    rate_source: str = ""


def price_card(seller: Seller, model: str, at: datetime | None = None) -> PriceCard:
    """The card of a model at a seller, for a request made at a time (now).

    A seller's own prices come first, then its price list: `card`, `simulated`, `own`, `local`, or a provider's id in
    genai-prices, which may depend on the model (`providers.Provider`).
    """
    note = SIMULATED if seller.price_list == "simulated" else ""
    for row in seller.prices:
        if row.model.lower() == model.lower():
            return PriceCard(
                model,
                row.input,
                row.output,
                row.cached_input,
                seller.cny_per_usd,
                row.source,
                row.as_of,
                note,
                cache_write=row.cache_write,
                rate_source=seller.rate_source,
            )
    if seller.price_list in ("card", "simulated"):
        return _holysheep(seller, model, note)
    if seller.price_list == "local":
        return _without(seller, model, "it runs on your own machine", LOCAL)
    if seller.price_list == "own":
        return _without(seller, model, f"no price of {model!r} at {seller.name} is known")
    return _listed(seller, model, at or datetime.now(UTC))


def priced_models(seller: Seller) -> list[str]:
    """The models of a seller that have a price for output tokens in its own table or on its price list."""
    names = [row.model for row in seller.prices]
    if seller.price_list in ("card", "simulated"):
        names += _holysheep_card()["models"]
    elif seller.price_list not in ("own", "local"):
        lister = next((each for each in snapshot().providers if each.id == seller.price_list), None)
        at = datetime.now(UTC)
        listed = lister.models if lister is not None else ()
        names += [each.id for each in listed if _first_tier(each.get_prices(at).output_mtok) is not None]
    return list(dict.fromkeys(names))


def _listed(seller: Seller, model: str, at: datetime) -> PriceCard:
    from genai_prices import __version__

    as_of = f"genai-prices {__version__}"
    list_id, name = _on_the_list(seller.price_list, model)
    try:
        lister, listed = snapshot().find_provider_model(name, None, list_id, None)
    except LookupError:
        place = repr(list_id) if list_id else seller.name
        return _without(seller, model, f"no price of {model!r} at {place} is listed", as_of=as_of)
    prices = listed.get_prices(at)
    input_, output = _first_tier(prices.input_mtok), _first_tier(prices.output_mtok)
    if input_ is None and output is None:
        return _without(seller, model, f"{lister.name} lists {listed.id!r} without a price per token", as_of=as_of)
    return PriceCard(
        model,
        input_,
        output,
        _first_tier(prices.cache_read_mtok),
        seller.cny_per_usd,
        source=f"list price of {listed.id} at {lister.name}",
        as_of=as_of,
        list_id=list_id,
        at=at,
        listed=name,
        cache_write=_first_tier(prices.cache_write_mtok),
        rate_source=seller.rate_source,
    )


def _on_the_list(price_list: str, model: str) -> tuple[str, str]:
    """Which list a model's price is on, "" for none, and its name there: {prefix} and {suffix} are in the model."""
    prefix, slash, after = model.partition("/")
    before, colon, suffix = model.rpartition(":")
    if "{prefix}" in price_list:
        return (price_list.replace("{prefix}", prefix), after) if slash else ("", model)
    if "{suffix}" in price_list:
        return (price_list.replace("{suffix}", suffix), before) if colon else ("", model)
    return price_list, after if prefix == price_list else model  # Vertex's names have "google/" before them


def _first_tier(price: Any) -> Decimal | None:
    first: Decimal | None = getattr(price, "base", price)
    return first


def _holysheep(seller: Seller, model: str, note: str) -> PriceCard:
    card = _holysheep_card()
    row = card["models"].get(model.lower())
    if row is None:
        return _without(seller, model, f"HolySheep's documents give no price of {model!r}", as_of=card["as_of"])
    return PriceCard(
        model,
        row["input"],
        row["output"],
        row.get("cached_input"),
        seller.cny_per_usd,
        source=row["source"],
        as_of=card["as_of"],
        note=note,
        rate_source=seller.rate_source,
    )


def _without(seller: Seller, model: str, reason: str, note: str = UNKNOWN, as_of: str = "") -> PriceCard:
    return PriceCard(model, None, None, None, seller.cny_per_usd, reason, as_of, note, rate_source=seller.rate_source)


@cache
def _holysheep_card() -> Mapping[str, Any]:
    import tomllib
    from pathlib import Path

    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text("utf-8"), parse_float=Decimal)


@cache
def snapshot() -> DataSnapshot:
    """Our own copy of the list: the library's global one can be replaced by anybody."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)
