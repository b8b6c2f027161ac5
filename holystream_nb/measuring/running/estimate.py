"""Before anything is sent: how many requests there will be, and about what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, cast

from ...client.request import choices_in, limits_in, tier_in
from ...client.stream import ANSWER_TOKENS
from ...defaults import HOUSE
from ...errors import SetupError
from ...events import Usage
from ...facts import Wire
from ...money.amount import Amount, currency, total
from ...money.budget import Budget
from ...money.card import LOCAL, SIMULATED, PriceCard, price_card
from ...money.cost import Cost, cost
from ...money.exact import exactly, written
from ...money.tokens import estimate_prompt
from ...providers.select import at
from ...providers.table import providers
from ...providers.values import Provider
from ...wire.formats import format_of
from ..values.plan import Plan
from ..values.synthetic import FIT_ANSWER, Synthetic, fit_lengths
from ..values.words import counted

OF_A_DURATION: Final = "the duration holds; the answers that then run are waited for"


class TooDear(SetupError):
    """What is foreseen to cost more than may be spent."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Requests, and their cost in USD.

    requests, warmups: how many will be sent.
    per_request: USD of the dearest request of each model of the plan; None where no price is known.
    usd: of all of them; None if any model's price is unknown. Local models cost nothing here.
    output_tokens: what an answer was taken to have; `is_limit` says that `max_tokens` makes it the most it can have.
    as_many_as: where their number is open, what it depends on.
    simulated: no model answers, and nobody is paid. simulated_usd: the part of `usd` that nobody is paid.
    cny, simulated_cny: the same at the sellers' rates; None where one is unknown.
    """

    requests: int
    warmups: int
    per_request: tuple[Decimal | None, ...]
    usd: Decimal | None
    output_tokens: int
    is_limit: bool
    simulated: bool
    simulated_usd: Decimal = Decimal(0)
    fits: int = 0
    cny: Decimal | None = None
    simulated_cny: Decimal | None = Decimal(0)
    as_many_as: str = OF_A_DURATION

    def __str__(self) -> str:
        if not self.requests:
            return f"as many requests as {self.as_many_as}"
        count = counted(self.requests, "request")
        if self.warmups:
            count += f" and {counted(self.warmups, 'warm-up')}"
        if self.fits:
            count += f", and up to {self.fits} to find out lengths"
        bound = "at most about" if self.is_limit else f"about (if an answer has {self.output_tokens} tokens)"
        if self.usd is None:
            return f"{count}; the cost is unknown, because a price is"
        if not self.usd:
            return f"{count}, at no price"
        unpaid = Amount(self.simulated_usd, self.simulated_cny) if self.simulated_usd else None
        return f"{count}, {bound} {total(Amount(self.usd, self.cny), unpaid, exact=True)}"


def estimate(plan: Plan, workers: int, missing: int | None = None) -> Estimate:
    """For a plan run by so many workers, of which `missing` requests are still to be made (all)."""
    tokens = min(limits_in(plan.parameters).values(), default=plan.output_tokens)
    cards = [_card(plan, model) for model in plan.models]
    output = tokens or ANSWER_TOKENS
    prompts: list[int] = []
    for index in range(len(plan.prompts)):
        # A turn brings what was said before.
        prompts.append(_sent(plan, index) + (prompts[-1] + output if plan.number(index) else 0))
    choices, tier = choices_in(plan.parameters), tier_in(plan.parameters)
    priced = [[_price(card, prompt, output * choices, tier) for prompt in prompts] for card in cards]
    rows = [[each.usd for each in row] for row in priced]
    cny = [[each.cny for each in row] for row in priced]
    unpaid, unpaid_cny = (
        [row if card.note == SIMULATED else [Decimal(0)] * len(row) for card, row in zip(cards, each, strict=True)]
        for each in (rows, cny)
    )
    fits = [
        (card.note == SIMULATED, _price(card, length, FIT_ANSWER, tier))
        for card, model in zip(cards, plan.models, strict=True)
        if model not in plan.fits
        for length in fit_lengths(plan.prompts)
    ]
    simulated = [price for is_simulated, price in fits if is_simulated]
    requests = plan.requests if missing is None else missing
    warmups = len(plan.arms) * plan.warmup * workers if requests else 0
    return Estimate(
        requests=requests,
        warmups=warmups,
        per_request=tuple(None if None in row else max(price for price in row if price is not None) for row in rows),
        usd=_total(rows, requests, warmups, [each.usd for _, each in fits]),
        output_tokens=output,
        is_limit=bool(tokens),
        simulated=all(card.note == SIMULATED for card in cards),
        simulated_usd=_total(unpaid, requests, warmups, [each.usd for each in simulated]) or Decimal(0),
        cny=_total(cny, requests, warmups, [each.cny for _, each in fits]),
        simulated_cny=_total(unpaid_cny, requests, warmups, [each.cny for each in simulated]),
        as_many_as="it takes to decide, within its limits" if plan.until_decided else OF_A_DURATION,
        fits=len(fits),
    )


def tokens_of(plan: Plan, prompt: int) -> int:
    """About how many tokens a request for this prompt uses, prompt and answer, as limits reckon."""
    output = min(limits_in(plan.parameters).values(), default=plan.output_tokens) or ANSWER_TOKENS
    turns = range(prompt - (plan.number(prompt) or 0), prompt + 1)
    return sum(_sent(plan, turn) + output for turn in turns)


def _sent(plan: Plan, prompt: int) -> int:
    """Tokens of what is new with a prompt."""
    asked = plan.prompts[prompt]
    if isinstance(asked, Synthetic):
        return asked.input_tokens
    return estimate_prompt({**plan.parameters, "messages": plan.messages(prompt, 0)})


def check_budget(plan: Plan, expected: Estimate, spent: Decimal = Decimal(0), session: Budget | None = None) -> None:
    """Raises SetupError, before anything is sent, for a plan that cannot keep its `max_cost`, or the session's budget.

    spent: of max_cost, by what an earlier sitting made.
    """
    if plan.max_cost is not None:
        _check("max_cost", plan, expected, plan.max_cost - spent)
    if session is not None and session.left is not None:
        session.check()
        _check(session.name, plan, expected, session.left)


def _check(name: str, plan: Plan, expected: Estimate, left: Decimal) -> None:
    if expected.usd is None:
        unknown = [model for model, usd in zip(plan.models, expected.per_request, strict=True) if usd is None]
        raise SetupError(
            f"{name} cannot be kept: no price of {', '.join(unknown)} is known. Add one to your providers.toml, or "
            f"leave {name} out."
        )
    if expected.usd > left:
        usd = f" (${written(expected.usd)})" if currency() != "USD" else ""
        rest = written(max(left, Decimal(0)))
        raise TooDear(
            f"This would cost more than {name}: {expected}{usd}, and ${rest} is left. Ask less often, set max_tokens, "
            f"or raise {name}; nothing was sent."
        )


def check_forms(plan: Plan) -> None:
    """Raises SetupError, before anything is sent, for a field that one of the plan's formats has no place for."""
    own = plan.options.get("wire", {})
    for model in plan.models:
        provider, (label, name) = provider_of(plan, model), plan.split(model)
        for wire in plan.wires:
            write = format_of(cast(Wire, wire or own.get(label) or provider.wire)).body
            for prompt in _forms(plan):
                fields = plan.parameters_of(prompt, model)
                write({"model": name, "messages": plan.messages(prompt, 0), **fields, "stream": True}, provider)


def _forms(plan: Plan) -> list[int]:
    """Prompts of all the forms that a plan has: of synthetic ones the first stands for all."""
    synthetic = [index for index, prompt in enumerate(plan.prompts) if isinstance(prompt, Synthetic)]
    further = set(synthetic[1:])
    return [index for index in range(len(plan.prompts)) if index not in further]


def _card(plan: Plan, model: str) -> PriceCard:
    return price_card(provider_of(plan, model), plan.split(model)[1].partition("#")[0])


def provider_of(plan: Plan, model: str) -> Provider:
    """The provider of one of a plan's models, at its address."""
    name, _ = plan.split(model)
    known = providers()
    return at(known[name] if name in known else known[HOUSE], plan.own.get(name) or plan.base_url)


def _price(card: PriceCard, prompt: int, output: int, tier: str) -> Cost:
    found = cost(Usage(prompt_tokens=prompt, completion_tokens=output), card, tier)
    return replace(found, usd=Decimal(0), cny=Decimal(0)) if card.note == LOCAL else found


def _total(
    rows: Sequence[Sequence[Decimal | None]], requests: int, warmups: int, fits: Sequence[Decimal | None]
) -> Decimal | None:
    prices = [price for row in rows for price in row]
    if None in prices:
        return None
    with exactly():
        mean = sum((price for price in prices if price is not None), Decimal(0)) / len(prices)
        first = sum((row[0] for row in rows if row[0] is not None), Decimal(0)) / len(rows)
        return mean * requests + first * warmups + sum((price for price in fits if price is not None), Decimal(0))
