"""Projections: exact whatever the caller reckons with, said in one sentence where they cannot be, and readable."""

from __future__ import annotations

import decimal
import pickle
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from holystream_nb.errors import SetupError, UnknownProvider
from holystream_nb.money.exact import written
from holystream_nb.money.projection import project_cost

MILLION = 1_000_000


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


def test_a_months_tokens_cost_what_002_says() -> None:
    """10M a month at $15: 150 a month, and twelve of those a year; a day is a thirtieth."""
    row = project_cost(tokens_per_month=10 * MILLION, models="claude-sonnet-4.5").iloc[0]
    assert (row.usd_per_day, row.usd_per_month, row.usd_per_year) == (5, 150, 1800)


def test_one_model_may_be_a_text() -> None:
    """One row, and not one a letter, nor the whole card."""
    assert project_cost(MILLION, models="gpt-4.1").index.tolist() == ["holysheep:gpt-4.1"]


@pytest.mark.parametrize(
    "models",
    [
        ("gpt-4.1",),
        pd.Series(["gpt-4.1"]),
        pl.Series(["gpt-4.1"]),
        np.array(["gpt-4.1", "holysheep:gpt-4.1"]),
    ],
)
def test_models_come_in_any_list(models: Any) -> None:
    """pandas', polars' and numpy's too; what is there twice makes one row."""
    assert project_cost(MILLION, models=models).index.tolist() == ["holysheep:gpt-4.1"]


@pytest.mark.parametrize(
    "tokens",
    [MILLION, 1e6, Decimal("1e6"), np.int64(MILLION), np.float64(1e6), np.float32(1e6), pd.Series([1e6]).sum()],
)
def test_any_number_of_tokens_is_a_number(tokens: Any) -> None:
    """1e6, numpy's and pandas' are a million."""
    table = project_cost(tokens, models="gpt-4.1")
    assert table.usd_per_year.tolist() == [2920]
    assert isinstance(table.usd_per_year.iloc[0], Decimal)


def test_a_mean_number_of_tokens_may_have_a_fraction() -> None:
    """1.5 tokens a day at $8: digit by digit."""
    assert project_cost(np.mean([1, 2]), models="gpt-4.1").usd_per_day.tolist() == [Decimal("0.000012")]


def test_the_callers_decimal_context_changes_nothing() -> None:
    """Two digits, rounded up, without traps or with one for floats: the same figures, and the same table."""
    arguments: dict[str, Any] = {
        "mix": {"input": 0.7, "output": np.float32(0.3)},
        "models": ["openai:gpt-4.1", "gpt-4.1"],
        "prices": {"Domestic": 7.3},
        "baseline": "openai:gpt-4.1",
    }
    before = project_cost(1_234_567, **arguments)
    text, html = repr(before), before._repr_html_()
    for context in (
        decimal.Context(prec=2, rounding=decimal.ROUND_UP),
        decimal.Context(prec=2, traps=[]),
        decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]),
    ):
        with decimal.localcontext(context):
            after = project_cost(1_234_567, **arguments)
            assert (repr(after), after._repr_html_()) == (text, html)
        assert after.to_csv() == before.to_csv()


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


@pytest.mark.parametrize("kind", [float, np.float32, lambda share: round(share, 6), lambda share: f"{share:.6f}"])
def test_thirds_are_shares(kind: Any) -> None:
    """What their rounding leaves of 1 is the largest one's: no token is lost."""
    mix = {"input": kind(1 / 3), "cached": kind(1 / 3), "output": kind(1 / 3)}
    table = project_cost(MILLION, mix=mix, models=["holysheep:deepseek-v3.2"])
    assert float(table.usd_per_day.iloc[0]) == pytest.approx((2 * 0.2288 + 0.42) / 3, rel=1e-6)
    alike = project_cost(MILLION, mix=mix, prices={"flat": 3}, models="gpt-4.1")
    assert alike.loc["flat"].usd_per_day == 3


A_DAY = {"tokens_per_day": MILLION}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, r"takes tokens_per_day or tokens_per_month: give one of them\.$"),
        ({**A_DAY, "tokens_per_month": 1}, r"give one of them\.$"),
        ({"tokens_per_day": "gpt-4.1"}, r"^tokens_per_day='gpt-4.1': .* and the models by models=\.$"),
        ({"tokens_per_month": "10M"}, "^tokens_per_month='10M': give a number of tokens above 0"),
        *(
            ({"tokens_per_day": wrong}, "^tokens_per_day=.*: give a number of tokens above 0")
            for wrong in (0, -1, float("nan"), float("inf"), True, [MILLION], Decimal("sNaN"), np.float64("nan"), pd.NA)
        ),
        ({**A_DAY, "mix": {}}, "^mix is an empty mapping: give the share of each kind"),
        ({**A_DAY, "mix": [1]}, "^mix is a list: give the share of each kind"),
        ({**A_DAY, "mix": {"output": 0.5}}, r"^The shares of mix add up to 0\.5: they must add up to 1\.$"),
        ({**A_DAY, "mix": {"input": 70, "output": 30}}, "add up to 100: "),
        ({**A_DAY, "mix": {"output": 0}}, "add up to 0: "),
        ({**A_DAY, "mix": {"reading": 0, "output": 1}}, "^mix has no kind of token 'reading': kinds are input, cached"),
        ({**A_DAY, "mix": {3: 1}}, "no kind of token 3"),
        *(
            ({**A_DAY, "mix": {"input": wrong, "output": 1}}, "^The share input of mix=.*: give a number from 0 to 1")
            for wrong in (-1, float("nan"), float("-inf"), None, True, "half", [1])
        ),
        ({**A_DAY, "models": []}, "^The models of hs.project_cost are an empty list"),
        ({**A_DAY, "models": pd.DataFrame({"model": ["gpt-4.1"]})}, "are of type DataFrame"),
        ({**A_DAY, "models": ["gpt-4.1", ""]}, "^One of the models is an empty text"),
        (
            {**A_DAY, "baseline": "nobody"},
            "^The baseline 'nobody' is none of the rows: choose one of holysheep:gpt-4.1,",
        ),
        ({**A_DAY, "baseline": 3}, "^baseline is of type int"),
        ({**A_DAY, "models": ["gpt-4.1", "openai:gpt-4.1"], "baseline": "gpt-4.1"}, "'gpt-4.1' is 2 of the rows"),
        ({**A_DAY, "prices": [1]}, "^prices is a list"),
        ({**A_DAY, "prices": {"x": -1}}, "^The price x=-1"),
        ({**A_DAY, "prices": {3: 1}}, "^A name in prices is of type int"),
        ({**A_DAY, "prices": {"holysheep:gpt-4.1": 1}}, "one of the models: give it another name"),
    ],
)
def test_what_cannot_be_reckoned_is_refused(arguments: dict[str, Any], words: str) -> None:
    """One sentence names what is wrong, and what to give."""
    with pytest.raises(SetupError, match=words) as raised:
        project_cost(**arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", ["nobody:gpt-4.1", "openia:gpt-4.1"])
def test_a_model_of_a_provider_that_does_not_exist_is_refused(model: str) -> None:
    """It is no model of HolySheep's without a price."""
    with pytest.raises(UnknownProvider, match=f"^There is no provider '{model[:6]}' for '{model}'"):
        project_cost(MILLION, models=[model])


@pytest.mark.parametrize("hour", [12, 20])
def test_a_price_by_the_time_of_day_is_the_mean_of_a_day(monkeypatch: pytest.MonkeyPatch, hour: int) -> None:
    """deepseek-chat's output costs $1.10 for 16 hours and $0.55 for 8: $0.91667, whenever one asks."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls(2026, 11, 26, hour, 7, tzinfo=tz)

    monkeypatch.setattr("holystream_nb.money.projection.datetime", Clock)
    monkeypatch.setattr("holystream_nb.money.card.datetime", Clock)
    row = project_cost(48 * MILLION, models="deepseek:deepseek-chat").iloc[0]
    assert row.usd_per_day == pytest.approx(32 * Decimal("1.1") + 16 * Decimal("0.55"), abs=Decimal("1e-50"))
    assert row.source.endswith(", mean over the hours of a day")


def test_an_unknown_price_is_unknown() -> None:
    """Not 0, also in what is saved; a model of one's own machine has no price either; the table says so."""
    table = project_cost(MILLION, models=["ollama:x", "openai:nobody-knows", "holysheep:gpt-4.1"], baseline="gpt-4.1")
    assert table.loc["ollama:x"].usd_per_day is None
    assert table.loc["openai:nobody-knows"].saving_usd_per_year is None
    assert repr(table[["usd_per_day"]]).count("unknown") == 2


def test_a_seller_can_be_added_by_its_price() -> None:
    """003's domestic provider at $7.30 against DeepSeek: 2,511.20 a year, 94 %."""
    table = project_cost(MILLION, models=["holysheep:deepseek-v3.2"], prices={"Domestic": "7.30"}, baseline="Domestic")
    row = table.loc["holysheep:deepseek-v3.2"]
    assert row.saving_usd_per_year == Decimal("2511.20")
    assert table.loc["Domestic"].usd_per_year == Decimal("2664.50")


class TestShown:
    def test_amounts_are_shown_to_the_cent_and_kept_exact(self) -> None:
        """A third is sixteen digits in a cell's value, and two in what is read."""
        table = project_cost(MILLION, mix={"input": 2 / 3, "output": 1 / 3}, models="gpt-4.1")
        assert table.usd_per_day.iloc[0] == 2 * Decimal("0.6666666666666667") + 8 * Decimal("0.3333333333333333")
        shown = repr(table[["usd_per_day", "usd_per_year"]])
        assert shown.split()[-2:] == ["4.00", "1,460.00"]
        assert "<td>1,460.00</td>" in (table._repr_html_() or "")
        assert max(len(word) for word in shown.split()) < 20

    def test_a_slice_and_a_copy_are_shown_alike(self) -> None:
        """What is taken out as a table reads as well, and goes through pickle."""
        table = project_cost(3, models=["gpt-4.1", "gpt-4o"])
        for part in (table.head(1), table[["usd_per_day"]], pickle.loads(pickle.dumps(table))):
            assert "0.000024" in repr(part)

    def test_floats_of_it_are_floats(self) -> None:
        """For a chart, or for the reader's own format."""
        years = project_cost(MILLION, models="gpt-4.1")[["usd_per_year"]].astype(float)
        assert years.map("{:,.0f}".format).to_numpy().tolist() == [["2,920"]]

    def test_a_name_is_no_markup(self) -> None:
        """A seller's name is escaped."""
        assert "<script" not in (project_cost(MILLION, prices={"<script>": 1})._repr_html_() or "")

    @pytest.mark.parametrize(
        ("value", "least", "text"),
        [
            ("8.000", 0, "8.00"),
            ("8", 0, "8"),
            ("8", 2, "8.00"),
            ("24.2", 0, "24.2"),
            ("1234567.891", 2, "1,234,567.89"),
            ("0.00012345", 2, "0.00012"),
            ("0E-18", 2, "0.00"),
            ("-0.125", 2, "-0.12"),
            ("1E+3", 0, "1,000"),
        ],
    )
    def test_a_number_is_written_for_a_reader(self, value: str, least: int, text: str) -> None:
        """Hundredths at most, or two significant digits."""
        assert written(Decimal(value), least) == text
