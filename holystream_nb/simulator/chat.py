"""`POST /v1/chat/completions`: reads the request, then plays its script against the clock."""

from __future__ import annotations

import time
from itertools import chain

from .answers import Answer, answer
from .chunks import chunks, completion
from .endpoint import UNBUFFERED, Endpoint
from .exchange import Exchange
from .framing import EventFraming
from .gate import Gate, authorize
from .play import play
from .profiles import Schedule, schedule
from .records import Records
from .refusals import Refusal
from .request import ChatRequest, read
from .script import Begin, script
from .sockets import Sockets


class Chat(Endpoint):
    """The endpoint."""

    def __init__(self, gate: Gate, records: Records, sockets: Sockets) -> None:
        super().__init__(gate, records)
        self._sockets = sockets

    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        settings = self._gate.settings
        try:
            authorize(exchange.header("authorization"), settings.key)
            request = read(body, exchange.header("x-simulate"))
            speed = self._gate.speed(exchange.header("x-sim-speed"))
        except Refusal as refusal:
            await exchange.respond_json(refusal.status, refusal.error, "refused")
            return
        faults = request.faults
        exchange.record.model, exchange.record.stream = request.profile.model, request.stream
        start = exchange.record.received_ns / 1e9
        if faults.head:
            await exchange.sleep(faults.head)
            start += faults.head
        if await _usage_refused(exchange, request) or await self._gate.refuses(exchange, faults, body):
            return
        if request.stream and not faults.whole and self._sockets.wanted(exchange, request):
            headers = [self._sockets.offer(exchange, body, request)]
            await exchange.respond(200, "text/event-stream; charset=utf-8", b"", "upgraded", headers)
            return
        seed = settings.seed if request.seed is None else request.seed
        answers = [answer(request, seed, choice) for choice in range(request.choices)]
        pace = schedule(request.profile, speed, faults, f"pace {seed} {request.digest}")
        if request.stream and not faults.whole:
            charset = faults.charset or "utf-8"
            await exchange.head(200, f"text/event-stream; charset={charset}", UNBUFFERED)
            steps = script(faults, chain([Begin(pace)], chunks(request, answers)), EventFraming(faults))
            await play(exchange, steps, start)
        else:
            await exchange.sleep(start + _duration(pace, answers) - time.perf_counter())
            await exchange.respond_json(200, completion(request, answers), "complete")


async def _usage_refused(exchange: Exchange, request: ChatRequest) -> bool:
    """Refuse a request that wants usage, if that was asked for."""
    if not (request.faults.refuse_usage and request.include_usage):
        return False
    refusal = Refusal(
        int(request.faults.refuse_usage), "Unsupported parameter: `stream_options`.", param="stream_options"
    )
    await exchange.respond_json(refusal.status, refusal.error, "refused")
    return True


def _duration(pace: Schedule, answers: list[Answer]) -> float:
    """Seconds from the request to the last token of an answer that is not streamed."""
    longest = max(each.tokens for each in answers)
    return pace.first + sum(next(pace.gaps) for _ in range(longest - 1))
