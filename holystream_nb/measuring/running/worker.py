"""What a child process does: one loop, a client for each provider, its share of the trials, a line for each as it ends.

`python -m holystream_nb.measuring.running.worker` reads its Job as the first line of standard input, keys and other
secrets as the second, warms up, says so in its part-file, and begins at the moment that the third line names,
`{"start_ns": …}`. It lives as long as its standard input: the parent ends it by closing that, and so does the parent's
own death.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
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
from ...providers.secret import Secrets
from ...providers.table import providers
from ...reply import OURS, Reply, TransportChoice
from ..values.journal import Log
from ..values.plan import Plan
from ..values.record import USAGE, Done, Line, Ready, Trial, Warmup
from ..values.schedule import Share, Slot
from .budget import Budget
from .similarity import similarity

_HOPELESS: Final = (KeyRefused, UnknownModel, BadRequest, SetupError)
_NOT_OUTPUT: Final = (Usage, Finish, OtherChoice, ToolCallEnd)
_TOO_DEAR: Final = HolystreamError("The request was not sent: it would pass max_cost.")


Answers = Literal["dropped", "compared", "kept"]


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a provider's models are, and how to come by the key: the name of its variable, or none.

    `key` is only ever the simulator's, which this machine made for itself. `options` are a Client's that are no secret.
    """

    base_url: str | None = None
    key_variable: str | None = None
    key: str | None = None
    options: dict[str, Any] = {}  # msgspec copies it


class Job(msgspec.Struct, frozen=True):
    """All a worker needs.

    origin_ns: what its records' stamps count from, in ns of this process's `time.perf_counter_ns`.
    budget, expected: USD for this share, and what each model's request is expected to cost; None where unknown.
    answers: what becomes of them: nothing, or the two of a pair are compared, or compared and kept.
    """

    plan: Plan
    share: Share
    session: int
    origin_ns: int
    addresses: dict[str, Address]
    path: str = ""
    budget: Decimal | None = None
    expected: tuple[Decimal | None, ...] = ()
    answers: Answers = "dropped"


class Worker:
    """A share of a plan. `emit` gets every record as it is known; `clients` are filled, and used if they are there.

    `secret` has what is secret of how each provider is reached. Used in one event loop: `warm_up()`, then `run()`,
    which returns why it ended and what it did not begin.
    """

    def __init__(
        self,
        job: Job,
        emit: Callable[[Trial | Warmup], None],
        clients: dict[str, Client],
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
        self._budget = Budget(job.budget, job.expected)
        self._pauses: dict[str, float] = {}
        self._single: dict[tuple[int, int], str] = {}
        self._earlier: dict[int, str] = {}
        self._start = job.origin_ns

    def _client(self, provider: str) -> Client:
        address = self._job.addresses.get(provider, Address())
        given = client_options(
            base_url=address.base_url,
            api_key=address.key or (os.environ.get(address.key_variable) if address.key_variable else None),
            **address.options,
        )
        # Each stream may leave a connection of each way behind, and a full pool would close them.
        connections = (len(self._job.share.starts) or 200) * len(self._plan.ways)
        pool = "low" if connections < 10 else "medium" if connections < 50 else "high"
        limits = ClientOptions(retries=self._plan.retries, pool=pool)
        options = over(limits, over(self._secret.get(provider, limits), given))
        # A provider that no table has is called by its host; who is there, its address says.
        return Client.of(provider if provider in providers() else HOUSE, options)

    async def warm_up(self, warmed: set[tuple[int, int]]) -> Ready:
        """One request, or as many as the plan says, for each arm of the share that is not `warmed`, side by side.

        An arm is the index of a model and that of a way.
        """
        share = self._job.share
        arms = sorted({(slot.model, slot.way) for slot in share.slots} - warmed)
        for error in await asyncio.gather(*(self._warm(*arm) for arm in arms)):
            if isinstance(error, _HOPELESS):
                return Ready(share.worker, type(error).__name__, str(error))
        warmed.update(arms)
        return Ready(share.worker)

    async def _warm(self, model: int, way: int) -> HolystreamError | None:
        """One arm's warm-ups; the last one's error, which ends them where nothing can follow it."""
        error: HolystreamError | None = None
        for number in range(self._plan.warmup):
            text = f"warm-up {self._job.session} {self._job.share.worker} {number} {model}"
            error = await self._ask(Warmup, Slot(model, 0, -1 - number, 0.0, way), text, stream=0)
            if isinstance(error, _HOPELESS):
                break
        return error

    async def run(self, start: int, *, for_s: float | None = None) -> tuple[str, list[Slot]]:
        """Does the share from the moment `start` (ns of this process's clock); begins nothing `for_s` later."""
        self._start = start
        share = self._job.share
        slots = deque(share.slots)
        if share.starts:
            streams = (self._stream(number, wait_s, slots, for_s) for number, wait_s in enumerate(share.starts))
            ends = await asyncio.gather(*streams)
        else:
            ends = await self._arrivals(slots)
        return ("max_cost" if "max_cost" in ends else "complete"), list(slots)

    async def _until(self, seconds: float) -> None:
        """Sleeps until so many seconds after the start."""
        await asyncio.sleep(max(0.0, seconds - (time.perf_counter_ns() - self._start) / 1e9))

    async def _stream(self, number: int, wait_s: float, slots: deque[Slot], for_s: float | None) -> str:
        """One user of a closed loop: asks, waits for the whole answer, asks again."""
        await self._until(wait_s)
        while slots and (for_s is None or time.perf_counter_ns() - self._start < for_s * 1e9):
            slot = slots.popleft()
            await asyncio.sleep(slot.wait_s)
            if not await self._trial(slot, stream=number):
                slots.appendleft(slot)
                return "max_cost"
        return "complete"

    async def _arrivals(self, slots: deque[Slot]) -> list[str]:
        """An open loop: every request at its own time, whatever became of the others."""
        running: list[asyncio.Task[bool]] = []
        while slots:
            slot = slots.popleft()
            await self._until(slot.wait_s)
            scheduled = self._start + round(slot.wait_s * 1e9)
            running.append(asyncio.create_task(self._trial(slot, stream=0, scheduled=scheduled)))
        return ["complete" if begun else "max_cost" for begun in await asyncio.gather(*running)]

    async def _trial(self, slot: Slot, *, stream: int, scheduled: int | None = None) -> bool:
        """One request that counts, when the provider's last 429 allows it; False where the budget does not."""
        provider = self._chosen[slot.model][0]
        while (pause := self._pauses.get(provider, 0.0) - time.monotonic()) > 0:  # noqa: ASYNC110  # it may grow
            await asyncio.sleep(pause)
        return await self._ask(Trial, slot, slot.repeat, stream=stream, scheduled=scheduled) is not _TOO_DEAR

    async def _ask(
        self, record: type[Trial], slot: Slot, repeat: int | str, *, stream: int, scheduled: int | None = None
    ) -> HolystreamError | None:
        """One request with its record; its error, if any, which is `_TOO_DEAR` if it was not begun."""
        reserved = await self._budget.reserve(slot.model)
        if reserved is None:
            return _TOO_DEAR
        cost: Decimal | None = None
        resent = 0
        try:
            reply, error, events = await self._answer(slot, repeat, scheduled)
            over = time.perf_counter_ns()
            cost = Decimal(0) if _is_free(reply, error) else reply.cost.due_usd
            resent = reply.timing.resent
        finally:
            self._budget.settle(slot.model, reserved, cost, resent=resent)
        fields = self._fields(slot, reply, error, events, over=over, stream=stream)
        if record is Trial and self._job.answers != "dropped":
            fields |= self._compared(slot, reply.text, failed=bool(fields["error"]))
        self._emit(record(**fields))
        if isinstance(error, RateLimited) and error.retry_after:
            provider = self._chosen[slot.model][0]
            self._pauses[provider] = max(self._pauses.get(provider, 0.0), time.monotonic() + error.retry_after)
        return error

    def _compared(self, slot: Slot, text: str, *, failed: bool) -> dict[str, Any]:
        """The answer, if it is kept; and where it is the second whole one of its pair, how alike the two are."""
        kept = {"text": text} if self._job.answers == "kept" else {}
        pair = slot.prompt, slot.repeat
        if failed:
            return kept
        if pair not in self._single:
            self._single[pair] = text
            return kept
        other = self._single.pop(pair)
        strangers = [(prompt, answer) for prompt, answer in self._earlier.items() if prompt != slot.prompt]
        # The latest answers to two prompts: one of them is always to another prompt than the next pair's.
        self._earlier = dict([(slot.prompt, other), *strangers[:1]])
        unrelated = similarity(strangers[0][1], text) if strangers else None
        return {**kept, "similarity": similarity(other, text), "unrelated": unrelated}

    async def _answer(
        self, slot: Slot, repeat: int | str, scheduled: int | None
    ) -> tuple[Reply, HolystreamError | None, list[int]]:
        """The reply, its error, and how many output events each distinct read brought."""
        provider, model = self._chosen[slot.model]
        messages = self._plan.messages(slot.prompt, repeat, slot.way)
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
                parameters=self._plan.parameters,
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
            "worker": self._job.share.worker,
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


# A child process of the local pool


def handed_over(secret: Mapping[str, ClientOptions]) -> bytes:
    """What is secret, as the one line that goes through a child's standard input."""
    lines: dict[str, Any] = {}
    for label, options in secret.items():
        known: dict[str, Any] = {} if options.api_key is None else {"api_key": options.api_key.reveal()}
        for name in ("headers", "query"):
            pairs: Secrets = getattr(options, name)
            if pairs:
                known[name] = {each: value.reveal() for each, value in pairs}
        lines[label] = known
    return msgspec.json.encode(lines)


def main() -> None:
    """Runs one job and ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=dict[str, dict[str, Any]])
    secret = {provider: client_options(**known) for provider, known in given.items()}
    del given
    log = Log(Path(job.path))
    asyncio.run(_child(job, log.write, secret))
    log.close()
    # Not by the interpreter's own end: a thread still reads standard input.
    os._exit(0)


async def _child(job: Job, emit: Callable[[Line], None], secret: Mapping[str, ClientOptions]) -> None:
    begin: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    threading.Thread(target=_listen, args=(begin,), daemon=True).start()
    clients: dict[str, Client] = {}
    worker = Worker(job, emit, clients, secret)
    emit(await worker.warm_up(set()))
    # What lives now lives on: no collection looks at it again while there is something to measure.
    gc.collect()
    gc.freeze()
    reason, _ = await worker.run(await begin)
    for client in clients.values():
        await client.aclose()
    emit(Done(job.share.worker, reason))


def _listen(begin: asyncio.Future[int]) -> None:
    """Hands the parent's word to begin over; ends the process when the parent closes the pipe, or dies."""
    loop = begin.get_loop()
    for line in sys.stdin.buffer:
        loop.call_soon_threadsafe(begin.set_result, int(msgspec.json.decode(line)["start_ns"]))
    os._exit(0)


if __name__ == "__main__":
    main()
