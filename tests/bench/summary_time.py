"""Summary time: `summary()`, its text and `plot()` of 1,000 requests of 500 tokens each, made by hand, on first call.

Each in a process of its own; matplotlib is imported before, as it is by the first chart of a session. Below 1 s each.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Contents, Header, Session, Trial

from .figures import Figure
from .rounds import rounds

ROUNDS: Final = 3
USERS: Final = 8
REQUESTS: Final = 1000
TOKENS: Final = 500
LIMIT_MS: Final = 1000.0
_MS: Final = 1_000_000
_MODELS: Final = ("simulator:fast", "simulator:slow")
_WHAT: Final[dict[str, Callable[[Result], Any]]] = {
    "summary()": Result.summary,
    "print(result)": repr,
    "plot()": Result.plot,
    "gaps": lambda result: result.gaps,
}


def measure() -> list[Figure]:
    found = rounds({name: ("-m", __name__, name) for name in _WHAT}, ROUNDS)
    return [
        Figure(name, tuple(each["ms"] for each in results), "ms", at_most=LIMIT_MS) for name, results in found.items()
    ]


def made() -> Result:
    """Two models in a closed loop, with gaps as they scatter."""
    chance = random.Random(1)
    free = [chance.randrange(300 * _MS) for _ in range(USERS)]
    trials = []
    for number in range(REQUESTS):
        user = min(range(USERS), key=free.__getitem__)
        sent = free[user]
        first = sent + round(chance.lognormvariate(6.0, 0.3) * _MS)
        gaps = [1 + round(chance.expovariate(1 / 20) * _MS) for _ in range(TOKENS - 1)]
        free[user] = first + sum(gaps) + _MS
        trials.append(
            Trial(
                model=_MODELS[number % 2],
                prompt=0,
                repeat=number // 2,
                stream=user,
                submitted=sent,
                permit=sent,
                sent=sent,
                first_answer=first,
                end=first + sum(gaps),
                reads=[first, *gaps],
                output_tokens=TOKENS,
                visible_tokens=TOKENS,
                prompt_tokens=30,
                finish_reason="stop",
            )
        )
    plan = Plan(models=_MODELS, prompts=("Hello",), repeats=REQUESTS // 2, concurrency=USERS)
    session = Session(
        number=0,
        origin_ns=0,
        wall_ns=0,
        started="",
        versions={},
        python="",
        cpu="",
        cpus=2,
        os="",
        event_loop="",
        addresses={},
        executor="processes",
        workers=1,
    )
    header = Header(schema=1, plan=plan, plan_hash=plan.hash, session=session)
    return Result(Contents(header, (session,), tuple(trials), (), None, (), 0), Path("run.jsonl"))


def main(name: str) -> None:
    """Prints how long one took, in ms."""
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401

    result = made()
    start = time.perf_counter_ns()
    _WHAT[name](result)
    print(json.dumps({"ms": (time.perf_counter_ns() - start) / 1e6}))


if __name__ == "__main__":
    main(sys.argv[1])
