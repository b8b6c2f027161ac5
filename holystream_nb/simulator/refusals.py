"""Errors as the OpenAI API shapes them, and the other shapes in which services send theirs."""

from __future__ import annotations

from typing import Any

import msgspec

_TYPES = {401: "authentication_error", 429: "requests", 500: "server_error", 502: "server_error", 503: "server_error"}
_CODES = {429: "rate_limit_exceeded", 503: "service_unavailable"}
_MESSAGES = {
    429: "Rate limit reached in the simulator, as the request asked for.",
    500: "The simulator had an error while processing the request, as the request asked for.",
    503: "The simulator is overloaded, as the request asked for.",
}
_ANTHROPIC = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_HTML = (
    "<!DOCTYPE html>\n<html><head><title>{0}</title></head>\n<body><h1>{0}</h1><p>simulated proxy</p></body></html>\n"
)


class Refusal(Exception):
    """A request that is answered with an error: `status`, and the four fields of OpenAI's error object."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, type: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error_object(message, status, param=param, code=code, type=type)


def error_object(
    message: str, status: int, *, param: str | None = None, code: str | None = None, type: str | None = None
) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`, with OpenAI's words for the status where none are given."""
    kind = type or _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}}


def anthropic_error(message: str, status: int) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}`, with Anthropic's word for the status."""
    kind = _ANTHROPIC.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def failure(status: int) -> dict[str, Any]:
    """The error object of a failure that was asked for."""
    return error_object(_MESSAGES.get(status, f"The simulator answers {status}, as the request asked for."), status)


def error_body(shape: str, status: int) -> tuple[str, bytes]:
    """Content type and bytes of an error body: `shape` is a value of the fault `error-body`."""
    error = failure(status)
    message = error["error"]["message"]
    if shape == "html":
        return "text/html; charset=utf-8", html_page(f"{status} from a proxy").encode()
    if shape in ("text", "empty"):
        return "text/plain; charset=utf-8", message.encode() if shape == "text" else b""
    bodies: dict[str, Any] = {
        "openai": error,
        "anthropic": anthropic_error(message, status),
        "message": {"message": message, "code": status},
        "detail": {"detail": [{"loc": ["body"], "msg": message, "type": "simulated"}]},
        "string": {"error": message},
        "list": [error],
    }
    return "application/json", msgspec.json.encode(bodies[shape])


def html_page(title: str) -> str:
    """The page a proxy would send."""
    return _HTML.format(title)
