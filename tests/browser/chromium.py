"""The system's Chromium under Playwright, with nothing of its own going on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, async_playwright

_ARGUMENTS: Final = (
    "--no-sandbox",  # in a container; only our own server is visited
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def browsing(executable: str) -> AsyncIterator[Browser]:
    """Runs a browser; the path is the executable's."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Journey:
    """What the pages of a context asked for: `hosts` are those that are not this machine."""

    def __init__(self, context: BrowserContext) -> None:
        self.hosts: set[str] = set()
        context.on("request", lambda request: self._requested(request.url))

    def clear(self) -> None:
        self.hosts.clear()

    def _requested(self, url: str) -> None:
        host = urlsplit(url).hostname
        if host not in (None, "127.0.0.1"):
            self.hosts.add(str(host))
