"""The tools of MCP servers as tools like any other: their names, what a model is told of them, and their results.

What a server says of itself and its tools is hostile input. A model and a reader get it on one line, shortened, without
what cannot be seen; its instructions, titles, icons and hints go nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import SetupError
from ..wire.calls import joined, of_python
from ..wire.redaction import hide
from .function import TIMEOUT_S, Tool
from .mcp_servers import Server
from .mcp_sessions import Offer, ServerFailed, Session, plain, readable, sessions
from .results import Image, ToolError

if TYPE_CHECKING:
    from mcp_types import CallToolResult

DESCRIPTION_SHOWN: Final = 1_000
"""Characters of a description that a model is told, of a tool or of a parameter."""
ABOUT_SHOWN: Final = 300
"""The same, of those that a reader is shown beside the question whether the tool may run."""
SCHEMA_BYTES: Final = 32 * 1024
ERROR_SHOWN: Final = 1_000

_NAME_LENGTH: Final = 64
"""No service takes longer names of tools."""
_DEPTH: Final = 32
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class ServerTool(Tool[..., Any]):
    """A tool of an MCP server. Its name is NAME__TOOL; a server can take the place of no function, nor of another's.

    `key` is what consent for it binds: the server, the tool, and the hash of its schema and description.
    """

    def __init__(self, session: Session, offer: Offer, name: str) -> None:
        self.name = name
        self.description = readable(offer.description, DESCRIPTION_SHOWN)
        schema = _readable(offer.schema)
        named = schema.get("properties")
        self.parameters = {**schema, "type": "object", "properties": named if isinstance(named, dict) else {}}
        if len(json.dumps(self.parameters)) > SCHEMA_BYTES:
            raise SetupError(f"{name} has a schema of more than {SCHEMA_BYTES:,} bytes: no model can be told of it.")
        self.timeout = TIMEOUT_S
        self.function = self._called
        self._session = session
        self._offer = offer

    def __call__(self, /, **arguments: Any) -> Any:
        return self._called(**arguments)

    def __repr__(self) -> str:
        return f"<Tool {self.name} of {self._session.server!r}>"

    @property
    def key(self) -> tuple[str, str, str]:
        return self._session.server.identity, self._offer.name, self._offer.fingerprint

    @property
    def about(self) -> str:
        """What its server says of it, for whoever is asked whether it may run."""
        said = readable(self.description, ABOUT_SHOWN)
        return f"The server {self._session.server.name} says of it: “{said}”" if said else ""

    @property
    def has_changed(self) -> bool:
        """Whether it was allowed in this kernel, and is another one now."""
        return self._session.vouched.get(self._offer.name, self._offer.fingerprint) != self._offer.fingerprint

    def vouch(self) -> None:
        """It was allowed as it is now."""
        self._session.vouched[self._offer.name] = self._offer.fingerprint

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a model's JSON; the server checks them. A ValueError says what is wrong with them.

        JSON in a string is what it says where text is none, and null is a default where it is no value.
        """
        try:
            values = msgspec.json.decode(text.strip() or "{}")
        except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
            raise ValueError(str(exc)) from exc
        if not isinstance(values, dict):
            raise ValueError("an object is needed")
        return _meant(values, self._offer.schema)

    async def _called(self, /, **arguments: Any) -> Any:
        try:
            result = await self._session.call(self._offer, arguments)
        except ServerFailed as exc:
            raise ToolError(str(exc)) from None
        return content(result, self._session.server)


async def offered(functions: Mapping[str, Tool[..., Any]], servers: Sequence[Server]) -> dict[str, Tool[..., Any]]:
    """The functions, and what the servers offer now, by their names; servers that do not run are started, side by side.

    Raises SetupError for a server that does not start, and for names that are there twice.
    """
    running = [sessions.of(server) for server in servers]
    tools = dict(functions)
    for session, offers in zip(running, await _all([session.offers() for session in running]), strict=True):
        for offer in offers:
            tool = ServerTool(session, offer, _name(session.server, offer))
            if tool.name in tools:
                raise SetupError(
                    f"Two tools are called {tool.name}, one of the MCP server {session.server.name}: give the server "
                    "another name, hs.mcp(…, name=…)."
                )
            tools[tool.name] = tool
    return tools


def are_stale(servers: Sequence[Server]) -> bool:
    """Whether a server may have other tools by now."""
    return any(sessions.of(server).is_stale for server in servers)


def starting(servers: Sequence[Server]) -> str:
    """Which of the servers are waited for until they have started; "" where all run."""
    return ", ".join(session.notice for session in map(sessions.of, servers) if not session.is_running)


def content(result: CallToolResult, server: Server) -> str | list[str | Image]:
    """What a function would have returned: a text, or a list of a text and images. ToolError where it is an error.

    Structured content stands for a text that is missing. Links are named and not followed; sound, and files that are
    neither text nor image, are named with their size.
    """
    texts: list[str] = []
    images: list[Image] = []
    for block in result.content:
        match block.type:
            case "text":
                texts.append(block.text)
            case "image":
                _add(images, texts, block.data, block.mime_type, "image")
            case "audio":
                texts.append(_left_out("sound", block.mime_type, block.data))
            case "resource_link":
                texts.append(f"[{readable(block.name, 200)}: {readable(str(block.uri), 500)}]")
            case "resource":
                resource = block.resource
                if (text := getattr(resource, "text", None)) is not None:
                    texts.append(f"[{readable(str(resource.uri), 500)}]\n{text}")
                else:
                    _add(images, texts, resource.blob, resource.mime_type or "", "file")  # type: ignore[union-attr]
    if not texts and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    text = hide("\n".join(texts), server.keys)
    if result.is_error:
        raise ToolError(plain(text, server, ERROR_SHOWN) or "the server calls it an error, and does not say why")
    return [*([text] if text else []), *images] if images else text


def _meant(values: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as their types are told, where that is simple."""
    properties, required = schema.get("properties"), schema.get("required")
    meant: dict[str, Any] = {}
    for name, value in values.items():
        kinds = _kinds(properties.get(name) if isinstance(properties, dict) else None)
        if kinds and value is None and "null" not in kinds and not (isinstance(required, list) and name in required):
            continue
        meant[name] = _decoded(value) if kinds and isinstance(value, str) and "string" not in kinds else value
    return meant


def _kinds(schema: Any) -> list[Any]:
    """The types that a value may have; none where that is not simply told."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    return kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else []


def _decoded(text: str) -> Any:
    written = of_python(joined([text])) or {"True": "true", "False": "false"}.get(text, text)
    try:
        return msgspec.json.decode(written)
    except (ValueError, RecursionError):
        return text


def _add(images: list[Image], texts: list[str], data: str, kind: str, what: str) -> None:
    """An image among the images, anything else as a word among the texts."""
    if kind in _IMAGES:
        with contextlib.suppress(ValueError):
            images.append(Image(kind, base64.b64decode(data, validate=True)))
            return
    texts.append(_left_out(what, kind, data))


def _left_out(what: str, kind: str, data: str) -> str:
    return f"[{what}, {readable(kind, 100) or 'of an unknown kind'}, {len(data) * 3 // 4:,} bytes: not shown]"


def _name(server: Server, offer: Offer) -> str:
    """NAME__TOOL in the characters that services take; what had to be changed has a hash at its end."""
    whole = f"{server.prefix}__{offer.name}"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", whole)
    if name == whole and len(name) <= _NAME_LENGTH:
        return name
    mark = hashlib.sha256(offer.name.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{name[: _NAME_LENGTH - 7]}_{mark}"


def _readable(schema: Any, depth: int = 0) -> Any:
    """A schema whose words for the reader are readable; names, and values that a call must repeat, are as they were."""
    if depth > _DEPTH:
        return {}
    if isinstance(schema, list):
        return [_readable(each, depth + 1) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: readable(value, DESCRIPTION_SHOWN)
        if name in ("description", "title", "$comment") and isinstance(value, str)
        else _readable(value, depth + 1)
        for name, value in schema.items()
    }


async def _all(waits: list[Any]) -> list[list[Offer]]:
    """All side by side; the first failure ends the waiting for the others."""
    tasks: list[asyncio.Future[list[Offer]]] = [asyncio.ensure_future(wait) for wait in waits]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
