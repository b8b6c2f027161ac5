"""Every fault that a socket can have, as the frames that leave it."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from foreign_socket import Socket, Turn, patiently
from wsproto.events import BytesMessage

from holystream_nb.simulator import Simulator

COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
TOKENS = 23


def ask(open_socket: Any, simulate: str, prompt: str = "count to 12", **options: Any) -> tuple[Socket, Turn]:
    """One turn with these faults, given by the handshake's header."""
    with open_socket(simulate) as socket:
        return socket, socket.ask(prompt, **options)


@pytest.mark.parametrize(
    ("fault", "text", "broken", "reset", "code", "outcome"),
    [
        ("cut=5", "1, 2, 3", True, False, None, "cut"),
        ("cut=0", "", True, False, None, "cut"),
        ("cut=1000", COUNTED, True, False, None, "cut"),
        ("reset=5", "1, 2, 3", True, True, None, "reset"),
        ("end=5", "1, 2, 3", False, False, 1000, "ended"),
        ("close=4429,after=5", "1, 2, 3", False, False, 4429, "closed"),
        ("close=1001,after=5", "1, 2, 3", False, False, 1001, "closed"),
        ("group=4,cut=5", "1, 2, 3", True, False, None, "cut"),
    ],
)
def test_ends(
    open_socket: Any, simulator: Simulator, fault: str, text: str, broken: bool, reset: bool, code: Any, outcome: str
) -> None:
    """A cut has no close frame, a reset is one of the connection, an early end has 1000, a close its own code."""
    socket, turn = ask(open_socket, fault)
    assert turn.text == text
    assert turn.of("done", "usage") == []
    assert (socket.broken, socket.reset, socket.code) == (broken, reset, code)
    assert patiently(lambda: simulator.record(turn.id))["outcome"] == outcome


def test_suffix_is_the_same_as_the_header(open_socket: Any) -> None:
    """Faults behind the model of an `init` hold for that turn only."""
    with open_socket() as socket:
        assert socket.ask(model="gpt-4.1#tokens=2,numbered").text == "0 1 "
        assert socket.ask().text == COUNTED
        socket.ask(model="gpt-4.1#close=4000")
        assert socket.code == 4000


def test_faults_of_the_post_hold_on_its_socket(offered: Any, open_socket: Any) -> None:
    """In words B the header and the suffix of the POST make the faults of the socket."""
    for answer in (offered("count to 12", "cut=5"), offered("count to 12", model="gpt-4.1#cut=5")):
        with open_socket(url=answer.headers["sec-websocket-url"]) as socket:
            assert socket.turn().text == "1, 2, 3"
            assert socket.broken


def test_no_done(open_socket: Any, offered: Any) -> None:
    """The last message is missing, the socket stays open: the next turn works."""
    with open_socket() as socket:
        socket.init(model="gpt-4.1#no-done")
        socket.init("count to 2")
        first, second = [], socket.turn()
        starts = [index for index, message in enumerate(second.messages) if message["type"] == "start"]
        first = second.messages[: starts[1]]
        assert "".join(message.get("content", "") for message in first) == COUNTED
        assert {message["type"] for message in first} == {"start", "content_block"}


def test_finish_reasons(open_socket: Any) -> None:
    """Another finish reason, or none at all."""
    assert ask(open_socket, "finish=content_filter")[1].last["finish_reason"] == "content_filter"
    assert "finish_reason" not in ask(open_socket, "finish=none")[1].last
    assert ask(open_socket, "", max_tokens=4)[1].last["finish_reason"] == "length"


@pytest.mark.parametrize("status", [429, 503])
def test_first_handshakes_fail(open_socket: Any, status: int) -> None:
    """The first tries are refused with the status, in the shape that was asked for; then the socket opens."""
    statuses = []
    for _ in range(3):
        with open_socket(f"fail={status},tries=2,error-body=message,retry-after=3") as socket:
            statuses.append(socket.status)
            if socket.status != 101:
                assert socket.headers["retry-after"] == "3"
                assert socket.json["code"] == status
    assert statuses == [status, status, 101]


def test_handshake_dropped_or_answered_otherwise(open_socket: Any, simulator: Simulator) -> None:
    """No answer at all, a proxy's page, an error with status 200, a redirect."""
    with open_socket("fail=drop") as dropped, open_socket("html") as html, open_socket("error-200") as error:
        assert (dropped.status, dropped.broken) == (0, True)
        assert (html.status, html.body[:9]) == (200, b"<!DOCTYPE")
        assert (error.status, "error" in error.json) == (200, True)
    with open_socket("redirect=307") as moved:
        assert moved.status == 307
        assert moved.headers["location"].startswith("http://localhost:")
        assert moved.headers["location"].endswith("/v1/chat/stream")


def test_failures_of_a_turn(open_socket: Any) -> None:
    """Behind an init's model, a failure is the turn's: an error message with the status and the time to wait."""
    with open_socket() as socket:
        error = socket.ask(model="gpt-4.1#fail=429").last["error"]
        assert (error["status"], error["code"], error["retry_after"]) == (429, "rate_limit_exceeded", "1")
        assert socket.ask(model="gpt-4.1#fail=429").text == COUNTED
        socket.ask(model="gpt-4.1#fail=drop")
        assert socket.broken


def test_refusals_of_the_post(offered: Any) -> None:
    """In words B it is the POST that fails; its next try is offered a socket."""
    answers = [offered("count", "fail=503") for _ in range(2)]
    assert [answer.status for answer in answers] == [503, 200]
    assert "sec-websocket-url" in answers[1].headers


def test_waiting(open_socket: Any, simulator: Simulator) -> None:
    """`head` delays the handshake, `first` the first token, `stall` what comes after some."""
    started = time.perf_counter()
    with open_socket("head=0.1,first=0.1,stall=0.1") as socket:
        assert time.perf_counter() - started > 0.09
        record = simulator.record(socket.ask().id)
    sent = record["sent_ns"]
    assert sent[1] - sent[0] > 0.09e9
    gaps = [later - earlier for earlier, later in pairwise(sent[1:])]
    assert gaps.index(max(gaps)) == 2
    assert max(gaps) > 0.09e9


def test_late_start(open_socket: Any, simulator: Simulator) -> None:
    """Behind an init's model, `head` delays the start message."""
    with open_socket() as socket:
        record = simulator.record(socket.ask(model="gpt-4.1#head=0.1").id)
    assert record["sent_ns"][0] - record["received_ns"] > 0.09e9


def test_errors(open_socket: Any, simulator: Simulator) -> None:
    """An error ends the turn, as a message of its own or beside done; the socket stays open."""
    with open_socket() as socket:
        error = socket.ask(model="gpt-4.1#error")
        assert (error.text, error.last["type"], error.last["error"]["type"]) == ("1, 2", "error", "server_error")
        assert set(error.last["error"]) == {"type", "code", "message", "status"}
        beside = socket.ask(model="gpt-4.1#error-chunk")
        assert (beside.last["type"], beside.last["finish_reason"]) == ("done", "error")
        assert beside.last["error"]["message"]
        assert simulator.record(error.id)["outcome"] == simulator.record(beside.id)["outcome"] == "failed"
        assert socket.ask().text == COUNTED


def test_malformed_json(open_socket: Any) -> None:
    """One message's JSON is cut off; the rest of the answer follows."""
    with open_socket("bad-json") as socket:
        socket.init()
        good, bad = [], 0
        for data in socket.data():
            try:
                good.append(json.loads(data))
            except ValueError:
                bad += 1
            if good[-1]["type"] == "done":
                break
    assert bad == 1
    assert "".join(message.get("content", "") for message in good) == COUNTED


@pytest.mark.parametrize("size", [1, 7])
def test_fragments(open_socket: Any, size: int) -> None:
    """Each message comes in frames of N bytes."""
    socket, turn = ask(open_socket, f"bytes={size}")
    assert turn.text == COUNTED
    assert max(len(frame.data) for frame in socket.frames) == size
    assert sum(frame.message_finished for frame in socket.frames) == len(turn.messages)


def test_characters_split_over_fragments(open_socket: Any) -> None:
    """No frame holds a whole character of more than one byte, and joined they are right."""
    socket, turn = ask(open_socket, "split-utf8,binary", "Say it in Chinese")
    assert "🐑漢é" in turn.text
    parts = [bytes(frame.data) for frame in socket.frames if not bytes(frame.data).isascii()]
    assert len(parts) > 20
    for part in parts:
        with pytest.raises(UnicodeDecodeError):
            part.decode()
    assert "🐑漢é" in ask(open_socket, "split-utf8", "Say it in Chinese")[1].text


def test_text_that_is_not_utf8(open_socket: Any, simulator: Simulator) -> None:
    """A text message with a bad byte: a client fails the connection over it, as the standard wants."""
    with open_socket("bad-utf8,rate=20") as socket:
        socket.init()
        turn = socket.turn()
    assert (turn.text, socket.code, socket.broken) == ("1, 2", 1007, False)
    patiently(lambda: simulator.record(turn.id)["outcome"] == "disconnected")


def test_large_message(open_socket: Any) -> None:
    """One message of more than a megabyte."""
    _, turn = ask(open_socket, "huge")
    assert max(len(message["content"]) for message in turn.of("content_block")) == 1_200_001


def test_pings_and_unknown_messages_between(open_socket: Any) -> None:
    """`comments` are pings before each message, `fields` messages of types that nobody knows."""
    socket, turn = ask(open_socket, "comments")
    assert (turn.text, len(socket.pings)) == (COUNTED, len(turn.messages))
    with open_socket("fields") as socket:
        socket.init()
        types = []
        for message in socket.messages():
            types.append(message.get("type"))
            if types[-1] == "done":
                break
    assert types.count("heartbeat") > 5
    assert None in types


def test_binary_messages(open_socket: Any) -> None:
    """The same messages in binary frames."""
    socket, turn = ask(open_socket, "binary")
    assert turn.text == COUNTED
    assert all(isinstance(frame, BytesMessage) for frame in socket.frames)


def test_several_messages_a_write(open_socket: Any, simulator: Simulator) -> None:
    """`group` hands over n messages at once: they share a stamp."""
    _, turn = ask(open_socket, "group=24")
    assert turn.text == COUNTED
    assert len(set(simulator.record(turn.id)["sent_ns"][1:])) == 1


@pytest.mark.parametrize(
    ("shape", "blank"),
    [
        ("empty", {"type": "content_block", "content": ""}),
        ("null", {"type": "content_block", "content": None}),
        ("no-choices", {"type": "content_block"}),
        ("null-delta", {"type": "content_block", "content": None}),
    ],
)
def test_blank_messages(open_socket: Any, shape: str, blank: dict[str, Any]) -> None:
    """A message that carries nothing comes before every token."""
    _, turn = ask(open_socket, f"blank={shape}")
    assert turn.messages.count(blank) == TOKENS
    assert turn.text == COUNTED


def test_usage_in_its_variants(open_socket: Any, offered: Any) -> None:
    """Null or running, with null counts, inside done, or never."""
    assert all(message["usage"] is None for message in ask(open_socket, "usage=null")[1].of("content_block"))
    running = [message["usage"]["completion_tokens"] for message in ask(open_socket, "usage=running")[1].of("usage")]
    assert running == list(range(1, TOKENS + 1))
    counts = ask(open_socket, "usage=null-counts")[1].last["usage"]
    assert counts == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    assert "usage" not in ask(open_socket, "usage=none")[1].last
    with open_socket(url=offered("count to 12", "usage=finish").headers["sec-websocket-url"]) as socket:
        turn = socket.turn()
    assert turn.of("usage") == []
    assert turn.last["usage"]["completion_tokens"] == TOKENS


def test_refusal_and_reasoning(open_socket: Any) -> None:
    """The text as a refusal; any model reasons when asked."""
    refusal = ask(open_socket, "refusal")[1]
    assert "".join(message["refusal"] for message in refusal.of("content_block")) == COUNTED
    reasoned = ask(open_socket, "reasoning=both")[1]
    assert len(reasoned.of("reasoning_block")) > 20
    details = reasoned.last["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] == len(reasoned.of("reasoning_block"))


def calls(open_socket: Any, shape: str) -> list[dict[str, Any]]:
    """The calls of a turn that is left when they wait for results."""
    with open_socket(f"tools={shape}") as socket:
        socket.init("Sheep")
        found: dict[str, bool] = {}
        messages = []
        for message in socket.messages():
            if message["type"] == "function_call":
                messages.append(message)
                found[message["call_id"] or "again"] = message.get("status", "completed") == "completed"
                completed = sum(found.values())
                if completed == (2 if shape == "interleaved" else 1):
                    break
        return messages


def test_tool_calls_in_their_shapes(open_socket: Any) -> None:
    """Index from 1 or none, ids and names empty or null, all in one message, as text or object, interleaved."""
    plain = calls(open_socket, "openai")
    assert json.loads("".join(call["function"]["arguments"] for call in plain)) == {"subject": "Sheep"}
    assert len({(call["call_id"], call["index"], call["function"]["name"]) for call in plain}) == 1
    assert [call["status"] for call in plain] == [*["in_progress"] * (len(plain) - 1), "completed"]
    assert {call["index"] for call in calls(open_socket, "index-1")} == {1}
    assert all("index" not in call for call in calls(open_socket, "no-index"))
    assert {(call["call_id"], call["function"]["name"]) for call in calls(open_socket, "empty-ids")[1:]} == {("", "")}
    assert {call["call_id"] for call in calls(open_socket, "null-ids")[1:]} == {None}
    (whole,), (as_object,) = calls(open_socket, "whole"), calls(open_socket, "object")
    assert json.loads(whole["function"]["arguments"]) == as_object["function"]["arguments"] == {"subject": "Sheep"}
    assert "status" not in whole
    assert [call["function"]["arguments"] for call in calls(open_socket, "no-arguments")] == [""]
    assert [call["index"] for call in calls(open_socket, "interleaved")[:4]] == [0, 1, 0, 1]


HERE_WITHOUT_MEANING = (
    "done-open",
    "refuse-usage=400",
    "whole",
    "charset",
    "error-event",
    "error-field",
    "crlf",
    "cr",
    "bom",
    "no-space",
    "role=only",
    "message",
    "parts",
    "no-socket",
    "upgrade-url",
    "socket-host=example.com",
    "socket-dead",
)


@pytest.mark.parametrize("fault", HERE_WITHOUT_MEANING)
def test_faults_without_a_meaning_here_are_ignored(open_socket: Any, fault: str) -> None:
    """What only server-sent events, or only an offer, can have leaves a socket as it is."""
    _, turn = ask(open_socket, fault)
    assert (turn.text, turn.last["finish_reason"]) == (COUNTED, "stop")


def test_unpaced_turns_leave_fast(open_socket: Any, simulator: Simulator) -> None:
    """20,000 messages leave at several thousand a second at the very least."""
    _, turn = ask(open_socket, "tokens=20000,rate=max,numbered")
    record = simulator.record(turn.id)
    assert record["events"] == 20_002
    assert record["events"] / (record["body_end_ns"] - record["received_ns"]) * 1e9 > 4_000
