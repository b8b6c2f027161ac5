"""nbconvert's PDF by a browser: of a hostile answer nothing is loaded, from this machine neither, and nothing runs."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import nbformat.v4 as notebooks
from nbconvert import WebPDFExporter
from playwright.async_api import BrowserType

from holystream_nb.live.harmless import harmless

from ..live.payloads import PAYLOADS

LOCAL: Final = (
    "<img src=file:///etc/passwd><iframe src=file:///etc/passwd></iframe>\n\n"
    "<style>body { background: url(file:///etc/passwd) }</style> ![x](file:///etc/passwd) [x](file:///etc/passwd)\n\n"
    "<script>document.title = 'ran'</script><object data=file:///etc/passwd></object>"
)


class Exported(WebPDFExporter):  # type: ignore[misc]  # nbconvert has no types
    """nbconvert's own exporter with the system's Chromium; `asked` are the addresses that its page asked for."""

    executable = ""

    def run_playwright(self, html: str) -> Any:
        self.html, self.asked = html, []
        launch = BrowserType.launch

        async def launched(kind: BrowserType, **options: Any) -> Any:
            browser = await launch(kind, executable_path=self.executable, **options)
            new_page = browser.new_page

            async def watched(**given: Any) -> Any:
                page = await new_page(**given)
                page.on("request", lambda request: self.asked.append(request.url))
                page.on("dialog", lambda dialog: self.asked.append(f"dialog {dialog.message}"))
                await page.route(re.compile("^https?:"), lambda route: route.abort())
                return page

            browser.new_page = watched
            return browser

        BrowserType.launch = launched
        try:
            return super().run_playwright(html)
        finally:
            BrowserType.launch = launch


async def _asked(markdown: list[str], chromium: str) -> tuple[bytes, list[str]]:
    """The PDF, and what its page asked for that is neither itself nor named by nbconvert's own head."""
    outputs = [notebooks.new_output("display_data", {"text/markdown": text}) for text in markdown]
    notebook = notebooks.new_notebook(cells=[notebooks.new_code_cell("", outputs=outputs)])
    exporter = Exported(disable_sandbox=True)
    exporter.executable = chromium
    pdf, _ = await asyncio.to_thread(exporter.from_notebook_node, notebook)
    head = exporter.html.partition("<body")[0]
    own = re.findall(r"https://[^\s\"'<>]+", head)
    asked = [url for url in exporter.asked if url not in own and not Path(url).name.endswith(".html")]
    return pdf, asked


async def test_a_pdf_by_a_browser_loads_nothing(chromium: str) -> None:
    """All payloads in one PDF: the page asks for no address and no file, and opens no dialog."""
    pdf, asked = await _asked([harmless(text) for text in [*PAYLOADS.values(), LOCAL]], chromium)
    assert pdf.startswith(b"%PDF")
    assert asked == []


async def test_a_pdf_by_a_browser_would_load(chromium: str) -> None:
    """The same, not made harmless: the test above sees what is asked for."""
    _, asked = await _asked([LOCAL, "<img src=https://evil.test/a.png>"], chromium)
    assert any(url.startswith("file:///etc/passwd") for url in asked)
    assert "https://evil.test/a.png" in asked
