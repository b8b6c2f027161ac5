"""Answers over TLS, with certificates of an authority made for the test, over server-sent events and a WebSocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from scripted_socket import Peer, answer, done, serving, token

from holystream_nb import Client
from holystream_nb.errors import ConnectionFailed, SetupError
from holystream_nb.wire.certificates import VARIABLES, Certificates, context
from holystream_nb.wire.transport import Response, Transport
from holystream_nb.wire.websocket import Sockets

KEY = "hs_live_0123456789abcdef"
SSE = answer(
    "200 OK",
    b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "text/event-stream",
)
OVER = pytest.mark.parametrize("over", ["sse", "ws", "auto"])


async def hello(peer: Peer) -> None:
    """Answers every turn, with a pause in which a ping is answered; the first of an offered socket begins by itself."""
    while (peer.asked.path == "/s/1" and not peer.written) or await peer.receive() is not None:
        await peer.send(token("Hel"))
        await asyncio.sleep(0.1)
        await peer.send(token("lo"), done())


def server_side(authority: trustme.CA, *names: str, **further: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ["127.0.0.1"]), **further).configure_cert(context)
    return context


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """One of the test's own, in authority.pem; nobody has named it yet."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    return made


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA) -> ssl.SSLContext:
    """A server's side, of an authority that SSL_CERT_FILE names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return server_side(authority)


@OVER
async def test_two_turns_come_over_one_connection(tls: ssl.SSLContext, over: str) -> None:
    """The handshakes are paid once; on a socket, pings are answered too."""
    offer = answer("200 OK", Sec_WebSocket_URL="wss://127.0.0.1:PORT/s/1")
    async with serving(hello, post=(offer if over == "auto" else SSE,), tls=tls) as service:
        mine = Transport()
        sockets = Sockets(mine, ping_s=0.03, pong_s=1)
        made = Client("simulator", base_url=service.url, api_key=KEY, transport=over, connections=mine, sockets=sockets)
        async with made as client:
            for _ in range(2):
                async with client.stream("Hello", model="m") as stream:
                    async for _event in stream:
                        pass
                reply = stream.reply
                assert (reply.text, reply.error, reply.transport) == ("Hello", None, "sse" if over == "sse" else "ws")
                assert service.open == 1
        assert [peer.pings > 0 for peer in service.peers] == ([] if over == "sse" else [True])


@OVER
async def test_a_certificate_of_nobody_is_refused(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    """At once, in a sentence that says how it is trusted, before the key or a word of the prompt has left."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with serving(hello, post=(SSE,), tls=tls) as service:
        async with Client("simulator", base_url=service.url, api_key=KEY, transport=over, retries=3) as client:
            with pytest.raises(ConnectionFailed, match="SSL_CERT_FILE") as caught:
                async with client.stream("Hello", model="m") as stream:
                    await anext(stream)
        assert service.asked == []
    assert (caught.value.should_retry, stream.reply.timing.retries) == (False, 0)


async def asked(url: str, **options: Any) -> Response:
    transport = Transport(**options)
    try:
        response = await transport.post(f"{url}/chat", headers={}, body=b"{}", connect_timeout=5, inactivity=5)
        await response.body(1000)
        return response
    finally:
        await transport.aclose()


async def refused(url: str, **options: Any) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        await asked(url, **options)
    return caught.value


async def silent(peer: Peer) -> None: ...


# Whom to trust


@pytest.mark.parametrize("variable", VARIABLES)
async def test_variables_name_whom_to_trust(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Those of OpenSSL, requests and curl; a client that exists obeys one that is set later."""
    if variable == "SSL_CERT_DIR":
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(tmp_path / "authority.pem")]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: ASYNC221
        authority.cert_pem.write_to_path(tmp_path / f"{name}.0")
    async with serving(silent, post=(SSE,), tls=server_side(authority)) as service:
        transport = Transport()
        for trusted in (False, True):
            if trusted:
                monkeypatch.setenv(
                    variable, str(tmp_path if variable == "SSL_CERT_DIR" else tmp_path / "authority.pem")
                )
            try:
                await transport.post(f"{service.url}/", headers={}, body=b"", connect_timeout=5, inactivity=5)
                assert trusted
            except ConnectionFailed:
                assert not trusted
        await transport.aclose()


async def test_the_argument_outranks_the_environment(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And names itself where it is the reason."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    async with serving(silent, post=(SSE,), tls=server_side(authority)) as service:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        assert (await asked(service.url, ca=tmp_path / "authority.pem")).status == 200
        assert "SSL_CERT_FILE" in str(await refused(service.url))
        assert "authority in ca" in str(await refused(service.url, ca=str(tmp_path / "other.pem")))


async def test_a_servers_own_certificate_is_trusted_by_its_file(tmp_path: Path) -> None:
    """As `openssl req -x509` makes it, for a server in the house; no authority is needed."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days"]
    made += ["2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "own.pem")]
    subprocess.run(made, check=True, capture_output=True)  # noqa: ASYNC221
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    side.load_cert_chain(tmp_path / "own.pem", tmp_path / "key.pem")
    async with serving(silent, post=(SSE,), tls=side) as service:
        assert "self-signed" in str(await refused(service.url))
        assert (await asked(service.url, ca=tmp_path / "own.pem")).status == 200


@pytest.mark.parametrize(
    ("names", "further", "said"),
    [
        (["other.example"], {}, "is for another name"),
        (["127.0.0.1"], {"not_after": datetime.now(UTC) - timedelta(days=1)}, "is out of date"),
    ],
)
async def test_what_else_is_wrong_with_a_certificate_is_said(
    authority: trustme.CA, tmp_path: Path, names: list[str], further: dict[str, Any], said: str
) -> None:
    """Trusting more would not help there, so nobody is told to."""
    async with serving(silent, post=(SSE,), tls=server_side(authority, *names, **further)) as service:
        error = await refused(service.url, ca=tmp_path / "authority.pem")
    assert said in str(error)
    assert "SSL_CERT_FILE" not in str(error)
    assert error.should_retry is False


async def test_certificates_are_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes some 20 ms, in which other streams are read."""
    read_ones = httpx2.create_ssl_context

    def slow(**keywords: Any) -> ssl.SSLContext:
        time.sleep(0.15)
        return read_ones(**keywords)

    monkeypatch.setattr(httpx2, "create_ssl_context", slow)
    context.__globals__["_context"].cache_clear()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    asking = asyncio.ensure_future(refused("https://127.0.0.1:9"))
    longest, before = 0.0, time.perf_counter()
    while not asking.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    assert longest < 0.1
    assert "127.0.0.1:9" in str(await asking)
    started = time.perf_counter()
    context(Certificates())
    assert time.perf_counter() - started < 0.1


# Who we are


@OVER
async def test_a_certificate_of_ours_is_shown(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, over: str
) -> None:
    """To a server that demands one, for answers of every kind."""
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    ours = authority.issue_cert("me@example.com")
    ours.cert_chain_pems[0].write_to_path(cert)
    ours.private_key_pem.write_to_path(key)
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    offer = answer("200 OK", Sec_WebSocket_URL="wss://127.0.0.1:PORT/s/1")
    async with serving(hello, post=(SSE if over == "sse" else offer,), tls=tls) as service:
        for own in ((cert, key), str(tmp_path / "both.pem")):
            mine = Transport(cert=own)
            made = Client("simulator", base_url=service.url, api_key=KEY, transport=over, connections=mine)  # type: ignore[arg-type]
            async with made as client, client.stream("Hello", model="m") as stream:
                async for _event in stream:
                    pass
            assert (stream.reply.text, stream.reply.error) == ("Hello", None)
            assert stream.reply.transport == ("sse" if over == "sse" else "ws")


@contextmanager
def demanding(side: ssl.SSLContext) -> Iterator[str]:
    """A TLS server that says why it refuses, which asyncio's does not; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with side.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
                try:
                    tls.do_handshake()
                    tls.recv(65536)
                except OSError:
                    time.sleep(0.1)  # a reset would overtake what it has said

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_demands_a_certificate_is_told_of(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """TLS 1.3 says so only after the request has gone out."""
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.minimum_version = tls.maximum_version = version
    authority.configure_trust(tls)
    trustme.CA().issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(tmp_path / "foreign.pem")
    with demanding(tls) as url:
        none, foreign = await refused(url), await refused(url, cert=str(tmp_path / "foreign.pem"))
    assert "give it as cert=" in str(none)
    assert "accepts the certificate given in cert" in str(foreign)
    assert none.should_retry is foreign.should_retry is False


async def test_files_that_cannot_be_used_are_refused(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each in a sentence that names the file, the missing ones before anything is asked."""
    ours, other = authority.issue_cert("me@example.com"), authority.issue_cert("you@example.com")
    cert, key, locked, empty = (tmp_path / f"{name}.pem" for name in ("cert", "key", "locked", "empty"))
    ours.cert_chain_pems[0].write_to_path(str(cert))
    other.private_key_pem.write_to_path(str(key))
    empty.write_text("nothing")
    command = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221
    for missing in ({"ca": "missing.pem"}, {"cert": "missing.pem"}, {"cert": (str(cert), "missing.pem")}):
        with pytest.raises(SetupError, match=r"missing\.pem, which does not exist"):
            Transport(**missing)  # type: ignore[arg-type]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca": empty}, r"ca names .*empty\.pem, which holds no certificate"),
        ({"cert": empty}, r"cert names .*empty\.pem, which is no certificate with its key"),
        ({"cert": cert}, r"cert=\(certificate, key\)"),
        ({"cert": (str(cert), str(key))}, "not the one of the certificate"),
        ({"cert": (str(cert), str(locked))}, "passphrase"),
    ]
    for options, said in cases:
        with pytest.raises(SetupError, match=said):
            await asked("https://127.0.0.1:9", **options)
    for variable, said in (("CURL_CA_BUNDLE", "No such file"), ("SSL_CERT_FILE", "No such file")):
        monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))
        with pytest.raises(SetupError, match=rf"{variable} names .*missing\.pem, which cannot be read \({said}"):
            await asked("https://127.0.0.1:9")
