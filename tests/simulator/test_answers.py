"""What the simulator answers to which prompt."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from holystream_nb.simulator.answers import Answer, answer
from holystream_nb.simulator.chunks import completion, total_usage
from holystream_nb.simulator.prose import subject
from holystream_nb.simulator.request import read
from holystream_nb.simulator.schema import value_for
from holystream_nb.simulator.tokens import tokenize

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["kelvin", "celsius"]},
                "days": {"type": "integer"},
            },
            "required": ["city", "unit", "days"],
        },
    },
}


def answered(prompt: str, simulate: str = "", seed: int = 0, **parameters: Any) -> Answer:
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], **parameters}
    return answer(read(json.dumps(body).encode(), simulate), seed, 0)


def text(prompt: str, **parameters: Any) -> str:
    return "".join(answered(prompt, **parameters).text)


@pytest.mark.parametrize("model", ["gpt-4.1", "sim-reasoner"])
def test_default_answers_have_a_sensible_length(model: str) -> None:
    """An ordinary prompt gets 120 to 250 tokens of text, names its subject, and says that it is simulated."""
    for seed in range(60):
        found = answered("Tell me about the history of sheep", seed=seed, model=model)
        assert 120 <= len(found.text) <= 250
        assert "the history of sheep" in "".join(found.text)
        assert "simulated" in "".join(found.text)


def test_answers_vary_with_the_seed_and_only_with_it() -> None:
    """One seed always gives one answer; many seeds give many."""
    answers = [text("Tell me about sheep", seed=seed) for seed in range(20)]
    assert answers == [text("Tell me about sheep", seed=seed) for seed in range(20)]
    assert len(set(answers)) > 10


@pytest.mark.parametrize(("word", "number"), [("one", 1), ("three", 3), ("5", 5), ("12", 12)])
def test_sentences_are_counted(word: str, number: int) -> None:
    """A prompt that wants n sentences gets n sentences, about its subject."""
    found = text(f"Explain server-sent events in {word} sentences.")
    assert len(re.findall(r"\.(?=\s|$)", found)) == number
    assert "server-sent events" in found
    assert "sentences" not in found


@pytest.mark.parametrize(
    ("prompt", "sign"),
    [
        ("Show me some Python code", "```python"),
        ("Compare them in a table", "|:--|--:|"),
        ("Give me a list", "\n- "),
        ("The steps, please", "\n1. "),
        ("What is the formula?", "$$"),
        ("A famous quotation", "\n> "),
        ("Make a to-do checklist", "- [x]"),
        ("Say it in Chinese with emoji", "模拟"),
    ],
)
def test_simple_wishes_are_fulfilled(prompt: str, sign: str) -> None:
    """A prompt that names a form gets that form, whatever the seed."""
    assert all(sign in text(prompt, seed=seed) for seed in range(5))


def test_repeating() -> None:
    """What follows "Repeat after me:" comes back to the letter, so that a test can choose the answer."""
    wanted = "<b>&amp;</b>\n\n  - `x`  \n"
    assert text(f"Repeat after me:\n{wanted}") == wanted


def test_counting() -> None:
    """ "Count to N" counts."""
    assert text("Please count to 5.") == "1, 2, 3, 4, 5"


def test_json_on_request() -> None:
    """JSON is valid JSON, asked for in words, by response_format, or by a schema, which it then fits."""
    assert json.loads(text("Answer as JSON: who are you?"))["simulated"] is True
    assert json.loads(text("Who are you?", response_format={"type": "json_object"}))["subject"] == "Who are you"
    schema = {
        "type": "object",
        "properties": {"name": {"$ref": "#/$defs/Name"}, "ages": {"type": "array", "items": {"type": "number"}}},
        "$defs": {"Name": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert json.loads(text("I met Dolly, aged 6.5", response_format=form)) == {"name": "Dolly", "ages": [6.5]}


def test_schema_that_refers_to_itself_ends() -> None:
    """A recursive schema gives a value of bounded depth."""
    schema: dict[str, Any] = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "child" in value_for(schema, "x")


def test_earlier_conversation_is_remembered() -> None:
    """A second question is told what the first one was about."""
    messages = [
        {"role": "user", "content": "Explain goats"},
        {"role": "assistant", "content": "…"},
        {"role": "user", "content": [{"type": "text", "text": "Explain sheep"}]},
    ]
    assert "You asked before about *goats*" in text("", messages=messages)


def test_subject_is_harmless() -> None:
    """Markdown and markup of a prompt do not come back as such, and long prompts are shortened."""
    assert not set('<>[]`*_|$#\n"\\') & set(subject('<b>[x](javascript:1)</b> `*|$#"\\\n'))
    assert len(subject("word " * 100)) <= 62


def test_max_tokens() -> None:
    """The limit cuts reasoning and text together, exactly, and the finish reason says so."""
    found = answered("Tell me about sheep", max_tokens=10)
    assert (found.tokens, found.finish) == (10, "length")
    thinking = answered("x", model="sim-reasoner", max_completion_tokens=5)
    assert (len(thinking.reasoning), len(thinking.text), thinking.finish) == (5, 0, "length")
    assert answered("count to 3", max_tokens=100).finish == "stop"
    numbers = answered("x", "tokens=50,numbered", max_tokens=3)
    assert (list(numbers.text), numbers.finish) == (["0 ", "1 ", "2 "], "length")


def test_numbered_and_exact_lengths() -> None:
    """`tokens` fixes the number of tokens, `numbered` makes each carry its number; a million are not held in memory."""
    assert list(answered("x", "tokens=3,numbered").text) == ["0 ", "1 ", "2 "]
    assert len(list(answered("count to 3", "tokens=1000").text)) == 1000
    assert answered("x", "tokens=1000000,numbered").text[999_999] == "999999 "


def test_tools_named_in_the_prompt_are_called() -> None:
    """A call's arguments fit the schema, with words and numbers of the prompt."""
    found = answered("Use get_weather for the next 3 days in Paris, in Celsius", tools=[WEATHER])
    assert found.finish == "tool_calls"
    assert [call.name for call in found.calls] == ["get_weather"]
    arguments = json.loads("".join(found.calls[0].arguments))
    assert arguments == {"city": "Paris", "unit": "celsius", "days": 3}
    assert found.tokens == 1 + len(found.calls[0].arguments)


def test_tools_not_wanted_are_not_called() -> None:
    """Without a mention, with tool_choice none, or after a result, the answer is text."""
    assert not answered("Hello", tools=[WEATHER]).calls
    assert not answered("get_weather", tools=[WEATHER], tool_choice="none").calls
    conversation = [
        {"role": "user", "content": "get weather in Paris"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "18 degrees", "tool_call_id": "x"},
    ]
    found = answered("", messages=conversation, tools=[WEATHER])
    assert not found.calls
    assert "18 degrees" in "".join(found.text)


def test_tools_that_must_be_called_are() -> None:
    """tool_choice required, or naming a function, makes a call without a mention."""
    assert answered("Hello", tools=[WEATHER], tool_choice="required").calls
    named = {"type": "function", "function": {"name": "get_weather"}}
    assert answered("Hello", tools=[WEATHER], tool_choice=named).calls


def called(rounds: int, prompt: str, simulate: str = "", **parameters: Any) -> list[str]:
    """The names of the tools that are called after so many rounds of results."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for round in range(rounds):
        messages.append({"role": "assistant", "content": None, "tool_calls": []})
        messages += [{"role": "tool", "content": "done", "tool_call_id": f"{round} {number}"} for number in range(2)]
    tools = [{"type": "function", "function": {"name": name}} for name in ("look", "listen", "smell")]
    return [call.name for call in answered("", simulate, messages=messages, tools=tools, **parameters).calls]


def test_tools_in_rounds() -> None:
    """What stands behind a "then" is called after the results of the rest; without it, or if told so, one by one."""
    prompt = "Look and listen, then smell the sheep"
    assert [called(rounds, prompt) for rounds in range(3)] == [["look", "listen"], ["smell"], []]
    one_by_one = [called(rounds, prompt, parallel_tool_calls=False) for rounds in range(4)]
    assert one_by_one == [["look"], ["listen"], ["smell"], []]
    assert [called(rounds, prompt, tool_choice="required") for rounds in range(2)] == [["look", "listen", "smell"], []]
    assert [called(rounds, prompt, "tools=whole") for rounds in range(3)] == [["look", "listen"], ["smell"], []]
    assert [called(rounds, "Sheep", "rounds=3") for rounds in (0, 2, 3)] == [["look"], ["look"], []]


def test_a_servers_tool_is_called_by_its_own_name_too() -> None:
    """Who asks for `search` does not know that it is offered as `library__search`."""
    tools = [{"type": "function", "function": {"name": "library__search_books"}}]
    for prompt in ("Ask search_books about sheep", "Search books about sheep", "library__search_books about sheep"):
        assert [call.name for call in answered(prompt, tools=tools).calls] == ["library__search_books"]
    assert not answered("Ask the library about sheep", tools=tools).calls


def test_results_are_told_by_their_tools() -> None:
    """Every result since the prompt is in the text, with its tool's name; ids and null content change no token."""

    def conversation(id: str, content: str | None) -> list[dict[str, Any]]:
        call = {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        return [
            {"role": "user", "content": "get_weather"},
            {"role": "assistant", "content": content, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "18 degrees"},
        ]

    found = answered("", messages=conversation("call_1", None), tools=[WEATHER])
    assert "The tool get_weather returned `18 degrees`." in "".join(found.text)
    assert answered("", messages=conversation("call_2", ""), tools=[WEATHER]) == found
    body = {"model": "gpt-4.1", "messages": conversation("call_1", None)}
    other = {"model": "gpt-4.1", "messages": conversation("call_2", "")}
    assert read(json.dumps(body).encode(), "").digest == read(json.dumps(other).encode(), "").digest


def test_usage_counts_tokens_by_the_rule() -> None:
    """Prompt and completion tokens are those of `tokenize`, over all choices, and the total is their sum."""
    body = {"model": "sim-reasoner", "messages": [{"role": "user", "content": "Hello, sheep!"}], "n": 2}
    request = read(json.dumps(body).encode(), "")
    answers = [answer(request, 0, choice) for choice in range(2)]
    report = total_usage(request, answers)
    choices = completion(request, answers)["choices"]
    texts = [choice["message"]["content"] for choice in choices]
    thoughts = [choice["message"]["reasoning_content"] for choice in choices]
    assert report["prompt_tokens"] == len(tokenize("Hello, sheep!")) == 4
    assert report["completion_tokens_details"]["reasoning_tokens"] == sum(len(tokenize(each)) for each in thoughts)
    assert report["completion_tokens"] == sum(len(tokenize(each)) for each in texts + thoughts)
    assert report["total_tokens"] == report["prompt_tokens"] + report["completion_tokens"]
    assert texts[0] != texts[1]
