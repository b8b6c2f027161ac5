"""The caller's decimal context is the caller's: it neither rounds our sums of money nor is changed by them."""

from __future__ import annotations

import decimal
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from holystream_nb.chat.spent import Spent
from holystream_nb.events import Usage
from holystream_nb.money.amount import Amount
from holystream_nb.money.budget import Budget
from holystream_nb.money.card import PriceCard
from holystream_nb.money.cost import Cost, cost
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing
from holystream_nb.tools.sums import reply_of
from holystream_nb.wire.values import cost_of

CARD = PriceCard("m", Decimal(2), Decimal(8), None, Decimal("7.3"), "by hand", "today")
CONTEXTS = (
    decimal.Context(prec=2, rounding=decimal.ROUND_UP),
    decimal.Context(prec=1, rounding=decimal.ROUND_DOWN, traps=[]),
    decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]),
)


@pytest.fixture(params=CONTEXTS, ids=["two digits, up", "one digit, down", "traps"])
def narrow(request: pytest.FixtureRequest) -> Iterator[decimal.Context]:
    with decimal.localcontext(request.param) as context:
        yield context


def paid(usd: str) -> Cost:
    return Cost(Decimal(usd), None, True, "", "", stated_usd=Decimal(usd), cny_per_usd=Decimal("7.3"))


def reply(usd: str) -> Reply:
    timing = Timing(submitted=0, sent=0, reads=array("q", [10**9]))
    usage = Usage(prompt_tokens=10, completion_tokens=5, cost=Decimal(usd))
    return Reply("x", "", (), "stop", usage, timing, paid(usd), "m", "p")


def budget() -> Any:
    """$1.23456 of which $0.11111 are spent: what is left, for how many tokens it pays, and what was spent at last."""
    own = Budget(Decimal("1.23456"), "max_cost", spent=Decimal("0.11111"))
    own.add(Decimal("0.00001"))
    allowance = own.allow(CARD, 1_001)
    passes = allowance.passes(123_456, 1)
    running, left = own.spent, own.left
    allowance.close(paid("0.987654321"))
    return allowance.tokens, passes, running, left, own.spent, repr(own)


def amounts() -> Any:
    both = Amount(Decimal("1234.5678"), Decimal("9012.34")) + Amount(Decimal("0.0001"), Decimal("0.01"))
    return both, both - Amount(Decimal("0.0004"), Decimal(0)), str(both), str(Amount(Decimal("0.00012345")))


def costs() -> Any:
    stated = replace(paid("1.23456789"), usd=None)
    return cost(Usage(prompt_tokens=1_234_567, completion_tokens=7), CARD), stated.stated_cny, stated.due_cny


def panel() -> Any:
    return Spent().plus(reply("1.23456")).plus(reply("0.00077"))


def rounds() -> Any:
    replies = [reply("1.23456"), reply("0.00077"), reply("0.00001")]
    made = reply_of(replies, text="", reasoning="", tool_calls=(), finish_reason="stop", error=None)
    return made.cost, made.usage.cost


def stated() -> Any:
    own_key = {"cost": 0.000123, "is_byok": True, "cost_details": {"upstream_inference_cost": 1.23456}}
    return cost_of({"cost_in_usd_ticks": 123_456_789}), cost_of(own_key)


@pytest.mark.parametrize("reckon", [budget, amounts, costs, panel, rounds, stated])
def test_it_does_not_round_what_is_reckoned(reckon: Callable[[], Any], narrow: decimal.Context) -> None:
    """The same digits as in Python's own context, where these sums come out even."""
    found = reckon()
    with decimal.localcontext(decimal.Context(prec=28)):
        assert found == reckon()


def test_the_digits_are_those_of_a_sum_by_hand(narrow: decimal.Context) -> None:
    """0.11112 spent, 1,001 tokens at $2 and a quarter, and 123,457 at $8."""
    tokens, passes, running, left, spent, _ = budget()
    assert running == Decimal("1.1012785")
    assert left == Decimal("0.1332815")
    assert (tokens, passes) == (140_117, False)
    assert spent == Decimal("1.098774321")


def test_it_is_left_as_it_was(narrow: decimal.Context) -> None:
    """No precision, rounding or flag of the caller's is changed."""
    narrow.clear_flags()
    before = narrow.copy()
    for reckon in (budget, amounts, costs, panel, rounds, stated):
        reckon()
    now = decimal.getcontext()
    assert (now.prec, now.rounding, now.traps, now.flags) == (before.prec, before.rounding, before.traps, before.flags)
