"""What models a service lists: every shape in use, names from whoever wants to do harm, and no list at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from foreign import Given, answering, listed

from holystream_nb import Client, Simulator
from holystream_nb.client import catalogue
from holystream_nb.client.catalogue import models_of, names_in
from holystream_nb.errors import ConnectionFailed, HolystreamError, KeyRefused, ServiceError, TooLarge
from holystream_nb.providers.table import provider

KEY = "test-0123456789"


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b:7b"}]}, ("a", "b:7b")),
        ({"models": [{"name": "m.gguf", "model": "m.gguf"}], "data": [{"id": "m"}]}, ("m",)),
        ({"models": [{"name": "llama3.2:3b", "model": "llama3.2:3b"}]}, ("llama3.2:3b",)),
        ({"models": [{"name": "command-a"}], "next_page_token": ""}, ("command-a",)),
        ({"data": None, "models": [{"name": "x"}]}, ("x",)),
        ({"data": [], "models": [{"name": "x"}]}, ("x",)),
        ([{"id": "together/a", "type": "chat"}, {"id": "together/a"}], ("together/a",)),
        (["a", "b", "a"], ("a", "b")),
        ({"data": []}, ()),
        ({"data": [None, 3, {}, {"id": None}, {"id": 3}, {"id": ""}, ["a"]]}, ()),
        ({"error": "no"}, None),
        ("a", None),
        (None, None),
    ],
)
def test_every_shape_of_a_list_is_read(tree: Any, names: tuple[str, ...] | None) -> None:
    """What the services send, each name once and in their order."""
    assert names_in(tree) == names


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\x1b[2J", "\u202egpj", "\ud800", "x" * 201, " ", " a", "a\u200bb", "a\u2028b", f"model-{KEY}"],
)
def test_names_that_could_do_harm_are_left_out(name: str) -> None:
    """Control characters, half characters, endless ones, the key."""
    assert names_in({"data": [{"id": name}, {"id": "good"}]}, KEY) == ("good",)


def test_a_list_is_as_long_as_it_may_be() -> None:
    """A service cannot fill the memory with names."""
    assert len(names_in([str(number) for number in range(2 * catalogue.MOST_MODELS)]) or ()) == catalogue.MOST_MODELS


async def test_the_simulator_lists_its_models(simulator: Simulator) -> None:
    """Over the client's own connections, which can be used again."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client:
        names = await models_of(client)
        assert await models_of(client) == names
    assert "gpt-4.1" in names


async def test_the_key_goes_along_and_nothing_else_is_asked() -> None:
    """One GET, with the headers of a request."""
    with answering(lambda asked: listed({"data": [{"id": "m"}]})) as service:
        async with Client("openai", base_url=service.url, api_key=KEY) as client:
            assert await models_of(client) == ("m",)
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("GET", "/v1/models", f"Bearer {KEY}")


async def test_a_service_that_speaks_messages_first_is_asked_as_it_wants() -> None:
    """Anthropic takes a key in its own header alone, with a version beside it; for a list of models, too."""
    with answering(lambda asked: listed({"data": [{"type": "model", "id": "claude-x"}], "has_more": False})) as service:
        at = replace(provider("anthropic"), base_url=service.url)
        async with Client(at, api_key=KEY) as client:
            assert await models_of(client) == ("claude-x",)
    headers = service.asked[0].headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (
            listed({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401),
            KeyRefused,
            "refused the key (401)",
        ),
        (Given((b"no",), 404), ServiceError, "has no list of models (it answered 404): name a model."),
        (Given((b"<html>",)), ServiceError, "/v1/models is no list of models: check the address"),
        (Given((b"[" * 100_000,)), ServiceError, "/v1/models is no list of models: check the address"),
        (Given((), 302, {"location": f"http://elsewhere/{KEY}"}), ServiceError, "redirects to http://elsewhere"),
        (Given((b'["a",', b" " * (9 << 20), b'"b"]')), TooLarge, "is larger than 8,388,608 bytes"),
        (Given((b"[", 9.0)), ConnectionFailed, "did not list its models within 0.3 s"),
        (Given((9.0,)), ConnectionFailed, "did not list its models within 0.3 s"),
    ],
)
async def test_what_is_no_list_is_one_sentence_without_the_key(
    monkeypatch: pytest.MonkeyPatch, given: Given, kind: type[HolystreamError], said: str
) -> None:
    """Refused, missing, a page, a redirect, endless, and silent."""
    monkeypatch.setattr(catalogue, "LISTING_S", 3.0 if given.pieces[-1:] != (9.0,) else 0.3)
    with answering(lambda asked: given) as service:
        async with Client("openai", base_url=service.url, api_key=KEY) as client:
            with pytest.raises(kind) as failed:
                await models_of(client)
    assert said in str(failed.value)
    assert KEY not in str(failed.value)


async def test_nobody_there_is_an_error_of_ours() -> None:
    """A port on which nothing listens."""
    async with Client("ollama", base_url="http://127.0.0.1:9/v1") as client:
        with pytest.raises(HolystreamError):
            await models_of(client)
