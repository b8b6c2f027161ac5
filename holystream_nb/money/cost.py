"""Usage times a price card is a cost: exact decimals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from typing import Final

from ..events import Usage
from .card import LOCAL, UNKNOWN, PriceCard, snapshot

_EXACT: Final = Context(prec=60)  # the caller's own decimal context must not round money
_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request cost, in USD and, at the seller's rate, in CNY; None is unknown.

    `exact` is False where the tokens were counted here and not reported. `note` is as in PriceCard: "" for a real
    price. `source` and `as_of` say where the price comes from and from when it is.
    """

    usd: Decimal | None
    cny: Decimal | None
    exact: bool
    source: str
    as_of: str
    note: str = ""


def cost(usage: Usage, card: PriceCard) -> Cost:
    """The cost of a usage; unknown where a token count or a price it needs is missing, or the counts contradict.

    `prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning: nothing is added twice.
    """
    prompt, completion, cached = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens or 0
    usd = cny = None
    with localcontext(_EXACT):
        if prompt is not None and completion is not None and 0 <= cached <= prompt and completion >= 0:
            usd = (_card_sum if card.list_id is None else _list_sum)(card, prompt, cached, completion)
        if usd is not None:
            cny = usd * card.cny_per_usd
    note = UNKNOWN if usd is None and card.note != LOCAL else card.note
    return Cost(usd, cny, usage.exact, card.source, card.as_of, note)


def _card_sum(card: PriceCard, prompt: int, cached: int, completion: int) -> Decimal | None:
    cached_price = card.input if card.cached_input is None else card.cached_input
    total = Decimal(0)
    for tokens, price in ((prompt - cached, card.input), (cached, cached_price), (completion, card.output)):
        if tokens and price is None:
            return None
        total += tokens * (price or 0)
    known = card.input is not None or card.output is not None
    return total / _MILLION if known else None


def _list_sum(card: PriceCard, prompt: int, cached: int, completion: int) -> Decimal | None:
    if (prompt and card.input is None) or (completion and card.output is None):
        return None
    from genai_prices import Usage as Reported

    _, model = snapshot().find_provider_model(card.listed or card.model, None, card.list_id, None)
    usage = Reported(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion)
    return model.get_prices(card.at or datetime.now(UTC)).calc_price(usage)["total_price"]
