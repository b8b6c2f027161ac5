"""The figures of HolySheep's documents that can be computed from others, each beside the sum done here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from ..providers.table import provider
from .card import price_card
from .exact import exactly
from .projection import MONTHS_A_YEAR, Volume, a_day, a_month, flat, percent_less

if TYPE_CHECKING:
    from .table import MoneyTable

Bound = Literal["", "at least", "at most"]

_MILLION: Final = 1_000_000
_RATE: Final = Decimal("7.3")
"""Yuan to the dollar elsewhere, by the documents themselves."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of a document and ours, in `unit`; `says` tells what it is about, `remark` how they differ.

    bound: what the document says no more than. within: how far ours may be off either way, because the document rounds
    what it is computed from.
    """

    document: str
    says: str
    claimed: Decimal
    computed: Decimal
    unit: str
    remark: str = ""
    bound: Bound = ""
    within: Decimal = Decimal(0)

    @property
    def is_right(self) -> bool:
        """Whether they agree to the last digit that the document gives, or ours is within its bound."""
        with exactly():
            low, high = self.computed - self.within, self.computed + self.within
            if self.bound == "at least":
                return high >= self.claimed
            if self.bound == "at most":
                return low <= self.claimed
            return low.quantize(self.claimed) <= self.claimed <= high.quantize(self.claimed)


def claims() -> list[Claim]:
    """The claims of documents 000 to 004, in their order.

    Not in it is what no figure beside it decides: measured values that stand alone (latencies of "sub-50ms", whose ends
    nobody names, "200-500ms" elsewhere; satisfaction +34 %, abandonment −22 %, 12 % of overhead, 40-60 % of perceived
    latency, 004's "40%" and "3x"), prices without a model (002's "Official OpenAI" and "Anthropic"), the lower of 002's
    "$350-700", whose workload is not told, words without a figure ("negligible", "significantly"), ranges
    that are called typical, and settings.
    List prices are those of the installed genai-prices, and left out where it has none.
    """
    with exactly():
        return [*_of_000(), *_of_001(), *_of_002(), *_of_003(), *_of_004()]


def claims_table() -> MoneyTable:
    """The same as a table: document, says, claimed, computed, unit, right, remark. Amounts are exact Decimals."""
    from .table import MoneyTable

    rows = [
        (claim.document, claim.says, claim.claimed, claim.computed, claim.unit, claim.is_right, claim.remark)
        for claim in claims()
    ]
    return MoneyTable(rows, columns=["document", "says", "claimed", "computed", "unit", "right", "remark"])


def _usd(usd_per_million: str, volume: Volume, period: str) -> Decimal:
    """By the document's own price: the reader's card may have another."""
    usd = flat("", Decimal(usd_per_million), volume).usd(period)
    assert usd is not None  # noqa: S101  # the price is given
    return usd


def _of_price(document: str, says: str, price: str, seller: str, model: str, remark: str = "") -> Iterator[Claim]:
    """A price of output tokens beside the list's, as long as that has the model."""
    card = price_card(provider(seller, {"HOLYSTREAM_PROVIDERS": os.devnull}), model)  # not by the reader's own prices
    if card.output is not None:
        remark = f"{card.source}, {card.as_of}{remark}"
        bound: Bound = "at least" if "+" in says else ""
        unit = "USD per 1M output tokens on the list"
        yield Claim(document, says, Decimal(price), card.output, unit, remark, bound)


def _percent(before: Decimal, after: Decimal) -> Decimal:
    percent = percent_less(before, after)
    assert percent is not None  # noqa: S101  # before is not 0
    return percent


def _rate_saves() -> Decimal:
    """Per cent: ¥1 instead of ¥7.3 for a dollar."""
    return _percent(_RATE, Decimal(1))


def _saves_85(document: str, says: str) -> Claim:
    return Claim(document, says, Decimal(85), _rate_saves(), "%", bound="at least")


def _of_000() -> Iterator[Claim]:
    yield _saves_85("000", "¥1 instead of ¥7.3 a dollar: 85%+ savings")
    saved = _usd("15", a_day(9 * _MILLION), "year") * _rate_saves() / 100
    yield Claim(
        "000",
        "six-figure annual savings at millions of tokens daily",
        Decimal(100_000),
        saved,
        "USD a year, of 9M a day at $15 per 1M",
        f"nine millions of the dearest model save that; six figures need {9 * 100_000 / saved:.1f}M a day",
        bound="at least",
    )


_TIMES_001: Final = (
    ("GPT-4.1", 1240, 48, "24.2"),
    ("Claude Sonnet 4.5", 980, 42, "21.1"),
    ("Gemini 2.5 Flash", 380, 18, "9.3"),
    ("DeepSeek V3.2", 290, 12, "6.2"),
)
"""Model, first token (ms), interval (ms), total of 500 tokens (s)."""


def _of_001() -> Iterator[Claim]:
    for name, first, interval, total in _TIMES_001:
        ours, within = Decimal(first + 499 * interval) / 1000, Decimal(499) / 2000
        remark = f"{first:,} + 499 × {interval} ms; {ours - within:.2f} to {ours + within:.2f} if {interval} is rounded"
        yield Claim("001", f"{name}, total time of 500 tokens", Decimal(total), ours, "s", remark, within=within)
    yield Claim(
        "001",
        "DeepSeek V3.2 delivers nearly 4x the throughput of GPT-4.1",
        Decimal(4),
        Decimal("24.2") / Decimal("6.2"),
        "times, by its totals",
        "by its intervals, 48 and 12 ms, exactly 4",
    )
    million = a_month(_MILLION)
    share = _usd("0.42", million, "month") / _usd("8", million, "month")
    yield Claim("001", "at 5% of the cost", Decimal(5), 100 * share, "%")
    yield _saves_85("001", "HolySheep against the ¥7.3 rate: 85%+ savings")
    bill = _usd("15", a_month(10 * _MILLION), "month")
    wrong = "a thousand times too much"
    yield Claim(
        "001", "10M tokens a month of Claude Sonnet 4.5 at $15 per 1M", Decimal(150_000), bill, "USD a month", wrong
    )
    usual = "at the usual ¥7.3"
    there = f"{wrong}, and a tenth instead of 1/7.3"
    yield Claim("001", "the same at ¥1 = $1", Decimal(15_000), bill / _RATE, f"USD a month {usual}", there)
    saved = bill - bill / _RATE
    yield Claim("001", "saved a month", Decimal(135_000), saved, f"USD a month {usual}", "the difference of both")
    yield Claim(
        "001",
        "saved a year",
        Decimal(1_620_000),
        saved * MONTHS_A_YEAR,
        f"USD a year {usual}",
        "12 × 135,000 is 1.62M, but both sums it is the difference of are wrong",
    )
    yield Claim(
        "001", "DeepSeek's sub-15ms token intervals", Decimal(15), Decimal(12), "ms, in its table", "", "at most"
    )


_SPEEDS_002: Final = (
    ("GPT-4o", 1247, 87, 28),
    ("GPT-4.1", 1892, 42, 31),
    ("Claude Sonnet 4.5", 1456, 68, 25),
    ("Gemini 2.5 Flash", 423, 156, 18),
    ("DeepSeek V3.2", 312, 198, 14),
)
"""Model, first token (ms), tok/s, SSE latency p50 (ms)."""


def _of_002() -> Iterator[Claim]:
    for name, _, speed, p50 in _SPEEDS_002:
        steady, most = Decimal(1000) / p50, Decimal(2000) / p50
        verdict = "would need several tokens a chunk, and its client counts chunks" if speed > most else "can be"
        yield Claim(
            "002",
            f"{name}: {speed} tok/s beside an SSE latency p50 of {p50} ms",
            Decimal(speed),
            most,
            "tok/s at most, one token a chunk",
            f"{steady:.1f} at steady gaps, {most:.1f} if half of them were 0; {speed} {verdict}",
            "at least" if speed <= most else "",
        )
    slowest = max(p50 for *_, p50 in _SPEEDS_002)
    yield Claim("002", "sub-50ms p50 latency across all tiers", Decimal(50), Decimal(slowest), "ms", "", "at most")
    fastest = min(first for _, first, *_ in _SPEEDS_002)
    yield Claim("002", "DeepSeek V3.2's fastest time to first token", Decimal(312), Decimal(fastest), "ms")
    yield Claim("002", "¥1 is approximately $0.14", Decimal("0.14"), 1 / _RATE, "USD")
    yield Claim("002", "¥7.3 is $1.00", Decimal("1.00"), Decimal("7.3") / _RATE, "USD")
    yield from _table_of_002()
    yield _saves_85("002", "¥1 = $1 against official pricing: 85%+ savings")
    large, apart = a_month(100 * _MILLION), Decimal("0.14")
    official = _usd("15", large, "year")
    yield Claim(
        "002",
        "over $13,000 saved a year at 100M tokens a month",
        Decimal(13_000),
        official - _usd("0.14", large, "year"),
        "USD a year, Official OpenAI less ¥1/$1",
        f"none of its rows gives 13,000: the rate alone saves {official * _rate_saves() / 100:,.0f} of "
        f"{official:,.0f}, and its two rates differ by {(1 - apart) * 100 * MONTHS_A_YEAR:,.0f}",
        "at least",
    )
    middle = a_month(50 * _MILLION)
    yield Claim(
        "002",
        "50M tokens a month save $350-700: the larger",
        Decimal(700),
        _usd("15", middle, "month") - _usd("1", middle, "month"),
        "USD a month, Official OpenAI less ¥7.3/$1",
        "the rate that HolySheep is not sold at; at its own, ¥1/$1, the table gives 743",
    )
    for word, month, year in (("smaller", 350, 4_200), ("larger", 700, 8_400)):
        ours = Decimal(month * MONTHS_A_YEAR)
        yield Claim("002", f"${month} a month, the {word}, in a year", Decimal(year), ours, "USD a year")


def _table_of_002() -> Iterator[Claim]:
    volume = a_month(10 * _MILLION)
    for name, price, month, year in (
        ("Official OpenAI", "15", "150.00", "1800.00"),
        ("Official Anthropic", "18", "180.00", "2160.00"),
        ("HolySheep (¥7.3/$1 rate)", "1", "10.00", "120.00"),
        ("HolySheep (¥1/$1 rate)", "0.14", "1.40", "16.80"),
    ):
        words = f"{name}, 10M tokens a month at ${price}"
        yield Claim("002", words, Decimal(month), _usd(price, volume, "month"), "USD a month")
        yield Claim("002", f"{name}, a year of it", Decimal(year), _usd(price, volume, "year"), "USD a year")
    official = _usd("15", volume, "month")
    for rate, price, percent, remark in (
        ("¥7.3", "1", 86, "86 % is what the rate alone saves, not what this row does"),
        (
            "¥1",
            "0.14",
            99,
            "the sum is right, but counts the rate twice: ¥1 buys $1 of usage, it does not make it cost $0.14",
        ),
    ):
        saved = _percent(official, _usd(price, volume, "month"))
        words = f"HolySheep ({rate}/$1 rate) against Official OpenAI saves"
        yield Claim("002", words, Decimal(percent), saved, "%", remark)


def _of_003() -> Iterator[Claim]:
    yield Claim("003", "first token from 1.8 s to under 300 ms", Decimal(300), Decimal(287), "ms", "", "at most")
    yield Claim("003", "mean TTFT: WebSocket +46ms faster", Decimal(46), Decimal(287 - 241), "ms")
    yield Claim("003", "p95 TTFT: WebSocket +23ms faster", Decimal(23), Decimal(412 - 389), "ms")
    errors = Decimal("0.89") / Decimal("0.12")
    yield Claim("003", "errors 0.12% and 0.89%: SSE 7x more reliable", Decimal(7), errors, "times")
    hours = Decimal(18) / 4
    yield Claim("003", "4 and 18 hrs/month: SSE 4.5x less maintenance", Decimal("4.5"), hours, "times")
    yield from _table_of_003()
    volume = a_day(_MILLION)
    domestic, ours = _usd("7.30", volume, "year"), _usd("0.42", volume, "year")
    instead = "DeepSeek instead of the domestic provider"
    twice = "the sum is right, but takes yuan for dollars"
    yield Claim("003", instead, Decimal("2511.20"), domestic - ours, "USD a year", twice)
    yield Claim("003", "the same in per cent", Decimal(94), _percent(domestic, ours), "%", twice)
    flash = _usd("2.50", volume, "year")
    yield Claim("003", "DeepSeek instead of Gemini 2.5 Flash", Decimal("759.20"), flash - ours, "USD a year")


def _table_of_003() -> Iterator[Claim]:
    volume = a_day(_MILLION)
    for name, price, official, figures in (
        ("HolySheep (DeepSeek V3.2)", "0.42", (), ("0.42", "12.60", "153.30")),
        ("Domestic CN Provider", "7.30", (), ("7.30", "219.00", "2664.50")),
        ("OpenAI (GPT-4o)", "15.00", ("openai", "gpt-4o"), ("15.00", "450.00", "5475.00")),
        ("Anthropic (Claude)", "15.00", ("anthropic", "claude-sonnet-4-5"), ("15.00", "450.00", "5475.00")),
        ("Google (Gemini 2.5 Flash)", "2.50", ("gemini", "gemini-2.5-flash"), ("2.50", "75.00", "912.50")),
    ):
        if official:
            yield from _of_price("003", f"{name}, price", price, *official)
        for period, figure in zip(("day", "month", "year"), figures, strict=True):
            words = f"{name}, 1M tokens a day at ${price}, a {period}"
            yield Claim("003", words, Decimal(figure), _usd(price, volume, period), f"USD a {period}")
    yield Claim(
        "003",
        "the domestic provider's ¥7.30 ($7.30) per 1M tokens",
        Decimal("7.30"),
        Decimal("7.30") / _RATE,
        "USD per 1M",
        "at the documents' own ¥7.3 to the dollar it is $1.00",
    )


def _of_004() -> Iterator[Claim]:
    yield _saves_85("004", "¥1 per dollar instead of ¥7.3: 85%+ savings")
    steps = -(-95 // 25)
    last = 4 + 2 * (steps - 1)
    yield Claim(
        "004",
        "from 5 % by 25 % every 48 hours, in days 4-10",
        Decimal(10),
        Decimal(last),
        "day of the last step",
        f"{steps} steps, the first on day 4",
    )
    yield Claim(
        "004",
        "savings averaged 85% due to ¥1 instead of ¥7.3",
        Decimal(85),
        _rate_saves(),
        "%",
        "for the same usage the rate gives this, whatever the average is over",
    )
    words, remark = "GPT-4.1 at $8 per 1M versus $15+ elsewhere", ": as much as HolySheep takes"
    yield from _of_price("004", words, "15", "openai", "gpt-4.1", remark)
    yield Claim(
        "004",
        "over $180,000 saved a year at 50M tokens a month",
        Decimal(180_000),
        _usd("15", a_month(50 * _MILLION), "year"),
        "USD a year: the whole bill at $15 per 1M",
        "nobody saves more than the bill; 002 says $8,400 at most for the same tokens",
        "at least",
    )
