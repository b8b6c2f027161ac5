"""Two models, or two transports, in pairs: is the difference more than noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...errors import SetupError
from ..values.record import Trial
from ..values.run import Run
from ..values.words import counted, digits
from .statistics import Quantile, median

WORDS: Final = {
    "ttft_ms": ("TTFT", "ms", "shorter", "longer"),
    "ttfa_ms": ("TTFA", "ms", "shorter", "longer"),
    "e2e_s": ("E2E", "s", "shorter", "longer"),
    "e2e_scheduled_s": ("E2E from the scheduled start", "s", "shorter", "longer"),
    "tpot_ms": ("TPOT", "ms", "shorter", "longer"),
    "decode_tokens_per_s": ("decode rate", "tok/s", "lower", "higher"),
    "e2e_tokens_per_s": ("e2e rate", "tok/s", "lower", "higher"),
}
"""What can be compared: its name, its unit, and the words for less and more."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences b − a of one figure.

    difference: their median, in the figure's unit; ratio: the median of b / a, by logarithms. Both with 95 % intervals.
    differences: one for each pair whose two requests succeeded, in the order of prompts and repeats.
    pairs: how many those are; lost: pairs in which a request failed or the figure is unknown.
    error: the timing error of the figure in its unit, None where it is not known. It is the median one: what else there
        is of it scatters, and is in the interval already.
    """

    metric: str
    a: str
    b: str
    difference: Quantile
    ratio: Quantile
    differences: tuple[float, ...]
    pairs: int
    lost: int
    error: float | None

    @property
    def is_more_than_noise(self) -> bool:
        """Whether the interval leaves out 0, and the difference is larger than the timing error."""
        low, high, value = self.difference.low, self.difference.high, self.difference.value
        if low is None or high is None or value is None:
            return False
        return (low > 0 or high < 0) and abs(value) > (self.error or 0.0)

    @property
    def sentence(self) -> str:
        """What it means, in words."""
        name, unit, less, more = WORDS[self.metric]
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        pairs = f"{counted(self.lost, 'pair')} {'is' if self.lost == 1 else 'are'}"
        lost = f" {pairs} left out: a request failed, or the figure is unknown." if self.lost else ""
        if value is None or low is None or high is None:
            return (
                f"n too small to compare {self.b} with {self.a}: {self.pairs} pairs, and {self.difference.needed} are "
                f"needed.{lost}"
            )
        word = less if value < 0 else more
        sides = sorted((abs(low), abs(high))) if low * high >= 0 else [low, high]
        ratio = "" if self.ratio.value is None else f", {digits(self.ratio.value)} times {self.a}'s"
        core = (
            f"{self.b}'s {name} is {digits(abs(value))} {unit} {word} than {self.a}'s (median of {self.pairs} pairs, "
            f"95 % interval {digits(sides[0])} to {digits(sides[1])} {unit}{ratio})"
        )
        return f"{core}: {self._verdict(low, high, value, unit)}.{lost}"

    def _verdict(self, low: float, high: float, value: float, unit: str) -> str:
        if self.is_more_than_noise:
            return "more than noise"
        if low <= 0 <= high:
            return "no more than noise, because the interval includes 0"
        return f"not to be trusted, because the timing error is {digits(self.error or 0)} {unit}"

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__


def compare(result: Run, a: str, b: str, metric: str = "ttft_ms") -> Comparison:
    """Arm b against arm a; `metric` is one of `WORDS`."""
    if metric not in WORDS:
        raise SetupError(f"There is no figure {metric!r} to compare: choose one of {', '.join(WORDS)}.")
    if a == b:
        raise SetupError(f"{a!r} cannot be compared with itself.")
    ours, theirs = _figures(result.of(a), metric), _figures(result.of(b), metric)
    both = sorted(ours.keys() & theirs.keys())
    whole = [(x, y) for pair in both if (x := ours[pair]) is not None and (y := theirs[pair]) is not None]
    differences = [y - x for x, y in whole]
    logarithms = median([math.log(y / x) for x, y in whole if x > 0 and y > 0])
    return Comparison(
        metric=metric,
        a=result.label(a),
        b=result.label(b),
        difference=median(differences),
        ratio=_exponential(logarithms),
        differences=tuple(differences),
        pairs=len(whole),
        lost=len(both) - len(whole),
        error=_timing_error(result, metric),
    )


def _figures(records: Sequence[Trial], metric: str) -> dict[tuple[int, int], float | None]:
    return {(trial.prompt, trial.repeat): None if trial.error else getattr(trial.timing, metric) for trial in records}


def _exponential(logarithms: Quantile) -> Quantile:
    value, low, high = logarithms.value, logarithms.low, logarithms.high
    if value is None or low is None or high is None:
        return logarithms
    return Quantile(0.5, math.exp(value), math.exp(low), math.exp(high), logarithms.n, logarithms.needed)


def _timing_error(result: Run, metric: str) -> float | None:
    """The calibration's median of a figure, in its unit; a rate has none of its own."""
    calibration = result.calibration
    if calibration is None:
        return None
    if metric in ("ttft_ms", "ttfa_ms"):
        return calibration.ttft_ms[0]
    return calibration.e2e_ms[0] / 1e3 if metric in ("e2e_s", "e2e_scheduled_s") else None
