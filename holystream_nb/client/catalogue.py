"""What models a service has, as it says itself: `GET /models`."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ..errors import ConnectionFailed, ServiceError, TooLarge
from ..wire.complaints import redirect_error
from ..wire.formats import format_of
from ..wire.redaction import Hidden
from ..wire.values import parse, well_formed
from .client import Client
from .request import Request, Service, error_body, refusal

LISTING_S: Final = 5.0
"""A list that takes longer helps nobody who waits for it."""

MOST_BYTES: Final = 8 << 20
MOST_MODELS: Final = 5_000
LONGEST_NAME: Final = 200

_NO_LIST: Final = frozenset({404, 405, 410, 501})


async def models_of(client: Client) -> tuple[str, ...]:
    """The names of the models that the client's service lists, each once, in its order; () where it lists none.

    Names that could not be asked for, or that would draw something else than themselves (control characters, half
    characters, more than 200 of them), are left out. Takes at most 5 s. Raises the errors of the wire, and ServiceError
    where there is no list.
    """
    service = client.service
    try:
        async with asyncio.timeout(LISTING_S):
            body = await _listed(service)
    except TimeoutError:
        raise ConnectionFailed(
            f"{service.base_url} did not list its models within {LISTING_S:g} s: name a model, or try again."
        ) from None
    try:
        tree = parse(body)
    except (ValueError, RecursionError):
        tree = None
    names = names_in(tree, service.secret)
    if names is None:
        raise ServiceError(f"{service.base_url}/models is no list of models: check the address, or name a model.")
    return names


def names_in(tree: Any, secret: Hidden = ()) -> tuple[str, ...] | None:
    """The names in a list of models of any of the shapes in use; None where there is no list.

    Shapes: {"data": [{"id"}]}, {"models": [{"name", "model", "id"}]}, both beside each other (llama.cpp), a bare list,
    of objects or of texts. `secret` is in no name.
    """
    lists = [tree] if isinstance(tree, list) else []
    if isinstance(tree, dict):
        lists = [tree[field] for field in ("data", "models") if isinstance(tree.get(field), list)]
    if not lists:
        return None
    hidden = (secret,) if isinstance(secret, str) else tuple(each.reveal() for each in secret)
    for entries in lists:
        found = dict.fromkeys(name for entry in entries[:MOST_MODELS] if (name := _name(entry, hidden)))
        if found:
            return tuple(found)
    return ()


def _name(entry: Any, hidden: tuple[str, ...]) -> str:
    """The name of one model, "" where it has none that could be shown and asked for."""
    fields = [entry.get(field) for field in ("id", "model", "name")] if isinstance(entry, dict) else [entry]
    for text in fields:
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_NAME:
            continue
        if well_formed(text) == text and text.isprintable() and text == text.strip():
            return "" if any(len(value) >= 6 and value in text for value in hidden) else text
    return ""


async def _listed(service: Service) -> bytes:
    wire = service.provider.wire
    headers = {**format_of(wire).headers, **service.headers_of(wire)}  # Anthropic wants its own for a list, too
    response = await service.connections.get(
        f"{service.base_url}/models",
        headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
        connect_timeout=min(service.connect_timeout, LISTING_S),
        inactivity=LISTING_S,
        query=service.query,
    )
    if "location" in response.headers:
        await response.aclose()
        raise redirect_error(response.status, response.headers["location"], service.base_url, service.secret)
    if response.status in _NO_LIST:
        await response.aclose()
        raise ServiceError(
            f"{service.base_url} has no list of models (it answered {response.status}): name a model.",
            status=response.status,
        )
    if not 200 <= response.status < 300:
        raise refusal(service, Request({}, "", "sse"), response, await error_body(response, service.secret))
    is_whole = False
    try:
        body = await response.body(MOST_BYTES + 1)
        is_whole = len(body) <= MOST_BYTES
    finally:
        await (response.finish() if is_whole else response.aclose())
    if not is_whole:
        raise TooLarge(f"The list of models of {service.base_url} is larger than {MOST_BYTES:,} bytes: name a model.")
    return body
