"""Other people's clients on `/v1/responses`, where reasoning has to come back: a tool round without a complaint."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from holystream_nb.simulator import Simulator

pytestmark = pytest.mark.slow

PYDANTIC_AI = """
import asyncio
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

agent = Agent(
    OpenAIResponsesModel("sim-reasoner", provider=OpenAIProvider(base_url=URL, api_key="key")),
    instructions="Be brief",
    model_settings={"openai_reasoning_summary": "auto", "openai_store": False},
)

@agent.tool_plain
def get_weather(city: str) -> str:
    return f"12 degrees in {city}"

async def main():
    async with agent.run_stream("get_weather in Paris") as run:
        print(await run.get_output())
    whole = await agent.run("get_weather in Paris")
    print(whole.output)
    print((await agent.run("And goats?", message_history=whole.all_messages())).output)

asyncio.run(main())
"""

LANGCHAIN = """
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

def get_weather(city: str) -> str:
    "The weather."
    return f"12 degrees in {city}"

for how in (
    {"store": False, "include": ["reasoning.encrypted_content"]},
    {"use_previous_response_id": True},
    {"output_version": "v1"},
):
    plain = ChatOpenAI(
        model="sim-reasoner", base_url=URL, api_key="key", use_responses_api=True, reasoning={"summary": "auto"}, **how
    )
    model = plain.bind_tools([get_weather])
    asked = [HumanMessage("get_weather in Paris")]
    said = None
    for chunk in model.stream(asked):
        said = chunk if said is None else said + chunk
    (call,) = said.tool_calls
    asked += [said, ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"])]
    print(model.invoke(asked).text)
"""

LITELLM = """
import litellm

tool = {"type": "function", "name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
options = {"model": "openai/sim-reasoner", "api_base": URL, "api_key": "key", "tools": [tool], "store": False}
asked = [{"role": "user", "content": "get_weather in Paris"}]
*_, last = litellm.responses(input=asked, stream=True, **options)
output = [item.model_dump(exclude_none=True) for item in last.response.output]
result = {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "12 degrees in Paris"}
print(litellm.responses(input=[*asked, *output, result], **options).output[-1].content[0].text)
"""


@pytest.mark.parametrize(
    ("program", "told"), [(PYDANTIC_AI, 2), (LANGCHAIN, 3), (LITELLM, 1)], ids=["pydantic-ai", "langchain", "litellm"]
)
def test_a_tool_round_with_reasoning(simulator: Simulator, program: str, told: int) -> None:
    """In a process of its own, the client calls a tool, gives back what the service wants, and hears of the result."""
    environment: dict[str, Any] = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    code = f"URL = {simulator.url!r}\n{program}"
    its_own = "ignore:Pydantic serializer warnings:UserWarning"  # litellm's log of an answer warns of litellm's usage
    command = [sys.executable, "-W", "error::UserWarning", "-W", its_own, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("`12 degrees in Paris`") == told
