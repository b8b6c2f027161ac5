"""What only a real engine does: queueing for its slots, log probabilities, its prompt cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import median

import pytest

import holystream_nb as hs
from holystream_nb import Client

from .programs import NIGHTLY, SLOTS, Engine
from .test_ways import STORY, answer

pytestmark = pytest.mark.real


async def test_eight_requests_on_four_slots_queue_in_ttft_and_not_in_gaps(
    direct: Client, state: Callable[[str], None]
) -> None:
    """Four wait for a slot: it is their TTFT that grows, by an answer's whole time; once they go, they go as fast."""
    replies = await asyncio.gather(
        *(answer(direct, f"Tell me a story about {count} trees.", max_tokens=60, ignore_eos=True) for count in range(8))
    )
    timings = sorted((reply.timing for reply in replies), key=lambda timing: timing.ttft_ms or 0)
    at_once, queued = timings[:SLOTS], timings[SLOTS:]
    first_ms = max(timing.ttft_ms or 0 for timing in at_once)
    waited_ms = min(timing.ttft_ms or 0 for timing in queued)
    pace = [median(gap for timing in half for gap in timing.gaps_ms) for half in (at_once, queued)]
    state(f"8 requests on 4 slots: TTFT at most {first_ms:.0f} ms, queued at least {waited_ms:.0f} ms")
    state(f"8 requests on 4 slots: median gap {pace[0]:.1f} ms, of the queued {pace[1]:.1f} ms")
    assert waited_ms > min(timing.e2e_s or 0 for timing in at_once) * 1e3 - 50
    assert waited_ms > 2 * first_ms
    assert 0.5 < pace[1] / pace[0] < 2
    assert all(max(timing.gaps_ms) < waited_ms / 2 for timing in queued)
    assert all(timing.queue_ms is not None and timing.queue_ms < 100 for timing in timings)  # ours is another queue
    assert all(timing.burst is None for timing in timings)


async def test_log_probabilities_disturb_nothing(direct: Client) -> None:
    """They come in every chunk, beside the delta: the answer is the same text, in as many events."""
    plain = await answer(direct, temperature=0, max_tokens=30, ignore_eos=True)
    with_them = await answer(direct, temperature=0, max_tokens=30, ignore_eos=True, logprobs=True, top_logprobs=3)
    assert with_them.text == plain.text
    assert with_them.usage.completion_tokens == plain.usage.completion_tokens == 30
    assert sum(with_them.timing.events) == sum(plain.timing.events)
    assert with_them.timing.bytes > 2 * plain.timing.bytes


async def test_the_prompt_cache_is_counted(direct: Client, state: Callable[[str], None]) -> None:
    """A prompt that was seen before is cached but for its last tokens, and its first token comes sooner."""
    prompt = "Say this again: " + " ".join(f"number {count}" for count in range(90))
    first, second = [await answer(direct, prompt, max_tokens=5) for _ in range(2)]
    assert first.usage.prompt_tokens == second.usage.prompt_tokens
    assert (first.usage.cached_tokens or 0) < 60
    assert (second.usage.cached_tokens or 0) >= (second.usage.prompt_tokens or 0) - 5
    assert (second.timing.ttft_ms or 0) < (first.timing.ttft_ms or 0) / 2
    state(
        f"prompt of {first.usage.prompt_tokens} tokens: TTFT {first.timing.ttft_ms:.0f} ms, "
        f"{second.usage.cached_tokens} of them cached: {second.timing.ttft_ms:.0f} ms"
    )


async def test_the_engine_lists_its_model_in_two_shapes(smollm: Engine, direct: Client) -> None:
    """`models` stands beside `data` in what it offers, and its name is the one that answers."""
    offered = smollm.get("/v1/models")
    assert [model["id"] for model in offered["data"]] == [smollm.model]
    assert "models" in offered
    assert (await answer(direct, STORY, max_tokens=3)).model == smollm.model


async def test_check_says_of_the_engine_what_is_so(smollm: Engine, state: Callable[[str], None]) -> None:
    """Address, model, pieces, usage and end marker stand, and the only model is taken without being named."""
    [found] = await hs.check(base_url=smollm.url)
    state(f"check: {', '.join(f'{each.name} {each.verdict}' for each in found.findings)}")
    assert found.model == smollm.model
    for name in ("address", "model", "first token", "pieces", "usage", "end"):
        assert found[name].verdict == "ok", found[name]


async def test_a_connection_that_the_engine_closes_fails_no_request(
    smollm: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes idle ones after 5 s; a client that keeps them longer asks about then, and each answer is whole."""
    monkeypatch.setattr("holystream_nb.wire.pool.KEEPALIVE_S", 60.0)
    async with Client("llama.cpp", base_url=smollm.url, retries=0) as client:
        for pause in (4.99, 5.0, 5.01, 5.03) if NIGHTLY else (5.0,):
            assert (await answer(client, STORY, max_tokens=2)).error is None
            await asyncio.sleep(pause)
        assert (await answer(client, STORY, max_tokens=2)).error is None
