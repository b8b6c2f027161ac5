"""What HolySheep's documents say a workload costs or saves, beside the sum done here."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from .projection import flat, project, saving_percent

if TYPE_CHECKING:
    from pandas import DataFrame

_MONTHS: Final = 12
_MILLION: Final = 1_000_000
_SONNET: Final = "holysheep:claude-sonnet-4.5"
_DEEPSEEK: Final = "holysheep:deepseek-v3.2"
_FLASH: Final = "holysheep:gemini-2.5-flash"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence's figure and ours, in `unit`; `says` quotes what it is about, `remark` says how they differ."""

    document: str
    says: str
    claimed: Decimal
    computed: Decimal
    unit: str
    remark: str = ""
    at_least: bool = False

    @property
    def is_right(self) -> bool:
        """Whether they agree to the last digit that the document gives, or it says no more than "at least"."""
        if self.at_least:
            return self.computed >= self.claimed
        return self.computed.quantize(self.claimed) == self.claimed


def claims() -> list[Claim]:
    """Every sum of the documents that can be done again, in their order."""
    return [*_of_001(), *_of_002(), *_of_003(), *_of_004()]


def claims_table() -> DataFrame:
    """The same as a table: document, says, claimed, computed, unit, right, remark."""
    from pandas import DataFrame

    rows = [
        (claim.document, claim.says, claim.claimed, claim.computed, claim.unit, claim.is_right, claim.remark)
        for claim in claims()
    ]
    return DataFrame(rows, columns=["document", "says", "claimed", "computed", "unit", "right", "remark"])


def _year(model: str, tokens_per_day: int) -> Decimal:
    return _known(project(model, tokens_per_day).usd("year"))


def _per_month(usd_per_million: str, millions: int) -> Decimal:
    return _known(flat("", usd_per_million, millions * _MILLION).usd("day"))


def _known(value: Decimal | None) -> Decimal:
    assert value is not None  # noqa: S101  # HolySheep's card has these prices
    return value


def _of_001() -> list[Claim]:
    month = _known(project(_SONNET, 10 * _MILLION).usd("day"))  # a month's tokens, whatever its days
    there, here = month * Decimal("7.3"), month
    return [
        Claim(
            "001",
            "10M tokens a month of Claude Sonnet 4.5 at $15 per 1M",
            Decimal(150_000),
            month,
            "USD a month",
            "a thousand times too much",
        ),
        Claim(
            "001",
            "the same at ¥1 = $1",
            Decimal(15_000),
            month / Decimal("7.3"),
            "USD a month at the usual ¥7.3",
            "a thousand times too much, and a tenth instead of 1/7.3",
        ),
        Claim(
            "001",
            "saved a year",
            Decimal(1_620_000),
            (there - here) / Decimal("7.3") * _MONTHS,
            "USD a year at the usual ¥7.3",
            "12 × 135,000 is 1.62M, but both sums it is the difference of are wrong",
        ),
        Claim(
            "000",
            "the rate alone, ¥1 instead of ¥7.3 a dollar, saves",
            Decimal(85),
            _known(saving_percent(there, here)),
            "%, at least",
            at_least=True,
        ),
    ]


def _of_002() -> list[Claim]:
    found = []
    for name, price, month, year in (
        ("Official OpenAI", "15", "150.00", "1800.00"),
        ("Official Anthropic", "18", "180.00", "2160.00"),
        ("HolySheep (¥7.3/$1 rate)", "1", "10.00", "120.00"),
        ("HolySheep (¥1/$1 rate)", "0.14", "1.40", "16.80"),
    ):
        ours = _per_month(price, 10)
        found.append(Claim("002", f"{name}, 10M tokens a month at ${price}", Decimal(month), ours, "USD a month"))
        found.append(Claim("002", f"{name}, a year of it", Decimal(year), ours * _MONTHS, "USD a year"))
    official = _per_month("15", 10)
    found.append(
        Claim(
            "002",
            "HolySheep (¥7.3/$1 rate) against Official OpenAI saves",
            Decimal(86),
            _known(saving_percent(official, _per_month("1", 10))),
            "%",
            "86 % is what the rate alone saves, not what this row does",
        )
    )
    found.append(
        Claim(
            "002",
            "HolySheep (¥1/$1 rate) against Official OpenAI saves",
            Decimal(99),
            _known(saving_percent(official, _per_month("0.14", 10))),
            "%",
            "the sum is right, but counts the rate twice: ¥1 buys $1 of usage, it does not make it cost $0.14",
        )
    )
    return found


def _of_003() -> list[Claim]:
    found = []
    for name, projection, figures in (
        ("HolySheep DeepSeek V3.2", project(_DEEPSEEK, _MILLION), ("0.42", "12.60", "153.30")),
        ("Domestic provider at $7.30", flat("", "7.30", _MILLION), ("7.30", "219.00", "2664.50")),
        ("Anthropic (Claude)", project(_SONNET, _MILLION), ("15.00", "450.00", "5475.00")),
        ("Google (Gemini 2.5 Flash)", project(_FLASH, _MILLION), ("2.50", "75.00", "912.50")),
    ):
        for period, figure in zip(("day", "month", "year"), figures, strict=True):
            words = f"{name}, 1M tokens a day, a {period}"
            found.append(Claim("003", words, Decimal(figure), _known(projection.usd(period)), f"USD a {period}"))
    domestic = _known(flat("", "7.30", _MILLION).usd("year"))
    ours = _year(_DEEPSEEK, _MILLION)
    return [
        *found,
        Claim("003", "DeepSeek instead of the domestic provider", Decimal("2511.20"), domestic - ours, "USD a year"),
        Claim("003", "the same in per cent", Decimal(94), _known(saving_percent(domestic, ours)), "%"),
        Claim(
            "003",
            "DeepSeek instead of Gemini 2.5 Flash",
            Decimal("759.20"),
            _year(_FLASH, _MILLION) - ours,
            "USD a year",
        ),
        Claim(
            "003",
            "the domestic provider's ¥7.30 per 1M tokens",
            Decimal("7.30"),
            Decimal("7.30") / Decimal("7.3"),
            "USD per 1M",
            "at the documents' own ¥7.3 to the dollar it is $1.00",
        ),
    ]


def _of_004() -> list[Claim]:
    bill = _per_month("15", 50) * _MONTHS
    return [
        Claim(
            "004",
            "saved at 50M tokens a month",
            Decimal(180_000),
            bill,
            "USD a year: the whole bill at $15 per 1M",
            "nobody saves more than the bill",
        ),
        Claim(
            "002",
            "$350 to $700 saved a month, at 50M tokens: the larger a year",
            Decimal(8_400),
            Decimal(700) * _MONTHS,
            "USD a year",
        ),
    ]
