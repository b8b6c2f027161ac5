"""Every chart, to look at: `python -m tests.screenshots.charts FOLDER [--only NAME …]`.

From results made by hand, in light and dark, with 2, 8, 12 and 15 models of real names, and the odd ones: an outlier of
30 s, a cost of 0, one request a model, all failed, a run resumed after two days.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from matplotlib import style

from holystream_nb.events import Usage
from holystream_nb.measuring import charts
from holystream_nb.measuring.figures.statistics import quantile, share
from holystream_nb.measuring.figures.sweep import Sweep
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.shadow import Shadow
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Calibration, Contents, Header, Session, Trial, Trip, Warmup
from holystream_nb.measuring.watch import Watch
from holystream_nb.money.amount import show_in
from holystream_nb.money.cost import Cost
from holystream_nb.parts import Opening
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing

from ..measuring.conftest import MS, session

NAMES: Final = (
    "openrouter:meta-llama/llama-3.3-70b-instruct:free",
    "fireworks:accounts/fireworks/models/deepseek-v3p2-thinking-0528",
    "fireworks:accounts/fireworks/models/deepseek-v3p2-thinking-0324",
    "openai:gpt-4.1-mini-2025-04-14",
    "openai:gpt-4.1-2025-04-14",
    "anthropic:claude-sonnet-4-5-20250929",
    "holysheep:deepseek-v3.2",
    "groq:moonshotai/kimi-k2-instruct-0905",
    "together:Qwen/Qwen3-235B-A22B-Instruct-2507-tput",
    "together:Qwen/Qwen3-235B-A22B-Thinking-2507-tput",
    "google:gemini-2.5-flash-lite-preview-09-2025",
    "mistral:mistral-small-3.2-24b-instruct-2506",
    "ollama:llama3.2:1b-instruct-q8_0",
    "deepinfra:openai/gpt-oss-120b-Turbo",
    "bedrock:us.anthropic.claude-haiku-4-5-20251001-v1:0",
)
_FIRST: Final = (420, 260, 700, 350, 520, 900, 240, 130, 610, 1500, 190, 330, 80, 210, 640)
_RATE: Final = (70, 60, 35, 110, 75, 65, 45, 210, 55, 40, 240, 130, 25, 160, 90)
_COST: Final = (0.1, 0.9, 0.6, 0.7, 3.2, 6.1, 0.3, 1.2, 0.25, 1.1, 0.15, 0.11, 0.05, 0.2, 2.0)
_TOKENS: Final = 60
_CALIBRATION: Final = Calibration(
    concurrency=4,
    workers=1,
    requests=100,
    tokens_per_s=50,
    ttft_ms=(0.5, 1.5, 2.0),
    e2e_ms=(0.5, 1.5, 2.0),
    gap_ms=(0.1, 0.2, 0.3),
)


def trial(index: int, repeat: int, chance: Random, **more: Any) -> Trial:
    """One request of the model at this place of the list."""
    sent = round((1500 * repeat + chance.random() * 800) * MS)
    first = round(_FIRST[index] * chance.lognormvariate(0, 0.25) * MS)
    gaps = [round(1e3 / _RATE[index] * chance.lognormvariate(0, 0.35) * MS) for _ in range(_TOKENS)]
    usd = Decimal(str(_COST[index])) / 1000
    values: dict[str, Any] = {
        "submitted": sent,
        "permit": sent,
        "sent": sent,
        "headers": sent + first - 5 * MS,
        "reads": [sent + first, *gaps],
        "first_answer": sent + first,
        "end": sent + first + sum(gaps),
        "output_tokens": _TOKENS + 1,
        "visible_tokens": _TOKENS + 1,
        "prompt_tokens": 30,
        "characters": 4 * _TOKENS,
        "finish_reason": "stop",
        "usd": usd,
        "cny": usd * 7,
        "price_source": "a list",
        "price_as_of": "2026-11-20",
    }
    return Trial(model=NAMES[index], prompt=0, repeat=repeat, **{**values, **more})


def failed(trial: Trial, after_s: float = 5.0) -> Trial:
    """The same request, that timed out."""
    begun = trial.sent or 0
    return msgspec.structs.replace(
        trial, error="Timeout", reads=[], end=begun + round(after_s * 1e9), first_answer=None, usd=None, cny=None
    )


def result(trials: Sequence[Trial], sessions: tuple[Session, ...] = (session(),), **plan: Any) -> Result:
    models = tuple(dict.fromkeys(each.model for each in trials))
    repeats = len(trials) // len(models)
    made = Plan(**{"models": models, "prompts": ("Hello",), "repeats": repeats, "concurrency": 4, **plan})
    header = Header(schema=1, plan=made, plan_hash=made.hash, session=sessions[0])
    return Result(Contents(header, sessions, tuple(trials), (), _CALIBRATION, (), 0), Path("run.jsonl"))


def run(models: int, n: int = 80, seed: int = 7, start: int = 0) -> list[Trial]:
    chance = Random(seed)
    return [trial(index, repeat, chance) for repeat in range(n) for index in range(start, start + models)]


def outlier() -> Result:
    """One of 240 requests waits for 30 s."""
    trials = run(3)
    slow = trials[100]
    reads = [slow.reads[0] + 30_000 * MS, *slow.reads[1:]]
    trials[100] = msgspec.structs.replace(slow, reads=reads, end=sum(reads))
    return result(trials)


def free() -> Result:
    """A cost of 0, a local model without a price, an unknown price, and prices over decades."""
    changes: dict[str, dict[str, Any]] = {
        NAMES[0]: {"usd": Decimal(0), "cny": Decimal(0)},
        NAMES[12]: {"usd": None, "cny": None, "price_source": "", "price_note": "local, no price"},
        NAMES[13]: {"usd": None, "cny": None, "price_source": "", "price_note": "unknown"},
    }
    chance = Random(7)
    rows = [trial(index, repeat, chance) for repeat in range(40) for index in (0, 3, 5, 10, 12, 13)]
    return result([msgspec.structs.replace(each, **changes.get(each.model, {})) for each in rows])


def failures() -> Result:
    """Of the fastest and cheapest 60 % failed, of another a tenth, of the last all."""
    chance = Random(3)
    rows = [trial(index, repeat, chance) for repeat in range(80) for index in (10, 3, 5, 6)]
    part = {NAMES[10]: 5, NAMES[3]: 1, NAMES[6]: 10}
    return result([failed(each) if chance.random() * 10 < part.get(each.model, 0) * 1.2 else each for each in rows])


def resumed() -> Result:
    """The second half two days later."""
    halves = [msgspec.structs.replace(each, session=int(each.repeat >= 40)) for each in run(2)]
    return result(halves, sessions=(session(), session(1, wall_ns=2 * 86_400 * 10**9)))


def alike() -> Result:
    """Two that no interval tells apart, and ten arms of one cost."""
    chance = Random(5)
    same = Decimal("0.0004")
    return result(
        [msgspec.structs.replace(trial(index, repeat, chance), usd=same) for repeat in range(30) for index in range(10)]
    )


def open_loop() -> Result:
    rows = [msgspec.structs.replace(each, scheduled=each.submitted - 90 * MS * (each.repeat % 9)) for each in run(1)]
    return result(rows, concurrency=None, rate=2.0)


def stalled() -> Result:
    rows = run(2, 30)
    rows[7] = msgspec.structs.replace(rows[7], reads=[*rows[7].reads[:20], 2_000 * MS, *rows[7].reads[20:]], end=None)
    rows[12] = failed(rows[12])
    return result(rows)


def sweep(models: int, n: int = 80) -> Sweep:
    chance, runs = Random(4), []
    for index in range(models):
        for load in (1, 2, 4, 8, 16):
            slower, ends, rows = max(1.0, load / (3 + index % 4)), [0] * load, []
            for repeat in range(n):
                each = trial(index, repeat, chance)
                start = ends[repeat % load]
                reads = [
                    round((each.reads[0] - (each.sent or 0)) * slower),
                    *(round(s * slower) for s in each.reads[1:]),
                ]
                ends[repeat % load] = start + sum(reads)
                reads[0] += start
                rows.append(
                    msgspec.structs.replace(
                        each, stream=repeat % load, sent=start, submitted=start, reads=reads, end=sum(reads)
                    )
                )
            runs.append(result(rows, concurrency=load))
    return Sweep(tuple(runs), Path("sweep"))


def probes(n: int = 100) -> list[charts.Level]:
    chance, found = Random(2), []
    for load in (1, 2, 4, 8, 16, 12, 10, 11):
        ttfts = [200 * (1 + (load / 9) ** 3) * chance.lognormvariate(0, 0.2) for _ in range(n)]
        found.append(charts.Level(load, n, share(sum(ttft < 800 for ttft in ttfts), n), quantile(ttfts, 0.95)))
    return found


def capacity(**more: Any) -> Any:
    options: dict[str, Any] = {"model": NAMES[1], "least": 95, "ttft_ms": 800, "within": 10, "beyond": 11}
    return charts.capacity(probes(), **{**options, "under": "simulator ×20 · TTFT up to 800 ms", **more})


def shadow(n: int = 60) -> Any:
    chance = Random(6)
    rows = [
        msgspec.structs.replace(
            trial(index, repeat, chance), similarity=chance.uniform(0.6, 1), unrelated=chance.random() / 2
        )
        for repeat in range(n)
        for index in (1, 5)
    ]
    made = Shadow(result(rows))
    return made.plot()


def watched(models: int, sittings: int = 24, n: int = 8) -> Watch:
    """A sitting every half hour; from the half on every other model takes half as long again."""
    found = {}
    for sitting in range(1, sittings + 1):
        rows = [
            _slower(each, 1.5 if sitting > sittings / 2 and NAMES.index(each.model) % 2 else 1.0)
            for each in run(models, n, seed=sitting)
        ]
        found[sitting] = result(rows, sessions=(session(wall_ns=(1_795_000_000 + sitting * 1800) * 10**9),))
    return Watch("ttft_ms", sittings + 2, found, {sittings + 1: "Nobody answers there."}, Path("watch"))


def _slower(trial: Trial, times: float) -> Trial:
    sent = trial.sent or 0
    return msgspec.structs.replace(trial, reads=[sent + round((trial.reads[0] - sent) * times), *trial.reads[1:]])


def opened(models: int, n: int = 20) -> Result:
    """With the connections that were opened for it, and round trips of the network."""
    rows = [msgspec.structs.replace(each, written=(each.sent or 0) + MS) for each in run(models, n)]
    old = result(rows).contents
    warm = tuple(
        Warmup(model=each, prompt=0, repeat=-1, permit=0, dns=9 * MS, tcp=31 * MS, tls=44 * MS, sent=90 * MS)
        for each in NAMES[:models]
    )
    trips = tuple(Trip(each.partition(":")[0], 0, 0, 30 * MS) for each in NAMES[:models])
    return Result(Contents(old.header, old.sessions, old.trials, warm, _CALIBRATION, (), 0, trips), Path("run.jsonl"))


def answer() -> Reply:
    """One answer over a new connection, and the page that painted it."""
    timing = Timing(
        submitted=0,
        permit=5 * MS,
        sent=90 * MS,
        written=91 * MS,
        reads=array("q", [481 * MS, 2181 * MS]),
        opening=Opening(dns=9 * MS, tcp=31 * MS, tls=44 * MS),
        paint_ms=21,
    )
    cost = Cost(None, None, exact=True, source="", as_of="")
    return Reply("x", "", (), "stop", Usage(1, 1, 2), timing, cost, *NAMES[1].split(":")[::-1])


def _single(name: str, of: Result) -> Iterator[tuple[str, Callable[[], Any]]]:
    for chart in (
        charts.distribution,
        charts.ttft_against_cost,
        charts.speed_against_cost,
        charts.timeline,
        charts.over_run,
        charts.differences,
        charts.sheet,
    ):
        if chart is not charts.differences or len(of.arms) > 1:
            yield f"{name}-{chart.__name__}", lambda chart=chart: chart(of)


def scenes() -> dict[str, Callable[[], Any]]:
    """Each chart by its name."""
    found: dict[str, Callable[[], Any]] = {}
    results = {
        "1": result(run(1)),
        "2": result(run(2)),
        "4": result(run(4)),
        "8": result(run(8)),
        "12": result(run(12)),
        "15": result(run(15)),
        "n1": result(run(3, n=1)),
        "n4": result(run(3, n=4)),
        "outlier": outlier(),
        "free": free(),
        "failures": failures(),
        "allfailed": result([failed(each) for each in run(2)]),
        "resumed": resumed(),
        "alike": alike(),
        "open": open_loop(),
        "stalled": stalled(),
    }
    for name, made in results.items():
        found.update(_single(name, made))
    for models in (2, 4, 8, 12):
        found[f"sweep-{models}"] = lambda models=models: charts.concurrency(sweep(models))
    found["sweep-few"] = lambda: charts.concurrency(sweep(2, 20))
    found["capacity"] = capacity
    found["capacity-rate"] = lambda: capacity(unit="requests/s", scheduled=True)
    found["capacity-unreached"] = lambda: capacity(beyond=None)
    found["capacity-none"] = lambda: capacity(within=None, beyond=1)
    for models in (1, 2, 4, 8, 12, 15):
        found[f"watch-{models}"] = lambda models=models: watched(models).plot()
        found[f"waterfall-{models}"] = lambda models=models: charts.waterfall(opened(models))
    found["waterfall-reply"] = lambda: charts.waterfall(answer())
    found["shadow"] = shadow
    found["shadow-few"] = lambda: shadow(4)
    found["open-e2e_scheduled"] = lambda: charts.distribution(open_loop(), "e2e_scheduled_s")
    found["yuan"] = _yuan
    return found


def _yuan() -> Any:
    show_in("CNY")
    try:
        return charts.ttft_against_cost(result(run(4)))
    finally:
        show_in("USD")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.screenshots.charts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="those whose names begin so")
    parser.add_argument("--light", action="store_true", help="without the dark ones")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in scenes().items():
        if given.only and not name.startswith(tuple(given.only)):
            continue
        for look in ("default",) if given.light else ("default", "dark_background"):
            with style.context(look):
                draw().savefig(given.folder / f"{name}{'' if look == 'default' else '-dark'}.png", dpi=90)
