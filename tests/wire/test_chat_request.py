"""Requests in Chat Completions' format: what has no place there is given where it has one."""

from __future__ import annotations

from typing import Any

from holystream_nb.providers.table import provider
from holystream_nb.wire.chat import CHAT

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}


def written(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    asked = {"model": "m", "messages": list(messages), "stream": True}
    given: list[dict[str, Any]] = CHAT.body(asked, provider("openai"))["messages"]
    return given


def result(id: str, *parts: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": list(parts)}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def test_pictures_of_results_are_given_by_the_user() -> None:
    """A tool's message is text alone; the pictures of all results of a round stand behind the last of them."""
    asks = {"role": "user", "content": [text("Plot it."), PICTURE]}
    calls = {"role": "assistant", "content": None, "tool_calls": []}
    plain = {"role": "tool", "tool_call_id": "b", "content": "7"}
    says = {"role": "assistant", "content": "Here."}
    round_of_three = [result("a", text("A plot."), PICTURE), plain, result("c", PICTURE, PICTURE)]
    wanted = [
        *({"role": "tool", "tool_call_id": "a", "content": "A plot."}, plain),
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {
            "role": "user",
            "content": [text("The pictures of a:"), PICTURE, text("The pictures of c:"), PICTURE, PICTURE],
        },
    ]
    assert written(asks, calls, *round_of_three) == [asks, calls, *wanted]
    assert written(asks, calls, *round_of_three, says) == [asks, calls, *wanted, says]
