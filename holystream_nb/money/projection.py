"""hs.project_cost: what a day's tokens cost in a day, a month and a year, and what HolySheep's documents make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isclose
from typing import TYPE_CHECKING, Final

from .. import kinds
from ..errors import SetupError
from ..providers.select import select
from .card import LOCAL, PriceCard, price_card

if TYPE_CHECKING:
    from pandas import DataFrame

DAYS: Final[Mapping[str, int]] = {"day": 1, "month": 30, "year": 365}
KINDS: Final = ("input", "cached", "output")
CARD: Final = (
    "holysheep:gpt-4.1",
    "holysheep:gpt-4o",
    "holysheep:claude-sonnet-4.5",
    "holysheep:gemini-2.5-flash",
    "holysheep:deepseek-v3.2",
)

Number = Decimal | float | int | str


@dataclass(frozen=True, slots=True)
class Projection:
    """What one seller takes for a day's tokens; None where the price is unknown.

    usd_per_day: in US dollars of list price. cny_per_usd: what a dollar of it costs in yuan at this seller.
    """

    name: str
    usd_per_day: Decimal | None
    cny_per_usd: Decimal
    source: str
    as_of: str

    def usd(self, period: str) -> Decimal | None:
        """For a day, a month (30 days) or a year (365)."""
        return None if self.usd_per_day is None else self.usd_per_day * DAYS[period]

    def cny(self, period: str) -> Decimal | None:
        usd = self.usd(period)
        return None if usd is None else usd * self.cny_per_usd


def project_cost(
    tokens_per_day: int,
    *,
    mix: Mapping[str, Number] | None = None,
    models: Sequence[str] = CARD,
    baseline: str | None = None,
    prices: Mapping[str, Number] | None = None,
) -> DataFrame:
    """Cost per provider and model, exact: one row each, in USD and in CNY at the provider's own rate.

    tokens_per_day: of all kinds together.
    mix: the share of each kind, `input`, `cached`, `output`; by default `{"output": 1}`, as HolySheep's documents do.
    models: each `provider:model`, or a model of HolySheep's.
    baseline: the row, by its name, against which `saving_usd_per_year`, `saving_cny_per_year` and `saving_cny_percent`
        are given. What HolySheep sells is the rate: the same dollars cost fewer yuan.
    prices: further rows by name, in USD per 1M tokens of any kind, at ¥7.3 to the dollar.

    Columns: usd_per_day, usd_per_month (30 days), usd_per_year (365), the same in cny, cny_per_usd, source, as_of.
    Values are Decimals, None where the price is unknown. Where a price list has tiers, the first one's price counts.
    """
    named = [models] if isinstance(models, str) else models
    if not isinstance(named, list | tuple) or not named:
        raise SetupError(f"The models of hs.project_cost are {kinds.kind(models)}: give a list of provider:model.")
    for name, given in (("mix", mix), ("prices", prices)):
        if given is not None and not isinstance(given, Mapping):
            raise SetupError(f"{name} is {kinds.kind(given)}: give a mapping of names to numbers.")
    rows = [project(kinds.text("One of the models", model), tokens_per_day, mix) for model in named]
    own = {name: kinds.money(f"The price {name}", price) for name, price in (prices or {}).items()}
    rows += [flat(name, price, tokens_per_day) for name, price in own.items()]
    return _frame(rows, baseline)


def project(model: str, tokens_per_day: int, mix: Mapping[str, Number] | None = None) -> Projection:
    """One model's projection."""
    shares = _shares(mix)
    kinds.count("tokens_per_day", tokens_per_day, least=1)
    provider, name = select(model)
    card = price_card(provider, name)
    return Projection(
        f"{provider.name}:{name}", _per_day(card, tokens_per_day, shares), card.cny_per_usd, card.source, card.as_of
    )


def flat(name: str, usd_per_million: Number, tokens_per_day: int, cny_per_usd: Number = "7.3") -> Projection:
    """A seller with one price for every token, in USD per 1M."""
    per_day = Decimal(str(usd_per_million)) * tokens_per_day / 1_000_000
    return Projection(name, per_day, Decimal(str(cny_per_usd)), "given here", "")


def _per_day(card: PriceCard, tokens: int, shares: Mapping[str, Decimal]) -> Decimal | None:
    """By the million, so that no price list takes a day's tokens for one request of that size."""
    if card.note == LOCAL:
        return None
    cached_price = card.input if card.cached_input is None else card.cached_input
    prices = {"input": card.input, "cached": cached_price, "output": card.output}
    total = Decimal(0)
    for kind, share in shares.items():
        price = prices[kind]
        if price is None:
            return None
        total += price * share
    return total * tokens / 1_000_000


def _shares(mix: Mapping[str, Number] | None) -> dict[str, Decimal]:
    shares = {kind: _share(kind, share) for kind, share in (mix or {"output": 1}).items() if share}
    if unknown := shares.keys() - set(KINDS):
        raise SetupError(f"There is no kind of token {', '.join(sorted(unknown))}: kinds are {', '.join(KINDS)}.")
    if not isclose(sum(shares.values()), 1) or min(shares.values()) < 0:
        raise SetupError(f"The shares of mix must add up to 1, not to {sum(shares.values())}.")
    return shares


def _share(kind: str, share: object) -> Decimal:
    try:
        return Decimal(str(share))
    except InvalidOperation:
        raise SetupError(f"The share {kind} of mix is {kinds.kind(share)}: give a number.") from None


def _frame(rows: Sequence[Projection], baseline: str | None) -> DataFrame:
    from pandas import DataFrame

    base = None if baseline is None else _baseline(rows, baseline)
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
    return DataFrame(table, index=[row.name for row in rows], dtype=object)


def _baseline(rows: Sequence[Projection], name: str) -> Projection:
    for row in rows:
        if name in (row.name, row.name.partition(":")[2]):
            return row
    raise SetupError(f"The baseline {name!r} is none of the rows: {', '.join(row.name for row in rows)}.")


def _saving(row: Projection, base: Projection) -> dict[str, Decimal | None]:
    usd, cny = (_less(getattr(row, name)("year"), getattr(base, name)("year")) for name in ("usd", "cny"))
    before, after = base.cny("year"), row.cny("year")
    percent = None if before is None or after is None else saving_percent(before, after)
    return {"saving_usd_per_year": usd, "saving_cny_per_year": cny, "saving_cny_percent": percent}


def _less(after: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if after is None or before is None else before - after


def saving_percent(before: Decimal, after: Decimal) -> Decimal | None:
    """Per cent saved, to a tenth."""
    return None if not before else (100 * (before - after) / before).quantize(Decimal("0.1"))
