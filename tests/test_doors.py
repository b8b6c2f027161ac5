"""What a door is given and cannot use is refused there, in one sentence that says what to give instead."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from foreign import Given, answering, streamed

import holystream_nb as hs
from holystream_nb.client.options import client_options
from holystream_nb.errors import HolystreamError, SetupError

NOWHERE = "http://127.0.0.1:9/v1"
KEY = "sk-abcdef0123456789"


def get_weather(city: str) -> str:
    """Says what the weather is."""
    return f"sunny in {city}"


def client(**given: Any) -> hs.Client:
    return hs.Client("simulator", **({"base_url": NOWHERE} | given))


def options(**given: Any) -> object:
    return client(**given)


def stream(prompt: Any = "Hi", **given: Any) -> object:
    return client().stream(prompt, **given)


def connect(**given: Any) -> object:
    return client().connect(**given)


async def send(prompt: Any = "Hi", **given: Any) -> object:
    return await client().connect().send(prompt, **given)


def run_tools(messages: Any = "Hi", **given: Any) -> object:
    return hs.run_tools(given.pop("client", client()), messages, **({"tools": [get_weather]} | given))


async def bench(prompts: Any = "Hi", **given: Any) -> object:
    return await hs.bench(given.pop("models", "simulator:gpt-4.1"), prompts, **given)


async def sweep(prompts: Any = "Hi", **given: Any) -> object:
    return await hs.sweep(given.pop("models", "simulator:gpt-4.1"), prompts, **given)


async def shadow(prompts: Any = "Hi", **given: Any) -> object:
    return await hs.shadow(prompts, **({"old": "simulator:gpt-4.1", "new": "simulator:gpt-4o"} | given))


async def calibrate(**given: Any) -> object:
    return await hs.calibrate(**given)


def rollout(**given: Any) -> object:
    return hs.Rollout(**({"routes": [(client(), 95), (client(), 5)]} | given))


def preset(name: Any) -> object:
    return hs.preset(name)


NUMBERS = [
    *((stream, {"timeout": value}, "timeout") for value in (0, -1, "5", True, float("inf"), float("nan"), [1])),
    (stream, {"stop_after": 0}, "stop_after=0: give a whole number, 1 or more"),
    (stream, {"stop_after": 1.5}, "stop_after=1.5: give a whole number"),
    *((options, {"retries": value}, "retries") for value in (-1, 1.5, "3", True)),
    *((options, {name: 0}, f"{name}=0: give a number of seconds") for name in ("inactivity", "progress_timeout")),
    *((options, {name: "10"}, f"{name}='10': give a number") for name in ("connect_timeout", "backoff")),
    (options, {"backoff": -0.5}, "backoff=-0.5"),
    (options, {"max_bytes": 1e9}, "max_bytes"),
    (options, {"requests_per_minute": 0}, "requests_per_minute=0"),
    (options, {"tokens_per_minute": "many"}, "tokens_per_minute='many'"),
    *((door, {"timeout": 0}, "timeout=0") for door in (connect, send, run_tools, bench, sweep, shadow)),
    (run_tools, {"max_rounds": 0}, "max_rounds=0"),
    (run_tools, {"max_rounds": "3"}, "max_rounds='3'"),
    *((door, {"concurrency": "4"}, "concurrency='4'") for door in (bench, shadow, calibrate)),
    *((door, {"repeats": 1.5}, "repeats=1.5") for door in (bench, sweep, shadow)),
    *((door, {"warmup": -1}, "warmup=-1") for door in (bench, sweep, shadow)),
    *((bench, {"max_cost": value}, "max_cost") for value in (float("inf"), float("nan"), -1, 0, "cheap", True, [1])),
    (shadow, {"max_cost": Decimal("NaN")}, "max_cost=NaN: give an amount in USD above 0"),
    (bench, {"rate": 0}, "rate=0"),
    (bench, {"rate": "2/s"}, "rate='2/s'"),
    (bench, {"workers": 0}, "workers=0"),
    (bench, {"seed": "x"}, "seed='x'"),
    (bench, {"limits": {"ttft_ms": "fast"}}, "The limit ttft_ms='fast'"),
    (bench, {"limits": [500]}, "limits is a list"),
    (sweep, {"concurrencies": 4}, "concurrencies is of type int"),
    (sweep, {"concurrencies": ["4"]}, "concurrencies='4'"),
    (sweep, {"concurrencies": []}, "empty list"),
    (calibrate, {"tokens_per_s": 0}, "tokens_per_s=0"),
    (calibrate, {"answers": 0.5}, "answers=0.5"),
    (rollout, {"routes": [("old", 95), ("new", 5)]}, "route's client is a text"),
    (rollout, {"routes": client()}, "two routes"),
    (rollout, {"guard": 0.01}, "guard of a rollout is of type float"),
]
WORDS = [
    (options, {"transport": "http"}, "transport"),
    (options, {"transport": ["sse"]}, "transport"),
    (options, {"pool": "huge"}, "pool is 'huge': choose one of low, medium, high"),
    (options, {"base_url": 8080}, "base_url is of type int"),
    (options, {"base_url": "127.0.0.1:8080"}, "must begin with https://"),
    (options, {"ca": True}, "ca is True or False"),
    (options, {"cert": ("one", 2)}, "cert is of type int"),
    (lambda: hs.Client(["openai"]), {}, "provider is a list"),
    (lambda: hs.Client(None), {}, "provider is None"),
    *(
        (door, {"model": ["gpt-4.1", "gpt-4o"]}, "model is a list: give a text")
        for door in (stream, connect, run_tools)
    ),
    (send, {"model": 4}, "model is of type int"),
    (stream, {"transport": "carrier pigeon"}, "transport"),
    *((door, {"format": "json"}, "does not know format") for door in (stream, connect, run_tools, bench, shadow)),
    (stream, {"parameters": [("seed", 7)]}, "parameters of Client.stream must be a mapping"),
    (bench, {"parameters": "seed=7"}, "parameters of hs.bench must be a mapping"),
    (run_tools, {"consent": True}, 'consent is of type bool: give "ask", "all"'),
    (run_tools, {"consent": None}, "consent is of type NoneType"),
    (run_tools, {"tools": "get_weather"}, "tools is of type str"),
    (run_tools, {"tools": []}, "no tool"),
    (run_tools, {"client": "openai"}, "client of hs.run_tools is a text"),
    (bench, {"models": []}, "models of hs.bench are an empty list"),
    (bench, {"models": None}, "models of hs.bench are None"),
    (bench, {"models": 3}, "models of hs.bench are of type int"),
    (bench, {"models": ["gpt-4.1", 3]}, "One of the models of hs.bench is of type int"),
    (bench, {"models": [{"modle": "x"}]}, "no option modle"),
    (bench, {"models": "http://"}, "address that cannot be one|names no host"),
    (shadow, {"old": client()}, "old is of type Client"),
    (bench, {"transport": 1}, "transport is of type int"),
    (bench, {"transport": "wss"}, "no transport 'wss'"),
    (bench, {"cache": "no"}, "cache is a text: give True or False"),
    (bench, {"reuse": 0}, "reuse is of type int"),
    (bench, {"calibrate": "yes"}, "calibrate is a text"),
    (bench, {"executor": "dask"}, "executor is a text"),
    (bench, {"path": 3}, "path of a run is of type int"),
    (shadow, {"answers": "kept"}, "answers is a text"),
    (lambda: hs.project_cost("many"), {}, "tokens_per_day='many': give a number"),
    (lambda: hs.project_cost(1, models=3), {}, "models of hs.project_cost are of type int"),
    (lambda: hs.project_cost(1, models=[3]), {}, "One of the models is of type int"),
    (lambda: hs.project_cost(1, mix={"input": "half", "output": 0.5}), {}, "share input of mix='half': give a number"),
    (lambda: hs.project_cost(1, mix="input"), {}, "mix is a text"),
    (lambda: hs.project_cost(1, prices={"mine": "cheap"}), {}, "price mine='cheap'"),
    (lambda: preset(1), {}, "preset's name is 1: choose one of 001, 002, 003"),
    (lambda: preset(None), {}, "preset's name is None"),
]
PROMPTS = [
    ("", "empty"),
    ("  ", "empty"),
    (None, "None"),
    ([], "an empty list"),
    (["hi"], "a list with a text in it"),
    ([{"content": "hi"}], "a mapping without a role"),
    (pandas.DataFrame({"a": [1]}), "of type DataFrame"),
    (7, "of type int"),
    (b"hi", "bytes"),
    ({"role": "user", "content": "hi"}, "a mapping"),
]
KEYWORDS = [
    ("max_token", 4, "did you mean max_tokens"),
    ("temprature", 4, "did you mean temperature"),
    ("api_keys", KEY, "key|did you mean"),
    ("authorization", KEY, "key"),
    ("access_token", KEY, "key"),
    ("user", KEY, "looks like a key"),
    ("metadata", {"note": [KEY]}, "looks like a key"),
    ("input", [], "set by the call itself"),
    ("api_kye", KEY, "did you mean api_key"),
    ("metadata", {"deep": [{"Access-Token": "plain"}]}, "metadata of .* has Access-Token in it"),
    ("extra_headers", {"x-api-key": "plain"}, "headers are an option of the client"),
    ("extra_body", {"api_key": "plain"}, "parameters="),
]
NO_LIMIT = [stream, connect, send, run_tools]
"""Doors without a limit on cost."""
FIELDS = [stream, connect, send, run_tools, bench, sweep, shadow]


def variables(exc: BaseException) -> Iterator[str]:
    """Those of our own frames, of causes too: what %xmode Verbose, pytest -l, rich and Sentry show."""
    waiting: list[BaseException | None] = [exc]
    seen = set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            waiting += [each.__cause__, each.__context__]
            for frame, _ in traceback.walk_tb(each.__traceback__):
                if "/holystream_nb/" in frame.f_code.co_filename:
                    yield from map(repr, frame.f_locals.values())


async def refusal(door: Callable[..., Any], *given: Any, **keywords: Any) -> str:
    """The sentence of a refusal."""

    async def enter() -> None:
        made = door(*given, **keywords)
        if isinstance(made, Awaitable):
            await made

    with pytest.raises(SetupError) as caught:
        await enter()
    sentence = str(caught.value)
    assert KEY not in "".join(variables(caught.value))
    assert sentence.endswith((".", "?", ")"))
    assert "\n" not in sentence
    assert re.search(r"[.;?] [A-Z]", sentence) is None, "one sentence"
    assert KEY not in sentence
    return sentence


@pytest.mark.parametrize(("door", "given", "said"), [*NUMBERS, *WORDS])
async def test_what_is_of_another_kind_is_named(door: Callable[..., Any], given: dict[str, Any], said: str) -> None:
    """A number, a word, a list where something else is meant: the sentence has the name and what to give."""
    assert re.search(said, await refusal(door, **given))


@pytest.mark.parametrize(("prompt", "said"), PROMPTS)
@pytest.mark.parametrize("door", [stream, send, run_tools])
async def test_a_prompt_that_is_none_says_what_it_is(door: Callable[..., Any], prompt: Any, said: str) -> None:
    """A table, a text in a list, nothing: named as what it is, never printed."""
    assert said in await refusal(door, prompt)


@pytest.mark.parametrize("prompts", [None, [], 7, pandas.DataFrame({"a": [1]}), ["Hi", 7], [[]], {"role": "user"}, ""])
@pytest.mark.parametrize("door", [bench, sweep, shadow])
async def test_prompts_that_are_none_say_what_they_are(door: Callable[..., Any], prompts: Any) -> None:
    """The same for several."""
    assert "rompt" in await refusal(door, prompts)


async def test_one_list_of_messages_is_not_several_prompts() -> None:
    """hs.bench takes a list of prompts: a conversation goes into that list."""
    assert "put them into a list" in await refusal(bench, [{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(("name", "value", "said"), KEYWORDS)
@pytest.mark.parametrize("door", FIELDS)
async def test_a_keyword_that_is_no_field_is_refused(
    door: Callable[..., Any], name: str, value: Any, said: str
) -> None:
    """Misspelt ones with the likely name; what is a key or looks like one without its value."""
    assert re.search(said, await refusal(door, **{name: value}))


@pytest.mark.parametrize("door", NO_LIMIT)
@pytest.mark.parametrize("given", [{"max_cost": 0.01}, {"parameters": {"max_cost": 0.01}}])
async def test_a_limit_on_cost_is_never_sent_as_a_field(door: Callable[..., Any], given: dict[str, Any]) -> None:
    """It would limit nothing there; the sentence says which doors keep one."""
    assert "hs.stream, ChatPanel, hs.bench" in await refusal(door, **given)


@pytest.mark.parametrize(
    "name",
    ["api_key", "authorization", "auth_token", "base_url", "inactivity", "model", "stream", "extra_headers"],
)
@pytest.mark.parametrize("door", FIELDS)
async def test_what_does_not_belong_in_a_body_is_refused_in_parameters_too(door: Callable[..., Any], name: str) -> None:
    """`parameters` takes any name but those of keys, of the client's options, and of what the call sets."""
    await refusal(door, parameters={name: KEY})


@pytest.mark.parametrize("door", [stream, connect, send, run_tools])
@pytest.mark.parametrize("name", ["api_key", "base_url", "inactivity", "retries", "headers", "query", "key_variable"])
async def test_the_clients_options_are_named_where_they_belong(door: Callable[..., Any], name: str) -> None:
    """Nothing of them ever goes into a request's body."""
    assert "Client(…)" in await refusal(door, **{name: KEY})


async def test_an_executor_is_never_handed_a_key(tmp_path: Path) -> None:
    """The sentence says where its workers have theirs."""

    class Pool:
        def submit(self, *given: Any) -> None:
            raise AssertionError("nothing is sent")

    for name, value in (("api_key", KEY), ("headers", {"x-a": KEY}), ("query", {"code": KEY})):
        given = {name: value, "models": "openai:gpt-4.1", "executor": Pool(), "path": tmp_path / "run.jsonl"}
        with_key = {} if name == "api_key" else {"key_variable": ""}
        assert "never handed to the workers" in await refusal(bench, **given, **with_key)


def test_numbers_of_numpy_are_numbers() -> None:
    """Whole ones where one is counted, others where one is measured."""
    made = client(retries=numpy.int64(2), inactivity=numpy.float32(7.5), max_bytes=numpy.int32(100))
    assert (made.retries, made._service.inactivity, made._service.max_bytes) == (2, 7.5, 100)
    client().stream("Hi", timeout=numpy.float64(1), stop_after=numpy.int8(3))


async def test_a_field_of_any_name_arrives_by_parameters() -> None:
    """Known fields are keywords; parameters has the others, at Client.stream, connect and hs.run_tools alike."""
    chunk = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    with answering(lambda _asked: streamed(chunk)) as service:
        async with hs.Client("simulator", base_url=service.url) as made:
            async with made.stream("Hi", model="m", temperature=0.5, parameters={"my_field": [1]}) as one:
                async for _ in one:
                    pass
            async with made.connect(model="m", parameters={"my_field": [2], "other": 1}) as connection:
                await connection.send("Hi", parameters={"my_field": [3]})
                async for _ in connection:
                    pass
            await hs.run_tools(made, "Hi", tools=[get_weather], model="m", top_p=0.5, parameters={"my_field": [4]})
    bodies = [asked.body for asked in service.asked]
    assert [body["my_field"] for body in bodies] == [[1], [3], [4]]
    assert (bodies[0]["temperature"], bodies[1]["other"], bodies[2]["top_p"]) == (0.5, 1, 0.5)
    assert not any("parameters" in body for body in bodies)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
@pytest.mark.parametrize("name", ["my{model}", "{0}", "%s%d", "{", "}{", "$x", "{0.__class__}"])
async def test_a_models_name_is_never_a_template(status: int, name: str) -> None:
    """Braces and per cents in a name, or in what a service says, stand as they are in the error."""
    said = Given((f'{{"error": {{"message": "no {name} {{0}} %s"}}}}'.encode(),), status, {})
    with answering(lambda _asked: said) as service:
        made = hs.Client("simulator", base_url=service.url, retries=0)
        async with made, made.stream("Hi", model=name) as answer:
            with pytest.raises(HolystreamError) as caught:
                await anext(answer)
    assert "{0} %s" in str(caught.value)
    assert status not in (403, 404) or name in str(caught.value)


def test_what_is_missing_names_only_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, the entry in providers.toml, the simulator: at every door these are three ways out."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SetupError, match=r"set OPENAI_API_KEY .*providers\.toml.*simulator:MODEL") as caught:
        hs.Client("openai")
    assert "api_key" not in str(caught.value)


def test_options_of_options_are_the_same() -> None:
    """What was checked once is taken as it is."""
    once = client_options(base_url="https://a.example/v1?x=1", headers={"x-a": "b"}, cert=("a", "b"))
    assert (once.base_url, [name for name, _ in once.query]) == ("https://a.example/v1", ["x"])
    again = client_options(headers=once.headers, query=once.query, base_url=once.base_url, cert=once.cert)
    assert again.fingerprint == once.fingerprint


@pytest.mark.parametrize("door", [bench, sweep, shadow])
async def test_a_misspelt_keyword_of_the_door_itself_is_guessed(door: Callable[..., Any]) -> None:
    """One letter away from what was meant."""
    assert "did you mean concurrenc" in await refusal(door, concurency=4)


@pytest.mark.parametrize("name", ["api_key", "metadata", "chat_template_kwargs"])
@pytest.mark.parametrize("door", FIELDS)
async def test_what_is_a_key_inside_a_field_is_refused(door: Callable[..., Any], name: str) -> None:
    """By its name or its shape, however deep; the words of tokenizers, and what a tool's schema names, are none."""
    await refusal(door, parameters={name: {"options": [{"api_key": "plain"}]}})
    client().stream("Hi", parameters={"chat_template_kwargs": {"bos_token": "<s>"}})
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    client().stream("Hi", tools=[{"type": "function", "function": {"name": "log_in", "parameters": schema}}])


DOORS: list[Callable[..., Any]] = [
    *(hs.Client, hs.ChatPanel, hs.configure, hs.stream, hs.check, hs.calibrate, hs.Rollout),
    *(options, stream, connect, send, run_tools, bench, sweep, shadow, rollout),
]


@pytest.mark.parametrize("door", DOORS)
async def test_no_door_raises_a_type_error_for_a_keyword(door: Callable[..., Any]) -> None:
    """A misspelt keyword is named, and its value is in no frame."""
    given = {hs.Rollout: ([],), hs.stream: ("Hi",)}.get(door, ())
    assert "api_kye" in await refusal(door, *given, api_kye=KEY)


@pytest.mark.parametrize("door", [hs.Client, hs.ChatPanel, hs.configure, hs.stream])
async def test_no_door_raises_a_type_error_for_what_has_no_name(door: Callable[..., Any]) -> None:
    """Where a key is given as the third argument, it is not shown."""
    assert "too many positional arguments" in await refusal(door, "simulator", KEY, KEY, KEY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_url": f"https://a.example/v1?{KEY}"}, "name that has no value"),
        ({"base_url": f"https://a.example/v1?a={KEY}&a=2"}, "twice"),
        ({"key_header": KEY, "api_key": KEY}, "key where a name belongs"),
        ({"headers": {KEY: "x-title"}}, "key where a name belongs"),
        ({"query": {KEY: "x"}}, "key where a name belongs"),
        ({"key_variable": KEY}, "name of an environment variable"),
        ({"provider": KEY}, "no provider of that name"),
        ({"provider": f"https://a.example/v1?a={KEY}"}, "give it as base_url"),
    ],
)
async def test_a_key_in_a_wrong_place_is_not_repeated(given: dict[str, Any], said: str) -> None:
    """Names are shown, so what is a key is refused as one."""
    assert re.search(said, await refusal(hs.Client, **({"provider": "simulator", "base_url": NOWHERE} | given)))


async def test_a_model_that_is_a_key_is_not_sent() -> None:
    """The arguments' order is easily mistaken."""
    for door in (stream, send, run_tools):
        assert "looks like a key" in await refusal(door, model=KEY)
