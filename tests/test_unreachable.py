"""What is said where no connection can be made: each cause its own sentence, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from scripted_socket import Peer, answer, serving

from holystream_nb import Client
from holystream_nb.errors import ConnectionFailed, HolystreamError
from holystream_nb.wire import pool
from holystream_nb.wire import transport as connections
from holystream_nb.wire.certificates import VARIABLES
from holystream_nb.wire.transport import Transport
from holystream_nb.wire.unreachable import Route, failure

SSE = answer("200 OK", b"data: [DONE]\n\n", "text/event-stream")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def refused(url: str, connect_timeout: float = 5) -> HolystreamError:
    transport = Transport()
    with pytest.raises(HolystreamError) as caught:
        await transport.post(url, headers={}, body=b"{}", connect_timeout=connect_timeout, inactivity=5)
    await transport.aclose()
    return caught.value


@asynccontextmanager
async def saying(said: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that waits for a word, says this, and leaves; None waits for ever. Its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(65536)
            if said is None:
                await reader.read()
            writer.write(said or b"")
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


# TLS on one side only


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nInvalid HTTP request", b"", None]
)
async def test_tls_on_a_plain_port_is_told(said: bytes | None) -> None:
    """Whether the server answers in plain http, closes, or waits for more; the first is certain, and fails at once."""
    async with saying(said) as port:
        error = await refused(f"https://127.0.0.1:{port}/v1", connect_timeout=0.2)
    assert isinstance(error, ConnectionFailed)
    assert "write http:// in the base_url" in str(error)
    assert f"127.0.0.1:{port}" in str(error)
    assert error.should_retry is (False if said else None)


@pytest.mark.parametrize("said", [b"\x15\x03\x03\x00\x02\x02\x46", b"\x15\x03\x01\x00\x02\x02\x0a"])
async def test_plain_http_on_a_tls_port_is_told(said: bytes) -> None:
    """By a TLS alert, where a status line should be."""
    async with saying(said) as port:
        error = await refused(f"http://127.0.0.1:{port}/v1")
    assert isinstance(error, ConnectionFailed)
    assert "write https:// in the base_url" in str(error)
    assert error.should_retry is False


@pytest.mark.parametrize(
    "said",
    [
        b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",  # nginx
        b"Client sent an HTTP request to an HTTPS server.\n",  # Go
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",  # Apache
    ],
)
async def test_plain_http_on_a_tls_port_is_told_by_the_server(said: bytes) -> None:
    """In a 400 with its own words."""
    async with (
        saying(answer("400 Bad Request", said, "text/html")) as port,
        Client("ollama", base_url=f"http://127.0.0.1:{port}/v1", backoff=0.01) as client,
    ):
        with pytest.raises(ConnectionFailed, match="write https:// in the base_url"):
            await anext(client.stream("Hello", model="m"))


async def test_a_server_that_closes_on_plain_http_may_speak_tls(tmp_path: Path) -> None:
    """Many say nothing: the sentence names it as what may be."""
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(side)
    async with saying(b"", tls=side) as port:
        assert "https://" in str(await refused(f"http://127.0.0.1:{port}/v1"))


# Nobody there


@pytest.mark.parametrize(
    ("port", "said"),
    [(11434, "is ollama serve started"), (8080, "is llama-server started"), (9, "llama-server, ollama")],
)
async def test_nothing_listens_there(port: int, said: str) -> None:
    """The program that usually does is named."""
    refusal = httpcore_refusal()
    error = failure(
        refusal,
        Route(f"http://localhost:{port}/v1/chat/completions", f"localhost:{port}", 5, connections.chosen(None, None)),
    )
    assert error is not None
    assert f"Nothing listens at localhost:{port}: " in str(error)
    assert said in str(error)


def httpcore_refusal() -> Exception:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as exc:
            raise connections.httpcore2.ConnectError(exc) from exc
    except Exception as exc:
        return exc


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
async def test_a_port_without_a_server(host: str) -> None:
    """Also under a name with two addresses; whether it is started is asked only of this machine's."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        error = await refused(f"http://{host}:{port}/v1")
    assert f"Nothing listens at {host}:{port}" in str(error)
    assert ("ollama" in str(error)) is (host != "0.0.0.0")
    assert isinstance(error, ConnectionFailed)
    assert error.should_retry is (None if host == "0.0.0.0" else False)


async def test_a_name_that_is_unknown() -> None:
    """RFC 6761 keeps .invalid free of any."""
    error = await refused("https://api.invalid/v1")
    assert "The name api.invalid is not known" in str(error)


async def test_an_earlier_failure_is_not_taken_for_the_cause() -> None:
    """Who asks again elsewhere from an `except` block has an error in hand that is not of this connection."""
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        transport = Transport()
        try:
            await transport.post(f"https://127.0.0.1:{port}/", headers={}, body=b"", connect_timeout=5, inactivity=5)
        except ConnectionFailed:
            with pytest.raises(ConnectionFailed, match="Nothing listens"):
                await transport.post("http://127.0.0.1:9/", headers={}, body=b"", connect_timeout=5, inactivity=5)
        await transport.aclose()


# Kept connections


async def test_a_connection_is_not_kept_longer_than_servers_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn ends idle ones after 2 s, most others after 5."""
    assert pool.KEEPALIVE_S < 2
    monkeypatch.setattr(pool, "KEEPALIVE_S", 0.1)

    async def silent(peer: Peer) -> None: ...

    async with serving(silent, post=(SSE,)) as service:
        transport, seen = Transport(), []
        for pause in (0.0, 0.0, 0.2):
            await asyncio.sleep(pause)
            response = await transport.post(f"{service.url}/", headers={}, body=b"", connect_timeout=5, inactivity=5)
            await response.body(1000)
            await response.finish()
            seen.append(response.stream.get_extra_info("client_addr"))
        await transport.aclose()
    assert seen[0] == seen[1] != seen[2]
