"""What a panel does, over the real simulator: the page's messages in their order, stops, cuts, compare, failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from copy import deepcopy
from typing import Any

import pytest
from patience import until

from holystream_nb import Simulator
from holystream_nb.chat import policy
from holystream_nb.chat.conversation import OPEN
from holystream_nb.chat.policy import News
from holystream_nb.chat.settings import Means, Settings
from holystream_nb.client.options import client_options
from holystream_nb.errors import SetupError
from holystream_nb.journal.values import Origin

Make = Callable[..., Any]


def replayed(page: Any) -> list[dict[str, Any]]:
    """The turns as a page has them that was there from the start: every message applied once and in order."""
    turns: list[dict[str, Any]] = []
    seq = 0
    for message in deepcopy(page.messages):
        kind = message["kind"]
        if kind == "turn":
            turn = next(each for each in turns if each["id"] == message["turn"])
            _replay(turn["keyframe"], message["message"])
        elif kind == "conversation":
            turns = list(message["turns"])
            seq = message["seq"]
        elif kind != "beat":
            seq += 1
            assert message["seq"] == seq
            if kind == "added":
                turns.append(message["turn"])
            elif kind == "cut":
                del turns[message["from"] :]
            elif kind == "chosen":
                next(each for each in turns if each["id"] == message["turn"])["chosen"] = message["lane"]
    return turns


def _replay(keyframe: dict[str, Any], message: dict[str, Any]) -> None:
    if message["kind"] == "snapshot":
        keyframe.update({name: value for name, value in message.items() if name != "kind"})
        return
    assert message["seq"] == keyframe["seq"] + 1
    keyframe["seq"] += 1
    if message["kind"] == "whole":
        keyframe.update(verdict=message["verdict"], whole=True)
        return
    lane = keyframe["lanes"][message["lane"]]
    if message["kind"] == "delta":
        lane["text"] += message["text"]
        lane["reasoning"] += message["reasoning"]
    else:
        lane.update({name: value for name, value in message.items() if name not in ("kind", "seq", "lane")})


async def test_an_answer_streams_to_the_page_and_ends_in_the_conversation(bench: Make) -> None:
    """The turn is announced first, its deltas come numbered, and the value has all of it."""
    b = bench("sim-reasoner#tokens=30")
    await b.ask("Why?")
    turn = b.last()
    assert [each["kind"] for each in b.page.messages[:2]] == ["added", "turn"]
    drawn = replayed(b.page)
    assert [each["question"] for each in drawn] == ["Why?"]
    lane = drawn[0]["keyframe"]["lanes"][0]
    assert (lane["text"], lane["reasoning"]) == (turn.answers[0].text, turn.answers[0].reasoning)
    assert lane["state"] == "done"
    assert lane["figures"] == list(turn.answers[0].figures)
    assert turn.answers[0].reasoning
    assert turn.answers[0].record["completion_tokens"]
    assert b.page.state["is_streaming"] is False
    assert b.page.state["total"].startswith("1 request")


async def test_a_page_that_comes_in_the_middle_gets_everything_and_goes_on(bench: Make) -> None:
    """A reload or a second view: the whole conversation, and then the same deltas without a gap."""
    b = bench("gpt-4.1#tokens=40,rate=100")
    first = b.chat.send("One").done
    await until(lambda: b.page.inner(b.last().id, "delta"))
    b.page.messages.clear()
    b.chat.hear({"kind": "ready", "page": "other"})
    await asyncio.wrap_future(first)
    conversation = b.page.of("conversation")[0]
    lane = conversation["turns"][0]["keyframe"]["lanes"][0]
    assert 0 < len(lane["text"]) < len(b.last().answers[0].text)
    b.page.messages = b.page.messages[b.page.messages.index(conversation) :]
    conversation["seq"] = 1
    assert replayed(b.page)[0]["keyframe"]["lanes"][0]["text"] == b.last().answers[0].text


async def test_a_later_page_gets_ended_answers_as_they_were_drawn(bench: Make) -> None:
    """Also the number of the last message, so that it waits for none."""
    b = bench("gpt-4.1#tokens=12", "nonsense")
    await b.ask()
    b.page.messages.clear()
    b.chat.hear({"kind": "missed"})
    keyframe = b.page.of("conversation")[0]["turns"][0]["keyframe"]
    assert keyframe["seq"] > 2
    assert [lane["state"] for lane in keyframe["lanes"]] == ["done", "failed"]
    assert keyframe["lanes"][1]["error"]
    b.chat.hear({"kind": "turn", "turn": b.last().id, "message": {"kind": "missed"}})
    assert b.page.inner(b.last().id, "snapshot")[0]["lanes"] == keyframe["lanes"]


async def test_a_page_that_asks_for_a_turn_that_is_gone_gets_the_conversation(bench: Make) -> None:
    """It has missed the cut: that is no mistake of the reader's, to whom nothing is said."""
    b = bench("gpt-4.1#tokens=4")
    await b.ask()
    turn = b.last().id
    b.chat.delete(turn)
    b.page.messages.clear()
    b.chat.hear({"kind": "turn", "turn": turn, "message": {"kind": "missed"}})
    assert [(each["kind"], each.get("turns")) for each in b.page.messages] == [("conversation", [])]


async def test_the_next_question_is_asked_with_the_history_and_the_settings_of_now(
    bench: Make, simulator: Simulator
) -> None:
    """The simulator says what it was asked before."""
    b = bench("gpt-4.1")
    await b.ask("Tell me about llamas.")
    b.chat.configure(Settings(("gpt-4.1",), system="Answer in 1 sentence.", max_tokens=5))
    await b.ask("What did I ask?")
    assert b.last().answers[0].record["completion_tokens"] <= 5
    assert b.last().answers[0].record["finish_reason"] == "length"
    b.chat.configure(Settings(("gpt-4.1",)))
    await b.ask("And now?")
    assert "asked before" in b.last().answers[0].text


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_a_stop_closes_the_connection_within_100_ms(bench: Make, simulator: Simulator) -> None:
    """By the service's own clock; what arrived stays, and is told to the model."""
    b = bench("gpt-4.1#rate=50,tokens=1000")
    running = b.chat.send("Hello")
    await until(lambda: len(b.page.inner(b.last().id, "delta")) > 3)
    stopped = time.perf_counter_ns()
    b.chat.hear({"kind": "stop"})
    replies = await asyncio.wrap_future(running.done)
    answer = b.last().answers[0]
    assert (answer.state, replies[0].finish_reason) == ("stopped", "stopped")
    assert answer.text

    def left() -> Any:
        return simulator.record(replies[0].request_id)["disconnected_ns"]

    await until(left)
    assert (left() - stopped) / 1e6 < 100
    assert b.chat.conversation.history("x")[1]["content"] == answer.text


async def test_one_lane_of_several_is_stopped(bench: Make) -> None:
    """The others go on to their end."""
    b = bench("gpt-4.1#stall=30,after=2", "deepseek-v3.2#tokens=9")
    running = b.chat.send("Hello")
    await until(lambda: b.page.inner(b.last().id, "delta"))
    b.chat.hear({"kind": "turn", "turn": b.last().id, "message": {"kind": "stop", "lane": 0}})
    await asyncio.wrap_future(running.done)
    assert [answer.state for answer in b.last().answers] == ["stopped", "done"]


async def test_a_stop_before_anything_was_sent(bench: Make) -> None:
    """The question stands there with an empty stopped answer, which no model is told."""
    b = bench("gpt-4.1#head=30")
    running = b.chat.send("Hello")
    b.chat.stop()
    await asyncio.wrap_future(running.done)
    assert b.last().answers[0].state == "stopped"
    assert b.chat.conversation.history("x") == []


async def test_a_failure_stays_in_the_conversation_and_is_asked_again(bench: Make) -> None:
    """Retry is regenerate: the failed turn goes, and the same question comes in its place."""
    b = bench("gpt-4.1#fail=401")
    await b.ask("Hello")
    failed = b.last()
    assert (failed.answers[0].state, failed.answers[0].text) == ("failed", "")
    assert "401" in failed.answers[0].error
    assert type(b.news[-1].error).__name__ == "KeyRefused"
    b.chat.configure(Settings(("gpt-4.1#tokens=3",)))
    b.chat.hear({"kind": "regenerate", "turn": failed.id})
    await until(lambda: b.last().answers)
    assert [turn.question for turn in b.chat.conversation.turns] == ["Hello"]
    assert b.last().answers[0].state == "done"
    assert b.news[-1].error is None
    assert [(each["kind"], each.get("from")) for each in b.page.messages if each["kind"] in ("cut", "added")] == [
        ("added", None),
        ("cut", 0),
        ("added", None),
    ]


async def test_a_setting_that_cannot_work_is_an_answer_s_failure(bench: Make, monkeypatch: Any) -> None:
    """No key: the sentence stands in the conversation, nothing was sent, and nothing is counted."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    b = bench("openai:gpt-4o")
    b.chat._means = Means()
    await b.ask()
    assert "OPENAI_API_KEY" in b.last().answers[0].error
    assert b.last().answers[0].state == "failed"
    assert b.news[-1].paid == ()
    assert type(b.news[-1].error).__name__ == "MissingKey"
    assert b.page.state["total"] == ""


async def test_an_edited_question_cuts_what_came_after_it(bench: Make) -> None:
    """Edit and resend in the middle."""
    b = bench("gpt-4.1#tokens=3")
    for text in ("One", "Two", "Three"):
        await b.ask(text)
    b.chat.hear({"kind": "edit", "turn": b.chat.conversation.turns[1].id, "text": "Zwei"})
    await until(lambda: not b.page.state["is_streaming"])
    assert [turn.question for turn in b.chat.conversation.turns] == ["One", "Zwei"]
    assert [turn["question"] for turn in replayed(b.page)] == ["One", "Zwei"]
    b.chat.hear({"kind": "delete", "turn": b.last().id})
    assert [turn.question for turn in b.chat.conversation.turns] == ["One"]
    b.chat.hear({"kind": "begin_anew"})
    assert b.chat.conversation.turns == ()
    assert replayed(b.page) == []
    assert b.page.state["total"].startswith("4 requests")


async def test_a_new_conversation_sets_the_one_before_aside(bench: Make) -> None:
    """With what has arrived of a running answer, and it is said; of nothing nothing is kept."""
    b = bench("gpt-4.1#rate=50,tokens=1000")
    b.chat.hear({"kind": "begin_anew"})
    assert b.aside == []
    running = b.chat.send("Hello")
    await until(lambda: b.page.inner(running.turn.id, "delta"))
    b.chat.hear({"kind": "begin_anew"})
    [kept] = b.aside
    assert kept.turns[0].answers[0].text
    assert kept.turns[0].answers[0].state == "truncated"
    assert b.page.said == ["Kept."]
    assert b.chat.conversation.turns == ()


async def test_another_panel_takes_over_what_is_arriving(bench: Make, simulator: Simulator) -> None:
    """The old page is told nothing more, and what it says does not count; nobody looking on, a page's answer ends."""
    b = bench("gpt-4.1#numbered,rate=100,tokens=60")
    b.chat.hear({"kind": "ready", "page": "old"})
    b.chat.hear({"kind": "send", "text": "Count"})
    await until(lambda: b.page.inner(b.last().id, "delta"))
    news: list[News] = []

    def take_over() -> None:
        b.chat.go_on(
            Settings(("gpt-4o",)),
            Means(client_options(base_url=simulator.url)),
            report=news.append,
            set_aside=lambda *_: "",
            where=Origin("panel", conversation="other"),
        )

    take_over()
    told = len(b.page.messages)
    new = bench().page
    new.messages.clear()
    b.chat.attach(new)
    b.chat.displayed()
    b.chat.hear({"kind": "ready", "page": "new"})
    await until(lambda: b.last().answers)
    assert len(b.page.messages) == told
    assert b.last().answers[0].text.split() == [f"{n}" for n in range(60)]
    assert new.of("conversation")[0]["turns"][0]["question"] == "Count"
    assert (news[0].is_streaming, news[-1].is_streaming, news[-1].settings.models) == (True, False, ("gpt-4o",))
    b.chat.configure(Settings(("gpt-4.1#rate=50,tokens=1000",)))
    b.chat.hear({"kind": "send", "text": "More"})
    take_over()
    await until(lambda: b.last().answers)
    assert b.last().answers[0].state == "stopped"


async def test_a_panel_that_takes_over_owes_nothing_to_the_pages_of_the_one_before(
    bench: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No beat is for them, and what was said to them is not said again."""
    monkeypatch.setattr(policy, "BEAT_S", 0.02)
    b = bench()
    b.chat.hear({"kind": "ready", "page": "old", "from": "old", "number": 1})
    b.chat.say("Something that was read.")
    b.chat.go_on(
        Settings(("gpt-4o",)),
        Means(client_options(base_url=simulator.url)),
        report=lambda news: None,
        set_aside=lambda *_: "",
        where=Origin("panel"),
    )
    new = bench().page
    b.chat.attach(new)
    b.chat.hear({"kind": "ready", "page": "new", "from": "new", "number": 1})
    assert new.of("conversation")[-1]["said"] is None
    told = new.state["told"]
    b.chat.hear({"kind": "have", "from": "new", "seq": b.chat._seq, "told": told, "at": 0})
    await asyncio.sleep(0.05)
    beats = len(new.of("beat"))
    await asyncio.sleep(0.2)
    assert len(new.of("beat")) == beats


async def test_what_is_cut_while_it_streams_is_stopped_and_paid(bench: Make, simulator: Simulator) -> None:
    """Its text comes nowhere any more; what it cost is counted."""
    b = bench("gpt-4.1#rate=50,tokens=1000")
    running = b.chat.send("Hello")
    await until(lambda: b.page.inner(running.turn.id, "delta"))
    b.chat.hear({"kind": "begin_anew"})
    after = len(b.page.messages)
    replies = await asyncio.wrap_future(running.done)
    assert replies[0].finish_reason == "stopped"
    assert [message for message in b.page.messages[after:] if message["kind"] == "turn"] == []
    assert b.page.state["is_streaming"] is False
    (paid,) = b.news[-1].paid
    assert (paid.reply, paid.requests, b.news[-1].replies) == (replies[0], replies, ())
    assert b.news[-1].conversation.turns == ()


async def test_regenerate_while_it_streams(bench: Make) -> None:
    """The first answer is stopped, the second is the one that stays."""
    b = bench("gpt-4.1#rate=50,tokens=1000")
    first = b.chat.send("Hello")
    await until(lambda: b.page.inner(first.turn.id, "delta"))
    b.chat.configure(Settings(("gpt-4.1#tokens=4",)))
    second = b.chat.regenerate()
    await asyncio.wrap_future(first.done)
    await asyncio.wrap_future(second.done)
    assert [turn.id for turn in b.chat.conversation.turns] == [second.turn.id]
    assert b.last().answers[0].state == "done"
    assert b.page.state["is_streaming"] is False


async def test_the_chosen_answer_goes_on_with_its_model(bench: Make) -> None:
    """Compare, then continue with this one."""
    b = bench("gpt-4.1#tokens=4", "deepseek-v3.2#tokens=5")
    await b.ask()
    assert b.last().chosen == OPEN
    b.chat.hear({"kind": "choose", "turn": b.last().id, "lane": 1})
    assert b.last().chosen == 1
    assert b.chat.settings.models == ("deepseek-v3.2#tokens=5",)
    assert b.page.state["models"] == ["deepseek-v3.2#tokens=5"]
    assert replayed(b.page)[0]["chosen"] == 1
    history = b.chat.conversation.history("gpt-4.1#tokens=4")
    assert history[1]["content"] == b.last().answers[1].text


async def test_several_answers_are_compared_when_all_have_ended(bench: Make) -> None:
    """Who was first to speak, and the like: to the page that looks on, to a later one, and in the value; not of one."""
    b = bench("gpt-4.1#tokens=4", "deepseek-v3.2#tokens=5")
    await b.ask()
    verdict = b.last().verdict
    assert verdict.startswith("first to speak: ")
    assert replayed(b.page)[0]["keyframe"]["verdict"] == verdict
    assert b.page.messages[-1]["message"] == {"kind": "whole", "seq": b.chat._drawn[b.last().id], "verdict": verdict}
    b.chat.hear({"kind": "missed"})
    assert b.page.of("conversation")[-1]["turns"][0]["keyframe"]["verdict"] == verdict
    b.chat.configure(Settings(("gpt-4.1#tokens=4",)))
    await b.ask()
    assert b.last().verdict == ""


async def test_two_questions_at_once_are_refused(bench: Make) -> None:
    """One conversation has one end; the reader is told, and the first answer goes on."""
    b = bench("gpt-4.1#stall=30,after=2")
    b.chat.send("One")
    with pytest.raises(SetupError, match="still arriving"):
        b.chat.send("Two")
    b.chat.hear({"kind": "send", "text": "Two"})
    assert "still arriving" in b.page.said[0]
    assert b.page.of("said")[0]["level"] == "error"
    assert len(b.chat.conversation.turns) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "send", "text": "  "},
        {"kind": "regenerate", "turn": "gone"},
        {"kind": "edit", "turn": "gone", "text": "x"},
        {"kind": "delete", "turn": "gone"},
        {"kind": "choose", "turn": "gone", "lane": 0},
    ],
)
async def test_what_cannot_be_done_is_said(bench: Make, content: dict[str, Any]) -> None:
    """A page that shows something older is told so; nothing breaks."""
    b = bench()
    b.chat.hear(content)
    assert len(b.page.said) == 1


@pytest.mark.parametrize(
    "content", [{}, {"kind": "sing"}, {"kind": "send", "text": 3}, {"kind": "choose", "turn": [], "lane": "0"}]
)
async def test_what_no_page_sends_is_ignored(bench: Make, content: dict[str, Any]) -> None:
    """A message of another version, or of nobody."""
    b = bench()
    b.chat.hear(content)
    assert b.page.messages == []


async def test_settings_that_cannot_be_are_set_back_on_the_page(bench: Make) -> None:
    """The reader is told, and sees what holds."""
    b = bench("gpt-4.1")
    b.page.state.clear()
    b.chat.hear({"kind": "set", "temperature": 9.0})
    assert "temperature 9" in b.page.said[0]
    assert b.page.of("conversation")[0]["state"]["temperature"] is None
    assert b.chat.settings.temperature is None


async def test_of_the_settings_only_what_a_page_set_is_told_to_all(bench: Make) -> None:
    """Whoever types a system prompt meanwhile would lose letters."""
    b = bench("gpt-4.1")
    b.page.state.clear()
    b.chat.hear({"kind": "set", "models": ["gpt-4o"]})
    told = b.page.state.pop("told")
    assert b.page.state == {"models": ["gpt-4o"], "title": "Chat with gpt-4o", "note": ""}
    assert b.news[-1].settings.models == ("gpt-4o",)
    b.chat.hear({"kind": "set", "system": "You are"})
    assert (b.page.state["system"], b.page.state["told"]) == ("You are", told + 1)


async def test_a_page_s_answer_is_stopped_when_its_last_view_has_gone(bench: Make, simulator: Simulator) -> None:
    """The cell was deleted or its output cleared: nobody can see it any more."""
    b = bench("gpt-4.1#rate=50,tokens=1000")
    b.chat.hear({"kind": "ready", "page": "p"})
    b.chat.hear({"kind": "send", "text": "Hello"})
    b.chat.hear({"kind": "gone", "page": "p"})
    await until(lambda: b.last().answers)
    assert b.last().answers[0].state == "stopped"


async def test_a_view_that_comes_back_keeps_it_running(bench: Make) -> None:
    """A cell that was moved, a view that was opened elsewhere."""
    b = bench("gpt-4.1#rate=100,tokens=40")
    b.chat.hear({"kind": "ready", "page": "p"})
    b.chat.hear({"kind": "send", "text": "Hello"})
    b.chat.hear({"kind": "gone", "page": "p"})
    b.chat.hear({"kind": "ready", "page": "p"})
    await until(lambda: b.last().answers)
    assert b.last().answers[0].state == "done"


async def test_a_second_goodbye_stops_nothing_for_a_view_that_came_back(bench: Make) -> None:
    """A page says more than once that it goes, and then shows the panel: somebody looks on."""
    b = bench("gpt-4.1#rate=100,tokens=40")
    b.chat.hear({"kind": "ready", "page": "p"})
    b.chat.hear({"kind": "send", "text": "Hello"})
    b.chat.hear({"kind": "gone", "page": "p"})
    b.chat.hear({"kind": "gone", "page": "p"})
    b.chat.hear({"kind": "ready", "page": "p"})
    await until(lambda: b.last().answers)
    assert b.last().answers[0].state == "done"


async def test_a_defect_at_an_answer_s_end_does_not_lock_the_panel(bench: Make, monkeypatch: Any) -> None:
    """Whoever waits is told, page and program see that nothing runs, and the next question is asked."""
    b = bench()
    with monkeypatch.context() as broken:
        broken.setattr(type(b.chat.spent), "plus", lambda *_: 1 / 0)
        running = b.chat.send("One")
        replies = await asyncio.wait_for(asyncio.wrap_future(running.done), 10)
    assert replies[0].finish_reason
    assert (b.page.state["is_streaming"], b.news[-1].is_streaming) == (False, False)
    await b.ask("Two")
    assert b.last().answers[0].state == "done"


async def test_the_program_knows_what_a_page_set_before_the_page_is_told(bench: Make) -> None:
    """A cell that runs once the title has changed reads the models that the title names."""
    b = bench()
    known: list[int] = []
    b.page.tell = lambda **state: known.append(len(b.news))
    b.chat.hear({"kind": "set", "models": ["gpt-4o"]})
    assert known == [1]


async def test_the_program_s_answer_needs_no_view(bench: Make) -> None:
    """The program waits for it."""
    b = bench("gpt-4.1#rate=100,tokens=40", linger_s=0.0)
    b.chat.hear({"kind": "ready", "page": "p"})
    running = b.chat.send("Hello", asked_in=copy_context())
    b.chat.hear({"kind": "gone", "page": "p"})
    assert (await asyncio.wrap_future(running.done))[0].finish_reason == "stop"


async def test_a_page_that_was_reloaded_is_stale_until_the_panel_is_displayed_there(bench: Make) -> None:
    """JupyterLab brings the saved copy up to date only in the page in which it was displayed."""
    b = bench()
    b.chat.displayed()
    b.chat.hear({"kind": "ready", "page": "first"})
    b.chat.hear({"kind": "ready", "page": "first"})
    assert b.page.state["stale"] == []
    b.chat.hear({"kind": "ready", "page": "second"})
    assert b.page.state["stale"] == ["second"]
    b.chat.displayed()
    b.chat.hear({"kind": "ready", "page": "second"})
    assert b.page.state["stale"] == []
    b.chat.hear({"kind": "ready", "page": "third"})
    b.chat.hear({"kind": "gone", "page": "third"})
    assert b.page.state["stale"] == []


@pytest.mark.slow
async def test_a_page_that_was_never_heard_of_gets_the_whole_now_and_then(bench: Make, monkeypatch: Any) -> None:
    """On a kernel that hears nothing while its cell runs, a view that is built late shows the answer all the same."""
    monkeypatch.setattr(policy, "UNASKED_S", 0.0)
    b = bench("gpt-4.1#rate=100,tokens=60")
    await b.ask()
    unasked = b.page.of("conversation")
    assert 1 < len(unasked) < 12
    assert replayed(b.page)[0]["keyframe"]["lanes"][0]["text"] == b.last().answers[0].text
    b.chat.hear({"kind": "ready", "page": "p"})
    asked = len(b.page.of("conversation"))
    await b.ask()
    assert len(b.page.of("conversation")) == asked


async def test_the_copy_that_is_saved_has_what_arrived_so_far(bench: Make) -> None:
    """Also in the middle of an answer."""
    b = bench("gpt-4.1#stall=30,after=3")
    b.chat.send("Hello")
    await until(lambda: b.page.inner(b.last().id, "delta"))
    b.chat.hear({"kind": "save_copy"})
    assert b.page.said == ["Saved as chat.md."]
    assert b.saved[0].turns[0].answers[0].state == "truncated"
    assert b.saved[0].turns[0].answers[0].text


async def test_a_closed_panel_stops_and_takes_no_question(bench: Make) -> None:
    """The conversation is still there."""
    b = bench("gpt-4.1#stall=30,after=3")
    running = b.chat.send("Hello")
    await until(lambda: b.page.inner(b.last().id, "delta"))
    b.chat.close()
    await asyncio.wrap_future(running.done)
    assert b.last().answers[0].state == "stopped"
    with pytest.raises(SetupError, match="closed"):
        b.chat.send("More")
    with pytest.raises(SetupError, match="closed"):
        b.chat.regenerate()
    assert len(b.chat.conversation.turns) == 1


async def test_a_long_conversation_costs_no_more_per_token(bench: Make) -> None:
    """Of 500 turns none but the last is touched while an answer arrives: what is sent is as small as at the start."""
    b = bench("gpt-4.1#tokens=2")
    b.chat.hear({"kind": "ready", "page": "p"})
    await b.ask()
    turn = b.last()
    for _ in range(499):
        b.chat.conversation = b.chat.conversation.added(turn)
    b.chat.configure(Settings(("gpt-4.1#tokens=300,rate=max",)))
    b.page.messages.clear()
    news = len(b.news)
    await b.ask()
    assert b.page.of("conversation") == []
    assert len(b.news) - news == 2
