"""What a benchmark finds, and the table it is printed as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: the samples of its rounds in `unit`, and the target of their median, if there is one."""

    what: str
    samples: tuple[float, ...]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}"
        return f"≤ {self.at_most:g} {self.unit}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        value = median(self.samples)
        low = self.at_least is not None and value < self.at_least
        high = self.at_most is not None and value > self.at_most
        return "MISSED" if low or high else "ok"


def ratio(
    what: str, over: Figure, under: Figure, *, at_least: float | None = None, at_most: float | None = None
) -> Figure:
    """The quotient round by round: what disturbed a round disturbed both of its sides."""
    samples = tuple(a / b for a, b in zip(over.samples, under.samples, strict=True))
    return Figure(what, samples, "×", at_least, at_most)


def table(figures: Sequence[Figure]) -> str:
    """Median, spread (lowest to highest), number of samples, target and verdict of each figure."""
    rows = [("", "median", "", "spread", "n", "target", "")]
    for figure in figures:
        low, high = _number(min(figure.samples)), _number(max(figure.samples))
        value = _number(median(figure.samples))
        count = str(len(figure.samples))
        rows.append((figure.what, value, figure.unit, f"{low} … {high}", count, figure.target, figure.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_aligned, row, widths, "lrlrrll")).rstrip() for row in rows)


def _aligned(cell: str, width: int, side: str) -> str:
    return cell.rjust(width) if side == "r" else cell.ljust(width)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
