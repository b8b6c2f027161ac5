"""What services say is wrong, in any shape -> `errors`, each one sentence that says what to do. No I/O, no clock."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from holystream_nb.errors import (
    BadRequest,
    KeyRefused,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    UnknownModel,
)
from holystream_nb.providers.secret import Key
from holystream_nb.wire.values import parse

_STATUS_OF_WORDS = (
    # what services call an error in `code` or `type`, by the HTTP status that means the same
    ("model_not_found", 404),
    ("invalid_api_key", 401),
    ("authentication", 401),
    ("permission", 403),
    ("rate_limit", 429),
    ("insufficient_quota", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("server_error", 500),
    ("invalid_request", 400),
)
_NO_SUCH_MODEL = re.compile(
    r"model\b.{0,80}\b(not (exist|found)|does not exist)|\b(unknown|no such) model", re.I | re.S
)

_STATUS_OF_CLOSE = {1001: 503, 1008: 401, 1009: 413, 1011: 500, 1012: 503, 1013: 429, 1014: 502}
"""Close codes by the HTTP status that means the same; 4401, 4429 and their like carry theirs."""

Hidden = str | Sequence[Key]
"""Keys that a message must not contain."""

_SCHEME = re.compile(r"(?:bearer|basic|token|key|apikey) +", re.I)
_READABLE_CHARACTERS = 10_000
_SAID_CHARACTERS = 300

_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.I)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1[^<>]*>?", re.I | re.S)
_TAG = re.compile(r"</?[a-z!][^<>]*>", re.I)
_TAG_OPENING = re.compile(r"<(?=[a-z/!?])", re.I)
_KEYS = (
    (re.compile(r"\bBearer\s+[^\s\"',;]+", re.I), "Bearer …"),
    (  # a digit, or a star for what is left out: pk_user_account is a column, hf_hub_download a function
        re.compile(
            r"\b(?:sk|pk|rk|hs|gsk|xai|csk|fw|tgp|pplx|nvapi|hf)[-_](?=[\w.-]*[\d*])[\w*.-]{12,}"
            r"|\b(?:AIza|eyJ)[\w.-]{16,}"
        ),
        "…",
    ),
    (re.compile(r"(api[-_ ]?key(?: provided)?[\"']?\s*[:=]\s*[\"']?)(?=\S*\d|\S{16})[^\s\"',;}]{4,}", re.I), r"\1…"),
)
_UNMARKED_KEY = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{24,}\b")


class Complaint(msgspec.Struct, frozen=True):
    """What a service says is wrong, in its own words."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    status: int | None = None


def complaint_of(tree: Any, depth: int = 4) -> Complaint | None:
    """The complaint in a JSON value of any of the shapes in use; None if there is none to find.

    Shapes: {"error": {"message", "type", "code"}}, {"error": "text"}, {"message"}, {"detail": "text"}, {"detail":
    [{"loc", "msg"}]}, {"errors": […]}, [{"error": …}], "text".
    """
    if isinstance(tree, str):
        return Complaint(message=tree) if tree.strip() else None
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
    )


def complaint_in(text: str) -> Complaint:
    try:
        return complaint_of(parse(text)) or Complaint(message=text)
    except (ValueError, RecursionError):
        return Complaint(message=text)


def _word(value: Any) -> str | None:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _http_status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def redact(text: str, key: Hidden = ()) -> str:
    """The text without these keys, and without anything else that looks like one: services echo keys."""
    return _UNMARKED_KEY.sub("…", redact_marked(hide(text, key)))


def hide(text: str, key: Hidden) -> str:
    """The text without these keys."""
    for value in (key,) if isinstance(key, str) else (each.reveal() for each in key):
        for part in (value, _SCHEME.sub("", value)):
            if len(part) >= 6:  # shorter ones are placeholders of local services, and everyday words
                text = text.replace(part, "…")
    return text


def redact_marked(text: str) -> str:
    """The text without what says that it is a key; long numbers stay, which may be commits or ids that are needed."""
    for pattern, replacement in _KEYS:
        text = pattern.sub(replacement, text)
    return text


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
    status: int | None, complaint: Complaint, *, model: str, retry_after: float | None, key: Hidden
) -> ServiceError:
    kind = _kind(status, complaint)
    wait = f"wait {math.ceil(retry_after)} s and" if retry_after is not None else "wait a little and"
    named = f'the model "{model}"' if model else "the model"
    kinds: dict[int, tuple[type[ServiceError], str]] = {
        400: (BadRequest, "refused the request{}: change what it names"),
        413: (BadRequest, "refused the request{} as too long: shorten the prompt"),
        422: (BadRequest, "refused the request{}: change what it names"),
        401: (KeyRefused, "refused the key{}: check that it is right, still valid, and meant for this address"),
        402: (ServiceError, "wants to be paid{}: check the account's credit"),
        403: (KeyRefused, f"denied access{{}}: check that this key and its account may use {named}"),
        404: (UnknownModel, f"does not know {named}{{}}: check the model's name and the base URL"),
        429: (RateLimited, f"takes no more requests for now{{}}: {wait} try again, or check the account's quota"),
    }
    failed = (ServiceUnavailable, f"is overloaded or broken{{}}: {wait} try again")
    other = (ServiceError, "answered with an error{}: try again, and check the request and the base URL")
    error, sentence = failed if 500 <= kind <= 599 else kinds.get(kind, other)
    message = f"The service {sentence.format(f' ({status})' if status else '')}"
    said = _excerpt(complaint.message, _SAID_CHARACTERS, key)
    return error(
        f'{message}; it said: "{said}"' if said else f"{message}.",
        status=status,
        code=redact(complaint.code, key) if complaint.code else None,
        type=redact(complaint.type, key) if complaint.type else None,
        retry_after=retry_after,
    )


def _kind(status: int | None, complaint: Complaint) -> int:
    """The HTTP status that says what an error is: the service's own, unless its words say more."""
    words = f"{complaint.code} {complaint.type}".lower()
    if status in (None, 400):
        if "model_not_found" in words or _NO_SUCH_MODEL.search(complaint.message[:_SAID_CHARACTERS]):
            return 404
        if status is None:
            return next((meant for word, meant in _STATUS_OF_WORDS if word in words), 0)
    return status or 0


def stream_error(complaint: Complaint, asked: str, key: Hidden, retry_after: float | None = None) -> ServiceError:
    """An error inside a stream; its status is the one it names itself, None if none."""
    return _service_error(complaint.status, complaint, model=asked, retry_after=retry_after, key=key)


def close_error(code: int, reason: str, *, asked: str, key: Hidden) -> ServiceError | None:
    """The error that a WebSocket's close code is (RFC 6455, 7.4, and services' own); None for an ordinary end.

    1000 and no code at all are ordinary; 1001 is a server that goes down.
    """
    if code in (1000, 1005):
        return None
    status = _STATUS_OF_CLOSE.get(code) or (_http_status(code - 4000) if 4400 <= code <= 4599 else None)
    said = Complaint(message=reason or f"close code {code}", code=str(code), status=status)
    return stream_error(said, asked, key)


def not_a_stream(text: str, key: Hidden) -> NotAStream:
    excerpt = _excerpt(text, 80, key)
    begins = f'it begins with "{excerpt}"' if excerpt else "it is empty"
    return NotAStream(f"What arrived is not a chat completion, {begins}: check the base URL, or try again.")


def service_error(
    status: int, headers: Mapping[str, str], body: bytes, *, model: str, now: float, key: Hidden = ()
) -> ServiceError:
    """The error that an HTTP answer is: its class by the status, its message one sentence that says what to do.

    `model` is the one asked for, `now` the wall time in seconds since 1970 (for a `Retry-After` that is a date), `key`
    what the message must not contain. At most 300 characters of the body are quoted, without tags and keys.
    """
    complaint = complaint_in(body.decode("utf-8-sig", "replace"))
    return _service_error(status, complaint, model=model, retry_after=_retry_after(headers, now), key=key)


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait, from a number or a date (RFC 9110, 10.2.3); None where the header is missing or neither."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
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


def refuses_include_usage(status: int, body: bytes) -> bool:
    """Whether a refusal complains about `stream_options.include_usage`: the request is worth sending without it."""
    return status in (400, 422) and (b"stream_options" in body or b"include_usage" in body)


def refuses_streaming(status: int, body: bytes) -> bool:
    """Whether a refusal says that this model is not streamed: the whole answer is worth asking for."""
    return (
        status in (400, 403, 422)
        and re.search(rb"(verified|support\w*|allowed)[^.]{0,40}\bstream", body, re.I) is not None
    )


def names_tokens_field(status: int, body: bytes) -> str | None:
    """The field that a refusal wants the limit on the answer to go by."""
    found = re.search(rb"[Uu]se ['\"`]?(max_completion_tokens|max_tokens)\b", body) if status in (400, 422) else None
    return found[1].decode() if found else None
