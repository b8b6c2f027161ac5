"""What is secret reaches the service and nothing else: no traceback, no log, no other host, no second header."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_socket import Peer, Scripted, answer, done, serving, token

from holystream_nb import Client
from holystream_nb.client.options import client_options
from holystream_nb.errors import HolystreamError, SetupError

VALUES = {
    "api_key": "hs_live_9fK2mQ7wZ4xT1bN8vR5c",
    "header": "9d1f6c0b7a5e4832",
    "query": "q7Zt44xRw0PdVm2k",
    "of_url": "u5LrTn81BcYqHs6e",
}
ACCESS: dict[str, Any] = {
    "api_key": VALUES["api_key"],
    "headers": {"X-Portkey-Api-Key": VALUES["header"]},
    "query": {"code": VALUES["query"]},
}
SSE = answer(
    "200 OK",
    b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "text/event-stream",
)
ECHO = answer(
    "500 Internal Server Error",
    f'{{"error": {{"message": "{" ".join(VALUES.values())} Bearer {VALUES["api_key"]}"}}}}'.encode(),
    "application/json",
)
OVER = pytest.mark.parametrize("over", ["sse", "ws", "auto"])
KEY_IN = pytest.mark.parametrize("key_header", [None, "api-key", "authorization"])


def rendered(exc: BaseException) -> str:
    """A traceback with the variables of every frame but this file's, in every way that people see one."""
    from IPython.core.ultratb import VerboseTB

    while exc.__traceback__ is not None and exc.__traceback__.tb_frame.f_code.co_filename == __file__:
        exc.__traceback__ = exc.__traceback__.tb_next
    found = "".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format())
    found += VerboseTB(theme_name="nocolor").text(type(exc), exc, exc.__traceback__)
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:  # what pytest -l, rich and Sentry read: the variables themselves, of causes too
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            waiting += [each.__cause__, each.__context__]
            for frame, _ in traceback.walk_tb(each.__traceback__):
                for value in frame.f_locals.values():
                    found += repr(value) + repr(getattr(value, "__dict__", ""))
    return found


def has_secret(text: str) -> list[str]:
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in VALUES.items()}
    return [name for name, value in VALUES.items() if value in text or encoded[name] in text]


async def ask(client: Client) -> None:
    async with client, client.stream("Hello", model="m") as stream:
        async for _ in stream:
            pass


async def silent(peer: Peer) -> None:
    await peer.receive()
    await asyncio.sleep(5)


async def breaks(peer: Peer) -> None:
    await peer.receive()
    peer.cut()


async def hello(peer: Peer) -> None:
    await peer.receive()
    await peer.send(token("Hello"), done())


async def begins(peer: Peer) -> None:
    """An offered socket: its first turn was asked for by the POST."""
    await peer.send(token("Hello"), done())


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.slow
@KEY_IN
@OVER
@pytest.mark.parametrize("fault", ["nobody", "stalled", "500", "404", "breaks", "no answer"])
async def test_no_frame_of_a_traceback_has_a_secret(
    over: str, fault: str, key_header: str | None, logs: pytest.LogCaptureFixture
) -> None:
    """Whatever fails on the way, the variables of the frames, of causes and of the logs hold no value."""
    if (over, fault) == ("auto", "no answer"):
        over = "ws"  # where an offered socket does not open, the answer comes over SSE
    access = {**ACCESS, "key_header": key_header, "retries": 0, "inactivity": 0.2, "connect_timeout": 0.2}
    script = {"stalled": silent, "breaks": breaks}.get(fault, hello)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n"
    offer = answer("200 OK", Sec_WebSocket_URL="ws://127.0.0.1:PORT/s/1")
    post = {"500": ECHO, "404": ECHO.replace(b"500", b"404")}.get(fault, offer if over == "auto" else head)
    shake = {"500": ECHO, "404": ECHO.replace(b"500", b"401"), "no answer": b""}.get(fault)
    async with serving(script, post=(post,), shake=lambda _asked, _count: shake) as service:
        url = "https://127.0.0.1:9/v1" if fault == "nobody" else service.url
        client = Client("simulator", base_url=f"{url}?token={VALUES['of_url']}", transport=over, **access)
        with pytest.raises(HolystreamError) as caught:
            await ask(client)
    assert has_secret(rendered(caught.value)) == []
    assert has_secret(logs.text) == []


@pytest.mark.slow
async def test_a_cancelled_request_has_no_secret_in_its_traceback(logs: pytest.LogCaptureFixture) -> None:
    """■ while a request waits raises through the frames that sent it."""
    async with serving(silent) as service:
        client = Client("simulator", base_url=service.url, **ACCESS)
        task = asyncio.create_task(ask(client))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert has_secret(rendered(caught.value)) == []
    assert has_secret(logs.text) == []


async def test_what_the_caller_was_handling_keeps_its_traceback() -> None:
    """Frames are taken from our own causes only."""
    frames = None
    try:
        raise ValueError("the caller's")
    except ValueError as outer:
        with pytest.raises(HolystreamError):
            await ask(Client("simulator", base_url="http://127.0.0.1:9/v1", retries=0))
        frames = outer.__traceback__
    assert frames is not None


def header(service: Scripted, name: str, number: int = 0) -> str | None:
    return service.asked[number].headers.get(name)


async def test_headers_a_query_and_the_key_arrive_once() -> None:
    """The path, the query of the address and of its own, and each header are in the request, the key where it was
    asked for."""
    async with serving(hello, post=(SSE,)) as service:
        await ask(Client("simulator", base_url=f"{service.url}/?token=a%26b", key_header="api-key", **ACCESS))
    asked = service.asked[0]
    assert asked.path == f"/v1/chat/completions?token=a%26b&code={VALUES['query']}"
    assert asked.headers["x-portkey-api-key"] == VALUES["header"]
    assert asked.headers["api-key"] == VALUES["api_key"]
    assert "authorization" not in asked.headers


async def test_a_header_of_ones_own_replaces_ours() -> None:
    """user-agent goes out once; so does an authorization where we have no key."""
    headers = {"User-Agent": "mine/1", "AUTHORIZATION": "Basic bWU6cGFzc3dvcmQ="}
    async with serving(hello, post=(SSE,)) as service:
        await ask(Client("simulator", base_url=service.url, headers=headers))
    assert (header(service, "user-agent"), header(service, "authorization")) == ("mine/1", headers["AUTHORIZATION"])


async def test_an_offered_socket_on_another_port_gets_the_key_of_the_provider_alone(tmp_path: Any, monkeypatch) -> None:
    """Headers and query are base_url's; another host that the entry names gets the key."""
    async with serving(begins) as other:
        offer = answer("200 OK", Sec_WebSocket_URL=f"ws://127.0.0.1:{other.port}/s/1")
        async with serving(hello, post=(offer,)) as service:
            file = tmp_path / "providers.toml"
            file.write_text(
                f"""
                [mine]
                base_url = "{service.url}"
                headers = {{"x-title" = "notebook-4711"}}
                query = {{"api-version" = "2024-10-21"}}
                key_header = "x-api-key"
                websocket_hosts = ["127.0.0.1:{other.port}"]
                """
            )
            monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(file))
            await ask(Client("mine", transport="auto", **ACCESS))
    asked, offered = service.asked[0], other.asked[0]
    assert asked.headers["x-title"] == "notebook-4711"
    assert asked.path.endswith(f"?api-version=2024-10-21&code={VALUES['query']}")
    assert asked.headers["x-api-key"] == offered.headers["x-api-key"] == VALUES["api_key"]
    assert offered.path == "/s/1"
    assert {"x-title", "x-portkey-api-key"} & offered.headers.keys() == set()


async def test_a_redirect_carries_nothing() -> None:
    """It is not followed, and the error names the other host alone."""
    async with serving(hello) as other:
        moved = answer("307 Temporary Redirect", Location=f"http://127.0.0.1:{other.port}/v1?code={VALUES['query']}")
        async with serving(hello, post=(moved,)) as service:
            with pytest.raises(HolystreamError, match="redirects to") as caught:
                await ask(Client("simulator", base_url=service.url, **ACCESS))
    assert other.asked == []
    assert has_secret(str(caught.value)) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"headers": {"authorization": "Bearer x"}, "api_key": "sk-12345678"}, "authorization is in headers"),
        ({"headers": {"API-Key": "x"}, "api_key": "sk-12345678", "key_header": "api-key"}, "api-key is in headers"),
        ({"headers": {"Content-Type": "text/plain"}}, "Content-Type: the request sets"),
        ({"headers": {"host": "elsewhere"}}, "cannot be host"),
        ({"headers": {"Content-Length": "1"}}, "cannot be Content-Length"),
        ({"headers": {"transfer-encoding": "chunked"}}, "cannot be transfer-encoding"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "has X-A twice"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, "x-a that must be a text of one line"),
        ({"headers": {"x a": "1"}}, "must be the name of a header"),
        ({"headers": {"x-a": 1}}, "x-a that must be a text"),
        ({"headers": ["x-a: 1"]}, "names with their values"),
        ({"headers": "x-a: 1"}, "names with their values"),
        ({"query": {"a": None}}, "a that must be a text"),
        ({"query": {"token": "1"}, "base_url": "http://127.0.0.1:1/v1?token=2"}, "token is in the query"),
        ({"key_header": "content-type"}, "cannot be content-type"),
        ({"key_header": "Bearer sk-12345678"}, "must be the name of a header"),
        ({"key_variable": "sk-abcdef123456"}, "name of an environment variable"),
        ({"api_key": ["sk-12345678"]}, "api_key is a list"),
        (
            {"base_url": "http://10.0.0.5:8000/v1", "headers": {"x-a": "secret-1"}},
            r'http_key_hosts = \["10.0.0.5:8000"\]',
        ),
        ({"base_url": "http://10.0.0.5:8000/v1?key=secret-1"}, "never sent unencrypted"),
        ({"base_url": "http://10.0.0.5/v1", "api_key": "sk-12345678"}, r'http_key_hosts = \["10.0.0.5:80"\]'),
    ],
)
def test_what_cannot_be_sent_is_refused_without_its_value(given: dict[str, Any], said: str) -> None:
    """One sentence, which names the header or parameter and never what it holds."""
    with pytest.raises(SetupError, match=said) as caught:
        Client("simulator", **({"base_url": "http://127.0.0.1:1/v1"} | given))
    assert not any(value in str(caught.value) for value in ("sk-1", "secret-1", "elsewhere", "chunked", "sk-a"))


@pytest.mark.parametrize("place", ["[defaults]", "[lan]\nbase_url = 'http://10.0.0.6/v1'"])
def test_only_a_users_own_file_lets_a_key_go_over_http(place: str, tmp_path: Any, monkeypatch: Any) -> None:
    """The exact host and port: an entry's for its own address, those of [defaults] for every one."""
    file = tmp_path / "providers.toml"
    file.write_text(f'{place}\nhttp_key_hosts = ["10.0.0.5:8000", "10.0.0.6:80"]')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(file))
    provider = "lan" if "lan" in place else "simulator"
    if provider == "lan":
        Client("lan", **ACCESS)
    else:
        Client("simulator", base_url="http://10.0.0.5:8000/v1", **ACCESS)
    for url in ("http://10.0.0.5/v1", "http://10.0.0.5:8001/v1", "http://10.0.0.50:8000/v1"):
        with pytest.raises(SetupError, match="never sent unencrypted"):
            Client(provider, base_url=url, api_key="sk-12345678")


def test_the_table_itself_cannot_open_http(tmp_path: Any) -> None:
    """Where a key may go unencrypted is not ours to say."""
    from holystream_nb.providers.fields import entries_of

    file = tmp_path / "ours.toml"
    file.write_text('[defaults]\nhttp_key_hosts = ["10.0.0.5:8000"]')
    with pytest.raises(SetupError, match="user's own file only"):
        entries_of(file)


def test_another_host_gets_nothing_of_the_entry(tmp_path: Any, monkeypatch: Any) -> None:
    """An entry's headers, query and key header are for its own host."""
    file = tmp_path / "providers.toml"
    file.write_text(
        '[mine]\nbase_url = "https://one.example/v1"\nheaders = {"x-a" = "secret-1"}\nquery = {"b" = "secret-2"}\n'
        'key_header = "x-key"\nkey_variable = "MINE_KEY"'
    )
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(file))
    monkeypatch.setenv("MINE_KEY", "sk-12345678")
    own, other = Client("mine")._service, Client("mine", base_url="https://two.example/v1")._service
    assert {"x-a", "x-key"} <= own.headers.keys()
    assert [name for name, _ in own.query] == ["b"]
    assert (other.headers.keys(), other.query, other.key) == ({"user-agent"}, (), None)


def test_a_key_variable_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read instead of the provider's, also for another address; "" sends no key."""
    monkeypatch.setenv("TEAM_KEY", "sk-team-1234567")
    for place in ({}, {"base_url": "https://proxy.example/v1"}):
        key = Client("openai", key_variable="TEAM_KEY", **place)._service.key
        assert key is not None
        assert key.reveal() == "sk-team-1234567"
    assert Client("openai", key_variable="")._service.key is None


def test_options_never_print_and_are_equal_by_their_fingerprint() -> None:
    """Names alone are in the text of options; equal values have equal fingerprints, others have others."""
    one, same, other = (client_options(**ACCESS, retries=retries) for retries in (1, 1, 2))
    assert has_secret(repr(one)) == []
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert has_secret(one.fingerprint) == []


def test_a_silence_longer_than_the_progress_limit_raises_that_too() -> None:
    """Unless both were given; defaults are the provider's, and HolySheep's 30 s are for its own sockets."""

    def clocks(provider: str = "simulator", **given: Any) -> tuple[float, float, float]:
        service = Client(provider, **({"base_url": "http://127.0.0.1:1/v1"} | given))._service
        return service.inactivity, service.websocket_inactivity, service.progress_timeout

    assert clocks() == (600, 600, 900)
    assert clocks(inactivity=1800) == (1800, 1800, 1800)
    assert clocks(progress_timeout=60) == (600, 600, 60)
    assert clocks("openrouter", base_url=None, api_key="sk-12345678")[0] == 180
    assert clocks("holysheep", base_url=None, api_key="sk-12345678") == (600, 30, 900)
    assert clocks("holysheep", api_key="sk-12345678") == (600, 600, 900)
    assert clocks("holysheep", base_url=None, api_key="sk-12345678", inactivity=90) == (90, 90, 900)
    with pytest.raises(SetupError, match="is above progress_timeout"):
        clocks(inactivity=100, progress_timeout=50)


@pytest.mark.parametrize("door", ["stream", "check", "configure", "panel", "client", "options"])
async def test_no_frame_of_any_door_has_a_secret(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given to a door is in no frame of ours, whether it is refused there or fails behind it."""
    import holystream_nb as hs

    wrong = {**ACCESS, "base_url": f"http://127.0.0.1:9/v1?token={VALUES['of_url']}"}
    refused = {**wrong, "headers": {"content-type": VALUES["header"]}}

    async def enter() -> None:
        if door == "stream":
            await hs.stream("Hello", model="m", retries=0, **wrong)
        elif door == "check":
            await hs.check("m", **refused)
        elif door == "configure":
            hs.configure(**refused)
        elif door == "panel":
            hs.ChatPanel("m", **refused)
        elif door == "client":
            hs.Client("simulator", **refused)
        else:
            hs.Client("simulator", **{**wrong, "base_url": f"http://127.0.0.1:9/v1?a={VALUES['of_url']}#b"})

    with pytest.raises(HolystreamError) as caught:
        await enter()
    assert has_secret(rendered(caught.value)) == []


ECHOED = f'{{"error": {{"message": "no {" ".join(VALUES.values())}"}}}}'
MODELS = [
    f"http://127.0.0.1:9/v1?token={VALUES['of_url']}:m",
    (f"http://127.0.0.1:9/v1?token={VALUES['of_url']}", "m"),
    {"base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key": VALUES["api_key"], "query": {"a": VALUES["query"]}},
]
WRONG_MODELS = [
    f"http://127.0.0.1:9/v1?a b\n={VALUES['of_url']}#c:m",
    {"base_url": f"http://127.0.0.1:9/v1?token={VALUES['of_url']}", "model": ["m"]},
    {"api_keys": VALUES["api_key"], "model": "m"},
    {VALUES["of_url"]},
]


@pytest.mark.parametrize("model", [*MODELS, *WRONG_MODELS])
@pytest.mark.parametrize("door", ["bench", "sweep", "shadow"])
async def test_no_frame_of_measuring_has_the_secret_of_a_models_address(
    door: str, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The query of an address in a model's text was among the locals of every frame of the door."""
    import holystream_nb as hs
    from holystream_nb.measuring.running import addresses

    async def fails(*_given: Any) -> Any:
        raise HolystreamError("here")

    monkeypatch.setattr(addresses.kernel, "locate", fails)

    async def enter() -> None:
        if door == "bench":
            await hs.bench(model, "Hi", path=tmp_path / "run.jsonl")
        elif door == "sweep":
            await hs.sweep([model], "Hi", path=tmp_path)
        else:
            await hs.shadow("Hi", old=model, new="simulator:gpt-4.1", path=tmp_path / "run.jsonl")

    with pytest.raises(HolystreamError) as caught:
        await enter()
    assert has_secret(rendered(caught.value)) == []


FIELDS_WITH_KEYS: list[dict[str, Any]] = [
    {"api_keys": VALUES["api_key"]},
    {"access_token": VALUES["api_key"]},
    {"user": VALUES["api_key"]},
    {"metadata": {"note": [VALUES["api_key"]]}},
    {"parameters": {"api_key": VALUES["api_key"]}},
    {"parameters": VALUES["api_key"]},
]


@pytest.mark.parametrize("given", FIELDS_WITH_KEYS)
@pytest.mark.parametrize("door", ["hs.stream", "stream", "connect", "send", "run_tools", "bench", "sweep", "shadow"])
async def test_a_key_given_by_a_wrong_name_is_in_no_frame(door: str, given: dict[str, Any]) -> None:
    """What a door refuses as a field was among its locals, where the name was misspelt or the value a key."""
    import holystream_nb as hs

    client = Client("simulator", base_url="http://127.0.0.1:9/v1")

    def look(city: str) -> str:
        """Looks."""
        return city

    async def enter() -> None:
        if door == "hs.stream":
            await hs.stream("Hi", model="simulator:gpt-4.1", **given)
        elif door == "stream":
            client.stream("Hi", **given)
        elif door == "connect":
            client.connect(**given)
        elif door == "send":
            await client.connect().send("Hi", **given)
        elif door == "run_tools":
            await hs.run_tools(client, "Hi", tools=[look], **given)
        elif door == "shadow":
            await hs.shadow("Hi", old="simulator:gpt-4.1", new="simulator:gpt-4o", **given)
        else:
            await getattr(hs, door)("simulator:gpt-4.1", "Hi", **given)

    with pytest.raises(SetupError) as caught:
        await enter()
    assert has_secret(rendered(caught.value)) == []


@pytest.mark.parametrize("kind", ["sse", "whole", "page", "ws"])
async def test_a_key_repeated_inside_a_stream_is_in_no_frame(kind: str) -> None:
    """Bytes and messages read with an error were left among the locals of the frame that raises it."""

    async def repeats(peer: Peer) -> None:
        await peer.receive()
        await peer.send(f'{{"type": "error", {ECHOED[1:]}')

    page = f"<html>{' '.join(VALUES.values())}</html>"
    bodies = {"sse": f"data: {ECHOED}\n\n", "whole": ECHOED, "page": page, "ws": ""}
    post = answer("200 OK", bodies[kind].encode(), "text/event-stream")
    async with serving(repeats, post=(post,)) as service:
        transport: Any = "ws" if kind == "ws" else "sse"
        url = f"{service.url}?token={VALUES['of_url']}"
        with pytest.raises(HolystreamError) as caught:
            await ask(Client("simulator", base_url=url, transport=transport, retries=0, **ACCESS))
    assert has_secret(rendered(caught.value)) == []
