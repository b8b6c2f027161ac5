"""Which tool call a piece belongs to. No I/O, no clock."""

from __future__ import annotations

from typing import Any

import msgspec

from holystream_nb.events import ToolCallPart


class Call:
    """A tool call as far as it has come."""

    __slots__ = ("arguments", "ended", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.ended = False

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object, so that nothing can follow."""
        text = "".join(self.arguments)
        if not text.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(text), dict)
        except (ValueError, RecursionError):
            return False


class Calls:
    """The tool calls of one answer."""

    __slots__ = ("_by_id", "_by_index", "_calls")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int) -> Call:
        return self._calls[index]

    def part(self, index: Any, id: str, name: str, arguments: str, read: int) -> ToolCallPart:
        """The part of a call, with `id` and `name` only where they are new."""
        call = self._call(index, id, name, arguments)
        if type(index) is int:
            self._by_index[index] = call
        new_id = "" if call.id else id
        new_name = "" if call.name else name
        call.id = call.id or id
        call.name = call.name or name
        if id:
            self._by_id[id] = call
        if arguments:
            call.arguments.append(arguments)
        return ToolCallPart(call.index, new_id, new_name, arguments, read)

    def _call(self, index: Any, id: str, name: str, arguments: str) -> Call:
        """The call that a part belongs to, or a new one.

        Indexes may start anywhere, be missing, or be 0 for every call; ids may be missing, "", the same for every part,
        or another one for every part; the name may come with every part.
        """
        numbered = type(index) is int
        call = self._by_index.get(index) if numbered else self._calls[-1] if self._calls else None
        known = self._by_id.get(id) if id else None
        if known is not None and not (numbered and call is None and name):
            same = not (name and known.name and name != known.name)
            return known if same else self._new_call()
        if call is None:
            return self._new_call() if id or name or not self._calls else self._calls[-1]
        if id and call.id:  # and they differ: a new call says its name, another id alone does not make one
            return self._new_call() if name or not numbered else call
        if name and call.name and (name != call.name or (arguments.lstrip().startswith("{") and call.is_whole())):
            return self._new_call()
        return call

    def _new_call(self) -> Call:
        self._calls.append(Call(len(self._calls)))
        return self._calls[-1]

    # what is no ordinary chunk
