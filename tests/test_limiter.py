"""The token bucket, by exact numbers in virtual time; and once over the simulator."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import run_virtually

from holystream_nb import Client, Simulator
from holystream_nb.client.limiter import Limiter
from holystream_nb.errors import ServiceUnavailable, SetupError
from holystream_nb.providers.table import provider


def now() -> float:
    return asyncio.get_running_loop().time()


def limiter(**limits: float) -> Limiter:
    return Limiter(**limits, clock=asyncio.get_running_loop().time)


async def go(limiter: Limiter, tokens: int = 0) -> float:
    """The moment at which a request may go."""
    await limiter.reserve(tokens).granted()
    return now()


def moments(limits: dict[str, float], *requests: int) -> list[float]:
    """When requests of so many tokens, all asked for at 0, may go (s)."""

    async def main() -> list[float]:
        shared = limiter(**limits)
        return await asyncio.gather(*(go(shared, tokens) for tokens in requests))

    return run_virtually(main())


def test_a_minutes_worth_goes_at_once_and_the_rest_at_the_pace() -> None:
    """Six a minute: six now, then one every ten seconds."""
    assert moments({"requests_per_minute": 6}, *[0] * 9) == pytest.approx([0, 0, 0, 0, 0, 0, 10, 20, 30])


def test_tokens_are_a_bucket_of_their_own() -> None:
    """600 a minute are 10 a second: the third request misses 100 and waits 10 s."""
    assert moments({"tokens_per_minute": 600}, 300, 250, 150, 50) == pytest.approx([0, 0, 10, 15])


def test_the_scarcer_of_the_two_decides() -> None:
    """Requests are left, tokens are not, and the other way round."""
    both = {"requests_per_minute": 2, "tokens_per_minute": 600}
    assert moments(both, 600, 10, 10) == pytest.approx([0, 1, 30])


def test_no_limit_is_no_wait() -> None:
    """A client without limits sends as fast as it is asked to."""
    assert moments({}, *[10**9] * 50) == [0] * 50


def test_a_big_request_is_not_passed_by_small_ones() -> None:
    """First come, first served: small ones behind it wait although there would be room for them."""
    assert moments({"tokens_per_minute": 600}, 500, 500, 10, 10) == pytest.approx([0, 40, 41, 42])


def test_a_request_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt() -> None:
    """No deadlock: 1,500 of 600 go when the bucket is full, and the next one waits until the debt is paid."""
    assert moments({"tokens_per_minute": 600}, 100, 1500, 50) == pytest.approx([0, 10, 10 + 95])


def test_the_estimate_is_settled_with_what_was_used() -> None:
    """What was reserved and not used goes to those who wait, at once; what was used beyond it is owed."""

    async def main() -> tuple[float, float]:
        shared = limiter(tokens_per_minute=600)
        first = shared.reserve(600)
        await first.granted()
        second = asyncio.create_task(go(shared, 300))
        await asyncio.sleep(5)
        first.settle(200)
        first.settle(0)
        went = await second
        third = shared.reserve(50)
        await third.granted()
        third.settle(250)
        return went, await go(shared, 10)

    went, after = run_virtually(main())
    assert went == 5  # 50 had come back by then, and 400 were given back
    assert after == pytest.approx(5 + 11)  # 150 were left, 250 used: 100 owed, and 10 wanted


def test_a_cancelled_waiter_takes_nothing_and_those_behind_it_move_up() -> None:
    """Also where it was the one whose turn it was."""

    async def main() -> list[float]:
        shared = limiter(tokens_per_minute=600)
        await go(shared, 600)
        waiting = [asyncio.create_task(go(shared, tokens)) for tokens in (500, 400, 100, 50)]
        await asyncio.sleep(1)
        waiting[1].cancel()
        await asyncio.sleep(1)
        waiting[0].cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in done[:2]] == [asyncio.CancelledError] * 2
        return [each for each in done if isinstance(each, float)]

    assert run_virtually(main()) == pytest.approx([10, 15])


def test_the_wait_is_foreseen() -> None:
    """What a view says: the time until its turn, with all who stand before it; 0 once it has gone."""

    async def main() -> None:
        shared = limiter(requests_per_minute=60, tokens_per_minute=600)
        places = [shared.reserve(tokens) for tokens in (500, 200, 300)]
        tasks = [asyncio.create_task(place.granted()) for place in places]
        await asyncio.sleep(2)
        assert [place.wait_s for place in places] == pytest.approx([0, 8, 38])
        await asyncio.sleep(10)
        assert [place.wait_s for place in places] == pytest.approx([0, 0, 28])
        await asyncio.gather(*tasks)
        assert now() == pytest.approx(40)
        assert places[2].wait_s == 0

    run_virtually(main())


def test_a_pause_holds_everybody() -> None:
    """Retry-After is for the client, not for the one stream that heard it; the shorter of two pauses is covered."""

    async def main() -> list[float]:
        shared = limiter(requests_per_minute=600)
        await go(shared)
        shared.pause(7)
        shared.pause(3)
        place = shared.reserve(0)
        waiting = asyncio.gather(place.granted(), go(shared))
        await asyncio.sleep(2)
        assert place.wait_s == pytest.approx(5)
        await waiting
        return [now()]

    assert run_virtually(main()) == pytest.approx([7])


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 900), st.floats(0, 30)), min_size=1, max_size=25),
    st.floats(1, 120),
    st.floats(100, 2000),
)
def test_never_more_than_the_limits_and_never_out_of_order(
    arrivals: list[tuple[int, float]], requests_per_minute: float, tokens_per_minute: float
) -> None:
    """In any stretch of time no more goes than a bucket and its flow; one big request is the only excess."""

    asked: list[int] = []
    went: list[float] = []

    async def main() -> None:
        shared = limiter(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)

        async def one(tokens: int, at: float) -> None:
            await asyncio.sleep(at)
            asked.append(tokens)
            place = len(asked)
            moment = await go(shared, tokens)
            went.append(moment)
            assert len(went) == place

        await asyncio.gather(*(one(tokens, at) for tokens, at in arrivals))

    run_virtually(main())
    for first in range(len(went)):
        sent = 0
        for last in range(first, len(went)):
            span = (went[last] - went[first]) / 60
            assert last - first + 1 <= requests_per_minute * (1 + span) + 1e-3
            assert sent <= tokens_per_minute * (1 + span) + 1e-3
            sent += asked[last]


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    """Zero would be a wait without end."""
    with pytest.raises(SetupError, match="requests_per_minute"):
        Limiter(requests_per_minute=limit)


# In a client


async def read(client: Client, faults: str = "tokens=5", **parameters: Any) -> Any:
    async with client.stream("Hello", model=f"gpt-4.1#{faults}", **parameters) as stream:
        async for _ in stream:
            pass
    return stream.reply


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_clients_streams_share_the_limit_and_the_wait_is_queue(simulator: Simulator, transport: Any) -> None:
    """The bucket is nearly empty: the wait is told, is in `queue_ms`, and is in no latency; also on a kept socket."""
    async with Client(
        "simulator", base_url=simulator.url, api_key="sim-key-1", tokens_per_minute=6000, transport=transport
    ) as client:
        await client.limiter.reserve(6000 - 100).granted()  # 100 are left, and 100 come every second
        await read(client, max_tokens=90)
        stream = client.stream("Hello", model="gpt-4.1#tokens=5", max_tokens=190)
        begun = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.1)
        assert re.fullmatch("waiting for the rate limit, [12] s", stream.progress.notice)
        assert stream.progress.unanswered_ms is None
        await begun
        await stream.aclose()
    timing = stream.reply.timing
    assert stream.reply.transport == transport
    assert stream.progress.notice == ""
    assert timing.queue_ms is not None
    assert timing.queue_ms > 300
    assert timing.permit is not None
    assert timing.sent is not None
    assert timing.permit <= timing.sent
    assert timing.ttft_ms is not None
    assert timing.ttft_ms < timing.queue_ms


@pytest.mark.slow
async def test_the_wait_for_the_first_output_is_told_while_it_lasts(simulator: Simulator) -> None:
    """From the moment the request is out; None when output has come."""
    async with (
        Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client,
        client.stream("Hello", model="gpt-4.1#first=0.5") as stream,
    ):
        begun = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.2)
        wait = stream.progress.unanswered_ms
        assert wait is not None
        assert wait > 100
        await begun
        while stream.progress.ttft_ms is None:
            await anext(stream)
        assert stream.progress.unanswered_ms is None


async def test_a_stream_that_waits_for_the_limit_can_be_stopped(simulator: Simulator) -> None:
    """Stop ends the wait, nothing is sent, and nothing is taken from the others."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1", requests_per_minute=1) as client:
        await read(client)
        stream = client.stream("Hello", model="gpt-4.1")
        asyncio.get_running_loop().call_later(0.05, stream.stop)
        async with asyncio.timeout(5):
            assert [event async for event in stream] == []
    assert (stream.reply.finish_reason, stream.reply.timing.sent) == ("stopped", None)


async def test_answers_settle_with_their_usage_and_failures_with_nothing(simulator: Simulator) -> None:
    """What failed costs no tokens; an answer costs what the service counted."""
    async with Client(
        "simulator", base_url=simulator.url, api_key="sim-key-1", tokens_per_minute=1000, retries=0
    ) as client:
        for _ in range(5):
            with pytest.raises(ServiceUnavailable):
                await read(client, "fail=503,tries=9", max_tokens=900)
        reply = await read(client, "tokens=100", max_tokens=900)
        used = reply.usage.prompt_tokens + reply.usage.completion_tokens
        place = client.limiter.reserve(1000)
        waiting = asyncio.create_task(place.granted())
        await asyncio.sleep(0)
        assert place.wait_s == pytest.approx(used * 60 / 1000, abs=1.5)
        waiting.cancel()


@pytest.mark.slow
async def test_a_429_pauses_all_streams_of_a_limited_client(simulator: Simulator) -> None:
    """Retry-After says that the client is too fast: nobody goes on before."""
    async with Client(
        "simulator", base_url=simulator.url, api_key="sim-key-1", requests_per_minute=600, backoff=0.01
    ) as client:
        started = time.perf_counter()
        limited = asyncio.create_task(read(client, "fail=429,tries=1,retry-after=1"))
        await asyncio.sleep(0.3)
        other = await read(client)
        assert time.perf_counter() - started >= 1
        assert other.timing.retries == 0
        assert (await limited).timing.retries == 1


def test_limits_come_from_the_table_and_an_argument_is_over_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """providers.toml has fields of the same names, and sets none; another host than the provider's has no limit."""
    assert provider("groq").requests_per_minute is provider("groq").tokens_per_minute is None
    path = tmp_path / "mine.toml"
    path.write_text('[lab]\nbase_url = "http://127.0.0.1:9/v1"\nrequests_per_minute = 2\ntokens_per_minute = 1.5\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    row = provider("lab")
    assert (row.requests_per_minute, row.tokens_per_minute) == (2, 1.5)

    def wait(client: Client) -> float:
        async def main() -> float:
            await client.limiter.reserve(0).granted()
            await client.limiter.reserve(0).granted()
            place = client.limiter.reserve(0)
            waiting = asyncio.create_task(place.granted())
            await asyncio.sleep(0)
            waiting.cancel()
            return place.wait_s

        return asyncio.run(main())

    assert wait(Client("lab")) == pytest.approx(30, abs=1)
    assert wait(Client("lab", requests_per_minute=1000)) == 0
    assert wait(Client("lab", base_url="http://127.0.0.1:8/v1")) == 0
