"""`POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's format, played against the clock."""

from __future__ import annotations

import time
from itertools import chain

from .answers import answer
from .anthropic_events import MessageStream
from .anthropic_request import read_messages
from .endpoint import UNBUFFERED, Endpoint
from .exchange import Exchange
from .framing import EventFraming
from .gate import Gate, authorize
from .play import play
from .profiles import schedule
from .prompt_cache import PromptCache
from .records import Records
from .refusals import Refusal, anthropic_error
from .script import Begin, script

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"


class Messages(Endpoint):
    """The endpoint of answers."""

    def __init__(self, gate: Gate, records: Records) -> None:
        super().__init__(gate, records)
        self._cache = PromptCache()

    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        settings = self._gate.settings
        try:
            _admit(exchange, settings.key)
            request = read_messages(body, exchange.header("x-simulate"))
            speed = self._gate.speed(exchange.header("x-sim-speed"))
        except Refusal as refusal:
            await _refuse(exchange, refusal)
            return
        chat, faults = request.chat, request.faults
        exchange.record.model, exchange.record.stream = chat.profile.model, chat.stream
        start = exchange.record.received_ns / 1e9
        if faults.head:
            await exchange.sleep(faults.head)
            start += faults.head
        if await self._gate.refuses(exchange, faults, body, "anthropic"):
            return
        said = answer(chat, settings.seed, 0)
        pace = schedule(chat.profile, speed, faults, f"pace {settings.seed} {chat.digest}")
        cached = self._cache.use(chat.profile.model, request.blocks)
        stream = MessageStream(request, said, cached, exchange.record.id)
        if chat.stream and not faults.whole:
            charset, id = faults.charset or "utf-8", ("request-id", exchange.record.id)
            await exchange.head(200, f"text/event-stream; charset={charset}", (*UNBUFFERED, id))
            framing = EventFraming(faults, named=True, failure=stream.failure)
            await play(exchange, script(faults, chain([Begin(pace)], stream.chunks()), framing), start)
        else:
            longest = pace.first + sum(next(pace.gaps) for _ in range(said.tokens - 1))
            await exchange.sleep(start + longest - time.perf_counter())
            await exchange.respond_json(200, stream.whole(), "complete", [("request-id", exchange.record.id)])


class TokenCount(Endpoint):
    """The endpoint that counts a prompt's tokens."""

    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        try:
            _admit(exchange, self._gate.settings.key)
            request = read_messages(body, exchange.header("x-simulate"), counting=True)
        except Refusal as refusal:
            await _refuse(exchange, refusal)
            return
        await exchange.respond_json(200, {"input_tokens": request.chat.prompt_tokens}, "complete")


def _admit(exchange: Exchange, key: str | None) -> None:
    """Refuse a bad key, in `x-api-key` or as a bearer's, and a request that names no version of the API."""
    own = exchange.header("x-api-key")
    try:
        authorize(f"Bearer {own}" if own else exchange.header("authorization"), key)
    except Refusal as refusal:
        message = "invalid x-api-key" if own or exchange.header("authorization") else "x-api-key header is required"
        raise Refusal(401, message) from refusal
    if not exchange.header("anthropic-version"):
        raise Refusal(400, "anthropic-version: header is required")


async def _refuse(exchange: Exchange, refusal: Refusal) -> None:
    id = exchange.record.id
    error = {**anthropic_error(str(refusal), refusal.status), "request_id": id}
    await exchange.respond_json(refusal.status, error, "refused", [("request-id", id)])
