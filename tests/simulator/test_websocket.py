"""The simulator's sockets as a foreign client sees them: openings, turns, tools, and what is sent in their middle."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from foreign_socket import Socket, Turn, patiently
from wsproto.events import BytesMessage, CloseConnection, Message, Ping

from holystream_nb.simulator import Simulator

COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
TOKENS = 23
PROMPT = "Ask get_weather about Paris, then get_time"
RESULTS = {"get_weather": "18 degrees", "get_time": "noon"}


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("get_weather"), tool("get_time")]


def test_words_a(open_socket: Any, simulator: Simulator) -> None:
    """A turn begins with its id, has one message a token, and ends with done and its usage; then comes the next."""
    with open_socket() as socket:
        assert socket.status == 101
        for _ in range(2):
            turn = socket.ask()
            assert [message["type"] for message in turn.messages] == ["start", *["content_block"] * TOKENS, "done"]
            assert turn.text == COUNTED
            assert turn.last["finish_reason"] == "stop"
            usage = turn.last["usage"]
            assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (3, TOKENS, 26)
            record = simulator.record(turn.id)
            assert record["kinds"] == ["start", *["text"] * TOKENS, "done"]
            times = [record["received_ns"], record["head_ns"], *record["sent_ns"], record["body_end_ns"]]
            assert times == sorted(times)
            assert (record["method"], record["outcome"], record["model"]) == ("WS", "complete", "gpt-4.1")
            assert record["session"] == socket.headers["x-request-id"]
    assert simulator.record(socket.headers["x-request-id"])["outcome"] == "upgraded"


def test_words_b(offered: Any, open_socket: Any, simulator: Simulator) -> None:
    """The POST's answer names a socket and is empty; there its turn starts by itself, and usage comes before done."""
    answer = offered("count to 12")
    assert (answer.status, answer.body, answer.ended) == (200, b"", True)
    url = answer.headers["sec-websocket-url"]
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v1/sessions/[\w-]{20,}", url)
    with open_socket(url=url, key="") as socket:
        for turn in (socket.turn(), socket.ask()):
            assert [message["type"] for message in turn.messages] == ["start", *["token"] * TOKENS, "usage", "done"]
            assert turn.text == COUNTED
            assert turn.last == {"type": "done", "finish_reason": "stop"}
            assert turn.messages[-2]["usage"]["completion_tokens"] == TOKENS
            assert turn.messages[-2]["usage"]["cost"] == 0
    assert simulator.record(answer.request_id)["outcome"] == "upgraded"


def test_an_offer_is_good_once(offered: Any, open_socket: Any) -> None:
    """A second opening, or an id that was never offered, is a 404."""
    url = offered().headers["sec-websocket-url"]
    with open_socket(url=url) as first, open_socket(url=url) as second, open_socket(url=url + "x") as other:
        assert (first.status, second.status, other.status) == (101, 404, 404)
        assert second.json["error"]["code"] == "session_not_found"


def test_offers_need_both_signs(ask: Any) -> None:
    """agent_mode alone, or the header alone, is answered with the ordinary stream, and so is `no-socket`."""
    upgrade = {"upgrade": "websocket"}
    for answer in (
        ask("count to 12", agent_mode=True),
        ask("count to 12", headers=upgrade),
        ask("count to 12", "no-socket", headers=upgrade, agent_mode=True),
    ):
        assert answer.text == COUNTED
        assert "sec-websocket-url" not in answer.headers


def test_kinds_of_offers(offered: Any) -> None:
    """The address can come by another name, lead to a foreign host, or nowhere."""
    assert "sec-websocket-url" not in offered(simulate="upgrade-url").headers
    assert offered(simulate="upgrade-url").headers["upgrade-url"].startswith("ws://127.0.0.1:")
    assert offered(simulate="socket-host=example.com").headers["sec-websocket-url"].startswith("wss://example.com/v1/")


def test_dead_offer(offered: Any, open_socket: Any) -> None:
    """`socket-dead` offers a socket that does not exist."""
    with open_socket(url=offered(simulate="socket-dead").headers["sec-websocket-url"]) as socket:
        assert socket.status == 404


def test_leaving_a_stream_that_was_no_socket_is_seen(connect: Any, simulator: Simulator) -> None:
    """A client that said Upgrade, got the stream and leaves it is noted at once, as any other."""
    connection, _ = connect("hi", "stall=20,no-socket", headers={"upgrade": "websocket"}, agent_mode=True)
    assert connection.recv(1000)
    left = time.perf_counter_ns()
    connection.close()
    record = patiently(lambda: next(each for each in simulator.requests() if each["outcome"] == "disconnected"))
    assert simulator.record(record["id"])["disconnected_ns"] - left < 500e6


def test_headers_of_c(ask: Any, simulator: Simulator) -> None:
    """X-Session-ID and stream_mode change nothing of the stream; the record knows the session."""
    headers = {"x-session-id": "a-session", "x-streaming-mode": "websocket-emulation"}
    answer = ask(headers=headers, stream_mode="websocket-compatible")
    assert answer.body == ask().body
    assert simulator.record(answer.request_id)["session"] == "a-session"


@pytest.mark.parametrize("model", ["gpt-4.1", "sim-reasoner"])
def test_same_text_as_over_http(ask: Any, open_socket: Any, offered: Any, model: str) -> None:
    """The same request and seed have the same tokens on all transports, thoughts too; another seed, other ones."""
    streamed = ask("Tell me about sheep", model=model, seed=3, temperature=0.5)
    with open_socket() as socket:
        turn = socket.ask("Tell me about sheep", model=model, seed=3, temperature=0.5)
        other = socket.ask("Tell me about sheep", model=model, seed=4, temperature=0.5)
    post = offered("Tell me about sheep", model=model, seed=3, temperature=0.5)
    with open_socket(url=post.headers["sec-websocket-url"]) as socket:
        negotiated = socket.turn()
    thoughts = [delta["reasoning_content"] for delta in streamed.deltas if "reasoning_content" in delta]
    assert turn.text == negotiated.text == streamed.text != other.text
    assert [message["content"] for message in turn.of("reasoning_block")] == thoughts
    assert [message["content"] for message in negotiated.of("reasoning")] == thoughts


@pytest.mark.slow
def test_same_distances_as_over_http(ask: Any, open_socket: Any, simulator: Simulator) -> None:
    """The jitter is the seed's on both transports."""
    headers = {"x-sim-speed": "2"}
    answer = ask("count to 9", model="deepseek-v3.2", headers=headers, seed=3)
    with open_socket(x_sim_speed="2") as socket:
        turn = socket.ask("count to 9", model="deepseek-v3.2", seed=3)
    figures = []
    for record in (simulator.record(answer.request_id), simulator.record(turn.id)):
        sent = [ns for ns, kind in zip(record["sent_ns"], record["kinds"], strict=True) if kind == "text"]
        figures.append([(ns - record["received_ns"]) / 1e9 for ns in sent])
    assert figures[0][-1] > 0.1
    assert figures[0] == pytest.approx(figures[1], abs=0.05)


def test_refused_handshakes(open_socket: Any, ask: Any) -> None:
    """A bad key, a bad header and a request that is no handshake are ordinary HTTP errors."""
    with open_socket(key="bad-key") as bad, open_socket("cuts=1") as unknown, open_socket(x_sim_speed="0") as slow:
        assert (bad.status, bad.json["error"]["code"]) == (401, "invalid_api_key")
        assert (unknown.status, unknown.json["error"]["param"]) == (400, "X-Simulate")
        assert slow.status == 400
        assert bad.headers["x-request-id"].startswith("req_")
    plain = ask(method="GET", path="/chat/stream")
    assert (plain.status, plain.json["error"]["type"]) == (426, "invalid_request_error")


def test_a_bad_init_ends_its_turn_only(open_socket: Any) -> None:
    """A model that does not exist, or a bad parameter, is an error message; the socket takes the next turn."""
    with open_socket() as socket:
        unknown = socket.ask(model="gpt-99").last
        assert unknown["type"] == "error"
        assert (unknown["error"]["code"], unknown["error"]["status"]) == ("model_not_found", 404)
        assert "gpt-99" in unknown["error"]["message"]
        assert socket.ask(temperature="hot").last["error"]["status"] == 400
        assert socket.ask(model="gpt-4.1#cuts=1").last["error"]["code"] == "unknown_fault"
        assert socket.ask().text == COUNTED


def call_arguments(turn: Turn) -> dict[str, str]:
    """The arguments of each call, joined, by the tool's name."""
    found: dict[str, str] = {}
    for message in turn.of("function_call", "tool_call"):
        inner = message.get("function") or message["payload"]
        name = inner.get("name") or inner["tool"]
        found[name] = found.get(name, "") + inner["arguments"]
    return found


def test_tools_are_answered_in_the_middle(open_socket: Any, simulator: Simulator) -> None:
    """Two tools one after the other: each call waits for its result, then the same turn goes on and tells them."""
    with open_socket() as socket:
        socket.init(PROMPT, tools=TOOLS)
        turn = socket.turn(socket.answer_calls(RESULTS))
    arguments = {name: json.loads(text) for name, text in call_arguments(turn).items()}
    assert arguments == {"get_weather": {"city": "Paris"}, "get_time": {"city": "Paris"}}
    calls = turn.of("function_call")
    assert [call["index"] for call in calls] == sorted(call["index"] for call in calls)
    assert [call["status"] for call in calls].count("completed") == 2
    assert "get_weather returned `18 degrees`" in turn.text
    assert "get_time returned `noon`" in turn.text
    assert (turn.last["type"], turn.last["finish_reason"]) == ("done", "stop")
    assert turn.last["usage"]["completion_tokens"] == turn.tokens
    assert simulator.record(turn.id)["outcome"] == "complete"


def test_rounds_of_tools_are_the_same_over_http(ask: Any, open_socket: Any) -> None:
    """Over HTTP the results come with the next requests, and the answers are the same to the letter."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": PROMPT}]
    for round in range(2):
        answer = ask(messages=messages, tools=TOOLS, stream=False).json["choices"][0]
        assert answer["finish_reason"] == "tool_calls"
        (call,) = answer["message"]["tool_calls"]
        name = call["function"]["name"]
        assert name == list(RESULTS)[round]
        messages += [
            {key: answer["message"][key] for key in ("role", "content", "tool_calls")},
            {"role": "tool", "tool_call_id": call["id"], "content": RESULTS[name]},
        ]
    with open_socket() as socket:
        socket.init(PROMPT, tools=TOOLS)
        turn = socket.turn(socket.answer_calls(RESULTS))
    assert ask(messages=messages, tools=TOOLS).text == turn.text


def test_parallel_calls_wait_for_all_results(offered: Any, open_socket: Any) -> None:
    """Two calls at once, in words B: the second result, in any order, sets the answer going."""
    answer = offered("get_weather and get_time in Paris", tools=TOOLS)
    with open_socket(url=answer.headers["sec-websocket-url"]) as socket:
        ids: dict[str, str] = {}

        def react(message: dict[str, Any]) -> None:
            if message.get("status") == "completed":
                ids[message["payload"]["tool"]] = message["call_id"]
            if len(ids) == 2 and message["type"] == "tool_call":
                socket.send("tool_result", {"call_id": "call_nobody", "result": "x"})
                socket.send("tool_result", {"tool": "get_time", "result": {"hour": 12}})  # as in the document: no id
                socket.send("tool_result", {"call_id": ids["get_weather"], "tool": "get_weather", "result": "18"})

        turn = socket.turn(react)
    assert 'get_time returned `{"hour":12}`' in turn.text
    assert "get_weather returned `18`" in turn.text
    assert turn.text.count("returned") == 2


def test_rounds_on_request(open_socket: Any) -> None:
    """`rounds` calls again and again, before the text comes: for whoever limits them."""
    with open_socket("rounds=4,tools=whole") as socket:
        socket.init("Sheep", tools=TOOLS)
        turn = socket.turn(socket.answer_calls(RESULTS))
    calls = turn.of("function_call")
    assert [call["index"] for call in calls] == [0, 1, 2, 3]
    assert len({call["call_id"] for call in calls}) == 4
    assert all("status" not in call for call in calls)
    assert turn.last["type"] == "done"


def test_cancel(open_socket: Any, simulator: Simulator) -> None:
    """A cancel is answered at once, in a silence, with the usage of what was sent; the socket stays good."""
    with open_socket() as socket:
        socket.init(model="gpt-4.1#stall=30")

        def react(message: dict[str, Any]) -> None:
            if message.get("content") == " 2":
                socket.send("cancel")

        started = time.perf_counter()
        turn = socket.turn(react)
        assert time.perf_counter() - started < 5
        assert (turn.last["type"], turn.last["finish_reason"]) == ("done", "cancelled")
        assert turn.last["usage"]["completion_tokens"] == turn.tokens
        assert simulator.record(turn.id)["outcome"] == "cancelled"
        socket.send("cancel")  # of nothing: ignored
        socket.init("count to 2")
        assert socket.turn().text == "1, 2"


def test_cancel_while_a_result_is_awaited(open_socket: Any) -> None:
    """The wait for a tool's result can be cancelled too."""
    with open_socket() as socket:
        socket.init(PROMPT, tools=TOOLS)
        turn = socket.turn(lambda message: socket.send("cancel") if message.get("status") == "completed" else None)
        assert turn.last["finish_reason"] == "cancelled"


def test_context_update(open_socket: Any) -> None:
    """An update brings one sentence that names its focus, into the rest of the answer."""
    with open_socket() as socket:
        socket.init("Tell me about sheep", model="gpt-4.1#rate=400", seed=1)
        seen: list[int] = []

        def react(message: dict[str, Any]) -> None:
            seen.append(1)
            if len(seen) == 10:
                socket.send("context_update", {"focus": "wool prices"})

        turn = socket.turn(react)
        plain = socket.ask("Tell me about sheep", seed=1)
    assert turn.text.count("wool prices") == 1
    assert re.search(r"[^\n]*from here on the focus is \*wool prices\*\.", turn.text)
    assert len(turn.text) > len(plain.text)
    assert turn.last["usage"]["completion_tokens"] == turn.tokens


def test_interruption(open_socket: Any, simulator: Simulator) -> None:
    """An interruption ends the running text, and its own text is answered in the same turn."""
    with open_socket("rate=400") as socket:
        socket.init("count to 500")

        def react(message: dict[str, Any]) -> None:
            if message.get("content") == " 5":
                socket.send("user_interruption", {"text": "Repeat after me: sheep!"})

        turn = socket.turn(react)
    assert turn.text.startswith("1, 2, 3, 4, 5")
    assert turn.text.endswith("\n\nsheep!")
    assert len(turn.text) < 200
    assert turn.last["finish_reason"] == "stop"


def test_interruption_instead_of_a_result(open_socket: Any) -> None:
    """Whoever interrupts while a result is awaited gets an answer without it."""
    with open_socket() as socket:
        socket.init(PROMPT, tools=TOOLS)

        def react(message: dict[str, Any]) -> None:
            if message.get("status") == "completed":
                socket.send("user_interruption", {"text": "Repeat after me: never mind"})

        assert socket.turn(react).text == "never mind"


def test_deaf(open_socket: Any) -> None:
    """A deaf simulator goes on, whatever it is sent."""
    with open_socket("deaf,rate=400") as socket:
        socket.init()
        turn = socket.turn(lambda message: socket.send("cancel") if message.get("content") == "1" else None)
        assert (turn.text, turn.last["finish_reason"]) == (COUNTED, "stop")


def test_leaving_is_seen_at_once(open_socket: Any, simulator: Simulator) -> None:
    """A socket that is closed in a silence, with a close frame or without, ends its turn within 100 ms or so."""
    leavings: list[Callable[[Socket], None]] = [
        lambda socket: socket.close(),
        lambda socket: socket.write(CloseConnection(code=1000)),
    ]
    for leave in leavings:
        with open_socket("stall=30") as socket:
            socket.init()
            messages = socket.messages()
            id = next(messages)["id"]
            next(messages)
            assert simulator.active() == 1
            left = time.perf_counter_ns()
            leave(socket)
            patiently(lambda id=id: simulator.record(id)["outcome"] == "disconnected")
            assert 0 < simulator.record(id)["disconnected_ns"] - left < 500e6
        patiently(lambda: simulator.active() == simulator.sockets() == 0)


def test_leaving_with_the_request_is_seen(open_socket: Any, simulator: Simulator) -> None:
    """A close frame right behind an init, in one packet, leaves no turn behind."""
    with open_socket() as socket:
        socket.write_together(Message('{"type":"init","model":"gpt-4.1#stall=30"}'), CloseConnection(code=1000))
        patiently(lambda: simulator.sockets() == 0)
    assert simulator.active() == 0
    assert simulator.requests()[0]["outcome"] != "running"


@pytest.mark.slow
def test_slow_reader_holds_the_turn_back(open_socket: Any, simulator: Simulator) -> None:
    """Messages that the socket does not take are not made: a reader that sleeps stops the turn, one that reads not."""
    with open_socket("tokens=10000000,rate=max,numbered") as socket:
        socket.init()
        messages = socket.messages()
        next(messages)
        held = patiently(lambda: _steady(simulator))
        number = 0
        while simulator.requests()[0]["events"] == held:
            for _ in range(5000):
                assert next(messages)["content"] == f"{number} "
                number += 1
    patiently(lambda: simulator.active() == 0)


def _steady(simulator: Simulator) -> int:
    """The number of the newest turn's events, if it does not grow any more."""
    first = simulator.requests()[0]["events"]
    time.sleep(0.2)
    return int(first) if simulator.requests()[0]["events"] == first else 0


def test_pings_are_answered(open_socket: Any) -> None:
    """A ping brings a pong, in a silence and between turns; from a mute simulator none."""
    with open_socket() as socket:
        socket.write(Ping(b"one"))
        assert next(socket.events()).payload == b"one"
        socket.init(model="gpt-4.1#stall=0.1")
        socket.write(Ping(b"two"))
        assert socket.turn().text == COUNTED
        assert socket.pongs == [b"one", b"two"]
    with open_socket("mute") as socket:
        socket.write(Ping(b"one"))
        assert socket.ask().text == COUNTED
        assert socket.pongs == []


def test_nonsense_closes_the_socket(open_socket: Any) -> None:
    """What is no JSON object with a type, binary, or a second turn at once is answered with a close frame."""
    for event, code in ((Message("{"), 1003), (Message("[]"), 1003), (BytesMessage(b"{}"), 1003)):
        with open_socket() as socket:
            socket.write(event)
            assert list(socket.messages()) == []
            assert socket.code == code
    with open_socket("tokens=10000000,rate=max") as socket:
        socket.init()
        socket.init()
        assert socket.turn().of("done") == []
        assert socket.code == 1002


def test_unknown_types_are_ignored(open_socket: Any) -> None:
    """Before a turn and in it."""
    with open_socket() as socket:
        socket.send("weather", {"sun": True})
        socket.init()
        socket.send("weather", {"sun": True})
        assert socket.turn().text == COUNTED


@pytest.mark.slow
def test_an_unread_close_frame_does_not_hold_the_simulator(open_socket: Any, simulator: Simulator) -> None:
    """A client that never answers a close frame is left after a moment."""
    with open_socket("end=1") as socket:
        socket.init()
        patiently(lambda: simulator.sockets() == 0)
