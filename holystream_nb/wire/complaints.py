"""What services say is wrong, in any shape -> `errors`, each one sentence that says what to do. No I/O, no clock."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec

from holystream_nb.errors import (
    BadRequest,
    KeyRefused,
    NotAStream,
    PromptTooLong,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    UnknownModel,
)
from holystream_nb.wire.redaction import Hidden, redact
from holystream_nb.wire.values import parse
from holystream_nb.wire.wording import is_spent, is_too_long, lengths, wait_in

_STATUS_OF_WORDS = (
    # what services call an error in `code` or `type`, by the HTTP status that means the same
    ("not_found", 404),
    ("invalid_api_key", 401),
    ("authentication", 401),
    ("permission", 403),
    ("rate_limit", 429),
    ("quota", 429),
    ("resource_exhausted", 429),
    ("billing", 402),
    ("payment_required", 402),
    ("insufficient_balance", 402),
    ("too_large", 413),
    ("timeout", 408),
    ("conflict", 409),
    ("overloaded", 529),
    ("unavailable", 503),
    ("server_error", 500),
    ("servererror", 500),
    ("api_error", 500),
    ("invalid_request", 400),
)
_NO_SUCH_MODEL = re.compile(
    r"model\b.{0,80}\b(not (exist|found)|does not exist)|\b(unknown|no such) model", re.I | re.S
)

_STATUS_OF_CLOSE = {1001: 503, 1008: 401, 1009: 413, 1011: 500, 1012: 503, 1013: 429, 1014: 502}
"""Close codes by the HTTP status that means the same; 4401, 4429 and their like carry theirs."""

_READABLE_CHARACTERS = 10_000
_SAID_CHARACTERS = 300

_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.I)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1[^<>]*>?", re.I | re.S)
_TAG = re.compile(r"</?[a-z!][^<>]*>", re.I)
_TAG_OPENING = re.compile(r"<(?=[a-z/!?])", re.I)


class Complaint(msgspec.Struct, frozen=True):
    """What a service says is wrong, in its own words."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    status: int | None = None
    param: str | None = None
    prompt_tokens: int | None = None
    context_tokens: int | None = None


def complaint_of(tree: Any, depth: int = 4) -> Complaint | None:
    """The complaint in a JSON value of any of the shapes in use; None if there is none to find.

    Shapes: {"error": {"message", "type", "code"}}, {"error": "text"}, {"message"}, {"detail": "text"}, {"detail":
    [{"loc", "msg"}]}, {"errors": […]}, [{"error": …}], "text"; any of them as JSON inside a text, and what a gateway
    was told behind it, {"error": {"message", "metadata": {"raw"}}}.
    """
    if isinstance(tree, str):
        return (_inside(tree, depth) or Complaint(message=tree)) if tree.strip() else None
    if not depth:
        return None
    if isinstance(tree, list):
        inner = [found for part in tree[:5] if (found := complaint_of(part, depth - 1))]
        if not inner:
            return None
        return msgspec.structs.replace(inner[0], message="; ".join(part.message for part in inner if part.message))
    if not isinstance(tree, dict):
        return None
    found = None
    for name in ("error", "errors", "message", "detail", "msg", "error_description", "title"):
        if found is None or not found.message:
            found = complaint_of(tree.get(name), depth - 1) or found
    behind = tree.get("metadata")
    if isinstance(behind, dict) and (told := complaint_of(behind.get("raw"), depth - 1)) and told.message:
        found = told
    code, kind = _word(tree.get("code")), _word(tree.get("type"))
    statuses = (_http_status(tree.get(name)) for name in ("status", "status_code", "code"))
    status = next((status for status in statuses if status), None)
    if found is None and code is None and kind is None and status is None:
        return None
    found = found or Complaint()
    where = tree.get("loc")
    path = ".".join(str(step) for step in where if isinstance(step, str | int)) if isinstance(where, list) else ""
    return Complaint(
        f"{path}: {found.message}" if path and found.message else found.message,
        found.code or code,
        found.type or kind,
        found.status or status,
        found.param or _word(tree.get("param")),
        found.prompt_tokens or _count(tree.get("n_prompt_tokens")),  # llama.cpp's
        found.context_tokens or _count(tree.get("n_ctx")),
    )


def _inside(text: str, depth: int) -> Complaint | None:
    """The complaint in a text that is JSON itself, as gateways pass on what they were told."""
    if not depth or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        tree = parse(text)
    except (ValueError, RecursionError):
        return None
    return complaint_of(tree, depth - 1) if isinstance(tree, dict | list) else None


def complaint_in(text: str) -> Complaint:
    try:
        return complaint_of(parse(text)) or Complaint(message=text)
    except (ValueError, RecursionError):
        return Complaint(message=text)


def _word(value: Any) -> str | None:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 40 else None


def _http_status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def redirect_error(status: int, location: str, base_url: str, key: Hidden = ()) -> ServiceError:
    """The error for a redirect: it names the other scheme and host alone, as anything else in it may hold the key."""
    try:
        parts = urlsplit(urljoin(base_url, redact(location, key)))
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        host = None
    address = f"{parts.scheme}://{host}{port}" if host and host.isprintable() else "another address"
    return ServiceError(
        f"{base_url} redirects to {address[:200]}, which is not followed "
        "because of the key: if you trust that address, give it as base_url.",
        status=status,
    )


def _excerpt(text: str, limit: int, key: Hidden) -> str:
    """The readable beginning of a text: one line, no keys, no tags, no control characters, an HTML page's title."""
    text = text[:_READABLE_CHARACTERS]
    title = _TITLE.search(text)
    if title and title[1].strip():
        text = title[1]
    text = _TAG.sub(" ", _UNSEEN.sub(" ", redact(text, key)))
    text = _TAG_OPENING.sub("", text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _service_error(
    status: int | None,
    complaint: Complaint,
    *,
    model: str,
    retry_after: float | None,
    key: Hidden,
    should_retry: bool | None = None,
    without_key: str | None = None,
    begun: bool = False,
) -> ServiceError:
    """`without_key` is what to do about a key where none was sent; the address is right once an answer has `begun`."""
    kind = _kind(status, complaint)
    words = _words(complaint)
    if retry_after is None and kind == 429:
        retry_after = wait_in(complaint.message)
    spent = kind in (400, 402, 403, 429) and is_spent(words, complaint.message, retry_after)
    if should_retry is None and (spent or kind in (408, 409)):
        should_retry = not spent
    error, before, after = _sentence(kind, model, retry_after, without_key)
    if begun:
        after = after.replace(" and the base URL", "")
    if kind in (400, 413, 422) and is_too_long(words, complaint.message):
        error = PromptTooLong
        before = f"refused the prompt as too long for {_named(model)}"
        after = f": {_fitting(complaint)}shorten it or the conversation before it, or lower max_tokens"
    elif kind == 402 or spent:
        error = RateLimited if kind == 429 else ServiceError
        before = "has no credit or quota left for this account"
        after = ": check the account's credit and limits, as asking again does not help"
    # What the model is called, and what the service said, are the user's and the service's text: never a template.
    message = f"The service {before}{f' ({status})' if status else ''}{after}"
    said = _excerpt(complaint.message, _SAID_CHARACTERS, key)
    return error(
        f'{message}; it said: "{said}"' if said else f"{message}.",
        status=status,
        code=redact(complaint.code, key) if complaint.code else None,
        type=redact(complaint.type, key) if complaint.type else None,
        retry_after=retry_after,
        should_retry=should_retry,
    )


def _sentence(
    kind: int, model: str, retry_after: float | None, without_key: str | None
) -> tuple[type[ServiceError], str, str]:
    """The class of an error, and its sentence before and after the status."""
    wait = f"wait {math.ceil(retry_after)} s and" if retry_after is not None else "wait a little and"
    if without_key is not None and kind in (401, 403):
        before = "wants a key" if kind == 401 else "denied access"
        return KeyRefused, before, f", and none was sent: {without_key}"
    kinds: dict[int, tuple[type[ServiceError], str, str]] = {
        400: (BadRequest, "refused the request", ": change what it names"),
        413: (BadRequest, "refused the request", " as too long: shorten the prompt"),
        422: (BadRequest, "refused the request", ": change what it names"),
        401: (KeyRefused, "refused the key", ": check that it is right, still valid, and meant for this address"),
        403: (KeyRefused, "denied access", f": check that this key and its account may use {_named(model)}"),
        404: (UnknownModel, f"does not know {_named(model)}", ": check the model's name and the base URL"),
        408: (ServiceUnavailable, "gave up waiting", f": {wait} try again"),
        409: (ServiceUnavailable, "was held up by another request", f": {wait} try again"),
        429: (
            RateLimited,
            "takes no more requests for now",
            f": {wait} try again, or check the account's quota",
        ),
        529: (ServiceUnavailable, "is overloaded", f": {wait} try again"),
    }
    failed = (ServiceUnavailable, "is overloaded or broken", f": {wait} try again")
    other = (ServiceError, "answered with an error", ": try again, and check the request and the base URL")
    return kinds.get(kind, failed if 500 <= kind <= 599 else other)


def _named(model: str) -> str:
    return f'the model "{model}"' if model else "the model"


def _fitting(complaint: Complaint) -> str:
    """What a refusal says of lengths, as the beginning of a sentence; "" where it does not say."""
    asked, fits = lengths(complaint.message)
    asked, fits = complaint.prompt_tokens or asked, complaint.context_tokens or fits
    if asked and fits:
        return f"it comes to {asked:,} tokens and {fits:,} fit; "
    return f"{fits:,} tokens fit; " if fits else ""


def _words(complaint: Complaint) -> str:
    return f"{complaint.code} {complaint.type}".lower()


def _kind(status: int | None, complaint: Complaint) -> int:
    """The HTTP status that says what an error is: the service's own, unless its words say more."""
    words = _words(complaint)
    if status in (None, 400):
        if "model_not_found" in words or _NO_SUCH_MODEL.search(complaint.message[:_SAID_CHARACTERS]):
            return 404
        if status is None and is_too_long(words, complaint.message):
            return 400
        if status is None:
            return next((meant for word, meant in _STATUS_OF_WORDS if word in words), 0)
    return status or 0


def stream_error(
    complaint: Complaint, asked: str, key: Hidden, retry_after: float | None = None, *, begun: bool = False
) -> ServiceError:
    """An error inside a stream, of which an answer may have `begun`; its status is the one it names itself, if any."""
    return _service_error(complaint.status, complaint, model=asked, retry_after=retry_after, key=key, begun=begun)


def close_error(code: int, reason: str, *, asked: str, key: Hidden) -> ServiceError | None:
    """The error that a WebSocket's close code is (RFC 6455, 7.4, and services' own); None for an ordinary end.

    1000 and no code at all are ordinary; 1001 is a server that goes down.
    """
    if code in (1000, 1005):
        return None
    status = _STATUS_OF_CLOSE.get(code) or (_http_status(code - 4000) if 4400 <= code <= 4599 else None)
    said = Complaint(message=reason or f"close code {code}", code=str(code), status=status)
    return stream_error(said, asked, key)


def not_a_stream(text: str, key: Hidden, wanted: str = "a chat completion") -> NotAStream:
    """The error for something else than the answer that was `wanted`."""
    excerpt = _excerpt(text, 80, key)
    begins = f'it begins with "{excerpt}"' if excerpt else "it is empty"
    return NotAStream(f"What arrived is not {wanted}, {begins}: check the base URL, or try again.")


_WHERE: Final = "key_variable (in a cell --key-variable NAME, for good in providers.toml)"


def service_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    model: str,
    now: float,
    key: Hidden = (),
    sent_key: bool = True,
    variable: str | None = None,
) -> ServiceError:
    """The error that an HTTP answer is: its class by the status, its message one sentence that says what to do.

    `model` is the one asked for, `now` the wall time in seconds since 1970 (for a `Retry-After` that is a date), `key`
    what the message must not contain, `sent_key` whether any was sent, `variable` the one that would hold it. At most
    300 characters of the body are quoted, without tags and keys.
    """
    set_it = f"set {variable}" if variable else "pass api_key"
    return _service_error(
        status,
        complaint_in(body.decode("utf-8-sig", "replace")),
        model=model,
        retry_after=_retry_after(headers, now),
        key=key,
        should_retry={"true": True, "false": False}.get(_header(headers, "x-should-retry").lower()),
        without_key=None if sent_key else f"{set_it}, or name the key's variable as {_WHERE}",
    )


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "").strip()


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait: of `retry-after-ms`, else a number or a date (RFC 9110, 10.2.3); None where neither is."""
    if (milliseconds := seconds(_header(headers, "retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after")
    if (wait := seconds(value)) is not None:
        return wait
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def seconds(text: str) -> float | None:
    """A number of seconds to wait; None where the text is none."""
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text) else None
