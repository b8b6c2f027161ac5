"""Tools in a panel: consent, cards, what a model is told afterwards, what is counted and kept; and both transports."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import until

import holystream_nb as hs
from holystream_nb import Simulator
from holystream_nb.chat.conversation import Answer
from holystream_nb.chat.files import load
from holystream_nb.chat.settings import Means, Settings
from holystream_nb.errors import SetupError
from holystream_nb.live import feed
from holystream_nb.session import session
from holystream_nb.tools.call import Call

Make = Callable[..., Any]

ASK = "Use get_weather, Paris"


@hs.tool
def get_weather(city: str) -> str:
    """Says what the weather will be."""
    return f"**blue** over {city} ☀ (in thread {threading.current_thread() is not threading.main_thread()})"


async def get_time(zone: str) -> str:
    return f"12:00 in {zone}"


def untyped(x): ...  # type: ignore[no-untyped-def]


def calls(b: Any) -> list[dict[str, Any]]:
    """The states of calls that went to the page."""
    return [call for status in b.page.inner(b.chat.conversation.turns[-1].id, "status") for call in status["calls"]]


def click(b: Any, answer: str, call: object = 0) -> None:
    """What a page sends when a card is clicked."""
    message = {"kind": "consent", "lane": 0, "call": call, "answer": answer}
    b.chat.hear({"kind": "turn", "turn": b.last().id, "message": message})


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "requests"), [("sse", 2), ("ws", 1)])
async def test_an_allowed_call_is_shown_kept_and_told_over_either_transport(
    bench: Make, transport: str, requests: int
) -> None:
    """Over server-sent events results go in the next request, over a socket in the turn; what is told is the same."""
    b = bench("gpt-4.1#rate=200", tools=[get_weather], allow="all", transport=transport)
    running = b.chat.send(ASK)
    await asyncio.wrap_future(running.done)
    states = [call["state"] for call in calls(b)]
    assert [state for n, state in enumerate(states) if state not in states[:n]] == ["writing", "running", "done"]
    answer = b.last().answers[0]
    assert [call.result for call in answer.calls] == ["**blue** over Paris ☀ (in thread True)"]
    assert answer.drawn()["calls"] == running.lanes[0].snapshot()["calls"]
    assert ("ws" in answer.figures) == (transport == "ws")
    user, asked, result, said = b.chat.conversation.history("gpt-4.1#rate=200")
    assert (user["content"], said["role"]) == (ASK, "assistant")
    assert asked["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert result == {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": answer.calls[0].result}
    assert [user, asked, result, said] == running.lanes[0].source.stream.messages
    assert len(b.news[-1].paid[0].requests) == b.chat.spent.requests == requests
    assert b.page.state["total"].startswith(f"{requests} request")
    assert b.chat.spent.completion_tokens == b.news[-1].paid[0].reply.usage.completion_tokens
    await b.ask("And now?")
    assert b.last().answers[0].state == "done"


@pytest.mark.parametrize(("answer", "state"), [("allow", "done"), ("refuse", "refused")])
async def test_a_call_waits_for_a_click_on_its_card(bench: Make, answer: str, state: str) -> None:
    """In the turn's envelope; what is no answer is none."""
    b = bench("gpt-4.1", tools=[get_weather])
    running = b.chat.send(ASK)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    click(b, "nonsense")
    click(b, answer, call=[7])
    click(b, answer)
    await asyncio.wrap_future(running.done)
    assert [call.state for call in b.last().answers[0].calls] == [state]
    assert b.last().answers[0].state == "done"


async def test_allow_always_holds_until_the_answer_ends(bench: Make) -> None:
    """The tool's second call is not asked for; in the next answer it is again."""
    b = bench("gpt-4.1#rounds=2", tools=[get_weather])
    running = b.chat.send(ASK)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    click(b, "always")
    await asyncio.wrap_future(running.done)
    assert [call.state for call in b.last().answers[0].calls] == ["done", "done"]
    again = b.chat.send(ASK)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    b.chat.stop()
    await asyncio.wrap_future(again.done)
    assert b.last().answers[0].state == "stopped"
    assert [call.state for call in b.last().answers[0].calls] == ["stopped"]


async def test_where_nobody_sees_the_panel_a_call_is_refused_with_the_sentence(bench: Make) -> None:
    """A script, an executed notebook; at once, and the answer goes on."""
    b = bench("gpt-4.1", tools=[get_weather], attached=False)
    await b.ask(ASK)
    call = b.last().answers[0].calls[0]
    assert call.state == "refused"
    assert "nobody can be asked" in call.error
    assert "allow=['get_weather']" in call.error


@pytest.mark.slow
async def test_a_page_that_comes_in_time_is_asked(bench: Make) -> None:
    """A cell that asks, and then displays the panel."""
    b = bench("gpt-4.1#head=0.3", tools=[get_weather], attached=False)
    running = b.chat.send(ASK, asked_in=copy_context())
    b.chat.attach(b.page)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    click(b, "allow")
    await asyncio.wrap_future(running.done)
    assert b.last().answers[0].calls[0].state == "done"


async def test_when_the_last_view_has_gone_the_program_s_calls_are_refused(bench: Make) -> None:
    """Nobody can click any more, and the program waits; a view that comes back is asked again."""
    b = bench("gpt-4.1", tools=[get_weather])
    b.chat.hear({"kind": "ready", "page": "p"})
    running = b.chat.send(ASK, asked_in=copy_context())
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    b.chat.hear({"kind": "gone", "page": "p"})
    await asyncio.wrap_future(running.done)
    assert "nobody can be asked" in b.last().answers[0].calls[0].error
    b.chat.hear({"kind": "ready", "page": "p"})
    again = b.chat.send(ASK, asked_in=copy_context())
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    click(b, "allow")
    await asyncio.wrap_future(again.done)


@pytest.mark.slow
async def test_a_page_that_is_not_heard_during_the_answer_is_given_up(bench: Make, monkeypatch: Any) -> None:
    """A kernel that hears nothing while its cell runs; a view of the answer that is heard says `ready`."""
    monkeypatch.setattr(feed, "_DEAF_S", 0.1)
    b = bench("gpt-4.1", tools=[get_weather])
    b.chat.hear({"kind": "ready", "page": "p"})
    await b.ask(ASK)
    assert "hears no click" in b.last().answers[0].calls[0].error
    running = b.chat.send(ASK)
    b.chat.hear({"kind": "turn", "turn": running.turn.id, "message": {"kind": "ready"}})
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    await asyncio.sleep(0.4)
    assert calls(b)[-1]["state"] == "asking"
    click(b, "allow")
    await asyncio.wrap_future(running.done)


async def test_a_stopped_call_is_told_as_one(bench: Make) -> None:
    """Every call that a model is told of has a result, or why it has none; a service refuses the rest."""
    b = bench("gpt-4.1", tools=[get_weather])
    running = b.chat.send(ASK)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    standing = b.chat.standing().ended().turns[-1].answers[0]
    assert [(call.state, call.is_final) for call in standing.calls] == [("stopped", True)]
    b.chat.stop()
    await asyncio.wrap_future(running.done)
    roles = [message["role"] for message in b.chat.conversation.history("gpt-4.1")]
    assert roles == ["user", "assistant", "tool"]
    assert "stopped before" in b.chat.conversation.history("gpt-4.1")[-1]["content"]
    b.chat.configure(Settings(("gpt-4.1",)))
    await b.ask("And now?")
    assert b.last().answers[0].state == "done"


@pytest.mark.parametrize("service", ["gemini", "openrouter", "mistral", "kimi"])
async def test_a_stopped_call_is_told_with_what_its_service_wants_back(bench: Make, service: str) -> None:
    """The answer was whole when its call was stopped; its signature goes along, in this conversation and on."""
    b = bench(f"gpt-4.1#echo={service},tokens=8", tools=[get_weather])
    running = b.chat.send(ASK)
    await until(lambda: calls(b) and calls(b)[-1]["state"] == "asking")
    b.chat.stop()
    await asyncio.wrap_future(running.done)
    label = b.last().lanes[0].label
    assert b.chat.conversation.history(label)[1]["echo"]["content"]
    await b.ask("And now?")
    assert b.last().answers[0].error == ""


@pytest.mark.parametrize("service", ["gemini", "openrouter", "mistral", "kimi", "deepseek", "groq"])
async def test_another_service_goes_on_with_the_calls_of_the_first(bench: Make, service: str) -> None:
    """What only the first can read stays with it: Gemini gets its word for a call that is not its own."""
    b = bench("gpt-4.1#echo=openrouter,tokens=8", tools=[get_weather], allow="all")
    await b.ask(ASK)
    b.chat.configure(Settings((f"gpt-4o#echo={service},tokens=8",)))
    await b.ask("And now?")
    assert b.last().answers[0].error == ""


def test_a_call_that_broke_off_at_its_beginning_is_not_told() -> None:
    """A call without a name would be refused with the whole request."""
    nameless = Call(0, 1, 2, "", "", "", "refused", error="not run")
    answer = Answer("a", "p", "", "a", "interrupted", "So", calls=(nameless,))
    assert answer.messages == [{"role": "assistant", "content": "So"}]
    assert not replace(answer, text="").is_something


async def test_a_panel_with_calls_is_saved_and_loaded(simulator: Simulator, tmp_path: Path) -> None:
    """The file, the Markdown, OpenAI's messages, `messages`, history and totals; a loaded panel goes on with tools."""
    panel = hs.ChatPanel("gpt-4.1", base_url=simulator.url, tools=[get_weather, get_time], allow=["get_weather"])
    before, answers = session.totals.requests, list(session.history)
    await panel.send("Use get_weather and get_time, Paris")
    assert session.totals.requests == before + 2
    assert list(session.history)[:-1] == answers[-99:]
    weather, clock = panel.messages[1]["calls"]
    assert (weather["name"], weather["state"], clock["state"]) == ("get_weather", "done", "refused")
    assert [message["role"] for message in panel.to_messages()] == ["user", "assistant", "tool", "tool", "assistant"]
    text = panel.to_markdown()
    assert "🔧 get" in text
    assert "```text\n**blue** over Paris ☀ (in thread True)\n```" in text
    path = panel.save(tmp_path / "talk.json")
    loaded = hs.ChatPanel.load(path, base_url=simulator.url, tools=[get_weather], allow="all", transport="ws")
    assert loaded.to_messages() == panel.to_messages()
    assert loaded.messages == panel.messages
    assert loaded.to_markdown() == text
    await loaded.send(ASK)
    assert loaded.messages[-1]["calls"][0]["state"] == "done"
    assert loaded.messages[-1]["figures"]["transport"] == "ws"
    for each in (panel, loaded):
        each.close()


async def test_a_file_with_calls_that_cannot_be_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    """Doubled numbers are no panel's; a call that still asks is stopped: there is nobody to answer."""
    panel = hs.ChatPanel("gpt-4.1", base_url=simulator.url, tools=[get_weather], allow="all")
    await panel.send(ASK)
    path = panel.save(tmp_path / "talk.json")
    panel.close()
    data = json.loads(path.read_text(encoding="utf-8"))
    call = data["turns"][0]["answers"][0]["calls"][0]
    call["state"] = "asking"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert [(each.state, each.result) for each in load(path).turns[0].answers[0].calls] == [("stopped", "")]
    call["number"] = 1
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(SetupError, match="not whole"):
        load(path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"transport": "pigeon"}, "no transport 'pigeon'"),
        ({"allow": "all"}, "give tools"),
        ({"tools": [get_weather], "allow": ["get_wether"]}, "get_wether cannot be allowed"),
        ({"tools": [untyped]}, "x has no type"),
    ],
)
def test_means_that_cannot_be_are_refused(options: dict[str, Any], named: str) -> None:
    """Before the panel is there."""
    with pytest.raises(SetupError, match=named):
        hs.ChatPanel("gpt-4.1", **options)
    assert Means().checked() == Means()
