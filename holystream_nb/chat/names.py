"""What the panels of this process are called, and which of them goes by a name now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from ..journal.values import Origin
from ..live.page import Message, Reply, page
from ..live.where import origin, whole_path


class Holder(Protocol):
    """Has a name."""

    def keep_at(self, notebook: str) -> None:
        """Its notebook has this path too: its kernel, restarted, may go by the former."""


T = TypeVar("T", bound=Holder)


class Names(Generic[T]):
    """Belongs to the program's thread."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[str, int]] = {}
        self._holders: WeakValueDictionary[tuple[str, str], T] = WeakValueDictionary()
        self._listens = False

    def call(self, given: str | None) -> Origin:
        """Where a panel is made, with its name: the given one, or that of its cell.

        The second panel that a cell makes in one run has a number, and so on. Where nobody says which cell of which
        notebook runs, as in a script or where a notebook is executed without a person, there is no name.
        """
        made = origin("panel", given or "")
        if given is not None or not made.cell or not made.notebook:
            return made
        place = made.notebook, made.cell
        execution, count = self._made.get(place, ("", 0))
        count = count + 1 if execution == made.execution else 1
        self._made[place] = made.execution, count
        return replace(made, conversation=made.cell if count == 1 else f"{made.cell}-{count}")

    def take(self, named: Origin, holder: T) -> T | None:
        """Gives the name to a panel; returns the one that had it."""
        if not named.conversation:
            return None
        if not self._listens:
            self._listens = True
            page.on("hello", self._hear)
        key = named.notebook, named.conversation
        before = self._holders.get(key)
        self._holders[key] = holder
        return before

    def _hear(self, _message: Message, _reply: Reply) -> None:
        """A page says where the notebook is: it may have been renamed, if it is the only one of this kernel."""
        paths = {each.notebook for each in page.pages}
        if len(paths) == 1 and (path := whole_path(paths.pop())):
            self.follow(path)

    def follow(self, notebook: str) -> None:
        """The notebook has this path now."""
        for (before, name), holder in list(self._holders.items()):
            if before == notebook or Path(before).is_file():  # another notebook of this kernel
                continue
            if self._holders.get((notebook, name)) is None:
                self._holders[notebook, name] = holder
                holder.keep_at(notebook)
