"""Where the time of an answer went: over real sockets, with a slow resolver, a slow proxy, TLS, and kept connections.

The resolver is patched (`getaddrinfo` waits and gives loopback); everything else is the system's.
"""

from __future__ import annotations

import asyncio
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from scripted_socket import Peer, answer, done, serving, token
from test_proxies import KEY, Relay, relaying, server_side

from holystream_nb import Client
from holystream_nb.parts import Opening, Parts
from holystream_nb.providers.table import provider
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing
from holystream_nb.wire.certificates import VARIABLES

MS = 1_000_000


def test_parts_show_the_digits_that_count() -> None:
    """What there was, without the tail of a float."""
    parts = Parts(tcp_ms=0.58334, other_ms=0.21088400000000007, wait_ms=32.716987)
    assert repr(parts) == "Parts(tcp_ms=0.58334, other_ms=0.210884, wait_ms=32.717)"


SSE = b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
POST = answer("200 OK", SSE, "text/event-stream")
DNS_S = 0.08


@pytest.fixture(autouse=True)
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    for name in (*VARIABLES, "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that end in .example are looked up slowly, and are these addresses."""
    addresses = ["127.0.0.1"]
    asked = socket.getaddrinfo

    def slow(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".example"):
            return asked(host, port, *args, **kwargs)
        time.sleep(DNS_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    return addresses


async def silent(peer: Peer) -> None: ...


async def hello(peer: Peer) -> None:
    while await peer.receive() is not None:
        await asyncio.sleep(0.05)
        await peer.send(token("Hel"))
        await asyncio.sleep(0.05)
        await peer.send(token("lo"), done())


async def read(client: Client) -> Reply:
    async with client.stream("Hello", model="m") as stream:
        async for _ in stream:
            pass
    return stream.reply


async def test_the_parts_of_a_new_connection_are_told_apart(authority: trustme.CA, resolver: list[str]) -> None:
    """The slow resolver is in DNS alone, and the parts are what is measured, to the nanosecond."""
    async with (
        serving(silent, post=(POST,), tls=server_side(authority, "api.example")) as service,
        Client("simulator", base_url=f"https://api.example:{service.port}/v1", api_key=KEY) as client,
    ):
        reply = await read(client)
    timing = reply.timing
    parts = timing.parts
    assert parts.dns_ms is not None
    assert parts.tcp_ms is not None
    assert parts.tls_ms is not None
    assert parts.dns_ms >= DNS_S * 1e3
    assert 0 < parts.tcp_ms < DNS_S * 1e3 / 2
    assert parts.tls_ms > 0
    assert parts.proxy_ms is parts.upgrade_ms is None
    assert timing.connect_ms is not None
    assert timing.e2e_s is not None
    assert parts.other_ms is not None
    assert parts.other_ms >= 0
    assert parts.total_ms == pytest.approx(timing.connect_ms + timing.e2e_s * 1e3, abs=1e-6)
    assert (parts.send_ms or 0) + (parts.wait_ms or 0) == pytest.approx(timing.ttft_ms, abs=1e-6)


async def test_a_kept_connection_needed_none_of_them(authority: trustme.CA, resolver: list[str]) -> None:
    """So each is None, and not 0."""
    async with (
        serving(silent, post=(POST,), tls=server_side(authority, "api.example")) as service,
        Client("simulator", base_url=f"https://api.example:{service.port}/v1", api_key=KEY) as client,
    ):
        await read(client)
        parts = (await read(client)).timing.parts
    assert (parts.dns_ms, parts.tcp_ms, parts.tls_ms, parts.proxy_ms) == (None,) * 4
    assert parts.wait_ms is not None


async def test_an_address_is_no_name_and_plain_http_has_no_tls() -> None:
    """What was not needed is None."""
    async with (
        serving(silent, post=(POST,)) as service,
        Client("simulator", base_url=service.url, api_key=KEY) as client,
    ):
        parts = (await read(client)).timing.parts
    assert parts.tcp_ms is not None
    assert (parts.dns_ms, parts.tls_ms) == (None, None)


async def test_a_socket_has_them_too_and_its_handshake(authority: trustme.CA, resolver: list[str]) -> None:
    """On its second turn, the socket is there."""
    offer = answer("200 OK", Sec_WebSocket_URL="wss://api.example:PORT/s/1")

    async def begun(peer: Peer) -> None:
        await peer.send(token("Hel"))
        await asyncio.sleep(0.05)
        await peer.send(token("lo"), done())
        await hello(peer)

    async with (
        serving(begun, post=(offer,), tls=server_side(authority, "api.example")) as service,
        Client("simulator", base_url=f"https://api.example:{service.port}/v1", api_key=KEY, transport="ws") as client,
    ):
        first, second = await read(client), await read(client)
    assert [reply.transport for reply in (first, second)] == ["ws", "ws"]
    assert [reply.text for reply in (first, second)] == ["Hello", "Hello"]
    parts = first.timing.parts
    assert parts.dns_ms is not None
    assert parts.dns_ms >= DNS_S * 1e3
    assert parts.tls_ms is not None
    assert parts.other_ms is not None
    assert parts.other_ms >= 0
    assert parts.upgrade_ms is not None
    assert parts.upgrade_ms > 0  # the answer in which the socket was offered is no work of the client
    assert second.timing.parts.dns_ms is None
    assert second.timing.parts.upgrade_ms is None
    for reply in (first, second):
        found = reply.timing.parts
        assert found.send_ms is not None
        assert found.send_ms + (found.wait_ms or 0) == pytest.approx(reply.timing.ttft_ms, abs=1e-6)


async def test_the_handshake_of_a_socket_with_an_address_is_a_part(authority: trustme.CA, resolver: list[str]) -> None:
    """It lies before the turn is asked for, and is not TTFT's."""

    def slow(asked: Any, before: int) -> None:
        time.sleep(0.06)

    async with serving(hello, shake=slow, tls=server_side(authority, "api.example")) as service:
        place = f"api.example:{service.port}"
        row = replace(provider("simulator"), base_url=f"https://{place}/v1", websocket=f"wss://{place}/s")
        async with Client(row, api_key=KEY, transport="ws") as client:
            first, second = await read(client), await read(client)
    parts = first.timing.parts
    assert first.transport == "ws"
    assert parts.upgrade_ms is not None
    assert parts.upgrade_ms >= 60
    assert parts.dns_ms is not None
    assert parts.other_ms is not None
    assert 0 <= parts.other_ms < 60
    assert parts.total_ms == pytest.approx((first.timing.connect_ms or 0) + (first.timing.e2e_s or 0) * 1e3)
    assert second.timing.opening is None


async def test_a_slow_proxy_is_a_part_of_its_own(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is to the proxy; what the proxy takes to open the way is neither TCP nor TLS."""

    class Slow(Relay):
        async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            await asyncio.sleep(0.1)
            return await super().connect(reader, writer)

    monkeypatch.setattr("test_proxies.Relay", Slow)
    async with (
        serving(silent, post=(POST,), tls=server_side(authority, "api.example")) as service,
        relaying("http", service=service.port) as relay,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{relay.port}")
        async with Client("simulator", base_url=f"https://api.example:{service.port}/v1", api_key=KEY) as client:
            parts = (await read(client)).timing.parts
    assert parts.dns_ms is None  # the proxy is an address, and the service's name is the proxy's to look up
    assert parts.proxy_ms is not None
    assert parts.proxy_ms >= 100
    assert parts.tcp_ms is not None
    assert parts.tcp_ms < 100
    assert parts.tls_ms is not None


@contextmanager
def deaf(address: str, port: int) -> Iterator[None]:
    """An address that takes no connection and does not refuse one: its queue is full."""
    with socket.socket() as listener:
        listener.bind((address, port))
        listener.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex((address, port))
        try:
            yield
        finally:
            for each in crowd:
                each.close()


@pytest.mark.parametrize("first", ["refuses", "is deaf"])
async def test_where_one_address_does_not_answer_the_next_one_is_tried(
    authority: trustme.CA, resolver: list[str], first: str
) -> None:
    """At once where it refuses, else beside it after a quarter of a second."""
    resolver[:] = ["127.0.0.2", "127.0.0.1"]
    async with serving(silent, post=(POST,), tls=server_side(authority, "api.example")) as service:
        with deaf("127.0.0.2", service.port) if first == "is deaf" else nullcontext():
            async with Client("simulator", base_url=f"https://api.example:{service.port}/v1", api_key=KEY) as client:
                reply = await read(client)
    assert reply.text == "Hello"
    tcp = reply.timing.parts.tcp_ms
    assert tcp is not None
    assert (tcp >= 250) == (first == "is deaf")


def test_parts_say_what_took_time() -> None:
    """In their order, with thousands set apart; what took no time is not mentioned, nor what was not needed."""
    opening = Opening(dns=3 * MS, tcp=12 * MS, tls=20 * MS)
    reads = array("q", [281 * MS, 2181 * MS])
    timing = Timing(
        submitted=0, permit=5 * MS, sent=40 * MS, written=41 * MS, reads=reads, opening=opening, paint_ms=21.0
    )
    assert str(timing.parts) == "DNS 3 · TCP 12 · TLS 20 · send 1 · wait 240 · stream 1,900 · paint 21 ms"
    assert timing.parts.other_ms == 0
    assert str(Parts()) == ""
    assert timing.parts.total_ms == 2176


def test_a_request_that_was_never_answered_has_the_parts_that_there_were() -> None:
    """And nothing that would come after."""
    timing = Timing(submitted=0, permit=0, sent=40 * MS, opening=Opening(tcp=30 * MS))
    assert timing.parts.known == {"tcp": 30.0, "other": 10.0}
