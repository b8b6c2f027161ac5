"""How a bench reaches its services: addresses side by side, keys through a pipe, and nothing secret in a file."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from foreign import Asked, Foreign, Given, answering, listed, streamed
from test_secrets import rendered

import holystream_nb as hs
from holystream_nb.client.options import client_options
from holystream_nb.errors import HolystreamError, SetupError
from holystream_nb.measuring.running import addresses

pytestmark = pytest.mark.slow

KEY = "hs_live_9fK2mQ7wZ4xT1bN8vR5c"
HEADER, QUERY = "9d1f6c0b7a5e4832", "q7Zt44xRw0PdVm2k"
SECRETS = (KEY, HEADER, QUERY)
QUICK: dict[str, Any] = {"calibrate": False, "warmup": 0}


def answer(asked: Asked) -> Given:
    if asked.method == "GET":
        return listed({"data": [{"id": "smollm2:135m"}]})
    return streamed({"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]})


@pytest.fixture
def one() -> Iterator[Foreign]:
    with answering(answer) as service:
        yield service


@pytest.fixture
def two() -> Iterator[Foreign]:
    with answering(answer) as service:
        yield service


def host(service: Foreign) -> str:
    return service.url.split("/")[2]


def models(service: Foreign) -> list[str]:
    return [asked.body["model"] for asked in service.asked if asked.method == "POST"]


async def test_one_pair_is_one_model(one: Foreign, tmp_path: Path) -> None:
    """It was taken for two models: the server's only one, and one of that name at the session's service, for money."""
    result = await hs.bench((one.url, "first"), "Hi", path=tmp_path / "run.jsonl", **QUICK)
    assert result.models == (f"{host(one)}:first",)
    await hs.sweep((one.url, "first"), "Hi", concurrencies=[1], repeats=1, path=tmp_path / "sweep", **QUICK)
    assert {*models(one)} == {"first"}


async def test_one_bench_mixes_addresses(one: Foreign, two: Foreign, tmp_path: Path) -> None:
    """A text, a pair and a mapping, beside the simulator: each goes to its own address, and is called by its host."""
    given = [
        f"{one.url}:org/first:7b",
        (two.url, "second"),
        {"base_url": two.url, "model": "third"},
        "simulator:gpt-4.1#tokens=3,rate=max",
    ]
    result = await hs.bench(given, "Hi", path=tmp_path / "run.jsonl", **QUICK)
    assert result.models == (
        f"{host(one)}:org/first:7b",
        f"{host(two)}:second",
        f"{host(two)}:third",
        "simulator:gpt-4.1#tokens=3,rate=max",
    )
    assert [trial.error for trial in result.records] == [""] * 4
    assert (models(one), sorted(models(two))) == (["org/first:7b"], ["second", "third"])
    assert set(result.trials["price_note"]) == {"local, no price", "simulated"}
    again = hs.load(tmp_path / "run.jsonl")
    assert again.label(again.arm("second")) == f"{host(two)}:second"
    assert again.arm("org/first:7b") == f"{host(one)}:org/first:7b"
    assert again.plan.own == {host(one): one.url, host(two): two.url}
    assert str(again.summary())


async def test_a_host_of_ones_own_is_never_called_holysheep(one: Foreign, tmp_path: Path) -> None:
    """base_url holds for every model; one host's models are called by their names alone."""
    result = await hs.bench(["a", "b:7b"], "Hi", base_url=f"{one.url}/", path=tmp_path / "run.jsonl", **QUICK)
    assert result.models == (f"{host(one)}:a", f"{host(one)}:b:7b")
    assert [result.label(arm) for arm in result.arms] == ["a", "b:7b"]
    assert b"holysheep" not in (tmp_path / "run.jsonl").read_bytes().lower().replace(b"holystream", b"")
    assert sorted(models(one)) == ["a", "b:7b"]


async def test_a_servers_only_model_is_taken(one: Foreign, tmp_path: Path) -> None:
    """An address without a model asks which there is."""
    result = await hs.bench(one.url, "Hi", path=tmp_path / "run.jsonl", **QUICK)
    assert result.models == (f"{host(one)}:smollm2:135m",)
    assert models(one) == ["smollm2:135m"]


async def test_what_is_secret_arrives_and_is_in_no_file(
    one: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, header and query reach the service from the workers; the run's file and its text have names alone."""
    path = tmp_path / "run.jsonl"
    result = await hs.bench(
        "m",
        "Hi",
        base_url=f"{one.url}?code={QUERY}",
        api_key=KEY,
        key_header="x-api-key",
        headers={"x-team": HEADER},
        repeats=2,
        inactivity=33,
        path=path,
        reuse=False,
        **QUICK,
    )
    assert [trial.error for trial in result.records] == ["", ""]
    for asked in one.asked:
        assert (asked.headers["x-api-key"], asked.headers["x-team"]) == (KEY, HEADER)
        assert asked.path.endswith(f"?code={QUERY}")
    assert result.plan.options == {"inactivity": 33.0, "headers": ["x-team"], "query": ["code"]}
    said = path.read_bytes().decode() + repr(result) + repr(result.plan) + result.to_markdown()
    assert not [secret for secret in SECRETS if secret in said]
    assert result.plan.hash == (await again(path, one)).plan.hash


async def again(path: Path, service: Foreign) -> Any:
    """The same plan with another key: it is the same run."""
    return await hs.bench(
        "m",
        "Hi",
        base_url=f"{service.url}?code=another-code",
        api_key="hs_live_another0123456789",
        headers={"x-team": "another-team"},
        repeats=2,
        inactivity=33,
        resume=path,
        reuse=False,
        **QUICK,
    )


async def test_no_process_is_started_with_a_secret(one: Foreign, tmp_path: Path) -> None:
    """Neither its arguments nor its environment, nor a file beside the run's, has one while it runs."""
    seen: list[str] = []

    def watching(asked: Asked) -> Given:
        for child in psutil.Process().children(recursive=True):
            seen.append(" ".join(child.cmdline()) + " ".join(f"{k}={v}" for k, v in child.environ().items()))
        seen.extend(file.read_text("utf-8", "replace") for file in tmp_path.iterdir())
        return answer(asked)

    with answering(watching) as service:
        await hs.bench(
            "m",
            "Hi",
            base_url=f"{service.url}?code={QUERY}",
            api_key=KEY,
            headers={"x-team": HEADER},
            path=tmp_path / "run.jsonl",
            **QUICK,
        )
    assert len(seen) > 1
    assert not [secret for secret in SECRETS if any(secret in text for text in seen)]


async def test_what_a_service_repeats_of_a_secret_is_in_no_file(tmp_path: Path) -> None:
    """A refusal that echoes key, header and query is kept without them."""
    echo = Given((" ".join(SECRETS).encode(),), 500, {})
    path = tmp_path / "run.jsonl"
    with answering(lambda _asked: echo) as service:
        result = await hs.bench(
            "m",
            "Hi",
            base_url=f"{service.url}?code={QUERY}",
            api_key=KEY,
            headers={"x-team": HEADER},
            path=path,
            **QUICK,
        )
    assert result.records[0].error == "ServiceUnavailable"
    assert not [secret for secret in SECRETS if secret in path.read_text()]


async def test_the_sessions_own_service_is_the_benches_too(one: Foreign, tmp_path: Path) -> None:
    """hs.configure gives the address and the key where hs.bench is told neither."""
    hs.configure(base_url=one.url, api_key=KEY)
    try:
        result = await hs.bench("m", "Hi", path=tmp_path / "run.jsonl", **QUICK)
    finally:
        hs.configure(base_url=None, api_key=None)
    assert result.models == (f"{host(one)}:m",)
    assert [asked.headers["authorization"] for asked in one.asked] == [f"Bearer {KEY}"]
    assert KEY not in (tmp_path / "run.jsonl").read_text()


async def test_a_key_is_for_one_service(one: Foreign, two: Foreign, tmp_path: Path) -> None:
    """Given beside several it would go to all; in each one's mapping it goes where it belongs."""
    with pytest.raises(SetupError, match="api_key is for one service"):
        await hs.bench([(one.url, "a"), (two.url, "b")], "Hi", api_key=KEY, path=tmp_path / "run.jsonl", **QUICK)
    given = [{"base_url": one.url, "model": "a", "api_key": KEY}, (two.url, "b")]
    await hs.bench(given, "Hi", path=tmp_path / "run.jsonl", **QUICK)
    assert one.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in two.asked[0].headers


async def test_a_foreign_worker_has_the_variables_name_and_the_limits(
    one: Foreign, tmp_path: Path, monkeypatch
) -> None:
    """Its key is its own machine's."""
    monkeypatch.setenv("TEAM_KEY", KEY)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        result = await hs.bench(
            "m",
            "Hi",
            base_url=one.url,
            key_variable="TEAM_KEY",
            inactivity=20,
            executor=pool,
            path=tmp_path / "run.jsonl",
            **QUICK,
        )
    assert [trial.error for trial in result.records] == [""]
    assert one.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in (tmp_path / "run.jsonl").read_text()


async def test_a_sweep_and_a_shadow_take_addresses_too(one: Foreign, two: Foreign, tmp_path: Path) -> None:
    """Their labels are by host; the key in a mapping goes to its own."""
    swept = await hs.sweep(
        [(one.url, "a")], "Hi", concurrencies=[1, 2], repeats=3, api_key=KEY, path=tmp_path / "s", calibrate=False
    )
    assert swept.arms == (f"{host(one)}:a",)
    assert [len(result.records) for result in swept.of("a")] == [3, 4]
    assert {asked.headers["authorization"] for asked in one.asked} == {f"Bearer {KEY}"}
    seen = await hs.shadow(
        "Hi", old=(one.url, "a"), new={"base_url": two.url, "model": "a"}, path=tmp_path / "r.jsonl", calibrate=False
    )
    assert (seen.old, seen.new) == (f"{host(one)}:a", f"{host(two)}:a")


@pytest.mark.parametrize(
    ("given", "address", "model"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", ""),
        ("http://127.0.0.1:8080:m", "http://127.0.0.1:8080", "m"),
        ("http://box:m", "http://box", "m"),
        ("https://h.example/v1:org/m:free", "https://h.example/v1", "org/m:free"),
        ("https://h.example:8443/a/b/:m", "https://h.example:8443/a/b", "m"),
        ("http://[::1]:8080/v1:m:7b", "http://[::1]:8080/v1", "m:7b"),
        ("http://127.0.0.1:8080:org/m", "http://127.0.0.1:8080", "org/m"),
        (("http://127.0.0.1:1/v1", "m:7b"), "http://127.0.0.1:1/v1", "m:7b"),
        (("openai", "gpt-4.1"), None, "openai:gpt-4.1"),
        ({"model": "m", "base_url": "http://127.0.0.1:1/v1"}, "http://127.0.0.1:1/v1", "m"),
        ("qwen:7b", None, "qwen:7b"),
    ],
)
def test_an_address_and_a_model_are_told_apart(given: Any, address: str | None, model: str) -> None:
    """Ports, paths, IPv6 and colons in models."""
    text, options = addresses._spoken("hs.bench", given, client_options())
    assert (options.base_url, text) == (address, model)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([["gpt-4.1", "deepseek-v3.2"]], "a pair that begins with neither an address nor a provider"),
        ("gpt-4.1,deepseek-v3.2", "a text with a comma in it, and several are a list of texts"),
        ([("opnai", "gpt-4.1")], "did you mean openai"),
    ],
)
async def test_two_names_are_not_one_model(models: Any, said: str, tmp_path: Path) -> None:
    """As one they were sent, and failed with UnknownModel, at a search that takes one and in a text."""
    with pytest.raises(SetupError, match=said):
        await hs.bench(models, "Hi", path=tmp_path / "run.jsonl")
    (one,) = models if isinstance(models, list) else [models]
    with pytest.raises(SetupError, match=said):
        await hs.capacity(one, "Hi", limits={"ttft_ms": 800}, path=tmp_path / "search")
    assert not (tmp_path / "run.jsonl").exists()
    assert not (tmp_path / "search").exists()
    apart = ["simulator:gpt-4.1#tokens=5,first=1", ("openai", "m")]
    plain = await addresses.locate("hs.bench", apart, client_options())
    assert plain.models == ("simulator:gpt-4.1#tokens=5,first=1", "openai:m")


@pytest.mark.parametrize("door", ["bench", "mapping", "sweep", "shadow", "kind"])
async def test_no_frame_of_a_traceback_has_a_secret(door: str, tmp_path: Path) -> None:
    """What was given to the door is sealed in its own frame too, whatever fails behind it."""
    refused = Given((b"no",), 401, {})
    secret: dict[str, Any] = {"api_key": KEY, "headers": {"x-team": HEADER}, "query": {"code": QUERY}}

    async def ask(url: str) -> None:
        place = {"base_url": url, "model": "m", **secret}
        if door == "bench":
            await hs.bench("m", "Hi", base_url=url, path=tmp_path / "run.jsonl", **secret)
        elif door == "mapping":
            await hs.bench([place], "Hi", path=tmp_path / "run.jsonl")
        elif door == "sweep":
            await hs.sweep("m", "Hi", base_url=url, path=tmp_path, **secret)
        elif door == "shadow":
            await hs.shadow("Hi", old=place, new=(url, "n"), path=tmp_path / "run.jsonl")
        else:
            await hs.bench("m", "Hi", base_url=url, path=tmp_path / "r", **(secret | {"headers": [HEADER]}))

    with answering(lambda _asked: refused) as service, pytest.raises(HolystreamError) as caught:
        await ask(f"{service.url}?token={QUERY}1" if door in ("bench", "sweep") else service.url)
    while caught.value.__traceback__ and caught.value.__traceback__.tb_frame.f_code.co_filename == __file__:
        caught.value.__traceback__ = caught.value.__traceback__.tb_next
    shown = rendered(caught.value)
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    ("name", "words"), [("ca", "holds no certificate"), ("cert", "is no certificate with its key")]
)
async def test_files_of_certificates_are_looked_at_before_anything_begins(
    name: str, words: str, one: Foreign, tmp_path: Path
) -> None:
    """It ended as "A worker process did not start: worker 0 ended by SetupError …", and left a run's file."""
    path, wrong = tmp_path / "run.jsonl", tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(SetupError, match=words):
        await hs.bench((one.url, "first"), "Hi", path=path, **QUICK, **{name: wrong})
    assert not path.exists()
    assert not one.asked


async def test_an_empty_mapping_is_no_model(one: Foreign) -> None:
    """It asked the session's default model."""
    for models in ({}, [{}]):
        with pytest.raises(SetupError, match="is an empty mapping: give a text like"):
            await hs.bench(models, "Hi", base_url=one.url)
    assert not one.asked
