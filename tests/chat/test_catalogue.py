"""The model picker: what is known at once, what services list a moment later, and whom it never asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kernels
import pytest
from foreign import Foreign, Given, answering, listed
from pages import opened

from holystream_nb.chat.catalogue import Offer, Picker, _offers
from holystream_nb.client.options import ClientOptions
from holystream_nb.providers.table import provider
from holystream_nb.session import Session

NAMES = ("llama3.2:3b", "smollm2:135m")


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Foreign, Foreign]]:
    """A fake Ollama, and another provider that answers nothing of use."""
    names = listed({"object": "list", "data": [{"id": name} for name in NAMES]})
    with answering(lambda asked: names) as ollama, answering(lambda asked: Given((b"no",), 500)) as broken:
        path = tmp_path / "providers.toml"
        entries = (("ollama", ollama.url), ("broken", broken.url))
        path.write_text("".join(f'[{n}]\nbase_url = "{u}"\nkey_variable = ""\n' for n, u in entries), "utf-8")
        monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
        for name in ("HOLYSHEEP_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        yield ollama, broken


def values(offers: list[Offer], provider: str) -> list[str]:
    return [offer["value"] for offer in offers if offer["provider"] == provider]


async def test_a_provider_is_asked_when_the_reader_opens_it_and_no_other_is(services: tuple[Foreign, Foreign]) -> None:
    """Once; one that fails, or does not exist, is passed over in silence."""
    ollama, broken = services
    told: list[list[Offer]] = []
    session = Session()
    picker = Picker(session, told.append, ClientOptions())
    await picker.fill()
    assert (len(ollama.asked), len(broken.asked)) == (0, 0)
    assert told[-1][0]["provider"] == "simulator"
    notes = [offer["note"] for offer in told[-1] if offer["provider"] == "simulator"]
    assert all(note.endswith("(simulated)") for note in notes if "$" in note), "prices that nobody is paid"
    for name in ("ollama", "Ollama ", "broken", "nobody", "openai"):
        await picker.open(name)
    assert values(told[-1], "ollama") == [f"ollama:{name}" for name in NAMES]
    assert told[-1][0]["provider"] == "simulator"
    assert (len(ollama.asked), len(broken.asked)) == (1, 1)
    assert len({offer["value"] for offer in told[-1]}) == len(told[-1])
    await session.close()


async def test_the_providers_of_a_panels_models_are_open(services: tuple[Foreign, Foreign]) -> None:
    """The reader has chosen them."""
    told: list[list[Offer]] = []
    session = Session()
    await Picker(session, told.append, ClientOptions()).fill(("gpt-4.1", "ollama:llama3.2:3b"))
    assert values(told[-1], "ollama") == [f"ollama:{name}" for name in NAMES]
    await session.close()


async def test_a_panel_at_an_address_of_its_own_offers_what_is_there(services: tuple[Foreign, Foreign]) -> None:
    """By the names that are asked there, and nothing else."""
    ollama, _ = services
    told: list[list[Offer]] = []
    session = Session()
    picker = Picker(session, told.append, ClientOptions(base_url=ollama.url))
    await picker.fill(("qwen:7b",))
    await picker.open("ollama")
    assert [offer["value"] for offer in told[-1]] == list(NAMES)
    assert len(ollama.asked) == 1
    await session.close()


async def test_the_service_of_the_session_is_asked_at_once(services: tuple[Foreign, Foreign]) -> None:
    """Set for the whole session, as hs.configure and %config do; its models are called by their names alone."""
    ollama, _ = services
    told: list[list[Offer]] = []
    session = Session()
    session.configure(base_url=ollama.url)
    await Picker(session, told.append, ClientOptions()).fill()
    assert [offer["value"] for offer in told[-1]][:2] == list(NAMES)
    await session.close()


@pytest.mark.slow
def test_the_page_opens_a_provider_and_its_models_come(services: tuple[Foreign, Foreign], tmp_path: Path) -> None:
    """In a kernel, while nobody else is asked."""
    ollama, _ = services
    code = "import holystream_nb as hs\npanel = hs.ChatPanel('gpt-4.1')\npanel"
    with kernels.kernel(HOLYSTREAM_PROVIDERS=str(tmp_path / "providers.toml")) as kernel, opened(kernel, code) as page:
        page.until(lambda: page.state["catalogue"])
        assert ollama.asked == []
        page.send(kind="open", provider="ollama")

        def offered() -> Any:
            return [each["value"] for each in page.state["catalogue"] if each["provider"] == "ollama"]

        page.until(offered)
        assert offered() == [f"ollama:{name}" for name in NAMES]


def test_prices_are_in_the_currency_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the provider's rate."""
    (before,) = _offers(provider("openai"), ["gpt-4.1"], "")
    monkeypatch.setattr("holystream_nb.money.amount._chosen", "CNY")
    (after,) = _offers(provider("openai"), ["gpt-4.1"], "")
    assert before["note"].startswith("$2 in · $8 out per 1M tokens")
    assert after["note"].startswith("¥14.6 in · ¥58.4 out per 1M tokens")
