"""MCP servers as values: a command or an address with its keys, given to `hs.mcp` or named in the user's file.

The file has the shape that other clients use, `{"mcpServers": {NAME: {"command", "args", "env", "cwd"}}}` or
`{NAME: {"type": "http", "url", "headers"}}`. It is `holystream_nb/mcp.json` in the user's configuration folder, or the
path in HOLYSTREAM_MCP. Nothing of the protocol is imported here, and nothing is started.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from ..errors import SetupError
from ..providers.address import address_flaw, is_loopback
from ..providers.extras import header_name_flaw, header_value_flaw, secrets_of
from ..providers.secret import Key, Sealed, Secrets, opened, sealing

INSTALL: Final = "MCP needs the package mcp 2 or later: run %pip install 'holystream_nb[mcp]', and restart the kernel."

_NAME: Final = re.compile(r"[\w@./: -]{1,64}")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_OPTION_OF_A_KEY: Final = re.compile(r"-{1,2}[\w-]*(?:key|token|secret|password|auth)[\w-]*", re.IGNORECASE)
_RUNNERS: Final = re.compile(r"(?:npx|bunx|uvx|node|python[\d.]*)(?:\.exe)?", re.IGNORECASE)
_FILE_BYTES: Final = 1_000_000


class _Entry(msgspec.Struct):
    type: str = ""
    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = {}


class _File(msgspec.Struct, rename={"servers": "mcpServers"}):
    servers: dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Server:
    """An MCP server to take tools from: a program that is run here, or an address. It starts when it is first used.

    `command` is the program and its arguments, `env` what its environment has beyond the little that MCP gives every
    server, `headers` go to `url`'s host alone. The values of these are keys, and never print.
    """

    name: str
    command: Sealed | None = None
    env: Secrets = ()
    cwd: str | None = None
    url: Key | None = None
    headers: Secrets = ()
    identity: str = field(init=False)
    """The same for two that say the same, without saying what: they share one process."""

    def __post_init__(self) -> None:
        said = [
            self.words,
            sorted((name, key.reveal()) for name, key in self.env),
            self.cwd,
            self.url.reveal() if self.url else None,
            sorted((name, key.reveal()) for name, key in self.headers),
        ]
        object.__setattr__(self, "identity", hashlib.sha256(json.dumps(said).encode()).hexdigest())

    def __repr__(self) -> str:
        return f"<MCP server {self.name}: {self.place}>"

    @property
    def words(self) -> list[str]:
        """The program and its arguments; none of an address."""
        return [] if self.command is None else [*self.command.open()]  # type: ignore[misc]  # it is sealed as such

    @property
    def place(self) -> str:
        """The program's name, or the address's host."""
        if self.url is not None:
            parts = urlsplit(self.url.reveal())
            return f"{parts.scheme}://{parts.netloc}"
        return Path(self.words[0]).name

    @property
    def prefix(self) -> str:
        """What its tools' names begin with."""
        return re.sub(r"[^A-Za-z0-9-]+", "_", self.name).strip("_")[:24] or "mcp"

    @property
    def keys(self) -> tuple[Key, ...]:
        """All that no text may show: environment, headers, the address's query, and arguments that are a key's.

        Each as it is, and as it stands in JSON.
        """
        query = parse_qsl(urlsplit(self.url.reveal()).query) if self.url is not None else []
        arguments = self.words[1:]
        named = [after for before, after in pairwise(arguments) if _names_a_key(before)]
        joined = [value for name, _, value in (each.partition("=") for each in arguments) if _names_a_key(name)]
        values = [key.reveal() for _, key in (*self.env, *self.headers)]
        secret = [*values, *(value for _, value in query), *named, *filter(None, joined)]
        return tuple(map(Key, dict.fromkeys([*secret, *(json.dumps(each)[1:-1] for each in secret)])))


@sealing("server", "env")
def mcp(
    server: str,
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    headers: Mapping[str, str] | None = None,
) -> Server:
    """The tools of an MCP server, for `tools=[…]` of `hs.stream`, `hs.run_tools` and `ChatPanel`.

        await hs.stream("Which files are there?", tools=[hs.mcp("uvx mcp-server-filesystem .", name="files")])

    Each call waits for your click, as a function's does; its tools are called NAME__TOOL, also in `allow`. Consent is
    for the tool as the server describes it: one that changes is asked for again. The server starts when it is first
    used, runs once in this kernel, and ends with it, or with `%unload_ext`. It is offered no sampling, elicitation or
    roots, its instructions go to no model, and its results are limited in size like a function's.

    server: a command with its arguments, an address (https://…; plain http:// on this machine only), or a name from
        your mcp.json: `{"mcpServers": {NAME: {"command": …, "args": […], "env": {…}}}}`, or `{"url": …, "headers": …}`.
        Values of `env` and `headers` there may be `${VARIABLE}`. `%%stream --mcp NAME` takes the same names.
    name: what its tools' names begin with; without it the program's or the host's.
    env: further variables of its environment, which has little besides PATH and HOME. The values are keys.
    cwd: the folder in which it runs.
    headers: sent to the address's host alone. The values are keys.

    Raises SetupError where the package mcp is missing, and for what cannot be a server.
    """
    given = opened(server)
    if not isinstance(given, str) or not given.strip():
        raise SetupError('The server of hs.mcp is a command, an address or a name: hs.mcp("uvx mcp-server-time").')
    _check_package()
    text = given.strip()
    own_env, own_headers = opened(env), opened(headers)
    if not (name or own_env or own_headers or cwd) and _NAME.fullmatch(text) and text in names():
        return named(text)
    if re.match(r"https?://", text, re.IGNORECASE):
        if own_env or cwd is not None:
            raise SetupError("env and cwd are for a command, and hs.mcp was given an address: give headers.")
        return _at(text, name, own_headers)
    if own_headers:
        raise SetupError("headers are for an address, and hs.mcp was given a command: give env.")
    try:
        words = shlex.split(text, posix=os.name != "nt")
    except ValueError as exc:
        raise SetupError(f"The command of hs.mcp cannot be read: {exc}.") from None
    return _run(words, name, own_env, cwd)


def split(tools: Any) -> tuple[Any, tuple[Server, ...]]:
    """Functions and MCP servers apart, each server once. Raises SetupError where two have the same name."""
    if isinstance(tools, Server):
        tools = [tools]
    if not isinstance(tools, Iterable) or callable(tools):
        return tools, ()
    listed = [*tools]
    servers = tuple({each.identity: each for each in listed if isinstance(each, Server)}.values())
    prefixes = [server.prefix for server in servers]
    if doubled := next((prefix for prefix in prefixes if prefixes.count(prefix) > 1), None):
        raise SetupError(f"Two MCP servers are called {doubled}: give one of them another name, hs.mcp(…, name=…).")
    return (tools if not servers else [each for each in listed if not isinstance(each, Server)]), servers


# The user's file


def user_file(environ: Mapping[str, str] = os.environ) -> tuple[Path, bool]:
    """The path of the user's mcp.json, and whether there is one."""
    if given := environ.get("HOLYSTREAM_MCP"):
        path = Path(given).expanduser()
    else:
        from platformdirs import user_config_path

        path = user_config_path("holystream_nb", appauthor=False) / "mcp.json"
    return path, path.is_file()


def names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The servers of the user's file; none where there is no file. Raises SetupError for one that cannot be read."""
    return list(_entries(environ))


def named(name: str, environ: Mapping[str, str] = os.environ) -> Server:
    """The server of this name in the user's file. Raises SetupError, naming file, entry and field, without a value."""
    _check_package()
    entries, (path, _) = _entries(environ), user_file(environ)
    if name not in entries:
        there = f"known are {', '.join(entries)}" if entries else 'write it: {"mcpServers": {NAME: {"command": …}}}'
        raise SetupError(f"{path} has no MCP server {name!r}: {there}.")
    at = f"{path}: {name}"
    if not _NAME.fullmatch(name):
        raise SetupError(f"{at} cannot be a name: take letters, digits, - and _, at most 64.")
    try:
        entry = msgspec.json.decode(entries[name], type=_Entry)
    except msgspec.DecodeError as exc:
        raise SetupError(f"{at} cannot be used: {exc}.") from None
    kind = entry.type or ("http" if entry.url else "stdio")
    try:
        if kind in ("http", "streamable-http", "streamableHttp") and entry.url:
            return _at(entry.url, name, _expanded(entry.headers, environ))
        if kind == "stdio" and entry.command:
            return _run([entry.command, *entry.args], name, _expanded(entry.env, environ), entry.cwd)
    except SetupError as exc:
        raise SetupError(f"{at}: {exc}") from None
    raise SetupError(f'{at} needs a command, or "type": "http" and a url (the older "sse" is not spoken).')


def _entries(environ: Mapping[str, str]) -> Mapping[str, Any]:
    path, is_there = user_file(environ)
    if not is_there:
        if environ.get("HOLYSTREAM_MCP"):
            raise SetupError(f"{path} cannot be read: mend it, or HOLYSTREAM_MCP.")
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise SetupError(f"{path} is larger than {_FILE_BYTES:,} bytes: it cannot be a list of MCP servers.")
        return msgspec.json.decode(data, type=_File).servers
    except (OSError, msgspec.DecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise SetupError(f"{path} cannot be read ({why}): mend it.") from None


def _expanded(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`${VARIABLE}` as the environment has it."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise SetupError(f"the variable {found[1]} is not set.")
        return environ[found[1]]

    return {name: _VARIABLE.sub(value, each) for name, each in values.items()}


# What a reader gives


def _at(url: str, name: str | None, headers: object) -> Server:
    head, _, query = url.partition("?")
    if flaw := address_flaw(head) or ("has a # in it: take it out" if "#" in query else ""):
        raise SetupError(f"The address of the MCP server {flaw.replace('pass the key as api_key', 'give headers')}.")
    if urlsplit(url).scheme.lower() == "http" and not is_loopback(url):
        raise SetupError("An MCP server is reached by plain http on this machine only: write https://.")
    found = _checked("headers", headers, header_name_flaw, header_value_flaw)
    host = "local" if is_loopback(url) else urlsplit(url).hostname or ""
    return Server(_called(name, host), url=Key(url), headers=found)


def _run(words: list[str], name: str | None, env: object, cwd: str | Path | None) -> Server:
    if not words:
        raise SetupError("The command of the MCP server is empty: write the program and its arguments.")
    if any("\0" in word for word in words):
        raise SetupError("The command of the MCP server has a zero byte in it: take it out.")
    if cwd is not None and not isinstance(cwd, str | Path):
        raise SetupError("The cwd of the MCP server is a folder's path.")
    folder = None if cwd is None else str(Path(cwd).expanduser())
    found = _checked("env", env, _variable_flaw, lambda value: "has a zero byte" if "\0" in value else "")
    return Server(_called(name, _program(words)), Sealed(words), found, folder)


def _called(name: str | None, otherwise: str) -> str:
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise SetupError("The name of an MCP server is letters, digits, - and _, at most 64.")
    return name or re.sub(r"[^\w-]+", "-", otherwise).strip("-")[:64] or "mcp"


def _program(words: list[str]) -> str:
    """What a command runs: its program, or of one that runs others, what it runs."""
    runs = _RUNNERS.fullmatch(Path(words[0]).name)
    after = next((word for word in words[1:] if not word.startswith("-")), "") if runs else ""
    found = Path(after or words[0]).name
    return re.split(r"(?<=.)[@=<>~\[]", found.removesuffix(".py").removesuffix(".js").removesuffix(".exe"))[0]


def _checked(what: str, value: object, name_flaw: Callable[[object], str], value_flaw: Callable[[str], str]) -> Secrets:
    try:
        return secrets_of(value or {}, name_flaw, value_flaw)
    except ValueError as exc:
        raise SetupError(f"The {what} of the MCP server {exc}.") from None


def _variable_flaw(name: object) -> str:
    is_one = isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w{0,127}", name, re.ASCII)
    return "" if is_one else "must be the name of an environment variable"


def _names_a_key(option: str) -> bool:
    return _OPTION_OF_A_KEY.fullmatch(option) is not None


def _check_package() -> None:
    if find_spec("mcp") is None:
        raise SetupError(INSTALL)
