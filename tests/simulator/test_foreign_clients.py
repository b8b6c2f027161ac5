"""Other people's clients, each in a process of its own: a conversation with a tool call, without a complaint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holystream_nb.simulator import Simulator

pytestmark = pytest.mark.slow

TOLD = "`18 degrees in Paris`"

LITELLM = """
import litellm

tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
chat = {"model": "openai/gpt-4.1", "api_base": URL}
thinking = {"type": "enabled", "budget_tokens": 1024}
messages_api = {"model": "anthropic/claude-sonnet-4.5", "api_base": ROOT, "max_tokens": 4000, "thinking": thinking}
for options in (chat, messages_api):
    messages = [{"role": "user", "content": "Use get_weather in Paris"}]
    for _ in range(2):
        stream = litellm.completion(api_key="key", messages=messages, tools=tools, stream=True,
                                    stream_options={"include_usage": True}, **options)
        answer = litellm.stream_chunk_builder(list(stream), messages=messages)
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees in Paris"})
    assert answer.usage.completion_tokens > 20
    print(message.content)
"""

PYDANTIC_AI = """
import asyncio
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

chat = OpenAIChatModel("gpt-4.1", provider=OpenAIProvider(base_url=URL, api_key="key"))
claude = AnthropicModel("claude-sonnet-4.5", provider=AnthropicProvider(base_url=ROOT, api_key="key"))
thinking = {"max_tokens": 4000, "anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}}

async def main():
    for model, settings in ((chat, {}), (claude, thinking)):
        agent = Agent(model, model_settings=settings)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            return f"18 degrees in {city}"

        async with agent.run_stream("Use get_weather in Paris") as run:
            pieces = [piece async for piece in run.stream_text(delta=True)]
            print("".join(pieces))
            assert run.usage.requests == 2
        print((await agent.run("Use get_weather in Paris")).output)

asyncio.run(main())
"""

LANGCHAIN = """
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

@tool
def get_weather(city: str) -> str:
    "The weather somewhere."
    return f"18 degrees in {city}"

model = ChatOpenAI(model="gpt-4.1", base_url=URL, api_key="key", stream_usage=True).bind_tools([get_weather])
messages = [HumanMessage("Use get_weather in Paris")]
for _ in range(2):
    first, *others = model.stream(messages)
    answer = sum(others, first)
    messages += [answer, *(get_weather.invoke(call) for call in answer.tool_calls)]
    assert answer.usage_metadata["output_tokens"] > 5
print(answer.content)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without keys, with a home folder of its own, in which nothing is looked up or reported."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN"))}
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGCHAIN_TRACING_V2": "false", "LLM_USER_PATH": str(tmp_path)}
    return {**kept, **quiet, "HOME": str(tmp_path), "NO_PROXY": "*", "PYTHONIOENCODING": "utf-8"}


def run(command: list[str], environment: dict[str, str]) -> str:
    """What a process writes; it must end well and complain of nothing."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("script", "answers"), [(LITELLM, 2), (PYDANTIC_AI, 4), (LANGCHAIN, 1)])
def test_a_conversation_with_a_tool(
    simulator: Simulator, environment: dict[str, str], script: str, answers: int
) -> None:
    """litellm and pydantic-ai (Chat Completions and Messages with thoughts), and langchain, hear of a tool's result."""
    names = f"URL, ROOT = {simulator.url!r}, {simulator.url.removesuffix('/v1')!r}\n"
    written = run([sys.executable, "-W", "error::UserWarning", "-c", names + script], environment)
    assert written.count(TOLD) == answers


def test_llm(simulator: Simulator, environment: dict[str, str], tmp_path: Path) -> None:
    """The `llm` command, with the simulator as an extra model and a function as a tool."""
    model = f"- model_id: sim\n  model_name: gpt-4.1\n  api_base: {simulator.url}\n  supports_tools: true\n"
    (tmp_path / "extra-openai-models.yaml").write_text(model)
    function = 'def get_weather(city: str) -> str:\n    "The weather."\n    return f"18 degrees in {city}"\n'
    command = [sys.executable, "-m", "llm", "-m", "sim", "--key", "key", "--functions", function]
    assert TOLD in run([*command, "Use get_weather in Paris"], environment)
