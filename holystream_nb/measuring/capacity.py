"""hs.capacity: how many users does it bear within my limits?"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from inspect import signature
from pathlib import Path
from typing import Any, Final

from .. import kinds
from ..client.options import OPTIONS, client_options
from ..errors import SetupError
from ..money.exact import exactly
from ..providers.secret import sealing
from .bench import KEYWORDS, bench, check_fields
from .board import Board
from .bundle import bundle
from .carry import measure_error
from .figures.capacity import UNITS, By, CapacityFigures, Probe, limits_in_words, needed, next_load, probe, said
from .figures.statistics import Quantile
from .result import Result
from .running import addresses
from .running.addresses import Model
from .running.estimate import TooDear
from .running.interrupt import cancelled_by_ctrl_c
from .running.progress import Place, shown
from .values.folder import file_name, folder_of, read_about, write_about
from .values.given import limits_of
from .values.journal import read
from .values.plan import Prompt
from .values.prompts import read_prompts

_PER_USER: Final = 5
"""Requests of each user: most of them when all users are there, not while they come and go."""

_LIMITS_LONG: Final = 20
"""An open loop runs so many times its longest limit: a tenth too much load, which the search tells from enough, has
made everybody wait twice the limit by then; a shorter probe ends before the queue has grown."""

_MOST: Final[dict[By, float]] = {"users": 512, "rate": 200.0}
_START: Final[dict[By, float]] = {"users": 4, "rate": 1.0}
_SET: Final = frozenset({"concurrency", "repeats", "resume"})


class Capacity(CapacityFigures):
    """The answer to a search; its text is a sentence and, printed, its table. See `CapacityFigures` for what it has."""

    def plot(self) -> Any:
        """Good requests and p95 TTFT of each load, and the answer as a strip between its two loads."""
        from .charts import Level, capacity  # matplotlib takes a second to import

        empty = Quantile(0.95, None, None, None, 0, 72)
        levels = [Level(each.load, each.n, each.share, each.ttft_p95_ms or empty) for each in self.probes]
        simulator = next((result.simulator for result in self.results if result.simulator), "")
        ours = "may be limited by this machine" if self.may_be_ours else ""
        return capacity(
            levels,
            model=self.model,
            least=100 * self.share,
            ttft_ms=self.limits.get("ttft_ms"),
            within=self.within,
            beyond=self.beyond,
            unit="users at once" if self.by == "users" else "requests/s",
            scheduled=self.by == "rate",
            under=" · ".join(filter(None, (simulator, limits_in_words(self.limits, self.by), ours))),
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return bundle(self.table(), [self.sentence, *self.warnings], self.plot() if self.probes else None)

    def __str__(self) -> str:
        return bundle(self.table(), [self.sentence, *self.warnings])["text/plain"]


@sealing("model")
async def capacity(
    model: Model,
    prompts: str | Sequence[Prompt],
    *,
    by: By = "users",
    start: float | None = None,
    most: float | None = None,
    requests: int = 120,
    duration: kinds.Span | None = None,
    limits: Mapping[str, float],
    share: float = 0.95,
    max_cost: Decimal | float | str | None = None,
    path: str | Path | None = None,
    **options: Any,
) -> Capacity:
    """Searches the largest load at which a model keeps the limits: doubles it until they surely break, then bisects.

    limits: what a good request keeps: any of `ttft_ms`, `tpot_ms`, `e2e_s`. A failed request is not good. By rate, TTFT
        and E2E are from the scheduled start.
    by: "users" asks for users at once, each of whom sends its next request when its answer has ended (closed loop);
        "rate" for requests a second that come whatever happens (open loop; Poisson, or `arrivals` as for `bench`).
    share: what part of the requests is to be good. A load is within the limits if the exact 95 % interval of its share
        lies above this, beyond them if it lies below, and unclear otherwise.
    requests: of each load, about, when all users are there (the steady part, which alone is judged; a quick service
        has answered some before they all are); where that is more, five for every user, or as many as come at a rate in
        20 times the longest limit: a queue needs that time to show. More of them decide more loads: 72 are the fewest
        that can show 95 %. Of more prompts than that each load takes so many, chosen at random.
    duration: seconds of each load instead, and as many requests as they hold.
    start, most: the first load (4 users, or 1 request/s), and the largest one (512, or 200).
    max_cost: USD of the whole search.
    path: a folder for the runs' files; a search that is there already goes on.
    options: as for `bench`: seed, warmup, timeout, those of the client and fields of the request.

    Where a load breaks the limits, the timing error at the answer's is measured (a few seconds), and the answer says
    what its run's notes warn of, and whether it may be this machine that is too slow (`calibrate=False` leaves it out).

    By simulation, the true capacity lies between the two loads of the answer in 99 of 100 searches.

    It ends when both edges are known to 10 %, when throughput grows no more, at `most`, or at `max_cost`. Stop in a
    probe's view ends it and returns what is known; ■ prints that.

    Raises SetupError for what cannot be, before anything is sent.
    """
    if taken := (_SET | {"rate"}) & options.keys():
        raise SetupError(f"A capacity search sets {', '.join(sorted(taken))} itself: give by, start and most.")
    check_fields("hs.capacity", options, {*signature(capacity).parameters, *KEYWORDS} - _SET)
    asked = read_prompts("hs.capacity", prompts)
    wanted = limits_of(limits)
    if not wanted:
        raise SetupError("A capacity needs limits: give a mapping like {'ttft_ms': 800}.")
    by = kinds.choice("by", by, UNITS)
    share = kinds.number("share", share, above=0)
    if share >= 1:
        raise SetupError(f"share={share:g}: give a part below 1, as 0.95; no number of requests shows all to be good.")
    requests = kinds.count("requests", requests, least=1)
    if requests < needed(share):
        raise SetupError(f"{requests} requests cannot show a share of {100 * share:g} %: {needed(share)} are needed.")
    first, last = (_load(name, given, by) for name, given in (("start", start), ("most", most)))
    first, last = first or min(_START[by], last or _START[by]), last or _MOST[by]
    if first > last:
        raise SetupError(f"start={first:g} is more than most={last:g}.")
    longest = max(limit / (1 if name.endswith("_s") else 1e3) for name, limit in wanted.items())
    duration = kinds.optional_span("duration", duration)
    budget = kinds.optional_money("max_cost", max_cost)
    given = client_options(**{name: value for name, value in options.items() if name in OPTIONS - {"retries"}})
    label = (await addresses.locate("hs.capacity", [model], given)).models[0]
    folder = folder_of(path, "capacity")
    about = {"kind": "capacity", "model": label, "by": by, "share": share, "limits": wanted, "reason": "stopped"}
    _check_same(folder, about)
    found: dict[float, tuple[Probe, Result]] = {}
    before = {} if budget is None else {file: read(file).spent for file in folder.glob("*.jsonl")}
    board, place = Board(), Place()

    def answer(reason: str) -> Capacity:
        write_about(folder, {**about, "reason": reason})
        return _capacity(folder, about, reason, list(found.values()))

    def stopped(exc: asyncio.CancelledError, reason: str = "stopped") -> None:
        lines = f"{answer(reason)!r}\nhs.load({shown(folder)!r})".splitlines
        exc._render_traceback_ = lines  # type: ignore[attr-defined]  # IPython's protocol

    while not isinstance(
        load := next_load([each for each, _ in found.values()], target=share, by=by, start=first, most=last), str
    ):
        file = folder / f"{file_name(f'{load:g}')}.jsonl"
        begun = file.exists()
        many = math.ceil(_LIMITS_LONG * longest * load)
        count = max(requests + 2 * int(load), _PER_USER * int(load)) if by == "users" else max(requests, many)
        these = asked if duration is not None else asked.part(count)
        with exactly():
            others = before.keys() - {file, *(result.path for _, result in found.values())}
            left = None if budget is None else budget - _spent(found) - sum(map(before.__getitem__, others))
        if left is not None and left <= 0:
            return answer("max_cost")
        write_about(folder, about)
        try:
            with place:
                result = (_timed(file) if begun else None) or await bench(
                    [model],
                    these,
                    repeats=None if duration is not None else these.repeats(count, int(load) if by == "users" else 1),
                    duration=duration,
                    limits=wanted,
                    max_cost=left,
                    path=None if begun else file,
                    resume=file if begun else None,
                    **{"calibrate": False, **options, "concurrency" if by == "users" else "rate": load},
                )
        except TooDear:
            if not found:
                raise
            return answer("max_cost")
        except asyncio.CancelledError as exc:
            stopped(exc)
            raise
        if not _is_whole(result):
            return answer("max_cost" if result.contents.ends[-1].reason == "max_cost" else "stopped")
        each = probe(result, load)
        found[load] = each, result
        board.show(f"{load:g} {UNITS[by][load != 1]}: {said(each)}, {each.verdict(share)}", answer("stopped"))
    whole = answer(load)
    edge = whole.beyond
    if edge is not None and options.get("calibrate", True) and found[edge][1].calibration is None:
        board.show(f"measuring the timing error at {edge:g} {UNITS[by][edge != 1]}", whole)
        file = found[edge][1].path
        try:
            with cancelled_by_ctrl_c():
                await measure_error(file, options.get("executor"))
        except asyncio.CancelledError as exc:
            stopped(exc, load)
            raise
        found[edge] = found[edge][0], Result(read(file), file)
        whole = answer(load)
    board.end(whole)
    return whole


def load_capacity(folder: Path, about: Mapping[str, Any]) -> Capacity:
    """The Capacity of a folder; loads that were not finished are left out."""
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        result = Result(read(file), file)
        if _is_whole(result):
            found.append((probe(result, result.plan.rate or result.plan.concurrency or 0), result))
    return _capacity(folder, about, str(about["reason"]), found)


def _capacity(folder: Path, about: Mapping[str, Any], reason: str, found: Sequence[tuple[Probe, Result]]) -> Capacity:
    return Capacity(
        model=about["model"],
        limits=about["limits"],
        share=about["share"],
        by=about["by"],
        reason=reason,
        probes=tuple(sorted((each for each, _ in found), key=lambda each: each.load)),
        results=tuple(result for _, result in found),
        path=folder,
    )


def _check_same(folder: Path, about: Mapping[str, Any]) -> None:
    before = read_about(folder)
    if different := [name for name in about if before and name != "reason" and before.get(name) != about[name]]:
        raise SetupError(f"{folder} is of another search, which differs in {', '.join(different)}: give another path.")


def _load(name: str, given: object, by: By) -> float | None:
    if given is None:
        return None
    return kinds.count(name, given, least=1) if by == "users" else kinds.number(name, given, above=0)


def _timed(file: Path) -> Result | None:
    """A probe that is there already, whose time was up: going on would make it longer."""
    result = Result(read(file), file)
    return result if not result.plan.repeats and _is_whole(result) else None


def _is_whole(result: Result) -> bool:
    """Whether a probe says what it can: it made its requests, its time was up, or too many failed in a row."""
    reason = result.contents.ends[-1].reason if result.contents.ends else ""
    return reason in ("failures", "duration") or (bool(result.plan.repeats) and not result.missing)


def _spent(found: Mapping[float, tuple[Probe, Result]]) -> Decimal:
    with exactly():
        return sum((result.contents.spent for _, result in found.values()), Decimal(0))
