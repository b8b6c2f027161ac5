"""What the tests of the measuring room share: results made by hand, and benches against the simulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holystream_nb import Simulator
from holystream_nb.measuring.bench import bench
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Calibration, Contents, End, Header, Session, Trial

MS = 1_000_000


def session(number: int = 0, wall_ns: int = 0) -> Session:
    return Session(
        number=number,
        origin_ns=0,
        wall_ns=wall_ns,
        started="2026-11-20T00:00:00+00:00",
        versions={},
        python="3.11",
        cpu="a processor",
        cpus=2,
        os="an os",
        event_loop="a loop",
        addresses={"simulator": "http://127.0.0.1:1/v1"},
        executor="processes",
        workers=1,
    )


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """A trial by hand: times in ms; sent at `sent`, first output `ttft` later, then `gaps`."""

    def make(
        model: str = "simulator:a",
        *,
        sent: float = 100,
        ttft: float = 300,
        gaps: tuple[float, ...] = (20, 60),
        **more: Any,
    ) -> Trial:
        stamps = [round((sent + ttft) * MS), *(round(gap * MS) for gap in gaps)]
        reads = [] if more.get("error") else stamps
        values = {
            "prompt": 0,
            "repeat": 0,
            "submitted": round(sent * MS),
            "permit": round(sent * MS),
            "sent": round(sent * MS),
            "reads": reads,
            "first_answer": reads[0] if reads else None,
            "output_tokens": len(reads),
            "visible_tokens": len(reads),
            "prompt_tokens": 10,
            "characters": 4 * len(reads),
            "finish_reason": "stop",
            "usd": Decimal("0.001"),
            "cny": Decimal("0.001"),
            "price_source": "a card",
            "price_as_of": "today",
        }
        return Trial(model=model, **{**values, **more})

    return make


@pytest.fixture
def result() -> Callable[..., Result]:
    """A Result of trials made by hand; further arguments are the plan's."""

    def make(
        *trials: Trial,
        calibration: Calibration | None = None,
        sessions: tuple[Session, ...] = (session(),),
        ends: tuple[End, ...] = (),
        torn: int = 0,
        **plan: Any,
    ) -> Result:
        models = tuple(dict.fromkeys(trial.model for trial in trials))
        made = Plan(**{"models": models, "prompts": ("Hello",), "repeats": len(trials) // len(models), **plan})
        header = Header(schema=1, plan=made, plan_hash=made.hash, session=sessions[0])
        contents = Contents(header, sessions, trials, (), calibration, ends, torn)
        return Result(contents, Path("run.jsonl"))

    return make


@pytest.fixture
def burst(trial: Callable[..., Trial]) -> Callable[..., list[Trial]]:
    """A closed loop of eight users, whose first requests take 900 ms because all begin at once."""

    def made(model: str, ttft: float) -> list[Trial]:
        found = []
        for user in range(8):
            at = 10.0 * user
            for number in range(12):
                took = 900 if number == 0 else ttft + user
                found.append(trial(model, stream=user, repeat=len(found), sent=at, ttft=took, gaps=(50,)))
                at += took + 50
        return found

    return made


@pytest.fixture
def run(simulator: Simulator, tmp_path: Path) -> Callable[..., Awaitable[Result]]:
    """A real bench against the unpaced simulator, in a file of its own; short answers, no calibration."""

    async def bench_it(models: Any = "simulator:gpt-4.1#tokens=5", prompts: Any = "Hello", **options: Any) -> Result:
        defaults: dict[str, Any] = {"base_url": simulator.url, "seed": 1, "calibrate": False}
        if "resume" not in options:
            defaults["path"] = tmp_path / "run.jsonl"
        return await bench(models, prompts, **{**defaults, **options})

    return bench_it
