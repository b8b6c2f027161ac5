"""Reasoning in tags at the start of an answer's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.wire.think import Think, parted


def run(*pieces: str, after: list[Event] | None = None) -> tuple[str, str, Think]:
    """The reasoning and the text of an answer that comes in these pieces, a read each."""
    think = Think()
    events: list[Event] = []
    for read, piece in enumerate(pieces):
        events += think.take([Text(piece, read)])
    events += think.take(after or [])
    events += think.close()
    said = {kind: "".join(e.text for e in events if isinstance(e, kind)) for kind in (Reasoning, Text)}
    return said[Reasoning], said[Text], think


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<thought>", "</thought>"),
        ("◁think▷", "◁/think▷"),
        ("[THINK]", "[/THINK]"),
        ("<reasoning>", "</reasoning>"),
        ("<seed:think>", "</seed:think>"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ],
)
def test_tags_at_the_start_are_reasoning(begin: str, end: str) -> None:
    """Each well-known pair, with space around it that belongs to neither."""
    reasoning, text, think = run(f"\n{begin}a <b> c{end}\n\nanswer {begin}x{end}")
    assert (reasoning, text) == ("a <b> c", f"answer {begin}x{end}")
    assert think.sent == f"\n{begin}a <b> c{end}\n\n"


@given(st.data())
def test_any_split_gives_the_same(data: st.DataObject) -> None:
    """Wherever the pieces are cut, reasoning, text and what was sent are the same."""
    whole = data.draw(
        st.sampled_from(
            [
                *(
                    "<think>ab</thin</think> \n{}",
                    "<thinkin",
                    " <think",
                    "<think>a</thi",
                    "plain",
                    "a<think>b</think>c",
                ),
                *("<think>\na</think>\n<think>b </think> c", "<think>\n\n</think>\n\na", "\n</think>\n\na", "</thin a"),
                f"{' ' * 300}<think>a</think>b",
            ]
        )
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reasoning, text, think = run(*pieces)
    once, said, at_once = run(whole)
    assert (reasoning, text, think.sent) == (once, said, at_once.sent)
    assert think.sent + text == whole


def test_without_tags_the_events_come_as_they_came() -> None:
    """A first token that is space, or looks like a tag, keeps its own stamp and its own event."""
    think = Think()
    assert think.take([Text("\n", 1)]) == []
    assert think.take([Text("<th", 2)]) == []
    assert think.take([Text("e>", 3), Text("x", 3)]) == [Text("\n", 1), Text("<th", 2), Text("e>", 3), Text("x", 3)]
    assert not think.is_open


@pytest.mark.parametrize("after", [Finish("stop", 2), ToolCallPart(0, "c", "f", "", 2)])
def test_what_is_held_back_comes_before_what_ends_the_text(after: Event) -> None:
    """Half a tag is text, and stands before the call or the end that follows it."""
    think = Think()
    assert think.take([Text("<thi", 1), Usage(read=1), after]) == [Usage(read=1), Text("<thi", 1), after]


def test_reasoning_that_never_ends_is_no_text() -> None:
    """A limit may end it: all of it was reasoning."""
    assert run("<think>", "ab", "c</thi")[:2] == ("abc</thi", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Okay\n</think>\n\nanswer </think>", ("Okay", "Okay\n</think>\n\n", "answer </think>")),
        ("Okay\n </think>", ("Okay", "Okay\n </think>", "")),
        ("Okay</think>answer", None),
        ("It ends with\n`</think>`\nthere", None),
        ("```\na\n</think>\n```", None),
        ("It is <think>\na\n</think>\nthere", None),
        ("\n</think>\na", None),
    ],
)
def test_an_end_alone_on_its_line_parts_reasoning_from_the_answer(
    text: str, found: tuple[str, str, str] | None
) -> None:
    """A template began it (DeepSeek R1, Qwen 3 Thinking, QwQ); what speaks of tags has a beginning, or is code."""
    assert parted(text) == found


def test_an_end_without_a_beginning_is_text_while_it_comes() -> None:
    """What came before it has been shown as the answer."""
    assert run("ab</think>c")[:2] == ("", "ab</think>c")


def test_an_end_before_anything_is_said_is_no_text() -> None:
    """The prompt began the reasoning, or a field of its own has it: the tag that is left over says nothing."""
    reasoning, text, think = run("\n</thi", "nk>\n\nanswer </think>")
    assert (reasoning, text, think.sent) == ("", "answer </think>", "\n</think>\n\n")


def test_tags_around_space_are_no_reasoning() -> None:
    """A model that was told not to think (Qwen 3) writes them, and nothing is to be folded."""
    think = Think()
    assert think.take([Text("<think>\n", 1), Text("\n", 2), Text("</think>\n\na", 3)]) == [Text("a", 3)]
    assert think.sent == "<think>\n\n</think>\n\n"


def test_reasoning_may_come_in_several_tags() -> None:
    """Before the answer: a template may write an empty pair, and the model its own behind it."""
    assert run("<think></think>\n<think>a</think> <thinking>b</thinking>c")[:2] == ("a\n\nb", "c")


def test_reasoning_in_its_own_field_goes_on() -> None:
    """The reader gets both in their order, and no stamp before an earlier one."""
    think = Think()
    assert think.take([Text("\n", 1), Reasoning("a", 2), Text("<think>b</think>c", 3)]) == [
        Text("\n", 1),
        Reasoning("a", 2),
        Reasoning("b", 3),
        Text("c", 3),
    ]
