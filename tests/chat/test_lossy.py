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
from lossy import IS_BUILDABLE, Page, Speaking, Weather
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
    """A panel whose models speak without a service."""

    def __init__(self) -> None:
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
        return Lane(Speaking(20, name=model), label=model, provider="p")


class Half:
    """The panel's half on the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
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
        self.page.send(content)

    def tell(self, **state: Any) -> None:
        changed = {name: value for name, value in state.items() if self.traits[name] != value}
        self.traits.update(changed)
        self.page.update(changed)


@given(weathers, deeds)
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_panel_and_its_page_agree_in_the_end(weather: Weather, deeds: list[tuple[float, str]]) -> None:
    """Turns, text, states, comparisons, what is chosen, traits; nothing waits; what was asked, was asked once."""

    async def main() -> None:
        page = Page(weather)
        loop = asyncio.get_running_loop()
        half = Half(page)
        page.tell("panel", traits=half.traits)
        chat = Talking()
        page.hear = chat.hear
        chat.attach(half)
        page.tell("appeared", view="v")
        for number, (at, deed) in enumerate(sorted(deeds)):
            await asyncio.sleep(max(0.0, at - loop.time()))
            do(page, chat, deed, number)
        await asyncio.sleep(max(0.0, weather.ends - loop.time()))
        calm = 0.0
        while calm < AGREES_S:  # what is heard at last may ask one more question
            await asyncio.sleep(0.1)
            calm = 0.0 if chat._running is not None else calm + 0.1
        shown = page.shows()
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
                [(answer.text, answer.state, list(answer.figures), answer.units) for answer in turn.answers],
            )
            for turn in chat.conversation.turns
        ]
        assert all(turn["whole"] and not turn["behind"] for turn in shown["turns"])
        most = 1 + sum(deed == "regenerate" for _, deed in deeds)
        assert all(times <= most for times in Counter(chat.asked).values())
        before = len(page.said), len(page.sent)
        await asyncio.sleep(30)
        assert (len(page.said), len(page.sent)) == before, "an idle page and kernel say nothing"
        await chat.finish()

    run_virtually(main())


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
            [(lane["text"], lane["state"], lane["figures"], lane["units"]) for lane in turn["lanes"]],
        )
        for turn in turns
    ]
