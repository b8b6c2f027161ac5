"""The kernel's half of the talk with pages: who is there, who has gone, what is handed on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holystream_nb
from holystream_nb.live.page import Pages

HELLO = {"kind": "hello", "application": "JupyterLab", "bundle": "d", "client": "c", "notebook": "a.ipynb"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Comm:
    """A page's comm, as ipykernel makes it."""

    def __init__(self, name: str) -> None:
        self.comm_id = name
        self.sent: list[dict[str, Any]] = []
        self.is_closed = False
        self.on_msg: Callable[[Any], None] = lambda hear: setattr(self, "_hear", hear)
        self.on_close: Callable[[Any], None] = lambda closed: setattr(self, "closed", closed)

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.is_closed = True

    def says(self, **message: Any) -> None:
        self._hear({"content": {"data": message}})  # type: ignore[attr-defined]

    @property
    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.sent]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pages(clock: Clock) -> Pages:
    return Pages(clock=clock)


def page(pages: Pages, name: str = "1", **hello: str) -> Comm:
    comm = Comm(name)
    pages._opened(comm, {"content": {"data": HELLO | hello}})
    return comm


def test_a_page_is_there_once_it_has_said_hello(pages: Pages) -> None:
    """And is welcomed."""
    comm = page(pages)
    assert [(each.application, each.notebook) for each in pages.pages] == [("JupyterLab", "a.ipynb")]
    assert comm.kinds == ["welcome"]


def test_a_new_name_of_the_file_takes_the_place_of_the_old(pages: Pages) -> None:
    """A page says hello again when its notebook is renamed."""
    comm = page(pages)
    comm.says(**HELLO | {"notebook": "b.ipynb"})
    assert [each.notebook for each in pages.pages] == ["b.ipynb"]
    assert comm.kinds == ["welcome"]


def test_a_page_that_is_closed_is_gone(pages: Pages) -> None:
    """Its comm's end is heard."""
    page(pages).closed({})  # type: ignore[attr-defined]
    assert pages.pages == []


def test_a_page_that_has_gone_without_a_word_is_dropped(pages: Pages, clock: Clock) -> None:
    """After a minute's silence it is asked, and dropped when it does not answer."""
    comm = page(pages)
    clock.now += 61
    assert len(pages.pages) == 1
    assert comm.kinds == ["welcome", "who"]
    clock.now += 11
    assert pages.pages == []
    assert comm.is_closed


def test_a_page_that_answers_stays(pages: Pages, clock: Clock) -> None:
    """Its answer is a hello."""
    comm = page(pages)
    clock.now += 61
    assert pages.pages
    comm.says(**HELLO)
    clock.now += 11
    assert len(pages.pages) == 1


def test_a_page_that_was_reloaded_is_doubted_when_it_comes_back(pages: Pages, clock: Clock) -> None:
    """The one before it, of the same notebook, is asked at once."""
    before, other = page(pages, "1"), page(pages, "2", notebook="b.ipynb")
    page(pages, "3")
    clock.now += 11
    assert [each.id for each in pages.pages] == ["2", "3"]
    assert (before.kinds, other.kinds) == (["welcome", "who"], ["welcome"])


def test_messages_go_to_all_pages_or_to_one(pages: Pages) -> None:
    """By the page, or by its id."""
    first, second = page(pages, "1"), page(pages, "2", notebook="b.ipynb")
    pages.send("news", {"text": "to all"})
    pages.send("news", {"text": "to one"}, to="2")
    pages.send("news", {"text": "to one"}, to=pages.pages[0])
    assert first.sent[1:] == [{"kind": "news", "text": "to all"}, {"kind": "news", "text": "to one"}]
    assert second.sent[1:] == first.sent[1:]


def test_a_question_is_answered_with_its_id(pages: Pages) -> None:
    """A handler is given the message with the page that sent it; a handler that fails does no harm to the next."""

    def fails(_message: object, _reply: object) -> None:
        raise RuntimeError

    pages.on("add", fails)
    pages.on("add", lambda message, reply: reply("sum", {"sum": message["a"] + 1, "of": message["page"].id}))
    comm = page(pages)
    comm.says(kind="add", a=1, id="q")
    comm.says(kind="unknown")
    assert comm.sent[1:] == [{"kind": "sum", "sum": 2, "of": "1", "id": "q"}]


def test_every_kind_of_message_has_one_part_that_listens() -> None:
    """Two parts that took the same word for theirs would both answer, and a page would hear the wrong one."""
    package = Path(holystream_nb.__file__).parent
    sources = [file.read_text("utf-8") for file in package.rglob("*.py") if "node_modules" not in file.parts]
    kinds = Counter(kind for source in sources for kind in re.findall(r'\bpage\.on\("(\w+)"', source))
    assert kinds["context"] == 1
    assert not {kind: count for kind, count in kinds.items() if count > 1}
