"""A panel's policy on the test's own loop: the real simulator behind it, and a page that keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from holystream_nb import Simulator
from holystream_nb.chat.conversation import Conversation
from holystream_nb.chat.policy import Chat, News
from holystream_nb.chat.settings import Means, Settings
from holystream_nb.chat.spent import Spent
from holystream_nb.client.options import client_options
from holystream_nb.session import Session


@dataclass
class Page:
    """What a page was sent and told."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def send(self, content: dict[str, Any]) -> None:
        self.messages.append(content)

    def tell(self, **state: Any) -> None:
        self.state.update(state)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    def inner(self, turn: str, kind: str) -> list[dict[str, Any]]:
        """The messages of a turn's feed."""
        found = [message["message"] for message in self.of("turn") if message["turn"] == turn]
        return [message for message in found if message["kind"] == kind]

    @property
    def said(self) -> list[str]:
        return [message["text"] for message in self.of("said")]


@dataclass
class Bench:
    """A chat with everything around it."""

    chat: Chat
    page: Page
    news: list[News]
    saved: list[Conversation]
    aside: list[Conversation]

    async def ask(self, text: str = "Hello") -> None:
        """Asks, and waits for the answers."""
        await asyncio.wrap_future(self.chat.send(text).done)

    def last(self) -> Any:
        return self.chat.conversation.turns[-1]


@pytest.fixture
async def bench(simulator: Simulator) -> AsyncIterator[Callable[..., Any]]:
    """Makes chats; they are ended with the test."""
    session = Session()
    chats: list[Chat] = []

    def make(
        *models: str,
        attached: bool = True,
        linger_s: float = 0.05,
        tools: Sequence[Callable[..., Any]] = (),
        allow: Any = "ask",
        transport: Any = "sse",
        **settings: Any,
    ) -> Bench:
        news: list[News] = []
        saved: list[Conversation] = []
        aside: list[Conversation] = []

        def save_copy(conversation: Conversation) -> str:
            saved.append(conversation)
            return "Saved as chat.md."

        def set_aside(conversation: Conversation, _settings: Settings, _spent: Spent) -> str:
            aside.append(conversation)
            return "Kept."

        chat = Chat(
            session,
            Settings(models or ("gpt-4.1#tokens=8",), **settings),
            report=news.append,
            save_copy=save_copy,
            set_aside=set_aside,
            means=Means(client_options(base_url=simulator.url), transport, tuple(tools), allow).checked(),
            linger_s=linger_s,
        )
        chats.append(chat)
        page = Page()
        if attached:
            chat.attach(page)
        return Bench(chat, page, news, saved, aside)

    yield make
    for chat in chats:
        await chat.finish()
    await session.close()
