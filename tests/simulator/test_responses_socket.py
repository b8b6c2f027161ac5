"""Responses on a WebSocket: turns, lanes, what a connection remembers, steering, its end, the faults."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from foreign_socket import Open, Socket, patiently
from wsproto.events import BytesMessage, Message, Ping, Pong

from holystream_nb.simulator import Simulator

PLAIN = "count to 12"
COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

Events = list[dict[str, Any]]
Connect = Callable[..., Socket]


@pytest.fixture
def connect(open_socket: Open, simulator: Simulator) -> Iterator[Connect]:
    """Open `/v1/responses`; closed at the end of the test."""
    opened: list[Socket] = []

    def connect(simulate: str = "", **options: str) -> Socket:
        url = simulator.url.replace("http", "ws", 1) + "/responses"
        opened.append(open_socket(simulate, url, **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def create(socket: Socket, input: Any = PLAIN, **fields: Any) -> None:
    """Send `response.create`."""
    asked = {"type": "response.create", "model": "gpt-4.1", "input": input, **fields}
    socket.write(Message(json.dumps({name: value for name, value in asked.items() if value is not None})))


def until_end(socket: Socket, turns: int = 1) -> Events:
    """The events up to the end of so many turns, or of the connection."""
    found: Events = []
    for message in socket.messages():
        found.append(message)
        turns -= message.get("type") in TERMINAL
        if not turns:
            break
    return found


def ask(socket: Socket, input: Any = PLAIN, **fields: Any) -> Events:
    """One whole turn."""
    create(socket, input, **fields)
    return until_end(socket)


def text_of(events: Events) -> str:
    return "".join(event["delta"] for event in events if event.get("type") == "response.output_text.delta")


def id_of(events: Events) -> str:
    return str(events[-1]["response"]["id"])


def test_a_turn_has_the_events_of_a_stream(connect: Connect, simulator: Simulator) -> None:
    """The same events as over SSE, but for the ids."""
    events = ask(connect())
    with openai.OpenAI(base_url=simulator.url, api_key="key") as client:
        stream = client.responses.create(model="gpt-4.1", input=PLAIN, stream=True)
        streamed = [event.to_dict() for event in stream]
    assert [event["type"] for event in events] == [event["type"] for event in streamed]
    assert text_of(events) == COUNTED
    assert events[-1]["response"]["usage"] == streamed[-1]["response"]["usage"]
    assert not any("stream_id" in event for event in events)


def test_a_conversation_sends_only_what_is_new(connect: Connect) -> None:
    """The connection remembers its newest response, also without `store`, with its tool calls and reasoning."""
    socket = connect()
    first = ask(socket, "get_weather in Paris", model="sim-reasoner", tools=[WEATHER], store=False)
    call = first[-1]["response"]["output"][-1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "12 degrees"}
    second = ask(socket, [result], model="sim-reasoner", store=False, previous_response_id=id_of(first))
    assert "12 degrees" in text_of(second)
    assert second[-1]["response"]["previous_response_id"] == id_of(first)
    third = ask(socket, "Tell me about goats", store=False, previous_response_id=id_of(second))
    assert third[-1]["response"]["status"] == "completed"


def test_an_older_or_foreign_response_is_not_found(connect: Connect) -> None:
    """Only the newest of a lane is remembered, and only on its connection; the error ends the turn, not the socket."""
    socket = connect()
    first, _ = ask(socket, store=False), ask(socket, "count to 3", store=False)
    for other in (socket, connect()):
        (error,) = ask(other, previous_response_id=id_of(first))
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["code"] == "previous_response_not_found"
        assert error["error"]["param"] == "previous_response_id"
    assert text_of(ask(socket)) == COUNTED


def test_a_stored_response_is_found_on_another_connection(connect: Connect) -> None:
    """With `store`, which is the default, the id outlives its connection."""
    first = ask(connect(), "Tell me about sheep")
    assert "*sheep*" in text_of(ask(connect(), "Tell me about goats", previous_response_id=id_of(first)))


@pytest.mark.parametrize("wrong", [{"model": "gpt-4.1#error"}, {"model": "gpt-99"}, {"input": [7]}, {"n": 2}])
def test_a_failed_continuation_forgets_what_it_named(connect: Connect, wrong: dict[str, Any]) -> None:
    """After an error the id is gone, and a client must send everything."""
    socket = connect()
    id = id_of(ask(socket, store=False))
    assert ask(socket, previous_response_id=id, store=False, **{"input": PLAIN, **wrong})[-1]["type"] == "error"
    assert ask(socket, previous_response_id=id, store=False)[-1]["error"]["code"] == "previous_response_not_found"


def test_a_warm_up_says_nothing_and_is_remembered(connect: Connect) -> None:
    """`generate: false` returns an id at once, to go on from."""
    socket = connect(x_sim_speed="1")
    begun = time.perf_counter()
    events = ask(socket, "Tell me about sheep", generate=False, store=False)
    assert time.perf_counter() - begun < 0.2
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.completed"]
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["usage"]["output_tokens"] == 0
    quick = connect()
    warm = ask(quick, None, generate=False, store=False)
    assert text_of(ask(quick, PLAIN, previous_response_id=id_of(warm), store=False)) == COUNTED


def test_turns_of_one_lane_come_one_after_the_other(connect: Connect) -> None:
    """What is sent while a turn runs waits for it."""
    socket = connect("rate=200")
    create(socket, "count to 4")
    create(socket, "count to 3")
    events = until_end(socket, 2)
    ends = [at for at, event in enumerate(events) if event["type"] in TERMINAL]
    assert text_of(events[: ends[0] + 1]) == "1, 2, 3, 4"
    assert text_of(events[ends[0] + 1 :]) == "1, 2, 3"


def test_lanes_run_side_by_side_and_are_named_in_each_event(connect: Connect) -> None:
    """Two lanes share the socket; a message in fragments is never mixed with another's."""
    socket = connect("rate=100,bytes=9")
    create(socket, stream_id="a.1")
    create(socket, stream_id="b_2")
    events = until_end(socket, 2)
    by_lane = {lane: [event for event in events if event["stream_id"] == lane] for lane in ("a.1", "b_2")}
    assert {text_of(each) for each in by_lane.values()} == {COUNTED}
    order = [event["stream_id"] for event in events if event["type"] == "response.output_text.delta"]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)


def test_another_lane_s_response_is_forked(connect: Connect) -> None:
    """A lane goes on from what another has newest, and that one may go on as well."""
    socket = connect()
    first = ask(socket, "Tell me about sheep", store=False, stream_id="a")
    for lane in ("b", "a"):
        forked = ask(socket, "And goats", store=False, stream_id=lane, previous_response_id=id_of(first))
        assert "*sheep*" in text_of(forked)


@pytest.mark.slow
def test_limits_of_lanes(connect: Connect) -> None:
    """32 names beside the default lane, 16 turns at a time; bad names are refused."""
    socket = connect("rate=20,tokens=5")
    assert ask(socket, stream_id="with space")[0]["error"]["code"] == "invalid_stream_id"
    assert ask(socket, stream_id="")[0]["error"]["code"] == "invalid_stream_id"
    for number in range(32):
        create(socket, stream_id=f"lane-{number}")
    create(socket)
    create(socket, stream_id="one-more")
    events = until_end(socket, 34)
    (error,) = [event for event in events if event["type"] == "error"]
    assert (error["error"]["code"], error["stream_id"]) == ("websocket_stream_limit_reached", "one-more")
    running = most = 0
    for event in events:
        running += {"response.created": 1, "response.completed": -1}.get(event["type"], 0)
        most = max(most, running)
    assert most == 16
    assert ask(socket, stream_id="lane-0")[-1]["type"] == "response.completed"


# Steering


def steer(socket: Socket, id: str, input: Any, **fields: Any) -> None:
    socket.write(Message(json.dumps({"type": "response.steer", "previous_response_id": id, "input": input, **fields})))


def after_first(socket: Socket, type: str = "response.output_text.delta") -> tuple[Events, str]:
    """The events up to the first of a type, and the response's id."""
    found: Events = []
    for message in socket.messages():
        found.append(message)
        if message["type"] == type:
            break
    return found, found[0]["response"]["id"]


@pytest.mark.parametrize("input", ["Tell me about goats", [{"role": "user", "content": "Tell me about goats"}]])
def test_steering_ends_the_answer_and_a_successor_follows(connect: Connect, input: Any) -> None:
    """Accepted, then incomplete because steered, then a response that goes on from it; both lie in one lane."""
    socket = connect("rate=400")
    create(socket, "Tell me about sheep", stream_id="a", instructions="Be brief", store=False)
    begun, id = after_first(socket)
    steer(socket, id, input)
    events = begun + until_end(socket, 2)
    assert {event["stream_id"] for event in events} == {"a"}
    (accepted,) = [event for event in events if event["type"] == "response.steer.accepted"]
    assert accepted["steer"]["previous_response_id"] == id
    cut, successor = (event["response"] for event in events if event["type"] in TERMINAL)
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "steered"})
    assert cut["output"][0]["status"] == "incomplete"
    assert cut["usage"]["output_tokens"] < 80
    assert (successor["status"], successor["previous_response_id"]) == ("completed", id)
    assert successor["instructions"] == "Be brief"
    said = successor["output"][0]["content"][0]["text"]
    assert "*goats*" in said
    assert "You asked before about *sheep*" in said
    end = next(at for at, event in enumerate(events) if event["type"] in TERMINAL)
    assert [event["sequence_number"] for event in events[: end + 1]] == list(range(end + 1))


def test_a_steered_response_and_its_successor_have_records(connect: Connect, simulator: Simulator) -> None:
    """Each response has a record, which its own id names."""
    socket = connect("rate=50")
    create(socket)
    _, id = after_first(socket)
    steer(socket, id, "count to 3")
    successor = id_of(until_end(socket, 2))
    records = [simulator.record(each) for each in (id, successor)]
    assert [record["outcome"] for record in records] == ["complete", "complete"]
    assert len({record["session"] for record in records}) == 1
    assert records[1]["kinds"].count("text") == 5


def test_steering_a_response_that_calls_tools_waits_for_the_results(connect: Connect) -> None:
    """The input stays queued, and comes before the results that the client then sends."""
    socket = connect("rate=50")
    create(socket, "get_weather in Paris", tools=[WEATHER], store=False)
    _, id = after_first(socket, "response.function_call_arguments.delta")
    steer(socket, id, "Repeat after me: goats")
    events = until_end(socket)
    (pending,) = [message for _, message in zip(range(1), socket.messages(), strict=False)]
    call = events[-1]["response"]["output"][0]
    assert events[-1]["type"] == "response.completed"
    assert (pending["type"], pending["reason"]) == ("response.steer.pending", "waiting_for_required_input")
    wanted = {"type": "function_call_output", "call_id": call["call_id"], "name": "get_weather"}
    assert pending["required_input"] == [wanted]
    assert text_of(ask(socket, [{**wanted, "output": "12"}], previous_response_id=id, store=False)) == "goats"


@pytest.mark.parametrize(
    ("input", "fields", "code"),
    [
        ("", {}, "invalid_input"),
        ([{"role": "assistant", "content": "x"}], {}, "invalid_input"),
        ([{"type": "function_call_output", "call_id": "c", "output": ""}], {}, "invalid_input"),
        ("x", {"stream_id": "a"}, "invalid_input"),
        ("x", {"previous_response_id": "resp_none"}, "response_not_found"),
    ],
)
def test_steering_that_cannot_be(connect: Connect, input: Any, fields: dict[str, Any], code: str) -> None:
    """It is given back with the reason, and the answer goes on."""
    socket = connect("rate=100")
    create(socket)
    _, id = after_first(socket)
    steer(socket, id, input, **fields)
    events = until_end(socket)
    (failed,) = [event for event in events if event["type"] == "response.steer.failed"]
    assert (failed["error"]["code"], failed["steer"]["input"]) == (code, input)
    assert events[-1]["type"] == "response.completed"


def test_steering_too_late(connect: Connect) -> None:
    """After its end a response takes no more input."""
    socket = connect()
    steer(socket, id_of(ask(socket)), "count to 3")
    assert next(socket.messages())["error"]["code"] == "response_already_completed"


# The socket


def test_closing_stops_the_work(connect: Connect, simulator: Simulator) -> None:
    """When the client closes, every turn ends at once, those that wait too, and the records say so."""
    socket = connect("rate=20")
    create(socket)
    create(socket)
    create(socket, stream_id="b")
    after_first(socket)
    assert patiently(lambda: simulator.active() == 3)
    socket.close()
    assert patiently(lambda: (simulator.active(), simulator.sockets()) == (0, 0))
    turns = [record for record in simulator.requests()[:4] if record["method"] == "WS"]
    assert {record["outcome"] for record in turns} == {"disconnected"}


def test_the_life_of_a_connection_is_limited(connect: Connect, simulator: Simulator) -> None:
    """An error names the limit, also on an idle socket, and a turn that runs is cut off with it."""
    idle, busy = connect("life=0.1"), connect("life=0.1,rate=20")
    create(busy)
    for socket in (idle, busy):
        *_, error = list(socket.messages())
        assert error["error"]["code"] == "websocket_connection_limit_reached"
        assert (error["type"], error["status"], socket.code) == ("error", 400, 1000)
    assert patiently(lambda: simulator.active() == 0)
    assert simulator.requests()[0]["outcome"] == "closed"


@pytest.mark.parametrize("frame", ["{", "7", "{}", '{"type":"response.cancel"}'])
def test_what_is_no_event_is_an_error(connect: Connect, frame: str) -> None:
    """The socket stays open."""
    socket = connect()
    socket.write(Message(frame))
    error = next(socket.messages())
    assert (error["type"], error["status"], error["error"]["param"]) == ("error", 400, "type")
    assert text_of(ask(socket)) == COUNTED


def test_the_handshake(connect: Connect, simulator: Simulator) -> None:
    """A bad key is refused, and so is what the header asks of it; a GET that is no handshake is told so."""
    assert connect(key="bad").status == 401
    assert connect("fail=503").status == 503
    with pytest.raises(urllib.error.HTTPError, match="426"):
        urllib.request.urlopen(f"{simulator.url}/responses")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("fail=429", 429, "rate_limit_exceeded"), ("fail=500", 500, None)],
)
def test_a_turn_refused_by_its_model_s_suffix(connect: Connect, fault: str, status: int, code: str | None) -> None:
    """The error has HTTP's status, and its headers where HTTP would have some; the second try is answered."""
    socket = connect()
    (error,) = ask(socket, f"refuse {fault}", model=f"gpt-4.1#{fault}")
    assert (error["status"], error["error"]["code"]) == (status, code)
    assert error.get("headers") == ({"retry-after": "1"} if status == 429 else None)
    assert ask(socket, f"refuse {fault}", model=f"gpt-4.1#{fault}")[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("fault", "broken", "reset", "code", "outcome"),
    [
        ("cut=5", True, False, None, "cut"),
        ("reset=5", True, True, None, "reset"),
        ("end=5", False, False, 1000, "ended"),
        ("close=1011,after=5", False, False, 1011, "closed"),
    ],
)
def test_broken_off(
    connect: Connect, simulator: Simulator, fault: str, broken: bool, reset: bool, code: int | None, outcome: str
) -> None:
    """However a turn breaks off, the client sees it, and the record says how it was."""
    socket = connect()
    create(socket, model=f"gpt-4.1#{fault}")
    events = until_end(socket)
    assert text_of(events) == "1, 2, 3"
    assert (socket.broken, socket.reset, socket.code) == (broken, reset, code)
    assert simulator.record(events[0]["response"]["id"])["outcome"] == outcome


@pytest.mark.parametrize(("fault", "type"), [("error", "error"), ("error-chunk", "response.failed")])
def test_errors_in_a_turn(connect: Connect, fault: str, type: str) -> None:
    """An error ends the turn, and the socket stays open."""
    socket = connect()
    events = ask(socket, model=f"gpt-4.1#{fault},after=5", stream_id="a")
    assert (events[-1]["type"], events[-1]["stream_id"], text_of(events)) == (type, "a", "1, 2, 3")
    if type == "error":
        assert (events[-1]["status"], events[-1]["error"]["type"]) == (500, "server_error")
    assert text_of(ask(socket)) == COUNTED


def test_no_last_event(connect: Connect) -> None:
    """`no-done`: the turn just stops, and the socket takes the next one."""
    socket = connect()
    create(socket, model="gpt-4.1#no-done")
    create(socket, "count to 3")
    events = until_end(socket)
    assert [event["type"] for event in events].count("response.created") == 2
    assert [event["type"] for event in events].count("response.completed") == 1


@pytest.mark.parametrize("fault", ["bytes", "group", "comments", "fields", "split-utf8", "binary"])
def test_frames_that_say_the_same(connect: Connect, fault: str) -> None:
    """However it is written, a reader of messages finds the same events."""
    socket = connect(fault)
    create(socket, "Repeat after me: 🐑 said")
    known = [event for event in until_end(socket) if event.get("type", "").startswith("response.")]
    assert (text_of(known), known[-1]["type"]) == ("🐑 said" + " 🐑漢é" * (fault == "split-utf8"), "response.completed")
    assert any(isinstance(frame, BytesMessage) for frame in socket.frames) is (fault == "binary")


def test_unreadable_message(connect: Connect) -> None:
    """One message has its JSON cut off; the turn goes on."""
    socket = connect("bad-json")
    create(socket)
    unreadable = 0
    for data in socket.data():
        try:
            if json.loads(data)["type"] in TERMINAL:
                break
        except json.JSONDecodeError:
            unreadable += 1
    assert unreadable == 1


def test_mute_and_deaf(connect: Connect) -> None:
    """Pings are not answered; steering is not heard."""
    mute = connect("mute")
    mute.write(Ping(b"x"))
    assert text_of(ask(mute)) == COUNTED
    assert mute.pongs == []
    deaf = connect("deaf,rate=100")
    create(deaf)
    _, id = after_first(deaf)
    steer(deaf, id, "count to 3")
    assert not [event for event in until_end(deaf) if "steer" in event["type"]]
    open = connect()
    open.write(Ping(b"x"))
    assert isinstance(next(event for event in open.events() if isinstance(event, Pong)), Pong)


@pytest.mark.parametrize("dialect", ["llama.cpp", "copilot", "vllm"])
def test_dialects(connect: Connect, dialect: str) -> None:
    """The dialects of streams exist on sockets too, and the lane is named all the same."""
    events = ask(connect(f"dialect={dialect}"), stream_id="a")
    assert text_of(events) == COUNTED
    assert {event["stream_id"] for event in events} == {"a"}
    assert ("sequence_number" in events[0]) is (dialect != "llama.cpp")
