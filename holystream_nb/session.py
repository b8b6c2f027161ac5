"""What this kernel remembers: settings, the shared clients, conversations, the history, totals, its simulator."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from . import kinds
from .answered import MOST, History
from .ask import Ask, Format, answer_format, consent, functions, model_name, system_prompt
from .clients import Clients
from .conversations import Conversations
from .errors import INTERRUPTED, HolystreamError, SetupError, SeveralFailed, in_one_line
from .facts import Wire
from .lists import Listed, Lists
from .money import amount
from .money.amount import Amount
from .money.budget import Budget
from .money.card import LOCAL, SIMULATED
from .providers.secret import Key, sealing
from .reply import Reply, TransportChoice, transport_choice

if TYPE_CHECKING:
    from pathlib import Path

    from .client.client import Client, Message
    from .client.options import ClientOptions
    from .client.stream import Stream
    from .continued import Continued, Cut
    from .defaults import DefaultService, Place, Settings
    from .live.lane import Lane
    from .live.questions import Questions
    from .simulator import Simulator
    from .simulator.profiles import Profile
    from .tools.executor import Consent
    from .tools.mcp_servers import Server
    from .tools.run import ToolRun

SIMULATOR_KEY: Final = f"sim_{secrets.token_hex(16)}"
_SEVERAL: Final = "write %%stream -m A -m B, or ChatPanel(models=[…])"
_KEYWORDS: Final = (
    *("prompt", "model", "system", "timeout", "chat", "format", "max_cost", "transport", "wire", "tools", "allow"),
    *("strict", "keep_chunks"),
)
"""`hs.stream`'s own, for a likely misspelling."""


class _Unchanged:
    def __repr__(self) -> str:
        return "unchanged"


_UNCHANGED: Final[Any] = _Unchanged()

_SPEED_VARIABLE: Final = "HOLYSTREAM_SIMULATOR_SPEED"


@dataclass(slots=True)
class Totals:
    """Sums over this session: requests, output tokens, cost, and requests whose cost is unknown.

    A cost that a service states counts as it is stated. What ran on the user's own machine (`local`) has no price, and
    costs nothing. `simulated` is the simulator's part of `cost`; None where it answered nothing. `exact` is of the
    tokens, `cost_exact` of the cost.
    """

    requests: int = 0
    tokens: int = 0
    cost: Amount = field(default_factory=Amount)
    simulated: Amount | None = None
    unpriced: int = 0
    local: int = 0
    exact: bool = True
    cost_exact: bool = True

    def add(self, reply: Reply) -> None:
        if reply.is_unsent:
            return
        self.requests += 1
        self.tokens += reply.usage.completion_tokens or 0
        self.exact = self.exact and reply.usage.exact
        due = amount.due(reply.cost)
        if due is not None:
            self.cost += due
            self.cost_exact = self.cost_exact and reply.cost.is_due_exact
            if reply.cost.note == SIMULATED:
                self.simulated = (self.simulated or Amount()) + due
        elif reply.cost.note == LOCAL:
            self.local += 1
        else:
            self.unpriced += 1


class Session:
    """The state behind `%%stream` and `hs.stream`; one per process.

    `history` keeps the last 100 replies, the newest last, `asks` what each of them was asked with; `conversations` the
    messages of each `--chat NAME`. `began` is its beginning (seconds since 1970).
    """

    def __init__(self) -> None:
        self.began = time.time()
        self.history = History()
        self.asks: deque[Ask] = deque(maxlen=MOST)
        self.conversations = Conversations()
        self.totals = Totals()
        self.budget = Budget(
            None, "session_budget", mend="Raise it: %config StreamMagics.session_budget = USD, or None for no limit."
        )
        """What all answers of this session may cost together, and what they have cost."""
        self.config: dict[str, Any] = {}
        """What `%config StreamMagics` says, by the options' names."""
        self._configured: Settings | None = None
        self._clients = Clients()
        self._lists = Lists()
        self._orders: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._told: tuple[str, str] | None = None
        self._simulator: Simulator | None = None
        self._simulator_lock = threading.Lock()
        self._closes_at_exit = False

    @sealing()
    def configure(
        self,
        *,
        model: str | None = _UNCHANGED,
        base_url: str | None = _UNCHANGED,
        api_key: str | None = _UNCHANGED,
        key_variable: str | None = _UNCHANGED,
        key_header: str | None = _UNCHANGED,
        headers: Mapping[str, str] | None = _UNCHANGED,
        query: Mapping[str, str] | None = _UNCHANGED,
        ca: str | Path | None = _UNCHANGED,
        cert: str | Path | tuple[str | Path, str | Path] | None = _UNCHANGED,
        wire: Wire | None = _UNCHANGED,
        connect_timeout: float | None = _UNCHANGED,
        inactivity: float | None = _UNCHANGED,
        progress_timeout: float | None = _UNCHANGED,
        retries: int | None = _UNCHANGED,
        backoff: float | None = _UNCHANGED,
        pool: str | None = _UNCHANGED,
        max_bytes: int | None = _UNCHANGED,
        requests_per_minute: float | None = _UNCHANGED,
        tokens_per_minute: float | None = _UNCHANGED,
    ) -> None:
        """Sets the defaults of this kernel's doors: `%%stream`, `hs.stream`, `ChatPanel`, `hs.bench` and its kin.

        What is not named stays as it was, and None takes it back. `%config StreamMagics` and what a door itself is
        given come before; `%stream config` shows what holds.

        model: `model` or `provider:model`.
        base_url: the address of the default service; it may have a path and a query.
        api_key, key_variable: its key, or the name of the variable that has it. key_header: the header that carries it
            (`api-key`, `x-api-key`), instead of `Authorization`.
        headers, query: further ones, whose values are treated as keys.
        ca, cert: files: whom to trust instead of the usual, and a certificate of one's own, `cert` or `(cert, key)`.
        wire: the format the service is spoken to in: chat, messages or responses.
        The rest is as for `Client`.

        A key, headers, a query, `cert` and `wire` are for this base_url (without one: the provider of `model`, or
        HolySheep), are sent to no other host, and go when another base_url is set.

        Raises SetupError for what cannot be.
        """
        given = {name: value for name, value in locals().items() if name != "self" and value is not _UNCHANGED}
        from .defaults import Settings, changed  # late: they bring the client's room

        self._configured = changed(self._configured or Settings("hs.configure"), given)

    @sealing()
    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | None = None,
        chat: str | None = None,
        format: Format = "markdown",
        max_cost: float | Decimal | None = None,
        transport: TransportChoice = "sse",
        wire: Wire | None = None,
        tools: Sequence[Callable[..., Any] | Server] = (),
        allow: Consent = "ask",
        strict: bool = False,
        keep_chunks: bool = False,
        base_url: str | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        key_header: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        ca: str | Path | None = None,
        cert: str | Path | tuple[str | Path, str | Path] | None = None,
        inactivity: float | None = None,
        progress_timeout: float | None = None,
        retries: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Coroutine[Any, Any, Reply]:
        """Streams one answer onto the screen; awaited, it gives its Reply, which is also the newest in `history`.

        prompt: a text, or a list of messages `{"role": …, "content": …}`.
        model: `model` or `provider:model`; without it the model that is set (`hs.configure`), or the service's default.
        timeout: limit on the whole answer in seconds.
        chat: the name of a conversation to continue.
        format: how the answer is drawn; `json` asks for JSON, and puts it, parsed, into `reply.data`.
        max_cost: USD that the answer may cost at most: it is ended where it would pass it, as far as it can be seen.
            Hidden reasoning is held by the service's own limit alone.
        transport: what carries it: sse, ws or auto (as for `Client`).
        wire: the format: chat, messages or responses, instead of the provider's first.
        tools: typed Python functions that the model may call (`@hs.tool`), and MCP servers (`hs.mcp`); each call waits
            for your click.
        allow: tools that may run unasked: names, or "all".
        strict: whether an answer that is not sound raises, after it was shown (as for `Client.stream`).
        keep_chunks: whether `reply.chunks` has all that came, as it came.
        base_url: another OpenAI-compatible address. A provider's key is sent to no other host than the provider's.
        api_key, key_variable, key_header, headers, query, ca, cert: how the service is reached, as for `Client`.
        inactivity, progress_timeout: limits on a silence, and on the time without output, in seconds.
        retries: attempts after the first, before any output.
        fields: further fields of the request: temperature, max_tokens, …
        parameters: fields of any name, for what only this service knows.

        Raises the stream's error after showing what had arrived; a cancellation keeps it too.
        """
        from .client.options import client_options, fields_of

        options = client_options(
            base_url=base_url,
            api_key=api_key,
            key_variable=key_variable,
            key_header=key_header,
            headers=headers,
            query=query,
            ca=ca,
            cert=cert,
            wire=wire,
            inactivity=inactivity,
            progress_timeout=progress_timeout,
            retries=retries,
        )
        kinds.messages(prompt)
        ask = Ask(
            prompt,
            (model_name(model, _SEVERAL),),
            None if system is None else system_prompt(system),
            options,
            kinds.optional_seconds("timeout", timeout),
            kinds.optional_text("chat", chat),
            answer_format(format),
            kinds.optional_money("max_cost", max_cost),
            transport_choice(transport),
            functions(tools),
            consent(allow),
            fields_of("hs.stream", fields, parameters, names=_KEYWORDS, options_at="hs.configure(…) or Client(…)"),
            strict=bool(strict),
            keep_chunks=bool(keep_chunks),
        )
        return self._first(ask)

    async def _first(self, ask: Ask) -> Reply:
        try:
            return (await self.ask(ask))[0]
        except asyncio.CancelledError as exc:
            in_one_line(exc, INTERRUPTED)
            raise

    async def ask(self, ask: Ask) -> list[Reply]:
        """Streams the answers of one or several models side by side; the replies in the models' order.

        Raises the error of the one that failed, or SeveralFailed, after all have ended. The replies are in `history`;
        an answer with tools is one there, and all of its requests are in `totals`.
        """
        from .journal.journal import journal  # late, with all that draws: importing holystream_nb stays instant
        from .live.lane import Lane
        from .live.questions import Questions
        from .live.show import show
        from .live.where import origin, say_notice

        self._check(ask)
        where = origin("cell" if ask.is_line else "python", ask.chat or "")
        goes_on = False
        if ask.chat is not None and ask.chat not in self.conversations:
            goes_on = await asyncio.to_thread(self.conversations.recall, ask.chat, where)
        before = self._before(ask)
        messages = [*before, *_new(ask)]
        group = uuid.uuid4().hex
        asks: list[Ask] = []
        lanes: list[Lane] = []
        async with contextlib.AsyncExitStack() as streams:
            async with self._in_order():
                for text, place in zip(ask.models, await self._places(ask), strict=True):
                    client, model = await streams.enter_async_context(self.reached(place)), place.model
                    parameters = dict(ask.parameters)
                    if ask.format == "json":
                        parameters.setdefault("response_format", {"type": "json_object"})
                    questions = Questions()
                    source: Stream | ToolRun | Continued
                    if ask.max_cost is not None:  # an equal share for each model
                        client = client.within(Budget(ask.max_cost / len(ask.models), ask.word("max_cost")))
                    start = partial(
                        client.stream,
                        model=model,
                        transport=ask.transport,
                        timeout=ask.timeout,
                        strict=ask.strict,
                        keep_chunks=ask.keep_chunks,
                        parameters=parameters,
                    )
                    if ask.tools:
                        source = _with_tools(client, model, messages, parameters, ask, questions)
                    elif ask.cut is not None:
                        source = _continued(start, messages, ask.cut)
                    else:
                        source = start(messages)
                    await streams.enter_async_context(source)
                    notes = [self.first_note(text, ask.options, place), *_notes(ask, goes_on=goes_on)]
                    asks.append(replace(ask, prompt=messages, models=(text,), system=None, chat=None, cut=None))
                    lanes.append(
                        Lane(
                            source,
                            label=text or model,
                            provider=source.provider,
                            note=" · ".join(filter(None, notes)),
                            format=ask.format,
                            transport=ask.transport,
                            questions=questions,
                            begin=partial(
                                journal.begin, where, group=group, messages=messages, parameters=ask.parameters
                            ),
                        )
                    )
            try:
                await show(lanes)
            finally:
                say_notice()
                replies = [lane.reply for lane in lanes]
                for lane, asked in zip(lanes, asks, strict=True):
                    self.remember(lane.reply, asked, getattr(lane.source, "replies", None))
                if ask.chat is not None and replies[0].text:
                    told = getattr(lanes[0].source, "messages", [*messages, _told(replies[0])])
                    self.conversations.keep(ask.chat, told, where, len(before))
                elif ask.cut is not None:
                    self.conversations.mend(ask.cut.text, replies[0].text, where)
        _raise(lanes)
        return replies

    def _in_order(self) -> asyncio.Lock:
        """Until they are shown, those that are asked at once wait for one another: answers stand in their order."""
        return self._orders.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def remember(self, reply: Reply, ask: Ask, requests: Sequence[Reply] | None = None) -> None:
        """Puts a reply into history and totals, and what asked for it alone into `asks`; `requests` are the replies it
        sums up, where there were several."""
        self.history.append(reply)
        self.asks.append(ask)
        for each in [reply] if requests is None else requests:
            self.totals.add(each)

    async def close(self) -> None:
        """Closes this loop's connections and ends the simulator."""
        await self._clients.close()
        self.stop_simulator()

    def close_at_exit(self) -> None:
        """The same at the interpreter's end, for loops that can still run."""
        self._clients.close_resting()
        self.stop_simulator()

    def stop_simulator(self) -> None:
        with self._simulator_lock:
            if self._simulator is not None:
                self._simulator.stop()
                self._simulator = None

    @staticmethod
    def end_servers() -> None:
        """Ends the MCP servers, and forgets what of them was allowed."""
        if sessions := sys.modules.get("holystream_nb.tools.mcp_sessions"):  # else none was started
            sessions.sessions.end()

    def default_service(self) -> DefaultService:
        """The service of doors that are told none, and who said so: `%config`, `hs.configure`, the environment, nobody.

        Raises SetupError where what is set cannot be.
        """
        from .defaults import default_service

        return default_service(self.settings())

    def settings(self) -> list[Settings]:
        """What was set in this kernel, the first first."""
        from .client.options import client_options
        from .defaults import Settings

        said = {name: value for name, value in self.config.items() if value not in (None, "")}
        model = said.pop("model", "")
        found = [Settings("%config StreamMagics", model, client_options(**said))] if said or model else []
        return [*found, *([self._configured] if self._configured is not None else [])]

    def default_provider(self) -> str:
        """The name of the default service's provider; of one that no table has, its host."""
        return self.default_service().provider.name

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
            tools = f"{ask.word('tools')}, or --mcp" if ask.is_line else ask.word("tools")
            raise SetupError(f"{ask.word('allow')} is for tools, and there are none: give {tools}.")
        if ask.tools and "tools" in ask.parameters:
            raise SetupError("Tools are given twice: leave them out of the request's parameters.")

    def _before(self, ask: Ask) -> list[Message]:
        """What stands before its prompt: the conversation, and the system prompt."""
        before = self.conversations.get(ask.chat, []) if ask.chat is not None else []
        if ask.system is not None:
            before = [message for message in before if message["role"] != "system"]
            before = [{"role": "system", "content": ask.system}, *before]
        return before

    async def choose(self, text: str | None, options: ClientOptions | None = None) -> tuple[Client, str]:
        """This loop's shared client for `model` or `provider:model`, and the model's name there.

        Connects to nothing, except to ask a server of one's own for its models where they decide. Starts the simulator
        if it is asked for. Raises SetupError where a setting cannot work. Whoever uses the client for long takes it by
        `reached`.
        """
        place = await self.locate(text, options)
        return await self._clients.client(await self._running(place)), place.model

    async def locate(self, text: str | None, options: ClientOptions | None = None) -> Place:
        """Where a request for this model goes. Raises SetupError, and the errors of asking a server for its models."""
        from .client.options import ClientOptions

        options = options or ClientOptions()
        service = self.default_service()
        return service.place(text, options, await self._listed(service, text, options))

    def located(self, text: str | None, options: ClientOptions | None = None) -> Place:
        """The same from what is known, without asking a server for its models."""
        from .client.options import ClientOptions

        options = options or ClientOptions()
        service = self.default_service()
        home = service.place_of_list(text, options)
        return service.place(text, options, self._lists.known(home))

    async def _places(self, ask: Ask) -> list[Place]:
        """Where each model's request goes; a key goes to one service."""
        places = [await self.locate(text, ask.options) for text in ask.models]
        check_key_is_for_one(places, ask.options)
        return places

    async def _listed(self, service: DefaultService, text: str | None, options: ClientOptions) -> tuple[str, ...]:
        """The models of the server that the session, or the caller, names by address, where they decide."""
        is_needed = service.needs_list(text, options)
        if not is_needed:
            return ()
        home = service.place_of_list(text, options)
        try:
            found = await self.listed(home, is_failure_kept=is_needed != "always")
            if found.error is not None:
                raise found.error
        except HolystreamError:
            if is_needed == "always":
                raise
            return ()
        return found.models

    async def listed(self, place: Place, *, is_failure_kept: bool = True) -> Listed:
        """What the service of a place lists, at most a minute old (see `Lists.of`)."""
        return await self._lists.of(place, self.reached, is_failure_kept=is_failure_kept)

    @contextlib.asynccontextmanager
    async def reached(self, place: Place) -> AsyncIterator[Client]:
        """This loop's client for a place, within the session's budget; it is not closed meanwhile."""
        async with self._clients.reached(await self._running(place)) as client:
            yield client.within(self.budget)

    async def _running(self, place: Place) -> Place:
        """The place, of the simulator the one that runs here; it is started."""
        if not self._closes_at_exit:
            self._closes_at_exit = True
            atexit.register(self.close_at_exit)  # registered after the loop's own close, so it runs before
        if place.provider.name == "simulator" and place.options.base_url is None:
            url = await asyncio.to_thread(self.simulator_url)
            place = replace(place, options=replace(place.options, base_url=url, api_key=None))
        if self._simulator is not None and place.options.base_url == self._simulator.url:
            place = replace(place, options=replace(place.options, api_key=Key(SIMULATOR_KEY)))
        return place

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
        from .simulator.process import note

        return note(simulator_speed())

    def first_note(self, text: str | None, options: ClientOptions | None, place: Place) -> str:
        """The note of a lane, which says once of each default service who chose it.

        Where nobody looks on, the simulator's own word is enough: a notebook that is run again stays as it was.
        """
        from .live.screen import screen

        service, note = self.default_service(), self.note(place.provider.name)
        told = (service.provider.name, service.source)
        if told == self._told or not service.is_chosen_for(text, options, place):
            return note
        if not service.source and screen() in ("text", "file"):
            return note
        self._told = told
        return f"{note or service.provider.name} ({service.source or 'no key set'})"


def simulator_speed() -> float | None:
    """The simulator's speed factor from the environment: a number, or `max` for unpaced; 1 is as the documents say."""
    text = os.environ.get(_SPEED_VARIABLE, "1").strip()
    if text == "max":
        return None
    with contextlib.suppress(ValueError):
        if (speed := float(text)) > 0:
            return speed
    raise SetupError(f"{_SPEED_VARIABLE}={text!r} is no speed: give a number above 0, or max.")


def _new(ask: Ask) -> Sequence[Message]:
    return [{"role": "user", "content": ask.prompt}] if isinstance(ask.prompt, str) else ask.prompt


def _told(reply: Reply) -> Message:
    """It as the model is told of it with the next question."""
    answer: Message = {"role": "assistant", "content": reply.text}
    return answer if reply.echo is None else {**answer, "echo": reply.echo}


def _notes(ask: Ask, *, goes_on: bool) -> list[str]:
    """What an answer's status says of what came before it."""
    resumed = ["continues the conversation of before the restart"] if goes_on else []
    return resumed + (["continued: figures of the new part"] if ask.cut is not None else [])


def _continued(start: Callable[..., Stream], messages: Sequence[Message], cut: Cut) -> Continued:
    from .continued import Continued

    return Continued(start, messages, cut)


def _with_tools(
    client: Client, model: str, messages: Sequence[Message], parameters: dict[str, Any], ask: Ask, questions: Questions
) -> ToolRun:
    from .client.options import REQUEST_FIELDS
    from .tools.run import run_tools

    handed = {name: value for name, value in parameters.items() if name in REQUEST_FIELDS}
    if uncommon := {name: value for name, value in parameters.items() if name not in REQUEST_FIELDS}:
        handed["parameters"] = uncommon
    return run_tools(
        client,
        messages,
        tools=ask.tools,
        model=model,
        consent=ask.allow,
        ask=questions.ask,
        timeout=ask.timeout,
        transport=ask.transport,
        strict=ask.strict,
        keep_chunks=ask.keep_chunks,
        **handed,
    )


def check_key_is_for_one(places: Sequence[Place], options: ClientOptions | None) -> None:
    """Raises SetupError where a key that was given without an address would go to several services."""
    from .defaults import SECRETS, is_set

    if options is None or options.base_url is not None or len({place.provider.name for place in places}) < 2:
        return
    if given := [name for name in SECRETS if is_set(options, name)]:
        names = ", ".join(dict.fromkeys(place.provider.name for place in places))
        raise SetupError(f"{given[0]} is for one service, and several are asked ({names}): ask them one by one.")


def _raise(lanes: Sequence[Lane]) -> None:
    failed = [(lane.label, lane.error) for lane in lanes if lane.error is not None]
    if len(lanes) == 1 and failed:
        raise failed[0][1]
    if failed:
        said = "; ".join(f"{label}: {error}" for label, error in failed)
        raise SeveralFailed(f"{len(failed)} of {len(lanes)} models failed. {said}", dict(failed))


session: Final = Session()
"""The session of this process."""

configure = session.configure
stream = session.stream
history = session.history
