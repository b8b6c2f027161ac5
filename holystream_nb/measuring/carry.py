"""What every door that measures does: a file for the run, its plan carried out in view of the user, a Result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ..client.options import fields_of
from ..errors import HolystreamError, SetupError
from ..session import session as kernel
from .calibrate import like, own_error
from .figures.comparison import UntilDecided
from .result import Result
from .running import addresses
from .running.interrupt import cancelled_by_ctrl_c
from .running.progress import shown, view
from .running.sitting import Sitting
from .running.worker import Answers
from .values.folder import now, path_of, runs_folder
from .values.journal import Log, read
from .values.plan import Plan
from .values.record import Contents

_SEEDS: Final = 1_000_000
_BRIEF: Final = 60
_OF_OTHERS: Final = "simulator"
"""What a plan says of a simulator that this process did not start."""


def measured_fields(
    door: str,
    keywords: Mapping[str, Any],
    parameters: Mapping[str, Any] | None,
    *,
    names: Iterable[str],
    options_at: str = "hs.configure(…)",
) -> dict[str, Any]:
    """The fields of requests that are measured, as `fields_of` has them; SetupError for those that leave nothing to
    measure."""
    found = fields_of(door, keywords, parameters, names=names, options_at=options_at)
    if found.get("n") not in (None, 1):
        raise SetupError(
            f"n={found['n']} would ask for that many choices at once, which are paid for and have no token times: "
            "repeats= is how often each prompt is asked."
        )
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if found.get(name) == 0:
            raise SetupError(f"{name}=0 asks for no output, and {door} measures when that comes: give 1 or more.")
    return found


async def carry_out(
    plan: Plan,
    located: addresses.Located,
    file: Path,
    before: Contents | None,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    calibrate: bool = True,
    answers: Answers = "dropped",
    retry_failed: bool = False,
) -> Result:
    """Makes what is missing of a plan, in view of the user, and returns what its file then holds."""
    screen = view(file)
    reason = "failed"
    with cancelled_by_ctrl_c(), ExitStack() as stack:
        found, secret = await addresses.find(located, stack, foreign=executor is not None)
        sitting = Sitting(
            plan, file, screen, [found], before, executor, workers, answers, secret, kernel.budget, retry_failed
        )
        if plan.until_decided:
            sitting.enough = UntilDecided(plan).add
        try:
            reason = await sitting.go()
            if reason and calibrate:
                screen.say("measuring the timing error")
                await measure_error(file, executor, 1 if sitting.crew is None else sitting.crew.hosts)
        except asyncio.CancelledError as exc:
            reason = "cancelled"
            said = f"Stopped; what had finished is kept: hs.load({shown(file)!r})"
            said += f"; the same call with resume={shown(file)!r} makes the rest."
            exc._render_traceback_ = lambda: [said]  # type: ignore[attr-defined]  # IPython's protocol
            raise
        finally:
            screen.end(reason)
    return Result(read(file), file)


async def measure_error(file: Path, executor: Executor | None, hosts: int = 1) -> None:
    """Measures the timing error of the run in a file where that was made, and writes it there. A run without a success
    has none, and neither has one whose executor is broken."""

    result = Result(read(file), file)
    if all(trial.error for trial in result.records):
        return
    found = await own_error(result)
    if found is None:
        with nullcontext() if executor is None else suppress(HolystreamError):
            found = await like(result, executor, hosts)
    if found is not None:
        log = Log(file, result.contents.header.run)
        log.write(found)
        log.close()


def seed_of(seed: int | None, before: Contents | None) -> int:
    if seed is not None:
        return seed
    return random.randrange(_SEEDS) if before is None else before.header.plan.seed  # noqa: S311  # not a secret


def as_begun(plan: Plan, before: Contents | None) -> Plan:
    """The plan, with the simulator's speed as the file has it where one of the two does not know it.

    Only the process that started a simulator knows how fast it is; a run may be continued by another.
    """
    if before is None:
        return plan
    known = before.header.plan.simulator
    if known and plan.simulator and _OF_OTHERS in (known, plan.simulator):
        return msgspec.structs.replace(plan, simulator=known)
    return plan


def file_of(plan: Plan, path: str | Path | None, resume: str | Path | None, before: Contents | None) -> Path:
    """The run's file; SetupError where it holds another plan, or would be overwritten."""
    if resume is not None and before is not None:
        if path is not None and path_of(path) != path_of(resume):
            raise SetupError("resume goes on in its own file: leave path out.")
        if before.header.plan_hash != plan.hash:
            there = before.header.plan
            different = ", ".join(
                f"{name} ({_both(getattr(plan, name), getattr(there, name))})" for name in plan.difference(there)
            )
            raise SetupError(f"{resume} is a run of another plan, which differs in {different}: nothing was sent.")
        return path_of(resume)
    if path is None:
        return runs_folder() / f"{now()}-{plan.hash}.jsonl"
    if path_of(path).exists():
        raise SetupError(f"{path} is there already: go on with resume={str(path)!r}, or give another path.")
    return path_of(path)


def _both(here: Any, there: Any) -> str:
    """Two values of one field, as short as they can be told from each other."""
    if isinstance(here, tuple) and isinstance(there, tuple) and here and there:
        if len(here) != len(there):
            return f"{len(here)} here, {len(there)} there"
        place = next(index for index, (one, other) in enumerate(zip(here, there, strict=True)) if one != other)
        found = _both(here[place], there[place])
        return f"number {place + 1}: {found}" if len(here) > 1 else found
    return f"{_brief(here)} here, {_brief(there)} there"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"
