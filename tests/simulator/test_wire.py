"""Every fault, as the bytes that leave the socket."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from holystream_nb.simulator import Simulator

PLAIN = "count to 12"
TOKENS = 23  # of "1, 2, … 12"


def test_stream_as_it_should_be(ask: Any) -> None:
    """A role, one token per chunk and per HTTP chunk, a finish reason, [DONE]; and a known content type."""
    answer = ask(PLAIN)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
    assert answer.deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert len(answer.chunks) == len(answer.data) == 1 + TOKENS + 1 + 1
    assert answer.objects[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert answer.data[-1] == b"[DONE]"
    assert answer.ended


def test_nobody_on_the_way_collects_a_stream(ask: Any) -> None:
    """As engines do: `X-Accel-Buffering: no` for nginx, and no cache; an answer in one piece has neither."""
    headers = ask(PLAIN).headers
    assert (headers["x-accel-buffering"], headers["cache-control"]) == ("no", "no-cache")
    assert "x-accel-buffering" not in ask(PLAIN, stream=False).headers


def test_same_seed_same_bytes(ask: Any) -> None:
    """Two streams of one seed are equal byte for byte; another seed, other bytes; unstreamed, the same text."""
    one, again, other = ask(), ask(), ask(seed=8)
    assert one.body == again.body != other.body
    assert ask(seed=7).text == one.text
    assert ask(stream=False).json["choices"][0]["message"]["content"] == one.text


def test_usage_on_request(ask: Any) -> None:
    """include_usage adds one chunk without choices, and null in the others."""
    *others, last = ask(PLAIN, stream_options={"include_usage": True}).objects
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == TOKENS
    assert all(chunk["usage"] is None for chunk in others)
    assert all("usage" not in chunk for chunk in ask(PLAIN).objects)


def test_reasoning_comes_before_text(ask: Any) -> None:
    """The reasoner thinks under reasoning_content, then speaks, and usage knows how much of it was thought."""
    answer = ask(model="sim-reasoner", stream_options={"include_usage": True})
    kinds = ["reasoning_content" if "reasoning_content" in delta else "content" for delta in answer.deltas[1:-1]]
    assert kinds == sorted(kinds, reverse=True)
    details = answer.objects[-1]["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] == kinds.count("reasoning_content") > 20


def test_choices_are_interleaved(ask: Any) -> None:
    """n = 3 sends three answers token by token, each with its own finish reason."""
    chunks = ask(PLAIN, n=3).objects
    indices = [chunk["choices"][0]["index"] for chunk in chunks]
    assert indices == [0, 1, 2] * (1 + TOKENS + 1)


def test_cut_breaks_the_connection(ask: Any) -> None:
    """After exactly n tokens the connection closes, without the chunked terminator."""
    answer = ask(PLAIN, "cut=5")
    assert (answer.text, answer.ended, answer.reset) == ("1, 2, 3", False, False)


def test_cut_before_the_first_token_and_after_the_last(ask: Any) -> None:
    """cut=0 leaves only the head; a cut beyond the answer's end comes before its finish reason."""
    nothing, nearly_all = ask(PLAIN, "cut=0"), ask(PLAIN, "cut=1000")
    assert (nothing.status, nothing.body, nothing.ended) == (200, b"", False)
    assert len(nearly_all.objects) == 1 + TOKENS
    assert not nearly_all.ended


def test_reset(ask: Any) -> None:
    """A reset is an error of the socket, and what came before it has arrived."""
    answer = ask(PLAIN, "reset=5")
    assert (answer.text, answer.ended, answer.reset) == ("1, 2, 3", False, True)


def test_clean_early_end(ask: Any) -> None:
    """`end` ends the body properly, with neither finish reason nor [DONE]."""
    answer = ask(PLAIN, "end=5")
    assert (answer.text, answer.ended, answer.data[-1] == b"[DONE]") == ("1, 2, 3", True, False)
    assert answer.objects[-1]["choices"][0]["finish_reason"] is None
    empty = ask(PLAIN, "end=0")
    assert (empty.status, empty.body, empty.ended) == (200, b"", True)


def test_done_in_its_variants(ask: Any) -> None:
    """[DONE] can be missing, or lack its blank line; a finish reason can be missing, or be another one."""
    assert b"[DONE]" not in ask(PLAIN, "no-done").body
    assert ask(PLAIN, "done-open").body.endswith(b"\n\ndata: [DONE]\n")
    unfinished = ask(PLAIN, "finish=none")
    assert unfinished.objects[-1]["choices"][0]["delta"] == {"content": " 12"}
    assert unfinished.data[-1] == b"[DONE]"
    assert ask(PLAIN, "finish=content_filter").objects[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_suffix_is_the_same_as_the_header(ask: Any) -> None:
    """Faults behind the model's name work alike, and the answer names the model without them."""
    answer = ask(PLAIN, model="gpt-4.1#cut=5,no-space")
    assert answer.body == ask(PLAIN, "cut=5,no-space").body
    assert b'"model":"gpt-4.1"' in answer.body


def test_stall_is_silence_in_the_middle(ask: Any) -> None:
    """After `after` tokens nothing comes for S seconds, at any speed."""
    answer = ask(PLAIN, "stall=0.2,after=4")
    gaps = [later - earlier for earlier, later in zip(answer.stamps, answer.stamps[1:], strict=False)]
    assert gaps.index(max(gaps)) == 4  # the role, four tokens, silence
    assert 0.19e9 < max(gaps) < 0.4e9


def test_slow_head_and_slow_first_event(ask: Any, simulator: Simulator) -> None:
    """`head` delays the response head, `first` only the first event."""
    late, slow = ask(PLAIN, "head=0.15"), ask(PLAIN, "first=0.15")
    late_record, slow_record = simulator.record(late.request_id), simulator.record(slow.request_id)
    assert late_record["head_ns"] - late_record["received_ns"] > 0.14e9
    assert slow_record["head_ns"] - slow_record["received_ns"] < 0.1e9
    assert 0.14e9 < slow_record["sent_ns"][0] - slow_record["received_ns"] < 0.3e9


def test_paces(ask: Any) -> None:
    """`rate` sends so many tokens a second, on an absolute schedule."""
    answer = ask("x", "tokens=101,rate=500,numbered")
    assert answer.text == "".join(f"{number} " for number in range(101))
    assert answer.stamps[-1] - answer.stamps[0] == pytest.approx(0.2e9, rel=0.15)


@pytest.mark.slow
def test_profile_is_kept_at_speed_1(ask: Any, simulator: Simulator) -> None:
    """At speed 1 first token and gaps are the profile's, jitter included; a header sets the speed of one request."""
    headers = {"x-sim-speed": "1"}
    answers = [ask("count to 5", model="deepseek-v3.2", headers=headers, seed=3) for _ in range(2)]
    for answer in answers:
        record = simulator.record(answer.request_id)
        first = record["sent_ns"][record["kinds"].index("text")] - record["received_ns"]
        assert 0.12e9 < first < 0.7e9
        texts = [stamp for stamp, kind in zip(record["sent_ns"], record["kinds"], strict=True) if kind == "text"]
        assert 0.04e9 < texts[-1] - texts[0] < 0.35e9
    durations = [answer.stamps[-1] - answer.sent_ns for answer in answers]
    assert durations[0] == pytest.approx(durations[1], rel=0.1)


def test_unstreamed_answers_take_as_long(ask: Any) -> None:
    """Without a stream the answer comes when its last token would have, in one piece."""
    started = time.perf_counter()
    answer = ask("x", "tokens=50,rate=250,numbered", stream=False)
    assert 0.19 < time.perf_counter() - started < 0.4
    assert answer.json["usage"]["completion_tokens"] == 50


def test_bytes_one_at_a_time(ask: Any) -> None:
    """Each byte is an HTTP chunk of its own, and together they are the same stream."""
    answer = ask(PLAIN, "bytes")
    assert {len(chunk) for chunk in answer.chunks} == {1}
    assert answer.body == ask(PLAIN).body


def test_several_events_a_write(ask: Any) -> None:
    """`group` puts n events into one write."""
    answer = ask(PLAIN, "group=4")
    assert [chunk.count(b"\n\n") for chunk in answer.chunks] == [4] * 6 + [2]
    assert answer.body == ask(PLAIN).body


def test_group_stops_for_a_break(ask: Any) -> None:
    """What comes before a cut is written before it, also in groups."""
    assert ask(PLAIN, "group=4,cut=5").text == "1, 2, 3"


def test_characters_split_over_writes(ask: Any) -> None:
    """No write contains a whole multi-byte character, and joined they are right."""
    answer = ask("Say it in Chinese", "split-utf8")
    assert "🐑漢é" in answer.text
    cut = [chunk for chunk in answer.chunks if not chunk.isascii()]
    assert len(cut) > 20
    for chunk in cut:
        with pytest.raises(UnicodeDecodeError):
            chunk.decode()


def test_bytes_that_are_not_utf8(ask: Any) -> None:
    """One token carries an invalid byte."""
    answer = ask(PLAIN, "bad-utf8")
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    assert "1, 2 \ufffd," in "".join(
        json.loads(data.decode(errors="replace"))["choices"][0]["delta"].get("content") or ""
        for data in answer.data[:-1]
    )


def test_line_ends(ask: Any) -> None:
    """CRLF and CR replace every LF."""
    plain = ask(PLAIN).body
    assert ask(PLAIN, "crlf").body == plain.replace(b"\n", b"\r\n")
    assert ask(PLAIN, "cr").body == plain.replace(b"\n", b"\r")


def test_marks_comments_and_fields(ask: Any) -> None:
    """BOM first; comments, dataless events and separators between; no space after the colon."""
    plain = ask(PLAIN).body
    assert ask(PLAIN, "bom").body == b"\xef\xbb\xbf" + plain
    assert ask(PLAIN, "comments").body.replace(b": keep-alive\n\n", b"") == plain
    fields = ask(PLAIN, "fields").body
    assert [fields.count(name) for name in (b"event: ping\n", b"retry: ", b"id: ")] == [13, 12, 13]
    assert b"data:{" in ask(PLAIN, "no-space").body
    assert b"data: " not in ask(PLAIN, "no-space").body
    separators = ask(PLAIN, "separators").body
    assert "\u2028 \u2029 \x85".encode() in separators
    assert b": \x0b \x0c \x1c \x1d \x1e\n" in separators


def test_huge_line(ask: Any) -> None:
    """One data line is longer than 1 MiB, and the answer goes on after it."""
    answer = ask(PLAIN, "huge")
    assert max(len(data) for data in answer.data) > 1 << 20
    assert answer.text.endswith(" 12")
    assert len(answer.text) == 1_200_000 + 1 + len(ask(PLAIN).text)


def test_charset(ask: Any) -> None:
    """The content type may lie about the encoding."""
    assert ask(PLAIN, "charset").headers["content-type"] == "text/event-stream; charset=latin-1"


@pytest.mark.parametrize(
    ("fault", "start"),
    [
        ("error", b'data: {"error":{"message":'),
        ("error-event", b'event: error\ndata: {"error":{'),
        ("error-field", b'error: {"message":'),
        ("error-chunk", b'data: {"id":"chatcmpl-sim-'),
    ],
)
def test_errors_in_the_stream(ask: Any, simulator: Simulator, fault: str, start: bytes) -> None:
    """After `after` tokens comes an error, in one of four shapes, and nothing after it."""
    answer = ask(PLAIN, f"{fault},after=2")
    last = answer.body.rstrip(b"\n").split(b"\n\n")[-1]
    assert last.startswith(start)
    assert b"server_error" in last
    assert answer.body.count(b'"content":"') >= 3
    assert answer.ended
    assert simulator.record(answer.request_id)["outcome"] == "failed"


def test_malformed_json(ask: Any) -> None:
    """One event's JSON is cut off; the rest of the answer follows."""
    broken = []
    for data in ask(PLAIN, "bad-json").data[:-1]:
        try:
            json.loads(data)
        except ValueError:
            broken.append(data)
    assert len(broken) == 1


def test_stream_that_is_none(ask: Any) -> None:
    """HTTP 200 with HTML, with an error object, or with the whole answer as JSON."""
    html, error, whole = ask(PLAIN, "html"), ask(PLAIN, "error-200"), ask(PLAIN, "whole")
    assert (html.status, html.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert html.body.startswith(b"<!DOCTYPE html>")
    assert (error.status, error.json["error"]["type"]) == (200, "server_error")
    assert whole.headers["content-type"] == "application/json"
    assert whole.json["choices"][0]["message"]["content"] == ask(PLAIN).text


@pytest.mark.parametrize("status", [429, 500, 503])
def test_first_tries_fail(ask: Any, status: int) -> None:
    """The first k tries fail, the next succeeds, and then it starts again: a cell run twice behaves alike."""
    prompt = f"count to 3 ({status})"
    statuses = [ask(prompt, f"fail={status},tries=2").status for _ in range(6)]
    assert statuses == [status, status, 200] * 2


def test_runs_name_tries(ask: Any) -> None:
    """Requests with one X-Sim-Run are tries of one request, even if their bodies differ; others are not."""
    statuses = [
        ask(f"count to {number}", "fail=503", headers={"x-sim-run": run}).status
        for number, run in [(1, "a"), (2, "a"), (1, "b")]
    ]
    assert statuses == [503, 200, 503]


def test_retry_after(ask: Any) -> None:
    """A 429 says when to come back: in seconds, as a date, or not at all; a 503 only when asked."""
    waits = {
        "fail=429": "1",
        "fail=429,retry-after=7": "7",
        "fail=503,retry-after=0.25": "0.25",
        "fail=503": None,
        "fail=429,no-retry-after": None,
    }
    assert {fault: ask(fault, fault).headers.get("retry-after") for fault in waits} == waits
    date = parsedate_to_datetime(ask("date", "fail=429,retry-date=60").headers["retry-after"])
    assert 55 < date.timestamp() - time.time() < 61


def test_error_bodies(ask: Any) -> None:
    """The body of a failure has the shape that was asked for."""
    shapes = "openai", "message", "detail", "string", "list", "text", "html", "empty"
    bodies = {shape: ask(shape, f"fail=500,error-body={shape}") for shape in shapes}
    assert all(body.status == 500 for body in bodies.values())
    assert bodies["openai"].json["error"]["type"] == "server_error"
    assert bodies["message"].json["message"] == bodies["string"].json["error"] == bodies["text"].body.decode()
    assert bodies["detail"].json["detail"][0]["msg"]
    assert bodies["list"].json[0]["error"]["message"]
    assert b"<h1>" in bodies["html"].body
    assert bodies["empty"].body == b""


def test_dropped_connection(ask: Any) -> None:
    """`fail=drop` closes the connection without a word, for the first tries."""
    first, second = (ask("drop me", "fail=drop") for _ in range(2))
    assert (first.status, second.status) == (0, 200)


def test_usage_option_refused(ask: Any) -> None:
    """include_usage can be refused with 400 or 422; without it the same request is answered."""
    refused = ask(PLAIN, "refuse-usage=422", stream_options={"include_usage": True})
    assert (refused.status, refused.json["error"]["param"]) == (422, "stream_options")
    assert ask(PLAIN, "refuse-usage=400", stream_options={"include_usage": True}).status == 400
    assert ask(PLAIN, "refuse-usage=422").status == 200


def test_redirect(ask: Any, simulator: Simulator) -> None:
    """A redirect leads to another host name on loopback, and the record shows who came with a key."""
    answer = ask(PLAIN, "redirect=307")
    assert answer.status == 307
    assert answer.headers["location"] == simulator.url.replace("127.0.0.1", "localhost") + "/chat/completions"
    assert simulator.record(answer.request_id)["has_key"] is True


def test_roles(ask: Any) -> None:
    """The first chunk may be a role alone, with null, missing, or with the first text."""
    assert ask(PLAIN, "role=only").deltas[0] == {"role": "assistant"}
    assert ask(PLAIN, "role=null").deltas[0] == {"role": "assistant", "content": None}
    assert ask(PLAIN, "role=none").deltas[0] == {"content": "1"}
    assert ask(PLAIN, "role=joined").deltas[0] == {"role": "assistant", "content": "1"}


@pytest.mark.parametrize(
    ("shape", "choices"),
    [
        ("no-choices", []),
        ("null-choices", None),
        ("no-delta", [{"index": 0, "finish_reason": None}]),
        ("null-delta", [{"index": 0, "delta": None, "finish_reason": None}]),
        ("empty", [{"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": None}]),
        ("null", [{"index": 0, "delta": {"content": None}, "logprobs": None, "finish_reason": None}]),
    ],
)
def test_blank_chunks(ask: Any, shape: str, choices: Any) -> None:
    """A chunk that carries nothing comes before every token."""
    answer = ask(PLAIN, f"blank={shape}")
    assert sum(chunk["choices"] == choices for chunk in answer.objects) == TOKENS
    assert answer.text == ask(PLAIN).text


def test_usage_in_its_variants(ask: Any) -> None:
    """Usage null or running in every chunk, with null counts, in the finish chunk, or never."""
    wanted = {"stream_options": {"include_usage": True}}
    assert all(chunk["usage"] is None for chunk in ask(PLAIN, "usage=null").objects)
    running = [chunk["usage"]["completion_tokens"] for chunk in ask(PLAIN, "usage=running").objects]
    assert running == [*range(TOKENS + 1), TOKENS]
    nulls = ask(PLAIN, "usage=null-counts", **wanted).objects[-1]["usage"]
    assert nulls == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    last = ask(PLAIN, "usage=finish", **wanted).objects[-1]
    assert (last["choices"][0]["finish_reason"], last["usage"]["completion_tokens"]) == ("stop", TOKENS)
    assert all("usage" not in chunk for chunk in ask(PLAIN, "usage=none", **wanted).objects)


def test_message_parts_and_refusal(ask: Any) -> None:
    """The answer so far in `message`; content as parts, thoughts too; the text as a refusal."""
    messages = [chunk["choices"][0].get("message") for chunk in ask(PLAIN, "message").objects]
    assert messages[3] == {"role": "assistant", "content": "1, 2"}
    parts = ask(PLAIN, "parts", model="sim-reasoner").deltas
    assert parts[1]["content"][0]["type"] == "thinking"
    assert parts[-2]["content"] == [{"type": "text", "text": " 12"}]
    assert ask(PLAIN, "refusal").deltas[1] == {"refusal": "1"}


@pytest.mark.parametrize(
    ("spelling", "keys"),
    [
        ("reasoning_content", {"reasoning_content"}),
        ("reasoning", {"reasoning"}),
        ("text", {"reasoning_details"}),
        ("summary", {"reasoning_details"}),
        ("both", {"reasoning", "reasoning_content"}),
        ("both-details", {"reasoning", "reasoning_details"}),
    ],
)
def test_reasoning_spellings(ask: Any, spelling: str, keys: set[str]) -> None:
    """Any model reasons when asked, in each of the spellings."""
    thought = ask(PLAIN, f"reasoning={spelling}").deltas[1]
    assert set(thought) == keys
    for key, value in thought.items():
        if key == "reasoning_details":
            value = value[0]["summary" if spelling == "summary" else "text"]
        assert value == "The"


def calls(answer: Any) -> list[dict[str, Any]]:
    return [part for delta in answer.deltas for part in delta.get("tool_calls", [])]


def test_tool_call_as_openai_sends_it(ask: Any) -> None:
    """A name first, then arguments piece by piece, then finish reason tool_calls."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}}
    answer = ask("look at Sheep", tools=[tool])
    first, *rest = calls(answer)
    assert (first["index"], first["type"], first["function"]) == (0, "function", {"name": "look", "arguments": ""})
    assert all(set(part) == {"index", "function"} for part in rest)
    assert json.loads("".join(part["function"]["arguments"] for part in rest)) == {"at": "Sheep"}
    assert answer.objects[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert ask("look at Sheep", "finish=stop", tools=[tool]).objects[-1]["choices"][0]["finish_reason"] == "stop"
    whole = ask("look at Sheep", tools=[tool], stream=False).json["choices"][0]["message"]
    assert (whole["content"], whole["tool_calls"][0]["id"]) == (None, first["id"])


def test_tool_call_dialects(ask: Any) -> None:
    """Index from 1 or none, ids empty or null, the name repeated, all in one chunk, no arguments, interleaved."""

    def shaped(shape: str) -> list[dict[str, Any]]:
        return calls(ask("Sheep", f"tools={shape}"))

    assert {part["index"] for part in shaped("index-1")} == {1}
    assert all("index" not in part for part in shaped("no-index"))
    assert {part["id"] for part in shaped("empty-ids")[1:]} == {""}
    assert {part["id"] for part in shaped("null-ids")[1:]} == {None}
    assert {part["function"]["name"] for part in shaped("repeat-name")} == {"look_up"}
    assert len(shaped("repeat-name")) > 3
    assert [json.loads(part["function"]["arguments"]) for part in shaped("whole")] == [{"subject": "Sheep"}]
    assert [part["function"]["arguments"] for part in shaped("no-arguments")] == [""]
    assert [part["index"] for part in shaped("interleaved")[:4]] == [0, 1, 0, 1]
    assert len({part["id"] for part in shaped("interleaved") if part.get("id")}) == 2


def test_unpaced_streams_leave_fast(ask: Any, simulator: Simulator) -> None:
    """20,000 events, each its own HTTP chunk, leave at several thousand a second at the very least."""
    answer = ask("x", "tokens=20000,rate=max,numbered")
    assert len(answer.chunks) == 20_003
    record = simulator.record(answer.request_id)
    assert record["events"] / (record["body_end_ns"] - record["received_ns"]) * 1e9 > 8_000
