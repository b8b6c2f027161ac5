"""One sitting of a plan: shares dealt, workers run, every record kept as it comes, the screen kept up to date."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from ...client.options import ClientOptions
from ...errors import HolystreamError
from ...money.budget import Budget
from ..values.journal import Log, mend, read
from ..values.plan import Plan
from ..values.record import SCHEMA, Contents, End, Header, Session, Trial, decode
from ..values.schedule import Share, shares
from . import batches, processes, rtt
from .estimate import Estimate, check_budget, estimate
from .machine import session
from .progress import Silent, View
from .tally import Tally
from .worker import Address, Answers, Job

WATCH_S: Final = 0.25


@dataclass(slots=True)
class Sitting:
    """A plan, the file it goes into, and who does it.

    before: what the file holds already. places: addresses by provider, for each worker in turn. executor: None is the
    local pool. workers: None is one for every 100 streams. answers: as in `worker.Job`. secret: as in `processes.run`.
    budget: the session's, which all that is made here counts in.
    """

    plan: Plan
    file: Path
    screen: View
    places: Sequence[Mapping[str, Address]]
    before: Contents | None = None
    executor: Executor | None = None
    workers: int | None = None
    answers: Answers = "dropped"
    secret: Mapping[str, ClientOptions] = field(default_factory=dict)
    budget: Budget | None = None

    async def go(self) -> str:
        """Makes what is missing; says why it ended: complete, stopped, max_cost, or "" where nothing was missing.

        Raises what ends a run before its time; what had finished is in the file.
        """
        plan = self.plan
        made = [*self.before.trials, *self.before.warmups] if self.before else []
        numbers = {model: number for number, model in enumerate(plan.models)}
        ways = {way: number for number, way in enumerate(plan.ways)}
        done = {(numbers[trial.model], trial.prompt, trial.repeat, ways[trial.way]) for trial in made}
        dealt = shares(plan, self.workers or plan.workers, done)
        if not dealt[0].slots:
            return ""
        tally = Tally(plan)
        for trial in made:
            tally.add(trial)
        tally.resume()
        missing = sum(len(share.slots) for share in dealt)
        expected = estimate(plan, len(dealt), missing)
        spent = sum((trial.due_usd or Decimal(0) for trial in made), Decimal(0))
        check_budget(plan, expected, spent, self.budget)
        sitting = self._session(len(dealt))
        own = None if plan.max_cost is None else plan.max_cost - spent
        limits = [each for each in (own, self.budget.left if self.budget is not None else None) if each is not None]
        left = min(limits) / len(dealt) if limits else None
        jobs = [self._job(share, sitting, expected, left) for share in dealt]
        log = self._open(sitting)
        try:
            return await self._work(jobs, sitting, log, tally, expected)
        finally:
            log.close()

    async def _work(self, jobs: list[Job], sitting: Session, log: Log, tally: Tally, expected: Estimate) -> str:
        def keep(line: bytes) -> None:
            known = decode(line)
            if isinstance(known, Trial):
                log.write_raw(line)
                tally.add(known)
                if self.budget is not None:
                    self.budget.add(known.due_usd or Decimal(0))

        if self.executor is None:
            work = asyncio.ensure_future(processes.run(jobs, self.file, keep, self.secret))
        else:
            work = asyncio.ensure_future(batches.run(jobs, sitting.wall_ns, self.executor, keep))
        # The workers of an executor may be on another network than this process.
        trips = asyncio.ensure_future(rtt.beside(self.places[0], sitting, log.write)) if self.executor is None else None
        self.screen.begin(tally, expected, work.cancel)
        reason, losses = "failed", list[str]()
        try:
            reason, losses = await self._watched(work)
        except asyncio.CancelledError:
            reason = "cancelled"
            raise
        except OSError as exc:
            raise HolystreamError(
                f"{self.file} cannot be written ({exc.strerror}); what had finished is kept."
            ) from exc
        finally:
            if trips is not None:
                trips.cancel()
                await asyncio.gather(trips, return_exceptions=True)
            with suppress(OSError):
                log.write(End(sitting.number, reason, tuple(losses)))
        return reason

    async def _watched(self, work: asyncio.Future[tuple[str, list[str]]]) -> tuple[str, list[str]]:
        """Draws until the work is done; `stopped` if somebody ended it through the screen."""
        try:
            while not work.done():
                await asyncio.wait([work], timeout=WATCH_S)
                self.screen.update()
        except asyncio.CancelledError:
            work.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await work
            raise
        return ("stopped", []) if work.cancelled() else work.result()

    def _job(self, share: Share, sitting: Session, expected: Estimate, budget: Decimal | None) -> Job:
        return Job(
            plan=self.plan,
            share=share,
            session=sitting.number,
            origin_ns=sitting.origin_ns,
            addresses=dict(self.places[share.worker % len(self.places)]),
            budget=budget,
            expected=expected.per_request,
            answers=self.answers,
        )

    def _session(self, workers: int) -> Session:
        addresses = {name: address.base_url or "" for place in self.places for name, address in place.items()}
        return session(
            number=len(self.before.sessions) if self.before else 0,
            addresses=addresses,
            executor="processes" if self.executor is None else type(self.executor).__name__,
            workers=workers,
            origin_ns=time.perf_counter_ns(),
            wall_ns=time.time_ns(),
        )

    def _open(self, sitting: Session) -> Log:
        if self.before is not None:
            mend(self.file)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        log = Log(self.file)
        header = Header(schema=SCHEMA, plan=self.plan, plan_hash=self.plan.hash, session=sitting)
        log.write(header if self.before is None else sitting)
        return log


async def measure(plan: Plan, urls: Sequence[str]) -> tuple[list[Trial], Session]:
    """Runs a plan against simulators, one for each worker in turn; nothing is shown or kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.jsonl"
        await Sitting(plan, file, Silent(), [{"simulator": Address(url)} for url in urls]).go()
        contents = read(file)
    return list(contents.trials), contents.sessions[-1]
