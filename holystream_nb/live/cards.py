"""A tool's call in words, the same in the live view, in the saved output and in the terminal.

What a model wrote and what a tool returned are text, never more: without control characters, without marks that turn
text round, and cut at a bound that is said.
"""

from __future__ import annotations

from typing import Any, Final

from ..tools.call import Call
from .figures import duration
from .harmless import readable

ARGUMENTS_SHOWN: Final = 20_000
"""Characters; whoever allows a call should have seen what with."""
WRITING_SHOWN: Final = 2_000
RESULT_SHOWN: Final = 4_000


def card(call: Call) -> dict[str, Any]:
    """The call as the view takes it."""
    return {
        "number": call.number,
        "name": readable(call.name),
        "arguments": readable(call.arguments[:WRITING_SHOWN])
        if call.state == "writing"
        else cut(call.arguments, ARGUMENTS_SHOWN),
        "state": call.state,
        "result": cut(call.result, RESULT_SHOWN),
        "error": cut(call.error, RESULT_SHOWN),
        "time": "" if call.seconds is None else duration(call.seconds),
    }


def cut(text: str, limit: int) -> str:
    """The readable beginning of a text; that something is missing is said at its end."""
    if len(text) <= limit:
        return readable(text)
    return f"{readable(text[:limit])}\n… ({len(text) - limit:,} more characters are not shown)"


def browser_length(text: str) -> int:
    """The length of a text as a browser counts it, in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def ending(call: Call) -> str:
    """How a call ended: its time, or why it has no result."""
    if call.state == "done":
        return duration(call.seconds or 0.0)
    why = cut(call.error, RESULT_SHOWN)
    return why if why.startswith(call.state) else f"{call.state}: {why}"


def plain(call: Call) -> str:
    """A call as text: its line, then what it returned."""
    shown = card(call)
    return f"[{shown['name']}({shown['arguments']}) · {ending(call)}]\n{shown['result']}".rstrip("\n")
