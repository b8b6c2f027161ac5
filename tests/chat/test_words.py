"""Traits and messages of the two halves, compared word by word: `chat/widget.py` and `frontend/src/chatprotocol.ts`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import holystream_nb
from holystream_nb.chat import policy
from holystream_nb.chat.conversation import Answer
from holystream_nb.chat.widget import EXAMPLES, PanelView

PACKAGE = Path(holystream_nb.__file__).parent
PROTOCOL = PACKAGE / "frontend" / "src" / "chatprotocol.ts"


def typescript() -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", PROTOCOL.read_text("utf-8"), flags=re.DOTALL)


def fields(interface: str, source: str) -> dict[str, str]:
    found = re.search(rf"interface {interface}(?: extends \w+)? \{{(.*?)\n\}}", source, re.DOTALL)
    assert found is not None, interface
    return dict(re.findall(r"(\w+)\??: ([^;]+);", found[1]))


KINDS = {
    "List": r"\w+\[\]",
    "Unicode": "string",
    "Bool": "boolean",
    "Float": r"number \| null",
    "Int": r"number( \| null)?",
}


def test_the_traits_are_the_same_with_the_same_types() -> None:
    """A trait that only one side knows is a feature that does not work."""
    ours = {
        name: type(trait).__name__
        for name, trait in PanelView.class_traits(sync=True).items()
        if name in PanelView.__dict__ and not name.startswith("_")
    }
    theirs = fields("PanelTraits", typescript())
    assert sorted(ours) == sorted(theirs)
    for name, kind in ours.items():
        assert re.fullmatch(KINDS[kind], theirs[name]), name


def test_every_kind_of_message_is_on_both_sides() -> None:
    """What the kernel sends, and what it heeds."""
    source = typescript()
    tree = ast.parse(Path(policy.__file__).read_text("utf-8"))
    heeded = {
        pattern.value.value
        for match in ast.walk(tree)
        if isinstance(match, ast.MatchMapping)
        for key, pattern in zip(match.keys, match.patterns, strict=True)
        if isinstance(key, ast.Constant) and key.value == "kind" and isinstance(pattern, ast.MatchValue)
        if isinstance(pattern.value, ast.Constant)
    }
    to_panel = re.search(r"type ToPanel =(.*?);\n\n?", source + "\n\n", re.DOTALL)
    assert to_panel is not None
    assert heeded == set(re.findall(r'kind: "(\w+)"', source[to_panel.start() :]))
    from_panel = set(re.findall(r'^  kind: "(\w+)"', source, re.MULTILINE))
    assert from_panel == {"conversation", "added", "cut", "chosen", "turn", "said", "beat"}
    sent = set(re.findall(r'(?:_number\(|"kind": )"(\w+)"', Path(policy.__file__).read_text("utf-8")))
    assert from_panel - {"turn"} <= sent


def test_a_drawn_answer_has_the_fields_of_a_lane() -> None:
    """An answer out of a file is drawn by the same code as one that streams."""
    source = (PROTOCOL.parent / "protocol.ts").read_text("utf-8")
    lane = {*fields("LaneState", source), *fields("Standing", source)}
    assert set(Answer("m", "p", "", "m", "done", "").drawn()) == lane


def test_there_are_three_examples() -> None:
    """The empty state's."""
    assert len(EXAMPLES) == len(set(EXAMPLES)) == 3
