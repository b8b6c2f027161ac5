"""Runs under rising load, side by side: a row each, and the knee of their throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..values.words import counted
from .error import quantiles
from .figures import Figures
from .notes import bursts
from .summary import WORDS, numbers
from .tables import Text, dagger, legend, shown

if TYPE_CHECKING:
    from pandas import DataFrame


COLUMNS: Final = (
    "model",
    "transport",
    "wire",
    "concurrency",
    "n",
    "errors",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "e2e_p50_s",
    "e2e_p95_s",
    "decode_tokens_per_s",
    "system_tokens_per_s",
    "output_tokens_per_s",
    "in_flight",
    "requests_per_s",
    "goodput_per_s",
    "timing_error_p95_ms",
)

_SHOWN: Final = {
    "concurrency": "at once",
    **{name: WORDS[name] for name in COLUMNS if name in WORDS and name != "goodput_per_s"},
}


@dataclass(frozen=True, repr=False)
class Sweep:
    """A Figures for each model, transport and concurrency; `path` is the folder of their files."""

    results: tuple[Figures, ...]
    path: Path

    def __repr__(self) -> str:
        return self.text.plain()

    def _repr_markdown_(self) -> str:
        return self.text.markdown()

    @property
    def text(self) -> Text:
        """A row a run for a reader, with intervals in words: `print(sweep)`, and a cell's last line."""
        runs = [(arm, result) for arm in self.arms for result in self.of(arm)]
        rows = [(arm, *_shown(result)) for arm, result in runs]
        missing = sum(result.missing for result in self.results)
        left = [f"{counted(missing, 'request')} missing: run it again with the same path."] if missing else []
        left += [f"At {result.plan.concurrency}: {word}" for _, result in runs for word in bursts(result)]
        return Text(tuple(_SHOWN.values()), tuple(rows), (*legend(rows), f"Files: {self.path}"), tuple(left))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.models[0] for result in self.results))

    @property
    def arms(self) -> tuple[str, ...]:
        """What is compared: the models, or `provider:model · ws` for each way where there are several."""
        return tuple(dict.fromkeys(self._arm(result) for result in self.results))

    def _arm(self, result: Figures) -> str:
        plans = [each.plan for each in self.results]
        differing = [name for name in ("wire", "transport") if len({getattr(plan, name) for plan in plans}) > 1]
        way = " ".join(getattr(result.plan, name) for name in differing)
        return f"{result.models[0]} · {way}" if way else result.models[0]

    def of(self, arm: str) -> list[Figures]:
        """An arm's results, by rising concurrency; the name may lack its provider."""
        found = [result for result in self.results if arm in (name := self._arm(result), result.plan.split(name)[1])]
        return sorted(found, key=lambda result: result.plan.concurrency or 0)

    def table(self) -> DataFrame:
        """Numbers: a row a run, `COLUMNS`, as `Figures.summary` and `Figures.throughput` have them.

        A percentile has its interval beside it (`ttft_p95_ms_low`, `ttft_p95_ms_high`), NaN where a level has too few
        requests for one: its value is then no more than what was seen.
        """
        rows = [_row(result) for arm in self.arms for result in self.of(arm)]
        found = numbers(dict(enumerate(rows)), COLUMNS, texts=("model", "transport", "wire"))
        return found.reset_index(drop=True)

    def rows(self, arm: str) -> DataFrame:
        """The rows of an arm, as `table()` has them, with percentiles as `Quantile`s: what charts draw."""
        from pandas import DataFrame

        return DataFrame([_row(result) for result in self.of(arm)], columns=list(COLUMNS))

    def knee(self, arm: str) -> int | None:
        """The concurrency past which more load brings this arm little more system tok/s; see `knee`."""
        points = [
            (result.plan.concurrency or 0, rate)
            for result in self.of(arm)
            if (rate := result.throughput()["system_tokens_per_s"]) is not None
        ]
        return knee(points)


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """Of (concurrency, throughput) points, the concurrency farthest above the line from the first to the last.

    Both axes are scaled to 0 … 1, as the Kneedle method does (Satopää et al., 2011). None with fewer than three points,
    or where no point lies above the line: throughput then still grows as fast as the load.
    """
    ordered = sorted(points)
    if len(ordered) < 3:
        return None
    (first, low), (last, high) = ordered[0], ordered[-1]
    top = max(rate for _, rate in ordered)
    if last == first or top <= low:
        return None
    end = (high - low) / (top - low)
    heights = [((rate - low) / (top - low)) - end * (load - first) / (last - first) for load, rate in ordered]
    best = max(range(len(ordered)), key=heights.__getitem__)
    return int(ordered[best][0]) if heights[best] > 1e-9 else None


def _shown(result: Figures) -> list[str]:
    """The cells of a run for a reader."""
    (cells,) = result.cells.values()
    row = _row(result)
    texts = {name: shown(row[name]) for name in _SHOWN}
    return [text if text == "–" else f"{text}{dagger(cells, name)}" for name, text in texts.items()]


def _row(result: Figures) -> dict[str, Any]:
    (cells,) = result.cells.values()
    plan, whole = result.plan, result.throughput()
    own = {
        "model": result.models[0],
        "transport": plan.transports[0],
        "wire": plan.wires[0] or next((trial.wire for trial in result.records), ""),
        "concurrency": plan.concurrency,
        "timing_error_p95_ms": quantiles(result.calibration, "ttft")[1] if result.calibration else None,
    }
    return {name: own[name] if name in own else whole[name] if name in whole else cells[name] for name in COLUMNS}
