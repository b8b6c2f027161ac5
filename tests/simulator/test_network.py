"""A line between the simulator and its clients: what it takes, and that nothing else about an answer changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from foreign_socket import Socket

from holystream_nb import Client, Simulator

from .conftest import Answer, read_answer, send_request

pytestmark = pytest.mark.slow

DELAY_MS = 50.0
MBIT_S = 8.0
"""A byte takes a microsecond."""

NEAR_MS = 15.0
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def far() -> Iterator[Simulator]:
    with Simulator(speed=None, network_delay_ms=DELAY_MS, network_mbit_s=MBIT_S) as simulator:
        yield simulator


def ask(simulator: Simulator, body: bytes, **headers: str) -> tuple[Answer, float]:
    """An answer on a connection of its own, and how long it took in ms."""
    connection, sent_ns = send_request(simulator.url, body, headers, "/chat/completions", "POST")
    with connection:
        answer = read_answer(connection)
    return answer, (time.perf_counter_ns() - sent_ns) / 1e6


def body(text: str = "Hi", model: str = "gpt-4.1#tokens=3") -> bytes:
    return b'{"model": "%s", "stream": true, "messages": [{"role": "user", "content": "%s"}]}' % (
        model.encode(),
        text.encode(),
    )


def test_an_answer_comes_a_round_trip_later(far: Simulator, simulator: Simulator) -> None:
    """The same bytes; those of the request take the delay once, those of the answer once more."""
    near, far_off = ask(simulator, body())[0], min((ask(far, body()) for _ in range(3)), key=lambda each: each[1])
    assert far_off[0].text == near.text
    assert 2 * DELAY_MS <= far_off[1] < 2 * DELAY_MS + NEAR_MS


def test_a_large_request_takes_as_long_as_the_line_is_narrow(far: Simulator) -> None:
    """200 kB at 8 Mbit/s are 200 ms on top of the delay; they are no JSON, and so refused once they are there."""
    answers = [ask(far, b"x" * 200_000) for _ in range(3)]
    assert {answer.status for answer, _ in answers} == {400}
    took = min(took for _, took in answers)
    assert 200 <= took - 2 * DELAY_MS < 200 + 2 * NEAR_MS


def test_pieces_keep_their_distances_and_their_order(far: Simulator) -> None:
    """What is on the way does not wait for one another: the pace of a stream is its service's."""
    answer, _ = ask(far, body(model="gpt-4.1#tokens=20,numbered,rate=100"))
    assert answer.text.split() == [str(number) for number in range(20)]
    first, *_, last = answer.stamps
    assert 180 <= (last - first) / 1e6 < 190 + 2 * NEAR_MS


def test_records_have_the_simulators_own_times(far: Simulator) -> None:
    """A request is received when it has arrived there, every byte of it."""
    asked = body("x" * 50_000)
    connection, sent_ns = send_request(far.url, asked, {}, "/chat/completions", "POST")
    with connection:
        answer = read_answer(connection)
    record = far.record(answer.request_id)
    assert record["request_bytes"] == len(asked)
    assert 50 <= (record["received_ns"] - sent_ns) / 1e6 - DELAY_MS < 50 + NEAR_MS
    assert DELAY_MS <= (answer.stamps[0] - record["sent_ns"][0]) / 1e6 < DELAY_MS + NEAR_MS


def test_a_handshake_takes_a_round_trip_and_a_turn_another(far: Simulator) -> None:
    """A socket is kept from turn to turn, and only the first waits for it."""

    async def turns() -> list[tuple[float, float]]:
        async with Client("simulator", base_url=far.url, transport="ws", wire="responses") as client:
            found = []
            for _ in range(2):
                async with client.stream("Hi", model="gpt-4.1#tokens=3") as stream:
                    async for _ in stream:
                        pass
                timing = stream.reply.timing
                found.append((timing.connect_ms or 0.0, timing.ttft_ms or 0.0))
            return found

    (new, first), (kept, second) = asyncio.run(turns())
    assert 2 * DELAY_MS <= new < 2 * DELAY_MS + 3 * NEAR_MS
    assert kept < NEAR_MS
    for ttft in (first, second):
        assert 2 * DELAY_MS <= ttft < 2 * DELAY_MS + 2 * NEAR_MS


@pytest.mark.parametrize("fault", ["cut=3", "reset=3"])
def test_a_break_comes_after_what_was_sent_before(far: Simulator, fault: str) -> None:
    """The last bytes are still on the way when the connection ends."""
    answer, took = ask(far, body(model="gpt-4.1#tokens=9,numbered"), **{"x-simulate": fault})
    assert answer.text.split() == ["0", "1", "2"]
    assert not answer.ended
    assert answer.reset == fault.startswith("reset")
    assert took >= 2 * DELAY_MS


def test_a_client_that_leaves_is_noticed_when_that_arrives(far: Simulator) -> None:
    """Its end travels too; nothing of the answer is left running."""
    connection, _ = send_request(far.url, body(model="gpt-4.1#tokens=500,rate=20"), {}, "/chat/completions", "POST")
    with connection:
        assert b"200" in connection.recv(1 << 16)
        assert far.active() == 1
    time.sleep((2 * DELAY_MS + 2 * NEAR_MS) / 1e3)
    assert far.active() == 0


def test_a_socket_is_closed_both_ways(far: Simulator) -> None:
    """A closing handshake goes to and fro like everything else."""
    socket = Socket(far.url.replace("http", "ws", 1) + "/responses", {"authorization": "Bearer key"})
    with socket:
        pass
    deadline = time.monotonic() + 2
    while far.sockets() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert far.sockets() == 0
