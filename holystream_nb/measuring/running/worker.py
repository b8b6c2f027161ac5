"""What does a run's requests: one loop, a client for each provider, a record for each request as it ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Literal, cast

import msgspec

from ...client.client import Client
from ...client.options import ClientOptions, client_options
from ...defaults import HOUSE, over
from ...errors import BadRequest, HolystreamError, KeyRefused, RateLimited, ServiceError, SetupError, UnknownModel
from ...events import Finish, OtherChoice, ToolCallEnd, Usage
from ...facts import Wire
from ...live.beside import ended
from ...parts import Opening
from ...providers.table import provider as named_provider
from ...providers.table import providers
from ...reply import OURS, Reply, TransportChoice
from ..values.plan import Plan
from ..values.record import USAGE, Begun, Ready, Trial, Warmup
from ..values.schedule import Lease, Slot
from ..values.service import service_figures
from .conversations import Conversations
from .intake import Intake
from .row import Row
from .similarity import Pairs

_HOPELESS: Final = (KeyRefused, UnknownModel, BadRequest, SetupError)
_NOT_OUTPUT: Final = (Usage, Finish, OtherChoice, ToolCallEnd)
_LOOK_S: Final = 0.2
"""How often a stream that waits for a limiter looks whether it still may."""

Answers = Literal["dropped", "compared", "kept", "only kept"]


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a provider's models are, and how to come by the key: the name of its variable, or none.

    `key` is only ever the simulator's, which this machine made for itself. `options` are a Client's that are no secret;
    the limits on requests and tokens a minute are kept for all workers together, by their parent.
    """

    base_url: str | None = None
    key_variable: str | None = None
    key: str | None = None
    options: dict[str, Any] = {}  # msgspec copies it
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Job(msgspec.Struct, frozen=True):
    """All a worker needs, but for the slots that it is leased.

    starts: the first moment of each of its streams, in s after the start (closed loop; else none). warmups: how many
    of its first leases are warm-ups. origin_ns: what its records' stamps count from, in ns of this process's
    `time.perf_counter_ns`.
    answers: what becomes of them: nothing, or the two of a pair are compared, or compared and kept, or only kept.
    """

    plan: Plan
    worker: int
    starts: tuple[float, ...]
    warmups: int
    session: int
    origin_ns: int
    addresses: dict[str, Address]
    path: str = ""
    run: str = ""
    answers: Answers = "dropped"


class Worker:
    """Does what its intake brings. `emit` gets a line as each request begins, and its record as it ends; `clients` are
    filled, and used if they are there.

    `secret` has what is secret of how each provider is reached. Used in one event loop: `warm_up()`, then `run()`.
    """

    def __init__(
        self,
        job: Job,
        emit: Callable[[Begun | Trial | Warmup], None],
        clients: dict[str, Client],
        intake: Intake,
        secret: Mapping[str, ClientOptions] | None = None,
    ) -> None:
        self._job = job
        self._plan = job.plan
        self._emit = emit
        self._secret = secret or {}
        self._chosen = [job.plan.split(model) for model in job.plan.models]
        self._clients = clients
        for provider, _ in self._chosen:
            if provider not in clients:
                clients[provider] = self._client(provider)
        self._intake = intake
        self._pairs = Pairs()
        self._rows: defaultdict[tuple[int, int], Row] = defaultdict(Row)
        """Failures in a row of each arm here."""
        self._start = job.origin_ns
        self._conversations = Conversations(job.plan)
        self._filled: set[tuple[int, int, int, int]] = set()

    def _client(self, provider: str) -> Client:
        address = self._job.addresses.get(provider, Address())
        given = client_options(
            base_url=address.base_url,
            api_key=address.key or (os.environ.get(address.key_variable) if address.key_variable else None),
            **address.options,
        )
        # Each stream may leave a connection of each way behind, and a full pool would close them.
        connections = (len(self._job.starts) or 200) * len(self._plan.ways)
        pool = "low" if connections < 10 else "medium" if connections < 50 else "high"
        limits = ClientOptions(retries=self._plan.retries, pool=pool)
        options = over(limits, over(self._secret.get(provider, limits), given))
        # A provider that no table has is called by its host; who is there, its address says.
        known = named_provider(provider if provider in providers() else HOUSE)
        unlimited = replace(known, requests_per_minute=None, tokens_per_minute=None)
        return Client.of(unlimited, replace(options, requests_per_minute=None, tokens_per_minute=None))

    async def warm_up(self) -> Ready:
        """One request, or as many as the plan says, for each arm: arms side by side, one after another in each."""
        turns: dict[tuple[int, int], asyncio.Lock] = {}
        running: list[asyncio.Task[HolystreamError | None]] = []
        for _ in range(self._job.warmups):
            leases = await self._intake.take()
            if not leases:
                break
            (lease,) = leases
            turn = turns.setdefault((lease.slot.model, lease.slot.way), asyncio.Lock())
            running.append(asyncio.create_task(self._warm(lease, turn)))
            if any(task.done() and isinstance(task.result(), _HOPELESS) for task in running):
                break
        for error in await asyncio.gather(*running):
            if isinstance(error, _HOPELESS):
                return Ready(self._job.worker, type(error).__name__, str(error))
        return Ready(self._job.worker)

    async def _warm(self, lease: Lease, turn: asyncio.Lock) -> HolystreamError | None:
        slot = lease.slot
        text = f"warm-up {self._job.session} {self._job.worker} {-1 - slot.repeat} {slot.model}"
        async with turn:
            await self._allowed(lease)
            error, _ = await self._ask(Warmup, slot, text, stream=0)
            return error

    async def run(self, start: int) -> None:
        """Does what comes in from the moment `start` on (ns after the session's origin), until nothing more comes."""
        self._start = self._job.origin_ns + start
        if self._job.starts:
            await asyncio.gather(*(self._stream(number, wait_s) for number, wait_s in enumerate(self._job.starts)))
        else:
            await self._arrivals()

    @property
    def _now(self) -> int:
        return time.perf_counter_ns() - self._job.origin_ns

    async def _until(self, seconds: float) -> None:
        """Sleeps until so many seconds after the start."""
        await asyncio.sleep(max(0.0, seconds - (time.perf_counter_ns() - self._start) / 1e9))

    async def _stream(self, number: int, wait_s: float) -> None:
        """One user of a closed loop: asks, waits for the whole answer, pauses if the plan says so, asks again."""
        await self._until(wait_s)
        ready = time.perf_counter_ns()
        while leases := await self._intake.take():
            for index, lease in enumerate(leases):
                if lease.slot.wait_s:
                    ready += round(lease.slot.wait_s * 1e9)
                    await asyncio.sleep(max(0.0, (ready - time.perf_counter_ns()) / 1e9))
                # What it waits for a limiter, here or for its lease, is its time in queue.
                submitted = ready if lease.not_before else None
                await self._trial(lease, stream=number, submitted=submitted, follows=index > 0)
                ready = time.perf_counter_ns()

    async def _arrivals(self) -> None:
        """An open loop: every request at its own time, whatever became of the others."""
        async with asyncio.TaskGroup() as running:
            while leases := await self._intake.take():
                (lease,) = leases
                await self._until(lease.slot.wait_s)
                due = self._start + round(lease.slot.wait_s * 1e9)
                submitted = due if lease.not_before else None
                running.create_task(self._trial(lease, stream=0, scheduled=due, submitted=submitted))

    async def _trial(
        self,
        lease: Lease,
        *,
        stream: int,
        scheduled: int | None = None,
        submitted: int | None = None,
        follows: bool = False,
    ) -> None:
        """One request that counts, when the limiter and the provider's last 429 allow it, unless it must not begin.

        follows: it goes on from the one before, by the same user.
        """
        await self._allowed(lease)
        slot, most = lease.slot, self._plan.max_failures
        if self._intake.is_off(slot, self._now, follows=follows):
            return
        if most is not None and len(self._rows[slot.model, slot.way]) >= most:
            await asyncio.sleep(_LOOK_S)  # the parent hears of it now, and may say that nothing more begins
            if self._intake.is_off(slot, self._now, follows=follows):
                return
        for earlier in self._conversations.forgotten(slot):
            await self._again(earlier, stream)
            submitted = None
        if (cold := self._plan.filler(slot.way)) is not None:
            first = msgspec.structs.replace(slot, way=cold)
            if first.id not in self._filled:
                submitted = None
                if (failure := await self._again(first, stream))["error"]:
                    self._unfilled(slot, failure)
                    return
            self._filled.discard(first.id)
        _, fields = await self._ask(Trial, slot, slot.repeat, stream=stream, scheduled=scheduled, submitted=submitted)
        if self._plan.caches and not fields["error"]:
            self._filled.add(slot.id)

    async def _again(self, slot: Slot, stream: int) -> dict[str, Any]:
        """A request that counts elsewhere, or failed, and that another one needs: made as a warm-up, kept apart."""
        await self._allowed(Lease(slot))
        apart = msgspec.structs.replace(slot, repeat=-1 - self._plan.warmup - slot.repeat)
        _, fields = await self._ask(Warmup, apart, slot.repeat, stream=stream)
        return fields

    def _unfilled(self, slot: Slot, failure: dict[str, Any]) -> None:
        """A warm request whose cache nothing filled is not sent: it failed as what was to fill it did, at no cost."""
        self._emit(Begun(slot, self._now))
        said = f"Not sent: what was to fill its cache failed ({failure['message']})"
        free = {"usd": Decimal(0), "cny": Decimal(0), "stated_usd": None, "prompt_tokens": None, "output_tokens": None}
        own = {"way": list(self._plan.ways)[slot.way], "repeat": slot.repeat, "message": said}
        self._emit(Trial(**{**failure, **own, **free, "retries": 0, "resent": 0}))

    async def _allowed(self, lease: Lease) -> None:
        provider = self._chosen[lease.slot.model][0]
        while (wait := max(lease.not_before, self._intake.pauses.get(provider, 0)) - self._now) > 0:
            if self._intake.until is not None and self._now >= self._intake.until:
                return
            await asyncio.sleep(min(wait / 1e9, _LOOK_S))

    async def _ask(
        self,
        record: type[Trial],
        slot: Slot,
        repeat: int | str,
        *,
        stream: int,
        scheduled: int | None = None,
        submitted: int | None = None,
    ) -> tuple[HolystreamError | None, dict[str, Any]]:
        """One request with its record: its error, if any, and the record's fields."""
        begun = self._now
        self._emit(Begun(slot, begun))
        reply, error, events = await self._answer(slot, repeat, scheduled)
        over = time.perf_counter_ns()
        fields = self._fields(slot, reply, error, events, over=over, stream=stream)
        if submitted is not None:
            fields["submitted"] = submitted - self._job.origin_ns
        if record is Trial and self._job.answers != "dropped":
            fields |= self._compared(slot, reply.text, failed=bool(fields["error"]))
        self._rows[slot.model, slot.way].add(begun, failed=bool(fields["error"]))
        if isinstance(error, RateLimited) and error.retry_after:
            self._intake.pause(self._chosen[slot.model][0], self._now + round(error.retry_after * 1e9))
        self._emit(record(**fields))
        return error, fields

    def _compared(self, slot: Slot, text: str, *, failed: bool) -> dict[str, Any]:
        """The answer, if it is kept; and where it is the second whole one of its pair, how alike the two are."""
        kept = {} if self._job.answers == "compared" else {"text": text}
        if failed or self._job.answers == "only kept":
            return kept
        return {**kept, **self._pairs.compared(slot.prompt, slot.repeat, text)}

    async def _answer(
        self, slot: Slot, repeat: int | str, scheduled: int | None
    ) -> tuple[Reply, HolystreamError | None, list[int]]:
        """The reply, its error, and how many output events each distinct read brought."""
        provider, model = self._chosen[slot.model]
        messages = self._conversations.messages(slot, repeat)
        wire, transport = list(self._plan.ways.values())[slot.way]
        events: list[int] = []
        last = -1
        error: HolystreamError | None = None
        async with (
            self._connected(provider) as client,
            client.stream(
                messages,
                model=model,
                transport=cast(TransportChoice, transport),
                wire=cast(Wire, wire) if wire else None,
                timeout=self._plan.timeout,
                scheduled=scheduled,
                parameters=self._plan.parameters_of(slot.prompt, self._plan.models[slot.model]),
            ) as stream,
        ):
            try:
                async for event in stream:
                    if isinstance(event, _NOT_OUTPUT):
                        continue
                    if event.read == last:
                        events[-1] += 1
                    else:
                        last = event.read
                        events.append(1)
            except HolystreamError as exc:
                error = exc
        self._conversations.remember(slot, repeat, messages, stream.reply, failed=error is not None)
        return stream.reply, error, events

    @asynccontextmanager
    async def _connected(self, provider: str) -> AsyncIterator[Client]:
        """The provider's client with its connections, or a new one that has none yet."""
        if self._plan.reuse:
            yield self._clients[provider]
        else:
            async with self._client(provider) as client:
                yield client

    def _fields(
        self, slot: Slot, reply: Reply, error: HolystreamError | None, events: list[int], *, over: int, stream: int
    ) -> dict[str, Any]:
        """A record's fields. over: when the answer or its failure was known; a good one's end is its last output."""
        timing, usage, cost, origin = reply.timing, reply.usage, reply.cost, self._job.origin_ns

        def since(stamp: int | None) -> int | None:
            return None if stamp is None else stamp - origin

        reads = [read - origin for read in timing.reads]
        word, message = _outcome(reply, error)
        last = timing.reads[-1] if timing.reads and not word else over
        free = _is_free(reply, error)
        way, (_, transport) = list(self._plan.ways.items())[slot.way]
        return {
            "model": self._plan.models[slot.model],
            "prompt": slot.prompt,
            "repeat": slot.repeat,
            "way": way,
            "wire": reply.wire,
            "transport_used": "" if reply.transport == transport else reply.transport,
            "session": self._job.session,
            "worker": self._job.worker,
            "stream": stream,
            "submitted": since(timing.submitted),
            "scheduled": since(timing.scheduled),
            "permit": since(timing.permit),
            "sent": since(timing.sent),
            "headers": since(timing.headers),
            "first_answer": since(timing.first_answer),
            "end": since(last),
            "reads": [*reads[:1], *(after - before for before, after in pairwise(reads))],
            "events": [] if all(count == 1 for count in events) else events,
            "bytes": timing.bytes,
            "retries": timing.retries,
            "resent": timing.resent,
            **_opening(timing.opening),
            "written": since(timing.written),
            "prompt_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cached_tokens": usage.cached_tokens,
            "visible_tokens": timing.visible_tokens,
            "first_chunk_tokens": timing.first_chunk_tokens,
            "token_source": USAGE if usage.exact else "text",
            "characters": len(reply.text) + len(reply.reasoning),
            "finish_reason": reply.finish_reason,
            "ended": ended(reply),
            "error": word,
            "message": message,
            "status": getattr(error, "status", None),
            "retry_after": getattr(error, "retry_after", None),
            "cache_write_tokens": usage.cache_write_tokens,
            "other_tokens": usage.other_tokens,
            "stated_usd": cost.stated_usd,
            "cost_exact": free or cost.exact,
            "usd": Decimal(0) if free else cost.usd,
            "cny": Decimal(0) if free else cost.cny,
            "price_source": cost.source,
            "price_as_of": cost.as_of,
            "price_note": cost.note,
            "response_id": reply.request_id,
            "service": service_figures(reply.timings),
        }


def _opening(opening: Opening | None) -> dict[str, int | None]:
    """A record's fields of how its connection was opened."""
    if opening is None:
        return {}
    known = {name: getattr(opening, name) for name in ("dns", "tcp", "tls", "upgrade")}
    return {**known, "tunnel": opening.proxy}


def _is_free(reply: Reply, error: HolystreamError | None) -> bool:
    """Whether the service refused the request, for which nobody is charged."""
    return isinstance(error, ServiceError) and not reply.timing.reads


def _outcome(reply: Reply, error: HolystreamError | None) -> tuple[str, str]:
    """ "" for a whole answer with output; else what went wrong: an error's class, `truncated`, `empty`."""
    if error is not None:
        return type(error).__name__, str(error)
    if not reply.timing.reads:
        picture = "Only a picture came, and no text whose times could be measured."
        return "empty", picture if reply.images else "The answer ended without any output."
    if reply.finish_reason in OURS:
        return reply.finish_reason or "truncated", "The answer ended without saying so."
    return "", ""
