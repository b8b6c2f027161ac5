"""Two models, or two transports, in pairs: is the difference more than noise?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from ...errors import SetupError
from ..values.pairs import Pairs
from ..values.plan import Plan
from ..values.record import Lost, Trial
from ..values.run import Run
from ..values.words import counted, digits
from .sequential import Deciding, decided
from .statistics import Quantile, median, pooled
from .summary import in_bursts, is_spoilt

_PROMPTS: Final = 20
"""From so many prompts on, asked several times each, a finding is for prompts like these, and no longer for these."""

_UNEQUAL: Final = 0.05
"""Where one side lost more than this share of pairs above the other, what is left is a choice of its own."""

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

    difference: their median, in the figure's unit; ratio: the median of b / a, by logarithms, without a value where one
        of them is not above 0. Both with 95 % intervals.
    differences: one for each pair whose two requests succeeded, in the order of prompts and repeats.
    pairs: how many those are; prompts: of how many different prompts.
    is_general: whether the intervals are for prompts like these (each came once, or there are 20 and more and the
        intervals reckon with pairs of one prompt being alike), or for these prompts only.
    lost: pairs in which a request failed or the figure is unknown; lost_a, lost_b: on which side, or on both.
    is_sequential: whether the intervals are valid at whatever pair one stopped.
    error: the timing error of the figure in its unit, None where it is not known. It is the median one: what else there
        is of it scatters, and is in the interval already.
    in_bursts: those of the two whose answers came in bursts, which spoils this figure.
    """

    metric: str
    a: str
    b: str
    difference: Quantile
    ratio: Quantile
    differences: tuple[float, ...]
    pairs: int
    prompts: int
    is_general: bool
    lost: int
    lost_a: int
    lost_b: int
    is_sequential: bool
    error: float | None
    in_bursts: tuple[str, ...] = ()

    @property
    def is_more_than_noise(self) -> bool:
        """Whether the interval leaves out 0, and the difference is larger than the timing error."""
        low, high, value = self.difference.low, self.difference.high, self.difference.value
        if low is None or high is None or value is None:
            return False
        return (low > 0 or high < 0) and abs(value) > (self.error or 0.0)

    @property
    def losses_differ(self) -> bool:
        """Whether one of the two lost so many more requests that the pairs left may be no fair choice."""
        return abs(self.lost_a - self.lost_b) > _UNEQUAL * (self.pairs + self.lost)

    @property
    def sentence(self) -> str:
        """What it means, in words."""
        name, unit, less, more = WORDS[self.metric]
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        if value is None:
            return f"There is no pair to compare {self.b}'s {name} with {self.a}'s.{self._warned}"
        ratio = "" if self.ratio.value is None else f", {digits(self.ratio.value)} times {self.a}'s"
        of = counted(self.pairs, "pair")
        if self.is_general and self.prompts < self.pairs:
            of += f" of {counted(self.prompts, 'prompt')}"
        if low is None or high is None:
            sign = "+" if value > 0 else "−" if value < 0 else ""
            return (
                f"{self.b}'s {name} against {self.a}'s: {sign}{digits(abs(value))} {unit}* "
                f"(median of {of}{self.scope}{ratio}). "
                f"* n too small for an interval: {self.difference.needed} pairs are needed.{self._warned}"
            )
        word = less if value < 0 else more
        sides = sorted((abs(low), abs(high))) if low * high >= 0 else [low, high]
        looked = " at any stop" if self.is_sequential else ""
        is_than = f"{digits(abs(value))} {unit} {word} than" if value else "the same as"
        core = (
            f"{self.b}'s {name} is {is_than} {self.a}'s (median of {of}, "
            f"95 % interval{looked} {digits(sides[0])} to {digits(sides[1])} {unit}{ratio})"
        )
        return f"{core}: {self._verdict(low, high, value, unit)}{self.scope}.{self._warned}"

    def _verdict(self, low: float, high: float, value: float, unit: str) -> str:
        if self.is_more_than_noise:
            return "more than noise"
        if low <= 0 <= high:
            return "no more than noise, because the interval includes 0"
        return f"not to be trusted, because the timing error is {digits(self.error or 0)} {unit}"

    @property
    def scope(self) -> str:
        """`, for these 3 prompts`; "" where it is general."""
        if self.is_general:
            return ""
        return ", for this one prompt" if self.prompts == 1 else f", for these {self.prompts:,} prompts"

    @property
    def _warned(self) -> str:
        """What makes the pairs doubtful."""
        if not self.in_bursts:
            return self._losses
        name, *_ = WORDS[self.metric]
        return f"{self._losses} WARNING: the {name} of {' and '.join(self.in_bursts)} is of answers in bursts (†)."

    @property
    def _losses(self) -> str:
        """How many pairs were lost, and on which side."""
        if not self.lost:
            return ""
        pairs = f"{counted(self.lost, 'pair')} {'is' if self.lost == 1 else 'are'}"
        said = f" {pairs} left out: a request failed, or the figure is unknown."
        if self.losses_differ:
            said += (
                f" WARNING: of {counted(self.pairs + self.lost, 'pair')} {self.a} lost {self.lost_a:,} and {self.b} "
                f"{self.lost_b:,}: those left may be the easier ones."
            )
        return said

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__


def compare(result: Run, a: str, b: str, metric: str = "ttft_ms") -> Comparison:
    """Arm b against arm a; `metric` is one of `WORDS`.

    Of a run that could end because of what it found (`until="decided"`) an ordinary interval would say too much: it has
    the one that holds at every stop, of the pairs up to the one that decided, in the order of the schedule.
    """
    if metric not in WORDS:
        raise SetupError(f"There is no figure {metric!r} to compare: choose one of {', '.join(WORDS)}.")
    if a == b:
        raise SetupError(f"{a!r} cannot be compared with itself.")
    ours, theirs = _figures(result.of(a), metric), _figures(result.of(b), metric)
    sequential = bool(result.plan.until_decided)
    both = _in_order(result) if sequential else sorted(ours.keys() & theirs.keys())
    whole = [(key[0], x, y) for key in both if (x := ours.get(key)) is not None and (y := theirs.get(key)) is not None]
    prompts = [prompt_of(result, number) for number, _, _ in whole]
    differences = [y - x for _, x, y in whole]
    positive = all(x > 0 and y > 0 for _, x, y in whole)
    logarithms = [math.log(y / x) for _, x, y in whole] if positive else []
    difference, is_general = of_pairs(differences, prompts, sequential=sequential)
    ratio, _ = of_pairs(logarithms, prompts if positive else [], sequential=sequential)
    return Comparison(
        metric=metric,
        a=result.label(a),
        b=result.label(b),
        difference=difference,
        ratio=_exponential(ratio),
        differences=tuple(differences),
        pairs=len(whole),
        prompts=len(set(prompts)),
        is_general=is_general,
        lost=len(both) - len(whole),
        lost_a=sum(ours.get(key) is None for key in both),
        lost_b=sum(theirs.get(key) is None for key in both),
        is_sequential=sequential,
        error=_timing_error(result, metric),
        in_bursts=tuple(result.label(arm) for arm in (a, b) if is_spoilt(metric) and in_bursts(result.of(arm))),
    )


class UntilDecided:
    """Looks at a run's pairs while it goes on: `add` says when its two arms are decided.

    The run's own timing error is measured afterwards, and judges a difference only then.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pairs = Pairs(plan)
        self._deciding = Deciding()
        self.keys: list[tuple[int, int]] = []
        """Prompt and repeat of each pair up to the deciding one, failed ones too."""

    def add(self, record: Trial | Lost) -> bool:
        """To be told of every record; whether it is decided now, or was before."""
        for first, second in self._pairs.add(record):
            if self._deciding.is_decided:
                break
            made = first or second
            if made is None:
                continue
            self.keys.append((made.prompt, made.repeat))
            x, y = (_figure(each, self._plan.until_decided) for each in (first, second))
            if x is not None and y is not None:
                self._deciding.add(y - x, repr(self._plan.prompts[made.prompt]))
        return self._deciding.is_decided

    @property
    def sentence(self) -> str:
        """`TTFT was decided after 23 pairs.`"""
        name, *_ = WORDS[self._plan.until_decided]
        is_not = "" if self._deciding.is_decided else "not "
        return f"{name} was {is_not}decided after {counted(len(self._deciding.differences), 'pair')}"


def decision_of(result: Run) -> UntilDecided:
    """What a run of `until="decided"` found, by its records."""
    found = UntilDecided(result.plan)
    for trial in result.records:
        found.add(trial)
    for lost in result.contents.lost:
        found.add(lost)
    return found


def _in_order(result: Run) -> list[tuple[int, int]]:
    return decision_of(result).keys


def of_pairs(
    values: Sequence[float], prompts: Sequence[Hashable], *, sequential: bool = False
) -> tuple[Quantile, bool]:
    """The median of a figure of each pair, and whether its interval is for prompts like these, or for these only.

    Pairs of a few prompts are a sample of each prompt's own pairs, of all of which together the order statistics
    cover the median at least as often as of one sample (W. Hoeffding, Ann. Math. Stat. 27, 1956, 713).
    """
    if sequential:
        found = decided(values, prompts)
        return Quantile(0.5, found.value, found.low, found.high, found.pairs, found.needed), found.is_general
    groups: dict[Hashable, list[float]] = {}
    for value, prompt in zip(values, prompts, strict=True):
        groups.setdefault(prompt, []).append(value)
    if len(values) > len(groups) >= _PROMPTS:
        (clustered,) = pooled(list(groups.values()), [0.5])
        if clustered.has_interval:
            return clustered, True
    return median(values), len(values) == len(groups)


def prompt_of(result: Run, number: int) -> str:
    """A prompt by what it says: the same words twice are one prompt."""
    prompts = result.plan.prompts
    return repr(prompts[number]) if number < len(prompts) else str(number)


def _figures(records: Sequence[Trial], metric: str) -> dict[tuple[int, int], float | None]:
    return {(trial.prompt, trial.repeat): _figure(trial, metric) for trial in records}


def _figure(trial: Trial | None, metric: str) -> float | None:
    return None if trial is None or trial.error else getattr(trial.timing, metric)


def _exponential(logarithms: Quantile) -> Quantile:
    value, low, high = (None if x is None else math.exp(x) for x in (logarithms.value, logarithms.low, logarithms.high))
    return Quantile(0.5, value, low, high, logarithms.n, logarithms.needed)


def _timing_error(result: Run, metric: str) -> float | None:
    """The calibration's median of a figure, in its unit; a rate has none of its own."""
    calibration = result.calibration
    if calibration is None:
        return None
    if metric in ("ttft_ms", "ttfa_ms"):
        return calibration.ttft_ms[0]
    return calibration.e2e_ms[0] / 1e3 if metric in ("e2e_s", "e2e_scheduled_s") else None
