"""hs.watch: a schedule of short sittings, and when something changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from inspect import signature
from pathlib import Path
from typing import Any

from .. import kinds
from ..errors import HolystreamError, SetupError
from ..live.saved import printable
from ..money.exact import exactly
from ..providers.secret import sealing
from .bench import KEYWORDS, bench, check_fields
from .board import Board
from .bundle import bundle
from .figures.comparison import WORDS
from .figures.watch import WatchFigures, is_cut
from .result import Result
from .running.addresses import Model
from .running.interrupt import cancelled_by_ctrl_c
from .running.progress import Place, shown
from .values.folder import folder_of, read_about, write_about
from .values.journal import read
from .values.plan import Prompt
from .values.prompts import read_prompts


class Watch(WatchFigures):
    """What the sittings found; its text says what changed. See `WatchFigures` for what it has."""

    def plot(self) -> Any:
        """The watched figure over time, with its change points."""
        from .charts.watch import watched  # matplotlib takes a second to import

        return watched(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return bundle(self.table(), self.sentences, self.plot() if self.results else None)


@sealing("models")
async def watch(
    models: Model | Sequence[Model],
    prompts: str | Sequence[Prompt],
    *,
    every: kinds.Span = "30min",
    sittings: int = 10,
    metric: str = "ttft_ms",
    max_cost: Decimal | float | str | None = None,
    path: str | Path | None = None,
    **options: Any,
) -> Watch:
    """A short bench again and again, and when its figures changed.

    every: from one sitting's start to the next one's: "10s", "30min", "2h", "1d", seconds, or a timedelta. A sitting
        that takes longer is followed by the next one at once.
    sittings: how many; nine are the fewest that can show a change of one model. A rhythm of the day counts as change.
    metric: whose medians are watched: one of `comparison.WORDS`.
    max_cost: USD of all sittings together.
    path: a folder for the sittings' files; a watch that is there already goes on.
    options: as for `bench`: repeats, concurrency, limits, those of the client and fields of the request.

    A sitting that fails is kept with its reason, and the next one comes at its time. ■ keeps what is there, and prints
    it. Raises SetupError for what cannot be, before anything is sent.
    """
    if taken := {"resume", "seed"} & options.keys():
        raise SetupError(f"A watch sets {', '.join(sorted(taken))} itself: each sitting has a seed of its own.")
    check_fields("hs.watch", options, {*signature(watch).parameters, *KEYWORDS} - {"resume", "seed"})
    asked = read_prompts("hs.watch", prompts)
    pause = kinds.span("every", every)
    count = kinds.count("sittings", sittings, least=1)
    metric = kinds.choice("metric", metric, WORDS)
    budget = kinds.optional_money("max_cost", max_cost)
    folder = folder_of(path, "watch")
    before = read_about(folder)
    failed = {int(sitting): reason for sitting, reason in before.get("failed", {}).items()}
    results = {int(file.stem): Result(read(file), file) for file in sorted(folder.glob("*.jsonl"))}

    def found() -> Watch:
        write_about(folder, {"kind": "watch", "metric": metric, "planned": count, "failed": failed})
        return Watch(metric=metric, planned=count, results=dict(results), failed=dict(failed), path=folder)

    board, place, due = Board(), Place(), time.monotonic()
    try:
        for sitting in range(1, count + 1):
            if sitting in failed or (sitting in results and not is_cut(results[sitting])):
                continue
            with cancelled_by_ctrl_c():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - pause) + pause
            with exactly():
                own = results[sitting].contents.spent if sitting in results else Decimal(0)
                left = None if budget is None else budget - _spent(results) + own
            if left is not None and left <= own:
                break
            file = folder / f"{sitting:04}.jsonl"
            given = {"calibrate": False, **options, "max_cost": left, "resume" if sitting in results else "path": file}
            try:
                with place:
                    results[sitting] = await bench(models, asked, **given)
            except (HolystreamError, OSError) as exc:
                if isinstance(exc, SetupError) and not results:
                    raise
                failed[sitting] = printable(str(exc))
                if file.exists():
                    results[sitting] = Result(read(file), file)
                    failed.pop(sitting)
            so_far = found()
            board.show(f"sitting {sitting} of {count}: {_line(so_far, sitting)}", so_far)
    except asyncio.CancelledError as exc:
        said = f"{found()}\nhs.load({shown(folder)!r})"
        exc._render_traceback_ = said.splitlines  # type: ignore[attr-defined]  # IPython's protocol
        raise
    whole = found()
    board.end(whole)
    return whole


def load_watch(folder: Path, about: Mapping[str, Any]) -> Watch:
    """The Watch of a folder."""
    return Watch(
        metric=str(about["metric"]),
        planned=int(about["planned"]),
        results={int(file.stem): Result(read(file), file) for file in sorted(folder.glob("*.jsonl"))},
        failed={int(sitting): str(reason) for sitting, reason in about["failed"].items()},
        path=folder,
    )


def _line(so_far: Watch, sitting: int) -> str:
    """`gpt-4.1 TTFT 312 (300 to 330) ms`, or why there is nothing."""
    if sitting in so_far.failed:
        return so_far.failed[sitting]
    name, unit, *_ = WORDS[so_far.metric]
    medians = {arm: so_far.medians(arm).get(sitting) for arm in so_far.arms}
    return ", ".join(f"{arm} {name} {'none' if each is None else each} {unit}" for arm, each in medians.items())


def _spent(results: Mapping[int, Result]) -> Decimal:
    with exactly():
        return sum((result.contents.spent for result in results.values()), Decimal(0))
