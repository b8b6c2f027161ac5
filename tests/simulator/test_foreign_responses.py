"""Other people's clients on `/v1/responses`: a conversation with a tool call, without a complaint."""

from __future__ import annotations

import asyncio

import pytest

from holystream_nb.simulator import Simulator

pytestmark = pytest.mark.slow


def test_pydantic_ai(simulator: Simulator) -> None:
    """pydantic-ai's model of the Responses API calls a tool and hears of its result, streamed and not."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async def converse() -> list[str]:
        model = OpenAIResponsesModel("gpt-4.1", provider=OpenAIProvider(base_url=simulator.url, api_key="key"))
        agent = pydantic_ai.Agent(model)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            return f"18 degrees in {city}"

        async with agent.run_stream("Use get_weather in Paris") as run:
            streamed = "".join([piece async for piece in run.stream_text(delta=True)])
        return [streamed, str((await agent.run("Use get_weather in Paris")).output)]

    assert all("`18 degrees in Paris`" in answer for answer in asyncio.run(converse()))
