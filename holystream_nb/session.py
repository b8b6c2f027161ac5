"""What this kernel remembers: settings, the shared clients, conversations, the history, totals, its simulator."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

from .errors import SetupError, SeveralFailed
from .pricing import SIMULATED
from .reply import Reply, TransportChoice

if TYPE_CHECKING:
    from .client.client import Client, Message
    from .client.stream import Stream
    from .live.lane import Lane
    from .live.questions import Questions
    from .simulator import Simulator
    from .simulator.profiles import Profile
    from .tools.executor import Consent
    from .tools.run import ToolRun

Format = Literal["markdown", "text", "code", "json"]

HISTORY: Final = 100
SIMULATOR_KEY: Final = f"sim_{secrets.token_hex(16)}"
_SPEED_VARIABLE: Final = "HOLYSTREAM_SIMULATOR_SPEED"
_PROMPT_MARGIN: Final = Decimal("1.25")


@dataclass(slots=True)
class Totals:
    """Sums over this session: requests, output tokens, cost in USD, and requests whose cost is unknown.

    `simulated_usd` is the simulator's part of `usd`; None where it answered nothing.
    """

    requests: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)
    simulated_usd: Decimal | None = None
    unpriced: int = 0
    exact: bool = True

    def add(self, reply: Reply) -> None:
        self.requests += 1
        self.tokens += reply.usage.completion_tokens or 0
        self.exact = self.exact and reply.usage.exact
        if reply.cost.usd is None:
            self.unpriced += 1
        else:
            self.usd += reply.cost.usd
            if reply.cost.note == SIMULATED:
                self.simulated_usd = (self.simulated_usd or Decimal(0)) + reply.cost.usd


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to one or several models, as the magic's options or `hs.stream`'s arguments say it."""

    prompt: str | Sequence[Message]
    models: tuple[str | None, ...] = (None,)
    system: str | None = None
    base_url: str | None = None
    timeout: float | None = None
    chat: str | None = None
    format: Format = "markdown"
    max_cost: Decimal | None = None
    transport: TransportChoice = "sse"
    tools: tuple[Callable[..., Any], ...] = ()
    allow: Consent = "ask"
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """The state behind `%%stream` and `hs.stream`; one per process.

    `history` keeps the last 100 replies, the newest last; `conversations` the messages of each `--chat NAME`.
    """

    def __init__(self) -> None:
        self.history: deque[Reply] = deque(maxlen=HISTORY)
        self.conversations: dict[str, list[Message]] = {}
        self.totals = Totals()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str | None], Client]] = (
            WeakKeyDictionary()
        )
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = WeakKeyDictionary()
        self._simulator: Simulator | None = None
        self._simulator_lock = threading.Lock()
        self._closes_at_exit = False

    async def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        system: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        chat: str | None = None,
        format: Format = "markdown",
        max_cost: float | Decimal | None = None,
        transport: TransportChoice = "sse",
        tools: Sequence[Callable[..., Any]] = (),
        allow: Consent = "ask",
        **parameters: Any,
    ) -> Reply:
        """Streams one answer onto the screen and returns its Reply, which is also the newest in `history`.

        model: `model` or `provider:model`; without it the default model of the default provider.
        base_url: another OpenAI-compatible address (the provider's key is not sent there).
        timeout: limit on the whole answer in seconds.
        chat: the name of a conversation to continue.
        format: how the answer is drawn; `json` asks for JSON, and puts it, parsed, into `reply.data`.
        max_cost: USD that the answer may cost at most.
        transport: what carries it: sse, ws or auto (as for `Client`).
        tools: typed Python functions that the model may call (`@hs.tool`); each call waits for your click.
        allow: tools that may run unasked: names, or "all".
        parameters: further fields of the request: temperature, max_tokens, …

        Raises the stream's error after showing what had arrived; a cancellation keeps it too.
        """
        limit = None if max_cost is None else Decimal(str(max_cost))
        ask = Ask(
            prompt, (model,), system, base_url, timeout, chat, format, limit, transport, tuple(tools), allow, parameters
        )
        return (await self.ask(ask))[0]

    async def ask(self, ask: Ask) -> list[Reply]:
        """Streams the answers of one or several models side by side; the replies in the models' order.

        Raises the error of the one that failed, or SeveralFailed, after all have ended. The replies are in `history`;
        an answer with tools is one there, and all of its requests are in `totals`.
        """
        from .live.lane import Lane  # late, with all that draws: importing holystream_nb stays instant
        from .live.questions import Questions
        from .live.show import show

        self._check(ask)
        messages = self._messages(ask)
        lanes: list[Lane] = []
        async with contextlib.AsyncExitStack() as streams:
            for text in ask.models:
                client, model = await self.choose(text, ask.base_url)
                parameters = dict(ask.parameters)
                if ask.format == "json":
                    parameters.setdefault("response_format", {"type": "json_object"})
                questions = Questions()
                source: Stream | ToolRun
                if ask.tools:
                    source = _with_tools(client, model, messages, parameters, ask, questions)
                    is_limited = ask.max_cost is not None
                else:
                    stop_after = _limit(client, model, messages, parameters, ask)
                    source = client.stream(
                        messages,
                        model=model,
                        transport=ask.transport,
                        timeout=ask.timeout,
                        stop_after=stop_after,
                        **parameters,
                    )
                    is_limited = stop_after is not None
                await streams.enter_async_context(source)
                lanes.append(
                    Lane(
                        source,
                        label=text or model,
                        provider=source.provider,
                        note=self.note(source.provider),
                        format=ask.format,
                        limit="--max-cost reached" if is_limited else "",
                        questions=questions,
                    )
                )
            try:
                await show(lanes)
            finally:
                replies = [lane.reply for lane in lanes]
                for lane in lanes:
                    self.remember(lane.reply, getattr(lane.source, "replies", None))
                if ask.chat is not None and replies[0].text:
                    answer = {"role": "assistant", "content": replies[0].text}
                    self.conversations[ask.chat] = getattr(lanes[0].source, "messages", [*messages, answer])
        _raise(lanes)
        return replies

    def remember(self, reply: Reply, requests: Sequence[Reply] | None = None) -> None:
        """Puts a reply into history and totals; `requests` are the replies it sums up, where there were several."""
        self.history.append(reply)
        for each in [reply] if requests is None else requests:
            self.totals.add(each)

    async def close(self) -> None:
        """Closes this loop's connections and ends the simulator."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()
        self.stop_simulator()

    def close_at_exit(self) -> None:
        """The same at the interpreter's end, for loops that can still run."""
        for loop, clients in list(self._clients.items()):
            if not loop.is_closed() and not loop.is_running():
                for client in clients.values():
                    loop.run_until_complete(client.aclose())
        self.stop_simulator()

    def stop_simulator(self) -> None:
        with self._simulator_lock:
            if self._simulator is not None:
                self._simulator.stop()
                self._simulator = None

    def default_provider(self) -> str:
        """holysheep where its key is set, else the simulator."""
        return "holysheep" if os.environ.get("HOLYSHEEP_API_KEY", "").strip() else "simulator"

    def profiles(self) -> list[Profile]:
        """The models of HolySheep's documents with their pace."""
        from .simulator.profiles import PROFILES

        return list(PROFILES.values())

    def _check(self, ask: Ask) -> None:
        if ask.chat is not None and len(ask.models) > 1:
            raise SetupError("--chat continues a conversation with one model: give one -m.")
        if len(set(ask.models)) < len(ask.models):
            raise SetupError("A model is named twice: give each -m once.")
        if ask.allow != "ask" and not ask.tools:
            raise SetupError("--allow is for tools, and there are none: give --tools.")
        if ask.tools and "tools" in ask.parameters:
            raise SetupError("Tools are given twice: leave them out of the request's parameters.")

    def _messages(self, ask: Ask) -> list[Message]:
        new: list[Message] = [{"role": "user", "content": ask.prompt}] if isinstance(ask.prompt, str) else [*ask.prompt]
        before = self.conversations.get(ask.chat, []) if ask.chat is not None else []
        if ask.system is not None:
            before = [message for message in before if message["role"] != "system"]
            before = [{"role": "system", "content": ask.system}, *before]
        return [*before, *new]

    async def choose(self, text: str | None, base_url: str | None = None) -> tuple[Client, str]:
        """This loop's shared client for `model` or `provider:model`, and the model's name there; connects to nothing.

        Starts the simulator if it is asked for. Raises SetupError where a setting cannot work.
        """
        from .providers.select import select

        provider, model = select(text or "", "holysheep" if base_url else self.default_provider())
        if provider.name == "simulator" and base_url is None:
            base_url = await asyncio.to_thread(self.simulator_url)
        await self._close_with_loop()
        return self._client(provider.name, base_url), model

    async def _close_with_loop(self) -> None:
        """Closes this loop's clients when the loop shuts its generators down, as `asyncio.run` and `hs.run` do."""
        loop = asyncio.get_running_loop()
        if loop not in self._keepers:
            self._keepers[loop] = keeper = self._kept(loop)
            await anext(keeper)

    async def _kept(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._keepers.pop(loop, None)
            for client in self._clients.pop(loop, {}).values():
                await client.aclose()

    def _client(self, provider: str, base_url: str | None) -> Client:
        from .client.client import Client

        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = (provider, base_url)
        if not self._closes_at_exit:
            self._closes_at_exit = True
            atexit.register(self.close_at_exit)  # registered after the loop's own close, so it runs before
        if key not in clients:
            ours = self._simulator is not None and base_url == self._simulator.url
            clients[key] = Client(provider, base_url=base_url, api_key=SIMULATOR_KEY if ours else None)
        return clients[key]

    def simulator_url(self) -> str:
        from .simulator import Simulator, SimulatorError

        with self._simulator_lock:
            if self._simulator is None:
                simulator = Simulator(speed=simulator_speed(), key=SIMULATOR_KEY)
                try:
                    simulator.start()
                except SimulatorError as exc:
                    raise SetupError(str(exc)) from exc
                self._simulator = simulator
            return self._simulator.url

    def note(self, provider: str) -> str:
        if provider != "simulator":
            return ""
        speed = simulator_speed()
        return "simulator" if speed == 1 else f"simulator ×{speed:g}" if speed else "simulator, unpaced"


def simulator_speed() -> float | None:
    """The simulator's speed factor from the environment: a number, or `max` for unpaced; 1 is as the documents say."""
    text = os.environ.get(_SPEED_VARIABLE, "1").strip()
    if text == "max":
        return None
    with contextlib.suppress(ValueError):
        if (speed := float(text)) > 0:
            return speed
    raise SetupError(f"{_SPEED_VARIABLE}={text!r} is no speed: give a number above 0, or max.")


def _with_tools(
    client: Client, model: str, messages: Sequence[Message], parameters: dict[str, Any], ask: Ask, questions: Questions
) -> ToolRun:
    from .tools.run import run_tools

    return run_tools(
        client if ask.max_cost is None else _Purse(client, ask),
        messages,
        tools=ask.tools,
        model=model,
        consent=ask.allow,
        ask=questions.ask,
        timeout=ask.timeout,
        transport=ask.transport,
        **parameters,
    )


class _Purse:
    """A client whose requests share one `max_cost`: each may use what those before it have left.

    Each round is a request, also on a socket: what a turn costs in which results arrive is known at its end only.
    """

    def __init__(self, client: Client, ask: Ask) -> None:
        self._client = client
        self._ask = ask
        self._streams: list[Stream] = []

    def stream(self, prompt: Sequence[Message], *, model: str | None, answers_calls: bool, **parameters: Any) -> Stream:
        spent = [stream.reply.cost.usd for stream in self._streams]
        share = (self._ask.max_cost or Decimal(0)) / len(self._ask.models) - sum(usd or Decimal(0) for usd in spent)
        carried = [{"content": str([parameters.get("tools"), *prompt])}]  # schemas and calls are paid for too
        ask = replace(self._ask, max_cost=share, models=(model,))
        stop_after = _limit(self._client, model or "", carried, parameters, ask)
        self._streams.append(self._client.stream(prompt, model=model, stop_after=stop_after, **parameters))
        return self._streams[-1]


def _limit(client: Client, model: str, messages: Sequence[Message], parameters: dict[str, Any], ask: Ask) -> int | None:
    """Lowers `max_tokens` to what `max_cost` pays for, an equal share for each model.

    Returns the number of tokens at which to stop from here if the service does not; None where nothing was lowered.
    The prompt is estimated, with a quarter on top. Raises SetupError where no price is known, or where the prompt alone
    costs as much.
    """
    if ask.max_cost is None:
        return None
    from .client.stream import estimate_tokens
    from .pricing import price_card

    card = price_card(client.provider, model.partition("#")[0])
    if card.input is None or card.output is None:
        raise SetupError(f"--max-cost cannot be kept: the price of {model} is not known ({card.source}).")
    share = ask.max_cost / len(ask.models)
    left = share * 1_000_000 - estimate_tokens(messages) * _PROMPT_MARGIN * card.input
    tokens = int((left / card.output).to_integral_value(ROUND_FLOOR))
    if tokens < 2:
        raise SetupError(f"--max-cost ${share:f} does not pay for the prompt at {model}: nothing was sent.")
    wanted = parameters.get("max_tokens")
    if wanted is not None and wanted < tokens:
        return None
    parameters["max_tokens"] = tokens - 1
    return tokens


def _raise(lanes: Sequence[Lane]) -> None:
    failed = [(lane.label, lane.error) for lane in lanes if lane.error is not None]
    if len(lanes) == 1 and failed:
        raise failed[0][1]
    if failed:
        said = "; ".join(f"{label}: {error}" for label, error in failed)
        raise SeveralFailed(f"{len(failed)} of {len(lanes)} models failed. {said}", dict(failed))


session: Final = Session()
"""The session of this process."""

stream = session.stream
history = session.history
