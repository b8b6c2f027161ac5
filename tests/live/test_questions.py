"""Questions about calls: what counts as an answer."""

from __future__ import annotations

import asyncio

from holystream_nb.live.questions import Questions
from holystream_nb.tools.call import Call


async def test_what_is_no_answer_is_ignored() -> None:
    """A page may send anything; the question stays open until one of its answers comes."""
    questions = Questions()
    call = Call(0, 1, 0, "id", "get_weather", "{}", "asking")
    asked = asyncio.ensure_future(questions.ask(call))
    await asyncio.sleep(0)
    for answer in (["allow"], {"allow": 1}, None, 1, "yes"):
        questions.answer(0, answer)
    assert questions.waits_for(call)
    questions.answer(0, "allow")
    assert await asked == "allow"
