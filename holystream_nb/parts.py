"""Where the time of one answer went: the parts from the moment its connection was there for it to its last output.

    dns      the name was looked up
    tcp      the connection was opened: to the proxy, where there is one
    proxy    the proxy opened the way to the service (CONNECT, SOCKS)
    tls      the handshakes: with the service, and with a proxy that is spoken to in TLS
    upgrade  the WebSocket's handshake, and the answer in which a socket was offered
    other    what is left of `connect_ms`: the client's own work
    send     the request was handed to the system
    wait     from there to the first output event: a round trip of the network, the service's queue, the prompt
    stream   first to last output event
    paint    from the read of the first text to the page's first picture of it (a live cell; see `live/painted.py`)

`dns` to `other` are `Timing.connect_ms`, `send` and `wait` are TTFT, `send` to `stream` are E2E. None is what was not
needed (a kept connection was open, an address is no name).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a connection took, in ns; None where it was not needed."""

    dns: int | None = None
    tcp: int | None = None
    proxy: int | None = None
    tls: int | None = None
    upgrade: int | None = None

    def __add__(self, other: Opening) -> Opening:
        """Of two connections, one after the other."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Opening(*(None if a is b is None else (a or 0) + (b or 0) for a, b in pairs))


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """The parts of one answer in ms, in their order; `paint_error_ms` says how far `paint_ms` may be off."""

    dns_ms: float | None = None
    tcp_ms: float | None = None
    proxy_ms: float | None = None
    tls_ms: float | None = None
    upgrade_ms: float | None = None
    other_ms: float | None = None
    send_ms: float | None = None
    wait_ms: float | None = None
    stream_ms: float | None = None
    paint_ms: float | None = None
    paint_error_ms: float | None = None

    @property
    def known(self) -> dict[str, float]:
        """Those that there were, by their names: `{"dns": 3.1, "tcp": 12.4, …}`; all but `paint` follow one another."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self) if each.name != "paint_error_ms")
        return {name.removesuffix("_ms"): value for name, value in named if value is not None}

    @property
    def total_ms(self) -> float:
        """Their sum without `paint`, which runs while the answer comes: connect and E2E."""
        return sum(value for name, value in self.known.items() if name != "paint")

    def __repr__(self) -> str:
        """Each that there was, with the digits that count."""
        error = [] if self.paint_error_ms is None else [f"paint_error_ms={self.paint_error_ms:.3g}"]
        return f"Parts({', '.join([*(f'{name}_ms={value:.6g}' for name, value in self.known.items()), *error])})"

    def __str__(self) -> str:
        """`DNS 3 · TCP 12 · TLS 20 · wait 240 · stream 1,900 · paint 21 ± 4 ms`; a part below half a ms is left out."""
        words = [f"{_WORDS.get(name, name)} {value:,.0f}" for name, value in self.known.items() if value >= _LEAST_MS]
        if self.paint_ms is not None and self.paint_ms >= _LEAST_MS and self.paint_error_ms is not None:
            words[-1] += f" ± {self.paint_error_ms:,.0f}"
        return f"{' · '.join(words)} ms" if words else ""


_WORDS: Final = {"dns": "DNS", "tcp": "TCP", "tls": "TLS"}
_LEAST_MS: Final = 0.5
