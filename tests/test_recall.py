"""Answers found again: in the kernel that asked, in the one after it, and in the history over all kernels."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import kernels
import pytest
from foreign import Given, answering, streamed

import holystream_nb as hs
from holystream_nb.answered import COLUMNS, Answers, History
from holystream_nb.client.options import client_options
from holystream_nb.errors import HolystreamError, SetupError
from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Answer, Origin
from holystream_nb.measuring.figures import trials
from holystream_nb.recall import going_on, plain, recalled
from holystream_nb.report import report
from holystream_nb.session import Session

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) \x1b[31m | *b*"


@pytest.fixture
async def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kernel's state of its own, whose simulator does not wait."""
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    own = Session()
    yield own
    await own.close()


def said(text: str, finish: str | None = "stop", **usage: int) -> Given:
    pieces = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in (text[:3], text[3:])]
    end = [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}] if finish else []
    counts = [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8} | usage}]
    return streamed(*pieces, *end, *counts, done=finish is not None)


# What is written down


async def test_an_answer_is_written_down_with_all_that_was_asked_and_came(session: Session) -> None:
    """Also where nothing is displayed but text; without what was not sent at all."""
    with answering(lambda _: said("Hello you")) as service:
        reply = await session.stream(
            "Hi", model="m", system="Be brief.", base_url=service.url, temperature=0.5, format="text"
        )
        with pytest.raises(SetupError):
            await session.stream("Hi", model="openai:gpt-4.1")  # there is no key
        with pytest.raises(SetupError):
            await session.stream("Hi", model="simulator:gpt-4.1", max_cost=1e-9)  # not a token for that
    (answer,) = journal.answers()
    assert answer.origin == Origin("python")
    assert answer.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    assert answer.parameters == {"temperature": 0.5}
    assert (answer.label, answer.model, answer.provider, answer.format) == ("m", "m", reply.provider, "text")
    assert (answer.text, answer.state, answer.ending, answer.error) == ("Hello you", "done", "", "")
    assert answer.record["completion_tokens"] == 5
    assert answer.ended is not None


async def test_answers_side_by_side_are_one_group_and_a_failed_one_has_its_error(session: Session) -> None:
    """What had arrived of it is there."""
    from holystream_nb.ask import Ask

    def handler(asked: Any) -> Given:
        return said("Hello you", None if asked.body["model"] == "cut" else "stop")

    with answering(handler) as service:
        ask = Ask("Hi", ("whole", "cut"), options=client_options(base_url=service.url), strict=True)
        with pytest.raises(HolystreamError):
            await session.ask(ask)
    found = {answer.model: answer for answer in journal.answers()}
    assert len({answer.group for answer in found.values()}) == 1
    assert (found["whole"].state, found["whole"].error) == ("done", "")
    assert found["cut"].text == "Hello you"
    assert found["cut"].state != "done"
    assert found["cut"].error


async def test_an_answer_with_tools_has_their_calls_in_its_text(session: Session) -> None:
    """As the plain output has them."""

    def add(a: int, b: int) -> int:
        return a + b

    await session.stream("Use add", model="simulator:gpt-4.1", tools=[add], allow="all")
    (answer,) = journal.answers()
    assert "[add(" in answer.text
    assert answer.record["calls"] >= 1
    with pytest.raises(SetupError, match="nothing to continue"):
        going_on(session)


def test_an_answer_that_a_thread_waits_for_is_written_down() -> None:
    """By `hs.run`, in its own loop, with the thread's end."""
    own = Session()
    with answering(lambda _: said("Hello you")) as service:
        thread = threading.Thread(target=lambda: hs.run(own.stream("Hi", model="m", base_url=service.url)))
        thread.start()
        thread.join()
    assert [answer.text for answer in journal.answers()] == ["Hello you"]


async def test_a_panels_answers_are_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question's, side by side in one group."""
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    panel = hs.ChatPanel(models=["simulator:gpt-4.1", "simulator:deepseek-v3.2"])
    await panel.send("Hello there")
    panel.close()
    answers = journal.answers()
    assert sorted(answer.model for answer in answers) == ["deepseek-v3.2", "gpt-4.1"]
    assert {answer.origin.door for answer in answers} == {"panel"}
    assert len({answer.group for answer in answers}) == 1
    assert all(answer.text and answer.state == "done" for answer in answers)


# The history


async def test_the_history_is_this_kernels_replies_and_the_journals_answers(session: Session) -> None:
    """Newest last; an unknown word finds nothing; slices are lists."""
    with answering(lambda _: said("Hello you")) as service:
        for prompt in ("one apple", "two pears"):
            await session.stream(prompt, model="m", base_url=service.url)
    assert [type(each) for each in session.history[-2:]] == [hs.Reply, hs.Reply]
    assert session.history[-1].asked[-1]["content"] == "two pears"
    assert [answer.messages[-1]["content"] for answer in session.history.all()] == ["one apple", "two pears"]
    assert [answer.messages[-1]["content"] for answer in session.history.find("APPLE")] == ["one apple"]
    assert session.history.find("plum") == []


async def test_a_frame_of_the_history_has_a_benchs_columns_in_a_benchs_units(session: Session) -> None:
    """One row an answer; money is exact."""
    with answering(lambda _: said("Hello you")) as service:
        await session.stream("Hi", model="m", base_url=service.url)
    await session.stream("Hi", model="simulator:gpt-4.1")
    frame = session.history.to_frame()
    own = {"began", "door", "notebook", "cell", "conversation", "text", "reasoning", "state", "id", "group"}
    assert set(frame.columns) - own <= set(trials.COLUMNS)
    reply, row = session.history[-1], frame.iloc[-1]
    assert row["model"] == "simulator:gpt-4.1"
    assert row["ttft_ms"] == pytest.approx(reply.timing.ttft_ms, abs=0.001)
    assert row["e2e_s"] == pytest.approx(reply.timing.e2e_s, abs=0.001)
    assert row["output_tokens"] == reply.usage.completion_tokens
    assert row["token_source"] == "usage"
    assert row["cost_usd"] == reply.cost.usd
    assert isinstance(row["cost_usd"], Decimal)
    assert str(frame["began"].dtype).startswith("datetime64")
    assert frame["began"].is_monotonic_increasing
    assert list(Answers().to_frame().columns) == list(COLUMNS)


def answer(**changes: Any) -> Answer:
    given: dict[str, Any] = {
        "id": "0123456789abcdef",
        "group": "g",
        "origin": Origin("cell", notebook="/home/ann/Talk.ipynb"),
        "label": "m",
        "model": "m",
        "provider": "p",
        "note": "",
        "messages": ({"role": "user", "content": HOSTILE},),
        "parameters": {},
        "began": 1.0,
        "text": HOSTILE,
    }
    return Answer(**given | changes)


@pytest.mark.parametrize("shown", [Answers([answer()]), plain(answer())])
def test_what_is_found_is_shown_as_harmless_text(shown: Any) -> None:
    """No control characters anywhere, and nothing of it is Markdown or HTML."""
    bundle = shown._repr_mimebundle_() if isinstance(shown, Answers) else {"text/plain": shown}
    assert "\x1b" not in "".join(bundle.values())
    assert "<script>" not in bundle.get("text/markdown", "")
    assert "[x](" not in bundle.get("text/markdown", "")


@pytest.mark.parametrize(("word", "wanted"), [("find", "WORDS"), ("show", "ID"), ("forget", "NAME")])
def test_a_word_without_what_it_needs_says_what(word: str, wanted: str) -> None:
    """And not all that %stream can do."""
    with pytest.raises(SetupError, match=f"^Write %stream {word} {wanted}"):
        report([word], Session())


async def test_a_history_shows_its_replies_as_a_table(session: Session) -> None:
    """With how each ended, where that must be said."""
    with answering(lambda _: said("Hello | you", "length")) as service:
        await session.stream("Hi", model="m", base_url=service.url)
    assert "Hello | you" in repr(session.history)
    assert "-1" in repr(session.history)
    assert "length" in repr(session.history)
    with pytest.raises(HolystreamError):
        await session.stream("Hi", model="simulator:gpt-4.1#cut=5")
    for table in (session.history, session.history.all()):
        assert repr(table).rstrip().endswith("interrupted: the connection broke")
    assert History()._repr_mimebundle_()["text/plain"].startswith("0 replies")


# Going on


async def test_an_answer_cut_at_its_limit_goes_on_with_the_same_model_parameters_and_address(session: Session) -> None:
    """The joined answer is the newest reply, and what is in the journal; its own continuation is one of it all."""
    texts = iter(["One, two, three", "two, three, four", "four, five"])
    with answering(lambda _: said(next(texts), "length")) as service:
        await session.stream("Count", model="m", base_url=service.url, api_key="hs-test-0123456789", max_tokens=3)
        (reply,) = await session.ask(going_on(session))
        assert reply.text == "One, two, three, four"
        (reply,) = await session.ask(going_on(session))
    assert reply.text == session.history[-1].text
    first, second, third = [asked.body for asked in service.asked]
    assert second["max_tokens"] == first["max_tokens"] == 3
    assert service.asked[1].headers["authorization"] == service.asked[0].headers["authorization"]
    assert [message["role"] for message in third["messages"]] == ["user", "assistant", "user"]
    assert third["messages"][1]["content"] == "One, two, three, four"
    newest, *_ = journal.answers()
    assert newest.text == reply.text
    assert newest.messages == ({"role": "user", "content": "Count"},)
    assert "continued" in newest.note


async def test_an_answer_that_ended_by_itself_is_not_continued(session: Session) -> None:
    """Nor one that is not there, nor an empty one; each in one sentence."""
    with pytest.raises(SetupError, match="no answers yet"):
        going_on(session)
    with answering(lambda _: said("Hello you")) as service:
        await session.stream("Hi", model="m", base_url=service.url)
    with pytest.raises(SetupError, match="ended by itself"):
        going_on(session)
    with pytest.raises(SetupError, match="neither a number nor the id"):
        recalled(session, "xyz")
    with pytest.raises(SetupError, match="no answer 'abcd'"):
        recalled(session, "abcd")


async def test_an_answer_of_the_journal_is_continued_only_at_the_service_that_gave_it(session: Session) -> None:
    """By its id, by whatever kernel; where that service is not set, nothing is sent anywhere."""
    texts = iter(["One, two, three", "two, three, four"])
    with answering(lambda _: said(next(texts), "length")) as service:
        await session.stream("Count", model="m", base_url=service.url, max_tokens=3)
        (before,) = journal.answers()
        later = Session()
        with pytest.raises(SetupError, match="whose address is not set here"):
            going_on(later, before.id[:8])
        later.configure(base_url=service.url)
        (reply,) = await later.ask(going_on(later, before.id[:8]))
        assert reply.text == "One, two, three, four"
        assert service.asked[-1].body["max_tokens"] == 3
        await later.close()


async def test_what_was_asked_with_a_credential_is_not_asked_again_with_its_mask(session: Session) -> None:
    """The journal has none, and a mask is not sent in its place."""
    parameters = {"tools": [{"type": "mcp", "headers": {"Cookie": "s=1"}}]}
    entry = journal.begin(Origin("python"), model="gpt-4.1", provider="simulator", parameters=parameters)
    entry.end(text="One, two", state="interrupted")
    with pytest.raises(SetupError, match="credentials among its parameters"):
        going_on(session, entry.id)


@pytest.mark.parametrize("wire", ["chat", "messages", "responses"])
@pytest.mark.parametrize(
    "cut",
    [
        "cut=20",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("reset=7", "end=33", "cut=25,tokens=60", "cut=4")),
    ],
)
async def test_the_simulator_goes_on_as_a_model_does(session: Session, wire: Any, cut: str) -> None:
    """What was cut and what was added are the answer that would have come."""
    name = f"simulator:gpt-4.1#{cut.partition(',')[2]}".rstrip("#")
    whole = await session.stream("Tell me about streams.", model=name, wire=wire)
    with contextlib.suppress(HolystreamError):
        await session.stream("Tell me about streams.", model=f"simulator:gpt-4.1#{cut}", wire=wire)
    assert len(session.history[-1].text) < len(whole.text)
    (reply,) = await session.ask(going_on(session))
    assert reply.text == whole.text
    assert reply.finish_reason == whole.finish_reason


async def test_a_panels_cut_answer_is_continued_in_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the panel's settings, at its service."""
    texts = iter(["One, two, three", "two, three, four"])
    with answering(lambda _: said(next(texts), "length")) as service:
        panel = hs.ChatPanel("m", base_url=service.url, max_tokens=3)
        await panel.send("Count")
        panel.close()
        (reply,) = await hs.stream.__self__.ask(going_on(hs.stream.__self__))
    assert reply.text == "One, two, three, four"
    assert service.asked[-1].body["max_tokens"] == 3


async def test_a_conversation_has_the_answer_as_it_was_continued(session: Session) -> None:
    """The next question is asked after the whole of it."""
    texts = iter([("One, two, three", "length"), ("two, three, four", "stop"), ("Five", "stop")])
    with answering(lambda _: said(*next(texts))) as service:
        await session.stream("Count", model="m", base_url=service.url, chat="counting")
        await session.ask(going_on(session))
        await session.stream("And?", model="m", base_url=service.url, chat="counting")
    contents = [message["content"] for message in service.asked[-1].body["messages"]]
    assert contents == ["Count", "One, two, three, four", "And?"]


# In kernels

NOTEBOOK = {"JPY_SESSION_NAME": "/home/ann/Talk.ipynb"}
WRITTEN_S = 0.6
"""After which all is on the disk."""


def kill(kernel: kernels.Kernel) -> None:
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_kernels_answer_is_found_shown_counted_and_continued_in_the_next(tmp_path: Path) -> None:
    """`%stream last`, `find`, `show`, `continue` and the history's frame, in a new kernel of the same notebook."""
    with kernels.kernel(**NOTEBOOK, HOLYSTREAM_SIMULATOR_SPEED="1") as first:
        msg_id = first.start("%%stream -m gpt-4.1 -n 4000\nTell me of zebras")
        for kind, content in first.messages(msg_id):
            if kind == "comm_msg" and "zebras" in json.dumps(content):
                break
        time.sleep(WRITTEN_S)
        kill(first)
    with kernels.kernel(**NOTEBOOK) as second:
        last = second.run("%stream last").printed
        assert "No model has read your words" in last
        assert "interrupted: the kernel ended" in last
        found = second.run("%stream find zebras")
        assert r"Talk\.ipynb" in found.markdown
        assert "interrupted: the kernel ended" in found.markdown
        name = found.markdown.splitlines()[2].split("|")[1].strip()
        assert second.run(f"%stream show {name}").printed == last
        frame = second.run(
            "import holystream_nb as hs\nf = hs.history.to_frame()\nprint(f.ended[0], f.door[0])"
        ).printed
        assert frame == "interrupted: the kernel ended cell\n"
        ran = second.run("%stream continue")
        assert not ran.error
        assert "continued" in ran.markdown
        joined = second.run("print(hs.history[-1].text)").printed
        assert joined.startswith(last.partition("\n\n[")[0])
        assert "has 2 answers: give a number from 1 to 2" in second.run("%stream last 3").error
        assert "ended by itself" in second.run("%stream continue").error


@pytest.mark.slow
def test_a_continuation_is_stopped_like_any_answer_and_continued_again() -> None:
    """■ ends the cell in one line; what was there before it is there, with what had arrived."""
    with kernels.kernel() as kernel:
        kernel.run("import holystream_nb as hs")
        kernel.run("%%stream -m gpt-4.1#rate=40 -n 20\nTell me of zebras")
        before = kernel.run("print(hs.history[-1].text)").printed[:-1]
        msg_id = kernel.start("%stream continue")
        for kind, content in kernel.messages(msg_id):
            if kind == "comm_msg" and '"delta"' in json.dumps(content) and before not in json.dumps(content):
                break
        kernel.interrupt()
        ran = kernel.finish(msg_id)
        assert ran.reply["status"] == "error"
        assert len(ran.error.splitlines()) == 1
        told = kernel.run("r = hs.history[-1]\nprint(r.finish_reason, len(r.text), r.text)").printed
        assert told.startswith("stopped")
        assert before in told
        assert not kernel.run("%stream continue").error


@pytest.mark.slow
def test_a_conversation_goes_on_after_a_restart_and_run_all_asks_it_anew() -> None:
    """A new cell continues it, and says so; a cell that had asked before asks in its own place; it can be forgotten."""
    from live.test_where import run_as

    chat = "%%stream -m gpt-4.1 --chat talk\nSay {0}"
    length = "from holystream_nb.session import session\nprint(len(session.conversations['talk']))"
    with kernels.kernel(**NOTEBOOK) as first:
        for number in (1, 2):
            run_as(first, chat.format(number), f"cell {number}")
        time.sleep(WRITTEN_S)
    with kernels.kernel(**NOTEBOOK) as second:
        _, ran = run_as(second, chat.format(3), "cell 3")
        assert "continues the conversation of before the restart" in ran.markdown
        assert second.run(length).printed == "6\n"
        _, ran = run_as(second, chat.format(4), "cell 4")
        assert "before the restart" not in ran.markdown
        time.sleep(WRITTEN_S)
    with kernels.kernel(**NOTEBOOK) as third:
        _, ran = run_as(third, chat.format(1), "cell 1")
        assert "before the restart" not in ran.markdown
        assert third.run(length).printed == "2\n"
        assert "is forgotten" in third.run("%stream forget talk").printed
        assert "no conversation" in third.run("%stream forget talk").error
    with kernels.kernel(**NOTEBOOK) as fourth:
        run_as(fourth, chat.format(5), "cell 5")
        assert fourth.run(length).printed == "2\n"


@pytest.mark.slow
def test_the_first_use_says_where_the_journal_is_and_the_config_turns_it_off(tmp_path: Path) -> None:
    """Once for each user, beside the answer; not where nobody looks on; `%stream config` shows what holds."""
    folder, other = tmp_path / "journal", tmp_path / "other"
    count = "print(len(hs.history.all()))"
    with kernels.kernel(HOLYSTREAM_JOURNAL=str(folder)) as first:
        assert "Answers are kept" not in first.run("%%stream -m gpt-4.1\nHi", watched=False).printed
        ran = first.run("%%stream -m gpt-4.1\nHi")
        assert "Answers are kept" in ran.printed
        assert "StreamMagics.journal = False" in ran.printed
        assert "Answers are kept" not in ran.markdown
        assert "Answers are kept" not in first.run("%%stream -m gpt-4.1\nHi").printed
        assert str(folder) in first.run("%stream config").markdown
        first.run("%config StreamMagics.journal = False\nimport holystream_nb as hs")
        before = first.run(count).printed
        first.run("%%stream -m gpt-4.1\nHi")
        assert first.run(count).printed == before == "3\n"
        assert "off" in first.run("%stream config").markdown
        first.run(f"%config StreamMagics.journal = {str(other)!r}")
        first.run("%%stream -m gpt-4.1\nHi")
        assert first.run(count).printed == "1\n"
        assert "whole path" in first.run("%config StreamMagics.journal = 'relative'").printed
    with kernels.kernel(HOLYSTREAM_JOURNAL=str(folder)) as second:
        assert "Answers are kept" not in second.run("%%stream -m gpt-4.1\nHi").printed
