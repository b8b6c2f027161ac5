"""Single characters: what a reader can see, what is significant to Markdown, and the limits of size."""

from __future__ import annotations

import re

from ...wire.values import well_formed

LONGEST = 1_000_000
"""Characters; a longer answer is shown as plain text."""

MARKS, LINES, CELLS, DEPTH, GROWTH = 50_000, 15_000, 100_000, 20, 8
"""Significant characters, lines, table cells and levels of nesting that are parsed; how much longer a result may be."""

ADDRESS_SHOWN = 300
"""Characters of an address that are shown (a data: address can be a megabyte)."""

BREAK = "\ufdd0"  # a noncharacter, so never in the text: before what may have to stand apart
IMAGE = "🖼"


MARK = re.compile(r"[\[\]*_~`|<>&\\$!#]")
_SHOWN = (
    dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xFDD0, 0xFDF0)), "\ufffd")
    | {(plane << 16) + last: "\ufffd" for plane in range(17) for last in (0xFFFE, 0xFFFF)}
    # Text that runs backwards hides what it says: https://trojansource.codes
    | {c: f"⟨U+{c:04X}⟩" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    | {0x09: "\t", 0x0A: "\n", 0x0B: " ", 0x0C: " ", 0x0D: "\n", 0x85: " ", 0x2028: "\n", 0x2029: "\n", 0xFEFF: ""}
)


def readable(text: str) -> str:
    """*text* with one kind of line end, and without what a reader cannot see or a parser may cut at."""
    return well_formed(text).replace("\r\n", "\n").translate(_SHOWN)


def flat(text: str) -> str:
    """*text* that came out of entities, which can stand for any character, as readable as the rest and on one line."""
    return readable(text).replace("\n", " ")


def longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def cells(text: str) -> int:
    """At most so many cells have the tables of *text*: short rows are filled up to the columns of the longest."""
    groups = (group.split("\n") for group in text.split("\n\n"))
    return sum(len(lines) * max(line.count("|") for line in lines) for lines in groups)
