"""One sitting of a plan: slots dealt, workers run, every record kept as it comes, the screen kept up to date."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Final

import msgspec

from ...client.options import ClientOptions
from ...errors import HolystreamError, SetupError
from ...money.budget import Budget as SessionBudget
from ...money.exact import exactly
from ..values.journal import Log, mend, read
from ..values.plan import Plan
from ..values.record import SCHEMA, Contents, End, Header, Lost, Session, Trial
from ..values.schedule import Slot, blocks, chains, schedule, starts, warmups
from ..values.words import counted
from . import rtt
from .budget import Budget
from .dispatch import Dispatcher
from .estimate import Estimate, check_budget, estimate, tokens_of
from .executors import Crew, survey
from .fitting import Fitting
from .machine import session
from .pace import Pace
from .pool import Member, Pool
from .processes import Child
from .progress import Silent, View
from .tally import Tally
from .worker import Address, Answers, Job

WATCH_S: Final = 0.25


@dataclass(slots=True)
class Sitting:
    """A plan, the file it goes into, and who does it.

    before: what the file holds already. places: addresses by provider, for each worker in turn. executor: None is the
    local pool. workers: None is all of the executor's, or locally one for every 100 streams. answers: as in
    `worker.Job`. secret: as in `processes.Child`. budget: the session's, which all that is made here counts in.
    retry_failed: whether requests that failed are made again. enough: is told of every record, also of those the file
    holds, and says when that is enough. crew: what the executor has, once that is known.
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
    budget: SessionBudget | None = None
    retry_failed: bool = False
    enough: Callable[[Trial | Lost], bool] = lambda record: False
    crew: Crew | None = field(default=None, init=False)

    async def go(self) -> str:
        """Makes what is missing; says why it ended: complete, decided, stopped, max_cost, duration, failures,
        failed (every worker died), or "" where nothing was missing.

        Raises what ends a run before its time; what had finished is in the file.
        """
        if self.before is None:
            return await self._carry_out(None)
        log = Log(self.file, self.before.header.run, locked=True)
        try:
            self._take_over(log)
            self.before = read(self.file)
            return await self._carry_out(log)
        finally:
            log.close()

    def _take_over(self, log: Log) -> None:
        """What a run that broke off left: what had ended counts, and what had begun may have been paid for."""
        begun = mend(self.file)
        worst = estimate(self.plan, 1).per_request if begun else ()
        contents = read(self.file)
        session = contents.sessions[-1].number
        listed = {(each.session, each.worker, each.model, each.prompt, each.repeat, each.way) for each in contents.lost}
        for worker, slot, at in begun:
            lost = Lost(
                model=self.plan.models[slot.model],
                prompt=slot.prompt,
                repeat=slot.repeat,
                way=list(self.plan.ways)[slot.way],
                session=session,
                worker=worker,
                begun=at,
                usd=worst[slot.model],
                why="the run broke off: its process ended, or its file could not be written",
            )
            if (session, worker, lost.model, lost.prompt, lost.repeat, lost.way) not in listed:
                log.write(lost)

    async def _carry_out(self, log: Log | None) -> str:
        before = self.before
        known = {} if before is None else before.header.plan.fits
        self.plan = plan = msgspec.structs.replace(self.plan, fits=known)
        done = self._done()
        arms = self._arms(done)
        if not arms:
            return ""
        if before is not None and any(self.enough(trial) for trial in self._kept(before)):
            return ""
        missing = max(0, plan.requests - len(done))
        if self.executor is not None:
            self.crew = await survey(self.executor, self.places, self.file, is_open=plan.rate is not None)
        count = self._count(missing)
        tally = Tally(plan)
        if before is not None:
            for trial in (*before.trials, *before.warmups):
                (tally.pay if trial.error and self.retry_failed else tally.add)(trial)
            gone: list[Trial | Lost] = [*before.retried, *before.lost]
            for each in gone:
                tally.pay(each)
            tally.resume()
        expected = estimate(plan, count, missing or None)
        spent = before.spent if before is not None else Decimal(0)
        check_budget(plan, expected, spent, self.budget)
        _check_rows(plan, self.places[0], self._tokens(), is_paired=self.answers in ("compared", "kept"))
        sitting = self._session(count)

        def now() -> int:
            return time.perf_counter_ns() - sitting.origin_ns

        with exactly():
            left = None if plan.max_cost is None else plan.max_cost - spent
        budget = Budget(left, expected.per_request, is_limit=expected.is_limit, session=self.budget)
        paces = _paces(plan, self.places[0], sitting.origin_ns)
        fitting = Fitting(
            plan,
            self.places[0],
            self.secret,
            budget,
            paces,
            sitting.number,
            sitting.origin_ns,
            now,
        )
        self.plan = plan = await fitting.fitted()
        run = before.header.run if before is not None else secrets.token_hex(6)
        log = log or self._new(sitting, run)
        if before is not None:
            log.write(sitting)
        for warmup in fitting.records:
            log.write(warmup)
            tally.add(warmup)
        dispatcher = Dispatcher(
            plan,
            blocks(plan, done),
            budget,
            paces,
            now=now,
            session=sitting.number,
            tokens=self._tokens(),
            planned=missing or None,
            streams=plan.concurrency or 1,
            together=self.answers in ("compared", "kept"),
        )
        warm = warmups(plan, arms)
        jobs = [self._job(number, begin, len(warm), sitting, run) for number, begin in enumerate(starts(plan, count))]
        try:
            return await self._work(jobs, warm, dispatcher, sitting, log, tally, expected)
        finally:
            log.close()

    def _done(self) -> set[tuple[int, int, int, int]]:
        """What the file holds already, without failures where they are made again."""
        models = {model: number for number, model in enumerate(self.plan.models)}
        ways = {way: number for number, way in enumerate(self.plan.ways)}
        return {
            (models[trial.model], trial.prompt, trial.repeat, ways[trial.way])
            for trial in (self._kept(self.before) if self.before is not None else ())
        }

    def _kept(self, before: Contents) -> Iterable[Trial]:
        """What an earlier sitting made that is not made again."""
        return (trial for trial in before.trials if not (trial.error and self.retry_failed))

    def _tokens(self) -> Callable[[Slot], int]:
        """What a slot's request is estimated to use, where somebody limits that."""
        if all(place.tokens_per_minute is None for place in self.places[0].values()):
            return lambda slot: 0
        known = [tokens_of(self.plan, prompt) for prompt in range(len(self.plan.prompts))]
        return lambda slot: known[slot.prompt]

    def _arms(self, done: set[tuple[int, int, int, int]]) -> set[tuple[int, int]]:
        """Those that lack something: all where only the duration ends it."""
        if not self.plan.repeats:
            return set(product(range(len(self.plan.models)), range(len(self.plan.ways))))
        return {(slot.model, slot.way) for block in schedule(self.plan) for slot in block if slot.id not in done}

    def _count(self, missing: int) -> int:
        """How many workers there are: no more than there is to do at once, or than the executor has."""
        known = None if self.crew is None else self.crew.workers
        most = self.workers or known or self.plan.workers
        most = most if known is None else min(most, known)
        return max(1, min(most, missing or most, self.plan.concurrency or most))

    async def _work(
        self,
        jobs: list[Job],
        warm: list[Slot],
        dispatcher: Dispatcher,
        sitting: Session,
        log: Log,
        tally: Tally,
        expected: Estimate,
    ) -> str:
        def keep(line: bytes, record: Trial | Lost) -> None:
            log.write_raw(line) if isinstance(record, Trial) else log.write(record)
            tally.add(record)
            if self.enough(record):
                dispatcher.close("decided")

        losses: list[str] = []
        members: Sequence[Member] = (
            [Child(job, self.file, self.secret) for job in jobs]
            if self.crew is None
            else self.crew.members(jobs, self.file, sitting.wall_ns)
        )
        pool = Pool(members, self.plan, sitting.origin_ns, warm, dispatcher, keep, losses)
        work = asyncio.ensure_future(pool.run())
        # The workers of an executor may be on another network than this process.
        trips = asyncio.ensure_future(rtt.beside(self.places[0], sitting, log.write)) if self.executor is None else None
        self.screen.begin(tally, expected, work.cancel)
        reason = "failed"
        try:
            is_whole = await self._watched(work, tally, dispatcher)
            reason = ("failed" if dispatcher.is_cut_off else dispatcher.reason) if is_whole else "stopped"
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
                log.write(End(sitting.number, reason, tuple(losses), tuple(dispatcher.stopped.values())))
        return reason

    async def _watched(self, work: asyncio.Future[None], tally: Tally, dispatcher: Dispatcher) -> bool:
        """Draws until the work is done; False if somebody ended it through the screen."""
        try:
            while not work.done():
                await asyncio.wait([work], timeout=WATCH_S)
                tally.stops = list(dispatcher.stopped.values())
                if dispatcher.closed == "duration" and tally.state == "running":
                    self.screen.say("the time is up: waiting for the answers that run")
                if self.plan.until_decided and dispatcher.stopped:
                    dispatcher.close("failures")
                self.screen.update()
        except asyncio.CancelledError:
            work.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await work
            raise
        if work.cancelled():
            return False
        work.result()
        return True

    def _job(self, worker: int, begin: tuple[float, ...], warm: int, sitting: Session, run: str) -> Job:
        return Job(
            plan=self.plan,
            worker=worker,
            starts=begin,
            warmups=warm,
            session=sitting.number,
            origin_ns=sitting.origin_ns,
            addresses=dict(self.places[worker % len(self.places)]),
            run=run,
            answers=self.answers,
        )

    def _session(self, workers: int) -> Session:
        addresses = {name: address.base_url or "" for place in self.places for name, address in place.items()}
        return session(
            number=len(self.before.sessions) if self.before else 0,
            addresses=addresses,
            executor="processes" if self.crew is None else self.crew.name,
            workers=workers,
            origin_ns=time.perf_counter_ns(),
            wall_ns=time.time_ns(),
        )

    def _new(self, sitting: Session, run: str) -> Log:
        """The run's file with its first line."""
        header = Header(schema=SCHEMA, plan=self.plan, plan_hash=self.plan.hash, session=sitting, run=run)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            log = Log(self.file, run, locked=True)
            if log.is_empty:
                log.write(header)
                return log
        except OSError as exc:
            raise SetupError(f"{self.file} cannot be written ({exc.strerror}): give another path.") from exc
        log.close()
        raise SetupError(f"{self.file} is there already, from another run: give another path.")


def _check_rows(plan: Plan, places: Mapping[str, Address], tokens: Callable[[Slot], int], *, is_paired: bool) -> None:
    """Raises SetupError where a limit on a minute is less than what one user asks in a row, which is begun as one."""
    for row in schedule(msgspec.structs.replace(plan, repeats=1)):
        for slots in [row] if is_paired else chains(plan, row):
            for name, place in places.items():
                mine = [slot for slot in slots if plan.split(plan.models[slot.model])[0] == name]
                most = len(mine) * (1 + plan.retries)
                few = place.requests_per_minute is not None and most > max(1, place.requests_per_minute)
                short = place.tokens_per_minute is not None and sum(map(tokens, mine)) > place.tokens_per_minute
                if len(mine) > 1 and (few or short):
                    raise SetupError(
                        f"{counted(len(mine), 'request')} to {name} belong together, and "
                        f"{'requests_per_minute' if few else 'tokens_per_minute'} allows fewer: raise it, or ask "
                        "shorter conversations."
                    )


_latest: Final[dict[tuple[str, str | None], tuple[int, Pace]]] = {}
"""Of each provider at its address, what this process's latest run sent there, and the origin of its stamps."""


def _paces(plan: Plan, places: Mapping[str, Address], origin_ns: int) -> dict[str, Pace]:
    """The limits on each provider's minute, of which a run just before has used a part: the load of a sweep before."""
    found = {}
    for name, place in places.items():
        key = name, place.base_url
        found[name] = pace = Pace(place.requests_per_minute, place.tokens_per_minute, retries=plan.retries)
        if key in _latest:
            origin, before = _latest[key]
            pace.go_on(before, origin_ns - origin)
        _latest[key] = origin_ns, pace
    return found


async def measure(plan: Plan, urls: Sequence[str]) -> tuple[list[Trial], Session]:
    """Runs a plan against simulators, one for each worker in turn; nothing is shown or kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.jsonl"
        await Sitting(plan, file, Silent(), [{"simulator": Address(url)} for url in urls]).go()
        contents = read(file)
    return list(contents.trials), contents.sessions[-1]
