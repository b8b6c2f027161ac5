"""A server's output as lines of bounded length, however it is split."""

from __future__ import annotations

import codecs
import json
import time
from typing import Any

import pytest

from holystream_nb.tools import mcp_lines
from holystream_nb.tools.mcp_lines import LINES, register


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Decodes the pieces one after the other; a line may have 1,000 characters."""
    register()
    monkeypatch.setattr(mcp_lines, "LINE_CHARACTERS", 1000)

    def decoded(*pieces: bytes) -> list[str]:
        decoder = codecs.getincrementaldecoder(LINES)("replace")
        text = [decoder.decode(piece) for piece in pieces]
        assert all(not each or each.endswith("\n") for each in text)
        return "".join(text).splitlines()

    return decoded


@pytest.mark.parametrize("size", [1, 3, 100])
def test_lines_are_the_same_however_they_are_split(decode: Any, size: int) -> None:
    """Also in the middle of a character; what has not ended has not come."""
    data = 'one\n{"two": "für ☀"}\n\nthree\nfour'.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert decode(*pieces) == ["one", '{"two": "für ☀"}', "", "three"]


@pytest.mark.parametrize(
    ("message", "id"),
    [
        ('{"id": 7, "result": "X"}', 7),
        ('{"jsonrpc":"2.0","id":7,"result":{"id": 8, "a": "X"}}', 7),
        ('{"result": {"id": 8, "a": "X"}, "id" :7}', 7),
        ('{"result":"X","id":"a-7","jsonrpc":"2.0"}', "a-7"),
    ],
)
def test_a_line_without_end_is_an_error_of_its_request(decode: Any, message: str, id: Any) -> None:
    """Its number stands before it or after it; the lines around it stay."""
    data = f"before\n{message.replace('X', 'x' * 5000)}\nafter\n".encode()
    for pieces in ([data], [data[:3000], data[3000:]], [data[at : at + 64] for at in range(0, len(data), 64)]):
        before, error, after = decode(*pieces)
        assert (before, after) == ("before", "after")
        assert json.loads(error)["id"] == id
        assert json.loads(error)["error"]["message"] == "its answer is longer than 1,000 characters"


def test_what_is_no_utf8_is_replaced(decode: Any) -> None:
    """A program of another locale may print a word in it: what follows is read."""
    assert decode(b"gr\xfc\xdfe\n", b"{}\n") == ["gr\ufffd\ufffde", "{}"]


def test_a_long_line_costs_no_more_time_than_a_short_one() -> None:
    """Time grows with the length alone, memory not at all."""
    register()
    decoder = codecs.getincrementaldecoder(LINES)("replace")
    began = time.process_time()
    for _ in range(500):
        assert decoder.decode(b"x" * 65_536) == ""
    assert time.process_time() - began < 1
    assert len(decoder.decode(b"\n")) < 10_000
