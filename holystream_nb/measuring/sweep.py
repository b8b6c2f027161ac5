"""hs.sweep: the same question under rising load."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from inspect import signature
from itertools import product
from pathlib import Path
from typing import Any, Final

from .. import kinds
from ..client.options import OPTIONS, client_options
from ..errors import SetupError
from ..money.exact import exactly
from ..providers.secret import sealing
from .bench import KEYWORDS, bench, check_fields
from .figures import sweep as figures
from .figures.statistics import needed
from .result import Result
from .running import addresses
from .running.addresses import Model
from .running.estimate import TooDear
from .running.progress import Place, shown
from .values.folder import file_name, folder_of
from .values.given import transports_of, wires_of
from .values.journal import read
from .values.prompts import read_prompts

_PER_CLIENT: Final = 3
_FOR_P95: Final = needed(0.95)
"""In the steady part: until all clients have had an answer, each may have begun two requests."""
_NOTHING: Final = Decimal("1e-12")
"""Of a limit that is spent, which a plan cannot take as 0."""

_SET_HERE: Final = frozenset({"concurrency", "rate", "arrivals", "resume"})


class Sweep(figures.Sweep):
    """What a sweep measured: shows itself as one text, a row a load; `table()` has the same as numbers."""

    def plot(self) -> Any:
        """Throughput with its knee, and TTFT, against concurrency."""
        from .charts import concurrency  # matplotlib takes a second to import

        return concurrency(self)


@sealing("models")
async def sweep(
    models: Model | Sequence[Model],
    prompts: Any,
    *,
    concurrencies: Sequence[int] = (1, 4, 16, 64),
    repeats: int | None = None,
    duration: kinds.Span | None = None,
    max_cost: Decimal | float | str | None = None,
    transport: str | Sequence[str] = "sse",
    wire: str | Sequence[str] | None = None,
    path: str | Path | None = None,
    **options: Any,
) -> Sweep:
    """One closed-loop bench for each model, transport, wire and concurrency, all apart: their throughputs must not mix.

    repeats: by default so many that the p95 of each load has its interval (72 requests when all clients are there), and
        each client makes three: 458 requests of each model for the four loads, of which 74 one after the other. Fewer
        are quicker and cheaper (never fewer than two of each client), and leave p95 with a star. Of more prompts than
        that each load takes so many, chosen at random; with repeats it asks them all.
    duration: seconds of each load instead, and as many requests as they hold.
    max_cost: USD of the whole sweep, of which each bench may spend what those before it left. A load that would cost
        more than is left is not measured, and a warning says so.
    path: a folder for the runs' files; runs that are there already are continued.
    options: as for `bench`, those of the client and fields of the request too.

    Raises SetupError as `bench` does.
    """
    if taken := _SET_HERE & options.keys():
        raise SetupError(f"A sweep sets {', '.join(sorted(taken))} itself: give concurrencies.")
    check_fields("hs.sweep", options, {*signature(sweep).parameters, *KEYWORDS} - _SET_HERE)
    asked = read_prompts("hs.sweep", prompts)
    repeats = kinds.optional_count("repeats", repeats, least=1)
    loads = _loads(concurrencies)
    named = addresses.listed("hs.sweep", models)
    given = client_options(**{name: value for name, value in options.items() if name in OPTIONS - {"retries"}})
    labels = [(await addresses.locate("hs.sweep", [model], given)).models[0] for model in named]
    folder = folder_of(path, "sweep")
    results: list[Result] = []
    place = Place()
    total = kinds.optional_money("max_cost", max_cost)
    with exactly():
        spent = sum((read(file).spent for file in (folder.glob("*.jsonl") if folder.exists() else ())), Decimal(0))
    ways = product(wires_of(wire), transports_of(transport))
    for (model, label), (format, carrier) in product(zip(named, labels, strict=True), ways):
        for concurrency in loads:
            least = 2 * concurrency if repeats else max(_PER_CLIENT * concurrency, 2 * concurrency + _FOR_P95)
            kind = "".join(f"-{part}" for part in (format, "" if carrier == "sse" else carrier) if part)
            file = folder / f"{file_name(label)}{kind}-{concurrency}.jsonl"
            begun = file.exists()
            if begun and _is_timed(before := Result(read(file), file)):
                results.append(before)
                continue
            own = read(file).spent if begun else Decimal(0)
            these = asked if repeats or duration is not None else asked.part(least)
            try:
                with place:
                    result = await bench(
                        [model],
                        these,
                        repeats=_repeats(repeats, these.repeats(least, concurrency), duration),
                        duration=duration,
                        concurrency=concurrency,
                        max_cost=None if total is None else max(total - spent + own, _NOTHING),
                        path=None if begun else file,
                        resume=file if begun else None,
                        transport=carrier,
                        wire=format or None,
                        **options,
                    )
            except asyncio.CancelledError as exc:
                kept = f"Stopped; what had finished is kept: hs.load({shown(folder)!r})"
                said = f"{kept}, and the same call with path={shown(folder)!r} goes on."
                exc._render_traceback_ = said.splitlines  # type: ignore[attr-defined]  # IPython's protocol
                raise
            except TooDear as exc:
                if not results:
                    raise
                warnings.warn(f"{label} at {concurrency} at once was not measured: {exc}", stacklevel=2)
                continue
            results.append(result)
            with exactly():
                spent += result.contents.spent - own
    return Sweep(tuple(results), folder)


def _repeats(repeats: int | None, least: int, duration: kinds.Span | None) -> int | None:
    """Of each prompt; None is as many as the duration holds."""
    return None if repeats is None and duration is not None else max(repeats or 1, least)


def _is_timed(result: Result) -> bool:
    """Whether its time was up: going on would make it longer."""
    ends = result.contents.ends
    return not result.plan.repeats and bool(ends) and ends[-1].reason == "duration"


def _loads(concurrencies: object) -> list[int]:
    if not isinstance(concurrencies, Iterable) or isinstance(concurrencies, str | bytes | Mapping):
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
    results = tuple(Result(read(file), file) for file in files)
    if any(len(result.arms) > 1 or result.plan.concurrency is None for result in results):
        raise SetupError(f"The runs in {folder} are no sweep: load them one by one, as hs.runs lists them.")
    return Sweep(results, folder)
