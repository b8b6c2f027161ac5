"""Tables as text."""

from __future__ import annotations

from holystream_nb.live.table import CELL, aligned


def test_what_is_long_goes_on_in_its_own_column() -> None:
    """A terminal would break the whole line anywhere, and the columns with it; words that are long stay whole."""
    address = f"http://127.0.0.1:8080/{'v' * CELL}"
    lines = aligned([["row", "seen", "what to do"], ["a", "word " * 20, "one"], ["b", address, ""]]).splitlines()
    assert lines[1:4] == [
        f"a    {('word ' * 12).strip().ljust(len(address))}  one",
        f"     {('word ' * 8).strip()}",
        f"b    {address}",
    ]
