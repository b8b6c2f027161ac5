"""Chat completions as services speak them: what they want back, how they count, what they add, how models err."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from holystream_nb.simulator.tokens import tokenize

Ask = Callable[..., Any]

PLAIN = "count to 3"
USED = {"role": "user", "content": "Use get_weather in Paris for 2 days"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string"}},
            "required": ["city", "days"],
        },
    },
}


def asked(ask: Ask, simulate: str, *, messages: list[Any] | None = None, **options: Any) -> dict[str, Any]:
    """The message of a whole answer with a tool at hand."""
    answer = ask(simulate=simulate, messages=messages or [USED], tools=[WEATHER], stream=False, **options)
    assert answer.status == 200, answer.body
    return dict(answer.json["choices"][0]["message"])


def history(message: dict[str, Any]) -> list[dict[str, Any]]:
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "18 degrees"}
    return [USED, message, result]


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


ECHOES = {
    "deepseek": ("reasoning_content", "in the thinking mode must be passed back to the API"),
    "kimi": ("reasoning_content", "reasoning_content is missing in assistant tool call message at index 1"),
    "openrouter": ("reasoning_details", "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
    "mistral": ("content", "wants back the thinking part"),
}


@pytest.mark.parametrize("service", ECHOES)
def test_what_comes_must_go_back(ask: Ask, service: str) -> None:
    """A round of tools that carries the service's field is answered; one without it gets the service's 400."""
    name, words = ECHOES[service]
    message = asked(ask, f"echo={service}")
    assert message[name]
    assert "18 degrees" in json.dumps(asked(ask, f"echo={service}", messages=history(message)))
    refused = ask(simulate=f"echo={service}", messages=history(without(message, name) | {"role": "assistant"}))
    assert refused.status == 400
    assert words in refused.json["error"]["message"]


def test_gemini_wants_its_signature(ask: Ask) -> None:
    """The first call has a signature, which must come back unchanged."""
    message = asked(ask, "echo=gemini")
    call = message["tool_calls"][0]
    assert call["extra_content"]["google"]["thought_signature"]
    assert "reasoning_content" not in message
    assert asked(ask, "echo=gemini", messages=history(message))["content"]
    for changed, words in (
        (without(call, "extra_content"), "Function call is missing a thought_signature"),
        ({**call, "extra_content": {"google": {"thought_signature": "x"}}}, "Thought signature is not valid"),
    ):
        refused = ask(simulate="echo=gemini", messages=history({**message, "tool_calls": [changed]}))
        assert (refused.status, words in refused.json["error"]["message"]) == (400, True)


def test_openrouters_fragments_are_merged_by_index(ask: Ask) -> None:
    """The signature comes in a fragment without text; fragments that are given back unmerged are refused."""
    answer = ask(simulate="echo=openrouter", messages=[USED], tools=[WEATHER])
    details = [each for delta in answer.deltas for each in delta.get("reasoning_details", [])]
    *texts, signed = details
    assert ("text" in signed, "signature" in signed) == (False, True)
    merged = {**signed, "text": "".join(each["text"] for each in texts)}
    whole = asked(ask, "echo=openrouter")
    assert whole["reasoning_details"] == [merged]
    refused = ask(simulate="echo=openrouter", messages=history({**whole, "reasoning_details": details}))
    assert "Invalid `signature` in `thinking` block" in refused.json["error"]["message"]


def test_groq_wants_nothing_back(ask: Ask) -> None:
    """Groq refuses reasoning_content in a history, and takes one without."""
    message = asked(ask, "echo=groq")
    assert message["reasoning"]
    kept = without(message, "reasoning", "refusal")
    assert asked(ask, "echo=groq", messages=history(kept))["content"]
    refused = ask(simulate="echo=groq", messages=history({**kept, "reasoning_content": "so"}))
    assert refused.status == 400
    assert "property 'reasoning_content' is unsupported" in refused.json["error"]["message"]


def test_thoughts_in_the_text(ask: Ask) -> None:
    """A local model's <think> stands before the answer in the text; MiniMax's must stay there."""
    text = ask(PLAIN, "reasoning=think").text
    assert text.startswith("<think>\nThe subject")
    assert text.endswith("\n</think>\n\n1, 2, 3")
    turns = [{"role": "user", "content": PLAIN}, {"role": "assistant", "content": "1, 2, 3"}, USED]
    assert "<think>" in ask(simulate="echo=minimax", messages=turns).json["error"]["message"]
    turns[1]["content"] = text
    assert ask(simulate="echo=minimax", messages=turns).status == 200


def test_mistrals_parts_are_streamed(ask: Ask) -> None:
    """Thoughts are parts, the text is a string."""
    _, first, *_, last, _ = ask(PLAIN, "echo=mistral").deltas
    assert first["content"][0]["thinking"] == [{"type": "text", "text": "The"}]
    assert last == {"content": " 3"}


USAGES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "total": lambda u: u["total_tokens"] - u["prompt_tokens"] - u["completion_tokens"] > 20 and len(u) == 3,
    "outside": lambda u: (
        u["total_tokens"]
        == u["prompt_tokens"] + u["completion_tokens"] + u["completion_tokens_details"]["reasoning_tokens"]
    ),
    "zeros": lambda u: set(u.values()) == {0},
    "cached": lambda u: u["prompt_tokens_details"] == {"cached_tokens": 1, "cache_write_tokens": 0},
    "cost": lambda u: math.isclose(u["cost"], 1e-6 * u["prompt_tokens"] + 4e-6 * u["completion_tokens"]),
    "costs": lambda u: math.isclose(u["cost"]["total_cost"], 1e-6 * u["prompt_tokens"] + 4e-6 * u["completion_tokens"]),
    "ticks": lambda u: u["cost_in_usd_ticks"] == 10_000 * u["prompt_tokens"] + 40_000 * u["completion_tokens"],
    "estimate": lambda u: u["estimated_cost"] > 0,
}


@pytest.mark.parametrize("shape", USAGES)
def test_usage_as_services_report_it(ask: Ask, shape: str) -> None:
    """Thoughts in the total alone, or beside the completion; zeros; caches; a cost in each service's field."""
    options = {"model": "sim-reasoner", "stream_options": {"include_usage": True}}
    assert USAGES[shape](ask(PLAIN, f"usage={shape}", **options).objects[-1]["usage"])


ARGUMENTS = {
    "strings": {"city": "Paris", "days": "2"},
    "floats": {"city": "Paris", "days": 2.0},
    "nulls": {"city": "Paris", "days": 2, "unit": None},
    "extra": {"city": "Paris", "days": 2, "explanation": "because"},
}


@pytest.mark.parametrize("shape", ARGUMENTS)
def test_arguments_as_models_write_them(ask: Ask, shape: str) -> None:
    """Values of another type, nulls, a key too many."""
    written = asked(ask, f"arguments={shape}")["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == ARGUMENTS[shape]
    assert (".0" in written) == (shape == "floats")


def test_arguments_in_odd_pieces(ask: Ask) -> None:
    """An object in a string; {} before the real pieces; the whole once more at the end. Names with a channel."""

    def pieces(simulate: str) -> tuple[str, list[str]]:
        answer = ask(simulate=simulate, messages=[USED], tools=[WEATHER])
        parts = [part["function"] for delta in answer.deltas for part in delta.get("tool_calls", [])]
        return parts[0]["name"], [part["arguments"] for part in parts[1:]]

    whole = '{"city":"Paris","days":2}'
    assert json.loads(json.loads("".join(pieces("arguments=twice")[1]))) == json.loads(whole)
    first, *others = pieces("arguments=empty-first")[1]
    assert (first, "".join(others)) == ("{}", whole)
    *others, last = pieces("arguments=repeat")[1]
    assert ("".join(others), last) == (whole, whole)
    assert pieces("names=prefix")[0] == "functions.get_weather"
    assert pieces("names=channel")[0] == "get_weather<|channel|>commentary"


@pytest.mark.parametrize(
    "word", ["content_filter", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "error", "pause_turn", "new"]
)
def test_finish_words(ask: Ask, word: str) -> None:
    """Any word can end an answer, also one without text."""
    for simulate in (f"finish={word}", f"finish={word},tokens=0"):
        answer = ask(PLAIN, simulate)
        assert answer.objects[-1]["choices"][0]["finish_reason"] == word
        assert bool(answer.text) == ("tokens" not in simulate)


def test_sources_images_model_and_tier(ask: Ask) -> None:
    """Annotations or citations, an image, another model's name, the tier."""
    annotated = [note for delta in ask(PLAIN, "citations=annotations").deltas for note in delta.get("annotations", [])]
    assert [note["url_citation"]["url"] for note in annotated] == [
        "https://example.com/sheep",
        "https://example.com/goats",
    ]
    assert all(len(chunk["citations"]) == 2 for chunk in ask(PLAIN, "citations=search").objects)
    image = ask(PLAIN, "image", stream=False).json["choices"][0]["message"]["images"][0]["image_url"]["url"]
    assert base64.b64decode(image.partition(",")[2]).startswith(b"\x89PNG")
    named = ask(PLAIN, "served=gpt-9,tier=flex").objects[0]
    assert (named["model"], named["service_tier"]) == ("gpt-9", "flex")
    assert ask(PLAIN, service_tier="auto").objects[0]["service_tier"] == "default"


def test_encrypted_reasoning(ask: Ask) -> None:
    """Thoughts that cannot be read come in one piece, also whole."""
    (detail,) = [
        each for delta in ask(PLAIN, "reasoning=encrypted").deltas for each in delta.get("reasoning_details", [])
    ]
    assert detail["type"] == "reasoning.encrypted"
    assert ask(PLAIN, "reasoning=encrypted", stream=False).json["choices"][0]["message"]["reasoning_details"] == [
        detail
    ]


@pytest.mark.parametrize(
    ("stop", "text"),
    [(", 4", "1, 2, 3"), (["5", "4"], "1, 2, 3, "), ("1", ""), (["zebra"], "1, 2, 3, 4, 5, 6, 7, 8, 9")],
)
def test_stop(ask: Ask, stop: Any, text: str) -> None:
    """The answer ends before the first stop sequence in it, streamed and whole, and finishes with stop."""
    streamed = ask("count to 9", stop=stop)
    assert (streamed.text, streamed.objects[-1]["choices"][0]["finish_reason"]) == (text, "stop")
    whole = ask("count to 9", stop=stop, stream=False).json
    assert whole["choices"][0]["message"]["content"] == text
    assert whole["usage"]["completion_tokens"] == len(tokenize(text))


def test_stop_across_tokens_in_a_long_answer(ask: Ask) -> None:
    """A stop sequence is found over the border of tokens; one behind the limit is not reached."""
    assert ask("x", "tokens=100000,numbered", stop="7 8").text == "0 1 2 3 4 5 6 "
    cut = ask("x", "tokens=100,numbered", stop="7 8", max_tokens=3)
    assert (cut.text, cut.objects[-1]["choices"][0]["finish_reason"]) == ("0 1 2 ", "length")


@pytest.mark.parametrize("stop", [5, [5], [""], list("abcde")])
def test_bad_stop(ask: Ask, stop: Any) -> None:
    """At most four texts can stop an answer."""
    assert ask(PLAIN, stop=stop).json["error"]["param"] == "stop"


def test_logprobs(ask: Ask) -> None:
    """Each token of text has its log probability, its bytes and its rivals, which together are less than one."""
    answer = ask(PLAIN, logprobs=True, top_logprobs=5)
    items = [each for chunk in answer.objects for each in (chunk["choices"][0]["logprobs"] or {}).get("content", [])]
    assert "".join(item["token"] for item in items) == answer.text == PLAIN.replace("count to 3", "1, 2, 3")
    for item in items:
        top = item["top_logprobs"]
        assert (bytes(item["bytes"]).decode(), len(top), len({each["token"] for each in top})) == (item["token"], 5, 5)
        chances = [math.exp(each["logprob"]) for each in top]
        assert chances == sorted(chances, reverse=True)
        assert top[0]["logprob"] == item["logprob"]
        assert sum(chances) < 1
    whole = ask(PLAIN, logprobs=True, top_logprobs=5, stream=False).json
    assert whole["choices"][0]["logprobs"] == {"content": items, "refusal": None}
    assert ask(PLAIN).objects[1]["choices"][0]["logprobs"] is None
    assert ask(PLAIN, top_logprobs=5).json["error"]["param"] == "top_logprobs"


def test_each_choice_ends_by_itself(ask: Ask) -> None:
    """Of two choices of different lengths the shorter one ends first; usage counts both, and the prompt once."""
    options = {"n": 2, "stream_options": {"include_usage": True}}
    chunks = ask("Tell me about sheep", **options).objects
    *choices, last = chunks
    by_choice = [[n for n, each in enumerate(choices) if each["choices"][0]["index"] == index] for index in (0, 1)]
    assert len(by_choice[0]) != len(by_choice[1])
    ends = [choices[places[-1]]["choices"][0]["finish_reason"] for places in by_choice]
    assert ends == ["stop", "stop"]
    assert min(places[-1] for places in by_choice) < len(choices) - 2
    assert last["usage"]["prompt_tokens"] == 4
    assert last["usage"]["completion_tokens"] == len(choices) - 4


@pytest.mark.parametrize("name", ["embeddings", "completions", "images/generations", "audio/speech", "rerank"])
def test_what_the_simulator_does_not_have(ask: Ask, name: str) -> None:
    """Other endpoints are refused in OpenAI's shape, with a sentence that names them."""
    answer = ask(path=f"/{name}")
    assert answer.status == 404
    assert f"The simulator has no /v1/{name}" in answer.json["error"]["message"]


def test_health(ask: Ask, simulator: Any) -> None:
    """Programs that ask for the health of a server get a 200."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(simulator.url.removesuffix("/v1") + "/health", timeout=5) as answer:
        assert answer.status == 200
