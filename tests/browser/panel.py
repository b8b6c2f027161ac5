"""A chat panel on a page, as a test's hand uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from playwright.async_api import Locator, Page, expect

from .notebook import LOAD

PATIENCE_MS: Final = 20_000
IMPORT: Final = f"{LOAD}\nimport holystream_nb as hs"


def chat(arguments: str, name: str = "panel") -> str:
    """A cell that makes a panel and displays it."""
    return f"{name} = hs.ChatPanel({arguments})\n{name}"


@dataclass(frozen=True)
class Panel:
    """A view of a panel: `root` is its element, or one around it."""

    outer: Locator

    @property
    def root(self) -> Locator:
        return self.outer.locator(".hs-chat")

    @property
    def page(self) -> Page:
        return self.outer.page

    @property
    def question(self) -> Locator:
        """The composer's field."""
        return self.root.get_by_role("textbox", name="your question")

    @property
    def send(self) -> Locator:
        """The composer's button: Send, or Stop."""
        return self.root.locator(".hs-send")

    @property
    def turns(self) -> Locator:
        return self.root.get_by_role("article")

    @property
    def total(self) -> Locator:
        return self.root.locator(".hs-total")

    @property
    def chips(self) -> Locator:
        """Whom the next question goes to."""
        return self.root.locator(".hs-chip-name")

    @property
    def hint(self) -> Locator:
        return self.root.locator(".hs-keys")

    def button(self, name: str, turn: int | None = None) -> Locator:
        """A button by its name: of a turn, or of the whole panel."""
        where = self.root if turn is None else self.turns.nth(turn)
        return where.get_by_role("button", name=name, exact=True)

    def asked(self, turn: int) -> Locator:
        return self.turns.nth(turn).locator(".hs-question")

    def lane(self, turn: int, lane: int = 0) -> Locator:
        """One model's answer, with its figures."""
        return self.turns.nth(turn).locator(".hs-lane").nth(lane)

    def answer(self, turn: int, lane: int = 0) -> Locator:
        return self.lane(turn, lane).locator(".hs-body")

    async def ask(self, text: str) -> None:
        """Writes a question and sends it with Enter."""
        await self.question.fill(text, timeout=PATIENCE_MS)
        await self.question.press("Enter")

    async def shows(self, turn: int, state: str = "done", lane: int = 0) -> None:
        """Waits until an answer stands so: waiting, streaming, done, stopped, interrupted, truncated, failed."""
        await expect(self.lane(turn, lane)).to_have_attribute("data-state", state, timeout=PATIENCE_MS)

    async def reaches(self, turn: int, number: int, lane: int = 0) -> None:
        """Waits until a numbered answer has come to a number."""
        await expect(self.answer(turn, lane)).to_contain_text(f" {number} ", timeout=PATIENCE_MS)

    async def numbers(self, turn: int, lane: int = 0) -> list[int]:
        return [int(word) for word in (await self.answer(turn, lane).inner_text()).split()]

    async def choose(self, chip: Locator, query: str) -> None:
        """Finds a model by its name, and takes the first that is found."""
        await chip.click()
        box = self.root.get_by_role("combobox")
        await box.fill(query)
        await box.press("Enter")
        await expect(box).to_be_hidden()

    async def holds_focus(self) -> bool:
        """Whether the page's keyboard is in the panel."""
        found: bool = await self.root.evaluate("(root) => root.contains(document.activeElement)")
        return found
