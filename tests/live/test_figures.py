"""Costs in words: what the simulator's answers would have cost is never read as money that was paid."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from holystream_nb.ask import Ask
from holystream_nb.chat.spent import Spent
from holystream_nb.errors import ConnectionFailed, SetupError
from holystream_nb.events import Usage
from holystream_nb.live.figures import figures, money, record, verdict
from holystream_nb.money.amount import Amount, show_in
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


def test_answers_in_several_formats_can_be_told_apart() -> None:
    """The format and the transport are said where they are not the usual ones, and kept in the record."""
    usual = reply(priced("0.01"))
    other = replace(usual, wire="responses", transport="ws")
    assert figures(other) == ["responses", "ws", *figures(usual)]
    assert (record(usual)["wire"], record(other)["wire"]) == ("chat", "responses")


def test_tokens_of_several_choices_are_not_taken_for_one_answers() -> None:
    """Only the first is shown, and all are counted."""
    assert "5 tokens in 3 choices" in figures(replace(reply(priced("0.01")), other_choices=("b", "c")))


def test_the_verdict_says_it_too() -> None:
    """Who was cheapest, at what."""
    replies = {"a": reply(priced("0.002", SIMULATED)), "b": reply(priced("0.001", SIMULATED))}
    assert "cheapest: b at $0.0010 (simulated)" in verdict(replies)


@pytest.mark.parametrize("flaw", [{"finish_reason": "content_filter"}, {"finish_reason": "error"}, {"text": ""}])
def test_an_answer_that_is_none_is_not_the_cheapest(flaw: dict[str, str]) -> None:
    """What the service did not finish, and what is empty, costs little; a limit's end is an answer."""
    replies = {name: reply(priced(usd)) for name, usd in (("a", "0.003"), ("b", "0.002"))}
    assert "cheapest: b at" in verdict({**replies, "c": replace(reply(priced("0.001")), **flaw)})
    assert "cheapest: c at" in verdict({**replies, "c": replace(reply(priced("0.001")), finish_reason="length")})


def test_what_was_refused_here_is_no_request() -> None:
    """It was never sent: it counts nowhere, and makes no exact sum an estimate."""
    refused = replace(reply(priced("0.01", exact=False)), timing=Timing(submitted=0), error=SetupError("no"))
    totals = Totals()
    totals.add(refused)
    assert totals == Totals()
    assert Spent().plus(refused) == Spent()
    failed = replace(refused, error=ConnectionFailed("nothing listens there"))
    assert str(Spent().plus(failed)).startswith("1 request")


def test_the_session_keeps_the_two_apart() -> None:
    """`%stream` has a sum of what was paid, and another of what was not."""
    totals = Totals()
    totals.add(reply(priced("0.01")))
    assert (totals.cost.usd, totals.simulated) == (Decimal("0.01"), None)
    totals.add(reply(priced("0.0002", SIMULATED)))
    assert totals.cost == Amount(Decimal("0.0102"), Decimal("0.0102"))
    assert totals.simulated == Amount(Decimal("0.0002"), Decimal("0.0002"))


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
        session.remember(reply(cost), Ask("Hi"))
    report([], session)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cost ")]
    assert line.removeprefix("cost").strip() == words


@pytest.fixture
def yuan() -> Iterator[None]:
    show_in("CNY")
    yield
    show_in("USD")


def in_both(usd: str, cny: str, stated: str | None = None, note: str = "") -> Cost:
    return Cost(Decimal(usd), Decimal(cny), True, "", "", note, stated and Decimal(stated), Decimal(7))  # type: ignore[arg-type]


def test_a_stated_cost_stands_beside_ours_and_is_named_as_the_service_s() -> None:
    """Also where ours is unknown."""
    assert figures(reply(in_both("0.002", "0.014", "0.0021")))[-2:] == ["$0.0020", "0.0021 USD as p says"]
    unknown = replace(in_both("0", "0", "0.0021"), usd=None, cny=None, note=UNKNOWN)
    assert figures(reply(unknown))[-2:] == ["cost unknown", "0.0021 USD as p says"]


def test_output_without_a_name_is_said() -> None:
    """It is billed."""
    odd = replace(reply(priced("0.01")), usage=Usage(3, 102, 105, other_tokens=93))
    assert "93 of them other output" in figures(odd)


def test_what_is_hidden_and_not_counted_is_said() -> None:
    """≈ alone would be wrong by a factor of a hundred."""
    stopped = replace(reply(priced("0.01")), usage=Usage(3, 5, 8, exact=False, uncounted=True))
    assert figures(stopped)[-1] == "hidden reasoning not counted"
    silent = replace(stopped, timing=Timing(submitted=0))
    assert figures(silent) == ["hidden reasoning not counted"]


def test_costs_are_in_yuan_where_the_reader_wants_it(yuan: None) -> None:
    """At the rate that the seller is paid at, in the figures and in every sum."""
    dear, cheap = reply(in_both("0.002", "0.014")), reply(in_both("0.003", "0.003"))
    assert figures(dear)[-1] == "¥0.014"
    assert figures(reply(in_both("0.002", "0.0014", "0.0021")))[-2:] == ["¥0.0014", "¥0.015 as p says"]
    assert "cheapest: b at ¥0.0030" in verdict({"a": dear, "b": cheap})
    assert str(Spent().plus(dear).plus(cheap)) == "2 requests · 10 tokens · ¥0.017"
    simulated = Spent().plus(reply(in_both("0.002", "0.002", note=SIMULATED)))
    assert str(simulated) == "1 request · 5 tokens · ¥0.0020 (simulated)"
    assert str(simulated.plus(dear)).endswith("¥0.014 and ¥0.0020 (simulated)")


def test_the_report_says_the_rate_and_who_says_so(yuan: None, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is left of a budget."""
    from holystream_nb.report import report

    session = Session()
    session.budget.limit = Decimal(2)
    session.remember(reply(in_both("0.5", "3.5")), Ask("Hi"))
    report([], session)
    printed = " ".join(capsys.readouterr().out.split())
    assert "cost ¥3.50" in printed
    assert "budget 2 USD, of which 0.000000 USD is spent" in printed
    assert "rate ¥1 to the dollar at simulator (HolySheep's, simulated)" in printed


def test_a_stated_cost_is_what_the_session_sums() -> None:
    """The service's word comes before a list."""
    session = Session()
    session.remember(reply(in_both("0.5", "3.5", "0.6")), Ask("Hi"))
    assert session.totals.cost == Amount(Decimal("0.6"), Decimal("4.2"))
