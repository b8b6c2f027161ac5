"""One server, one browser and one page of JupyterLab for all tests of this folder; a notebook and a kernel for each.

Playwright's synchronous API leaves a loop running in the thread, which breaks every later asynchronous test: these use
the asynchronous one, on one loop for the whole session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from .chromium import Journey, browsing
from .notebook import LOAD, Notebook, open_in_lab, open_in_notebook7, open_lab, write
from .server import Server, serving
from .service import Echo, echoing

Open = Callable[..., Awaitable[Notebook]]

_HERE = Path(__file__).parent
_FAILED = pytest.StashKey[bool]()

CONTRAST: Final = """(element) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const above = [];
  for (let at = element; at; at = at.parentElement) above.unshift(getComputedStyle(at).backgroundColor);
  const ground = above.map(luminance).at(-1);
  const text = luminance(getComputedStyle(element).color);
  return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}"""
"""The contrast of an element's text with what is painted behind it (WCAG 2.2, 1.4.3)."""


@pytest.hookimpl(tryfirst=True)  # before the markers are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            # A busy machine can be later than any patience: once more, on a new page, and said in the summary.
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = report.failed or (report.when != "setup" and item.stash.get(_FAILED, False))
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with browsing(chromium) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """One for all pages, so that scripts come from its cache."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    await context.close()


@pytest.fixture(scope="session")
def journey_log(context: BrowserContext) -> Journey:
    return Journey(context)


@pytest.fixture
def journey(journey_log: Journey) -> Journey:
    """What the pages did during this test."""
    journey_log.clear()
    return journey_log


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(context: BrowserContext, journey: Journey) -> AsyncIterator[Callable[[], Awaitable[Page]]]:
    """Opens pages that are closed after the test."""
    pages: list[Page] = []

    async def make() -> Page:
        pages.append(await context.new_page())
        return pages[-1]

    yield make
    for page in pages:
        await page.close()


@pytest.fixture(scope="session")
def lab_pages() -> list[Page]:
    """JupyterLab's page, shared by the tests, once there is one."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def lab(
    context: BrowserContext,
    server: Server,
    lab_pages: list[Page],
    journey: Journey,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> AsyncIterator[Page]:
    """A page with JupyterLab; after a failure its picture is kept, and the next test gets a new page."""
    if not lab_pages:
        lab_pages.append(await context.new_page())
        await open_lab(lab_pages[0], server)
    yield lab_pages[0]
    if request.node.stash.get(_FAILED, False):
        await lab_pages[0].screenshot(path=tmp_path / "page.png")
        await lab_pages.pop().close()
    assert not journey.hosts, "a page asked for something elsewhere"


@pytest_asyncio.fixture(loop_scope="session")
async def open_notebook(server: Server, lab: Page, new_page: Callable[[], Awaitable[Page]]) -> AsyncIterator[Open]:
    """Opens a new notebook with these cells and loads the extension: in JupyterLab, or in Notebook 7."""
    opened: list[Notebook] = []

    async def make(*cells: str, load: str = LOAD, application: str = "lab", page: Page = lab) -> Notebook:
        file = write(server, [load, *cells])
        if application == "lab":
            notebook = await open_in_lab(page, file)
        else:
            notebook = await open_in_notebook7(await new_page(), server, file)
        opened.append(notebook)
        await notebook.cell(0).run()
        return notebook

    yield make
    for notebook in opened:
        if notebook.page is not lab:  # such a page is closed now, and its requests with it
            await notebook.shutdown()
        await notebook.close()


@pytest.fixture(scope="session")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", params=["JupyterLab Light", "JupyterLab Dark High Contrast", "forced"])
async def colours(lab: Page, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Page, float]]:
    """A page in these colours, and the contrast that its text has at least (WCAG 2.2: 4.5, enhanced 7)."""
    if request.param == "forced":
        await lab.emulate_media(forced_colors="active")
        yield lab, 7
        await lab.emulate_media(forced_colors="none")
        return
    change = "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })"
    is_in = "(theme) => document.body.dataset.jpThemeName === theme"
    await lab.evaluate(change, request.param)
    await lab.wait_for_function(is_in, arg=request.param)
    yield lab, 7 if "High Contrast" in request.param else 4.5
    await lab.evaluate(change, "JupyterLab Light")
    await lab.wait_for_function(is_in, arg="JupyterLab Light")
