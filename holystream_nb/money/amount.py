"""Amounts in words, in the currency that the reader chose (`%config StreamMagics.currency`): US dollars, or yuan."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, get_args

from .card import SIMULATED
from .cost import Cost
from .exact import exactly

Currency = Literal["USD", "CNY"]
CURRENCIES: Final[tuple[Currency, ...]] = get_args(Currency)
SIGNS: Final[dict[Currency, str]] = {"USD": "$", "CNY": "¥"}

_chosen: Currency = "USD"


def currency() -> Currency:
    """What amounts are shown in, in this process."""
    return _chosen


def show_in(chosen: Currency) -> None:
    """Shows amounts in this currency from now on."""
    global _chosen
    _chosen = chosen


@dataclass(frozen=True, slots=True)
class Amount:
    """The same amount in USD and, at the rate it is paid at, in CNY; None where no rate is known."""

    usd: Decimal = Decimal(0)
    cny: Decimal | None = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        with exactly():
            return Amount(self.usd + other.usd, None if self.cny is None or other.cny is None else self.cny + other.cny)

    def __sub__(self, other: Amount) -> Amount:
        with exactly():
            return Amount(self.usd - other.usd, None if self.cny is None or other.cny is None else self.cny - other.cny)

    @property
    def shown(self) -> Decimal:
        """In the chosen currency."""
        return self.cny if _chosen == "CNY" and self.cny is not None else self.usd

    def __str__(self) -> str:
        """`$0.00012`, `¥0.015` or `$1.20`: two significant digits, and hundredths at least."""
        sign = SIGNS["CNY" if _chosen == "CNY" and self.cny is not None else "USD"]
        amount = self.shown
        places = max(2, 1 - amount.adjusted()) if amount else 2
        with exactly():
            said = f"{amount:.{places}f}"
        return f"{sign}{said[:-1] if places == 3 and said.endswith('0') else said}"


def of(cost: Cost) -> Amount | None:
    """Our sum of a cost; None where it is unknown."""
    return None if cost.usd is None else Amount(cost.usd, cost.cny)


def due(cost: Cost) -> Amount | None:
    """What sums reckon with: the service's own word, else our sum; None where both are unknown."""
    return None if cost.due_usd is None else Amount(cost.due_usd, cost.due_cny)


def stated(cost: Cost) -> Amount | None:
    """What the service itself says; None where it says nothing."""
    return None if cost.stated_usd is None else Amount(cost.stated_usd, cost.stated_cny)


def total(all_: Amount, simulated: Amount | None, *, exact: bool) -> str:
    """A sum, and the part of it that the simulator's answers would have cost: `$0.01`, `$0.01 and $0.0002 (simulated)`.

    simulated: None where the simulator has no part in it.
    """
    about = "" if exact else "≈"
    parts = [] if simulated is not None and all_ == simulated else [all_ - (simulated or Amount())]
    said = [f"{about}{part}" for part in parts]
    if simulated is not None:
        said.append(f"{about}{simulated} ({SIMULATED})")
    return " and ".join(said)
