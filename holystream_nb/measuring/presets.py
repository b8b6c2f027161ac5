"""Benches that others describe: HolySheep's documents 001, 002 and 003, with their columns, and the four workloads that
Artificial Analysis measures hosted models with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from .. import kinds
from ..money.card import price_card
from ..timing import Timing
from .figures.statistics import Interval, Quantile, mean
from .result import Result
from .running.estimate import provider_of
from .workloads import synthetic

if TYPE_CHECKING:
    from pandas import DataFrame

_WORDS_OF_CONTEXT: Final = 390
_CONTEXT: Final = (
    "A flock of sheep crosses the river at dawn, and the shepherd counts them as they climb the far bank. "
    "Some stop to graze, some shake the water from their wool, and one looks back. "
)
_WORDS: Final = {"sse": "SSE", "ws": "WebSocket"}
_MODELS: Final = ("gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2")


@dataclass(frozen=True, slots=True)
class Preset:
    """A bench as a document describes it, and its table.

    `await hs.bench(**preset.arguments)`, with whatever is to be different (`repeats=…`) put over them by
    `preset.arguments | {"repeats": 5}`; then `preset.table(result)`. `documented` are the document's own figures.
    """

    name: str
    title: str
    arguments: Mapping[str, Any]
    columns: tuple[str, ...]
    figures: Mapping[str, Sequence[float]]
    row: Callable[[Result, str], Sequence[Any]]
    called: Callable[[Result, str], str] = Result.label

    def table(self, result: Result) -> DataFrame:
        """The document's columns from a run's trials that succeeded, as numbers: one row a model (003: a transport).

        Behind them, the 95 % intervals of those that `summary()` has with one: `mean TTFT (ms) low`, `… high`.
        """
        rows = {self.called(result, arm): self.row(result, arm) for arm in result.arms}
        frame = self._frame({name: [_value(each) for each in row] for name, row in rows.items()}).astype(float)
        for index, column in enumerate(self.columns):
            figures = [row[index] for row in rows.values()]
            if all(isinstance(each, Quantile | Interval) for each in figures):
                for end in ("low", "high"):
                    ends = [getattr(each, end) for each in figures]
                    frame[f"{column} {end}"] = [float("nan") if each is None else each for each in ends]
        return frame

    @property
    def documented(self) -> DataFrame:
        """The figures of the document itself, which nobody could check; none of a workload."""
        return self._frame(self.figures)

    def _frame(self, rows: Mapping[str, Sequence[Any]]) -> DataFrame:
        from pandas import DataFrame

        return DataFrame(list(rows.values()), index=list(rows), columns=list(self.columns))


def preset(name: str) -> Preset:
    """The preset of a document, 001, 002 or 003, or a workload of Artificial Analysis: aa-100, aa-1k (the one that its
    site shows by default), aa-10k or aa-100k, each by its input tokens.

    Their lengths are those of artificialanalysis.ai/methodology/performance-benchmarking, a page without a date, as it
    was read in November 2026: 100 tokens in and 300 out, 1,000 and 1,000, 10,000 and 1,500, 100,000 and 2,000; every
    request a prompt of its own, one at a time ("single prompt"; for "parallel prompts" give concurrency=10). It takes
    medians of three days of 8 requests (of 14 days for 100k); a preset makes 24 in a row (2 of 100k), of a model that
    you name: `await hs.bench("provider:model", **hs.preset("aa-1k").arguments)`. Its output tokens are those of one
    tokenizer for all models; here they are each service's own.
    """
    return PRESETS[kinds.choice("The preset's name", name, PRESETS)]


def _row_001(result: Result, arm: str) -> list[Any]:
    cells = result.cells[arm]
    gaps = [gap for timing in _timings(result, arm) for gap in timing.gaps_ms]
    return [cells["ttft_mean_ms"], fmean(gaps) if gaps else None, cells["e2e_mean_s"], _price(result, arm)]


def _row_002(result: Result, arm: str) -> list[Any]:
    cells = result.cells[arm]
    rates = [rate for timing in _timings(result, arm) if (rate := timing.decode_tokens_per_s) is not None]
    return [cells["ttft_mean_ms"], mean(rates), cells["gap_p50_ms"], cells["gap_p99_ms"], _price(result, arm)]


def _row_003(result: Result, arm: str) -> list[Any]:
    return [result.cells[arm][name] for name in ("ttft_mean_ms", "ttft_p95_ms", "e2e_mean_s", "error_rate")]


def _row_aa(result: Result, arm: str) -> list[Any]:
    return [result.cells[arm][name] for name in ("ttft_p50_ms", "decode_tokens_per_s", "e2e_p50_s")]


def _timings(result: Result, arm: str) -> list[Timing]:
    """Of the requests that the summary's percentiles and means are of."""
    return [trial.timing for trial in result.steady.counted(result.of(arm)) if not trial.error]


def _transport(result: Result, arm: str) -> str:
    """An arm as 003 calls it; with its model where there are several."""
    model, way = result.plan.arms[arm]
    transport = result.plan.ways[way][1]
    word = _WORDS.get(transport, transport)
    return word if len(result.models) == 1 else f"{result.label(model)} · {word}"


def _value(figure: Any) -> float | None:
    return figure.value if isinstance(figure, Quantile | Interval) else figure


def _price(result: Result, arm: str) -> float | None:
    """USD per 1M output tokens, by the card of the model's provider."""
    model = result.plan.arms[arm][0]
    output = price_card(provider_of(result.plan, model), result.plan.split(model)[1].partition("#")[0]).output
    return None if output is None else float(output)


def _context() -> str:
    """About 500 tokens; what a token is, is each model's own affair."""
    words = (_CONTEXT * (_WORDS_OF_CONTEXT // len(_CONTEXT.split()) + 1)).split()[:_WORDS_OF_CONTEXT]
    return " ".join(words)


def _workload(name: str, inputs: int, outputs: int, repeats: int) -> Preset:
    return Preset(
        name,
        f"First token, output speed and whole answer; {inputs:,} tokens in, {outputs:,} out",
        {"prompts": synthetic(inputs, outputs), "repeats": repeats},
        ("TTFT p50 (ms)", "decode tok/s", "E2E p50 (s)"),
        {},
        _row_aa,
    )


PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(
            "001",
            "First token, gap between tokens, whole answer and price; answers of 500 tokens",
            {
                "models": _MODELS,
                "prompts": ("Explain in about 400 words how streaming answers help a reader.",),
                "repeats": 20,
                "max_tokens": 500,
            },
            ("mean TTFT (ms)", "mean gap (ms)", "mean E2E (s)", "USD per 1M output tokens"),
            {
                "gpt-4.1": (1240, 48, 24.2, 8.00),
                "claude-sonnet-4.5": (980, 42, 21.1, 15.00),
                "gemini-2.5-flash": (380, 18, 9.3, 2.50),
                "deepseek-v3.2": (290, 12, 6.2, 0.42),
            },
            _row_001,
        ),
        Preset(
            "002",
            "First token, tokens a second, gap p50 and p99, price; 100 samples, 500 tokens in, 300 out",
            {
                "models": ("gpt-4o", *_MODELS),
                "prompts": (f"{_context()}\n\nContinue the story in about 250 words.",),
                "repeats": 100,
                "max_tokens": 300,
            },
            ("mean TTFT (ms)", "decode tok/s", "gap p50 (ms)", "gap p99 (ms)", "USD per 1M output tokens"),
            {
                "gpt-4o": (1247, 87, 28, 67, 3.50),
                "gpt-4.1": (1892, 42, 31, 74, 8.00),
                "claude-sonnet-4.5": (1456, 68, 25, 58, 15.00),
                "gemini-2.5-flash": (423, 156, 18, 41, 2.50),
                "deepseek-v3.2": (312, 198, 14, 33, 0.42),
            },
            _row_002,
        ),
        Preset(
            "003",
            "Mean and p95 TTFT, whole answer and error rate of a transport, under the same load",
            {
                "models": ("deepseek-v3.2",),
                "prompts": ("What is your return policy for electronics?",),
                "repeats": 100,
                "concurrency": 10,
                "max_tokens": 120,
                "transport": ("sse", "ws"),
            },
            ("mean TTFT (ms)", "p95 TTFT (ms)", "mean E2E (s)", "errors (%)"),
            {"SSE": (287, 412, 1.84, 0.12), "WebSocket": (241, 389, 1.79, 0.89)},
            _row_003,
            _transport,
        ),
        _workload("aa-100", 100, 300, 24),
        _workload("aa-1k", 1_000, 1_000, 24),
        _workload("aa-10k", 10_000, 1_500, 24),
        _workload("aa-100k", 100_000, 2_000, 2),
    )
}
