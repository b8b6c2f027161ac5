"""Endpoints, errors in OpenAI's shapes, and the records of true times."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from holystream_nb.simulator import Simulator
from holystream_nb.simulator.records import Records


def get(simulator: Simulator, path: str, key: str = "key") -> tuple[int, Any, dict[str, str]]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = simulator.url.removesuffix("/v1") + path
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read(), dict(exc.headers)


def test_no_key(ask: Any) -> None:
    """No key is needed, unless the simulator was given one."""
    assert ask(headers={"authorization": ""}).status == 200
    with Simulator(key="the-key") as strict:
        assert [get(strict, "/v1/models", key=key)[0] for key in ("", "another", "the-key")] == [401, 401, 200]


@pytest.mark.parametrize("header", ["Bearer", "Bearer  ", "Basic key"])
def test_empty_key(ask: Any, header: str) -> None:
    """An empty key, or one that is not a bearer's, is a 401 that says what is expected."""
    answer = ask(headers={"authorization": header})
    assert answer.status == 401
    assert "Authorization: Bearer" in answer.json["error"]["message"]


@pytest.mark.parametrize("key", ["bad", "bad-key", "YOUR_HOLYSHEEP_API_KEY"])
def test_bad_key(ask: Any, key: str) -> None:
    """A key that starts with bad, or the placeholder, is refused without being repeated."""
    answer = ask(headers={"authorization": f"Bearer {key}"})
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert key not in answer.body.decode()


def test_unknown_model(ask: Any) -> None:
    """An unknown model is a 404 that names it, without its faults, and names those there are."""
    answer = ask(model="gpt-99#cut=2")
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "`gpt-99`" in error["message"]
    assert "deepseek-v3.2" in error["message"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "clown", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"n": 0}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stream": False, "stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "include_usage"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"model": "gpt-4.1#cuts=2"}, "X-Simulate"),
        ({"headers": {"x-sim-speed": "0"}}, "X-Sim-Speed"),
        ({"headers": {"x-sim-speed": "fast"}}, "X-Sim-Speed"),
    ],
)
def test_bad_parameters_are_named(ask: Any, changes: dict[str, Any], param: str) -> None:
    """A parameter that cannot be is a 400 whose `param` names it; a null one is as if it were not there."""
    answer = ask(**changes)
    error = answer.json["error"]
    assert (answer.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_bodies_that_are_no_request(ask: Any, body: bytes) -> None:
    """What is not a JSON object is a 400, never a crash."""
    assert ask(body=body).status == 400


def test_models(simulator: Simulator) -> None:
    """The models are listed and can be asked for one by one."""
    status, body, headers = get(simulator, "/v1/models")
    listed = json.loads(body)["data"]
    assert status == 200
    assert {"gpt-4.1", "gpt-4o", "claude-sonnet-4.5", "sim-reasoner"} <= {model["id"] for model in listed}
    assert headers["x-request-id"] in {summary["id"] for summary in simulator.requests()}
    assert json.loads(get(simulator, "/v1/models/gpt-4o")[1]) in listed
    assert get(simulator, "/v1/models/gpt-99")[0] == 404


def test_addresses_that_do_not_exist(simulator: Simulator, ask: Any) -> None:
    """An unknown path is a 404, a wrong method a 405, in the same shape, with a request id."""
    status, body, headers = get(simulator, "/v1/completions")
    assert (status, json.loads(body)["error"]["message"]) == (404, "Invalid URL (GET /v1/completions)")
    assert headers["x-request-id"]
    assert get(simulator, "/v1/chat/completions")[0] == 405
    assert ask(method="POST", path="/models").status == 405


def test_front_page(simulator: Simulator) -> None:
    """The root says what this is."""
    status, body, _ = get(simulator, "/", key="")
    assert status == 200
    assert b"simulator" in body


def test_a_key_of_its_own() -> None:
    """A simulator with a key accepts that key only."""
    with Simulator(speed=None, key="-secret") as simulator:
        assert [get(simulator, "/v1/models", key)[0] for key in ("-secret", "other")] == [200, 401]


def test_record_has_the_true_times(ask: Any, simulator: Simulator) -> None:
    """Each event's stamp lies between the client's request and the client's read, in order, and has its kind."""
    answer = ask("count to 3", "rate=200", model="sim-reasoner", stream_options={"include_usage": True})
    record = simulator.record(answer.request_id)
    kinds, thoughts = record["kinds"], record["kinds"].count("reasoning")
    assert kinds == ["role", *["reasoning"] * thoughts, *["text"] * 5, "finish", "usage", "done"]
    times = [answer.sent_ns, record["received_ns"], record["head_ns"], *record["sent_ns"], record["body_end_ns"]]
    assert times == sorted(times)
    lags = [read - sent for sent, read in zip(record["sent_ns"], answer.stamps, strict=True)]
    assert min(lags) > 0
    assert sorted(lags)[len(lags) // 2] < 20e6
    assert (record["outcome"], record["disconnected_ns"], record["status"]) == ("complete", None, 200)
    assert (record["model"], record["stream"], record["has_key"]) == ("sim-reasoner", True, True)


def test_events_share_and_complete_their_stamps(ask: Any, simulator: Simulator) -> None:
    """Events in one write have one stamp; an event in many writes has one, that of its last write."""
    grouped = simulator.record(ask("count to 12", "group=26").request_id)
    assert (len(grouped["sent_ns"]), len(set(grouped["sent_ns"]))) == (26, 1)
    single = simulator.record(ask("count to 12", "bytes").request_id)
    assert len(set(single["sent_ns"])) == 26


def test_outcomes(ask: Any, simulator: Simulator) -> None:
    """The record says how a request ended."""
    ends = {"cut=2": "cut", "reset=2": "reset", "end=2": "ended", "html": "refused", "redirect=302": "redirected"}
    assert {fault: simulator.record(ask("hi", fault).request_id)["outcome"] for fault in ends} == ends
    assert simulator.record(ask(model="nobody").request_id)["outcome"] == "refused"


def test_requests_are_listed_newest_first(ask: Any, simulator: Simulator) -> None:
    """The newest requests come first, as many as are asked for, and an unknown id is a LookupError."""
    ids = [ask("hi", "end=1").request_id for _ in range(103)]
    assert [summary["id"] for summary in simulator.requests()] == ids[:2:-1]
    assert [summary["id"] for summary in simulator.requests(most=102)] == ids[:0:-1]
    with pytest.raises(LookupError):
        simulator.requests(most=-1)
    with pytest.raises(LookupError):
        simulator.record("req_nobody")


def test_leaving_in_a_stall_is_seen_at_once(connect: Any, simulator: Simulator) -> None:
    """A client that goes away during a silence is noted within 100 ms, and its stream is over."""
    connection, _ = connect("hi", "stall=20")
    assert connection.recv(1000)
    time.sleep(0.05)
    assert simulator.active() == 1
    left = time.perf_counter_ns()
    connection.close()
    record = _disconnected(simulator)
    assert 0 < record["disconnected_ns"] - left < 100e6
    assert record["kinds"] == ["role", "text", "text", "text"]
    assert simulator.active() == 0


def test_leaving_an_unpaced_stream_is_seen(connect: Any, simulator: Simulator) -> None:
    """A client that leaves in the middle of a stream at full speed, without reading it, ends it."""
    connection, _ = connect("hi", "tokens=10000000,rate=max")
    assert connection.recv(1000)
    connection.close()
    assert 0 < _disconnected(simulator)["events"] < 1_000_000
    assert simulator.active() == 0


@pytest.mark.slow
def test_slow_reader_holds_the_stream_back(connect: Any, simulator: Simulator) -> None:
    """Events that the socket does not take are not sent: a reader that sleeps stops the stream."""
    connection, _ = connect("hi", "tokens=10000000,rate=max")
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = [-1, simulator.requests()[0]["events"]]
        for _ in range(100):  # until the buffers between are full
            time.sleep(0.1)
            sent.append(simulator.requests()[0]["events"])
            if sent[-1] == sent[-2] == sent[-3]:
                break
        assert sent[-1] == sent[-2] == sent[-3] < 10_000_000
    _disconnected(simulator)


def test_streams_run_side_by_side(connect: Any, ask: Any, simulator: Simulator) -> None:
    """A stream at full speed does not keep another from its turn."""
    connection, _ = connect("hi", "tokens=10000000,rate=max")
    with connection:
        assert connection.recv(1000)
        answer = ask("count to 3")
        assert answer.ended
        assert answer.stamps[-1] - answer.sent_ns < 5e9  # alone it takes milliseconds, behind the other minutes
        assert simulator.active() == 1


def test_records_are_bounded() -> None:
    """Old records go when there are too many of them, or too many stamps in them; running ones stay."""
    records = Records(most=3, most_stamps=10)
    running = records.open("POST", "/", "", True)
    for _ in range(5):
        records.open("POST", "/", "", True).ended("complete")
    assert len(records.newest()) == 3
    records.newest()[0].sent(("text",) * 11)
    assert [record.id for record in records.newest()[2:]] == [running.id]
    latest = records.open("POST", "/", "", True)
    assert [record.id for record in records.newest()] == [latest.id, running.id]


def _disconnected(simulator: Simulator) -> dict[str, Any]:
    """The newest record, once it says that its client has gone."""
    for _ in range(200):
        newest = simulator.requests()[0]
        if newest["outcome"] == "disconnected":
            return simulator.record(newest["id"])
        time.sleep(0.01)
    raise AssertionError(f"still {newest['outcome']}")
