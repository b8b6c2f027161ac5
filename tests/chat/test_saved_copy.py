"""The conversation as plain output: harmless wherever it is read, folded, and no dearer at its five hundredth turn."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from live.payloads import PAYLOADS
from live.test_harmless import Page, commonmark, complaints, github, nbconvert

from holystream_nb.chat.conversation import OPEN, Answer, Conversation, Label, Turn
from holystream_nb.chat.markdown import PIECE, SavedCopy, markdown
from holystream_nb.tools.call import Call

ANSWER = Answer("gpt-4.1", "simulator", "simulator", "gpt-4.1", "done", "Two *words*.", figures=("TTFT 3 ms", "$0.01"))


def turn(name: str, *answers: Answer, question: str = "Why?", chosen: int = 0) -> Turn:
    labels = tuple(Label(each.label, each.provider, each.note) for each in answers)
    return Turn(name, question, labels, answers, chosen)


def hostile(payload: str) -> Turn:
    """A turn in which every text that anybody can write is this one."""
    call = Call(0, 1, 0, payload, payload, payload, "done", result=payload, seconds=0.1)
    failed = replace(call, number=1, at=len(payload), state="failed", error=payload)
    bad = replace(
        ANSWER,
        label=payload,
        text=payload,
        reasoning=payload,
        error=payload,
        thought=payload,
        calls=(call, failed),
    )
    return replace(turn(payload, bad, question=payload), verdict=payload)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [commonmark, github, nbconvert])
def test_nothing_acts_in_the_copy_of_a_hostile_conversation(draw: Callable[[str], str]) -> None:
    """Question, answer, reasoning, error and the model's name, of every payload beside every other."""
    turns = [hostile(payload) for payload in PAYLOADS.values()]
    for start in range(0, len(turns), 25):
        data, _ = SavedCopy(is_open=False).pieces(Conversation(tuple(turns[start : start + 25])), at_most=1)[0]
        html = draw(data["text/markdown"])
        acting = [each for each in complaints(html) if each not in ("<details>", "<summary>")]
        assert acting == []
        page = Page(html)
        assert page.structure.count("details") == page.structure.count("/details")
        assert page.structure[-1] == "/details"


def test_the_copy_is_a_closed_fold_with_everything_in_it() -> None:
    """Question, reasoning, answer, figures, failure, which answer was chosen, and how they compare."""
    failed = replace(ANSWER, label="b", text="", state="failed", error="429: too many requests", figures=())
    compared = replace(turn("1", replace(ANSWER, reasoning="Hm.", thought="3 tokens"), failed), verdict="fastest: a")
    talk = Conversation((compared,))
    data, metadata = SavedCopy(is_open=False).pieces(talk, at_most=1)[0]
    text = data["text/markdown"]
    assert text.startswith("<details><summary>Saved copy · 1 question</summary>\n\n")
    assert text.endswith("\n\n</details>")
    for part in ("Why?", "Hm.", "Two *words*.", "TTFT 3 ms", "429: too many requests", "failed", "chosen", "fastest"):
        assert part in text
        assert part in data["text/plain"]
    assert metadata == {"holystream": {"answers": [{}, {}]}}


def test_where_nobody_looks_on_the_fold_is_open() -> None:
    """A notebook that was executed shows what it did."""
    assert SavedCopy(is_open=True).pieces(Conversation())[0][0]["text/markdown"].startswith("<details open>")


def test_control_characters_reach_no_terminal() -> None:
    """In the text twin."""
    data, _ = SavedCopy(is_open=False).pieces(Conversation((hostile("\x1b[31mred"),)))[0]
    assert "\x1b" not in data["text/plain"] + data["text/markdown"]


def test_a_very_long_conversation_is_saved_as_text() -> None:
    """Drawing that much Markdown would block the page."""
    talk = Conversation(tuple(turn(f"{n}", replace(ANSWER, text="word " * 2000)) for n in range(40)))
    data, _ = SavedCopy(is_open=False).pieces(talk, at_most=1)[0]
    assert list(data) == ["text/plain"]
    assert "larger than 300,000 bytes" in data["text/plain"]


def test_one_more_turn_changes_the_last_piece_alone() -> None:
    """However long the conversation is, the outputs that a page draws again are of a few turns."""
    copy = SavedCopy(is_open=False)
    talk = Conversation(tuple(turn(f"{n}", replace(ANSWER, text="Some words. " * 200)) for n in range(400)))
    before = copy.pieces(talk)
    after = copy.pieces(talk.added(turn("new", ANSWER)))
    changed = [piece for piece, was in zip(after, [*before, None], strict=False) if piece != was]
    assert len(changed) == 1
    assert all(len(data["text/markdown"]) < 1.1 * PIECE for data, _ in after)
    titles = [re.search(r"questions? (\d+)(?: to (\d+))?", data["text/markdown"]) for data, _ in after]
    assert titles[0] is not None
    assert titles[0][1] == "1"
    assert titles[-1] is not None
    assert titles[-1][2] == "401"
    assert sum(data["text/markdown"].count("**You**") for data, _ in after) == 401


def test_where_no_output_can_be_added_the_last_takes_all() -> None:
    """Nothing is left out."""
    talk = Conversation(tuple(turn(f"{n}", replace(ANSWER, text="Some words. " * 200)) for n in range(40)))
    pieces = SavedCopy(is_open=False).pieces(talk, at_most=2)
    assert [data["text/markdown"].count("**You**") for data, _ in pieces] == [4, 36]


def test_only_new_turns_are_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 turns: one more costs one more."""
    from holystream_nb.chat import markdown as module

    written: list[str] = []

    def count(each: Turn) -> str:
        written.append(each.id)
        return "x"

    monkeypatch.setattr(module, "turn_markdown", count)
    copy = SavedCopy(is_open=False)
    talk = Conversation(tuple(turn(f"{n}", ANSWER) for n in range(500)))
    copy.pieces(talk)
    written.clear()
    copy.pieces(talk.added(turn("new", ANSWER)))
    copy.pieces(talk.chose("7", OPEN))
    assert written == ["new", "7"]


@pytest.mark.slow
def test_five_hundred_turns_are_written_in_time() -> None:
    """A turn's end in a long conversation: without drawing anything again, far below what anybody notices."""
    copy = SavedCopy(is_open=False)
    talk = Conversation(tuple(turn(f"{n}", replace(ANSWER, text="Some *words*. " * 30)) for n in range(500)))
    copy.pieces(talk)
    started = time.perf_counter()
    copy.pieces(talk.added(turn("new", ANSWER)))
    assert time.perf_counter() - started < 0.5


def test_markdown_of_nothing_says_so() -> None:
    """And of something it is the copy without its fold."""
    assert markdown(Conversation()) == "No question was asked yet.\n"
    text = markdown(Conversation((turn("1", ANSWER), turn("2", ANSWER))))
    assert len(re.findall(r"^\*\*You\*\*$", text, re.MULTILINE)) == 2
    assert "<details>" not in text
