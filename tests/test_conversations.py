"""Conversations of `--chat`, kept for the next kernel of their notebook."""

from __future__ import annotations

from typing import Any

from holystream_nb.conversations import Conversations
from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Origin


def at(cell: str, notebook: str = "/home/ann/Talk.ipynb") -> Origin:
    return Origin("cell", notebook=notebook, cell=cell)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


TALK = [user("one"), assistant("1", echo={"wire": "chat"}), user("two"), assistant("2")]


def kept(messages: list[Any], *asked: tuple[str, int], where: Origin | None = None) -> Conversations:
    """What a kernel had, which asked from these cells."""
    before = Conversations()
    for cell, count in asked:
        before.keep("talk", messages, where or at(cell), count)
    return before


def test_a_new_kernel_of_the_notebook_goes_on_with_it() -> None:
    """With what a service wants back of each turn; another notebook has its own, and a script none."""
    kept(TALK, ("a", 0), ("b", 2))
    later = Conversations()
    assert later.recall("talk", at("c"))
    assert later["talk"] == TALK
    assert not later.recall("talk", at("c"))  # it is here already
    assert not Conversations().recall("talk", at("c", notebook="/home/ann/Other.ipynb"))
    kept(TALK, ("", 0), where=at("", notebook=""))
    assert not Conversations().recall("talk", at("", notebook=""))


def test_a_cell_that_asked_before_asks_in_its_own_place() -> None:
    """So that Run All after a restart asks the same as it did; without ids of cells it goes on."""
    kept([{"role": "system", "content": "Be brief."}, *TALK], ("a", 1), ("b", 3))
    later = Conversations()
    assert later.recall("talk", at("b"))
    assert later["talk"] == [{"role": "system", "content": "Be brief."}, *TALK[:2]]
    assert not Conversations().recall("talk", at("a"))
    assert Conversations().recall("talk", at(""))


def test_calls_of_tools_are_kept_and_pictures_are_not() -> None:
    """Without its pictures it would be another conversation: then there is none to go on with."""
    called = [user("one"), assistant(None, tool_calls=[{"id": "1"}]), {"role": "tool", "content": "2"}, assistant("2")]
    kept(called, ("a", 0))
    assert Conversations().recall("talk", at("b"))
    kept([user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}]), assistant("1")], ("a", 0))
    assert not Conversations().recall("talk", at("b"))


def test_a_forgotten_one_is_gone_from_the_journal_too() -> None:
    """Also where only an earlier kernel had it."""
    kept(TALK, ("a", 0))
    assert Conversations().forget("talk", at("b"))
    assert journal.conversation("talk", at("b").notebook) is None
    assert not Conversations().forget("talk", at("b"))


def test_what_is_none_of_ours_is_nothing() -> None:
    """A state that cannot be read begins a new conversation."""
    for state in ("", "[]", "{}", '{"messages": [1], "asked": []}', '{"messages": [{}], "asked": []}', "nonsense"):
        journal.keep_conversation("talk", at("").notebook, state)
        assert not Conversations().recall("talk", at("b"))
