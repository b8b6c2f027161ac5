"""Answers over TLS, with certificates of an authority made for the test, over server-sent events and a WebSocket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from scripted_socket import Peer, answer, done, serving, token

from holystream_nb import Client
from holystream_nb.errors import ConnectionFailed
from holystream_nb.wire import transport as connections
from holystream_nb.wire.transport import Transport
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


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """A server's side, of an authority that SSL_CERT_FILE names."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    connections._certificates.cache_clear()
    yield context
    connections._certificates.cache_clear()


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
    """In a sentence, before the key or a word of the prompt has left."""
    monkeypatch.delenv("SSL_CERT_FILE")
    connections._certificates.cache_clear()
    async with serving(hello, post=(SSE,), tls=tls) as service:
        async with Client("simulator", base_url=service.url, api_key=KEY, transport=over, retries=0) as client:
            with pytest.raises(ConnectionFailed, match="certificate"):
                async with client.stream("Hello", model="m") as stream:
                    await anext(stream)
        assert service.asked == []
