"""What requests may cost together: a limit that holds before they are sent, and while their answers arrive.

Before: the prompt is estimated, with a quarter on top, and the answer is limited to what is left. While it arrives its
tokens are estimated, and it is ended where one more piece like those before would pass the limit: not every service
keeps the limit it is given. What nobody shows cannot be seen: hidden reasoning is held by the service's own limit
alone.
"""

from __future__ import annotations

import threading
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from ..errors import SetupError
from ..events import Usage
from .card import LOCAL, PriceCard
from .cost import Cost, cost
from .exact import exactly

LEAST_OF_RESPONSES: Final = 16
"""Tokens that Responses want an answer to be allowed at least."""

_MARGIN: Final = Decimal("1.25")
_MILLION: Final = 10**6


class Budget:
    """USD that requests may cost together; `limit` None is no limit, and what they cost is counted all the same.

    name: how its owner calls it ("--max-cost", "session_budget"). mend: what to do once it is spent, for the message.
    spent: what has been spent before. Requests may run in several threads. The simulator's prices count as others do.
    """

    def __init__(self, limit: Decimal | None, name: str, *, mend: str = "", spent: Decimal = Decimal(0)) -> None:
        self.limit = limit
        self.name = name
        self._mend = mend
        self._settled = spent
        self._running: set[Allowance] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Budget {self.name}: {self.spent} of {self.limit} USD>"

    @property
    def spent(self) -> Decimal:
        """So far, with what runs, as far as it can be estimated (USD)."""
        with self._lock:
            return self._spent()

    @property
    def left(self) -> Decimal | None:
        """What is not spent, 0 or more; None without a limit."""
        with exactly():
            return None if self.limit is None else max(Decimal(0), self.limit - self.spent)

    def check(self) -> None:
        """Raises SetupError where it is spent."""
        with self._lock:
            self._check(self._spent())

    def add(self, usd: Decimal) -> None:
        """Something was spent elsewhere."""
        with self._lock, exactly():
            self._settled += usd

    def count(self) -> Allowance:
        """A request that nothing limits, which is about to be sent: it counts when it is closed."""
        return self._added(Allowance(self, None, 0))

    def allow(
        self, card: PriceCard, prompt_tokens: int, choices: int = 1, *, least: int = 1, tier: str = ""
    ) -> Allowance:
        """What one request may cost, which is about to be sent. Raises SetupError where it must not be.

        prompt_tokens: estimated. choices: into how many equal parts what is left is divided: answers that were asked
            for (`n`), and requests at once. least: what the limit on each choice must be at least, as it must be above
            what is set apart for thinking. tier: how it is asked to be served.
        """
        if card.note == LOCAL:
            return self.count()
        with self._lock, exactly():
            allowance = Allowance(self, card, prompt_tokens, tier)
            allowance.tokens = self._tokens(allowance, card, choices)
            if allowance.tokens is not None and allowance.tokens < least:
                raise SetupError(
                    f"{self._written} pays for about {allowance.tokens:,} tokens of an answer of {card.model}, and "
                    f"{least:,} are the least that this request may ask for: raise the limit"
                    f"{', or lower `budget_tokens`' if least > LEAST_OF_RESPONSES else ''}; nothing was sent."
                )
            self._running.add(allowance)
        return allowance

    def _added(self, allowance: Allowance) -> Allowance:
        with self._lock:
            self._running.add(allowance)
        return allowance

    def _tokens(self, allowance: Allowance, card: PriceCard, choices: int) -> int | None:
        """The most output that each choice may have; None where output costs nothing."""
        limit, price, prompt = self.limit or Decimal(0), allowance.price, allowance.prompt
        if price is None or prompt is None:
            raise SetupError(f"{self._written} cannot be kept: the price of {card.model} is not known ({card.source}).")
        spent = self._spent()
        self._check(spent)
        left = limit - spent - prompt
        tokens = int((left / price / choices).to_integral_value(ROUND_FLOOR)) if price else None
        if left <= 0 or (tokens is not None and tokens < 1):
            rest = f" has ${limit - spent:.6f} left, which" if spent else ""
            raise SetupError(
                f"{self._written}{rest} does not pay for the prompt at {card.model} "
                f"(about {allowance.prompt_tokens:,} tokens): nothing {'more ' if spent else ''}was sent."
            )
        return tokens

    def _check(self, spent: Decimal) -> None:
        if self.limit is not None and spent >= self.limit:
            mend = f" {self._mend}" if self._mend else ""
            with exactly():
                raise SetupError(f"{self._written} is spent (${spent:.6f}): nothing more was sent.{mend}")

    def _spent(self) -> Decimal:
        with exactly():
            return self._settled + sum((each.usd for each in self._running), Decimal(0))

    def _settle(self, allowance: Allowance, usd: Decimal) -> None:
        with self._lock, exactly():
            if allowance in self._running:
                self._running.discard(allowance)
                self._settled += usd

    @property
    def _written(self) -> str:
        amount = f"{self.limit:f}"
        return f"{self.name} ${amount}" if self.name.startswith("--") else f"{self.name}={amount}"


class Allowance:
    """One request's part in a budget.

    `tokens` is the most output that each of its choices may have; None is no limit. One that is never closed (its
    answer was dropped unread) counts as what was last seen of it.
    """

    __slots__ = ("_seen", "_times", "budget", "price", "prompt", "prompt_tokens", "tokens")

    def __init__(self, budget: Budget, card: PriceCard | None, prompt_tokens: int, tier: str = "") -> None:
        self.budget = budget
        self.prompt_tokens = prompt_tokens
        self.tokens: int | None = None
        # What the prompt costs, with its margin, and then each token of the answer (USD); None is unknown.
        self.prompt, self.price = (Decimal(0), Decimal(0)) if card is None else _prices(card, prompt_tokens, tier)
        self._seen = 0
        self._times = 1

    @property
    def usd(self) -> Decimal:
        """What it costs as far as has been seen."""
        with exactly():
            return ((self.prompt or Decimal(0)) + self._seen * (self.price or Decimal(0))) * self._times

    def again(self) -> None:
        """It went out once more, and may be paid for twice."""
        self._times += 1

    def passes(self, tokens: int, more: int) -> bool:
        """Whether, after so many tokens in all, as many `more` as one piece has would pass the limit.

        These are counted as spent, so that answers that run at once do not pass it together.
        """
        self._seen = tokens + more
        limit = self.budget.limit
        return limit is not None and self.budget.spent > limit

    def close(self, paid: Cost) -> None:
        """It has ended, and cost this; where that is unknown, what was seen counts. Again is harmless."""
        usd = paid.due_usd
        with exactly():
            self.budget._settle(self, self.usd if usd is None else usd * self._times)


def _prices(card: PriceCard, prompt_tokens: int, tier: str) -> tuple[Decimal | None, Decimal | None]:
    prompt = cost(Usage(prompt_tokens=prompt_tokens, completion_tokens=0), card, tier).usd
    both = cost(Usage(prompt_tokens=prompt_tokens, completion_tokens=_MILLION), card, tier).usd
    if prompt is None or both is None:
        return None, None
    with exactly():
        return prompt * _MARGIN, (both - prompt) / _MILLION
