"""Responses over a WebSocket, from a service that does what it likes: only what is new goes out, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from scripted_socket import Peer, Scripted, answer, serving

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.client import over_responses
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    BadRequest,
    HolystreamError,
    KeyRefused,
    RateLimited,
    ServiceError,
    SetupError,
    Stalled,
    StreamInterrupted,
    TooLarge,
)
from holystream_nb.reply import Reply
from holystream_nb.wire.transport import Transport
from holystream_nb.wire.websocket import Sockets

KEY = "hs_live_0123456789abcdef"


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """After each test no task of ours runs any more."""
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    assert not left


def client_of(service: Scripted, **more: Any) -> Client:
    more = {"transport": "ws", "wire": "responses", "backoff": 0.001, "inactivity": 3.0, **more}
    return Client("simulator", base_url=service.url, api_key=KEY, **more)


async def read(stream: Stream) -> Reply:
    """One stream to its end, whatever that is."""
    async with asyncio.timeout(15), stream:
        try:
            async for _ in stream:
                pass
        except HolystreamError:
            assert stream.reply.error is not None
    return stream.reply


async def ask(client: Client, prompt: Any = "Hello", **more: Any) -> Reply:
    return await read(client.stream(prompt, **{"model": "m", **more}))


def of(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def begun(id: str = "resp_1") -> dict[str, Any]:
    return of("created", response={"id": id, "model": "m-1"})


def text(piece: str) -> dict[str, Any]:
    return of("output_text.delta", output_index=0, delta=piece)


def ended(id: str = "resp_1", status: str = "completed", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return of(status, response={"id": id, "status": status, "output": [], "usage": usage, **fields})


def calling(n: int = 1, arguments: str = '{"city": "Paris"}') -> list[dict[str, Any]]:
    item = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": "weather", "arguments": arguments}
    return [of("output_item.added", output_index=n, item=item), of("output_item.done", output_index=n, item=item)]


def error(code: str, message: str = "no", **fields: Any) -> dict[str, Any]:
    return {"type": "error", "status": 400, "error": {"code": code, "message": message}, **fields}


class Turns:
    """A script: each socket answers each request with what `plays` has next; what came is in `frames`."""

    def __init__(self, *plays: Any) -> None:
        self.plays = list(plays)
        self.frames: list[dict[str, Any]] = []
        self.on: list[int] = []
        self.peers: list[Peer] = []

    async def __call__(self, peer: Peer) -> None:
        self.peers.append(peer)
        while (frame := await peer.receive()) is not None:
            self.frames.append(frame)
            self.on.append(self.peers.index(peer))
            number = len(self.frames)
            play = self.plays.pop(0) if self.plays else None
            if callable(play):
                await play(peer)
            else:
                await peer.send(*(play or [begun(f"resp_{number}"), text(f"A{number}"), ended(f"resp_{number}")]))


HI = [{"role": "user", "content": "Hi"}]


def after(reply: Reply, *more: str, first: list[dict[str, Any]] = HI) -> list[dict[str, Any]]:
    """A conversation that goes on from a reply."""
    return [*first, {"role": "assistant", "content": reply.text}, *({"role": "user", "content": each} for each in more)]


async def test_a_turn_and_the_next_one_which_sends_only_what_is_new() -> None:
    """On one socket: the whole request first, then the new message and the id of the response it goes on from."""
    turns = Turns()
    system = [{"role": "system", "content": "Be short."}, *HI]
    async with serving(turns) as service, client_of(service) as client:
        first = await ask(client, system, max_tokens=9)
        second = await ask(client, after(first, "And?", first=system))
        third = await ask(client, after(second, "So?", first=after(first, "And?", first=system)))
    assert [each.method for each in service.asked] == ["GET"]
    assert (service.asked[0].path, service.asked[0].headers["authorization"]) == ("/v1/responses", f"Bearer {KEY}")
    common = {"type": "response.create", "model": "m", "instructions": "Be short.", "store": False}
    common |= {"stream_options": {"include_obfuscation": False}}
    assert turns.frames == [
        {**common, "input": HI, "max_output_tokens": 9},
        {**common, "input": [{"role": "user", "content": "And?"}], "previous_response_id": "resp_1"},
        {**common, "input": [{"role": "user", "content": "So?"}], "previous_response_id": "resp_2"},
    ]
    assert [reply.text for reply in (first, second, third)] == ["A1", "A2", "A3"]
    assert (third.transport, third.wire, third.finish_reason, third.request_id) == ("ws", "responses", "stop", "resp_3")
    assert third.timing.sent is not None
    assert third.timing.ttft_ms is not None
    assert 0 < third.timing.ttft_ms < 3000


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([{"role": "user", "content": "Something else"}], {}),
        ([*HI, {"role": "assistant", "content": "edited"}, {"role": "user", "content": "And?"}], {}),
        ([{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "A1"}, *HI], {}),
        ([*HI, {"role": "assistant", "content": "A1"}], {}),
        ([*HI, {"role": "user", "content": "A1"}, *HI], {}),
        (None, {"model": "other"}),
        (None, {"instructions": "Be long."}),
        (None, {"tools": [{"type": "web_search"}]}),
        (None, {"previous_response_id": "resp_mine"}),
    ],
)
async def test_everything_is_sent_unless_it_is_exactly_that_conversation(messages: Any, fields: Any) -> None:
    """Another conversation, an edited answer, another model, other instructions or tools, an id of the user's own."""
    turns = Turns()
    async with serving(turns) as service, client_of(service) as client:
        first = await ask(client, HI)
        await ask(client, messages or after(first, "And?"), **fields)
    assert turns.on == [0, 0]
    assert turns.frames[1].get("previous_response_id") == fields.get("previous_response_id")
    assert len(turns.frames[1]["input"]) == len(messages or after(first, "And?"))


async def test_of_several_sockets_the_one_is_taken_that_knows_the_conversation() -> None:
    """Two conversations, each on its own socket, go on there."""
    together = asyncio.Barrier(2)

    async def play(peer: Peer) -> None:
        number = len(turns.frames)
        await together.wait()
        await peer.send(begun(f"resp_{number}"), text(f"A{number}"), ended(f"resp_{number}"))

    turns = Turns(play, play)
    others = [{"role": "user", "content": "Ho"}]
    async with serving(turns) as service, client_of(service) as client:
        one, two = await asyncio.gather(ask(client, HI), ask(client, others))
        for reply, first in ((one, HI), (two, others), (one, HI)):
            await ask(client, after(reply, "And?", first=first))
    assert len(service.peers) == 2
    named = {frame["previous_response_id"] for frame in turns.frames[2:4]}
    assert named == {"resp_1", "resp_2"}
    assert "previous_response_id" not in turns.frames[4], "the conversation has gone on from there"


@hs.tool
def weather(city: str) -> str:
    """Says what the weather is."""
    return f"sunny in {city}"


async def test_rounds_with_tools_send_their_results_alone() -> None:
    """hs.run_tools: of round two and three nothing goes out but the results, on the same socket."""
    turns = Turns(
        [begun("resp_1"), text("I look."), *calling(1), *calling(2), ended("resp_1")],
        [begun("resp_2"), *calling(3, '{"city": "Rome"'), ended("resp_2")],
    )
    async with serving(turns) as service, client_of(service) as client:
        run = hs.run_tools(client, "Where is it sunny?" * 500, tools=[weather], model="m", consent="all")
        reply = await run
    assert (reply.text, reply.error, len(service.peers)) == ("I look.\n\nA3", None, 1)
    assert [frame.get("previous_response_id") for frame in turns.frames] == [None, "resp_1", "resp_2"]
    assert turns.frames[1]["input"] == [
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny in Paris"},
        {"type": "function_call_output", "call_id": "call_2", "output": "sunny in Paris"},
    ]
    assert [item["call_id"] for item in turns.frames[2]["input"]] == ["call_3"]
    assert turns.frames[2]["tools"] == turns.frames[0]["tools"]
    assert len(json.dumps(turns.frames[0])) > 9000 > 10 * len(json.dumps(turns.frames[1]["input"]))


# What the service has forgotten


async def test_a_response_that_is_not_known_any_more_is_no_error_to_the_user() -> None:
    """The whole context goes out again, once, on a new socket."""
    turns = Turns(None, [error("previous_response_not_found")])
    async with serving(turns) as service, client_of(service) as client:
        first = await ask(client, HI)
        second = await ask(client, after(first, "And?"))
    assert (second.text, second.error, second.timing.resent, second.timing.retries) == ("A3", None, 1, 0)
    assert turns.frames[1]["previous_response_id"] == "resp_1"
    assert "previous_response_id" not in turns.frames[2]
    assert len(turns.frames[2]["input"]) == 3
    assert turns.on == [0, 0, 1]


async def test_what_is_not_ours_to_mend_is_told() -> None:
    """A second refusal, an id of the user's own, and one after output."""
    code = "previous_response_not_found"
    turns = Turns([error(code)])
    async with serving(turns) as service, client_of(service) as client:
        assert isinstance((await ask(client, HI, previous_response_id="resp_mine")).error, BadRequest)
    turns = Turns(None, [begun(), text("So"), error(code)])
    async with serving(turns) as service, client_of(service) as client:
        second = await ask(client, after(await ask(client, HI), "And?"))
    assert (second.text, isinstance(second.error, BadRequest), len(turns.frames)) == ("So", True, 2)
    turns = Turns(None, [error(code)], [error(code)])
    async with serving(turns) as service, client_of(service) as client:
        assert isinstance((await ask(client, after(await ask(client, HI), "And?"))).error, BadRequest)
    assert len(turns.frames) == 3


async def test_a_socket_that_is_too_old_is_replaced() -> None:
    """By the service's word in the middle, and before a turn by its age."""
    turns = Turns(None, [error("websocket_connection_limit_reached")])
    async with serving(turns) as service, client_of(service) as client:
        second = await ask(client, after(await ask(client, HI), "And?"))
    assert (second.text, second.error, turns.on) == ("A3", None, [0, 0, 1])


async def test_no_turn_begins_on_a_socket_near_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole context goes to a new one, before the service ends the old one in the middle of an answer."""
    monkeypatch.setattr(over_responses, "_LIFE_S", 0.0)
    turns = Turns()
    async with serving(turns) as service, client_of(service) as client:
        second = await ask(client, after(await ask(client, HI), "And?"))
    assert (second.text, turns.on, len(turns.frames[1]["input"])) == ("A2", [0, 1], 3)


async def test_a_kept_socket_that_had_died_is_asked_again_once() -> None:
    """Closed as the request arrives: a new socket takes the whole request."""

    async def leave(peer: Peer) -> None:
        peer.cut()

    turns = Turns(None, leave)
    async with serving(turns) as service, client_of(service) as client:
        second = await ask(client, after(await ask(client, HI), "And?"))
    assert (second.text, second.error, second.timing.resent) == ("A3", None, 1)
    assert len(turns.frames[2]["input"]) == 3


async def test_after_output_nothing_is_asked_again() -> None:
    """A connection that breaks in the middle, on a kept socket too: what had arrived is kept, and it is said."""

    async def break_off(peer: Peer) -> None:
        await peer.send(begun(), text("So far"))
        peer.cut()

    turns = Turns(None, break_off)
    async with serving(turns) as service, client_of(service) as client:
        second = await ask(client, after(await ask(client, HI), "And?"))
    assert (second.text, second.finish_reason, len(turns.frames)) == ("So far", "interrupted", 2)
    assert isinstance(second.error, StreamInterrupted)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
async def test_a_close_before_any_answer_is_tried_again(code: int) -> None:
    """Also an ordinary one: a turn that nothing has answered is not over."""

    async def close(peer: Peer) -> None:
        await peer.close(code)

    turns = Turns(close)
    async with serving(turns) as service, client_of(service) as client:
        reply = await ask(client)
    assert (reply.text, reply.error, reply.timing.retries) == ("A2", None, 1)


# Errors, limits and stop


async def test_an_error_frame_ends_the_turn_although_the_socket_stays_open() -> None:
    """At once, and the next turn has a socket of its own."""
    turns = Turns([begun(), text("So"), error("insufficient_quota", status=429)])
    async with serving(turns) as service, client_of(service) as client:
        before = time.perf_counter()
        reply = await ask(client)
        assert time.perf_counter() - before < 1
        assert (await ask(client)).text == "A2"
    assert isinstance(reply.error, RateLimited)
    assert (reply.text, turns.on) == ("So", [0, 1])


async def test_stop_closes_the_socket_within_100_ms() -> None:
    """No event cancels a turn: closing is what stops the bill."""
    turns = Turns([begun(), text("So")])
    async with serving(turns) as service, client_of(service) as client:
        async with client.stream(HI, model="m") as stream:
            await anext(stream)
            stopped = time.perf_counter_ns()
            stream.stop()
            left = await turns.peers[0].left()
        assert (left - stopped) / 1e6 < 100
        assert (stream.reply.text, stream.reply.finish_reason) == ("So", "stopped")
        assert (await ask(client)).text == "A2"
    assert turns.on == [0, 1]


@pytest.mark.slow
async def test_silence_and_keep_alives_without_output_are_limited() -> None:
    """Two clocks: nothing at all, and events that bring nothing."""

    async def breathe(peer: Peer) -> None:
        await peer.send(begun())
        while peer.left_ns is None:
            await peer.send(of("in_progress", response={}))
            await asyncio.sleep(0.05)

    turns = Turns([begun()], breathe)
    async with serving(turns) as service:
        async with client_of(service, inactivity=0.2, retries=0) as client:
            assert isinstance((await ask(client)).error, Stalled)
        async with client_of(service, inactivity=0.4, progress_timeout=0.5, retries=0) as client:
            assert "brought no output" in str((await ask(client)).error)


async def test_an_answer_that_is_too_large_is_cut() -> None:
    """max_bytes counts each turn's own bytes."""
    turns = Turns(None, [begun(), text("x" * 3000), text("y")])
    async with serving(turns) as service, client_of(service, max_bytes=2000) as client:
        assert (await ask(client)).error is None
        assert isinstance((await ask(client)).error, TooLarge)


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (answer("401 Unauthorized", b'{"error": {"message": "bad key"}}'), KeyRefused, "refused the key"),
        (answer("404 Not Found"), ServiceError, 'opened no WebSocket.*transport="sse"'),
    ],
)
async def test_a_refused_handshake_is_one_sentence(refusal: bytes, kind: type[HolystreamError], words: str) -> None:
    """What to do about it is in it, the key is not."""
    async with serving(Turns(), shake=lambda asked, count: refusal) as service, client_of(service, retries=0) as client:
        error = (await ask(client)).error
    assert isinstance(error, kind)
    with pytest.raises(kind, match=words):
        raise error
    assert KEY not in str(error)


async def test_a_field_without_a_place_is_refused_before_anything_is_opened() -> None:
    """No socket is spent on it."""
    async with serving(Turns()) as service, client_of(service) as client:
        assert isinstance((await ask(client, stop=["x"])).error, SetupError)
        assert isinstance((await ask(client, stream=False)).error, SetupError)
    assert service.asked == []


async def test_events_of_a_lane_are_taken() -> None:
    """A service may repeat a `stream_id` in every event."""
    turns = Turns([{**event, "stream_id": "main"} for event in (begun(), text("Hi"), ended())])
    async with serving(turns) as service, client_of(service) as client:
        assert (await ask(client)).text == "Hi"


async def test_the_key_goes_to_the_provider_alone() -> None:
    """A socket on a host that its entry does not trust is refused before it is opened."""
    from dataclasses import replace

    from holystream_nb.providers.table import provider

    row = replace(provider("openai"), responses_websocket="wss://elsewhere.example/v1/responses")
    async with Client(row, api_key=KEY, wire="responses", transport="ws") as client:
        error = (await ask(client)).error
    assert isinstance(error, SetupError)
    assert "responses_websocket of openai is on a host" in str(error)


# A connection, and steering


def steer_event(word: str, **fields: Any) -> dict[str, Any]:
    return of(f"steer.{word}", steer={"id": "st_1", "previous_response_id": "resp_1"}, **fields)


async def test_a_connection_steers_its_running_answer() -> None:
    """What the user says meanwhile ends one response and begins the next: one turn, one answer, one usage."""

    async def play(peer: Peer) -> None:
        await peer.send(begun(), text("A long sto"))
        turns.frames.append(await peer.receive())
        steered = {"incomplete_details": {"reason": "steered"}}
        await peer.send(steer_event("accepted"), ended(status="incomplete", **steered))
        await asyncio.sleep(0.05)
        await peer.send(begun("resp_2"), text("A short one."), ended("resp_2"))

    turns = Turns(play)
    async with serving(turns) as service, client_of(service) as client, client.connect(model="m") as connection:
        await connection.send(HI)
        await anext(connection)
        await connection.send_event("steer", {"input": "Shorter!"})
        async for _ in connection:
            pass
        first = connection.reply
        said = {"role": "assistant", "content": first.text, "echo": first.echo}
        await connection.send([*HI, said, {"role": "user", "content": "And?"}])
        async for _ in connection:
            pass
        assert connection.reply.text == "A3"
    assert (first.text, first.finish_reason, first.usage.total_tokens) == ("A long sto\n\nA short one.", "stop", 6)
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "Shorter!"}
    assert turns.frames[1] == steer
    assert turns.frames[2]["previous_response_id"] == "resp_2"
    assert turns.frames[2]["input"] == [{"role": "user", "content": "And?"}]


async def test_input_that_is_not_used_is_said() -> None:
    """The answer ends as it would have; the progress says it at once, the reply at the end."""

    async def play(peer: Peer) -> None:
        await peer.send(begun(), text("Done"), text("."))
        await peer.receive()
        await peer.send(steer_event("failed", error={"code": "steering_not_supported", "message": "no"}))
        await asyncio.sleep(0.1)
        await peer.send(text("!"), ended())

    turns = Turns(play)
    async with serving(turns) as service, client_of(service) as client, client.connect(model="m") as connection:
        await connection.send(HI)
        await anext(connection)
        await connection.send_event("steer", {"input": "Shorter!"})
        notices = [connection.progress.notice async for _ in connection]
    said = "the input was not used: steering not supported"
    assert said in notices
    assert (connection.reply.text, connection.reply.finish_reason, connection.reply.detail) == ("Done.!", "stop", said)


@pytest.mark.parametrize(
    ("type", "payload", "words"),
    [
        ("tool_result", {"result": "x"}, "no event of a Responses socket"),
        ("steer", {}, "needs its input"),
        ("steer", {"input": 3}, "needs its input"),
    ],
)
async def test_what_cannot_be_sent_into_an_answer_is_refused(type: str, payload: Any, words: str) -> None:
    """In one sentence; the answer goes on."""

    async def play(peer: Peer) -> None:
        await peer.send(begun(), text("Hi"))
        await asyncio.sleep(0.1)
        await peer.send(ended())

    async with serving(Turns(play)) as service, client_of(service) as client, client.stream(HI, model="m") as stream:
        await anext(stream)
        with pytest.raises(SetupError, match=words):
            await stream.send_event(type, payload)
        async for _ in stream:
            pass
    assert stream.reply.text == "Hi"


async def test_a_conversation_is_kept_longer_than_a_bare_socket() -> None:
    """Tools and people take their time: the socket rests for minutes, as it holds what would have to be sent again."""
    connections = Transport()
    sockets = Sockets(connections, keep_s=0.01)
    turns = Turns()
    async with serving(turns) as service, client_of(service, connections=connections, sockets=sockets) as client:
        first = await ask(client, HI)
        await asyncio.sleep(0.1)
        await ask(client, after(first, "And?"))
    assert turns.frames[1]["previous_response_id"] == "resp_1"


async def test_input_before_the_answer_has_begun_waits_for_it() -> None:
    """It must name the response that it steers."""

    async def play(peer: Peer) -> None:
        await asyncio.sleep(0.1)
        assert len(turns.frames) == 1
        await peer.send(begun(), text("Hi"))
        turns.frames.append(await peer.receive())
        await peer.send(steer_event("accepted"), ended(), begun("resp_2"), text("Ho"), ended("resp_2"))

    turns = Turns(play)
    async with serving(turns) as service, client_of(service) as client, client.connect(model="m") as connection:
        await connection.send(HI)
        await connection.send_event("steer", {"input": "Shorter!"})
        async for _ in connection:
            pass
    assert turns.frames[1]["previous_response_id"] == "resp_1"
    assert connection.reply.text == "Hi\n\nHo"


async def test_a_connection_at_its_limit_in_the_middle_is_an_interruption() -> None:
    """What had arrived is kept; before any output the turn is tried again, on a socket that is new as well."""
    limit = error("websocket_connection_limit_reached")
    turns = Turns([begun(), text("So"), limit], [begun(), limit])
    async with serving(turns) as service, client_of(service) as client:
        reply = await ask(client)
        assert (await ask(client)).text == "A3"
    assert (reply.text, reply.finish_reason) == ("So", "interrupted")
    assert isinstance(reply.error, StreamInterrupted)
