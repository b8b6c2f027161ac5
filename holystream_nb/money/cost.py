"""Usage times a price card is a cost: exact decimals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from ..events import Usage
from .card import LOCAL, UNKNOWN, PriceCard, snapshot
from .exact import exactly

_MILLION: Final = Decimal(1_000_000)

ORDINARY_TIERS: Final = frozenset({"", "auto", "default", "on_demand", "standard"})
"""Words for a service's ordinary tier, in small letters: it costs what lists say."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request cost, in USD and, at the seller's rate, in CNY; None is unknown.

    `exact` is False where the tokens were counted here and not reported, or a price that they need is only likely: of
    cached tokens, those written to a cache, sound or a web search without one of their own; of another tier than lists
    have; of output that has no name, or less than its reasoning. `note` is as in PriceCard: "" for a real price.
    `source` and `as_of` say where the price comes from and from when it is. `stated_usd` is what the service itself
    says; None where it says nothing. `cny_per_usd` and `rate_source` are the rate that it is paid at, and who says so.
    """

    usd: Decimal | None
    cny: Decimal | None
    exact: bool
    source: str
    as_of: str
    note: str = ""
    stated_usd: Decimal | None = None
    cny_per_usd: Decimal | None = None
    rate_source: str = ""

    @property
    def stated_cny(self) -> Decimal | None:
        """What the service says, at the seller's rate."""
        if self.stated_usd is None or self.cny_per_usd is None:
            return None
        with exactly():
            return self.stated_usd * self.cny_per_usd

    @property
    def due_usd(self) -> Decimal | None:
        """What sums and limits reckon with: the service's own word, else our sum.

        A service that says 0 may mean that somebody else is paid (a key of one's own behind a gateway): our sum counts.
        """
        return due_usd(self.usd, self.stated_usd)

    @property
    def due_cny(self) -> Decimal | None:
        return self.stated_cny if self._is_stated_due else self.cny

    @property
    def is_due_exact(self) -> bool:
        """Whether that is no estimate."""
        return self.exact or self._is_stated_due

    @property
    def _is_stated_due(self) -> bool:
        return self.stated_usd is not None and self.due_usd == self.stated_usd


def due_usd(usd: Decimal | None, stated: Decimal | None) -> Decimal | None:
    """What sums reckon with, of our sum and what the service says (see `Cost.due_usd`)."""
    return stated or (stated if usd is None else usd)


def nothing(card: PriceCard) -> Cost:
    """The cost of what was refused, or never sent: nothing, whatever the price, and no fee for a request either."""
    found = cost(Usage(), card)
    if card.note == LOCAL:
        return found
    return replace(found, usd=Decimal(0), cny=Decimal(0), note="" if card.note == UNKNOWN else card.note)


def cost(usage: Usage, card: PriceCard, tier: str = "") -> Cost:
    """The cost of a usage; unknown where a token count or a price it needs is missing, or the counts contradict.

    `prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning: nothing is added twice. `tier` is
    the service's word for how it served the request (`flex`, `priority`, `fast`), whose prices a list may have.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    usd = cny = None
    is_priced = True
    with exactly():
        are_counts = prompt is not None and completion is not None and completion >= 0
        if are_counts and min(cached, written) >= 0 and cached + written <= prompt:  # type: ignore[operator]
            sum_ = _card_sum if card.list_id is None else _list_sum
            usd, is_priced = sum_(card, usage, tier.lower())
        if usd is not None:
            cny = usd * card.cny_per_usd
    is_whole = not usage.other_tokens and (usage.reasoning_tokens or 0) <= (completion or 0)
    return Cost(
        usd,
        cny,
        usage.exact and is_priced and is_whole,
        card.source,
        card.as_of,
        UNKNOWN if usd is None and card.note != LOCAL else card.note,
        usage.cost,
        card.cny_per_usd,
        card.rate_source,
    )


def _card_sum(card: PriceCard, usage: Usage, tier: str) -> tuple[Decimal | None, bool]:
    """The sum, and whether each price in it is the card's own."""
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    total = Decimal(0)
    for tokens, price in (
        ((usage.prompt_tokens or 0) - cached - written, card.input),
        (cached, card.input if card.cached_input is None else card.cached_input),
        (written, card.input if card.cache_write is None else card.cache_write),
        (usage.completion_tokens or 0, card.output),
    ):
        if tokens and price is None:
            return None, True
        total += tokens * (price or 0)
    unpriced = (
        cached and card.cached_input is None,
        written and card.cache_write is None,
        *(usage.cache_write_1h_tokens, usage.prompt_audio_tokens, usage.completion_audio_tokens, usage.web_searches),
    )
    known = card.input is not None or card.output is not None
    return total / _MILLION if known else None, tier in ORDINARY_TIERS and not any(unpriced)


def _list_sum(card: PriceCard, usage: Usage, tier: str) -> tuple[Decimal | None, bool]:
    """The same by the list's own sum, with the tier's prices where it has them."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if (prompt and card.input is None) or (completion and card.output is None):
        return None, True
    from genai_prices import Usage as Reported

    _, model = snapshot().find_provider_model(card.listed or card.model, None, card.list_id, None)
    context = dict.fromkeys(("service_tier", "speed", "processing"), tier)
    is_listed = any(tier in each.when.values() and each.when.keys() <= context.keys() for each in _variants(model))
    prices = model.get_prices(card.at or datetime.now(UTC), context)
    written = usage.cache_write_tokens or 0
    counts = {
        "cache_read": usage.cached_tokens or 0,
        "cache_write": written,
        "cache_write_1h": min(usage.cache_write_1h_tokens or 0, written),
        "input_audio": min(usage.prompt_audio_tokens or 0, prompt or 0),
        "output_audio": min(usage.completion_audio_tokens or 0, completion or 0),
    }
    is_priced = all(getattr(prices, f"{name}_mtok", None) is not None for name, count in counts.items() if count)
    if counts["input_audio"] and (counts["cache_read"] or written):  # nobody says how much of the sound was cached
        counts["input_audio"], is_priced = 0, False
    searches = usage.web_searches or 0
    is_priced = is_priced and not (searches and getattr(prices, "web_searches_kcount", None) is None)
    reported = Reported(
        input_tokens=prompt,
        output_tokens=completion,
        **{f"{name}_tokens": count for name, count in counts.items()},
        web_searches=searches,
    )
    return prices.calc_price(reported)["total_price"], is_priced and (is_listed or tier in ORDINARY_TIERS)


def _variants(model: Any) -> Any:
    return model.price_variants or ()
