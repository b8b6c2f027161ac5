"""The rule for tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holystream_nb.simulator.tokens import tokenize


def test_words_carry_their_space_and_scripts_stand_alone() -> None:
    """A word has the space before it; CJK characters and punctuation stand singly; line ends stay together."""
    assert tokenize("Hello, big world!\n\n- é模拟 x1  y") == [
        "Hello", ",", " big", " world", "!", "\n\n", "-", " é", "模", "拟", " x1", " ", " y",
    ]  # fmt: skip


@given(st.text())
def test_nothing_is_lost(text: str) -> None:
    """The tokens of any text, joined, are the text."""
    assert "".join(tokenize(text)) == text
