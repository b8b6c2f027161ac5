"""What a panel has used, as a value: sums over every request, also of answers that were thrown away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from ..events import Usage
from ..live.figures import money, tokens
from ..money import amount
from ..money.amount import Amount
from ..money.card import LOCAL, SIMULATED, UNKNOWN
from ..money.cost import Cost
from ..reply import Reply


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, tokens, and cost in USD and CNY, of the `priced` requests; of the `unpriced` it is unknown.

    A cost that a service states counts as it is stated. The rest ran on the user's own machine, for nothing.

    `exact` is False where tokens were counted here and not reported, `cost_exact` where a cost is an estimate.
    `simulated_usd` and `simulated_cny` are the part that is the simulator's: nobody is paid that.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    usd: Decimal = Decimal(0)
    cny: Decimal = Decimal(0)
    priced: int = 0
    unpriced: int = 0
    exact: bool = True
    simulated: bool = False
    simulated_usd: Decimal = Decimal(0)
    simulated_cny: Decimal = Decimal(0)
    cost_exact: bool = True

    def plus(self, reply: Reply) -> Spent:
        if reply.is_unsent:
            return self
        usage, due = reply.usage, amount.due(reply.cost)
        paid = Amount() if due is None else Amount(due.usd, due.cny or Decimal(0))
        is_simulated = reply.cost.note == SIMULATED
        total = Amount(self.usd, self.cny) + paid
        simulated = Amount(self.simulated_usd, self.simulated_cny) + (paid if is_simulated else Amount())
        return replace(
            self,
            requests=self.requests + 1,
            prompt_tokens=self.prompt_tokens + (usage.prompt_tokens or 0),
            completion_tokens=self.completion_tokens + (usage.completion_tokens or 0),
            reasoning_tokens=self.reasoning_tokens + (usage.reasoning_tokens or 0),
            cached_tokens=self.cached_tokens + (usage.cached_tokens or 0),
            usd=total.usd,
            cny=total.cny or Decimal(0),
            priced=self.priced + (due is not None),
            unpriced=self.unpriced + (due is None and reply.cost.note == UNKNOWN),
            exact=self.exact and usage.exact,
            simulated=self.simulated or is_simulated,
            simulated_usd=simulated.usd,
            simulated_cny=simulated.cny or Decimal(0),
            cost_exact=self.cost_exact and (due is None or reply.cost.is_due_exact),
        )

    @property
    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            total_tokens=self.prompt_tokens + self.completion_tokens,
            reasoning_tokens=self.reasoning_tokens,
            cached_tokens=self.cached_tokens,
            exact=self.exact,
        )

    @property
    def cost(self) -> Cost:
        """The sum; unknown, or none, where no request had a price."""
        known = bool(self.priced) or not self.requests
        note = SIMULATED if self.simulated else "" if known else UNKNOWN if self.unpriced else LOCAL
        exact = self.exact and self.cost_exact and not self.unpriced
        return Cost(self.usd if known else None, self.cny if known else None, exact, "sum of the replies", "", note)

    def __str__(self) -> str:
        """`12 requests · 3,412 tokens · $0.0012`"""
        if not self.requests:
            return ""
        parts = [f"{self.requests:,} request{'' if self.requests == 1 else 's'}"]
        parts.append(tokens(self.completion_tokens, exact=self.exact))
        if self.priced:
            simulated = Amount(self.simulated_usd, self.simulated_cny) if self.simulated else None
            parts.append(amount.total(Amount(self.usd, self.cny), simulated, exact=self.cost.exact))
            parts += [f"{self.unpriced:,} of unknown cost"] if self.unpriced else []
        else:
            parts.append(money(self.cost))
        return " · ".join(parts)
