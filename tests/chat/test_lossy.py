"""A panel whose messages may be lost, doubled or late: no question is asked twice, and in the end both sides agree.

The real policy in Python, the real conversation in TypeScript, a lossy pipe between them, virtual time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossy import IS_BUILDABLE, Calling, Page, Speaking, Weather
from missing import needs
from virtual import run_virtually

from holystream_nb.chat.policy import Chat
from holystream_nb.chat.settings import Settings
from holystream_nb.chat.widget import EXAMPLES
from holystream_nb.live.lane import Lane
from holystream_nb.session import Session

pytestmark = [
    pytest.mark.slow,
    needs(IS_BUILDABLE, "NO NODE OR NO esbuild UNDER frontend/node_modules: what the page's code does is NOT TESTED"),
]

AGREES_S = 5.0
"""How long after the flood, and the last answer, both sides agree at the latest."""

weathers = st.builds(
    Weather,
    seed=st.integers(0, 10**6),
    ends=st.sampled_from([3.0, 6.0]),
    down=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    up=st.sampled_from([0.0, 0.2, 0.5]),
    doubled=st.sampled_from([0.0, 0.3]),
    late=st.sampled_from([0.0, 0.4]),
)
deeds = st.lists(
    st.tuples(
        st.floats(0.0, 3.0),
        st.sampled_from(["ask", "ask", "stop", "set", "program", "regenerate", "clear", "refused", "choose"]),
    ),
    min_size=1,
    max_size=6,
)


class Talking(Chat):
    """A panel whose models speak without a service; with tools they call one, and ask whether they may."""

    def __init__(self, *, has_tools: bool = False) -> None:
        self.has_tools = has_tools
        super().__init__(
            Session(),
            Settings(("a",)),
            report=lambda news: None,
            save_copy=lambda conversation: "",
            set_aside=lambda conversation, settings, spent: "",
        )
        self.asked: list[tuple[str, str]] = []

    def _place(self, model: str) -> tuple[str, str]:
        return "p", ""

    def _lane(self, model: str, question: str, settings: Settings) -> Lane:
        self.asked.append((question, model))
        if self.has_tools:
            calling = Calling(20, name=model)
            return Lane(calling, label=model, provider="p", questions=calling.questions)
        return Lane(Speaking(20, name=model), label=model, provider="p")


class Half:
    """The panel's half on its pages."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.traits: dict[str, Any] = {
            "models": ["a"],
            "system": "",
            "temperature": None,
            "max_tokens": None,
            "catalogue": [],
            "is_streaming": False,
            "total": "",
            "examples": list(EXAMPLES),
            "stale": [],
            "title": "",
            "note": "",
            "told": 0,
        }

    def send(self, content: dict[str, Any]) -> None:
        for page in self.pages:
            page.send(content)

    def tell(self, **state: Any) -> None:
        changed = {name: value for name, value in state.items() if self.traits[name] != value}
        self.traits.update(changed)
        for page in self.pages:
            page.update(changed)

    def show(self, page: Page, chat: Chat) -> None:
        """The panel appears on a page."""
        self.pages.append(page)
        page.hear = chat.hear
        page.tell("panel", traits=self.traits)
        page.tell("appeared", view="v")


@given(weathers, deeds)
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_panel_and_its_page_agree_in_the_end(weather: Weather, deeds: list[tuple[float, str]]) -> None:
    """Turns, text, states, comparisons, what is chosen, traits; nothing waits; what was asked, was asked once."""

    async def main() -> None:
        page = Page(weather)
        half = Half()
        chat = Talking()
        chat.attach(half)
        half.show(page, chat)
        for number, (at, deed) in enumerate(sorted(deeds)):
            await until(at)
            do(page, chat, deed, number)
        await until(weather.ends)
        await quiet(chat)
        agrees(page.shows(), chat, half)
        most = 1 + sum(deed == "regenerate" for _, deed in deeds)
        assert all(times <= most for times in Counter(chat.asked).values())
        before = len(page.said), len(page.sent)
        await asyncio.sleep(30)
        assert (len(page.said), len(page.sent)) == before, "an idle page and kernel say nothing"
        await chat.finish()

    run_virtually(main())


def agrees(shown: dict[str, Any], chat: Chat, half: Half) -> None:
    assert not shown["pending"]
    assert not shown["isStreaming"]
    assert not shown["isStopping"]
    assert {**half.traits, "told": chat._told} == shown["traits"]
    assert drawn(shown["turns"]) == [
        (
            turn.id,
            turn.question,
            turn.chosen,
            turn.verdict,
            [
                (answer.text, answer.state, list(answer.figures), answer.units, answer.drawn()["calls"])
                for answer in turn.answers
            ],
        )
        for turn in chat.conversation.turns
    ]
    assert all(turn["whole"] and not turn["behind"] for turn in shown["turns"])


def do(page: Page, chat: Chat, deed: str, number: int) -> None:
    if deed == "ask":
        page.tell("ask", text=f"once {number}")
    elif deed == "stop":
        page.tell("stop")
    elif deed == "set":
        page.tell("set", trait="models", value=["a", "b"] if number % 2 else ["a"])
        page.tell("set", trait="system", value=f"Be {number}.")
    elif deed == "refused":
        page.tell("set", trait="temperature", value=9)
    elif deed == "program" and chat._running is None:
        chat.send(f"program {number}")
    elif deed == "clear":
        page.tell("say", message={"kind": "begin_anew"})
    elif chat.conversation.turns and chat._running is None:
        turn = chat.conversation.turns[-1]
        if deed == "regenerate":
            page.tell("say", message={"kind": "regenerate", "turn": turn.id})
        elif deed == "choose":
            page.tell("say", message={"kind": "choose", "turn": turn.id, "lane": 0})


def drawn(turns: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            turn["id"],
            turn["question"],
            turn["chosen"],
            turn["verdict"],
            [(lane["text"], lane["state"], lane["figures"], lane["units"], lane["calls"]) for lane in turn["lanes"]],
        )
        for turn in turns
    ]


happenings = st.lists(
    st.tuples(
        st.floats(0.0, 6.0),
        st.integers(0, 1),
        st.sampled_from(["ask", "ask", "stop", "set", "program", "regenerate", "clear", "reload", "reload", "sleep"]),
    ),
    min_size=1,
    max_size=10,
)


@given(weathers, happenings, st.booleans())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_pages_agree_in_the_end(weather: Weather, deeds: list[tuple[float, int, str]], has_tools: bool) -> None:
    """Either may ask, stop, ask again, allow a call, be reloaded at any time, or sleep for minutes."""

    async def main() -> None:
        half = Half()
        chat = Talking(has_tools=has_tools)
        chat.attach(half)
        pages = [Page(weather, f"page {number}") for number in range(2)]
        for page in pages:
            half.show(page, chat)
        reader = asyncio.ensure_future(allowing(pages))
        asleep: set[int] = set()
        for number, (at, which, deed) in enumerate(sorted(deeds)):
            await until(at)
            if which in asleep:
                continue
            if deed == "reload":
                pages[which].close()
                half.pages.remove(pages[which])
                pages[which] = Page(weather, f"page {which} {number}")
                half.show(pages[which], chat)
            elif deed == "sleep":
                pages[which].sleep()
                asleep.add(which)
            else:
                do(pages[which], chat, deed, number)
        await until(weather.ends)
        if asleep:
            await until(300)
        for which in asleep:
            pages[which].wake()
        await quiet(chat)
        for page in pages:
            agrees(page.shows(), chat, half)
        most = 1 + sum(deed == "regenerate" for _, _, deed in deeds)
        assert all(times <= most for times in Counter(chat.asked).values())
        reader.cancel()
        await asyncio.sleep(120)  # until a page that was reloaded without a word is given up
        before = [(len(page.said), len(page.sent)) for page in pages]
        await asyncio.sleep(30)
        assert [(len(page.said), len(page.sent)) for page in pages] == before, "idle pages and kernel say nothing"
        await chat.finish()

    run_virtually(main())


async def until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


async def quiet(chat: Chat) -> None:
    """Until nothing has run for a while: what is heard at last may ask one more question."""
    calm = 0.0
    while calm < AGREES_S:
        await asyncio.sleep(0.1)
        calm = 0.0 if chat._running is not None else calm + 0.1
        assert asyncio.get_running_loop().time() < 600, "an answer waits for ever"


async def allowing(pages: list[Page]) -> None:
    """A reader at every page, who allows every call that asks there, once."""
    allowed: set[tuple[str, str, int, int]] = set()
    while True:
        await asyncio.sleep(0.7)
        for page in pages:
            turns = [] if page.is_asleep else page.shows()["turns"]
            asking = [
                (turn["id"], lane, call["number"])
                for turn in turns
                for lane, answer in enumerate(turn["lanes"])
                for call in answer["calls"]
                if call["state"] == "asking"
            ]
            for turn, lane, call in asking:
                if (page.name, turn, lane, call) not in allowed:
                    allowed.add((page.name, turn, lane, call))
                    consent = {"kind": "consent", "lane": lane, "call": call, "answer": "allow"}
                    page.tell("say", message={"kind": "turn", "turn": turn, "message": consent})


def test_a_page_that_was_quiet_for_minutes_hears_of_what_it_missed() -> None:
    """The program asks in a flood that takes all of it: the page, which has said nothing for long, shows the answer."""

    async def main() -> None:
        page = Page(Weather(begins=300, ends=310, down=1.0))
        half = Half()
        chat = Talking()
        chat.attach(half)
        half.show(page, chat)
        await until(300.5)
        chat.send("program")
        await until(310 + AGREES_S)
        agrees(page.shows(), chat, half)
        await chat.finish()

    run_virtually(main())
