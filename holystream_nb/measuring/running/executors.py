"""A foreign executor: how many workers it has, whether they can do a run, and how they are told and heard.

| executor                        | workers, unless said         | told and heard          | killed worker      |
|---------------------------------|------------------------------|-------------------------|--------------------|
| Dask, `client.get_executor()`   | processes, a task pinned on  | calls and events of     | others take over   |
|                                 | each                         | Dask                    |                    |
| ProcessPoolExecutor, loky       | `max_workers`                | files beside the run's  | breaks the pool    |
| ipyparallel, `view.executor`    | engines of the view          | files beside the run's  | others take over   |
| another with `_max_workers`     | as many                      | files beside the run's  | others take over   |
| of unknown number, or that do   | one for every 100 streams,   | batches of 1 s, at      | others take over,  |
| not see the run's folder        | or as above                  | their end               | its batch is lost  |

Told and heard at once: records are in the run's file as they happen, and ■ ends all within 2 s: what runs is cut, its
connection closed, and listed as lost. In batches ■ takes as long, but what runs then goes on, and is listed as lost;
there is no open loop. Whatever is lost is counted at its cost at worst, and made again once by a worker that lives;
where the pool is broken it is missing, and the run's reason is `failed`.

Nothing is sent twice uncounted: a task of Dask's is pinned and not retried, and a worker's task that is begun a second
time sends nothing. In batches that would not be seen: such an executor must not repeat by itself. Should this process
be killed, resume= finds beside the run's file what each worker had begun, or was told to begin; a worker ends when it
hears nothing any more (`guest.ORPHAN_S`), or when the run goes on.
"""

from __future__ import annotations

import asyncio
import os
import pkgutil
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from ... import __version__, kinds
from ...errors import HolystreamError, SetupError
from ...providers.address import is_loopback
from .batches import Batches
from .guest import Around, look
from .pool import Member
from .remote import GO_ON, OverDask, OverFiles
from .worker import Address, Job

THREADS: Final = (
    "Threads share this process's interpreter with the drawing, which would be measured with the answers: give an "
    "executor of processes, or none."
)
_STAY_S: Final = 0.1
_ANSWER_S: Final = 60.0
"""How long is waited for an executor: one whose controller is gone never answers."""

_NOTHING: Final = "nothing was sent"


@dataclass(frozen=True, slots=True)
class Crew:
    """What an executor has. workers: how many (None is unknown). client, addresses: of a Dask cluster. is_near: whether
    its workers see the run's folder. hosts: how many machines they are on, as far as they were seen."""

    executor: Executor
    workers: int | None = None
    client: Any = None
    addresses: tuple[str, ...] = ()
    is_near: bool = False
    hosts: int = 1

    @property
    def name(self) -> str:
        """As a run's file has it."""
        return f"{type(self.executor).__name__}{'' if self.is_live else ', in batches'}"

    @property
    def is_live(self) -> bool:
        """Whether its workers are told and heard while they work."""
        return bool(self.addresses) or (self.is_near and self.workers is not None)

    def members(self, jobs: Sequence[Job], path: Path, wall_ns: int) -> list[Member]:
        """A worker for each job. `wall_ns` is the session's anchor."""
        if self.addresses:
            return [
                OverDask(job, wall_ns, self._pinned(address), path, self.client, address)
                for job, address in zip(jobs, self.addresses, strict=False)
            ]
        if self.is_live:
            return [OverFiles(job, wall_ns, self.executor.submit, path) for job in jobs]
        return [Batches(job, wall_ns, self.executor.submit, path) for job in jobs]

    def _pinned(self, address: str) -> Callable[..., Future[bytes]]:
        """Submits to one worker of the cluster, once: a task that Dask repeats elsewhere would be paid for twice."""
        options = {"pure": False, "retries": 0, "workers": [address], "allow_other_workers": False}
        submit: Callable[..., Future[bytes]] = self.client.get_executor(**options).submit
        return submit


def check(executor: object) -> None:
    """Raises SetupError for what is no executor of processes, as far as it shows."""
    if isinstance(executor, ThreadPoolExecutor):
        raise SetupError(THREADS)
    if type(executor).__module__.startswith("distributed") and hasattr(executor, "get_executor"):
        raise SetupError("executor is a Dask client: give client.get_executor().")
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "submit", None))):
        raise SetupError(f"executor is {kinds.kind(executor)}: give a concurrent.futures.Executor of processes.")


async def survey(executor: Executor, places: Iterable[Mapping[str, Address]], path: Path, *, is_open: bool) -> Crew:
    """What an executor has, from its workers themselves, before anything is sent.

    path: the run's file. is_open: whether arrivals have their own times. Raises SetupError where they cannot do it: no
    workers, threads of this process, no holystream_nb or another version, an address that they do not reach.
    """
    view = getattr(executor, "view", None)
    if getattr(view, "retries", 0):
        raise SetupError(
            "This view repeats what an engine loses, and nobody would count those requests: set its retries to 0."
        )
    if view is not None and type(view).__name__ == "DirectView" and len(view) > 1:
        raise SetupError("A direct view gives every engine the same work: give client.load_balanced_view().executor.")
    client = getattr(executor, "_client", None) if type(executor).__name__ == "ClientExecutor" else None
    ask = partial(_ask_dask, client) if client is not None else partial(_ask, executor)
    versions = await ask(pkgutil.resolve_name, "holystream_nb:__version__")
    addresses = tuple(versions) if client is not None else ()
    _check_versions(type(executor).__name__, versions.values())
    local = sorted({url for place in places for each in place.values() if is_loopback(url := each.base_url or "")})
    seen, is_near = await _looked(ask, local, path)
    _check_around(seen)
    crew = Crew(executor, _count(executor, versions), client, addresses, is_near, len({around.host for around in seen}))
    if is_open and not crew.is_live:
        raise SetupError(
            f"rate= needs workers that can be told of every arrival, and those of {type(executor).__name__} "
            f"{'do not see the folder of the run' if crew.workers else 'are not known by number'}: give "
            "concurrency=, or a Dask cluster."
        )
    return crew


Ask = Callable[..., Awaitable[dict[Any, Any]]]


def _count(executor: Executor, answers: Mapping[Any, Any]) -> int | None:
    most = getattr(executor, "_max_workers", None)
    return most if isinstance(most, int) and most > 0 else len(answers) if _is_dask(executor) else None


def _is_dask(executor: Executor) -> bool:
    return type(executor).__name__ == "ClientExecutor"


async def _ask(executor: Executor, function: Callable[..., Any], *args: Any) -> dict[Any, Any]:
    """What each worker of a pool answers, or its exception, as far as each takes one of the tasks."""
    count = getattr(executor, "_max_workers", None) or 1
    try:
        futures = [executor.submit(function, *args) for _ in range(count)]
    except RuntimeError as exc:
        raise SetupError(f"This executor takes no work ({type(exc).__name__}): give a new one.") from exc
    waiting = [asyncio.wrap_future(future) for future in futures]
    try:
        async with asyncio.timeout(_ANSWER_S):
            found = await asyncio.gather(*waiting, return_exceptions=True)
    except TimeoutError:
        raise SetupError(
            f"The workers of this executor did not answer within {_ANSWER_S:g} s: they are busy, or gone; {_NOTHING}."
        ) from None
    finally:
        for future in futures:
            future.cancel()
    return dict(enumerate(found))


async def _ask_dask(client: Any, function: Callable[..., Any], *args: Any) -> dict[Any, Any]:
    """What each worker process of a cluster answers, by its address; a busy one answers too."""
    if client.status != "running":
        raise SetupError(f"This Dask client is {client.status}: give an executor of one that runs.")

    async def go() -> dict[str, Any]:
        answers: dict[str, Any] = await client.run(function, *args, on_error="return", asynchronous=True)
        return answers

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go(), client.loop.asyncio_loop))


def _check_versions(name: str, answers: Iterable[Any]) -> None:
    found = list(answers)
    if not found:
        raise SetupError(f"{name} has no workers: start some, and run it again.")
    for each in found:
        if isinstance(each, str):
            continue
        if isinstance(each, BrokenExecutor | CancelledError | asyncio.CancelledError):
            raise SetupError(f"This executor is broken ({type(each).__name__}): {GO_ON.partition(' and')[0]}.")
        said = f"{type(each).__name__}: {each}"
        if (
            "ModuleNotFoundError" in said
            or "ImportError" in said
            or getattr(each, "ename", "") == "ModuleNotFoundError"
        ):
            raise SetupError(
                f"The workers of {name} cannot import holystream_nb: install holystream_nb=={__version__} there; "
                f"{_NOTHING}."
            )
        raise SetupError(f"The workers of {name} fail ({said.splitlines()[0]}): {_NOTHING}.")
    if others := sorted({each for each in found if each != __version__}):
        raise SetupError(
            f"The workers of {name} run holystream_nb {', '.join(others)}, and this process {__version__}: install the "
            f"same version there; {_NOTHING}."
        )


async def _looked(ask: Ask, local: Sequence[str], path: Path) -> tuple[list[Around], bool]:
    """What the workers see, and whether all of them see the run's folder, and this process what they write there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(8)
    file = path.with_name(f"{path.name}.seen-{mark}")
    file.write_text(mark, "utf-8")
    try:
        answers = (await ask(look, local, str(file), mark, _STAY_S)).values()
        written = set(file.read_text("utf-8").split()[1:])
    finally:
        file.unlink(missing_ok=True)
    failed = [each for each in answers if isinstance(each, BaseException)]
    if failed:
        raise SetupError(f"The workers of this executor fail ({type(failed[0]).__name__}: {failed[0]}): {_NOTHING}.")
    seen = [msgspec.json.decode(each, type=Around) for each in answers]
    return seen, all(around.mark in written for around in seen)


def _check_around(seen: Iterable[Around]) -> None:
    here = socket.gethostname()
    for around in seen:
        if around.host == here and around.pid == os.getpid():
            raise SetupError(THREADS)
        if around.silent and around.host != here:
            port = around.silent[0].split(":")[2].partition("/")[0]
            raise SetupError(
                f"The workers on {around.host} do not reach {around.silent[0]}, which is this machine's alone: give "
                f"the base_url of a service that they reach, or run `holystream-nb serve --port {port}` on each of "
                f"theirs and give base_url='http://127.0.0.1:{port}/v1'; {_NOTHING}."
            )


async def once(executor: Executor, function: Callable[..., bytes], *args: Any) -> bytes:
    """The result of one task. Raises HolystreamError where the executor has none."""
    try:
        future = executor.submit(function, *args)
    except RuntimeError as exc:
        raise HolystreamError(f"The executor takes no work ({type(exc).__name__}).") from exc
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        with suppress(Exception):
            future.cancel()
        raise
    except Exception as exc:
        raise HolystreamError(f"The executor's worker failed ({type(exc).__name__}: {exc}).") from exc
