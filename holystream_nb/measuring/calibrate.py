"""The error of our own stopwatch: what was measured against what the simulator truly did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec

from .. import kinds
from ..providers.address import is_loopback
from ..providers.secret import sealing
from .figures.error import Errors, calibration, errors, event_rate, streams
from .result import Result
from .running.executors import once
from .running.guest import alone
from .running.interrupt import cancelled_by_ctrl_c
from .values.given import transports_of, wires_of
from .values.plan import Plan
from .values.record import Calibration, Trial

FIRST_S: Final = (0.1, 0.2, 0.3, 0.4)
"""First-token latencies of a calibration: different ones, so that answers do not keep step."""

_PAUSE_S: Final = 0.0125
"""Between two answers of a stream, on average. The simulator's answers are of equal lengths, which real ones are not:
streams that ask again at once would stay in step, and their tokens come together."""

_SAMPLE: Final = 400
"""So many requests have an interval for p99."""

_ANSWER_S: Final = 0.8
_MOST_TOKENS_PER_S: Final = 1000.0


@sealing()
async def calibrate(
    *,
    concurrency: int = 16,
    tokens_per_s: float = 50.0,
    tokens: int | None = None,
    answers: int = 2,
    transport: str | Sequence[str] = "sse",
    wire: str | Sequence[str] | None = None,
) -> Calibration:
    """Measures answers of a simulator of its own, whose true times are known, and compares.

    concurrency: streams at once; past 100 they are spread over processes, and so are simulators.
    tokens_per_s: of each stream; every token is one event, as it usually is.
    tokens: of each answer; by default as many as come in 0.8 s.
    answers: requests of each stream.
    transport: "sse" or "ws", or both; wire: "chat" (the default), "messages" or "responses", or several, as for
        `hs.bench`. Each way then has its part of the requests, and its own error beside that of all.

    It takes about `answers` × 1.2 s. p50 has an interval from 6 requests on, p95 from 72 and p99 from 368. Errors are
    |measured − true|: TTFT against the time from the request's arrival at the simulator (over a socket: the message's
    that asks for the turn) to its first output event, E2E against that to the last, gaps against the distances of the
    events that opened each read. What the machine does to the simulator counts too: the error is never made smaller
    than it is.
    """
    from ..simulator import Simulator
    from .running.sitting import measure

    concurrency = kinds.count("concurrency", concurrency, least=1)
    answers = kinds.count("answers", answers, least=1)
    tokens_per_s = kinds.number("tokens_per_s", tokens_per_s, above=0)
    tokens = kinds.optional_count("tokens", tokens, least=1) or max(2, round(tokens_per_s * _ANSWER_S))
    suffix = f"#tokens={tokens},rate={tokens_per_s:g}"
    models = tuple(f"simulator:deepseek-v3.2{suffix},first={first}" for first in FIRST_S)
    transports, wires = transports_of(transport), wires_of(wire)
    plan = Plan(
        models=models,
        prompts=("Calibration.",),
        repeats=-(-concurrency * answers // (len(models) * max(1, len(transports) * len(wires)))),
        concurrency=concurrency,
        pause=_PAUSE_S,
        transport=transports,
        wire=wires,
        simulator="simulator",
    )
    simulators = [Simulator(speed=1) for _ in range(plan.workers)]
    try:
        for simulator in simulators:
            await asyncio.to_thread(simulator.start)
        with cancelled_by_ctrl_c():
            records, session = await measure(plan, [simulator.url for simulator in simulators])
        urls = [simulator.url for simulator in simulators]
        error = await asyncio.to_thread(_error, records, urls)
    except asyncio.CancelledError as exc:
        exc._render_traceback_ = lambda: ["Stopped; of a calibration nothing is kept."]  # type: ignore[attr-defined]
        raise
    finally:
        for simulator in simulators:
            simulator.stop()
    return calibration(error, concurrency, session.workers, tokens_per_s, own=False)


async def own_error(result: Result) -> Calibration | None:
    """The error of a run that was made against simulators of this machine, by their own records; None for others.

    Only the last requests are compared: a simulator keeps 1,000.
    """
    session = result.sessions[-1]
    addresses = set(session.addresses.values())
    if {result.plan.split(model)[0] for model in result.models} != {"simulator"} or not all(
        map(is_loopback, addresses)
    ):
        return None
    recent = [trial for trial in result.records if trial.session == session.number and not trial.error]
    error = await asyncio.to_thread(_error, recent[-_SAMPLE:], list(addresses))
    if not error.ttft:
        return None
    plan = result.plan
    return calibration(error, plan.concurrency or streams(result), session.workers, event_rate(result), own=True)


async def like(result: Result, executor: Executor | None = None, hosts: int = 1) -> Calibration:
    """A calibration at the concurrency and event rate of a run, in its formats.

    executor: whose worker measures, by a simulator on its own machine, which has its part of the streams if there are
    several `hosts`. Raises HolystreamError where it cannot.
    """
    wires = [each for each in result.plan.wires if each] or sorted({trial.wire for trial in result.records})
    wanted: dict[str, Any] = {
        "concurrency": max(1, round((result.plan.concurrency or streams(result)) / hosts)),
        "tokens_per_s": min(event_rate(result), _MOST_TOKENS_PER_S),
        "transport": list(result.plan.transports),
        "wire": wires,
    }
    if executor is None:
        return await calibrate(**wanted)
    data = await once(executor, calibrated_there, msgspec.json.encode(wanted))
    return msgspec.json.decode(data, type=Calibration)


def calibrated_there(wanted: bytes) -> bytes:
    """Runs in a worker of an executor: `calibrate` with these arguments."""
    return msgspec.json.encode(alone(calibrate(**msgspec.json.decode(wanted))))


def _error(trials: Iterable[Trial], urls: Sequence[str]) -> Errors:
    found = Errors()
    for trial in trials:
        record = _record(trial.response_id, urls)
        if record is not None and (each := errors(trial, record)) is not None:
            found.add(trial.way, *each)
    return found


def _record(response_id: str | None, urls: Sequence[str]) -> Mapping[str, Any] | None:
    """What a simulator at one of these addresses knows of a request."""
    opener = build_opener(ProxyHandler({}))  # loopback never goes through a proxy
    for url in urls:
        try:
            with opener.open(f"{url.removesuffix('v1')}sim/requests/{response_id}", timeout=10) as answer:
                return dict(json.load(answer))
        except (URLError, OSError, ValueError):
            continue
    return None
