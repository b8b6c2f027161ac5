"""`POST /v1/responses`: reads the request, then plays its script against the clock."""

from __future__ import annotations

import time

import msgspec

from .answers import Answer, answer
from .endpoint import UNBUFFERED, Endpoint
from .exchange import Exchange
from .framing import EventFraming
from .gate import Gate, authorize
from .play import play
from .profiles import schedule
from .records import Records
from .refusals import Refusal
from .responses_events import ResponseStream
from .responses_memory import Memory, Mint
from .responses_request import ResponsesRequest, read_responses
from .script import script

RESPONSES = "/v1/responses"
NOTHING = Answer((), (), (), "stop")
"""What a warm-up says."""


class Responses(Endpoint):
    """The endpoint; `memory` is what `store` keeps, for its own streams and the sockets' alike."""

    def __init__(self, gate: Gate, records: Records, memory: Memory) -> None:
        super().__init__(gate, records)
        self._memory = memory
        self._mint = Mint(gate.settings.seed)

    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        settings = self._gate.settings
        try:
            authorize(exchange.header("authorization"), settings.key)
            data = _decoded(body)
            request = read_responses(data, exchange.header("x-simulate"), self._memory, self._memory.recall, self._mint)
            speed = self._gate.speed(exchange.header("x-sim-speed"))
        except Refusal as refusal:
            await exchange.respond_json(refusal.status, refusal.error, "refused")
            return
        chat, faults = request.chat, request.faults
        exchange.record.model, exchange.record.stream = chat.profile.model, chat.stream
        start = exchange.record.received_ns / 1e9
        if faults.head:
            await exchange.sleep(faults.head)
            start += faults.head
        if await self._gate.refuses(exchange, faults, body):
            return
        seed = settings.seed if chat.seed is None else chat.seed
        said = answer(chat, seed, 0) if request.generate else NOTHING
        pace = schedule(chat.profile, speed, faults, f"pace {seed} {chat.digest}")
        id = f"resp_{self._mint.key(seed, _shaping(request))}"

        def keep(items: tuple[dict[str, object], ...]) -> None:
            if request.store:
                self._memory.keep(id, items)

        stream = ResponseStream(request, said, pace, id, self._mint, keep)
        if chat.stream and not faults.whole:
            charset = faults.charset or "utf-8"
            await exchange.head(200, f"text/event-stream; charset={charset}", UNBUFFERED)
            framing = EventFraming(faults, named=True, failure=stream.failure)
            await play(exchange, script(faults, stream.chunks(), framing), start)
        else:
            longest = pace.first + sum(next(pace.gaps) for _ in range(said.tokens - 1))
            await exchange.sleep(start + longest - time.perf_counter())
            await exchange.respond_json(200, stream.whole(), "complete")


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refusal(400, f"The body is not JSON: {exc}") from exc


def _shaping(request: ResponsesRequest) -> bytes:
    """What makes two responses the same one: everything but whether it is streamed."""
    kept = {name: value for name, value in request.data.items() if name not in ("stream", "stream_options", "seed")}
    return msgspec.json.encode(kept, order="deterministic")
