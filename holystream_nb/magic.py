"""%%stream: parse once into an options value, call, show.

In a kernel the cell is an awaited one: while a synchronous cell runs, no click reaches the kernel (ipykernel 7.4), and
IPython has no asynchronous magics, so an input transformer turns the magic's call into an `await`. Nested in another
cell magic (`%%capture`, `%%time`), in a terminal, or with autoawait off, the ordinary magic runs through `sync`.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import keyword
import math
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, Enum, Float, Int, TraitError, Unicode, Union, observe, validate

from . import kinds
from .ask import Ask, Format
from .errors import INTERRUPTED, HolystreamError, SetupError, in_one_line
from .facts import WIRES, Wire
from .live.cells import cells
from .live.page import page
from .money.amount import CURRENCIES, show_in
from .providers.address import parts_of
from .providers.extras import header_name_flaw, variable_flaw
from .reply import TransportChoice
from .session import session
from .sync import run
from .tools.mcp_servers import named


class Interrupted(KeyboardInterrupt):
    """■ was pressed: ends the cell, and with it Run All, in one line."""

    def _render_traceback_(self) -> list[str]:
        return [INTERRUPTED]


Interrupted.__name__ = "KeyboardInterrupt"  # the name that users and front-ends know


def _usd(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of US dollars") from None


@dataclass(frozen=True, slots=True)
class Options:
    """What the option line says, over the defaults of `%config StreamMagics`."""

    models: tuple[str, ...] = ()
    base_url: str | None = None
    system: str | None = None
    timeout: float | None = None
    name: str | None = None
    chat: str | None = None
    format: Format = "markdown"
    max_cost: Decimal | None = None
    transport: TransportChoice = "sse"
    wire: Wire | None = None
    tools: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    mcp: tuple[str, ...] = ()
    key_variable: str | None = None
    inactivity: float | None = None
    progress_timeout: float | None = None


_SHARED: Final = (
    *("model", "base_url", "key_variable", "key_header", "ca", "cert", "wire", "inactivity", "progress_timeout"),
    "retries",
)
"""Settings of `%config StreamMagics` that hold for every door; the others are for %%stream."""


def _address(_name: str, value: str) -> None:
    parts_of(value)


def _variable(name: str, value: str) -> None:
    if flaw := variable_flaw(value):
        raise SetupError(f"The {name} {flaw}.")


def _header(name: str, value: str) -> None:
    if flaw := header_name_flaw(value):
        raise SetupError(f"The {name} {flaw}.")


_CLOCKS: Final = ("inactivity", "progress_timeout")


def _limits(clocks: Mapping[str, float | None]) -> None:
    from .client.options import client_options  # late: it brings what opens connections

    client_options(**clocks)


_CHECKS: Final[Mapping[str, Callable[[str, Any], object]]] = {
    "base_url": _address,
    "key_variable": _variable,
    "key_header": _header,
    "wire": lambda name, value: kinds.choice(name, value, WIRES),
    "timeout": kinds.seconds,
    "max_cost": kinds.money,
    "session_budget": kinds.money,
    "inactivity": kinds.seconds,
    "progress_timeout": kinds.seconds,
    "retries": kinds.count,
}


@magics_class
class StreamMagics(Magics):
    """The magics of holystream_nb; what is set here is the default of every %%stream (`%config StreamMagics`)."""

    model = Unicode("", help="model, or provider:model").tag(config=True)
    system = Unicode("", help="system prompt").tag(config=True)
    temperature = Float(None, allow_none=True, help="sampling temperature").tag(config=True)
    max_tokens = Int(None, allow_none=True, min=1, help="largest number of tokens of an answer").tag(config=True)
    timeout = Float(None, allow_none=True, help="limit on a whole answer in seconds").tag(config=True)
    max_cost = Float(None, allow_none=True, help="USD that a cell may cost at most").tag(config=True)
    session_budget = Float(
        None, allow_none=True, help="USD that all answers of this kernel may cost together, those before included"
    ).tag(config=True)
    currency = Enum(CURRENCIES, "USD", help="what costs are shown in: USD, or CNY at each provider's rate").tag(
        config=True
    )
    base_url = Unicode("", help="address of the default service, for every door of this kernel").tag(config=True)
    key_variable = Unicode("", help="name of the variable that has its key").tag(config=True)
    key_header = Unicode("", help="header that carries its key, instead of Authorization").tag(config=True)
    ca = Unicode("", help="file of certificates to trust instead of the usual ones").tag(config=True)
    cert = Unicode("", help="file of a certificate of one's own").tag(config=True)
    wire = Unicode("", help="format the service is spoken to in: chat, messages or responses").tag(config=True)
    inactivity = Float(None, allow_none=True, help="limit on a silence in seconds").tag(config=True)
    progress_timeout = Float(None, allow_none=True, help="limit on the time without output in seconds").tag(config=True)
    retries = Int(None, allow_none=True, help="attempts after the first, before any output").tag(config=True)

    journal = Union(
        (Bool(), Unicode()),
        default_value=None,
        allow_none=True,
        help="whether answers are written down, or the folder; None: as HOLYSTREAM_JOURNAL says",
    ).tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._tell()
        self._tell_budget()
        self._tell_currency()

    @observe(*_SHARED)
    def _tell(self, _change: Any = None) -> None:
        """What holds for every door is the session's."""
        session.config = {name: getattr(self, name) for name in _SHARED}

    @observe("session_budget")
    def _tell_budget(self, _change: Any = None) -> None:
        session.budget.limit = None if self.session_budget is None else _usd(f"{self.session_budget:.15g}")

    @observe("currency")
    def _tell_currency(self, _change: Any = None) -> None:
        show_in(self.currency)

    @validate("journal")
    def _is_place(self, proposal: Any) -> Any:
        """At once for this kernel's answers; TraitError for what is no place: what was set before stays."""
        from .journal.journal import journal  # late, as all that a loaded extension does not need

        try:
            journal.configure(journal=proposal["value"])
        except SetupError as exc:
            raise TraitError(str(exc)) from None
        return proposal["value"]

    @validate(*_CHECKS)
    def _can_be(self, proposal: Any) -> Any:
        """What is set; TraitError, without a text that may be a key, for what cannot be: what was set before stays."""
        name, value = proposal["trait"].name, proposal["value"]
        if value not in (None, ""):
            try:
                _CHECKS[name](name, value)
                if name in _CLOCKS:
                    _limits({each: getattr(self, each) for each in _CLOCKS} | {name: value})
            except SetupError as exc:
                raise TraitError(str(exc)) from None
        return value

    @no_var_expand
    @magic_arguments()
    @argument(
        "-m", "--model", action="append", help="model, or provider:model; repeated, the models answer side by side"
    )
    @argument("-s", "--system", help="system prompt")
    @argument("-t", "--temperature", type=float, help="sampling temperature")
    @argument("-n", "--max-tokens", type=int, help="largest number of tokens of the answer")
    @argument(
        "-p", "--param", action="append", metavar="KEY=JSON", help="a further field of the request; may be repeated"
    )
    @argument(
        "-f",
        "--format",
        choices=get_args(Format),
        default="markdown",
        help="how the answer is drawn; code: its code becomes the next cell, which is not run; "
        "json: JSON is asked for, must be valid, and is the reply's data",
    )
    @argument("--as", dest="name", metavar="NAME", help="keep the reply in this variable; of several, a mapping")
    @argument(
        "--chat",
        metavar="NAME",
        help="continue the conversation of this name, also after a restart (%%stream forget NAME ends it)",
    )
    @argument(
        "--max-cost",
        type=_usd,
        metavar="USD",
        help="end the answer before the cell costs more; hidden reasoning is held by the service's own limit alone",
    )
    @argument(
        "--tools",
        action="append",
        metavar="NAMES",
        help="functions of this notebook that the model may call, with commas between; each call waits for your click",
    )
    @argument("--mcp", action="append", metavar="NAMES", help="MCP servers of your mcp.json whose tools it may call")
    @argument(
        "--allow", action="append", metavar="NAMES", help="tools that may run unasked; all: every one; may be repeated"
    )
    @argument(
        "--base-url", help="another OpenAI-compatible address; a provider's key is sent to no other host than its own"
    )
    @argument("--key-variable", metavar="NAME", help="name of the variable that has the key (never the key itself)")
    @argument(
        "--transport",
        choices=get_args(TransportChoice),
        default="sse",
        help="what carries the answer: server-sent events, the service's WebSocket, or auto: a socket if it offers one",
    )
    @argument(
        "--wire",
        choices=WIRES,
        help="the format the service is spoken to in, instead of the provider's first",
    )
    @argument("--timeout", type=float, help="limit on the whole answer in seconds; none by default")
    @argument("--inactivity", type=float, metavar="SECONDS", help="limit on a silence without any byte")
    @argument("--progress-timeout", type=float, metavar="SECONDS", help="limit on the time without output")
    @cell_magic("stream")  # type: ignore[arg-type]  # IPython's decorators are typed for bare use only
    def stream(self, line: str, cell: str) -> None:
        """Send the cell to a language model and show the answer as it arrives.

        {name} in the cell, or in the system prompt, becomes the value of that variable; any other braces stay.
        """
        try:
            run(self.stream_cell(line, cell))
        except KeyboardInterrupt as exc:
            raise Interrupted from exc

    async def stream_cell(self, line: str, cell: str) -> None:
        """The same, awaited."""
        try:
            options = parse(line)
            if not cell.strip():
                raise SetupError("The cell is empty: write the prompt below %%stream.")
            await self._answer(options, cell)
        except HolystreamError as exc:
            raise in_one_line(exc) from None
        except asyncio.CancelledError as exc:
            raise Interrupted from exc

    @no_var_expand
    @line_magic("stream")  # type: ignore[arg-type]
    def stream_line(self, line: str) -> None:
        """What this session has used; models; a service tried; which formats were; an answer again; forgetting.

        %stream                provider, model, and the totals of this session
        %stream config         what is set, by whom, and the paths of your providers.toml and mcp.json
        %stream models [NAME]  the models of the session's provider, or of the one named, with pace and prices
        %stream check [NAME …] try a provider, or provider:model, with a few tokens; several stand side by side
        %stream formats        which format was tried on what, for each provider
        %stream last [n]       the last answer of this notebook, or the n-th last, also of before a restart, as text
        %stream find WORDS     answers with these words, of all notebooks, the newest first, each with its id
        %stream show ID        one of them
        %stream continue [n]   go on where the last answer was cut, or the n-th last, or the one of an ID
        %stream forget NAME    forget the conversation of %%stream --chat NAME
        """
        try:
            words = shlex.split(line)
            if words[:1] == ["continue"]:
                run(self.continue_cell(line))
            else:
                from .report import report  # late, as above

                report(words, session)
        except (HolystreamError, ValueError) as exc:
            error = exc if isinstance(exc, HolystreamError) else SetupError(f"%stream cannot be read: {exc}.")
            raise in_one_line(error) from None
        except KeyboardInterrupt as exc:
            raise Interrupted from exc

    async def continue_cell(self, line: str) -> None:
        """`%stream continue`, awaited."""
        from .recall import going_on  # late, as above

        try:
            match shlex.split(line):
                case ["continue", *which] if len(which) <= 1:
                    ask = await asyncio.to_thread(going_on, session, *which)  # it reads the journal
                    await session.ask(ask)
                    self._set_next(ask.format)
                case words:
                    raise SetupError(f"%stream {' '.join(words)}: write %stream continue, continue N, or continue ID.")
        except HolystreamError as exc:
            raise in_one_line(exc) from None
        except asyncio.CancelledError as exc:
            raise Interrupted from exc

    async def _answer(self, options: Options, prompt: str) -> None:
        from .client.options import client_options  # late: it brings what opens connections

        defaults = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        max_cost = options.max_cost
        if max_cost is None and self.max_cost is not None:
            max_cost = _usd(str(self.max_cost))
        system = options.system if options.system is not None else self.system
        models: tuple[str | None, ...] = options.models or (None,)
        requests = session.totals.requests
        ask = Ask(
            prompt=interpolated(prompt.strip("\n"), self._variables()),
            models=models,
            system=interpolated(system, self._variables()) or None,
            options=client_options(
                base_url=options.base_url,
                key_variable=options.key_variable,
                wire=options.wire,
                inactivity=options.inactivity,
                progress_timeout=options.progress_timeout,
            ),
            timeout=options.timeout if options.timeout is not None else self.timeout,
            chat=options.chat,
            format=options.format,
            max_cost=max_cost,
            transport=options.transport,
            tools=(*(_function(name, self._variables()) for name in options.tools), *map(named, options.mcp)),
            allow="all" if "all" in options.allow else options.allow or "ask",
            parameters={**{key: value for key, value in defaults.items() if value is not None}, **options.parameters},
            is_line=True,
        )
        try:
            await session.ask(ask)
        finally:
            if options.name and session.totals.requests > requests:
                replies = session.history[-len(models) :]
                labels = [model or reply.model for model, reply in zip(models, replies, strict=True)]
                value = replies[0] if len(models) == 1 else dict(zip(labels, replies, strict=True))
                self._variables()[options.name] = value
        self._set_next(options.format)

    def _set_next(self, format: Format) -> None:
        """Code becomes the next cell."""
        if format == "code" and self.shell is not None:
            self.shell.set_next_input(code(session.history[-1].text))

    def _variables(self) -> dict[str, Any]:
        assert self.shell is not None  # noqa: S101  # magics are registered with a shell
        variables: dict[str, Any] = self.shell.user_ns
        return variables


def parse(line: str) -> Options:
    """The option line as a value; nothing in it is evaluated. Raises SetupError, which names what is wrong."""
    parser = StreamMagics.stream.parser  # magic_arguments puts it there
    parser.allow_abbrev = False
    try:
        words = shlex.split(line)
    except ValueError as exc:
        raise SetupError(f"The option line of %%stream cannot be read: {exc}.") from exc
    _refuse_keys(words)
    try:
        values: argparse.Namespace = parser.parse_args(words)
    except UsageError as exc:
        raise SetupError(f"%%stream: {exc} (see %%stream?).") from exc
    if values.name is not None and (not values.name.isidentifier() or keyword.iskeyword(values.name)):
        raise SetupError(f"--as {values.name}: this is not a variable's name.")
    for option in ("timeout", "inactivity", "progress_timeout"):
        if getattr(values, option) is not None:
            _seconds(option, getattr(values, option))
    if values.key_variable is not None:
        _variable("--key-variable", values.key_variable)
    if values.base_url is not None:
        _address("--base-url", values.base_url)
    if values.max_tokens is not None and values.max_tokens < 1:
        raise SetupError(f"--max-tokens {values.max_tokens}: give 1 or more.")
    if values.max_cost is not None and not (values.max_cost.is_finite() and values.max_cost > 0):
        raise SetupError(f"--max-cost {values.max_cost}: give US dollars above 0.")
    models = tuple(values.model or ())
    if any(not model.strip() for model in models):
        raise SetupError("-m names no model: write -m MODEL, or -m PROVIDER:MODEL.")
    if values.format == "code" and len(models) > 1:
        raise SetupError("--format code makes one next cell: give one -m.")
    parameters = _parameters(values.param or [])
    for key in ("temperature", "max_tokens"):
        if getattr(values, key) is not None:
            parameters[key] = getattr(values, key)
    return Options(
        models,
        values.base_url,
        values.system,
        values.timeout,
        values.name,
        values.chat,
        values.format,
        values.max_cost,
        values.transport,
        values.wire,
        _listed(values.tools, "--tools", r"[^\W\d]\w*"),
        _listed(values.allow, "--allow", r"[\w-]+"),
        parameters,
        _listed(values.mcp, "--mcp", r"\S.*"),
        values.key_variable,
        values.inactivity,
        values.progress_timeout,
    )


def _seconds(option: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise SetupError(f"--{option.replace('_', '-')} {value:g}: give seconds above 0.")


def _listed(texts: list[str] | None, option: str, name: str) -> tuple[str, ...]:
    names = [each.strip() for text in texts or () for each in text.split(",")]
    if wrong := [each for each in names if not re.fullmatch(name, each)]:
        what = "an MCP server's" if option == "--mcp" else "a function's"
        raise SetupError(f"{option} {wrong[0]}: this is not {what} name; write for example {option} a,b.")
    return tuple(dict.fromkeys(names))


def _function(name: str, variables: Mapping[str, Any]) -> Callable[..., Any]:
    function: Callable[..., Any] | None = variables.get(name)
    if not callable(function):
        what = "there is no function of this name in the notebook" if name not in variables else "this is no function"
        raise SetupError(
            f"--tools {name}: {what}; define it in a cell before this one, with a type for each parameter."
        )
    return function


_NAME: Final = re.compile(r"\{([^\W\d]\w*)\}")


def interpolated(text: str, variables: Mapping[str, Any]) -> str:
    """`{name}` becomes the text of that variable; no attributes, no calls; an unknown name and other braces stay."""
    return _NAME.sub(lambda match: str(variables[match[1]]) if match[1] in variables else match[0], text)


_FENCED: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^(?P=fence)[`~]*[ \t]*$", re.MULTILINE | re.DOTALL
)


def code(answer: str) -> str:
    """The fenced code of an answer, all blocks in order; the whole answer where there is none."""
    blocks = [match["code"].rstrip("\n") for match in _FENCED.finditer(answer)]
    return "\n\n".join(blocks) or answer


def _refuse_keys(words: list[str]) -> None:
    """Raises SetupError for a text of a key's shape: the line is saved with the notebook."""
    from .wire.redaction import redact_marked

    if any(redact_marked(word) != word for word in words):
        raise SetupError(
            "The option line holds what looks like a key, and would be saved with the notebook: take it out, put the "
            "key into a variable of the environment, and name that with --key-variable NAME."
        )


def _parameters(texts: list[str]) -> dict[str, Any]:
    from .client.options import fields_of  # late: it brings what opens connections

    names = [text.partition("=")[0] for text in texts]
    fields_of("%%stream", {}, dict.fromkeys(names), options_at="hs.configure(…)")  # a name first: no key is repeated
    return dict(map(_parameter, texts))


def _parameter(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise SetupError(f"--param {text}: write KEY=JSON, for example -p seed=7 or -p 'stop=[\"END\"]'.")
    try:
        return key, json.loads(value)
    except ValueError as exc:
        form = f'{key}={value[0]}"…"{value[-1]}' if value[:1] in ("{", "[") else f'{key}="…"'
        raise SetupError(f"--param {text}: {value!r} is not JSON; write it in quotes, -p '{form}'.") from exc


# The awaited cell

_CELL: Final = "get_ipython().run_cell_magic"
_LINE: Final = "get_ipython().run_line_magic"


def awaited(lines: list[str]) -> list[str]:
    """Input transformer: `%%stream`, or `%stream continue`, alone in a cell becomes an `await`."""
    if not (lines and lines[0].startswith((_CELL, _LINE))) or not _may_await():
        return lines
    try:
        body = ast.parse("".join(lines)).body
    except SyntaxError:
        return lines
    match body:
        case [ast.Expr(ast.Call(args=[ast.Constant("stream"), ast.Constant(str(line)), ast.Constant(str(cell))]))]:
            return [f"await get_ipython().find_cell_magic('stream').__self__.stream_cell({line!r}, {cell!r})\n"]
        case [ast.Expr(ast.Call(args=[ast.Constant("stream"), ast.Constant(str(line))]))]:
            if line.split()[:1] == ["continue"]:
                return [f"await get_ipython().find_line_magic('stream').__self__.continue_cell({line!r})\n"]
    return lines


def _may_await() -> bool:
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return False
    return bool(shell.autoawait) and not _is_nested()


def _is_nested() -> bool:
    """Whether a cell is running already, so that this one belongs to another magic (`%%capture`, `%%time`)."""
    frame = sys._getframe()
    run_code = InteractiveShell.run_code.__code__
    while frame is not None:
        if frame.f_code is run_code:
            return True
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return False


def load(shell: InteractiveShell) -> None:
    """Registers the magics and the transformer; a second load replaces the first."""
    unload(shell)
    shell.register_magics(StreamMagics)
    shell.input_transformers_post.append(awaited)
    cells.begin()


def unload(shell: InteractiveShell) -> None:
    """Puts back what was there."""
    page.end()
    cells.end()
    transformers: list[Callable[[list[str]], list[str]]] = shell.input_transformers_post
    transformers[:] = [transformer for transformer in transformers if transformer is not awaited]
    manager = shell.magics_manager
    if isinstance(manager.registry.pop("StreamMagics", None), StreamMagics):
        manager.magics["cell"].pop("stream", None)
        manager.magics["line"].pop("stream", None)
        from .journal.journal import journal  # late, as above

        journal.configure()
    session.config = {}
    session.end_servers()
    session.budget.limit = None
    show_in("USD")
    shell.configurables[:] = [item for item in shell.configurables if not isinstance(item, StreamMagics)]
