"""The grammar of faults, and the table that documents it."""

from __future__ import annotations

import math
import re

import pytest

import holystream_nb.simulator as package
from holystream_nb.simulator.faults import DROP, FaultError, Faults, parse, registry

EXAMPLES = {"N": "2", "S": "2", "R": "2", "WORD": "word", "HOST": "host", "STATUS": "500", "CODE": "1011"}


def test_table_in_the_docstring_is_the_registry() -> None:
    """The package's docstring lists exactly the faults of the registry, in order, with the same words."""
    documented = " ".join(line for line in (package.__doc__ or "").splitlines() if line.startswith("    "))
    expected = " ".join(f"{entry.usage} {entry.transport} {entry.meaning}" for entry in registry())
    assert documented.split() == expected.split()


def test_values_are_read() -> None:
    """Counts, seconds, words and bare names become typed values."""
    faults = parse("cut=5, stall=2.5 ,no-done,, bytes", "rate=max,finish=stop,fail=drop")
    wanted = Faults(cut=5, stall=2.5, no_done=True, bytes=1, rate=math.inf, finish="stop", fail=DROP)
    assert faults == wanted


def test_header_wins_over_suffix() -> None:
    """The later source overrides what both name, and keeps the rest."""
    assert parse("cut=5,bom", "cut=7") == Faults(cut=7, bom=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ct=5", "no fault `ct`"),
        ("cut=five", "whole number"),
        ("cut", "whole number"),
        ("cut=-1", "whole number"),
        ("bytes=0", "1 or more"),
        ("stall=nan", "seconds"),
        ("stall=inf", "seconds"),
        ("rate=0", "tokens a second"),
        ("fail=200", "400 to 599"),
        ("bom=1", "has no value"),
        ("role=clown", "one of only, null"),
        ("finish=a b", "one word"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, words: str) -> None:
    """A fault that does not exist, or a value it cannot have, is an error that says so."""
    with pytest.raises(FaultError, match=re.escape(words)):
        parse(text)


def test_every_bare_value_and_choice_parses() -> None:
    """Every word that the table offers is accepted."""
    for entry in registry():
        name, _, shown = entry.usage.partition("=")
        for word in shown.split("|"):
            value = {"N": "2", "S": "2", "R": "2", "WORD": "word", "HOST": "host", "STATUS": "500", "CODE": "1011"}.get(
                word, word
            )
            assert parse(f"{name}={value}" if value else name) != Faults()
