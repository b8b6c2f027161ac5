"""Who and what is let in: keys, speed factors, and the refusals that a request asks for itself."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from email.utils import formatdate

from .exchange import Exchange
from .faults import DROP, Faults
from .refusals import Refusal, error_body, html_page


@dataclass(frozen=True)
class Settings:
    """What a simulator is started with: a speed factor (inf: no waiting), a seed, the one key it accepts or None."""

    speed: float = 1.0
    seed: int = 0
    key: str | None = None


class Tries:
    """How often each failing request has been tried; forgotten after its success, and beyond the last 1,000."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def fails(self, identity: str, tries: int) -> bool:
        """Whether this try is among the first `tries` of its request."""
        made = self._counts.pop(identity, 0)
        if made >= tries:
            return False
        self._counts[identity] = made + 1
        if len(self._counts) > 1000:
            self._counts.popitem(last=False)
        return True


class Gate:
    """One for the whole simulator: a request's tries are counted whatever way they come."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tries = Tries()

    def fails(self, exchange: Exchange, faults: Faults, body: bytes) -> bool:
        """Whether this try of the request is to fail with the status (or DROP) that `faults.fail` names."""
        return faults.fail is not None and self._tries.fails(_identity(exchange, body), faults.tries)

    async def refuses(self, exchange: Exchange, faults: Faults, body: bytes, shape: str = "openai") -> bool:
        """Answer with the failure, or with what is no answer at all, if that was asked for.

        `shape` is that of the format's errors, where no other was asked for.
        """
        if self.fails(exchange, faults, body):
            await _fail(exchange, faults, shape)
        elif faults.redirect:
            port = exchange.header("host").rpartition(":")[2]
            location = [("location", f"http://localhost:{port}{exchange.record.path}")]
            await exchange.respond(int(faults.redirect), "text/plain", b"", "redirected", location)
        elif faults.html:
            await exchange.respond(200, "text/html; charset=utf-8", html_page("Welcome to a proxy").encode(), "refused")
        elif faults.error_200:
            kind, data = error_body(shape, 500)
            await exchange.respond(200, kind, data, "refused")
        else:
            return False
        return True

    def speed(self, header: str) -> float:
        """The speed factor of one request, by its X-Sim-Speed."""
        if not header:
            return self.settings.speed
        try:
            speed = math.inf if header == "max" else float(header)
        except ValueError:
            speed = math.nan
        if not speed > 0:
            wanted = f"a number above 0 or max, not `{header}`"
            raise Refusal(400, f"Invalid value for X-Sim-Speed: {wanted}.", param="X-Sim-Speed")
        return speed


def authorize(authorization: str, key: str | None) -> None:
    """Refuse a bad key: any other than `key`, and none, if that is set; else a placeholder, or bad…"""
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    if key is None and not authorization:
        return
    if scheme.lower() != "bearer" or not given:
        raise Refusal(401, "You didn't provide an API key: `Authorization: Bearer KEY` is expected.")
    bad = given.startswith("bad") or given == "YOUR_HOLYSHEEP_API_KEY"
    if given != key if key is not None else bad:
        raise Refusal(401, "Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key")


def retry_after(faults: Faults) -> str | None:
    """The Retry-After of the failure that was asked for: seconds, a date, or None."""
    if faults.retry_date is not None:
        return formatdate(time.time() + faults.retry_date, usegmt=True)
    if faults.retry_after is not None:
        return f"{faults.retry_after:g}"
    return "1" if faults.fail == 429 and not faults.no_retry_after else None


async def _fail(exchange: Exchange, faults: Faults, shape: str) -> None:
    status = faults.fail or DROP
    if status == DROP:
        await exchange.break_off("dropped")
        return
    wait = retry_after(faults)
    kind, data = error_body(faults.error_body or shape, status)
    await exchange.respond(status, kind, data, "refused", [] if wait is None else [("retry-after", wait)])


def _identity(exchange: Exchange, body: bytes) -> str:
    """What makes two requests tries of the same one: X-Sim-Run if sent, else body, faults and key alike."""
    run = exchange.header("x-sim-run")
    if run:
        return f"run {run}"
    sent = (exchange.header(name).encode() for name in ("x-simulate", "authorization", "x-api-key"))
    parts = (body, *sent)
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
