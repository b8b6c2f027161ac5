"""`POST /v1/chat/completions`: reads the request, then plays its script against the clock.

A raw ASGI endpoint, so that each event is stamped right before it is handed to the socket, and a client's leaving is
seen at once, also in a pause.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from email.utils import formatdate

from starlette.types import Receive, Scope, Send

from .answers import Answer, answer
from .chunks import completion
from .exchange import Exchange
from .faults import DROP
from .profiles import Schedule, schedule
from .records import Records
from .refusals import Refusal, error_body, failure, html_page
from .request import ChatRequest, read
from .script import Break, Pause, Stop, script

_BURST = 32
"""Writes without a pause before other streams, and the watch for the client's leaving, get their turn."""


@dataclass(frozen=True)
class Settings:
    """What a simulator is started with: a speed factor (inf: no waiting), a seed, the one key it accepts or None."""

    speed: float = 1.0
    seed: int = 0
    key: str | None = None


class Tries:
    """How often each failing request has been tried; forgotten after its success, and beyond the last 1,000."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def fails(self, identity: str, tries: int) -> bool:
        """Whether this try is among the first `tries` of its request."""
        made = self._counts.pop(identity, 0)
        if made >= tries:
            return False
        self._counts[identity] = made + 1
        if len(self._counts) > 1000:
            self._counts.popitem(last=False)
        return True


class Chat:
    """The endpoint."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings = settings
        self._records = records
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is None:
            exchange.record.disconnected()
            return
        record = exchange.record
        self._records.active.add(record.id)
        answering = asyncio.create_task(self._answer(exchange, body))
        watching = asyncio.create_task(_watch(exchange, answering))
        try:
            await asyncio.wait([answering])
            if not answering.cancelled():
                answering.result()
        except Exception:
            record.outcome = "broken"
            raise
        finally:
            self._records.active.discard(record.id)
            watching.cancel()
            answering.cancel()

    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        try:
            authorize(exchange.header("authorization"), self._settings.key)
            request = read(body, exchange.header("x-simulate"))
            speed = _speed(exchange.header("x-sim-speed"), self._settings.speed)
        except Refusal as refusal:
            await exchange.respond_json(refusal.status, refusal.error, "refused")
            return
        exchange.record.model, exchange.record.stream = request.profile.model, request.stream
        start = exchange.record.received_ns / 1e9
        if request.faults.head:
            await asyncio.sleep(request.faults.head)
            start += request.faults.head
        if await self._failed(exchange, request, body) or await _misplaced(exchange, request):
            return
        seed = self._settings.seed if request.seed is None else request.seed
        answers = [answer(request, seed, choice) for choice in range(request.choices)]
        pace = schedule(request.profile, speed, request.faults, f"pace {seed} {request.digest}")
        if request.stream and not request.faults.whole:
            await _play(exchange, request, answers, pace, start)
        else:
            await _wait_until(start + _duration(pace, answers))
            await exchange.respond_json(200, completion(request, answers), "complete")

    async def _failed(self, exchange: Exchange, request: ChatRequest, body: bytes) -> bool:
        """Answer with the failure that was asked for, if this try is to fail."""
        faults = request.faults
        if faults.refuse_usage and request.include_usage:
            status = int(faults.refuse_usage)
            refusal = Refusal(status, "Unsupported parameter: `stream_options`.", param="stream_options")
            await exchange.respond_json(status, refusal.error, "refused")
            return True
        if faults.fail is None or not self._tries.fails(_identity(exchange, body), faults.tries):
            return False
        if faults.fail == DROP:
            await exchange.break_off("dropped")
            return True
        headers = []
        if faults.retry_date is not None:
            headers = [("retry-after", formatdate(time.time() + faults.retry_date, usegmt=True))]
        elif faults.retry_after is not None or (faults.fail == 429 and not faults.no_retry_after):
            headers = [("retry-after", f"{1 if faults.retry_after is None else faults.retry_after:g}")]
        kind, data = error_body(faults.error_body or "openai", faults.fail)
        await exchange.respond(faults.fail, kind, data, "refused", headers)
        return True


def authorize(authorization: str, key: str | None) -> None:
    """Refuse a bad key: any other than `key`, and none, if that is set; else a placeholder, or bad…"""
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    if key is None and not authorization:
        return
    if scheme.lower() != "bearer" or not given:
        raise Refusal(401, "You didn't provide an API key: `Authorization: Bearer KEY` is expected.")
    bad = given.startswith("bad") or given == "YOUR_HOLYSHEEP_API_KEY"
    if given != key if key is not None else bad:
        raise Refusal(401, "Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key")


async def _watch(exchange: Exchange, answering: asyncio.Task[None]) -> None:
    """Note the client's leaving and end the answer."""
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    if exchange.record.outcome == "running":
        exchange.record.disconnected()
        answering.cancel()


async def _misplaced(exchange: Exchange, request: ChatRequest) -> bool:
    """Answer with something that is no chat completion, if that was asked for."""
    faults = request.faults
    if faults.redirect:
        port = exchange.header("host").rpartition(":")[2]
        location = [("location", f"http://localhost:{port}/v1/chat/completions")]
        await exchange.respond(int(faults.redirect), "text/plain", b"", "redirected", location)
    elif faults.html:
        await exchange.respond(200, "text/html; charset=utf-8", html_page("Welcome to a proxy").encode(), "refused")
    elif faults.error_200:
        await exchange.respond_json(200, failure(500), "refused")
    else:
        return False
    return True


async def _play(exchange: Exchange, request: ChatRequest, answers: list[Answer], pace: Schedule, start: float) -> None:
    """Stream the answer: each step when it is due, by an absolute schedule, so that late wake-ups do not add up."""
    charset = request.faults.charset or "utf-8"
    await exchange.head(200, f"text/event-stream; charset={charset}", [("cache-control", "no-cache")])
    due, beat, burst = start + pace.first, 0, 0
    for step in script(request, answers):
        if isinstance(step, Pause):
            due += step.seconds
            await asyncio.sleep(step.seconds)
            continue
        if isinstance(step, Stop):
            await exchange.end(step.outcome)
            return
        if isinstance(step, Break):
            await exchange.break_off(step.outcome)
            return
        while beat < step.beat:
            due += next(pace.gaps)
            beat += 1
        wait = due - time.perf_counter()
        burst += 1
        if wait > 0 or burst == _BURST:
            await asyncio.sleep(max(wait, 0))
            burst = 0
        *parts, last = step.pieces
        for part in parts:
            await exchange.write(part, ())
            await asyncio.sleep(0)
        await exchange.write(last, step.kinds)
    await exchange.end("complete")


async def _wait_until(due: float) -> None:
    await asyncio.sleep(max(due - time.perf_counter(), 0))


def _duration(pace: Schedule, answers: list[Answer]) -> float:
    """Seconds from the request to the last token of an answer that is not streamed."""
    longest = max(each.tokens for each in answers)
    return pace.first + sum(next(pace.gaps) for _ in range(longest - 1))


def _speed(header: str, default: float) -> float:
    """The speed factor of one request."""
    if not header:
        return default
    try:
        speed = math.inf if header == "max" else float(header)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise Refusal(
            400, f"Invalid value for X-Sim-Speed: a number above 0 or max, not `{header}`.", param="X-Sim-Speed"
        )
    return speed


def _identity(exchange: Exchange, body: bytes) -> str:
    """What makes two requests tries of the same one: X-Sim-Run if sent, else body, faults and key alike."""
    run = exchange.header("x-sim-run")
    if run:
        return f"run {run}"
    parts = (body, exchange.header("x-simulate").encode(), exchange.header("authorization").encode())
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
