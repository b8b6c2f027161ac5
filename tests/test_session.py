"""The doors of the notebook: which service they speak to, what they send it, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from foreign import Asked, Foreign, Given, answering, listed, streamed

import holystream_nb as hs
from holystream_nb import report
from holystream_nb import session as module
from holystream_nb.client.options import ClientOptions, client_options
from holystream_nb.clients import MOST
from holystream_nb.errors import ConnectionFailed, HolystreamError, KeyRefused, MissingKey, SetupError, UnknownProvider
from holystream_nb.models import listed_models
from holystream_nb.providers import table
from holystream_nb.session import Session

KEY = "hs-test-0123456789abcdef"
OTHER = "hs-test-fedcba9876543210"


@pytest.fixture
async def session() -> Any:
    """A kernel's state of its own."""
    own = Session()
    yield own
    await own.close()


def answer(*models: str) -> Callable[[Asked], Given]:
    """A service that has these models, and says hello."""

    def handler(asked: Asked) -> Given:
        if asked.method == "GET":
            return listed({"object": "list", "data": [{"id": model} for model in models]})
        delta = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}
        return streamed(delta)

    return handler


@pytest.fixture
def service() -> Iterator[Foreign]:
    """One model on one's own machine."""
    with answering(answer("smol")) as running:
        yield running


@pytest.fixture
def ollama() -> Iterator[Foreign]:
    """Models with tags, some named like providers."""
    with answering(answer("qwen:7b", "mistral:large", "groq:x", "smol")) as running:
        yield running


def posted(service: Foreign) -> list[Asked]:
    return [asked for asked in service.asked if asked.method == "POST"]


# What is sent


async def test_options_are_no_fields_of_the_body(session: Session, service: Foreign) -> None:
    """All of them went into the body before, the key too: now they are how the service is reached."""
    await session.stream(
        "Hi",
        base_url=service.url + "?api-version=2",
        api_key=KEY,
        key_header="x-api-key",
        headers={"x-team": "blue-team-1"},
        query={"tenant": "t1"},
        inactivity=180,
        progress_timeout=300,
        retries=5,
        temperature=0.5,
        parameters={"own_field": 7},
    )
    (asked,) = posted(service)
    assert asked.body.keys() - {"stream_options"} == {"model", "messages", "stream", "temperature", "own_field"}
    assert KEY not in json.dumps(asked.body)
    assert (asked.headers["x-api-key"], asked.headers["x-team"]) == (KEY, "blue-team-1")
    assert "authorization" not in asked.headers
    assert asked.path.endswith("/chat/completions?api-version=2&tenant=t1")
    ((kept,),) = session._clients.kept()
    assert (kept.retries, kept.service.inactivity) == (5, 180)


@pytest.mark.parametrize("limits", [{}, {"max_cost": 1, "base_url": None, "model": "simulator:gpt-4.1#rate=max"}])
async def test_a_field_of_the_services_own_goes_along_with_tools(
    session: Session, service: Foreign, limits: dict[str, Any]
) -> None:
    """And under a limit on cost."""

    def look(city: str) -> str:
        """Looks."""
        return city

    given = {"base_url": service.url, "parameters": {"own_field": 7}, "temperature": 0.5, **limits}
    reply = await session.stream("Hi", tools=[look], **given)
    assert reply.finish_reason == "stop"
    for asked in posted(service):
        assert (asked.body["own_field"], asked.body["temperature"]) == (7, 0.5)
        assert "parameters" not in asked.body


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_keys": KEY}, "api_key"),
        ({"authorization": f"Bearer {KEY}"}, "authorization"),
        ({"max_token": 9}, "did you mean max_tokens"),
        ({"temprature": 9}, "did you mean temperature"),
        ({"messages": []}, "messages"),
        ({"models": ["a", "b"]}, "did you mean model"),
        ({"pool": "low"}, "hs.configure"),
        ({"parameters": {"model": "x"}}, "model"),
        ({"parameters": {"api_key": KEY}}, "api_key"),
        ({"parameters": {"note": f"use {KEY}"}}, "looks like a key"),
        ({"user": f"Bearer {KEY}"}, "looks like a key"),
    ],
)
async def test_what_is_no_field_is_refused_by_name(session: Session, given: dict[str, Any], said: str) -> None:
    """A misspelt option, one of the client's, and a key: nothing is sent, and nothing of it repeated."""
    with pytest.raises(SetupError, match=said) as caught:
        await session.stream("Hi", model="gpt-4.1", **given)
    assert KEY not in str(caught.value)


def doors(session: Session) -> list[Callable[..., Any]]:
    return [partial(session.stream, "Hi"), session.configure, hs.ChatPanel, partial(hs.ChatPanel.load, "chat.json")]


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    "given",
    [
        {"api_key": KEY, "inactivity": -1},
        {"headers": {"x-key": KEY}, "retries": 0.5},
        {"query": {"code": KEY}, "base_url": "nowhere"},
        {"base_url": f"https://a.example/v1?code={KEY}", "inactivity": "long"},
        {"base_url": f"https://{KEY}@a.example/v1"},
    ],
)
def test_a_refusal_has_no_key_among_its_frames(session: Session, given: dict[str, Any], at: int) -> None:
    """Verbose tracebacks, pytest -l, rich and Sentry show local variables."""
    with pytest.raises(SetupError) as caught:
        doors(session)[at](**given)
    errors = [caught.value, caught.value.__context__]
    walked = [frame for error in errors if error for frame, _ in traceback.walk_tb(error.__traceback__)]
    frames = [frame for frame in walked if frame.f_code.co_filename != __file__]
    assert frames
    assert KEY not in repr([frame.f_locals for frame in frames])


async def test_an_answers_failure_has_no_key_among_its_frames(session: Session) -> None:
    """While it streams, the key is in a value that never prints."""
    with pytest.raises(ConnectionFailed) as caught:
        await session.stream("Hi", model="m", base_url=f"http://127.0.0.1:9/v1?code={OTHER}", api_key=KEY, retries=0)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    shown = repr([frame.f_locals for frame in frames if frame.f_code.co_filename != __file__])
    assert KEY not in shown
    assert OTHER not in shown


# Wrong input


class Frame:
    """As a DataFrame: iterable, and no list."""

    def __iter__(self) -> Iterator[str]:
        return iter(["column"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": None}, "prompt is None"),
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": []}, "prompt is an empty list"),
        ({"prompt": ["hi"]}, "a list with a text in it"),
        ({"prompt": Frame()}, "of type Frame"),
        ({"prompt": b"hi"}, "bytes"),
        ({"prompt": {"role": "user", "content": "hi"}}, "mapping|type dict"),
        ({"model": ["a", "b"]}, "-m A -m B.*ChatPanel"),
        ({"model": ""}, "model is an empty text"),
        ({"model": " "}, "model is a text"),
        ({"model": 4}, "of type int"),
        ({"system": 4}, "system is of type int"),
        ({"format": "jsn"}, "did you mean json"),
        ({"format": None}, "format is None"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": "5"}, "timeout"),
        ({"max_cost": float("inf")}, "max_cost=inf"),
        ({"max_cost": 0}, "max_cost=0"),
        ({"max_cost": "cheap"}, "max_cost"),
        ({"transport": "http3"}, "http3"),
        ({"chat": ""}, "chat is an empty text"),
        ({"tools": ["get_weather"]}, "tools is a list with a text in it"),
        ({"tools": "get_weather"}, "tools is a text"),
        ({"tools": 1}, "tools is of type int"),
        ({"allow": True}, "allow is True or False"),
        ({"allow": [1]}, "allow is a list"),
        ({"inactivity": 0}, "inactivity=0"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"base_url": "api.example.com"}, "must begin with https"),
        ({"base_url": 7}, "base_url is of type int"),
        ({"headers": "x: y"}, "headers must be names"),
        ({"key_variable": KEY}, "never the key itself"),
        ({"parameters": [1]}, "mapping"),
    ],
)
async def test_input_of_a_wrong_kind_gets_one_sentence(session: Session, given: dict[str, Any], said: str) -> None:
    """Never an exception from our insides; the sentence names what was given and what to give."""
    given = {"prompt": "Hi", **given}
    with pytest.raises(SetupError, match=said) as caught:
        await session.stream(given.pop("prompt"), **given)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert not session.history


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": ["a", "b"]}, "models="),
        ({"models": 3}, "models is of type int"),
        ({"models": ["a", None]}, "has no name"),
        ({"models": [""]}, "has no name"),
        ({"model": "a", "api_keys": 1}, "api_keys"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"system": None}, "system is None"),
        ({"tools": "x"}, "tools is a text"),
        ({"allow": True}, "allow is True or False"),
        ({"transport": None}, "transport"),
        ({"inactivity": "long"}, "inactivity"),
        ({"base_url": "nowhere"}, "must begin with https"),
        ({"models": ["openai:a", "groq:b"], "api_key": KEY}, "is for one service"),
    ],
)
def test_a_panel_of_a_wrong_kind_gets_one_sentence(given: dict[str, Any], said: str) -> None:
    """The same at ChatPanel; an unknown keyword is Python's own refusal."""
    with pytest.raises((SetupError, TypeError), match=said) as caught:
        hs.ChatPanel(**given)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("question", [None, ["hi"], 4, b"hi", " "])
def test_a_panels_question_is_a_text(question: Any) -> None:
    """Of any other kind it is refused in one sentence."""
    panel = hs.ChatPanel("simulator:gpt-4.1")
    with pytest.raises(SetupError, match="The question is"):
        panel.send(question)
    with pytest.raises(SetupError, match="There is no question"):
        panel.delete("first")  # type: ignore[arg-type]
    panel.close()


# Which service


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


HOUSE = {"HOLYSHEEP_API_KEY": KEY}
OPENAI = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": OTHER}


@pytest.mark.parametrize(
    ("variables", "configured", "config", "name", "source"),
    [
        ({}, {}, {}, "simulator", ""),
        ({"HOLYSHEEP_API_KEY": " "}, {}, {}, "simulator", ""),
        ({"OPENAI_API_KEY": OTHER}, {}, {}, "simulator", ""),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, {}, {}, "simulator", ""),
        (OPENAI, {}, {}, "127.0.0.1:9", "OPENAI_BASE_URL"),
        ({**OPENAI, "OPENAI_BASE_URL": "https://api.openai.com/v1"}, {}, {}, "openai", "OPENAI_BASE_URL"),
        ({**HOUSE, **OPENAI}, {}, {}, "holysheep", "HOLYSHEEP_API_KEY"),
        (HOUSE, {"inactivity": 9}, {}, "holysheep", "HOLYSHEEP_API_KEY"),
        (HOUSE, {"base_url": "https://a.example/v1"}, {}, "a.example", "hs.configure"),
        (HOUSE, {"api_key": OTHER}, {}, "holysheep", "hs.configure"),
        ({}, {"model": "groq:x", "key_variable": "MY_KEY"}, {}, "groq", "hs.configure"),
        (
            HOUSE,
            {"base_url": "https://a.example/v1"},
            {"base_url": "https://openrouter.ai/api/v1"},
            "openrouter",
            "%config StreamMagics",
        ),
    ],
)
async def test_the_default_service_is_the_first_that_is_said(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    configured: dict[str, Any],
    config: dict[str, Any],
    name: str,
    source: str,
) -> None:
    """%config, hs.configure, HolySheep's key, OpenAI's address with its key, the simulator."""
    environment(monkeypatch, **variables)
    session.configure(**configured)
    session.config = config
    found = session.default_service()
    assert (found.provider.name, found.source) == (name, source)


async def test_an_argument_comes_before_all_and_limits_hold_everywhere(session: Session) -> None:
    """A limit is the nearest one that is said, whoever names the address."""
    session.configure(base_url="https://a.example/v1", inactivity=100, retries=2, progress_timeout=500)
    session.config = {"inactivity": 50.0, "model": ""}
    for text, given, expected in [
        (None, {}, (50.0, 2)),
        ("openai:x", {}, (50.0, 2)),
        ("x", {"base_url": "https://b.example/v1", "retries": 0}, (50.0, 0)),
        ("x", {"inactivity": 7}, (7.0, 2)),
    ]:
        options = session.located(text or "m", client_options(**given)).options
        assert (options.inactivity, options.retries) == expected


async def test_a_server_that_takes_any_key_is_reached_in_the_clear_with_none(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM in one's own network, with the EMPTY that OpenAI's libraries want; a real key does not go there."""
    environment(monkeypatch, OPENAI_BASE_URL="http://10.0.0.5:8000/v1", OPENAI_API_KEY="EMPTY")
    client, _ = await session.choose("m")
    assert client.base_url == "http://10.0.0.5:8000/v1"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(SetupError, match="never sent unencrypted"):
        await session.choose("m")


async def test_a_refusal_where_no_key_was_sent_says_so(session: Session) -> None:
    """And how one is given."""
    refusing = answering(lambda _: listed({"error": {"message": "no auth"}}, 401))
    with refusing as closed, pytest.raises(KeyRefused, match="none was sent") as caught:
        await session.stream("Hi", model="m", base_url=closed.url)
    assert "providers.toml" in str(caught.value)


SECRETS = ("api_key", "key_variable", "key_header", "headers", "query", "cert")


@pytest.mark.parametrize(
    ("text", "given", "name", "has_secrets"),
    [
        ("m", {}, "a.example", True),
        ("m", {"base_url": "https://a.example/v2"}, "a.example", True),
        ("m", {"base_url": "http://a.example/v1"}, "a.example", False),
        ("m", {"base_url": "https://a.example:8443/v1"}, "a.example:8443", False),
        ("m", {"base_url": "https://b.example/v1"}, "b.example", False),
        ("m", {"base_url": "https://api.openai.com/v1"}, "openai", False),
        ("openai:m", {}, "openai", False),
        ("holysheep:m", {}, "holysheep", False),
        ("simulator:m", {}, "simulator", False),
        ("ollama:m", {}, "ollama", False),
    ],
)
async def test_a_key_goes_to_the_address_it_was_given_for(
    session: Session, text: str, given: dict[str, Any], name: str, has_secrets: bool
) -> None:
    """With headers, query and certificate; another address, also an explicit provider's own, gets nothing of them."""
    session.configure(
        base_url="https://a.example/v1",
        api_key=KEY,
        key_header="x-key",
        headers={"x-team": "t"},
        query={"version": "1"},
        cert="mine.pem",
    )
    place = session.located(text, client_options(**given))
    assert place.provider.name == name
    said = [field for field in SECRETS if getattr(place.options, field)]
    assert bool(said) == has_secrets
    if name in ("openai", "holysheep", "ollama") and not given:
        assert place.options.base_url is None  # its own address


async def test_a_key_does_not_go_along_where_the_address_moves(session: Session) -> None:
    """Neither when another base_url is set, nor when another provider's model is."""
    session.configure(base_url="https://a.example/v1", api_key=KEY)
    session.configure(inactivity=9, model="m")
    assert session.default_service().options.api_key is not None
    session.configure(base_url="https://b.example/v1")
    assert session.default_service().options.api_key is None
    assert session.default_service().options.inactivity == 9
    session.configure(base_url=None)
    session.configure(api_key=KEY)
    assert session.default_service().provider.name == "holysheep"
    session.configure(model="openai:gpt-4o")
    assert session.default_service().options.api_key is None
    session.configure(model=None, api_key=OTHER)
    session.configure(api_key=None)
    assert session.default_service().provider.name == "simulator"


async def test_a_model_that_was_set_with_another_address_is_not_asked_for_here(session: Session) -> None:
    """hs.configure's model is its own address's: where %config moves the address, it was asked for at the wrong one."""
    session.configure(base_url="https://a.example/v1", model="m")
    session.config = {"base_url": "https://b.example/v1"}
    assert (session.default_service().provider.name, session.default_service().model) == ("b.example", "")
    session.config = {"base_url": "https://a.example/other"}
    assert session.default_service().model == "m"
    session.config = {"base_url": "https://b.example/v1", "model": "n"}
    assert session.default_service().model == "n"
    session.configure(base_url=None)
    session.config = {"base_url": "https://b.example/v1"}
    assert session.default_service().model == "m"


async def test_a_key_without_an_address_is_for_the_house_and_not_for_the_simulator(session: Session) -> None:
    """api_key changes something where nothing is set."""
    assert session.located("gpt-4.1", client_options(api_key=KEY)).provider.name == "holysheep"
    assert session.located("groq:x", client_options(api_key=KEY)).provider.name == "groq"


async def test_a_configured_value_that_cannot_be_changes_nothing(session: Session) -> None:
    """One sentence, and what was set stays."""
    session.configure(base_url="https://a.example/v1")
    for wrong in ({"base_url": "x"}, {"inactivity": -1}, {"api_key": 7}, {"model": ["a"]}, {"headers": {"host": "x"}}):
        with pytest.raises(SetupError):
            session.configure(**wrong)  # type: ignore[arg-type]
    assert session.default_service().provider.name == "a.example"


# Models of a server of one's own


async def test_the_only_model_of_the_sessions_server_is_taken(session: Session, service: Foreign) -> None:
    """It is asked for its models once, and the answer is labelled with what answered."""
    session.configure(base_url=service.url)
    for _ in range(2):
        reply = await session.stream("Hi")
        assert (reply.model, reply.provider) == ("smol", service.url.removeprefix("http://").removesuffix("/v1"))
        assert reply.cost.note == "local, no price"
    assert [asked.method for asked in service.asked] == ["GET", "POST", "POST"]


async def test_of_several_models_the_list_is_shown(session: Session, ollama: Foreign) -> None:
    """None is invented."""
    with pytest.raises(SetupError, match=r"4 models.*qwen:7b, mistral:large"):
        await session.stream("Hi", base_url=ollama.url)
    assert not posted(ollama)


async def test_a_key_for_another_provider_is_not_shown_to_the_server_that_is_asked_for_its_names(
    session: Session, ollama: Foreign
) -> None:
    """The session's server may have a model called like that: it was asked with the key that was meant for openai."""
    session.configure(base_url=ollama.url)
    place = await session.locate("openai:gpt-4o", client_options(api_key=KEY, headers={"x-org": "mine-12345"}))
    assert place.provider.name == "openai"
    assert place.options.api_key is not None
    assert place.options.api_key.reveal() == KEY
    assert [asked.method for asked in ollama.asked] == ["GET"]
    assert not {"authorization", "x-org"} & {*ollama.asked[0].headers}
    await session.stream("Hi", model="groq:x", api_key=KEY)
    assert posted(ollama)[0].headers["authorization"] == f"Bearer {KEY}", "it is one of its own after all"


@pytest.mark.parametrize("model", ["qwen:7b", "mistral:large", "groq:x"])
@pytest.mark.parametrize("by", ["argument", "configure"])
async def test_a_model_in_the_servers_list_never_goes_to_a_provider_of_that_name(
    session: Session, ollama: Foreign, model: str, by: str
) -> None:
    """Ollama's `qwen:7b` stays at home."""
    given = {}
    if by == "argument":
        given = {"base_url": ollama.url}
    else:
        session.configure(base_url=ollama.url)
    reply = await session.stream("Hi", model=model, **given)
    assert posted(ollama)[0].body["model"] == reply.model == model


async def test_an_explicit_provider_keeps_its_own_address(session: Session, ollama: Foreign) -> None:
    """`openai:` at a session of Ollama's is OpenAI, whose key is missing here."""
    session.configure(base_url=ollama.url, api_key=KEY)
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        await session.stream("Hi", model="openai:gpt-4o")
    with pytest.raises(UnknownProvider):
        await session.stream("Hi", model="replicate:gpt-4o")
    assert not posted(ollama)


async def test_a_server_that_is_not_there_is_said_where_its_list_is_needed(session: Session) -> None:
    """Without a model the list decides; with one it does not."""
    session.configure(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ConnectionFailed):
        await session.stream("Hi")
    assert (await session.locate("mistral:7b")).provider.name == "127.0.0.1:9"
    assert (await session.locate("mistral:large")).provider.name == "mistral"


def test_a_panel_takes_the_sessions_server_and_its_only_model(service: Foreign) -> None:
    """ChatPanel() needs no model where there is but one."""
    panel = hs.ChatPanel(base_url=service.url)
    assert panel.models == ["smol"]
    panel.close()


def test_a_panel_keeps_the_provider_of_the_model_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name alone would be another service's."""
    own = Session()
    own.configure(model="groq:llama")
    monkeypatch.setattr("holystream_nb.chat.panel.session", own)
    panel = hs.ChatPanel()
    assert panel.models == ["groq:llama"]
    panel.close()


async def test_a_panels_key_is_a_header_and_never_saved(service: Foreign, tmp_path: Any) -> None:
    """Neither the body nor the file has it, and a loaded panel is given it anew."""
    panel = hs.ChatPanel(base_url=service.url, api_key=KEY, headers={"x-team": "blue-team-1"})
    await panel.send("Hi")
    (asked,) = posted(service)
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    path = panel.save(tmp_path / "chat.json")
    assert KEY not in path.read_text()
    assert "blue-team-1" not in path.read_text()
    loaded = hs.ChatPanel.load(path, base_url=service.url, api_key=OTHER)
    await loaded.send("Hi")
    assert posted(service)[-1].headers["authorization"] == f"Bearer {OTHER}"
    with pytest.raises(SetupError, match="There is no option base_urls: did you mean base_url"):
        hs.ChatPanel.load(path, base_urls="x")
    panel.close()
    loaded.close()


async def test_a_panels_key_goes_to_the_service_it_was_given_for_whatever_is_chosen(service: Foreign) -> None:
    """A reader may choose another service's model in the picker, and so may a program: the key stays where it is."""
    own = Session()
    own.configure(base_url=service.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holystream_nb.chat.panel.session", own)
        panel = hs.ChatPanel(api_key=KEY)
        panel.model = "groq:llama"
        await panel.send("Hi")
        panel.close()
    (asked,) = posted(service)
    assert (asked.body["model"], asked.headers["authorization"]) == ("llama", f"Bearer {KEY}")


async def test_the_simulator_is_on_this_machine_alone(session: Session) -> None:
    """A real service's answer is never called simulated."""
    place = session.located("simulator:m", client_options(base_url="https://api.openai.com/v1"))
    assert (place.provider.name, place.model) == ("openai", "m")


# Lists


async def test_a_services_list_is_asked_for_once_by_all_who_want_it(session: Session, service: Foreign) -> None:
    """The only model that is taken, the picker and `%stream models` had a cache each."""
    options = client_options(base_url=service.url)
    assert (await session.locate(None, options)).model == "smol"
    assert (await listed_models(session, options=options)).models == ("smol",)
    assert (await session.locate(None, options)).model == "smol"
    assert len(service.asked) == 1


async def test_a_server_that_was_started_meanwhile_is_asked_again(session: Session) -> None:
    """The picker leaves one that failed alone for a while; a question to it does not, and tells the picker."""
    works = False

    def handler(_asked: Asked) -> Given:
        body = {"object": "list", "data": [{"id": "smol"}]}
        return listed(body) if works else Given((b"{}",), 503, {})

    with answering(handler) as service:
        options = client_options(base_url=service.url, retries=0)
        assert (await listed_models(session, options=options)).error is not None
        works = True
        assert (await listed_models(session, options=options)).error is not None
        assert len(service.asked) == 1
        assert (await session.locate(None, options)).model == "smol"
        assert (await listed_models(session, options=options)).models == ("smol",)
        assert len(service.asked) == 2


# Clients


async def test_clients_are_kept_by_how_the_service_is_reached(
    session: Session, service: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same options are the same client; another key, also in the variable, is another."""

    async def client(**given: Any) -> Any:
        return (await session.choose("m", client_options(base_url=service.url, **given)))[0]

    assert await client() is await client()
    assert await client(api_key=KEY) is await client(api_key=KEY)
    assert await client(api_key=KEY) is not await client(api_key=OTHER)
    assert await client(inactivity=5) is not await client(inactivity=6)
    monkeypatch.setenv("MY_KEY", KEY)
    before = await client(key_variable="MY_KEY")
    monkeypatch.setenv("MY_KEY", OTHER)
    assert await client(key_variable="MY_KEY") is not before


async def test_few_clients_are_kept_and_none_is_closed_that_is_in_use(session: Session, service: Foreign) -> None:
    """Of more, the one that was not used for longest is closed."""
    used = await session.locate("m", client_options(base_url=service.url, retries=100))
    async with session.reached(used) as client:
        for retries in range(MOST + 4):
            await session.choose("m", client_options(base_url=service.url, retries=retries))
        (kept,) = session._clients.kept()
        assert len(kept) == MOST
        assert client.service in [each.service for each in kept]
        assert [each.retries for each in kept][1:] == list(range(5, MOST + 4))


async def test_a_key_is_for_one_service(session: Session) -> None:
    """Several models at several services with one key: which one it is for is not guessed."""
    from holystream_nb.ask import Ask

    ask = Ask("Hi", ("openai:a", "groq:b"), options=client_options(key_variable="MY_KEY"))
    with pytest.raises(SetupError, match=r"key_variable is for one service.*openai, groq"):
        await session.ask(ask)


# What is said


async def test_the_first_answer_says_which_service_it_is_and_who_said_so(
    session: Session, service: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once; again when another is set; never for what was named in the call."""
    host = service.url.removeprefix("http://").removesuffix("/v1")
    await session.stream("Hi", base_url=service.url)
    assert "hs.configure" not in capsys.readouterr().out
    session.configure(base_url=service.url)
    for times in (1, 0):
        await session.stream("Hi")
        assert capsys.readouterr().out.count(f"{host} (hs.configure)") == times
    session.config = {"base_url": service.url}
    await session.stream("Hi")
    assert f"{host} (%config StreamMagics)" in capsys.readouterr().out


async def test_stream_config_says_what_is_set_and_shows_no_secret(
    session: Session, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names alone of keys, headers and queries, and the path of the user's file."""
    monkeypatch.setattr(module, "session", session)
    report.report(["config"], session)
    shown = capsys.readouterr().out
    assert "no key set" in shown
    assert "providers.toml" in shown
    session.configure(
        base_url="https://a.example/v1?version=secret-1", api_key=KEY, headers={"x-team": "secret-2"}, retries=4
    )
    session.config = {"base_url": "http://127.0.0.1:9/v1", "inactivity": 240.0, "model": "my{model}"}
    report.report(["config"], session)
    shown = capsys.readouterr().out
    assert shown.count("http://127.0.0.1:9/v1") == 1  # not as an address, and again as what is set
    assert "240 s" in shown
    with pytest.raises(ConnectionFailed, match="Nothing listens"):  # and no table with a head alone
        report.report(["models"], session)
    session.config = {"inactivity": 240.0, "model": "my{model}"}
    report.report(["config"], session)
    shown = capsys.readouterr().out
    for part in ("a.example", "hs.configure", "x-team", "version", "240", "%config StreamMagics", "my{model}"):
        assert part in shown
    for secret in (KEY, "secret-1", "secret-2"):
        assert secret not in shown
    report.report([], session)
    assert "a.example (hs.configure)" in capsys.readouterr().out


def test_stream_formats_is_the_page_of_what_was_tried(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """For each provider: who has only the wheel finds it from the notebook."""
    report.report(["formats"], session)
    shown = capsys.readouterr().out
    assert shown.startswith("# Which format was tried on what")
    assert all(f"\n| `{name}` |" in shown for name in table.providers({"HOLYSTREAM_PROVIDERS": os.devnull}))


@pytest.mark.parametrize("text", ["my{model}", "{0}", "%s", "{provider.name}"])
async def test_a_users_text_is_no_template(session: Session, service: Foreign, text: str) -> None:
    """In names, prompts and errors it stays what it is."""
    reply = await session.stream(text, model=text, base_url=service.url, system=text)
    assert reply.model == text
    assert [message["content"] for message in posted(service)[0].body["messages"]] == [text, text]
    with pytest.raises(HolystreamError) as caught:
        await session.stream("Hi", model=f"replicate:{text}")
    assert text in str(caught.value)


def test_hs_configure_is_the_sessions() -> None:
    """The public door."""
    assert hs.configure == module.session.configure
    assert ClientOptions() == client_options()


@pytest.mark.slow
async def test_answers_that_are_asked_at_once_stand_in_the_order_of_asking(
    session: Session, ollama: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever must be looked up first, a list of models or the simulator's address; and a list is asked for once."""
    shown: list[str] = []

    async def show(lanes: Any) -> None:
        shown.append(lanes[0].label)
        for lane in lanes:
            async for _ in lane.source:
                pass

    monkeypatch.setattr("holystream_nb.live.show.show", show)
    models = {"qwen:7b": ollama.url, "smol": ollama.url, "simulator:gpt-4.1#tokens=2": None, "groq:x": ollama.url}
    await asyncio.gather(*(session.stream("Hello", model=model, base_url=url) for model, url in models.items()))
    assert shown == list(models)
    assert sum(each.method == "GET" for each in ollama.asked) == 1


@pytest.mark.parametrize(
    ("wanted", "sent"), [({"max_completion_tokens": 7}, 7), ({"max_completion_tokens": 10**6}, None)]
)
async def test_a_limit_on_cost_keeps_a_smaller_limit_of_the_caller_s_by_either_name(
    session: Session, service: Foreign, wanted: dict[str, int], sent: int | None, tmp_path: Path, monkeypatch: Any
) -> None:
    """Never both names, and never more than was asked for."""
    (tmp_path / "providers.toml").write_text(
        f'[priced]\nbase_url = "{service.url}"\n[priced.prices."smol"]\ninput = 1\noutput = 1\n'
    )
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(tmp_path / "providers.toml"))
    await session.stream("Hi", model="priced:smol", max_cost=0.001, **wanted)
    (asked,) = posted(service)
    limits = {name: value for name, value in asked.body.items() if name.startswith("max_")}
    assert len(limits) == 1
    assert sent is None or limits == {"max_completion_tokens": sent}
    assert min(limits.values()) <= 1000
