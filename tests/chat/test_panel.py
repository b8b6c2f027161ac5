"""ChatPanel in the program's hands: awaited questions, traits, callbacks, files, and what cannot be."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import until

import holystream_nb as hs
from holystream_nb import Simulator
from holystream_nb.chat import files
from holystream_nb.errors import SetupError, SeveralFailed, UnknownModel
from holystream_nb.live.lane import CUT_OFF
from holystream_nb.session import session

Make = Callable[..., hs.ChatPanel]


@pytest.fixture
def panel(simulator: Simulator) -> Iterator[Make]:
    """Makes panels; they are closed with the test."""
    made: list[hs.ChatPanel] = []

    def make(model: str | None = "gpt-4.1#tokens=6", **options: Any) -> hs.ChatPanel:
        made.append(hs.ChatPanel(model, base_url=simulator.url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_a_question_is_awaited_for_its_reply(panel: Make) -> None:
    """And what the program observes is true when the await returns."""
    chat = panel("gpt-4.1#tokens=6,head=0.2")
    before = len(session.history)
    question = chat.send("Hello")
    assert chat.is_streaming
    assert "arriving" in repr(question)
    reply = await question
    assert reply.finish_reason == "stop"
    assert not chat.is_streaming
    assert [message["role"] for message in chat.messages] == ["user", "assistant"]
    assert chat.messages[1]["content"] == chat.full_response == reply.text
    assert chat.messages[1]["figures"]["completion_tokens"] == chat.usage.completion_tokens == 6
    assert chat.error is None
    assert chat.cost.note == "local, no price"
    assert session.history[-1] is reply
    assert len(session.history) == min(before + 1, 100)
    assert question.replies == {chat.model: reply}


def test_in_a_thread_of_the_program_the_same_by_run(panel: Make) -> None:
    """A panel that is made there, and one that is made elsewhere."""
    elsewhere = panel()
    said: list[tuple[str, int]] = []

    def ask() -> None:
        here = panel()
        for each in (here, elsewhere):
            reply = hs.run(each.send("Hello"))
            said.append((reply.finish_reason, len(each.to_messages())))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    assert said == [("stop", 2)] * 2
    elsewhere.delete()
    assert elsewhere.messages == []


def test_in_a_script_the_same_by_run(panel: Make) -> None:
    """Without a loop of its own: traits are brought up to date when the question is awaited."""
    chat = panel()
    assert hs.run(chat.send("Hello")).text == chat.full_response
    assert hs.run(chat.regenerate()).text == chat.full_response
    assert [message["role"] for message in chat.messages] == ["user", "assistant"]
    assert chat.usage.completion_tokens == 12


async def test_observers_are_called_on_the_program_s_thread_in_order(panel: Make) -> None:
    """Whatever thread the stream is on."""
    chat = panel()
    seen: list[tuple[Any, Any]] = []

    def note(change: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append((change["name"], change["new"]))

    chat.observe(note, ["is_streaming", "full_response"])
    first = await chat.send("Hello")
    second = await chat.send("Hello again")
    assert seen == [
        ("is_streaming", True),
        ("full_response", first.text),
        ("is_streaming", False),
        ("full_response", ""),
        ("is_streaming", True),
        ("full_response", second.text),
        ("is_streaming", False),
    ]


async def test_callbacks_get_every_reply_and_one_that_fails_ends_nothing(panel: Make, capsys: Any) -> None:
    """A decorator, a plain function, a coroutine function; the traceback is shown."""
    chat = panel()
    got: list[Any] = []

    @chat.on_reply
    def breaks(reply: hs.Reply) -> None:
        raise ValueError("of the user's")

    @chat.on_reply
    async def later(reply: hs.Reply) -> None:
        await asyncio.sleep(0)
        got.append(("later", reply))

    chat.on_reply(lambda reply: got.append(("now", reply)))
    reply = await chat.send("Hello")
    await asyncio.sleep(0.01)
    assert got == [("now", reply), ("later", reply)]
    assert "of the user's" in capsys.readouterr().err


async def test_a_callback_may_ask_on(panel: Make) -> None:
    """A conversation that goes on by itself."""
    chat = panel()

    @chat.on_reply
    def more(reply: hs.Reply) -> None:
        if len(chat.messages) < 6:
            chat.send("And then?")

    await chat.send("Hello")
    await until(lambda: len(chat.messages) == 6 and not chat.is_streaming)
    assert [message["content"] for message in chat.messages[::2]] == ["Hello", "And then?", "And then?"]


async def test_an_awaited_failure_is_raised_and_kept(panel: Make) -> None:
    """In the conversation, in `error`, and not in what a model is told."""
    chat = panel("nonsense")
    with pytest.raises(UnknownModel, match="nonsense"):
        await chat.send("Hello")
    assert isinstance(chat.error, UnknownModel)
    assert chat.messages[1]["state"] == "failed"
    assert chat.to_messages() == []
    chat.model = "gpt-4.1#tokens=3"
    await chat.regenerate()
    assert chat.error is None
    assert len(chat.messages) == 2


async def test_several_models_are_compared_and_one_goes_on(panel: Make) -> None:
    """Each answers; the chosen one's model is asked next."""
    chat = panel(None, models=["gpt-4.1#tokens=4", "deepseek-v3.2#tokens=5"])
    question = chat.send("Hello")
    first = await question
    assert list(question.replies) == chat.models
    assert question.replies["gpt-4.1#tokens=4"] is first
    assert [message["chosen"] for message in chat.messages[1:]] == [False, False]
    chat.choose("deepseek-v3.2#tokens=5")
    assert chat.models == [chat.model] == ["deepseek-v3.2#tokens=5"]
    assert [message["chosen"] for message in chat.messages[1:]] == [False, True]
    assert chat.to_messages()[1]["content"] == question.replies["deepseek-v3.2#tokens=5"].text
    with pytest.raises(SetupError, match=r"choose one of gpt-4\.1#tokens=4, deepseek"):
        chat.choose("gpt-4o")


async def test_of_several_that_fail_each_is_named(panel: Make) -> None:
    """The others' answers are there."""
    chat = panel(None, models=["gpt-4.1#tokens=4", "nonsense"])
    with pytest.raises(SeveralFailed, match=r"1 of 2 models failed\. nonsense"):
        await chat.send("Hello")
    assert [message["state"] for message in chat.messages[1:]] == ["done", "failed"]


async def test_a_stop_keeps_what_arrived(panel: Make) -> None:
    """A stopped answer is no failure."""
    chat = panel("gpt-4.1#stall=30,after=3")
    question = chat.send("Hello")
    await until(lambda: question.replies[chat.model].text)
    chat.stop()
    reply = await question
    assert reply.finish_reason == "stopped"
    assert chat.messages[1]["state"] == "stopped"
    assert chat.to_messages()[1]["content"] == reply.text


async def test_a_cancelled_await_stops_the_answer(panel: Make) -> None:
    """■ stops the bill."""
    chat = panel("gpt-4.1#stall=30,after=3")
    question = chat.send("Hello")
    waiting = asyncio.ensure_future(asyncio.wait_for(asyncio.gather(question), None))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not chat.is_streaming)
    assert chat.messages[1]["state"] == "stopped"


async def test_it_streams_while_the_program_computes(panel: Make) -> None:
    """A synchronous stretch of the program blocks its own loop, not the panel's."""
    chat = panel("gpt-4.1#rate=100,tokens=20")
    question = chat.send("Hello")
    deadline = time.monotonic() + 10
    while not question.is_answered and time.monotonic() < deadline:
        time.sleep(0.02)  # noqa: ASYNC251  # that is the point
    assert question.is_answered
    assert chat.is_streaming, "what the program observes changes when it lets go"
    await question
    assert not chat.is_streaming


async def test_ten_panels_stream_at_once_each_in_order(panel: Make) -> None:
    """One thread for all; the numbered tokens of each arrive whole and in order."""
    chats = [panel("gpt-4.1#tokens=60,rate=200,numbered") for _ in range(10)]
    replies = await asyncio.gather(*(chat.send("Count") for chat in chats))
    assert {reply.text for reply in replies} == {"".join(f"{n} " for n in range(60))}


async def test_edit_delete_and_reset(panel: Make) -> None:
    """By the question's index, as a list's."""
    chat = panel()
    for text in ("One", "Two", "Three"):
        await chat.send(text)
    await chat.edit("Zwei", 1)
    assert [message["content"] for message in chat.messages[::2]] == ["One", "Zwei"]
    chat.delete()
    assert [message["content"] for message in chat.messages[::2]] == ["One"]
    with pytest.raises(SetupError, match="no question 4: 1 were asked"):
        chat.delete(4)
    chat.reset()
    assert chat.messages == []
    assert chat.usage.completion_tokens == 24
    with pytest.raises(SetupError, match="no question"):
        chat.regenerate()


async def test_a_saved_conversation_is_loaded_as_it_was(panel: Make, simulator: Simulator, tmp_path: Path) -> None:
    """Turns, settings and sums; a newer save replaces the file, and nothing else is left beside it."""
    chat = panel(None, models=["sim-reasoner#tokens=4", "nonsense"], system="Be terse.", temperature=0.5, max_tokens=90)
    with pytest.raises(SeveralFailed):
        await chat.send("Hello")
    chat.choose("sim-reasoner#tokens=4")
    path = chat.save(tmp_path / "talk.json")
    await chat.send("More")
    chat.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["talk.json"]  # noqa: ASYNC240  # a test's own folder
    loaded = hs.ChatPanel.load(path, base_url=simulator.url)
    assert loaded.messages == chat.messages
    assert (loaded.models, loaded.system, loaded.temperature, loaded.max_tokens) == (
        chat.models,
        "Be terse.",
        0.5,
        90,
    )
    assert (loaded.usage, loaded.cost) == (chat.usage, chat.cost)
    assert loaded.to_markdown() == chat.to_markdown()
    assert repr(loaded) == "ChatPanel(sim-reasoner#tokens=4; 2 questions)"
    assert (await loaded.regenerate()).text


async def test_a_file_has_no_key(monkeypatch: Any, panel: Make, simulator: Simulator, tmp_path: Path) -> None:
    """Neither JSON nor Markdown, whatever the service says back."""
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "bad_secret_key_1234567890")
    chat = panel()
    await chat.send("Hello")
    written = chat.save(tmp_path / "a.json").read_text() + chat.save(tmp_path / "a.md").read_text()
    assert "bad_secret" not in written
    assert chat.to_markdown() in written


async def test_an_answer_that_may_be_cut_off_is_shown_as_an_error_is(panel: Make, tmp_path: Path) -> None:
    """In the view, in what is saved, and in what `messages` gives; the conversation goes on."""
    chat = panel("gpt-4.1#end=5")
    reply = await chat.send("Hello")
    assert (reply.finish_reason, reply.error) == ("truncated", None)
    assert chat.messages[1]["error"] == CUT_OFF
    assert f"**{CUT_OFF}**" in chat.to_markdown()
    loaded = hs.ChatPanel.load(chat.save(tmp_path / "a.json"))
    assert loaded.messages[1]["error"] == CUT_OFF


async def test_what_is_saved_while_it_streams_is_marked(panel: Make, tmp_path: Path) -> None:
    """The text so far, truncated."""
    chat = panel("gpt-4.1#stall=30,after=3")
    question = chat.send("Hello")
    await until(lambda: question.replies[chat.model].text)
    assert "truncated" in chat.to_markdown()
    loaded = hs.ChatPanel.load(chat.save(tmp_path / "a.json"))
    assert loaded.messages[1]["state"] == "truncated"
    assert loaded.messages[1]["content"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("# Markdown", "not a saved chat panel"),
        ("{}", "holystream_chat"),
        ('{"holystream_chat": 2}', "newer"),
        ('{"holystream_chat": 1, "turns": 3}', "turns|settings"),
        ("[]", "not a saved"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, content: str, named: str) -> None:
    """In one sentence with the file's name."""
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(SetupError, match=named) as raised:
        hs.ChatPanel.load(path)
    assert "other.json" in str(raised.value)


async def test_a_file_that_was_changed_by_hand_is_checked(panel: Make, tmp_path: Path) -> None:
    """Wrong kinds, unknown states, missing answers, impossible settings: none gets as far as a page."""
    chat = panel()
    await chat.send("Hello")
    path = chat.save(tmp_path / "a.json")
    good = json.loads(path.read_text())
    for break_it in (
        lambda data: data["turns"][0]["answers"][0].update(state="singing"),
        lambda data: data["turns"][0]["answers"][0].update(text=3),
        lambda data: data["turns"][0].update(answers=[]),
        lambda data: data["turns"][0].update(chosen=4),
        lambda data: data["turns"].append(data["turns"][0]),
        lambda data: data["settings"].update(models=[]),
        lambda data: data["settings"].update(temperature=5.0),
        lambda data: data.update(api_key="x"),
    ):
        data = json.loads(json.dumps(good))
        break_it(data)
        path.write_text(json.dumps(data))
        with pytest.raises(SetupError):
            hs.ChatPanel.load(path)


def test_files_that_are_not_there_or_cannot_be_written(panel: Make, tmp_path: Path) -> None:
    """Both are said with the reason."""
    with pytest.raises(SetupError, match=r"no\.json cannot be read"):
        hs.ChatPanel.load(tmp_path / "no.json")
    with pytest.raises(SetupError, match="cannot be written"):
        panel().save(tmp_path / "nowhere" / "a.json")


def test_a_new_file_never_takes_another_s_place(tmp_path: Path) -> None:
    """ "Save copy" on a page."""
    from datetime import datetime

    names = [files.write_new(tmp_path, f"{n}", datetime(2026, 11, 21)).name for n in range(3)]
    assert names == ["chat-2026-11-21.md", "chat-2026-11-21-2.md", "chat-2026-11-21-3.md"]
    assert [(tmp_path / name).read_text() for name in names] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": "a", "models": ["b"]}, "not both"),
        ({"models": []}, "1 to 4"),
        ({"models": "gpt-4.1"}, "list of names"),
        ({"model": "openai:"}, "no default model"),
        ({"model": "a", "temperature": 3}, "temperature 3"),
        ({"model": "a", "max_tokens": 0}, "max_tokens 0"),
        ({"model": "a", "max_cost": 0}, "max_cost=0"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(options: dict[str, Any], named: str) -> None:
    """Before it is displayed."""
    with pytest.raises(SetupError, match=named):
        hs.ChatPanel(**options)


async def test_what_a_loaded_conversation_has_cost_counts(panel: Make, tmp_path: Path) -> None:
    """A limit is for all of it."""
    chat = panel(max_cost=1)
    await chat.send("Hello")
    path = chat.save(tmp_path / "talk.json")
    saved = json.loads(path.read_text("utf-8"))
    saved["spent"]["usd"] = "0.01"
    path.write_text(json.dumps(saved), "utf-8")
    loaded = hs.ChatPanel.load(path, max_cost="0.01", base_url=chat._chat._means.options.base_url)
    try:
        with pytest.raises(SetupError, match=r"max_cost=0\.01 is spent"):
            loaded.send("And now?")
        assert len(loaded.messages) == len(chat.messages)
    finally:
        loaded.close()


def test_an_unknown_option_is_refused_by_name() -> None:
    """A slip of the pen is no trait."""
    with pytest.raises(SetupError, match="temprature: did you mean temperature"):
        hs.ChatPanel("a", temprature=1)  # type: ignore[call-arg]


def test_traits_are_checked_when_they_are_set(panel: Make) -> None:
    """And keep what they had; results cannot be set."""
    chat = panel()
    for name, value in (("temperature", 9.0), ("max_tokens", -1), ("models", []), ("model", "")):
        before = getattr(chat, name)
        with pytest.raises(SetupError):
            setattr(chat, name, value)
        assert getattr(chat, name) == before
    with pytest.raises(Exception, match="read-only"):
        chat.messages = []
    chat.models = ["a", "b"]
    assert chat.model == "a"
    chat.model = "c"
    assert chat.models == ["c"]


async def test_a_closed_panel_can_still_be_read(panel: Make) -> None:
    """And says what to do."""
    chat = panel()
    await chat.send("Hello")
    chat.close()
    chat.close()
    with pytest.raises(SetupError, match="make a new one"):
        chat.send("More")
    assert len(chat.to_messages()) == 2


def test_without_arguments_it_is_the_simulator_without_a_key(monkeypatch: Any) -> None:
    """And its repr dumps no traits."""
    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)
    assert repr(hs.ChatPanel()) == "ChatPanel(deepseek-v3.2; 0 questions)"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("usd", "NaN"),
        ("usd", "Infinity"),
        ("cny", "-1"),
        ("usd", "1E+3000000"),
        ("cny", "1E-3000000"),
        ("requests", -1),
    ],
)
async def test_sums_that_cannot_be_are_refused(panel: Make, tmp_path: Path, field: str, value: object) -> None:
    """A file may come from anybody: nothing in it may keep the panel from going on."""
    path = tmp_path / "talk.json"
    panel().save(path)
    saved = json.loads(path.read_text("utf-8"))
    saved["spent"][field] = value
    path.write_text(json.dumps(saved), "utf-8")
    with pytest.raises(SetupError, match="not a saved chat panel"):
        hs.ChatPanel.load(path)


async def test_a_sum_of_before_there_were_two_stays_the_simulators(panel: Make, tmp_path: Path) -> None:
    """A file of an earlier version says only that the simulator had a part in it."""
    path = tmp_path / "talk.json"
    panel().save(path)
    saved = json.loads(path.read_text("utf-8"))
    del saved["spent"]["simulated_usd"]
    saved["spent"] |= {"requests": 1, "priced": 1, "usd": "0.01", "cny": "0.07", "simulated": True}
    path.write_text(json.dumps(saved), "utf-8")
    assert str(files.load(path).spent) == "1 request · 0 tokens · $0.01 (simulated)"


async def test_half_a_character_in_a_question_does_not_spoil_the_file(panel: Make, tmp_path: Path) -> None:
    """It becomes U+FFFD, is asked, and can be saved."""
    chat = panel()
    await chat.send("a\ud800b")
    chat.save(tmp_path / "talk.json")
    assert chat.messages[0]["content"] == "a\ufffdb"


@pytest.mark.parametrize("value", [b'"\xff"', b'"\\ud800"', b"[" * 100_000])
def test_a_file_of_bytes_or_depth_that_cannot_be_is_refused(panel: Make, tmp_path: Path, value: bytes) -> None:
    """As any other file that is none of ours, and not with an error of the decoder's."""
    path = panel().save(tmp_path / "talk.json")
    data = path.read_bytes()
    for place in (b'"system": ""', b'"holystream_chat": 1'):
        assert place in data
        path.write_bytes(data.replace(place, place.split(b" ")[0] + value + b', "more": ' + value))
        with pytest.raises(SetupError, match="not a saved chat panel"):
            hs.ChatPanel.load(path)


async def test_half_a_character_in_a_setting_does_not_spoil_the_file(panel: Make, tmp_path: Path) -> None:
    """Neither in the system prompt, which a page may set, nor in a model's name."""
    chat = panel(system="a\ud800")
    chat.system = "b\ud800"
    await chat.send("Hello")
    assert chat.system == "b\ufffd"
    chat.model = "c\ud800"
    assert chat.models == ["c\ufffd"]
    assert hs.ChatPanel.load(chat.save(tmp_path / "talk.json")).system == "b\ufffd"


async def test_an_observer_that_raises_keeps_no_other_from_hearing(
    panel: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another trait's is told that the answer has ended."""
    chat, seen = panel(), []

    def fails(change: object) -> None:
        raise RuntimeError("the observer's")

    chat.observe(fails, "messages")
    chat.observe(lambda change: seen.append(change["new"]), "is_streaming")
    await chat.send("Hello")
    assert seen == [True, False]
    assert capsys.readouterr().err.count("RuntimeError: the observer's") == 2
    chat.observe(fails, "temperature")
    with pytest.raises(RuntimeError):
        chat.temperature = 0.5  # whoever sets it hears of it
    assert chat._chat.settings.temperature == 0.5


async def test_an_observer_that_raises_keeps_no_callback_from_its_reply(
    panel: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its error is shown, and the replies are told."""
    chat, told = panel(), []

    def fails(change: object) -> None:
        raise RuntimeError("the observer's")

    chat.observe(fails, "is_streaming")
    chat.on_reply(told.append)
    reply = await chat.send("Hello")
    await until(lambda: told)
    assert told == [reply]
    assert "the observer's" in capsys.readouterr().err


async def test_what_an_observer_sets_is_set(panel: Make) -> None:
    """Also a setting of the panel, while it is told of an answer."""
    chat = panel()
    chat.observe(lambda change: setattr(chat, "temperature", 0.25), "full_response")
    await chat.send("Hello")
    await chat.send("Again")
    assert chat.temperature == 0.25
    assert chat._chat.settings.temperature == 0.25
