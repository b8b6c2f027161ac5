"""Everything that can go wrong, as one tree.

* HolystreamError
    * SetupError             a setting that cannot work; nothing was sent
        * MissingKey         no key, or a placeholder, for a provider that needs one
        * UnknownProvider    a provider name that is in no table
    * ServiceError           the service answered, and the answer is an error
        * BadRequest         400, 413, 422: the request is refused as it stands
            * PromptTooLong  the prompt, with the answer it asks for, does not fit into the model's context
        * KeyRefused         401, 403: never retried
        * UnknownModel       404: the model (or the address) does not exist there
        * RateLimited        429: too many requests; `retry_after` says how long to wait
        * ServiceUnavailable 408, 409, 5xx: the service is held up, overloaded or broken
    * ConnectionFailed       no connection could be made: name, address, TLS or proxy
    * StreamInterrupted      the connection broke in the middle of an answer
        * Stalled            no byte arrived for the inactivity limit
    * DeadlineExceeded       the whole answer took longer than its limit
    * NotAStream             what arrived is not a chat completion: HTML, malformed JSON
    * TooLarge               the answer passed the limit on its size
    * NotJSON                JSON was asked for, and the answer is something else
    * SeveralFailed          of several models asked at once, some failed; `errors` says which and how

Every message is one sentence that says what happened and what to do.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

INTERRUPTED: Final = "KeyboardInterrupt: stopped; what had arrived is kept."
"""All that a cell shows that ■ has ended."""


_OURS: Final = __name__.partition(".")[0]
_SHELL: Final = ("IPython", "ipykernel", "asyncio")


class HolystreamError(Exception):
    """The root of the tree. A notebook shows the user's own lines and the sentence, not the way through our insides."""

    def _render_traceback_(self) -> list[str]:  # IPython's protocol
        lines = []
        for frame, number in traceback.walk_tb(self.__traceback__):
            room = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if room == _OURS:
                break
            if room not in _SHELL:
                (step,) = traceback.StackSummary.extract([(frame, number)])
                file = f"{Path(step.filename).name}, " if Path(step.filename).exists() else ""
                lines.append(f"{file}line {number}: {step.line}")
        return [*lines, f"{type(self).__name__}: {self}"]


class SetupError(HolystreamError):
    """A setting that cannot work; nothing was sent."""


class MissingKey(SetupError):
    """No key, or a placeholder, for a provider that needs one."""


class UnknownProvider(SetupError):
    """A provider name that is in no table."""


class ServiceError(HolystreamError):
    """The service answered with an error.

    `status` is the HTTP status, or None for an error inside a stream; `code` and `type` are the service's own words;
    `retry_after` is in seconds; `should_retry` is the service's own word (`x-should-retry`), or ours where asking again
    is hopeless (a quota that is used up); None where neither is known.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type
        self.retry_after = retry_after
        self.should_retry = should_retry


class BadRequest(ServiceError):
    """400, 413 or 422: the request is refused as it stands."""


class PromptTooLong(BadRequest):
    """The prompt, with the answer it asks for, does not fit into the model's context."""


class KeyRefused(ServiceError):
    """401 or 403: the key is not accepted; never retried."""


class UnknownModel(ServiceError):
    """404: the model, or the address, does not exist there."""


class RateLimited(ServiceError):
    """429: too many requests; `retry_after` says how long to wait, in seconds, if the service said so."""


class ServiceUnavailable(ServiceError):
    """408, 409 or 5xx: the service is held up, overloaded or broken."""


class ConnectionFailed(HolystreamError):
    """No connection could be made: name, address, TLS or proxy.

    `should_retry` is False where asking again cannot help: a certificate that is not trusted, a name that is unknown.
    """

    def __init__(self, message: str, *, should_retry: bool | None = None) -> None:
        super().__init__(message)
        self.should_retry = should_retry


class StreamInterrupted(HolystreamError):
    """The connection broke in the middle of an answer; what had arrived is kept."""


class Stalled(StreamInterrupted):
    """No byte arrived for the inactivity limit."""


class DeadlineExceeded(HolystreamError):
    """The whole answer took longer than its limit."""


class NotAStream(HolystreamError):
    """What arrived is not a chat completion: an HTML page, malformed JSON."""


class TooLarge(HolystreamError):
    """The answer passed the limit on its size; what had arrived is kept."""


class NotJSON(HolystreamError):
    """JSON was asked for, and the answer is something else."""


class SeveralFailed(HolystreamError):
    """Of several models asked at once, some failed; `errors` has each one's error by its name."""

    def __init__(self, message: str, errors: Mapping[str, HolystreamError]) -> None:
        super().__init__(message)
        self.errors = errors


def in_one_line(error: E, line: str = "") -> E:
    """The error, of which IPython shows its name and sentence, or this line: no traceback through our insides."""
    line = line or f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython's protocol
    return error
