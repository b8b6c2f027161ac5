"""What services report of tokens and money, made one: what is billed, and what no count names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from holystream_nb.events import Usage
from holystream_nb.wire.messages import MessagesDecoder
from holystream_nb.wire.responses import ResponsesDecoder, _sum
from holystream_nb.wire.values import encoded, usage_of


def read(prompt: Any = None, completion: Any = None, total: Any = None, **more: Any) -> Usage:
    usage = usage_of({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}, 1)
    assert usage is not None
    return usage


def reasoning(tokens: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


@pytest.mark.parametrize(
    ("usage", "completion", "named", "other"),
    [
        (read(3, 9, 105), 102, None, 93),
        (read(35, 12, 109), 74, None, 62),
        (read(12, 2, 354, **reasoning(340)), 342, 340, None),
        (read(12, 2, 400, **reasoning(340)), 388, 340, 46),
        (read(12, 342, 354, **reasoning(340)), 342, 340, None),
        (read(12, 342, 400, **reasoning(300)), 388, 300, 46),
        (read(1, 10, 11, **reasoning(11)), 10, 11, None),
        (read(12, 342, 100), 342, None, None),
        (read(12, None, 100), 88, None, None),
        (read(12, None, 5), 0, None, None),
        (read(None, 7, 100), 7, None, None),
        (read(12, 7), 7, None, None),
    ],
)
def test_output_is_all_that_the_total_has_beyond_the_input(
    usage: Usage, completion: int, named: int | None, other: int | None
) -> None:
    """Gemini's thinking, xAI's reasoning beside the completion, and totals that are none."""
    assert (usage.completion_tokens, usage.reasoning_tokens, usage.other_tokens) == (completion, named, other)


@pytest.mark.parametrize(
    ("reported", "usd"),
    [
        ({"cost": 0.00492}, "0.00492"),
        ({"cost": 0}, "0"),
        ({"cost": {"input_tokens_cost": 0.001, "request_cost": 0.005, "total_cost": 0.006}}, "0.006"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ({"estimated_cost": 1.5e-05}, "0.000015"),
        ({"cost": "0.1"}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": {"total_cost": None}}, None),
        ({"cost": float("nan")}, None),
        ({"cost": float("inf"), "estimated_cost": 0.5}, "0.5"),
        ({"cost_in_usd_ticks": 10**400}, None),
    ],
)
def test_a_cost_that_the_service_states_is_kept(reported: dict[str, Any], usd: str | None) -> None:
    """OpenRouter's, Perplexity's, xAI's, DeepInfra's; nothing that is no amount."""
    assert read(1, 2, 3, **reported).cost == (None if usd is None else Decimal(usd))


def test_a_cost_alone_is_kept_too() -> None:
    """Some send it in a piece of its own."""
    assert usage_of({"cost": 0.5}, 1) == Usage(cost=Decimal("0.5"), read=1)


def test_writes_to_a_cache_are_read() -> None:
    """OpenRouter counts them beside the cached ones."""
    usage = read(100, 2, 102, prompt_tokens_details={"cached_tokens": 10, "cache_write_tokens": 60})
    assert (usage.cached_tokens, usage.cache_write_tokens) == (10, 60)


def test_messages_and_responses_say_the_same() -> None:
    """Writes to a cache for an hour, and stated costs, in the shapes of the other two formats."""
    messages = MessagesDecoder(asked="m", key=(), choices=1)
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 60,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 40},
        "output_tokens": 5,
        "cost": 0.5,
    }
    answer = {"type": "message", "id": "a", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    (found,) = [each for each in messages.whole(encoded({**answer, "usage": usage}), 1) if isinstance(each, Usage)]
    assert (found.prompt_tokens, found.cache_write_tokens, found.cache_write_1h_tokens) == (100, 60, 40)
    assert found.cost == Decimal("0.5")

    responses = ResponsesDecoder(asked="m", key=(), choices=1)
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 60},
        "output_tokens": 5,
        "total_tokens": 105,
        "cost_in_usd_ticks": 5_000_000_000,
    }
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    whole = {"object": "response", "id": "r", "status": "completed", "output": [item], "usage": usage}
    (found,) = [each for each in responses.whole(encoded(whole), 1) if isinstance(each, Usage)]
    assert (found.cached_tokens, found.cache_write_tokens, found.cost) == (30, 60, Decimal("0.5"))


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_tokens_details": {"cache_creation_tokens": 60}, "cache_creation_input_tokens": 60},
        {"prompt_tokens_details": {"cache_creation_input_tokens": 60}},
        {"cache_creation_input_tokens": 60.0},
    ],
)
def test_writes_to_a_cache_have_several_names(more: dict[str, Any]) -> None:
    """LiteLLM's, Qwen's: they cost a quarter more, and were taken for ordinary input."""
    assert read(100, 2, 102, **more).cache_write_tokens == 60


def test_writes_for_an_hour_are_read_in_chat_too() -> None:
    """As LiteLLM passes them on."""
    ages = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 40}
    usage = read(100, 2, 102, prompt_tokens_details={"cache_creation_tokens": 60, "cache_creation_token_details": ages})
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (60, 40)


def test_sound_and_searches_are_read() -> None:
    """They have prices of their own."""
    usage = read(
        100,
        50,
        150,
        prompt_tokens_details={"audio_tokens": 80},
        completion_tokens_details={"audio_tokens": 40},
        server_tool_use={"web_search_requests": 3},
    )
    assert (usage.prompt_audio_tokens, usage.completion_audio_tokens, usage.web_searches) == (80, 40, 3)
    assert read(33, 7163, 7196, citation_tokens=20016, num_search_queries=41).web_searches == 41  # Perplexity


@pytest.mark.parametrize(("is_byok", "usd"), [(True, "0.0021"), (False, "0.0001")])
def test_a_fee_alone_is_not_what_an_answer_costs(is_byok: bool, usd: str) -> None:
    """OpenRouter with a key of one's own: what that key pays stands beside the fee."""
    details = {"cost_details": {"upstream_inference_cost": 0.002}}
    assert read(1, 2, 3, cost=0.0001, is_byok=is_byok, **details).cost == Decimal(usd)


def test_messages_say_how_fast_and_how_often() -> None:
    """Fast mode has its prices, and each search has one."""
    decoder = MessagesDecoder(asked="m", key=(), choices=1)
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "service_tier": "standard",
        "speed": "fast",
        "server_tool_use": {"web_search_requests": 2},
    }
    answer = {"type": "message", "id": "a", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    (found,) = [each for each in decoder.whole(encoded({**answer, "usage": usage}), 1) if isinstance(each, Usage)]
    assert (found.web_searches, decoder.facts.service_tier) == (2, "fast")


def test_searches_of_responses_are_counted() -> None:
    """Their usage does not say it; each is an item."""
    decoder = ResponsesDecoder(asked="m", key=(), choices=1)
    output = [{"type": "web_search_call", "id": "ws", "status": "completed"}, {"type": "message", "content": []}]
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    whole = {"object": "response", "id": "r", "status": "completed", "output": output, "usage": usage}
    (found,) = [each for each in decoder.whole(encoded(whole), 1) if isinstance(each, Usage)]
    assert found.web_searches == 1


def test_searches_before_and_after_a_steer_are_all_paid_for() -> None:
    """Two responses that are one answer."""
    both = _sum(Usage(1, 2, 3, web_searches=1, prompt_audio_tokens=1), Usage(1, 2, 3, web_searches=2))
    assert (both.completion_tokens, both.web_searches, both.prompt_audio_tokens) == (4, 3, 1)
