"""What a run may still spend, known to its parent alone: a request begins only if its cost, at worst, still fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from ...money.budget import Budget as SessionBudget
from ...money.exact import exactly


class Budget:
    """A limit in USD (None is no limit), beside the session's, and what each model's request costs at worst.

    expected: for each model; None is unknown and counts as nothing. is_limit: whether it is the most that a request
    can cost. Where it is a guess, the first request of a model goes alone, and the expectation grows to the dearest
    seen, also that of requests which run.
    """

    def __init__(
        self,
        limit: Decimal | None,
        expected: Sequence[Decimal | None],
        *,
        is_limit: bool = True,
        session: SessionBudget | None = None,
    ) -> None:
        self._limit = limit
        self._session = session
        self._expected = [cost or Decimal(0) for cost in expected]
        self._is_known = [is_limit or cost is None or not cost for cost in expected]
        self._held: Counter[int] = Counter()
        self.spent = Decimal(0)

    @property
    def left(self) -> Decimal | None:
        """What is neither spent nor held; None without a limit."""
        with exactly():
            limits = [] if self._limit is None else [self._limit - self.spent]
        if self._session is not None and self._session.left is not None:
            limits.append(self._session.left)
        with exactly():
            return min(limits) - self.held if limits else None

    @property
    def held(self) -> Decimal:
        """What running requests cost at worst."""
        with exactly():
            return sum((count * self._expected[model] for model, count in self._held.items()), Decimal(0))

    def expected(self, model: int) -> Decimal:
        return self._expected[model]

    def reserve(self, model: int, *, forced: bool = False, follows: bool = False) -> bool:
        """Whether a request of this model may begin, for which its cost is then held; `forced`: it has begun.

        follows: it is asked after the one before, by the same user, and so goes alone.
        """
        left = self.left
        if left is not None and not forced:
            if not self._is_known[model] and self._held[model] and not follows:
                return False
            if self._expected[model] > left:
                return False
        self._held[model] += 1
        return True

    def release(self, model: int) -> None:
        """It will not be made."""
        self._held[model] -= 1

    def settle(self, model: int, cost: Decimal | None, *, again: int = 0) -> None:
        """A request has ended, and this is what it cost (None is unknown: it counts as what was held).

        again: how often it went out before, into a connection that was dead: that may have been paid for too.
        """
        self._held[model] -= 1
        at_worst = self._expected[model]
        paid = at_worst if cost is None else cost
        if cost:  # a refusal is free, and tells nothing of what an answer costs
            self._expected[model] = max(at_worst, cost)
            self._is_known[model] = True
        with exactly():
            due = paid + again * at_worst
            self.spent += due
        if self._session is not None:
            self._session.add(due)
