"""hs.bench: from what is asked to a Result, with everything on disk as it happens."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..errors import SetupError
from . import addresses
from .journal import Log, read
from .plan import Plan, Prompt
from .progress import Silent, shown, view
from .record import Contents, Session, Trial
from .results import Result
from .sitting import Sitting
from .worker import Address, Answers

_SEEDS: Final = 1_000_000


async def bench(
    models: str | Sequence[str],
    prompts: str | Sequence[Prompt],
    *,
    repeats: int = 1,
    concurrency: int | None = None,
    rate: float | None = None,
    warmup: int = 1,
    seed: int | None = None,
    limits: Mapping[str, float] | None = None,
    max_cost: Decimal | float | str | None = None,
    cache: bool = False,
    retries: int = 0,
    timeout: float | None = None,
    base_url: str | None = None,
    transport: str | Sequence[str] = "sse",
    reuse: bool = True,
    executor: Executor | None = None,
    workers: int | None = None,
    path: str | Path | None = None,
    resume: str | Path | None = None,
    calibrate: bool = True,
    **parameters: Any,
) -> Result:
    """Measures models in child processes, while this one only draws, and returns what they did.

    models: each `model` or `provider:model`; without a key, models without a provider run on the simulator.
    prompts: texts, or lists of messages; every model is asked each of them `repeats` times, in random order, in turns.
    transport: "sse", "ws" or "auto", or several: every model is then asked over each of them in turns, and the result
        has a row for each model and transport, such as `deepseek-v3.2 · ws`.
    reuse: whether connections are kept, as a client keeps them; False opens one for every request, whose cost is
        `connect_ms`.
    concurrency: streams at once (closed loop, the default with 1), or rate: requests a second (open loop, Poisson).
    warmup: discarded requests for each worker, model and transport before anything counts.
    seed: of order, arrivals and prefixes; random if not given. The same seed sends the same requests again.
    limits: what a good request keeps: any of `ttft_ms`, `tpot_ms`, `e2e_s`.
    max_cost: USD. What is foreseen to cost more is refused before anything is sent; what turns out to, is not sent.
    cache: whether a service's prompt cache may answer repeats; otherwise each has a short prefix of its own.
    retries: 0 by default: a 429 is a failure. Its pause is obeyed.
    timeout: limit on each answer, in seconds.
    base_url, parameters: as for `Client` and its `stream` (temperature, max_tokens, …).
    executor: a `concurrent.futures.Executor` of processes, here or on a cluster, instead of the local pool.
    workers: processes; one for every 100 streams by default.
    path: the file of the run (JSON Lines); by default one of its own in the user's data folder.
    resume: the file of a run of this very plan, of which only what is missing is made.
    calibrate: whether to measure the timing error afterwards (a few seconds, on the simulator).

    Stop in its view ends the run and returns what is there; a cancellation (■) ends it within a second and leaves what
    is there in the file.
    """
    named = [models] if isinstance(models, str) else list(models)
    chosen = tuple(addresses.full(model, base_url) for model in named)
    before = None if resume is None else read(path_of(resume))
    plan = Plan(
        models=chosen,
        prompts=(prompts,) if isinstance(prompts, str) else tuple(prompts),
        repeats=repeats,
        concurrency=1 if concurrency is None and rate is None else concurrency,
        rate=rate,
        warmup=warmup,
        seed=seed_of(seed, before),
        limits={name: float(limit) for name, limit in (limits or {}).items()},
        max_cost=None if max_cost is None else Decimal(str(max_cost)),
        cache=cache,
        retries=retries,
        timeout=timeout,
        parameters=parameters,
        base_url=base_url,
        transport=transport if isinstance(transport, str) else tuple(transport),
        reuse=reuse,
        simulator=addresses.simulator_note(chosen, base_url),
    )
    file = file_of(plan, path, resume, before)
    return await carry_out(plan, file, before, executor=executor, workers=workers, calibrate=calibrate)


async def carry_out(
    plan: Plan,
    file: Path,
    before: Contents | None,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    calibrate: bool = True,
    answers: Answers = "dropped",
) -> Result:
    """Makes what is missing of a plan, in view of the user, and returns what its file then holds."""
    screen = view(file)
    reason = "failed"
    with ExitStack() as stack:
        found = await addresses.find(plan.models, plan.base_url, stack, foreign=executor is not None)
        sitting = Sitting(plan, file, screen, [found], before, executor, workers, answers)
        try:
            reason = await sitting.go()
            if reason and calibrate:
                screen.say("measuring the timing error")
                await _calibrate(file, foreign=executor is not None)
        except asyncio.CancelledError as exc:
            reason = "cancelled"
            said = f"Stopped; what had finished is kept: hs.load({shown(file)!r})"
            exc._render_traceback_ = lambda: [said]  # type: ignore[attr-defined]  # IPython's protocol
            raise
        finally:
            screen.end(reason)
    return Result(read(file), file)


async def measure(plan: Plan, urls: Sequence[str]) -> tuple[list[Trial], Session]:
    """Runs a plan against simulators, one for each worker in turn; nothing is shown or kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.jsonl"
        await Sitting(plan, file, Silent(), [{"simulator": Address(url)} for url in urls]).go()
        contents = read(file)
    return list(contents.trials), contents.sessions[-1]


async def _calibrate(file: Path, *, foreign: bool) -> None:
    """Measures the timing error of the run in a file, and writes it there. A run without a success has none."""
    from .calibration import like, own_error

    result = Result(read(file), file)
    if all(trial.error for trial in result.records):
        return
    found = await own_error(result)
    if found is None and not foreign:
        found = await like(result)
    if found is not None:
        log = Log(file)
        log.write(found)
        log.close()


def seed_of(seed: int | None, before: Contents | None) -> int:
    if seed is not None:
        return seed
    return random.randrange(_SEEDS) if before is None else before.header.plan.seed  # noqa: S311  # not a secret


def path_of(path: str | Path) -> Path:
    return Path(path).expanduser()


def file_of(plan: Plan, path: str | Path | None, resume: str | Path | None, before: Contents | None) -> Path:
    """The run's file; SetupError where it holds another plan, or would be overwritten."""
    if resume is not None and before is not None:
        if path is not None and path_of(path) != path_of(resume):
            raise SetupError("resume goes on in its own file: leave path out.")
        if before.header.plan_hash != plan.hash:
            different = ", ".join(plan.difference(before.header.plan))
            raise SetupError(f"{resume} is a run of another plan, which differs in {different}: nothing was sent.")
        return path_of(resume)
    if path is None:
        from platformdirs import user_data_path

        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{plan.hash}.jsonl"
        return user_data_path("holystream_nb", appauthor=False) / "runs" / name
    if path_of(path).exists():
        raise SetupError(f"{path} is there already: go on with resume={str(path)!r}, or give another path.")
    return path_of(path)
