"""check: what can be relied on at a service, tried with a few tokens: is the key taken, does the answer stream, …

Every probe goes the way of an ordinary answer (`Client.stream`), over connections that keep the bytes (`tap`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from .. import __version__
from ..errors import (
    BadRequest,
    ConnectionFailed,
    HolystreamError,
    KeyRefused,
    NotAStream,
    RateLimited,
    ServiceError,
    StreamInterrupted,
    UnknownModel,
)
from ..providers.secret import Key
from ..providers.values import Provider
from ..wire.transport import Transport
from .catalogue import LISTING_S, models_of
from .client import Client
from .findings import CALL_TOKENS, TOKENS, TOOL, Finding, Tried, Verdict, is_whole, of_answer, of_call
from .shape import Shape, error_shape, missing_in, shape_of, short
from .tap import Exchange, Tap

PROBE_S: Final = 60.0
"""The limit on each probe: a local engine may have to load its model first."""

FEW_TOKENS: Final = 16
MOST_BYTES: Final = 1 << 20

_COUNT: Final = "Count from 1 to 40, in digits, with spaces between them and nothing else."
_HELLO: Final = "Say hello."
_ASK_TOOL: Final = "What is the weather in Paris? Use the tool."
_TOOL: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_LEAST_S: Final = 15.0
_TIMES: Final = 4.0
_SOME: Final = 5
_NO_MODEL: Final = "holystream-check-no-such-model"


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one model at one service.

    `shape` is how it writes its chunks, field by field, () where no chunk came. `requests`, `tokens`, `usd` and `cny`
    are what it took; the last two are None where a price is unknown, and `note` says why; `exact` is False where
    tokens were estimated.
    """

    label: str
    provider: str
    model: str
    address: str
    findings: tuple[Finding, ...]
    shape: Shape = field(default=(), repr=False)
    requests: int = 0
    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    cny: Decimal | None = Decimal(0)
    exact: bool = True
    note: str = ""

    def __getitem__(self, name: str) -> Finding:
        """The row of that name."""
        return next(finding for finding in self.findings if finding.name == name)


async def check(
    client: Client,
    model: str | None = None,
    *,
    label: str = "",
    timeout: float = PROBE_S,
    tell: Callable[[str], object] = lambda doing: None,
) -> Check:
    """Tries a model with a few requests of a few tokens each; a row that fails leaves the others standing.

    model: by default the provider's default model, or the only one that the service lists; where there is neither,
        only what needs no model is looked at.
    timeout: limit on each request (s). tell: is told what is being tried.
    """
    probe = _Probe(client, model or client.provider.default_model or "", timeout, tell)
    await probe.run()
    return probe.result(label)


async def check_without_key(
    provider: Provider, model: str, error: HolystreamError, *, label: str = "", ca: str | None = None
) -> Check:
    """What can be said without a key: whether anybody is at the address. `error` says why there is none."""
    address = provider.base_url or ""
    connections = Transport(ca=ca)
    try:
        response = await connections.get(
            f"{address}/models",
            headers={"User-Agent": f"holystream_nb/{__version__}"},
            connect_timeout=LISTING_S,
            inactivity=LISTING_S,
        )
        await response.aclose()
        found = Finding("address", "ok", f"{address} answers ({response.status} without a key)")
    except HolystreamError as exc:
        found = Finding("address", "fail", str(exc))
    finally:
        await connections.aclose()
    rest = [Finding(name, "unknown", "not tried: there is no key") for name in ROWS if name not in ("key", "address")]
    return Check(label, provider.name, model, address, (Finding("key", "fail", str(error)), found, *rest))


ROWS: Final = (
    "key",
    "address",
    "model",
    "first token",
    "pieces",
    "usage",
    "end",
    "format",
    "tools",
    "socket",
    "errors",
)
"""The rows of every check, in their order."""


class _Probe:
    """The requests of one check, one after the other, and what follows from them."""

    def __init__(self, client: Client, model: str, timeout: float, tell: Callable[[str], object]) -> None:
        self._client = client
        self._model = model
        self._timeout = timeout
        self._tell = tell
        self._tried: list[Tried] = []
        self._listed: tuple[str, ...] | HolystreamError = ()
        self._rows: dict[str, Finding] = {}
        self._shape: Shape = ()
        self._why_not = ""

    @property
    def _secret(self) -> tuple[Key, ...]:
        return self._client.service.secret

    async def run(self) -> None:
        self._tell("the list of models")
        try:
            self._listed = await models_of(self._client)
        except HolystreamError as exc:
            self._listed = exc
        if not self._model and not self._only_model():
            return
        self._tell("an answer")
        began = time.perf_counter()
        answer = await self._ask(_COUNT, max_tokens=TOKENS)
        self._judge_place(answer)
        # What answered in a second is not waited for a minute.
        self._timeout = min(self._timeout, max(_LEAST_S, _TIMES * (time.perf_counter() - began)))
        if not self._judge_answer(answer):
            self._why_not = ": there was no answer"
            return
        self._tell("tools")
        await self._try_tools()
        self._tell("a socket")
        await self._try_socket()
        self._tell("an error")
        await self._try_error()

    def result(self, label: str) -> Check:
        rows = (self._rows.get(name, Finding(name, "unknown", f"not tried{self._why_not}")) for name in ROWS)
        replies = [tried.reply for tried in self._tried]
        costs = [reply.cost for reply in replies if reply.usage.prompt_tokens or reply.usage.completion_tokens]
        unpriced = [cost.note for cost in costs if cost.due_usd is None]
        return Check(
            label or f"{self._client.provider.name}:{self._model}".rstrip(":"),
            self._client.provider.name,
            self._model,
            self._client.base_url,
            tuple(rows),
            self._shape,
            requests=sum(max(1, len(tried.exchanges)) for tried in self._tried),
            tokens=sum((reply.usage.prompt_tokens or 0) + (reply.usage.completion_tokens or 0) for reply in replies),
            usd=None if unpriced else sum((cost.due_usd or Decimal(0) for cost in costs), Decimal(0)),
            cny=None if unpriced else sum((cost.due_cny or Decimal(0) for cost in costs), Decimal(0)),
            exact=all(
                reply.usage.exact for reply in replies if reply.usage.prompt_tokens or reply.usage.completion_tokens
            ),
            note=unpriced[0] if unpriced else "",
        )

    async def _ask(self, prompt: str, *, model: str = "", **parameters: Any) -> Tried:
        """One request on the client's way, tried once; its error is part of what comes back."""
        tap = Tap(self._client.service.connections)
        client = self._client.through(tap, max_bytes=MOST_BYTES)  # type: ignore[arg-type]  # stands for one
        stream = client.stream(prompt, model=model or self._model, timeout=self._timeout, **parameters)
        error, notice = None, ""
        try:
            async with stream:
                async for _ in stream:
                    notice = stream.progress.notice or notice
        except HolystreamError as exc:
            error = exc
        tried = Tried(stream.reply, error, tap.exchanges, notice or stream.progress.notice)
        self._tried.append(tried)
        return tried

    def _found(self, name: str, verdict: Verdict, seen: str, advice: str = "") -> None:
        self._rows[name] = Finding(name, verdict, seen, advice)

    # Key, address, model

    def _only_model(self) -> bool:
        """Whether the service has one model alone, which is then meant; where it has more, what is known is said."""
        listed = self._listed
        if isinstance(listed, tuple) and len(listed) == 1:
            self._model = listed[0]
            return True
        self._why_not = ": no model was named"
        if isinstance(listed, tuple | ServiceError):
            self._found("address", "ok", f"{self._client.base_url} answers{self._openness()}")
        else:
            self._found("address", "fail", str(listed))
            self._why_not = ": the address does not answer"
            return False
        if isinstance(listed, KeyRefused):
            self._judge_key(listed, is_taken=False)
            self._why_not = ": the key is not taken" if self._client.service.key else ": no key was sent"
            return False
        some = listed[:_SOME] if isinstance(listed, tuple) else ()
        seen = f"none was named; it lists {len(listed):,}" if isinstance(listed, tuple) else "none was named"
        names = f", as {', '.join(short(name) for name in some)}" if some else ""
        self._found("model", "unknown", seen, f"name one{names}")
        return False

    def _judge_place(self, answer: Tried) -> None:
        error, listed = answer.error, self._listed
        refusal = error if isinstance(error, KeyRefused) else None
        has_answered = (
            answer.last is not None or not isinstance(listed, HolystreamError) or isinstance(listed, ServiceError)
        )
        is_past = error is None or answer.has_output or _is_past_the_key(error)
        self._judge_key(refusal, is_taken=has_answered and is_past)
        if isinstance(error, NotAStream) and answer.reply.timing.ttft_ms is None:
            self._found("address", "fail", str(error))
        elif has_answered:
            self._found("address", "ok", f"{self._client.base_url} answers{self._openness()}")
        else:
            self._found("address", "fail", str(error or listed))
        if isinstance(error, UnknownModel):
            self._found("model", "fail", str(error), self._likely())
            if answer.last is not None:
                self._found("errors", "ok", self._complaint(answer.last))
        elif isinstance(listed, tuple) and self._model in listed:
            place = "the only one" if len(listed) == 1 else f"one of {len(listed):,} models"
            self._found("model", "ok", f"{self._model} is {place} in its list")
        elif answer.has_output or (error is None and answer.last is not None):
            place = (
                "the service has no list of models" if isinstance(listed, HolystreamError) else "it is not in the list"
            )
            self._found("model", "ok", f"{self._model} answers ({place})")
        elif isinstance(listed, tuple) and listed:
            self._found("model", "warn", f"{self._model} is not in its list", self._likely())

    def _judge_key(self, refusal: KeyRefused | None, *, is_taken: bool) -> None:
        service = self._client.service
        variable = service.provider.key_variable
        if refusal is not None:
            self._found("key", "fail", str(refusal))
        elif service.key is None:
            self._found("key", "ok", "none is sent" + (", and none is needed" if is_taken else ""))
        elif is_taken:
            is_its = variable is not None and os.environ.get(variable, "").strip() == service.key.reveal()
            self._found("key", "ok", f"taken, the one in {variable}" if is_its else "taken")

    def _openness(self) -> str:
        parts = urlsplit(self._client.base_url)
        return ", unencrypted" if parts.scheme == "http" and self._client.provider.price_list == "own" else ""

    def _likely(self) -> str:
        listed = self._listed if isinstance(self._listed, tuple) else ()
        names = get_close_matches(self._model, listed, n=3, cutoff=0.4) or listed[:3]
        return f"it has {', '.join(short(name) for name in names)}" if names else ""

    # The answer

    def _judge_answer(self, answer: Tried) -> bool:
        """Whether there was one, so that more can be asked."""
        exchange, error = answer.last, answer.error
        if error is not None and not answer.has_output:
            if not isinstance(error, KeyRefused | UnknownModel | ConnectionFailed):
                self._found("first token", "fail", str(error))
            return False
        self._rows |= {finding.name: finding for finding in of_answer(answer)}
        if self._client.wire != "chat":
            self._found("format", "ok", f'it is read as wire="{self._client.wire}"')
        elif exchange is not None and not is_whole(answer):
            self._shape = shape_of(exchange.body, exchange.headers, asked=self._model, secret=self._secret)
            missing = missing_in(self._shape)
            if missing:
                self._found(
                    "format", "warn", f"chunks without {', '.join(missing)}", "programs that read them fail here"
                )
            else:
                self._found("format", "ok", "chunks have every field of document 004")
        return True

    # Tools, sockets, errors

    async def _try_tools(self) -> None:
        asked: dict[str, Any] = {"max_tokens": CALL_TOKENS, "tools": [_TOOL]}
        tried = await self._ask(_ASK_TOOL, tool_choice="required", **asked)
        note = ""
        if isinstance(tried.error, BadRequest):
            again = await self._ask(_ASK_TOOL, **asked)
            if again.error is None:
                tried, note = again, '; tool_choice="required" is refused'
        self._rows["tools"] = of_call(tried, note)

    async def _try_socket(self) -> None:
        tried = await self._ask(_HELLO, transport="ws", max_tokens=FEW_TOKENS)
        offered = any({"sec-websocket-url", "upgrade-url"} & {*exchange.headers} for exchange in tried.exchanges)
        own = self._client.provider.websocket is not None
        if tried.error is not None:
            self._found("socket", "fail" if own else "unknown", str(tried.error), 'use transport="sse"' if own else "")
        elif tried.reply.transport == "ws":
            ttft = tried.reply.timing.ttft_ms
            speed = "" if ttft is None else f", first token over it after {ttft:,.0f} ms"
            self._found("socket", "ok", f"{'its own' if own else 'one is offered, and'} opens{speed}")
        elif offered:
            self._found("socket", "warn", tried.notice or "the offered socket was not taken")
        else:
            self._found("socket", "ok", "none is offered: answers come over server-sent events")

    async def _try_error(self) -> None:
        tried = await self._ask(_HELLO, model=_NO_MODEL, max_tokens=FEW_TOKENS)
        exchange = tried.last
        if tried.error is None:
            self._found("errors", "warn", "a model that does not exist is answered", "a misspelt name is not noticed")
            words = "none for an unknown model"
        elif exchange is None:
            self._found("errors", "unknown", str(tried.error))
            return
        else:
            words = error_shape(exchange.status, exchange.body, self._secret)
            is_plain = isinstance(tried.error, UnknownModel | BadRequest)
            advice = "" if is_plain else f"it is taken as {type(tried.error).__name__}"
            self._found("errors", "ok" if is_plain else "warn", self._complaint(exchange), advice)
        self._shape = (*self._shape, ("error", words)) if self._shape else ()

    def _complaint(self, exchange: Exchange) -> str:
        return f"an unknown model is {error_shape(exchange.status, exchange.body, self._secret)}"


def _is_past_the_key(error: HolystreamError) -> bool:
    """Whether an error says that the key was taken, as it is about something that comes after it."""
    return isinstance(error, BadRequest | UnknownModel | RateLimited | StreamInterrupted)
