"""Projections, and the sums of HolySheep's documents: the right ones reproduced, the wrong ones shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.money.claims import Claim, claims, claims_table
from holystream_nb.money.projection import project_cost

MILLION = 1_000_000
CLAIMS = claims()


def claimed(document: str, figure: str) -> Claim:
    (found,) = [claim for claim in CLAIMS if (claim.document, claim.claimed) == (document, Decimal(figure))]
    return found


@pytest.mark.parametrize(
    ("model", "day", "month", "year"),
    [
        ("deepseek-v3.2", "0.42", "12.60", "153.30"),
        ("claude-sonnet-4.5", "15", "450", "5475"),
        ("gemini-2.5-flash", "2.50", "75", "912.50"),
    ],
)
def test_a_million_tokens_a_day_costs_what_003_says(model: str, day: str, month: str, year: str) -> None:
    """Day, month of 30 days and year of 365, to the cent."""
    row = project_cost(MILLION, models=[f"holysheep:{model}"]).iloc[0]
    assert (row.usd_per_day, row.usd_per_month, row.usd_per_year) == (Decimal(day), Decimal(month), Decimal(year))


def test_yuan_are_at_each_sellers_own_rate() -> None:
    """¥1 buys a dollar at HolySheep and ¥7.3 elsewhere: the same dollars, 86.3 % fewer yuan."""
    table = project_cost(MILLION, models=["holysheep:gpt-4.1", "openai:gpt-4.1"], baseline="openai:gpt-4.1")
    here, there = table.loc["holysheep:gpt-4.1"], table.loc["openai:gpt-4.1"]
    assert (here.usd_per_day, there.usd_per_day) == (Decimal(8), Decimal(8))
    assert (here.cny_per_day, there.cny_per_day) == (Decimal(8), Decimal("58.4"))
    assert (here.saving_usd_per_year, here.saving_cny_percent) == (0, Decimal("86.3"))
    assert here.saving_cny_per_year == Decimal(8) * 365 * (Decimal("7.3") - 1)


def test_a_mix_is_the_share_of_each_kind_of_token() -> None:
    """Half input, a quarter cached, a quarter output of gpt-4.1: 1.00 + 0.125 + 2.00 a million."""
    mix = {"input": 0.5, "cached": "0.25", "output": Decimal("0.25")}
    row = project_cost(2 * MILLION, mix=mix, models=["holysheep:gpt-4.1"]).iloc[0]
    assert row.usd_per_day == Decimal("6.25")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mix": {"output": 0.5}}, "add up to 1"),
        ({"mix": {"reading": 1}}, "kind of token reading"),
        ({"baseline": "nobody"}, "none of the rows"),
        ({"tokens_per_day": 0}, "tokens_per_day=0"),
    ],
)
def test_what_cannot_be_reckoned_is_refused(arguments: dict[str, Any], words: str) -> None:
    """A sentence names what is wrong."""
    with pytest.raises(SetupError, match=words):
        project_cost(**{"tokens_per_day": MILLION, **arguments})


def test_an_unknown_price_is_unknown() -> None:
    """Not 0, also in what is saved; a model of one's own machine has no price either."""
    table = project_cost(MILLION, models=["ollama:x", "openai:nobody-knows", "holysheep:gpt-4.1"], baseline="gpt-4.1")
    assert table.loc["ollama:x"].usd_per_day is None
    assert table.loc["openai:nobody-knows"].saving_usd_per_year is None


def test_a_seller_can_be_added_by_its_price() -> None:
    """003's domestic provider at $7.30 against DeepSeek: 2,511.20 a year, 94 %."""
    table = project_cost(MILLION, models=["holysheep:deepseek-v3.2"], prices={"Domestic": "7.30"}, baseline="Domestic")
    row = table.loc["holysheep:deepseek-v3.2"]
    assert row.saving_usd_per_year == Decimal("2511.20")
    assert table.loc["Domestic"].usd_per_year == Decimal("2664.50")


RIGHT = [claim for claim in CLAIMS if claim.document == "003" and claim.claimed != Decimal("7.30")]


@pytest.mark.parametrize("claim", RIGHT, ids=lambda claim: claim.says)
def test_the_sums_of_003_are_right(claim: Claim) -> None:
    """Its table, and both savings below it."""
    assert claim.is_right
    assert len(RIGHT) == 14


def test_the_sums_of_002s_table_are_right_as_sums() -> None:
    """Price times 10M tokens, a month and twelve: eight sums."""
    table = [claim for claim in CLAIMS if claim.document == "002" and claim.unit in ("USD a month", "USD a year")]
    assert len(table) == 9
    assert all(claim.is_right for claim in table)


def test_001_is_wrong_by_a_thousand() -> None:
    """10M tokens at $15 per 1M are $150, not $150,000."""
    claim = claimed("001", "150000")
    assert (claim.computed, claim.is_right) == (Decimal(150), False)


def test_001s_saving_is_wrong_twice() -> None:
    """$1.62M a year would be $1,553: the thousand, and a tenth taken for 1/7.3."""
    claim = claimed("001", "1620000")
    assert round(claim.computed) == 1553
    assert not claim.is_right


def test_the_rate_saves_85_percent_and_more() -> None:
    """1 − 1/7.3 = 86.3 %: "85 %+" is right."""
    claim = claimed("000", "85")
    assert (claim.computed, claim.is_right) == (Decimal("86.3"), True)


def test_002s_86_percent_is_not_its_rows() -> None:
    """$10 instead of $150 saves 93.3 %, not 86 %."""
    claim = claimed("002", "86")
    assert (claim.computed, claim.is_right) == (Decimal("93.3"), False)


def test_003s_yuan_are_no_dollars() -> None:
    """¥7.30 are $1.00 at the documents' own rate, not $7.30."""
    (claim,) = [claim for claim in CLAIMS if "¥7.30" in claim.says]
    assert (claim.computed, claim.is_right) == (Decimal(1), False)


def test_004_saves_more_than_the_bill() -> None:
    """50M tokens a month at $15 cost $9,000 a year in all: $180,000 cannot be saved."""
    claim = claimed("004", "180000")
    assert (claim.computed, claim.is_right) == (Decimal(9000), False)


def test_the_claims_are_a_table_too() -> None:
    """One row a claim, for a notebook."""
    table = claims_table()
    assert len(table) == len(CLAIMS)
    assert table.right.tolist() == [claim.is_right for claim in CLAIMS]


def test_thirds_are_shares() -> None:
    """Floats that add up to 0.9999999999999999 are taken for what they mean."""
    import holystream_nb as hs

    assert len(hs.project_cost(1_000_000, mix={"input": 2 / 3, "output": 1 / 3})) > 0
