"""check: row by row what can be relied on at a service; at the simulator with its faults, and at servers of our own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign import Asked, Given, Piece, answering, listed, streamed

from holystream_nb import Client, Simulator
from holystream_nb.client.check import ROWS, Check, check
from holystream_nb.client.findings import TOOL, Finding
from holystream_nb.client.shape import error_shape, shape_of, short

KEY = "test-0123456789"


async def checked(simulator: Simulator, model: str, key: str = "sim-key-1", timeout: float = 10.0) -> Check:
    async with Client("simulator", base_url=simulator.url, api_key=key) as client:
        return await check(client, model, timeout=timeout)


def verdicts(found: Check) -> dict[str, str]:
    """The rows that are not ok."""
    return {finding.name: finding.verdict for finding in found.findings if finding.verdict != "ok"}


@pytest.fixture(scope="module")
def paced() -> Any:
    """Pieces show only where time passes between them."""
    with Simulator(speed=8) as running:
        yield running


@pytest.mark.slow
async def test_a_service_in_order_is_ok_in_every_row(paced: Simulator) -> None:
    """And says what it took."""
    found = await checked(paced, "gpt-4.1")
    assert verdicts(found) == {}
    assert tuple(finding.name for finding in found.findings) == ROWS
    assert found["key"].seen == "taken"
    assert found["address"].seen == f"{paced.url} answers"
    assert "is one of 6 models" in found["model"].seen
    assert re.fullmatch(r"first token after \d+ ms", found["first token"].seen)
    assert re.fullmatch(r"48 events in \d+ reads over \d+ ms", found["pieces"].seen)
    assert "48 output tokens, reported" in found["usage"].seen
    assert found["end"].seen == "finish reason length, then [DONE]"
    assert found["tools"].seen == 'called get_weather({"city":"Paris"})'
    assert "its own opens" in found["socket"].seen
    assert found["errors"].seen == "an unknown model is 404, error {code, message, param, type}"
    assert (found.requests, found.exact) == (4, True)
    assert found.usd is not None
    assert 0 < found.usd < 1
    assert 50 < found.tokens < 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "expected", "said"),
    [
        ("usage=none", {"usage": "warn"}, "none is reported"),
        ("refuse-usage=400", {"usage": "warn"}, "none is reported (asking for it is refused)"),
        ("end=9", {"end": "fail", "usage": "warn"}, "it ends without a finish reason and without [DONE]"),
        ("whole", {"pieces": "fail"}, "the answer came whole, as JSON"),
    ],
)
async def test_a_fault_is_in_its_row(paced: Simulator, faults: str, expected: dict[str, str], said: str) -> None:
    """Over the whole path, with what to do."""
    found = await checked(paced, f"gpt-4.1#{faults}")
    assert {finding.name for finding in found.findings if said in finding.seen} == {next(iter(expected))}
    assert expected.items() <= verdicts(found).items()
    assert all(found[name].advice for name in expected)


@pytest.mark.slow
async def test_a_missing_end_marker_is_said_and_harmless(simulator: Simulator) -> None:
    """A finish reason is an end too."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client:
        found = await check(client, "gpt-4.1#no-done,no-socket", timeout=3)
    assert (found["end"].verdict, found["end"].seen) == ("warn", "finish reason length, no [DONE]")


async def test_a_wrong_key_ends_the_trying_and_the_address_is_right(simulator: Simulator) -> None:
    """Only what can be known is said, and the key is in no word of it."""
    found = await checked(simulator, "gpt-4.1#fail=401", key=KEY)
    assert found["key"].verdict == "fail"
    assert "(401)" in found["key"].seen
    assert found["address"].verdict == "ok"
    assert found["tools"] == Finding("tools", "unknown", "not tried: there was no answer")
    assert KEY not in repr(found)


async def test_an_unknown_model_is_told_with_those_that_are_there(simulator: Simulator) -> None:
    """The likely one first."""
    found = await checked(simulator, "gpt-4.l")
    assert found["model"].verdict == "fail"
    assert found["model"].advice.startswith("it has gpt-4.1")
    assert (found["key"].verdict, found["errors"].verdict) == ("ok", "ok")


async def test_what_the_service_says_it_took_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no list has a price of the model."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.25}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}

    def handler(asked: Asked) -> Given:
        text = {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}
        if asked.method == "GET":
            return listed({"data": [{"id": "m"}]})
        return streamed(text, end) if asked.body["model"] == "m" else listed({"error": {"message": "no model"}}, 404)

    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(tmp_path / "providers.toml"))
    with answering(handler) as service:
        (tmp_path / "providers.toml").write_text(f'[stating]\nbase_url = "{service.url}"\n')
        async with Client("stating", retries=0) as client:
            found = await check(client, "m")
    assert (found.usd, found.note) == (0.75, "")  # three answers


async def test_nobody_at_the_address_is_its_row() -> None:
    """And no row is guessed."""
    async with Client("ollama", base_url="http://127.0.0.1:9/v1") as client:
        found = await check(client, "m")
    assert found["address"].verdict == "fail"
    assert verdicts(found) == {name: "fail" if name == "address" else "unknown" for name in ROWS if name != "key"}
    assert found["key"].seen == "none is sent"
    assert (found.requests, found.usd) == (1, 0)
    async with Client("ollama", base_url="http://127.0.0.1:9/v1") as client:
        found = await check(client)  # no name of a model would help
    assert found["model"] == Finding("model", "unknown", "not tried: the address does not answer")


async def test_a_page_where_an_interface_should_be_is_its_row() -> None:
    """The base_url leads to a web site."""
    page = Given((b"<html><title>Welcome</title></html>",), 200, {"content-type": "text/html"})
    with answering(lambda asked: page) as service:
        async with Client("ollama", base_url=service.url) as client:
            found = await check(client, "m")
    assert (found["address"].verdict, "web page" in found["address"].seen) == ("fail", True)


def chunk(text: str = "", reason: str | None = None, **further: Any) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **further}


def engine(
    answer: Callable[[Asked], Given], models: tuple[str, ...] = ("m",), tools: Callable[[Asked], Given] | None = None
) -> Callable[[Asked], Given]:
    def handle(asked: Asked) -> Given:
        if asked.path.endswith("/models"):
            return listed({"data": [{"id": name} for name in models]})
        return (tools or answer)(asked) if "tools" in asked.body else answer(asked)

    return handle


def counting(*between: Piece, events: int = 40, together: int = 1) -> Given:
    """So many events, `together` in one write, with this pause after each write."""
    whole: list[Any] = []
    for number in range(0, events, together):
        whole.append(b"".join(_bytes(chunk(f"{each} ")) for each in range(number, min(number + together, events))))
        whole += between
    return streamed(*whole, chunk(reason="length"))


def _bytes(tree: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(tree).encode() + b"\n\n"


async def _checked_at(handler: Callable[[Asked], Given], model: str = "m", timeout: float = 10.0) -> Check:
    with answering(handler) as service:
        async with Client("ollama", base_url=service.url) as client:
            return await check(client, model, timeout=timeout)


@pytest.mark.slow
async def test_an_engine_without_tools_says_so_and_everything_else_stands() -> None:
    """A 400 that names them, asked once with and once without tool_choice."""
    refused = listed({"error": {"message": "m does not support tools"}}, 400)
    found = await _checked_at(engine(lambda asked: counting(0.01), tools=lambda asked: refused))
    assert (found["tools"].verdict, found["tools"].advice) == ("warn", "ask this model without tools")
    assert "does not support tools" in found["tools"].seen
    assert (found["key"].seen, found["socket"].verdict) == ("none is sent, and none is needed", "ok")
    assert (found["model"].seen, found.usd, found.note) == ("m is the only one in its list", None, "local, no price")
    assert (found["errors"].verdict, found["errors"].seen) == ("warn", "a model that does not exist is answered")
    assert (found["format"].verdict, found["format"].seen) == ("warn", "chunks without id, object, created, model")


async def test_a_tool_that_is_ignored_is_seen() -> None:
    """It answers in text although a call was required."""
    found = await _checked_at(engine(lambda asked: counting(0.005, events=12)))
    assert (found["tools"].verdict, "no tool was called" in found["tools"].seen) == ("warn", True)


async def test_a_model_that_thinks_past_the_limit_is_not_said_to_lack_tools(simulator: Simulator) -> None:
    """A few tokens are little for one that reasons: nothing is known of its tools."""
    found = await checked(simulator, "sim-reasoner")
    assert found["tools"].verdict == "unknown"
    assert found["tools"].seen.startswith("no tool was called within the limit of ")


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS"])
async def test_a_call_that_the_limit_cut_is_a_call(word: str) -> None:
    """Whatever a service calls that end."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": TOOL, "arguments": '{"city": "Par'}}
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": word}]}
    found = await _checked_at(engine(lambda asked: counting(0.005, events=12), tools=lambda asked: streamed(delta)))
    assert (found["tools"].verdict, "cut by the limit" in found["tools"].seen) == ("ok", True)


async def test_only_the_choice_of_tools_is_refused() -> None:
    """It calls on its own."""

    def tools(asked: Asked) -> Given:
        if "tool_choice" in asked.body:
            return listed({"error": {"message": "tool_choice is not supported"}}, 400)
        call = {"index": 0, "id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        return streamed({"choices": [{"delta": {"tool_calls": [call]}}]}, chunk(reason="tool_calls"))

    found = await _checked_at(engine(lambda asked: counting(0.005, events=12), tools=tools))
    assert found["tools"].verdict == "ok"
    assert found["tools"].seen.endswith('; tool_choice="required" is refused')


@pytest.mark.slow
async def test_a_buffering_proxy_is_seen_in_bursts_and_as_a_single_read() -> None:
    """By the rule that replies have."""
    found = await _checked_at(engine(lambda asked: counting(0.15, events=40, together=10)))
    assert (found["pieces"].verdict, "in bursts of about 10" in found["pieces"].seen) == ("warn", True)
    held = await _checked_at(engine(lambda asked: Given((0.4, *counting(events=40, together=40).pieces))))
    assert (held["pieces"].verdict, held["pieces"].seen) == (
        "warn",
        "40 events came at once: a proxy may be buffering",
    )
    short_one = await _checked_at(engine(lambda asked: counting(events=5, together=5)))
    assert short_one["pieces"].verdict == "unknown"


async def test_a_service_that_says_nothing_is_bounded_and_named() -> None:
    """Each probe has its limit."""
    found = await asyncio.wait_for(_checked_at(engine(lambda asked: streamed(9.0)), timeout=0.3), 5)
    assert (found["first token"].verdict, found["model"].verdict) == ("fail", "ok")
    assert "within 0.3 s" in found["first token"].seen


async def test_reasoning_that_eats_the_tokens_is_no_failure() -> None:
    """A finish reason without a token."""
    found = await _checked_at(engine(lambda asked: streamed(chunk(reason="length"))))
    assert (found["first token"].verdict, found["first token"].seen) == ("warn", "none within 48 tokens")
    assert found["end"].verdict == "ok"


async def test_a_failure_after_output_says_nothing_against_the_key(simulator: Simulator) -> None:
    """Who answers has taken the key, whatever comes then; the row said "not tried"."""
    for fault in ("error", "bad-json", "huge"):
        found = await checked(simulator, f"gpt-4.1#{fault}")
        assert (found["key"].verdict, found["key"].seen) == ("ok", "taken"), fault


async def test_tokens_that_nobody_reported_are_never_exact() -> None:
    """Those of the prompt too, where nothing else came."""
    page = Given((b"<html>Welcome</html>",), 200, {"content-type": "text/html"})
    found = await _checked_at(lambda asked: page)
    assert (found.tokens > 0, found.exact) == (True, False)


async def test_what_a_model_writes_cannot_leave_its_cell() -> None:
    """Control characters and endless texts of a service."""

    def tools(asked: Asked) -> Given:
        call = {"index": 0, "id": "c", "function": {"name": "x\x1b[2J" + "y" * 500, "arguments": "{"}}
        return streamed({"choices": [{"delta": {"tool_calls": [call]}}]}, chunk(reason="a\nb"))

    found = await _checked_at(engine(lambda asked: streamed(chunk("a"), chunk(reason="a\x1b\nb")), tools=tools))
    assert all(finding.seen.isprintable() for finding in found.findings)
    assert len(found["tools"].seen) < 200


async def test_no_request_is_tried_again_and_the_client_stays_as_it_was(simulator: Simulator) -> None:
    """A limit that is reached is told at once."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1", retries=3) as client:
        found = await asyncio.wait_for(check(client, "gpt-4.1#fail=429,tries=9,retry-after=30"), 5)
        assert (found["first token"].verdict, found.requests, client.retries) == ("fail", 1, 3)
        assert found["key"].verdict == "ok"


async def test_a_cancelled_check_leaves_nothing_open(simulator: Simulator) -> None:
    """■ while a service is silent."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client:
        task = asyncio.create_task(check(client, "gpt-4.1#stall=30"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.1)
    assert simulator.active() == 0


def test_the_shape_of_chunks_is_said_field_by_field() -> None:
    """Document 004's fields, and what stands beside them."""
    whole = chunk("a", id="1", object="chat.completion.chunk", created=3, model="m", system_fingerprint="x")
    last = chunk(
        reason="stop", id="2", object="chat.completion.chunk", created=3, model="m", usage={"prompt_tokens": 1}
    )
    body = _bytes(whole) + b"event: x\n" + _bytes(last) + b"data: [DONE]\n\n"
    assert shape_of(body, {"content-type": "text/event-stream"}, asked="m") == (
        ("content type", "text/event-stream"),
        ("id", "not the same in every chunk"),
        ("object", "chat.completion.chunk"),
        ("created", "a whole number"),
        ("model", "as asked"),
        ("index", "a whole number"),
        ("finish_reason", "stop"),
        ("delta", "content"),
        ("usage", "beside choices: prompt_tokens"),
        ("[DONE]", "yes"),
        ("event types", "message, x"),
        ("further fields", "system_fingerprint"),
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no", "code": null}}', "404, error {code, message}"),
        (b'{"detail": "no"}', "404, detail"),
        (b'{"error": "no"}', "404, error"),
        (b"[1]", "404, JSON that is no object"),
        (b"<html>", "404, a web page"),
        (b"no", "404, a plain text"),
        (b"", "404, empty"),
        (b"[" * 100_000, "404, a plain text"),
        (f'{{"{KEY}": 1}}'.encode(), "404, …"),
    ],
)
def test_the_shape_of_an_error_is_said(body: bytes, words: str) -> None:
    """Where its words are."""
    assert error_shape(404, body, KEY) == words


def test_a_text_is_made_short_enough_for_a_cell() -> None:
    """On one line."""
    assert short("a\n\tb\x1b") == "a b"
    assert len(short("x" * 1_000_000)) == 60
