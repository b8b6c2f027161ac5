"""A conversation as a value: what goes on, what a model is told, what the program reads."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holystream_nb.chat.conversation import OPEN, Answer, Conversation, Label, Turn
from holystream_nb.chat.files import load, save
from holystream_nb.chat.settings import Settings
from holystream_nb.chat.spent import Spent
from holystream_nb.errors import SetupError
from holystream_nb.events import Usage
from holystream_nb.money.card import LOCAL, SIMULATED, UNKNOWN
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing
from holystream_nb.tools.call import Call


def answer(label: str, text: str, **changes: Any) -> Answer:
    return replace(Answer(label, "simulator", "simulator", label, "done", text), **changes)


def turn(name: str, *answers: Answer, chosen: int = 0) -> Turn:
    labels = tuple(Label(each.label, each.provider, each.note) for each in answers)
    return Turn(name, f"{name}?", labels, answers, chosen)


def told(conversation: Conversation, label: str = "a", system: str = "") -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in conversation.history(label, system)]


def test_a_model_is_told_questions_and_answers_in_their_order() -> None:
    """With the system prompt first, if there is one."""
    talk = Conversation((turn("1", answer("a", "one")), turn("2", answer("a", "two"))))
    assert told(talk) == [("user", "1?"), ("assistant", "one"), ("user", "2?"), ("assistant", "two")]
    assert told(talk, system="Be terse.")[0] == ("system", "Be terse.")
    assert told(talk, system="  ")[0] == ("user", "1?")


def test_a_question_without_an_answer_is_not_told() -> None:
    """A failed empty answer would be a lie in the model's mouth; a broken-off one is told as far as it came."""
    failed = turn("1", answer("a", "", state="failed", error="429"))
    stopped = turn("2", answer("a", "half", state="stopped"))
    assert told(Conversation((failed, stopped))) == [("user", "2?"), ("assistant", "half")]


def test_of_several_answers_the_chosen_one_goes_on() -> None:
    """Until then each model goes on with its own, and a newcomer with the first that said anything."""
    compared = turn("1", answer("a", ""), answer("b", "bee"), answer("c", "sea"), chosen=OPEN)
    talk = Conversation((compared,))
    assert told(talk, "c")[1] == ("assistant", "sea")
    assert told(talk, "a")[1] == told(talk, "d")[1] == ("assistant", "bee")
    assert told(talk.chose("1", 2), "b")[1] == ("assistant", "sea")


def test_every_change_is_a_new_value() -> None:
    """Nobody who holds a conversation sees it change."""
    first = Conversation((turn("1", answer("a", "one")),))
    second = first.added(turn("2", answer("a", "two")))
    assert [each.id for each in second.turns] == ["1", "2"]
    assert second.cut(1) == first
    assert len(first.turns) == 1
    assert second.answered("2", [answer("a", "other")]).turns[1].answers[0].text == "other"
    assert second.turns[1].answers[0].text == "two"


@pytest.mark.parametrize("lane", [1, -2])
def test_what_is_not_there_cannot_be_chosen(lane: int) -> None:
    """Neither an answer nor a turn."""
    talk = Conversation((turn("1", answer("a", "one")),))
    with pytest.raises(SetupError, match="no answer"):
        talk.chose("1", lane)
    with pytest.raises(SetupError, match="not there any more"):
        talk.index("2")


def test_messages_have_everything_also_what_failed() -> None:
    """For the program: role and content, and the reply's figures."""
    talk = Conversation(
        (turn("1", answer("a", "one", record={"ttft_ms": 3.0}), answer("b", "", error="no"), chosen=0),)
    )
    user, first, second = talk.messages()
    assert user == {"role": "user", "content": "1?"}
    assert (first["role"], first["content"], first["figures"], first["chosen"]) == (
        "assistant",
        "one",
        {"ttft_ms": 3.0},
        True,
    )
    assert (second["model"], second["error"], second["chosen"]) == ("b", "no", False)


def test_an_answer_that_still_runs_is_truncated_in_what_is_kept() -> None:
    """A file never says that something streams."""
    talk = Conversation((turn("1", answer("a", "ha", state="streaming"), answer("b", "done"), chosen=OPEN),))
    assert [each.state for each in talk.ended().turns[0].answers] == ["truncated", "done"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(()), "1 to 4"),
        (Settings(("a", "b", "c", "d", "e")), "not to 5"),
        (Settings(("a", "a")), "twice"),
        (Settings((" ",)), "no name"),
        (Settings(("a",), temperature=2.1), "2.1"),
        (Settings(("a",), temperature=float("nan")), "nan"),
        (Settings(("a",), max_tokens=0), "max_tokens 0"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: Settings, named: str) -> None:
    """In one sentence, before anything is sent."""
    with pytest.raises(SetupError, match=named):
        settings.checked()


def reply(cost: Cost, *, exact: bool = True) -> Reply:
    usage = Usage(prompt_tokens=10, completion_tokens=5, exact=exact)
    return Reply("x", "", (), "stop", usage, Timing(submitted=0), cost, "m", "p")


def priced(usd: str, note: str = "") -> Cost:
    return Cost(Decimal(usd), Decimal(usd), True, "", "", note)


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([], ""),
        ([priced("0.01"), priced("0.02")], "2 requests · 10 tokens · $0.03"),
        ([priced("0.00048", SIMULATED)], "1 request · 5 tokens · $0.00048 (simulated)"),
        (
            [priced("0.01"), priced("0.00048", SIMULATED)],
            "2 requests · 10 tokens · $0.01 and $0.00048 (simulated)",
        ),
        (
            [priced("0.01"), Cost(None, None, True, "", "", UNKNOWN)],
            "2 requests · 10 tokens · ≈$0.01 · 1 of unknown cost",
        ),
        ([Cost(None, None, True, "", "", UNKNOWN)], "1 request · 5 tokens · cost unknown"),
        ([Cost(None, None, True, "", "", LOCAL)], "1 request · 5 tokens · local, no price"),
    ],
)
def test_what_was_spent_says_what_is_unknown(costs: list[Cost], words: str) -> None:
    """The header's total."""
    spent = Spent()
    for each in costs:
        spent = spent.plus(reply(each))
    assert str(spent) == words
    assert spent.usage.total_tokens == 15 * len(costs)


def test_tokens_counted_here_are_about() -> None:
    """One answer without a usage report makes the sum approximate."""
    assert "≈5 tokens" in str(Spent().plus(reply(priced("0.01"), exact=False)))


def test_what_a_service_wants_back_stays_with_its_round(tmp_path: Path) -> None:
    """Of each round of calls, then of what was said last; also in a file, and without one where a round is none."""
    calls = [Call(n, n + 1, 0, f"c{n}", "f", "{}", "done", "ok") for n in range(2)]
    echoes = tuple({"wire": "chat", "from": "a:b", "content": {"reasoning_content": text}} for text in ("x", "y", "z"))
    said = answer("a", "done", calls=tuple(calls), echoes=echoes)
    save(tmp_path / "talk.json", Conversation((turn("1", said),)), Settings(models=("a",)), Spent())
    (loaded,) = load(tmp_path / "talk.json").turns
    for each in (said, loaded.answers[0]):
        told = [message for message in each.messages if message["role"] == "assistant"]
        assert [message["echo"]["content"]["reasoning_content"] for message in told] == ["x", "y", "z"]
    assert all("echo" not in message for message in replace(said, echoes=()).messages)
