"""One engine for the whole run, what people put before it, and what was measured, said at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from holystream_nb import Client

from .programs import HOME, KEY, Engine, engine, haproxy, litellm, nginx, tail

STATED = pytest.StashKey[list[str]]()
HERE = "tests/real/"


@dataclass(frozen=True)
class Way:
    """How one gets to the engine: its name, an address, and what is true of it."""

    name: str
    url: str
    engine: Engine
    key: str | None = None
    buffers: bool = False

    def client(self, **options: Any) -> Client:
        return Client("llama.cpp", base_url=self.url, api_key=self.key, **options)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STATED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failure shows the end of every program's log."""
    report = yield
    if report.failed and HERE in item.path.as_posix():
        report.sections += [(f"the end of {log.name}", tail(log)) for log in sorted((HOME / "logs").glob("*.log"))]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[STATED]:
        terminalreporter.section("measured on the real engine")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def state(pytestconfig: pytest.Config) -> Any:
    """Says a figure at the end of the run."""
    return pytestconfig.stash[STATED].append


@pytest.fixture(scope="session")
def smollm() -> Iterator[Engine]:
    """SmolLM2-135M on four slots."""
    with engine("smollm2-135m.gguf", "smollm2-135m") as running:
        yield running


@pytest.fixture(scope="session")
def ways(smollm: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    """The engine itself, and through each gateway."""
    with (
        nginx(smollm, tmp_path_factory.mktemp("nginx")) as (inner, outer, unbuffered),
        haproxy(smollm, tmp_path_factory.mktemp("haproxy")) as (plain, undelayed),
        litellm(smollm, tmp_path_factory.mktemp("litellm")) as gateway,
    ):
        found = [
            Way("direct", smollm.url, smollm),
            Way("litellm", gateway, smollm, key=KEY),
            Way("nginx", inner, smollm),
            Way("nginx-buffering", outer, smollm, buffers=True),
            Way("nginx-mended", unbuffered, smollm),
            Way("haproxy", plain, smollm, buffers=True),
            Way("haproxy-mended", undelayed, smollm),
        ]
        yield {way.name: way for way in found}


@pytest.fixture(params=["direct", "litellm", "nginx-buffering", "haproxy"])
def way(ways: dict[str, Way], request: pytest.FixtureRequest) -> Way:
    """Each of the ways people go; the engine is idle before a test begins."""
    found = ways[request.param]
    found.engine.until_free()
    return found


@pytest.fixture
async def client(way: Way) -> AsyncIterator[Client]:
    async with way.client() as client:
        yield client


@pytest.fixture
async def direct(smollm: Engine) -> AsyncIterator[Client]:
    """Nothing between us and the engine."""
    smollm.until_free()
    async with Client("llama.cpp", base_url=smollm.url) as client:
        yield client
