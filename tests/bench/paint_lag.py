"""Paint lag: from a token's send to the moment its number is on the page, in a JupyterLab with a Chromium.

Every token carries its number. The simulator's record says when it was sent, a MutationObserver when it, or a later
one, was in the page; all clocks are the machine's monotonic one, and the page's is aligned by looking at it between two
looks at ours. Each answer has a page and a kernel of its own, warmed by a short one. Tasks are the page's over 50 ms
(https://www.w3.org/TR/longtasks-1/): what else the machine does lengthens them too, which the CPU times tell apart.
For all of them the server's part (`serverextension`) is on.
A token that was dropped came with the next number drawn; a lag of inf: none came (the Jupyter server drops what is over
1,000 messages a second).

HOLYSTREAM_BENCH_SHORT=1: a tenth of the tokens, one round.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

from .figures import Figure, ratio
from .paint.laboratory import laboratory
from .paint.run import Run, answer
from .paint.variants import FLOOR, OURS, PRINT, UPDATE

SHORT: Final = bool(os.environ.get("HOLYSTREAM_BENCH_SHORT"))
TOKENS: Final = 2_400 if SHORT else 24_000
RATE: Final = 1_200
ORDER: Final = (FLOOR, OURS, UPDATE, PRINT) if SHORT else (FLOOR, OURS, UPDATE, OURS, FLOOR, PRINT, FLOOR, OURS)


def measure() -> list[Figure]:
    runs, markdown = asyncio.run(_runs())
    ours, floor = runs[OURS.name], runs[FLOOR.name]
    first, second = (Figure("", tuple(run.halves[half] for run in ours), "B") for half in (0, 1))
    each = [run for found in runs.values() for run in found]
    return [
        *[figure for name, found in runs.items() for figure in _lag(name, found)],
        ratio("lag p95, %%stream / floor", _p95(OURS.name, ours), _p95(FLOOR.name, floor), at_most=1.5),
        ratio("bytes a token, second half / first", second, first, at_most=1.1),
        _no_longer("%%stream", ours),
        *_switch("%%stream", ours),
        _figure("%%stream: bytes of the saved output", ours, "B", lambda run: run.end_bytes),
        _tasks("%%stream, Markdown", [markdown]),
        _no_longer("%%stream, Markdown", [markdown]),
        *_cpu("%%stream, Markdown", [markdown]),
        *_switch("%%stream, Markdown", [markdown]),
        _figure("error of the lags, at most", each, "ms", lambda run: run.error),
        _figure("load of the machine (1 min) before", [*each, markdown], "", lambda run: run.load),
    ]


async def _runs() -> tuple[dict[str, list[Run]], Run]:
    runs: dict[str, list[Run]] = {}
    async with laboratory() as place:
        for variant in ORDER:
            runs.setdefault(variant.name, []).append(await answer(place, variant, TOKENS, RATE))
        return runs, await answer(place, OURS, TOKENS, RATE, numbered=False)


def _figure(what: str, runs: Sequence[Run], unit: str, value: Callable[[Run], float]) -> Figure:
    return Figure(what, tuple(map(value, runs)), unit)


def _lag(name: str, runs: Sequence[Run]) -> list[Figure]:
    return [
        _figure(f"{name}: lag p50", runs, "ms", lambda run: run.lag(0.5)),
        _p95(name, runs),
        _figure(f"{name}: lag max", runs, "ms", lambda run: run.lag(1)),
        _tasks(name, runs),
        *([] if name == OURS.name else [_longest(name, runs)]),
        _figure(f"{name}: bytes a token, first half", runs, "B", lambda run: run.halves[0]),
        _figure(f"{name}: bytes a token, second half", runs, "B", lambda run: run.halves[1]),
        _figure(f"{name}: bytes before the first token", runs, "B", lambda run: run.open_bytes),
        *_cpu(name, runs),
    ]


def _p95(name: str, runs: Sequence[Run]) -> Figure:
    return _figure(f"{name}: lag p95", runs, "ms", lambda run: run.lag(0.95))


def _tasks(name: str, runs: Sequence[Run]) -> Figure:
    return _figure(f"{name}: tasks over 50 ms", runs, "", lambda run: len(run.tasks))


def _longest(name: str, runs: Sequence[Run]) -> Figure:
    return _figure(f"{name}: longest task while streaming", runs, "ms", lambda run: max(run.tasks, default=0))


def _no_longer(name: str, runs: Sequence[Run]) -> Figure:
    """Of all rounds together: a median would hide the one that is too long."""
    longest = max(took for run in runs for took in (0, *run.tasks))
    return Figure(f"{name}: longest task while streaming, any round", (longest,), "ms", at_most=200)


def _cpu(name: str, runs: Sequence[Run]) -> list[Figure]:
    return [
        _figure(f"{name}: kernel CPU a token", runs, "µs", lambda run: run.kernel_us),
        _figure(f"{name}: page CPU a token", runs, "µs", lambda run: run.page_us),
    ]


def _switch(name: str, runs: Sequence[Run]) -> list[Figure]:
    """JupyterLab's own drawing of the saved output."""
    return [
        _figure(f"{name}: switch to the saved output", runs, "ms", lambda run: run.switch or 0),
        _figure(f"{name}: longest task from then on", runs, "ms", lambda run: max(run.later, default=0)),
    ]
