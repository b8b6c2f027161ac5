"""ChatPanel: the program's half. What a page does and what the program does are one conversation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import traitlets

from .. import kinds
from ..ask import consent, functions, model_name
from ..client.options import ClientOptions, client_options
from ..defaults import SECRETS, Place, has_secrets, without
from ..errors import INTERRUPTED, HolystreamError, SetupError, SeveralFailed, in_one_line
from ..events import Usage
from ..facts import Wire
from ..journal.values import Origin
from ..live.screen import current_shell, screen
from ..money.cost import Cost
from ..providers.secret import sealing
from ..reply import Reply, TransportChoice
from ..session import check_key_is_for_one, session
from ..tools.exchange import Message
from ..tools.executor import Consent
from ..tools.mcp_servers import Server
from .answering import Answering
from .conversation import Conversation, Turn
from .display import NO_WIDGETS, Display
from .files import VERSION, Saved, load, save, write, write_new
from .home import Home
from .kept import Kept, settled
from .markdown import markdown
from .names import Names
from .policy import Chat, News
from .settings import Means, Settings
from .thread import panels

T = TypeVar("T")
C = TypeVar("C", bound=Callable[[Reply], object])

_AWAKE_S: Final = 0.1
"""An event loop that only waits notices ■ (a signal) when it next wakes."""

names: Final[Names[ChatPanel]] = Names()

_SETTINGS: Final = ("models", "system", "temperature", "max_tokens")


class Question:
    """A question on its way: `await` it for the first model's Reply; `replies` has every model's by its name.

    Awaiting raises the answer's error, or SeveralFailed; a stopped answer is none. Nobody has to wait. An await that is
    cancelled (■) stops the answers.
    """

    def __init__(self, answering: Answering, home: Home) -> None:
        self._answering = answering
        self._home = home

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._wait().__await__()

    def __repr__(self) -> str:
        models = ", ".join(lane.label for lane in self._answering.turn.lanes)
        return f"<Question to {models}, {'answered' if self.is_answered else 'answers are arriving'}>"

    @property
    def is_answered(self) -> bool:
        return self._answering.done.done()

    @property
    def replies(self) -> dict[str, Reply]:
        """What has arrived of each model's answer, by the name it was asked under."""
        labels = (lane.label for lane in self._answering.turn.lanes)
        return dict(zip(labels, self._answering.replies, strict=True))

    async def _wait(self) -> Reply:
        try:
            waiting = asyncio.wrap_future(self._answering.done)
            while not waiting.done():
                await asyncio.wait([waiting], timeout=_AWAKE_S)
        except asyncio.CancelledError as exc:
            panels.hand_over(self._answering.stop)
            in_one_line(exc, INTERRUPTED)
            raise
        self._home.empty()
        replies = waiting.result()
        failed = {label: reply.error for label, reply in self.replies.items() if reply.error is not None}
        if len(replies) > 1 and failed:
            said = "; ".join(f"{label}: {error}" for label, error in failed.items())
            raise in_one_line(SeveralFailed(f"{len(failed)} of {len(replies)} models failed. {said}", failed))
        if failed:
            raise in_one_line(next(iter(failed.values())))
        return replies[0]


class ChatPanel(traitlets.HasTraits):
    """A chat with one model, or with up to four side by side, displayed in a cell's output.

    model: `model` or `provider:model`; without it the model that is set (`hs.configure`), or the service's default.
    models: two to four of them, instead of one: each answers, and one is chosen to go on with.
    system: system prompt.
    temperature: 0 to 2; None leaves it to the service.
    max_tokens: largest number of tokens of an answer; None leaves it to the service.
    tools: typed Python functions that the models may call (`@hs.tool`), and MCP servers (`hs.mcp`); each call waits
        for the reader's click. Functions run beside the cells: an async one on the loop of all panels, which it must
        not block, a sync one in a thread of its own; what they print may land in any cell.
    allow: tools that may run unasked: names, or "all". Where nobody sees the panel, the other calls are refused.
    name: what its conversation is called in the journal, for this notebook: the next panel of that name goes on with
        it. Without one a panel is called by its cell: the cell, run again, goes on, also after a restart of the kernel.
    max_cost: USD that the whole conversation may cost at most, what a loaded one has cost included: a question that it
        does not pay for is not sent, and an answer that would pass it is ended. Hidden reasoning is not seen meanwhile.
    transport: what carries the answers: sse, ws or auto (as for `Client`).
    wire: the format: chat, messages or responses, instead of each provider's first.
    base_url: another OpenAI-compatible address. A provider's key is sent to no other host than the provider's.
    api_key, key_variable, key_header, headers, query, ca, cert, inactivity, progress_timeout, retries: how services are
        reached, as for `Client`. A key is for one service, to which the panel then keeps, and is never saved.

    The first five may be changed at any time, here and on the page, and hold from the next question on.
    Observable besides:
    `messages` (everything asked and answered, with figures), `is_streaming`, `full_response` (the text of the latest
    answer, "" until it has ended), `error` (the latest answer's HolystreamError, or None), `usage` and `cost` (sums
    over all requests of the panel). They change on the kernel's main thread, between cells and while a cell awaits,
    never beside the program's own code; the answers themselves stream on while a cell computes. In a script they
    change when a question is awaited, and at the panel's next method.

    Raises SetupError for a setting that cannot be.
    """

    models = traitlets.List(traitlets.Unicode())
    model = traitlets.Unicode()
    system = traitlets.Unicode("")
    temperature = traitlets.Float(None, allow_none=True)
    max_tokens = traitlets.Int(None, allow_none=True)
    messages = traitlets.List(traitlets.Dict(), read_only=True)
    is_streaming = traitlets.Bool(False, read_only=True)
    full_response = traitlets.Unicode("", read_only=True)
    error = traitlets.Instance(HolystreamError, allow_none=True, read_only=True)
    usage = traitlets.Instance(Usage, read_only=True)
    cost = traitlets.Instance(Cost, read_only=True)

    @sealing()
    def __init__(
        self,
        model: str | None = None,
        *,
        models: list[str] | tuple[str, ...] | None = None,
        system: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Callable[..., Any] | Server] = (),
        allow: Consent = "ask",
        max_cost: Decimal | float | str | None = None,
        name: str | None = None,
        transport: TransportChoice = "sse",
        wire: Wire | None = None,
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
    ) -> None:
        if model is not None and models is not None:
            raise SetupError("Give model, or models, not both.")
        if isinstance(models, str):
            raise SetupError(f"models is a list of names: models=[{models!r}], or model={models!r}.")
        if models is not None and not isinstance(models, list | tuple):
            raise SetupError(f"models is {kinds.kind(models)}: give a list of names, models=['gpt-4.1', 'gpt-4o'].")
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
        limit = kinds.optional_money("max_cost", max_cost)
        Means(options, transport, functions(tools), consent(allow)).checked()
        named = None if models is None else Settings(tuple(models)).checked().models
        places = _places([model_name(model, "give models=[…]")] if named is None else list(named), options)
        means = Means(_pinned(options, places), transport, functions(tools), consent(allow), limit)
        given = Settings(named or (model or places[0].text,), system, temperature, max_tokens).checked()
        self._begin(given, means, names.call(kinds.optional_text("name", name, "name='notes'")))

    def _begin(self, given: Settings, means: Means, where: Origin, file: Saved | None = None) -> None:
        """Goes on with the conversation of its name, unless a file says what it begins with."""
        self._is_told = True
        self._told = given
        self._tells = False
        super().__init__()
        self._home = Home()
        self._callbacks: list[tuple[Callable[[Reply], object], Context]] = []
        self._later: set[asyncio.Future[Any]] = set()
        self._where = where
        self._kept = Kept(where, given)
        before = names.take(where, self)
        if before is not None and file is None:
            now = panels.call(lambda: before._chat.settings)
            settings = settled(given, before._kept.given, now)
            self._chat = before._leave()
            self._display = Display(self._chat, options=means.options, is_kept=self._kept.is_kept)
            kept = self._kept
            self._do(self._chat.go_on, settings, means, report=self._hear_news, set_aside=kept.set_aside, where=where)
        else:
            if before is not None:
                panels.call(before._leave().close)
            self._chat = self._with(self._kept.begin(file), means)
            self._display = Display(self._chat, options=means.options, is_kept=self._kept.is_kept)
            self._apply(News(self._chat.conversation, self._chat.settings, self._chat.spent, is_streaming=False))
        self.observe(self._changed, [*_SETTINGS, "model"])
        panels.add(self._chat)

    def _with(self, saved: Saved, means: Means) -> Chat:
        return Chat(
            session,
            saved.settings,
            report=self._hear_news,
            save_copy=_save_copy,
            set_aside=self._kept.set_aside,
            means=means,
            conversation=Conversation(saved.turns),
            spent=saved.spent,
            where=self._where,
        )

    def _leave(self) -> Chat:
        """Gives its conversation away, with what is arriving, and keeps what has arrived: it is closed."""
        chat = self._chat
        self._home.empty()
        self._display.leave()
        conversation, settings, spent = panels.call(lambda: (chat.standing().ended(), chat.settings, chat.spent))
        self._kept = Kept(Origin("panel"), self._kept.given)
        self._chat = self._with(Saved(VERSION, settings, spent, conversation.turns), Means())
        panels.call(self._chat.close)
        self._apply(News(conversation, settings, spent, is_streaming=False))
        return chat

    def __repr__(self) -> str:
        if not hasattr(self, "_chat"):  # in a traceback from its own making
            return "ChatPanel(…)"
        asked = len(self._chat.conversation.turns)
        return f"ChatPanel({', '.join(self.models)}; {asked} question{'' if asked == 1 else 's'})"

    def _ipython_display_(self, **_options: Any) -> None:
        on = screen()
        if on == "text":
            print(f"{self!r} {NO_WIDGETS}")
            self._display.prints()
        else:
            self._display.show(on == "page")

    def _display_(self) -> Any:
        """What marimo shows of it."""
        if screen() == "text":
            return f"{self!r} {NO_WIDGETS}"
        return self._display.uncopied()

    # What the program does

    def send(self, text: str) -> Question:
        """Asks `models` a question; `await` what it returns for the Reply. The answer arrives in any case.

        Raises SetupError while an answer is arriving, and for a panel that is closed.
        """
        return self._ask(self._chat.send, text)

    def regenerate(self, turn: int = -1) -> Question:
        """Asks a question again (the last one), the `models` of now; what came after it goes."""
        return self._ask(self._chat.regenerate, self._turn(turn).id)

    def edit(self, text: str, turn: int = -1) -> Question:
        """Asks another question in the place of one (the last); what came after it goes."""
        return self._ask(self._chat.edit, self._turn(turn).id, text)

    def stop(self) -> None:
        """Ends what is arriving, and its connection; what has arrived stays."""
        panels.call(self._chat.stop)

    def delete(self, turn: int = -1) -> None:
        """Takes a question away (the last), its answers, and all after it."""
        self._do(self._chat.delete, self._turn(turn).id)

    def reset(self) -> None:
        """Begins anew; what was spent stays in `usage` and `cost`, and the conversation before in the journal."""
        self._do(self._chat.begin_anew)

    def choose(self, model: str, turn: int = -1) -> None:
        """Goes on with this model and its answer, of several to one question (the last)."""
        chosen = self._turn(turn)
        labels = [lane.label for lane in chosen.lanes]
        if model not in labels:
            raise SetupError(f"{model} was not asked this: choose one of {', '.join(labels)}.")
        self._do(self._chat.choose, chosen.id, labels.index(model))

    def on_reply(self, callback: C) -> C:
        """Calls back with the Reply of every answer that has ended, also a failed one; fit for a decorator.

        On the kernel's main thread, like an observer. A coroutine function is awaited there. What it prints lands in
        the cell that sent the question, or, where the reader sent it, in the cell that called `on_reply`.
        """
        self._callbacks.append((callback, copy_context()))
        return callback

    def close(self) -> None:
        """Stops what is arriving, and takes the panel from every page; the conversation can still be read and saved."""
        panels.call(self._chat.close)
        self._display.close()

    @property
    def widget(self) -> Any:
        """The panel's widget, for layouts (`ipywidgets.HBox`); observe the panel, not this."""
        return self._display.widget

    def shown_alone(self) -> str:
        """The widget's model, for a page that draws it outside of cells, without a saved copy."""
        model_id: str = self.widget.model_id
        panels.call(self._chat.displayed)
        return model_id

    def keep_at(self, notebook: str) -> None:
        """Its notebook has this path too: one that was renamed goes on with the conversation in its next kernel."""
        self._kept.also_at(notebook)
        panels.hand_over(self._write_down)

    def _write_down(self) -> None:
        self._kept.write(self._chat.conversation, self._chat.settings, self._chat.spent)

    def tell_context(self, context: Callable[[], str]) -> None:
        """Each question's system prompt ends with what this returns then, on the panels' thread."""
        panels.call(setattr, self._chat, "context", context)

    # What can be had of it

    def to_markdown(self) -> str:
        """The conversation as Markdown in which nothing of the model acts: no HTML; links are the sources alone."""
        return markdown(self._standing())

    def to_messages(self) -> list[Message]:
        """OpenAI's messages, as the next question would be sent with: `client.stream([*messages, …])`.

        Calls of tools and their results are among them. Questions without an answer are left out; of several answers it
        is the chosen one, or `model`'s own.
        """
        return self._standing().history(self.model, self.system)

    def save(self, path: str | Path) -> Path:
        """Writes the conversation: JSON that `ChatPanel.load` takes, or Markdown where the path ends in `.md`.

        A file that is there is written over, at once. There is never a key in it. Raises SetupError if it cannot be
        written.
        """
        path = Path(path).expanduser()
        if path.suffix.lower() in (".md", ".markdown"):
            write(path, self.to_markdown().encode())
        else:
            save(path, self._standing(), panels.call(lambda: self._chat.settings), self._chat.spent)
        return path

    @classmethod
    @sealing()
    def load(
        cls,
        path: str | Path,
        *,
        tools: Sequence[Callable[..., Any] | Server] = (),
        allow: Consent = "ask",
        max_cost: Decimal | float | str | None = None,
        name: str | None = None,
        transport: TransportChoice = "sse",
        **options: Any,
    ) -> ChatPanel:
        """A panel with the conversation and settings that `save` wrote; what else there is, is given as to a new one.

        options: how the services are reached: base_url, api_key, …, as for a new one.
        What was said under its name before is kept in the journal under another. Raises SetupError for any other file.
        """
        path = Path(path).expanduser()
        saved = load(path)
        panel = cls.__new__(cls)
        given = client_options(**options)
        if has_secrets(given):
            given = _pinned(given, _places(list(saved.settings.models), given))
        limit = kinds.optional_money("max_cost", max_cost)
        means = Means(given, transport, functions(tools), consent(allow), limit).checked()
        named = names.call(kinds.optional_text("name", name, "name='notes'"))
        panel._begin(saved.settings, means, named, saved)
        return panel

    # How the halves hear of each other

    def _ask(self, ask: Callable[..., Answering], *arguments: Any) -> Question:
        return Question(self._do(ask, *arguments, asked_in=copy_context()), self._home)

    def _do(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Does it on the panel's thread, and brings the traits up to date."""
        try:
            return panels.call(function, *arguments, **options)
        finally:
            self._home.empty()

    @traitlets.validate("model", "models", "temperature", "max_tokens")
    def _valid(self, proposal: Any) -> Any:
        """What the program sets; SetupError names what cannot be."""
        if not self._is_told:
            self._settings(**{proposal["trait"].name: proposal["value"]}).checked()
        return proposal["value"]

    def _settings(self, **changes: Any) -> Settings:
        models = changes.pop("models", self.models)
        if "model" in changes:
            models = [changes.pop("model")]
        now = {"system": self.system, "temperature": self.temperature, "max_tokens": self.max_tokens, **changes}
        return Settings(tuple(models), **now)

    def _changed(self, change: Any) -> None:
        now = Settings(tuple(self.models), self.system, self.temperature, self.max_tokens)
        if not self._is_told and (now, self.model) != (self._told, self._told.models[0]):
            self._do(self._chat.configure, self._settings(**{change["name"]: change["new"]}))

    def _turn(self, index: int) -> Turn:
        turns = panels.call(lambda: self._chat.conversation.turns)
        try:
            return turns[index]
        except (IndexError, TypeError):
            raise SetupError(f"There is no question {index}: {len(turns)} were asked.") from None

    def _standing(self) -> Conversation:
        return panels.call(self._chat.standing).ended()

    def _hear_news(self, news: News) -> None:
        """On the panel's thread."""
        self._kept.write(news.conversation, news.settings, news.spent)
        self._home.post(lambda: self._apply(news), news.asked_in)

    def _apply(self, news: News) -> None:
        """On the program's thread."""
        settings = news.settings
        for paid in news.paid:
            session.remember(paid.reply, paid.ask, paid.requests)
        self._is_told = True
        self._told = settings
        tells, self._tells = self._tells, True
        try:
            with self.hold_trait_notifications():
                self.set_trait("models", list(settings.models))
                self.set_trait("model", settings.models[0])
                self.set_trait("system", settings.system)
                self.set_trait("temperature", settings.temperature)
                self.set_trait("max_tokens", settings.max_tokens)
                self.set_trait("messages", news.conversation.messages())
                self.set_trait("usage", news.spent.usage)
                self.set_trait("cost", news.spent.cost)
                if news.is_streaming or news.replies:
                    self.set_trait("full_response", news.full_response)
                    self.set_trait("error", news.error)
                self.set_trait("is_streaming", news.is_streaming)
                self._is_told = False  # what observers set from here on is the program's wish
        finally:
            self._is_told = False
            self._tells = tells
        if not news.is_streaming:
            self._display.update(news.conversation)
        for reply in news.replies:
            for callback, registered_in in list(self._callbacks):
                context = copy_context() if news.asked_in is not None else registered_in.copy()
                context.run(self._call_back, callback, reply)

    def notify_change(self, change: Any) -> None:
        """Tells the observers of a trait. One that fails is shown; other traits and replies are told all the same.

        Later observers of the same trait are not: traitlets calls them one after the other and ends at the first error.
        """
        try:
            super().notify_change(change)
        except Exception:
            if not self._tells:
                raise  # it is the program that sets the trait, and hears of it there
            _show_error()

    def _call_back(self, callback: Callable[[Reply], object], reply: Reply) -> None:
        try:
            result = callback(reply)
            if isinstance(result, Awaitable):
                later = asyncio.ensure_future(result)
                self._later.add(later)
                later.add_done_callback(self._later.discard)
        except Exception:  # a callback of the user's: the panel goes on
            _show_error()


def _places(models: Sequence[str | None], options: ClientOptions) -> list[Place]:
    """Where the models' requests will go; a server of one's own may be asked for its models, and nobody else."""

    async def located() -> list[Place]:
        return [await session.locate(model, options) for model in models]

    is_inside = panels.is_here()  # of an answer, whose loop must not be waited for
    places = [session.located(model, options) for model in models] if is_inside else panels.wait(located())
    check_key_is_for_one(places, options)
    return places


def _pinned(options: ClientOptions, places: Sequence[Place]) -> ClientOptions:
    """The options, at the address of the service that a key is for: a reader may choose another one's model later.

    The simulator has no address yet, and needs no key.
    """
    if options.base_url is not None or not has_secrets(options):
        return options
    address = places[0].provider.base_url
    return without(options, SECRETS) if address is None else replace(options, base_url=address)


def _show_error() -> None:
    """The error that is being handled, as IPython shows one."""
    shell = current_shell()
    if shell is not None:
        shell.showtraceback()
    else:
        sys.excepthook(*sys.exc_info())


def _save_copy(conversation: Conversation) -> str:
    path = write_new(Path.cwd(), markdown(conversation), datetime.now())
    return f"Saved as {path.name} beside the notebook."
