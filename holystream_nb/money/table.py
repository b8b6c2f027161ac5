"""A table of exact amounts that reads well: the digits of a Decimal are rounded where it is shown, and only there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from pandas import DataFrame, option_context

from .card import UNKNOWN
from .exact import written

_AMOUNTS: Final = ("_per_day", "_per_month", "_per_year")
_CENTS: Final = 2


class MoneyTable(DataFrame):
    """A DataFrame of Decimals, shown to the cent (two significant digits below one), `unknown` where there is None.

    What is taken out of it, saved or exported is exact.
    """

    @property
    def _constructor(self) -> type[MoneyTable]:
        return MoneyTable

    def __repr__(self) -> str:
        with option_context("display.max_columns", None, "display.width", None):
            return repr(self._shown())

    def _repr_html_(self) -> str | None:
        html: str | None = self._shown()._repr_html_()  # type: ignore[operator]  # pandas-stubs do not know it
        return html

    def _shown(self) -> DataFrame:
        columns = [
            [_cell(value, _CENTS if str(name).endswith(_AMOUNTS) else 0) for value in column]
            for name, column in self.items()
        ]
        shown = DataFrame(dict(enumerate(columns)), index=self.index)
        shown.columns = self.columns
        return shown


def _cell(value: Any, least: int) -> Any:
    if value is None:
        return UNKNOWN
    return written(value, least) if isinstance(value, Decimal) and value.is_finite() else value
