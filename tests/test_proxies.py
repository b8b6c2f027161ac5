"""Proxies: which one is asked, what it must not see, and that the stamps behind it are those of the reads."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import ssl
import struct
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from missing import needs
from scripted_socket import Peer, answer, done, serving, token

from holystream_nb import Client
from holystream_nb.errors import ConnectionFailed, SetupError
from holystream_nb.reply import Reply
from holystream_nb.wire.proxies import Proxies, Proxy, is_excepted, parsed
from holystream_nb.wire.transport import Transport

KEY = "hs_live_0123456789abcdef"
PASSWORD = "pässwörd:0123"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
needs_socksio = needs(
    importlib.util.find_spec("socksio") is not None, "NO socksio HERE: pip install 'holystream_nb[test]'"
)

Shake = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class Relay:
    """A proxy in the test: whom it was asked for, what its clients said first, and the service that it leads to."""

    def __init__(self) -> None:
        self.port = self.service = 0
        self.asked: list[str] = []
        self.heads: list[str] = []

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """HTTP's CONNECT."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        self.asked.append(head.split(" ")[1])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    async def socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """RFC 1928, with RFC 1929 where the client offers it."""
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        writer.write(bytes([5, methods[-1]]))
        if methods[-1] == 2:
            _, size = await reader.readexactly(2)
            name = await reader.readexactly(size)
            word = await reader.readexactly((await reader.readexactly(1))[0])
            self.heads.append(f"{name.decode()}:{word.decode()}")
            writer.write(b"\x01\x00")
        *_, kind = await reader.readexactly(4)
        assert kind == 3  # a name: it is looked up by the proxy, where the caller's network may not know it
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return True

    async def serve(self, shake: Shake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await shake(reader, writer):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.service)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def relaying(kind: str, *, service: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    relay = Relay()
    relay.service = service
    shake = relay.connect if kind == "http" else relay.socks5
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(relay.serve(shake, reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def answering(
    reply: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server that does something else; its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reply(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(made)
    return made


async def read(client: Client) -> Reply:
    async with client.stream("Hello", model="m") as stream:
        async for _ in stream:
            pass
    return stream.reply


# Through a proxy


@pytest.mark.parametrize("over", ["sse", "ws"])
@pytest.mark.parametrize("kind", ["http", "https", pytest.param("socks5", marks=needs_socksio)])
async def test_answers_come_through_a_proxy(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, kind: str, over: str
) -> None:
    """It is told the name, its own password, and nothing of what is said; two turns use one connection."""

    async def hello(peer: Peer) -> None:
        while (peer.asked.path == "/s/1" and not peer.written) or await peer.receive() is not None:
            await peer.send(token("Hello"), done())

    sse = b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    offer = answer("200 OK", Sec_WebSocket_URL="wss://api.example:PORT/s/1")
    post = offer if over == "ws" else answer("200 OK", sse, "text/event-stream")
    own = server_side(authority, "127.0.0.1") if kind == "https" else None
    async with (
        serving(hello, post=(post,), tls=server_side(authority, "api.example")) as service,
        relaying("socks5" if kind == "socks5" else "http", service=service.port, tls=own) as relay,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://me:p%C3%A4ssw%C3%B6rd%3A0123@127.0.0.1:{relay.port}")
        url = f"https://api.example:{service.port}/v1"
        async with Client("simulator", base_url=url, api_key=KEY, transport=over) as client:  # type: ignore[arg-type]
            replies = [await read(client), await read(client)]
        assert [(reply.text, reply.transport) for reply in replies] == [("Hello", over)] * 2
        assert relay.asked == [f"api.example:{service.port}"]
    said = relay.heads[0]
    assert KEY not in said
    assert (PASSWORD if kind == "socks5" else base64.b64encode(f"me:{PASSWORD}".encode()).decode()) in said


@pytest.mark.parametrize("kind", ["http", pytest.param("socks5", marks=needs_socksio)])
async def test_stamps_behind_a_proxy_are_those_of_the_reads(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each is taken when its bytes have come, and not when somebody took them."""
    sent: list[int] = []

    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for number in range(4):
            await asyncio.sleep(0.05)
            sent.append(time.perf_counter_ns())
            writer.write(b"1\r\n%d\r\n" % number)
        writer.write(b"0\r\n\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(streaming, "127.0.0.1", 0, ssl=server_side(authority, "api.example"))
    port = server.sockets[0].getsockname()[1]
    async with server, relaying(kind, service=port) as relay:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://127.0.0.1:{relay.port}")
        transport = Transport()
        response = await transport.post(
            f"https://api.example:{port}/", headers={}, body=b"", connect_timeout=5, inactivity=5
        )
        stamps = [stamp async for stamp, _ in response.reads()]
        await response.aclose()
        await transport.aclose()
    assert response.sent is not None
    assert response.sent < response.headers_at < sent[0]
    assert all(0 <= (stamp - at) / 1e6 < 45 for stamp, at in zip(stamps, sent, strict=False))


@needs_socksio
@pytest.mark.parametrize("scheme", ["socks", "socks5h"])
async def test_what_desktops_call_it_is_socks5(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """GNOME and its like write ALL_PROXY=socks://…; the name is left to the proxy in any case."""
    sse = b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def script(peer: Peer) -> None: ...

    async with (
        serving(script, post=(answer("200 OK", sse, "text/event-stream"),)) as service,
        relaying("socks5", service=service.port) as relay,
    ):
        monkeypatch.setenv("all_proxy", f"{scheme}://127.0.0.1:{relay.port}/")
        transport = Transport()
        response = await transport.post(
            "http://inside.example/v1", headers={}, body=b"{}", connect_timeout=5, inactivity=5
        )
        assert await response.body(1000) == sse
        await transport.aclose()
    assert relay.asked == ["inside.example:80"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOCKS is an extra."""
    monkeypatch.setattr("holystream_nb.wire.proxies.find_spec", lambda name: None)
    with pytest.raises(SetupError, match="pip install socksio"):
        parsed("socks5://127.0.0.1:1080")


# What goes wrong


async def _ask(url: str = "https://api.example/v1", connect_timeout: float = 5) -> ConnectionFailed:
    transport = Transport()
    with pytest.raises(ConnectionFailed) as caught:
        await transport.post(url, headers={}, body=b"", connect_timeout=connect_timeout, inactivity=60)
    await transport.aclose()
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "said", "should_retry"),
    [
        ("407 Proxy Authentication Required", "name:password", False),
        ("403 Forbidden", "add api.example to NO_PROXY", False),
        ("503 Service Unavailable", "503", None),
    ],
)
async def test_a_proxy_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, status: str, said: str, should_retry: bool | None
) -> None:
    """With its own words, without its password; only what may pass is asked again."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with answering(refuse) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        error = await _ask()
        assert f"http://127.0.0.1:{port}" in str(error)
        assert said in str(error)
        assert error.should_retry is should_retry
        if status.startswith("407"):
            monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
            assert "name:password" in str(await _ask("http://api.example/v1"))


@pytest.mark.parametrize("scheme", ["http", pytest.param("socks5", marks=needs_socksio)])
async def test_a_proxy_that_says_nothing_is_not_waited_for_as_a_model_is(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Its part belongs to connecting: `connect_timeout` ends it, not `inactivity`."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answering(wait) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in str(await _ask(connect_timeout=0.1))


@needs_socksio
@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05", b""])
async def test_what_is_no_socks_proxy_is_told(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """An HTTP proxy's port with socks5:// before it is a common slip."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await writer.drain()

    async with answering(other) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{port}")
        assert "SOCKS5" in str(await _ask())


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the service, which nobody has asked."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    error = await _ask()
    assert "Nothing listens at http://127.0.0.1:9 (the proxy for api.example)" in str(error)


async def test_a_proxy_whose_tls_is_plain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """https:// before a proxy that speaks http, as many variables have it."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with answering(plain) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        error = await _ask()
        assert "http:// in the proxy's address" in str(error)
        assert error.should_retry is False


@pytest.mark.parametrize("address", ["http://me:secret@:1", "http://me:secret@host:port", "socks4://me:secret@h:1"])
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    """Without its password."""
    with pytest.raises(SetupError, match="proxy") as caught:
        parsed(address)
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_text() -> None:
    """A proxy is among the locals of a traceback."""
    proxy = parsed("http://me:secret@[fd00::1]:3128")
    assert "secret" not in repr(proxy)
    assert proxy.address == "http://[fd00::1]:3128"


# Which proxy


@pytest.mark.parametrize(
    ("no_proxy", "yes", "no"),
    [
        ("example.com", "https://example.com https://api.example.com https://EXAMPLE.com.", "https://myexample.com"),
        (".example.com", "https://example.com https://a.b.example.com", "https://example.com.org"),
        ("*.example.com", "https://example.com https://a.example.com", "https://anexample.com"),
        ("example.com:8443", "https://example.com:8443 https://a.example.com:8443", "https://example.com"),
        ("example.com:443", "https://example.com", "http://example.com https://example.com:8443"),
        ("https://example.com", "https://example.com", "http://example.com"),
        ("https://example.com/", "https://example.com https://a.example.com", "http://example.com"),
        ("example.com:8443/", "https://example.com:8443", "https://example.com"),
        ("10.0.0.5", "http://10.0.0.5:8000", "http://10.0.0.50 http://110.0.0.5"),
        ("10.0.0.5:8000", "http://10.0.0.5:8000", "http://10.0.0.5:8001"),
        ("0.5", "http://a.0.5", "http://10.0.0.5"),
        ("10.0.0.0/8", "http://10.200.0.1", "http://11.0.0.1 http://10.example.com"),
        ("10.1.2.3/8", "http://10.200.0.1", "http://11.0.0.1"),
        ("10.*", "http://10.0.0.5", "http://11.0.0.5"),
        ("fd00::5", "http://[fd00::5]:8000 http://[fd00:0:0::5]", "http://[fd00::6]"),
        ("[fd00::5]", "http://[fd00::5]:8000", "http://[fd00::6]"),
        ("[fd00::5]:8000", "http://[fd00::5]:8000", "http://[fd00::5]:8001"),
        ("fd00::/8", "http://[fd12::5]", "http://[fe00::5] http://10.0.0.1"),
        ("[fd00::]/8", "http://[fd12::5]", "http://[fe00::5]"),
        ("*", "https://example.com http://10.0.0.5 http://[fd00::5]", ""),
        ("a.com, .b.com\tc.com  d.com,,", "https://a.com https://x.b.com https://c.com https://d.com", "https://e.com"),
        ("A.Com", "https://a.com", "https://b.com"),
        ("", "", "https://example.com http://10.0.0.5"),
        (". , *.x* :80 / [ [] ]:1 10.0.0.0/99 ://", "", "https://example.com http://10.0.0.5 http://[fd00::5]"),
    ],
)
def test_no_proxy_in_all_its_forms(no_proxy: str, yes: str, no: str) -> None:
    """Names, suffixes, ports, addresses and networks of both kinds; what is none of them is nothing."""
    for url in yes.split():
        assert is_excepted(urlsplit(url), no_proxy), url
    for url in no.split():
        assert not is_excepted(urlsplit(url), no_proxy), url


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
async def test_variables_are_read_in_both_spellings_and_anew(monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    """`%env HTTPS_PROXY=…` in a notebook is obeyed by a client that exists."""
    proxies = Proxies()
    assert await proxies.find("https://api.example") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert await proxies.find("https://api.example") == Proxy("http", "proxy.example", 3128)
    monkeypatch.setenv("https_proxy", "http://other.example")
    assert await proxies.find("https://api.example") == Proxy("http", "other.example", 80)
    assert await proxies.find("http://api.example") is None
    monkeypatch.setenv("ALL_PROXY", "https://all.example")
    assert await proxies.find("http://api.example") == Proxy("https", "all.example", 443)
    monkeypatch.setenv(spelling, "api.example")
    assert await proxies.find("https://api.example") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:8080",
        "http://0.0.0.0:8000",
        "http://a.localhost",
    ],
)
async def test_this_machine_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Under any of its names; another machine could not reach it either."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert await Proxies().find(url) is None
    assert await Proxies().find("http://127.example") is not None


async def test_the_systems_settings_are_read_once_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS and Windows that may take a while, in which other streams are read."""
    asked = []

    def slow() -> dict[str, str]:
        asked.append(1)
        time.sleep(0.15)
        return {"https": "http://proxy.example:3128", "socks": "socks://proxy.example:1080"}

    monkeypatch.setattr(urllib.request, "getproxies", slow)
    monkeypatch.setattr(urllib.request, "proxy_bypass", lambda host: host == "inside.example")
    proxies = Proxies()
    finding = asyncio.ensure_future(proxies.find("https://api.example/v1"))
    longest, before = 0.0, time.perf_counter()
    while not finding.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    assert longest < 0.1
    assert await finding == Proxy("http", "proxy.example", 3128)
    assert await proxies.find("https://api.example/v2") == Proxy("http", "proxy.example", 3128)
    assert await proxies.find("https://inside.example") is None
    assert len(asked) == 1
    proxies.forget()
    await proxies.find("https://api.example/v1")
    assert len(asked) == 2
