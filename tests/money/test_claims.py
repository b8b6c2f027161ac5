"""The figures of HolySheep's documents: the right ones reproduced, the wrong ones shown."""

from __future__ import annotations

import decimal
from decimal import Decimal
from pathlib import Path

import pytest

from holystream_nb.money.card import price_card
from holystream_nb.money.claims import Claim, claims, claims_table
from holystream_nb.providers.table import provider

CLAIMS = claims()


def claimed(document: str, figure: str, words: str = "") -> Claim:
    (found,) = [
        claim
        for claim in CLAIMS
        if (claim.document, claim.claimed) == (document, Decimal(figure)) and words in claim.says
    ]
    return found


def test_each_claim_is_there_once() -> None:
    """A document's figure has one row."""
    assert len({(claim.document, claim.says) for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.document for claim in CLAIMS} == {"000", "001", "002", "003", "004"}


def test_which_are_wrong() -> None:
    """All of them, and no others."""
    assert [(claim.document, str(claim.claimed)) for claim in CLAIMS if not claim.is_right] == [
        ("000", "100000"),
        ("001", "24.2"),
        ("001", "21.1"),
        ("001", "150000"),
        ("001", "15000"),
        ("001", "135000"),
        ("001", "1620000"),
        ("002", "87"),
        ("002", "156"),
        ("002", "198"),
        ("002", "86"),
        ("003", "15.00"),
        ("003", "7.30"),
        ("004", "85"),
        ("004", "15"),
        ("004", "180000"),
    ]


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if not claim.is_right], ids=lambda claim: claim.says)
def test_what_is_wrong_has_a_remark(claim: Claim) -> None:
    """How they differ, in words."""
    assert claim.remark


def test_six_figures_need_more_than_millions_of_tokens() -> None:
    """Nine million a day of the dearest model, 9 × 15 × 365 × 6.3 / 7.3, save $42,525 a year."""
    claim = claimed("000", "100000")
    assert round(claim.computed, 2) == Decimal("42525.00")
    assert "21.2M a day" in claim.remark


@pytest.mark.parametrize(
    ("total", "computed", "right"),
    [("24.2", "25.192", False), ("21.1", "21.938", False), ("9.3", "9.362", True), ("6.2", "6.278", True)],
)
def test_001s_totals_are_its_first_token_and_499_intervals(total: str, computed: str, right: bool) -> None:
    """Half a millisecond of rounding in each interval explains two of them, and not the others."""
    claim = claimed("001", total)
    assert (claim.computed, claim.is_right) == (Decimal(computed), right)


def test_001s_ratios_are_right() -> None:
    """24.2 / 6.2 = 3.9, "nearly 4x"; 0.42 / 8 = 5.25 %."""
    speed, price = claimed("001", "4"), claimed("001", "5")
    assert (round(speed.computed, 2), price.computed) == (Decimal("3.90"), Decimal("5.25"))
    assert speed.is_right
    assert price.is_right


def test_001_is_wrong_by_a_thousand() -> None:
    """10M tokens at $15 per 1M are $150, not $150,000."""
    assert claimed("001", "150000").computed == 150


def test_001s_saving_is_wrong_twice() -> None:
    """$1.62M a year would be $1,553: the thousand, and a tenth taken for 1/7.3; $135,000 a month would be $129."""
    assert round(claimed("001", "1620000").computed) == 1553
    assert round(claimed("001", "135000").computed) == 129


@pytest.mark.parametrize("document", ["000", "001", "002", "004"])
def test_the_rate_saves_85_percent_and_more(document: str) -> None:
    """1 − 1/7.3 = 86.3 %: "85 %+" is right."""
    claim = claimed(document, "85", "85%+")
    assert round(claim.computed, 1) == Decimal("86.3")
    assert claim.is_right


@pytest.mark.parametrize(
    ("speed", "most", "right"),
    [
        ("87", "71.43", False),
        ("42", "64.52", True),
        ("68", "80", True),
        ("156", "111.11", False),
        ("198", "142.86", False),
    ],
)
def test_002s_speeds_beside_its_gaps(speed: str, most: str, right: bool) -> None:
    """Half the gaps are no shorter than the median: 28 ms allow 1000 / 14 = 71.4 tok/s at most."""
    claim = claimed("002", speed)
    assert (round(claim.computed, 2), claim.is_right) == (Decimal(most), right)


def test_the_sums_of_002s_table_are_right_as_sums() -> None:
    """Price times 10M tokens, a month and twelve: eight sums."""
    table = [
        claim for claim in CLAIMS if claim.document == "002" and ("10M" in claim.says or "a year of" in claim.says)
    ]
    assert len(table) == 8
    assert all(claim.is_right for claim in table)


def test_002s_86_percent_is_not_its_rows() -> None:
    """$10 instead of $150 saves 93.3 %, not 86 %."""
    assert round(claimed("002", "86").computed, 1) == Decimal("93.3")


def test_002s_13_000_is_less_than_its_table_gives() -> None:
    """100M a month: 12 × 100 × (15 − 0.14) = 17,832, and 15,534 by the rate alone."""
    claim = claimed("002", "13000")
    assert (claim.computed, claim.is_right) == (17_832, True)
    assert "15,534 of 18,000" in claim.remark


@pytest.mark.parametrize(
    ("figure", "computed"), [("46", "46"), ("23", "23"), ("7", "7.42"), ("4.5", "4.5"), ("300", "287")]
)
def test_003s_differences_and_ratios_are_right(figure: str, computed: str) -> None:
    """287 − 241, 412 − 389, 0.89 / 0.12, 18 / 4, and 287 ms are under 300."""
    claim = claimed("003", figure)
    assert (round(claim.computed, 2), claim.is_right) == (Decimal(computed), True)


def test_the_sums_of_003s_table_are_right() -> None:
    """Five rows of three, GPT-4o's among them."""
    table = [claim for claim in CLAIMS if claim.document == "003" and "1M tokens a day" in claim.says]
    assert len(table) == 15
    assert all(claim.is_right for claim in table)


def test_003s_price_of_gpt_4o_is_not_the_lists() -> None:
    """$15 for OpenAI's $10."""
    claim = claimed("003", "15.00", "GPT-4o), price")
    assert (claim.computed, claim.is_right) == (10, False)
    assert "genai-prices" in claim.remark


def test_003s_savings_are_right_as_sums() -> None:
    """2,664.50 − 153.30 are 94.2 % of it; 912.50 − 153.30."""
    assert all(claimed("003", figure).is_right for figure in ("2511.20", "94", "759.20"))


def test_003s_yuan_are_no_dollars() -> None:
    """¥7.30 are $1.00 at the documents' own rate, not $7.30."""
    assert claimed("003", "7.30", "¥7.30").computed == 1


def test_004_saves_more_than_the_bill() -> None:
    """50M tokens a month at $15 cost $9,000 a year in all: $180,000 cannot be saved."""
    assert claimed("004", "180000").computed == 9_000


def test_004s_gpt_4_1_costs_no_more_elsewhere() -> None:
    """OpenAI's list has the $8 that HolySheep takes."""
    assert claimed("004", "15").computed == 8


def test_the_claims_are_a_table_too() -> None:
    """One row a claim, for a notebook, with no digit too many to read; the values are exact."""
    table = claims_table()
    assert table.right.tolist() == [claim.is_right for claim in CLAIMS]
    assert table.computed.tolist() == [claim.computed for claim in CLAIMS]
    shown = table[["claimed", "computed"]].to_string()
    assert "20.5479" in shown
    assert "20.5479" not in repr(table[["claimed", "computed"]].head(20))


def test_the_callers_decimal_context_changes_nothing() -> None:
    """Two digits, rounded up: the same sums and verdicts."""
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP)):
        assert claims() == CLAIMS
        assert [claim.is_right for claim in claims()] == claims_table().right.tolist()


def test_the_readers_own_prices_change_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract in the own providers.toml is no figure of a document."""
    path = tmp_path / "providers.toml"
    rows = (("holysheep", "claude-sonnet-4.5"), ("openai", "gpt-4o"), ("holysheep", "deepseek-v3.2"))
    path.write_text("".join(f'[{name}.prices."{model}"]\ninput = 1\noutput = 99\n' for name, model in rows))
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    assert price_card(provider("holysheep"), "claude-sonnet-4.5").output == 99
    assert claims() == CLAIMS
