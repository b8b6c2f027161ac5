"""hs.project_cost: what a day's or a month's tokens cost in a day, a month and a year, at each seller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from .. import kinds
from ..errors import SetupError, UnknownProvider
from ..providers.select import may_name_provider, select
from .card import LOCAL, UNKNOWN, PriceCard, price_card
from .exact import decimal, exactly

if TYPE_CHECKING:
    from .table import MoneyTable

DAYS: Final[Mapping[str, int]] = {"day": 1, "month": 30, "year": 365}
MONTHS_A_YEAR: Final = 12
KINDS: Final = ("input", "cached", "output")
CARD: Final = (
    "holysheep:gpt-4.1",
    "holysheep:gpt-4o",
    "holysheep:claude-sonnet-4.5",
    "holysheep:gemini-2.5-flash",
    "holysheep:deepseek-v3.2",
)

_MILLION: Final = 1_000_000
_STEP: Final = timedelta(minutes=30)
"""Lists' prices by the time of day change at whole and half hours."""
_STEPS: Final = 48
_ROUNDING: Final = Decimal("0.000001")
"""What shares may miss of 1: thirds written with six digits."""

Number = Decimal | float | int | str


@dataclass(frozen=True, slots=True)
class Volume:
    """The tokens of a day, of a month and of a year."""

    day: Decimal
    month: Decimal
    year: Decimal


def a_day(tokens: Decimal | int) -> Volume:
    """So many a day: a month has 30 of them, a year 365."""
    with exactly():
        return Volume(*(Decimal(tokens) * days for days in DAYS.values()))


def a_month(tokens: Decimal | int) -> Volume:
    """So many a month: a year has 12 of them, a day a thirtieth."""
    with exactly():
        return Volume(Decimal(tokens) / DAYS["month"], Decimal(tokens), Decimal(tokens) * MONTHS_A_YEAR)


@dataclass(frozen=True, slots=True)
class Projection:
    """What one seller takes for a volume of tokens; None where the price is unknown.

    usd_per_million: tokens of the mix, in US dollars of list price. cny_per_usd: what a dollar of it costs in yuan at
    this seller.
    """

    name: str
    volume: Volume
    usd_per_million: Decimal | None
    cny_per_usd: Decimal
    source: str
    as_of: str

    def usd(self, period: str) -> Decimal | None:
        """For a day, a month or a year."""
        if self.usd_per_million is None:
            return None
        tokens: Decimal = getattr(self.volume, period)
        with exactly():
            return self.usd_per_million * tokens / _MILLION

    def cny(self, period: str) -> Decimal | None:
        usd = self.usd(period)
        with exactly():
            return None if usd is None else usd * self.cny_per_usd


def project_cost(
    tokens_per_day: Number | None = None,
    *,
    tokens_per_month: Number | None = None,
    mix: Mapping[str, Number] | None = None,
    models: Sequence[str] | str = CARD,
    baseline: str | None = None,
    prices: Mapping[str, Number] | None = None,
) -> MoneyTable:
    """Cost per provider and model, exact: one row each, in USD and in CNY at the provider's own rate.

    tokens_per_day, tokens_per_month: of all kinds together, one of the two. A day's tokens make a month of 30 days and
        a year of 365; a month's make a year of 12, and a thirtieth of them a day.
    mix: the share of each kind, `input`, `cached`, `output`; by default `{"output": 1}`, as HolySheep's documents do.
        What rounding left of 1, a millionth at most, is the largest share's.
    models: each `provider:model`, or a model of HolySheep's; one alone may be a text.
    baseline: the row, by its name or its model, against which `saving_usd_per_year`, `saving_cny_per_year` and
        `saving_cny_percent` are given. What HolySheep sells is the rate: the same dollars cost fewer yuan.
    prices: further rows by name, in USD per 1M tokens of any kind, at ¥7.3 to the dollar.

    Columns: usd_per_day, usd_per_month, usd_per_year, the same in cny, cny_per_usd, source, as_of. Values are Decimals,
    None where the price is unknown; the table shows them to the cent, or with two significant digits below one. Per
    cents are rounded to a tenth. Where a price list has tiers, the first one's price counts; where its prices depend on
    the time of day, their mean over today's 24 hours, and source says so.
    """
    volume, shares = _volume(tokens_per_day, tokens_per_month), _shares(mix)
    if prices is not None and not isinstance(prices, Mapping):
        raise SetupError(f"prices is {kinds.kind(prices)}: give a mapping of names to numbers.")
    named = dict.fromkeys(kinds.text("One of the models", model) for model in _models(models))
    rows = {row.name: row for row in (project(model, volume, shares) for model in named)}
    for name, price in (prices or {}).items():
        if kinds.text("A name in prices", name) in rows:
            raise SetupError(f"prices has {name!r}, which is one of the models: give it another name.")
        rows[name] = flat(name, kinds.money(f"The price {name}", price), volume)
    return _table(list(rows.values()), baseline)


def project(model: str, volume: Volume, shares: Mapping[str, Decimal] | None = None) -> Projection:
    """One model's projection, by default of output tokens."""
    provider, name = select(model)
    card = price_card(provider, name)
    if name == model.strip() and card.note == UNKNOWN and may_name_provider(model):
        word = model.partition(":")[0]
        raise UnknownProvider(f"There is no provider {word!r} for {model!r}: give provider:model, as openai:gpt-4.1.")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = (midnight + _STEP * i for i in range(_STEPS))
    per_million = [_per_million(price_card(provider, name, at), shares or {"output": Decimal(1)}) for at in times]
    source = card.source if len(set(per_million)) == 1 else f"{card.source}, mean over the hours of a day"
    return Projection(f"{provider.name}:{name}", volume, _mean(per_million), card.cny_per_usd, source, card.as_of)


def flat(name: str, usd_per_million: Decimal, volume: Volume) -> Projection:
    """A seller with one price for every token, in USD per 1M, at ¥7.3 to the dollar."""
    return Projection(name, volume, usd_per_million, Decimal("7.3"), "given here", "")


def percent_less(before: Decimal, after: Decimal) -> Decimal | None:
    """Per cent saved; None of nothing."""
    with exactly():
        return 100 * (before - after) / before if before else None


def _per_million(card: PriceCard, shares: Mapping[str, Decimal]) -> Decimal | None:
    """By the million, so that no price list takes a day's tokens for one request of that size."""
    if card.note == LOCAL:
        return None
    cached_price = card.input if card.cached_input is None else card.cached_input
    prices = {"input": card.input, "cached": cached_price, "output": card.output}
    total = Decimal(0)
    with exactly():
        for kind, share in shares.items():
            price = prices[kind]
            if price is None:
                return None
            total += price * share
        return total


def _mean(prices: Sequence[Decimal | None]) -> Decimal | None:
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    with exactly():
        return known[0] if len(set(known)) == 1 else sum(known, Decimal(0)) / len(known)


def _volume(per_day: object, per_month: object) -> Volume:
    if (per_day is None) == (per_month is None):
        raise SetupError("hs.project_cost takes tokens_per_day or tokens_per_month: give one of them.")
    if per_month is None:
        return a_day(_tokens("tokens_per_day", per_day))
    return a_month(_tokens("tokens_per_month", per_month))


def _tokens(name: str, value: object) -> Decimal:
    wanted = "a number of tokens above 0, as 1_000_000"
    if isinstance(value, str) and name == "tokens_per_day":
        wanted += ", and the models by models="
    tokens = decimal(name, value, wanted)
    if tokens <= 0:
        raise SetupError(f"{name}={kinds.shown(value)}: give {wanted}.")
    return tokens


def _models(models: object) -> Sequence[object]:
    if isinstance(models, str):
        return [models]
    listed = kinds.unpacked(models)
    if not isinstance(listed, list | tuple) or not listed:
        raise SetupError(f"The models of hs.project_cost are {kinds.kind(models)}: give a list of provider:model.")
    return listed


def _shares(mix: Mapping[str, Number] | None) -> dict[str, Decimal]:
    if mix is None:
        return {"output": Decimal(1)}
    if not isinstance(mix, Mapping) or not mix:
        raise SetupError(f'mix is {kinds.kind(mix)}: give the share of each kind, as {{"input": 0.7, "output": 0.3}}.')
    if unknown := [kinds.shown(kind) for kind in mix if kind not in KINDS]:
        raise SetupError(f"mix has no kind of token {', '.join(unknown)}: kinds are {', '.join(KINDS)}.")
    shares = {}
    for kind, share in mix.items():
        wanted = "a number from 0 to 1"
        shares[kind] = decimal(f"The share {kind} of mix", share, wanted, text=True)
        if shares[kind] < 0:
            raise SetupError(f"The share {kind} of mix={kinds.shown(share)}: give {wanted}.")
    with exactly():
        total = sum(shares.values(), Decimal(0))
        if abs(total - 1) > _ROUNDING:
            raise SetupError(f"The shares of mix add up to {total:f}: they must add up to 1.")
        shares[max(shares, key=shares.__getitem__)] += 1 - total
    return {kind: share for kind, share in shares.items() if share}


def _table(rows: Sequence[Projection], baseline: str | None) -> MoneyTable:
    from .table import MoneyTable

    base = None if baseline is None else _baseline(rows, kinds.text("baseline", baseline))
    table = [
        {
            **{f"usd_per_{period}": row.usd(period) for period in DAYS},
            **{f"cny_per_{period}": row.cny(period) for period in DAYS},
            **({} if base is None else _saving(row, base)),
            "cny_per_usd": row.cny_per_usd,
            "source": row.source,
            "as_of": row.as_of,
        }
        for row in rows
    ]
    return MoneyTable(table, index=[row.name for row in rows], dtype=object)


def _baseline(rows: Sequence[Projection], name: str) -> Projection:
    of_name = [row for row in rows if row.name == name]
    found = of_name or [row for row in rows if row.name.partition(":")[2] == name]
    if len(found) == 1:
        return found[0]
    words = "none of the rows" if not found else f"{len(found)} of the rows"
    raise SetupError(f"The baseline {name!r} is {words}: choose one of {', '.join(row.name for row in rows)}.")


def _saving(row: Projection, base: Projection) -> dict[str, Decimal | None]:
    usd, cny = (_less(getattr(row, name)("year"), getattr(base, name)("year")) for name in ("usd", "cny"))
    before, after = base.cny("year"), row.cny("year")
    percent = None if before is None or after is None else percent_less(before, after)
    with exactly():
        tenth = None if percent is None else percent.quantize(Decimal("0.1"))
    return {"saving_usd_per_year": usd, "saving_cny_per_year": cny, "saving_cny_percent": tenth}


def _less(after: Decimal | None, before: Decimal | None) -> Decimal | None:
    with exactly():
        return None if after is None or before is None else before - after
