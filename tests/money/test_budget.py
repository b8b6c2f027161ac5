"""Budgets: what is left, what a request may have of it, and sentences that say what to do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.money.amount import Amount
from holystream_nb.money.budget import Budget
from holystream_nb.money.card import LOCAL, UNKNOWN, PriceCard
from holystream_nb.money.cost import Cost

CARD = PriceCard("m", Decimal(2), Decimal(8), None, Decimal(7), "by hand", "today")


def paid(usd: str | None, stated: str | None = None) -> Cost:
    return Cost(usd and Decimal(usd), None, True, "", "", stated_usd=stated and Decimal(stated))  # type: ignore[arg-type]


def test_what_is_left_pays_for_so_many_tokens() -> None:
    """$0.001, of which 100 tokens of prompt at $2 and a quarter are $0.00025: 93 tokens at $8."""
    assert Budget(Decimal("0.001"), "max_cost").allow(CARD, 100).tokens == 93


def test_each_choice_is_paid_for() -> None:
    """With n=8 $0.01 became $0.0798: each of eight may have an eighth."""
    assert Budget(Decimal("0.001"), "max_cost").allow(CARD, 100, choices=8).tokens == 11


def test_what_runs_is_spent_and_what_has_ended_at_what_it_cost() -> None:
    """An estimate stands until the cost is known; then what the service says, before our sum."""
    budget = Budget(Decimal(1), "max_cost", spent=Decimal("0.1"))
    allowance = budget.allow(CARD, 1_000)
    assert budget.spent == Decimal("0.1025")
    assert not allowance.passes(990, 10)
    assert budget.spent == Decimal("0.1105")
    allowance.close(paid("0.02", stated="0.03"))
    allowance.close(paid("0.02"))
    assert budget.spent == Decimal("0.13")


def test_what_may_be_paid_for_twice_is_counted_twice() -> None:
    """A request that met a dead connection, or whose answer broke before it began."""
    budget = Budget(Decimal(1), "max_cost")
    allowance = budget.allow(CARD, 1_000)
    allowance.again()
    assert budget.spent == Decimal("0.005")
    allowance.close(paid("0.02"))
    assert budget.spent == Decimal("0.04")


def test_it_is_over_before_another_piece_would_pass() -> None:
    """What has come is paid for: one stops before, and not behind, the limit."""
    allowance = Budget(Decimal("0.001"), "max_cost").allow(CARD, 0)
    assert not allowance.passes(110, 15)
    assert allowance.passes(111, 15)


def test_several_requests_at_once_share_it() -> None:
    """What the others have used so far counts, and what their next piece may bring."""
    budget = Budget(Decimal("0.001"), "max_cost")
    one, other = budget.allow(CARD, 0), budget.allow(CARD, 0)
    assert not one.passes(60, 1)
    assert not other.passes(60, 1)
    assert not one.passes(63, 1)
    assert one.passes(64, 1)


def test_an_unknown_cost_counts_as_what_was_seen() -> None:
    """Where counts contradict each other."""
    budget = Budget(Decimal(1), "max_cost")
    allowance = budget.allow(CARD, 1_000)
    allowance.passes(1_000, 0)
    allowance.close(paid(None))
    assert budget.spent == Decimal("0.0105")


@pytest.mark.parametrize(
    ("budget", "card", "words"),
    [
        (Budget(Decimal("0.0001"), "--max-cost"), CARD, r"^--max-cost \$0.0001 does not pay for the prompt at m"),
        (Budget(Decimal("0.0001"), "max_cost"), CARD, r"^max_cost=0.0001 does not pay .*: nothing was sent\.$"),
        (Budget(Decimal("0.2"), "b", spent=Decimal("0.1999")), CARD, r"^b=0.2 has \$0.000100 left, which does not pay"),
        (Budget(Decimal("0.2"), "b", mend="Raise it.", spent=Decimal("0.2")), CARD, r"b=0.2 is spent .* Raise it\.$"),
        (Budget(Decimal(1), "b"), replace(CARD, output=None, note=UNKNOWN), "price of m is not known"),
    ],
)
def test_what_it_does_not_pay_for_is_refused_in_a_sentence(budget: Budget, card: PriceCard, words: str) -> None:
    """By the name that its owner knows it by."""
    with pytest.raises(SetupError, match=words):
        budget.allow(card, 1_000)


def test_what_costs_nothing_is_not_limited() -> None:
    """On one's own machine, and where nothing was limited."""
    local = replace(CARD, input=None, output=None, note=LOCAL)
    assert Budget(Decimal("0.0001"), "b").allow(local, 10**6).tokens is None
    free = Budget(None, "b")
    free.count().close(paid("0.3"))
    assert (free.spent, free.left) == (Decimal("0.3"), None)


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        ("0", "$0.00"),
        ("0.00012345", "$0.00012"),
        ("0.0002", "$0.00020"),
        ("0.0149", "$0.015"),
        ("0.01", "$0.01"),
        ("0.0999", "$0.10"),
        ("0.126", "$0.13"),
        ("12.345", "$12.34"),
    ],
)
def test_an_amount_has_two_digits_that_say_something(usd: str, words: str) -> None:
    """1.49 cents stood there as $0.01, a third less."""
    assert str(Amount(Decimal(usd), None)) == words
