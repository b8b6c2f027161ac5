"""Costs in words: what the simulator's answers would have cost is never read as money that was paid."""

from __future__ import annotations

from array import array
from decimal import Decimal

import pytest

from holystream_nb.events import Usage
from holystream_nb.live.figures import figures, money, verdict
from holystream_nb.money.card import LOCAL, SIMULATED, UNKNOWN
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Reply
from holystream_nb.session import Session, Totals
from holystream_nb.timing import Timing


def priced(usd: str | None, note: str = "", *, exact: bool = True) -> Cost:
    amount = None if usd is None else Decimal(usd)
    return Cost(amount, amount, exact, "", "", note)


def reply(cost: Cost) -> Reply:
    timing = Timing(submitted=0, sent=0, reads=array("q", [10**9]))
    return Reply("x", "", (), "stop", Usage(prompt_tokens=10, completion_tokens=5), timing, cost, "m", "p")


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (priced("0.000024"), "$0.000024"),
        (priced("0.000024", SIMULATED), "$0.000024 (simulated)"),
        (priced("0.000024", SIMULATED, exact=False), "≈$0.000024 (simulated)"),
        (priced(None, UNKNOWN), "cost unknown"),
        (priced(None, LOCAL), "local, no price"),
    ],
)
def test_an_amount_says_whether_it_is_paid(cost: Cost, words: str) -> None:
    """By what the price card says, not by the provider's name."""
    assert money(cost) == words
    assert words in figures(reply(cost))


def test_the_verdict_says_it_too() -> None:
    """Who was cheapest, at what."""
    replies = {"a": reply(priced("0.002", SIMULATED)), "b": reply(priced("0.001", SIMULATED))}
    assert "cheapest: b at $0.0010 (simulated)" in verdict(replies)


def test_the_session_keeps_the_two_apart() -> None:
    """`%stream` has a sum of what was paid, and another of what was not."""
    totals = Totals()
    totals.add(reply(priced("0.01")))
    assert (totals.usd, totals.simulated_usd) == (Decimal("0.01"), None)
    totals.add(reply(priced("0.0002", SIMULATED)))
    assert (totals.usd, totals.simulated_usd) == (Decimal("0.0102"), Decimal("0.0002"))


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([], "$0.00"),
        ([priced("0.0002", SIMULATED)], "$0.00020 (simulated)"),
        ([priced("0.01"), priced("0.0002", SIMULATED)], "$0.01 and $0.00020 (simulated)"),
        ([priced("0.01"), priced(None, UNKNOWN)], "$0.01, and 1 of unknown cost"),
        ([priced(None, LOCAL)], "local, no price"),
        ([priced("0.01"), priced(None, LOCAL)], "$0.01"),
    ],
)
def test_the_report_says_both(costs: list[Cost], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line `cost` of a bare `%stream`, whatever provider is the default now."""
    from holystream_nb.report import report

    session = Session()
    for cost in costs:
        session.remember(reply(cost))
    report([], session)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cost ")]
    assert line.removeprefix("cost").strip() == words
