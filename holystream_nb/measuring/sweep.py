"""hs.sweep: the same question under rising load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..client import kinds
from ..client.options import OPTIONS, client_options
from ..errors import SetupError
from ..providers.secret import sealing
from . import addresses
from .addresses import Model
from .bench import bench, check_fields
from .journal import read
from .plan import Prompt, prompts_of, transports_of, wires_of
from .results import Result
from .statistics import quantile

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
    "decode_tokens_per_s",
    "system_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
    "timing_error_p95_ms",
)
_PER_CLIENT: Final = 3


@dataclass(frozen=True)
class Sweep:
    """A Result for each model, transport and concurrency; `path` is the folder of their files."""

    results: tuple[Result, ...]
    path: Path

    def __repr__(self) -> str:
        return f"<Sweep of {len(self.results)} runs in {self.path}>"

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.models[0] for result in self.results))

    @property
    def arms(self) -> tuple[str, ...]:
        """What is compared: the models, or `provider:model · ws` for each way where there are several."""
        return tuple(dict.fromkeys(self._arm(result) for result in self.results))

    def _arm(self, result: Result) -> str:
        plans = [each.plan for each in self.results]
        differing = [name for name in ("wire", "transport") if len({getattr(plan, name) for plan in plans}) > 1]
        way = " ".join(getattr(result.plan, name) for name in differing)
        return f"{result.models[0]} · {way}" if way else result.models[0]

    def of(self, arm: str) -> list[Result]:
        """An arm's results, by rising concurrency; the name may lack its provider."""
        found = [result for result in self.results if arm in (name := self._arm(result), result.plan.split(name)[1])]
        return sorted(found, key=lambda result: result.plan.concurrency or 0)

    def table(self) -> DataFrame:
        """One row a run (`COLUMNS`): TTFT and decode tok/s as `Quantile`s, rates as `Result.throughput` has them."""
        from pandas import DataFrame

        rows = [_row(result) for arm in self.arms for result in self.of(arm)]
        return DataFrame(rows, columns=list(COLUMNS))

    def rows(self, arm: str) -> DataFrame:
        """The rows of an arm in `table()`."""
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


@sealing("models")
async def sweep(
    models: Model | Sequence[Model],
    prompts: str | Sequence[Prompt],
    *,
    concurrencies: Sequence[int] = (1, 4, 16, 64),
    repeats: int | None = None,
    max_cost: Any = None,
    path: str | Path | None = None,
    transport: str | Sequence[str] = "sse",
    wire: str | Sequence[str] | None = None,
    **options: Any,
) -> Sweep:
    """One closed-loop bench for each model, transport, wire and concurrency, all apart: their throughputs must not mix.

    repeats: by default so many that each client makes three requests; never fewer than two.
    max_cost: USD of each single bench.
    path: a folder for the runs' files; runs that are there already are continued.
    options: as for `bench`, those of the client and fields of the request too.

    Raises SetupError as `bench` does.
    """
    if taken := {"concurrency", "rate", "resume"} & options.keys():
        raise SetupError(f"A sweep sets {', '.join(sorted(taken))} itself: give concurrencies.")
    check_fields(options)
    asked = prompts_of("hs.sweep", prompts)
    repeats = kinds.optional_count("repeats", repeats, least=1)
    loads = _loads(concurrencies)
    named = addresses.listed("hs.sweep", models)
    given = client_options(**{name: value for name, value in options.items() if name in OPTIONS - {"retries"}})
    labels = [(await addresses.locate("hs.sweep", [model], given)).models[0] for model in named]
    folder = _folder(path)
    results = []
    ways = product(wires_of(wire), transports_of(transport))
    for (model, label), (format, carrier) in product(zip(named, labels, strict=True), ways):
        for concurrency in loads:
            least = -(-concurrency * (2 if repeats else _PER_CLIENT) // max(1, len(asked)))
            kind = "".join(f"-{part}" for part in (format, "" if carrier == "sse" else carrier) if part)
            file = folder / f"{_file_name(label)}{kind}-{concurrency}.jsonl"
            begun = file.exists()
            result = await bench(
                [model],
                asked,
                repeats=max(least, repeats or 1),
                concurrency=concurrency,
                max_cost=max_cost,
                path=None if begun else file,
                resume=file if begun else None,
                transport=carrier,
                wire=format or None,
                **options,
            )
            results.append(result)
    return Sweep(tuple(results), folder)


def _loads(concurrencies: object) -> list[int]:
    if not isinstance(concurrencies, Iterable) or isinstance(concurrencies, str | Mapping):
        raise SetupError(f"concurrencies is {kinds.kind(concurrencies)}: give a list of whole numbers, as [1, 4, 16].")
    loads = sorted({kinds.count("concurrencies", each, least=1) for each in concurrencies})
    if not loads:
        raise SetupError("concurrencies is an empty list: give whole numbers, as [1, 4, 16].")
    return loads


def load_sweep(folder: Path) -> Sweep:
    """The Sweep of a folder."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise SetupError(f"{folder} has no runs in it.")
    return Sweep(tuple(Result(read(file), file) for file in files), folder)


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


def _row(result: Result) -> dict[str, Any]:
    succeeded = [trial.timing for trial in result.records if not trial.error]
    ttfts = [timing.ttft_ms for timing in succeeded if timing.ttft_ms is not None]
    rates = [rate for timing in succeeded if (rate := timing.decode_tokens_per_s) is not None]
    return {
        "model": result.models[0],
        "transport": result.plan.transports[0],
        "wire": result.plan.wires[0] or next((trial.wire for trial in result.records), ""),
        "concurrency": result.plan.concurrency,
        "n": len(result.records),
        "errors": len(result.records) - len(succeeded),
        "ttft_p50_ms": quantile(ttfts, 0.5),
        "ttft_p95_ms": quantile(ttfts, 0.95),
        "decode_tokens_per_s": quantile(rates, 0.5),
        **result.throughput(),
        "timing_error_p95_ms": result.calibration.ttft_ms[1] if result.calibration else None,
    }


def _folder(path: str | Path | None) -> Path:
    if path is not None:
        return Path(path).expanduser()
    from platformdirs import user_data_path

    return user_data_path("holystream_nb", appauthor=False) / "runs" / f"sweep-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def _file_name(model: str) -> str:
    return "".join(character if character.isalnum() or character in ".-" else "_" for character in model)
