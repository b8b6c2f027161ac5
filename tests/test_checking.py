"""hs.check and %stream check, %stream models: tables in a script and in a kernel, and what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kernels
import pytest
from foreign import Asked, Foreign, Given, answering, listed, streamed

import holystream_nb as hs
from holystream_nb import lists
from holystream_nb.checking import Checks
from holystream_nb.client.check import Check
from holystream_nb.client.findings import Finding
from holystream_nb.errors import SetupError, UnknownProvider
from holystream_nb.models import listed_models
from holystream_nb.session import Session, session

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    for name in ("HOLYSHEEP_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    session.stop_simulator()


@pytest.fixture(scope="module")
def kernel() -> Iterator[kernels.Kernel]:
    with kernels.kernel() as running:
        yield running


def ollama(asked: Asked) -> Given:
    if asked.path.endswith("/models"):
        return listed({"object": "list", "data": [{"id": "llama3.2:3b"}, {"id": "qwen:7b"}, {"id": "a|b"}]})
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return streamed({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, end)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Foreign]:
    """A fake Ollama that the table knows as `ollama`."""
    with answering(ollama) as service:
        path = tmp_path / "providers.toml"
        path.write_text(f'[ollama]\nbase_url = "{service.url}"\nkey_variable = ""\n', "utf-8")
        monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
        yield service


async def test_two_services_stand_side_by_side_with_what_differs() -> None:
    """Document 004's validation of formats."""
    found = await hs.check("simulator:gpt-4.1", "simulator:gpt-4.1#usage=none")
    assert [name for name, _ in found.differences] == ["model", "usage"]
    assert (len(found), found[1]["usage"].verdict) == (2, "warn")
    shown = repr(found)
    assert re.search(r"\nusage +ok: \d+ prompt .* warn: none is reported", shown)
    assert re.search(r"\n\[DONE\] +same +yes +yes\n", shown)
    assert "(simulated)" in shown
    await session.close()


async def test_a_provider_alone_is_enough(local: Foreign) -> None:
    """Of several models none is taken at random: what needs none is looked at, and the names are shown."""
    (found,) = await hs.check("ollama")
    assert (found.label, found["address"].verdict) == ("ollama", "ok")
    assert found["model"] == Finding(
        "model", "unknown", "none was named; it lists 3", "name one, as llama3.2:3b, qwen:7b, a|b"
    )
    assert {asked.method for asked in local.asked} == {"GET"}
    await session.close()


async def test_without_a_key_only_the_address_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: Foreign
) -> None:
    """And the key's variable is named."""
    path = tmp_path / "keyed.toml"
    path.write_text(f'[mine]\nbase_url = "{local.url}"\nkey_variable = "MINE_KEY"\ndefault_model = "m"\n', "utf-8")
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    (found,) = await hs.check("mine")
    assert (found["key"].verdict, "MINE_KEY" in found["key"].seen) == ("fail", True)
    assert found["address"].seen == f"{local.url} answers (200 without a key)"
    assert found["tools"].seen == "not tried: there is no key"
    assert [asked.method for asked in local.asked] == ["GET"]


async def test_an_address_is_enough_and_its_only_model_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument; what is secret goes along and is in no row."""

    def handle(asked: Asked) -> Given:
        return listed({"data": [{"id": "only"}]}) if asked.path.partition("?")[0].endswith("/models") else ollama(asked)

    with answering(handle) as service:
        (found,) = await hs.check(base_url=service.url, api_key="test-0123456789", query={"v": "secret-777"}, timeout=5)
    assert (found.model, found["key"].seen, found["address"].verdict) == ("only", "taken", "ok")
    assert {asked.headers["authorization"] for asked in service.asked} == {"Bearer test-0123456789"}
    assert all(asked.path.endswith("?v=secret-777") for asked in service.asked)
    assert "0123456789" not in repr(found)
    assert "secret-777" not in repr(found)
    await session.close()


async def test_a_key_is_for_one_service() -> None:
    """It is not sent to the second."""
    with pytest.raises(SetupError, match="is for one service"):
        await hs.check("openai:gpt-4.1", "groq:x", api_key="test-0123456789")
    with pytest.raises(SetupError, match="did you mean base_url"):
        await hs.check(base_ur="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "a"), "named twice"),
        (("a", "b", "c", "d", "e"), "4 services fit"),
        ((3,), "is a text"),
    ],
)
async def test_what_cannot_be_checked_is_one_sentence(names: Any, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SetupError, match=said):
        await hs.check(*names)


def test_a_table_is_harmless_whatever_a_service_says() -> None:
    """Markdown, HTML and bars in a cell are text there."""
    row = Finding("key", "ok", "<img src=x> | [x](javascript:1) \x1b[2J\n# a")
    drawn = Checks((Check("a", "a", "m", "http://a", (row,)),))._repr_mimebundle_()
    assert len(drawn["text/markdown"].splitlines()) == 5
    assert "<img" not in drawn["text/markdown"]
    assert "[x](" not in drawn["text/markdown"]
    assert "\x1b" not in drawn["text/plain"]


async def test_the_list_of_a_service_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch, local: Foreign) -> None:
    """It is asked again when it is old."""
    own = Session()
    assert (await listed_models(own, "ollama")).models == ("llama3.2:3b", "qwen:7b", "a|b")
    await listed_models(own, "ollama")
    assert len(local.asked) == 1
    monkeypatch.setattr(lists, "FRESH_S", -1.0)
    await listed_models(own, "ollama")
    assert len(local.asked) == 2
    await own.close()


async def test_the_simulator_is_not_started_for_its_list() -> None:
    """Its models are the documents'."""
    own = Session()
    assert "gpt-4.1" in (await listed_models(own)).models
    assert own._simulator is None
    with pytest.raises(UnknownProvider):
        await listed_models(own, "nobody")


def test_stream_check_shows_the_table_in_place_of_the_line_that_waits(kernel: kernels.Kernel) -> None:
    """One output, which says meanwhile what is being tried."""
    ran = kernel.run("%stream check simulator:gpt-4.1")
    (first,) = ran.all("display_data")
    assert first["data"]["text/plain"].startswith("checking simulator:gpt-4.1: the list of models")
    assert re.search(r"\| key \| ok \| taken \|", ran.markdown)
    assert "simulated" in ran.markdown
    assert ran.all("execute_result") == []


def test_a_check_as_a_value_is_drawn_as_a_table(kernel: kernels.Kernel) -> None:
    """The last line of a cell."""
    ran = kernel.run("import holystream_nb as hs\nawait hs.check('simulator:gpt-4.1')")
    (shown,) = ran.all("execute_result")
    assert "| tools | ok |" in shown["data"]["text/markdown"]
    assert re.match(r"checked simulator:gpt-4.1 in \d+ s", ran.all("update_display_data")[-1]["data"]["text/plain"])


def test_an_interrupt_ends_a_check_in_one_line(kernel: kernels.Kernel) -> None:
    """■ while a service is silent; the kernel goes on."""
    started = kernel.start("%stream check simulator:gpt-4.1#stall=30")
    for kind, content in kernel.messages(started):
        if kind == "update_display_data" and "an answer" in content["data"]["text/plain"]:
            break
    kernel.interrupt()
    ran = kernel.finish(started)
    assert "stopped" in ran.error
    assert len(ran.error.splitlines()) == 1
    assert kernel.run("print(1)").printed == "1\n"


def test_stream_models_of_a_provider_are_what_its_service_lists(local: Foreign, tmp_path: Path) -> None:
    """And a service that does not answer is one sentence."""
    with kernels.kernel(HOLYSTREAM_PROVIDERS=str(tmp_path / "providers.toml")) as own:
        shown = own.run("%stream models ollama").markdown
        assert "| llama3.2:3b | unknown | unknown |" in shown.replace("\\", "")
        assert "ollama lists it" in shown
        assert "known are" in own.run("%stream models nobody").error
        refused = own.run("import os; os.environ['HOLYSTREAM_PROVIDERS'] = ''\n%stream models lmstudio")
        assert len(refused.error.splitlines()) == 1
