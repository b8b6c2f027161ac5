"""OpenAI's Responses over server-sent events: every event, what comes back, OpenAI's refusals, the faults."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from holystream_nb.simulator import Simulator
from holystream_nb.simulator.responses_memory import Memory

PLAIN = "count to 12"
COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
TOKENS = 23
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
NEWS = {**WEATHER, "name": "get_news"}

Respond = Callable[..., "Response"]


class Response:
    """One answer of `/v1/responses`, and its events."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    @property
    def pairs(self) -> list[tuple[str, dict[str, Any]]]:
        """The name and the object of each event."""
        found = []
        for event in self.answer.body.decode().split("\n\n"):
            name, _, data = event.partition("\n")
            if data.startswith("data: {"):
                found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        return [body for _, body in self.pairs]

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] in types]

    @property
    def types(self) -> list[str]:
        """The types, runs of the same one once."""
        types = [event["type"].removeprefix("response.") for event in self.events]
        return [each for at, each in enumerate(types) if at == 0 or types[at - 1] != each]

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.of("response.output_text.delta"))

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def response(self) -> dict[str, Any]:
        """The response of the last event."""
        return dict(self.last["response"])

    @property
    def done(self) -> list[dict[str, Any]]:
        """The items as `output_item.done` has them."""
        return [event["item"] for event in self.of("response.output_item.done")]

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.answer.json["error"])


@pytest.fixture
def respond(ask: Any) -> Respond:
    """Send one request to `/v1/responses`, streamed unless told otherwise."""

    def respond(input: Any = PLAIN, simulate: str = "", **body: Any) -> Response:
        headers = body.pop("headers", {})
        asked = {"model": "gpt-4.1", "stream": True, **body}
        if input is not None:
            asked["input"] = input
        return Response(ask("", simulate, path="/responses", headers=headers, body=json.dumps(asked).encode()))

    return respond


def test_stream_as_it_should_be(respond: Respond) -> None:
    """Every event in its order and place, each with its name, and nothing after the last one."""
    answer = respond()
    message = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
    assert answer.types == ["created", "in_progress", *message, "output_item.done", "completed"]
    assert all(name == body["type"] for name, body in answer.pairs)
    assert [event["sequence_number"] for event in answer.events] == list(range(len(answer.events)))
    assert answer.text == answer.of("response.output_text.done")[0]["text"] == COUNTED
    assert answer.response["output"] == answer.done
    assert answer.response["usage"]["output_tokens"] == len(answer.of("response.output_text.delta")) == TOKENS
    assert answer.answer.ended
    assert b"[DONE]" not in answer.answer.body


def test_same_seed_same_bytes(respond: Respond) -> None:
    """Two streams of one seed are equal byte for byte, and unstreamed it is the response of the last event."""
    one, again = respond(), respond()
    assert one.answer.body == again.answer.body != respond(seed=8).answer.body
    assert respond(stream=False).answer.json == one.response


def test_says_what_chat_completions_say(ask: Any, respond: Respond) -> None:
    """The same request in the other format has the same text, tokens and tool calls."""
    chat = ask("Tell me about sheep", stream_options={"include_usage": True})
    response = respond("Tell me about sheep")
    assert response.text == chat.text
    assert response.response["usage"]["input_tokens"] == chat.objects[-1]["usage"]["prompt_tokens"]
    tool = {"type": "function", "function": {name: WEATHER[name] for name in ("name", "parameters")}}
    called = ask("get_weather in Paris", tools=[tool])
    (call,) = respond("get_weather in Paris", tools=[WEATHER]).done
    assert call["call_id"] == called.deltas[1]["tool_calls"][0]["id"]


def test_the_response_is_announced_before_the_model_begins(respond: Respond, simulator: Simulator) -> None:
    """`response.created` comes at once, the first token at the model's pace; `first` delays both."""
    answer = respond(headers={"x-sim-speed": "10"})
    record = simulator.record(answer.answer.request_id)
    created, first = record["sent_ns"][0], record["sent_ns"][record["kinds"].index("text")]
    assert record["kinds"][0] == "start"
    assert created - record["received_ns"] < 0.02e9
    assert first - created > 0.05e9
    late = simulator.record(respond(simulate="first=0.1").answer.request_id)
    assert late["sent_ns"][0] - late["received_ns"] >= 0.1e9


@pytest.mark.parametrize("summary", [True, False])
def test_reasoning(respond: Respond, summary: bool) -> None:
    """Reasoning is counted; it is shown as a summary where one was asked for."""
    asked = {"reasoning": {"summary": "auto"}} if summary else {}
    answer = respond(model="sim-reasoner", **asked)
    item, message = answer.response["output"]
    details = answer.response["usage"]["output_tokens_details"]
    assert (item["type"], message["type"]) == ("reasoning", "message")
    assert details["reasoning_tokens"] > 20
    shown = "".join(event["delta"] for event in answer.of("response.reasoning_summary_text.delta"))
    assert item["summary"] == ([{"type": "summary_text", "text": shown}] if summary else [])
    assert bool(shown) is summary
    assert "encrypted_content" not in item
    assert respond(model="sim-reasoner", reasoning={"effort": "none"}).response["output"][0]["type"] == "message"


@pytest.mark.parametrize("asked", [{"store": False}, {"include": ["reasoning.encrypted_content"]}])
def test_encrypted_reasoning_is_whole_only_in_the_last_event_of_its_item(
    respond: Respond, asked: dict[str, Any]
) -> None:
    """With `include`, or without `store`, the item has encrypted content; what opens it has a part of that."""
    answer = respond(model="sim-reasoner", **asked)
    opened = answer.of("response.output_item.added")[0]["item"]["encrypted_content"]
    whole = answer.done[0]["encrypted_content"]
    assert whole.startswith(opened)
    assert whole != opened


def _reasoned(respond: Respond) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """A question, the reasoning and the call that answer it, and the result of the call."""
    question = {"role": "user", "content": "get_weather in Paris"}
    options = {"model": "sim-reasoner", "tools": [WEATHER], "store": False, "reasoning": {"summary": "auto"}}
    output = respond([question], **options).response["output"]
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    return question, output, {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "12 degrees"}


def test_a_tool_round_with_its_reasoning(respond: Respond) -> None:
    """Reasoning that comes back unchanged, with its call and the result, is taken; the text speaks of the result."""
    question, output, result = _reasoned(respond)
    assert "12 degrees" in respond([question, *output, result], model="sim-reasoner", store=False).text


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (lambda r, c: [{**r, "summary": []}, c], 400, "The encrypted content for item rs_"),
        (lambda r, c: [{**r, "encrypted_content": "gAAA"}, c], 400, "could not be verified"),
        (lambda r, c: [{**r, "encrypted_content": 7}, c], 400, "could not be verified"),
        (lambda r, c: [{**r, "encrypted_content": None}, c], 404, "not persisted when `store` is set to false"),
        (lambda r, c: [c], 400, "of type 'function_call' was provided without its required 'reasoning' item: 'rs_"),
        (lambda r, c: [c, r], 400, "was provided without its required 'reasoning' item"),
        (lambda r, c: [r], 400, "of type 'reasoning' was provided without its required following item."),
    ],
)
def test_reasoning_that_comes_back_wrong_is_refused(
    respond: Respond, change: Callable[..., list[Any]], status: int, words: str
) -> None:
    """Changed, foreign, without what it led to, or left out: OpenAI's own sentence for each."""
    question, (reasoning, call), result = _reasoned(respond)
    given = [item for item in change(reasoning, call) if item]
    answer = respond([question, *given, *([result] if call in given else [])], model="sim-reasoner", store=False)
    assert answer.answer.status == status
    assert words in answer.error["message"]


def test_the_order_of_keys_is_no_change(respond: Respond) -> None:
    """A client that reads objects and writes them anew is understood."""
    question, (reasoning, call), result = _reasoned(respond)
    turned = {**reasoning, "summary": [dict(reversed(part.items())) for part in reasoning["summary"]], "content": None}
    given = [question, dict(reversed(turned.items())), call, result]
    assert respond(given, model="sim-reasoner", store=False).answer.status == 200


def test_a_call_without_its_id_needs_no_reasoning(respond: Respond) -> None:
    """Who cannot give reasoning back leaves the ids out, and is answered."""
    question, (_, call), result = _reasoned(respond)
    bare = {name: value for name, value in call.items() if name != "id"}
    assert respond([question, bare, result], model="sim-reasoner", store=False).answer.status == 200


@pytest.mark.slow
def test_another_simulator_s_reasoning_is_not_taken(respond: Respond) -> None:
    """Encrypted content is good only where it was made."""
    question, output, result = _reasoned(respond)
    with (
        Simulator(speed=None, seed=8) as other,
        openai.OpenAI(base_url=other.url, api_key="key", max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match="could not be verified"),
    ):
        client.responses.create(model="sim-reasoner", input=[question, *output, result], store=False)


def test_tool_calls(respond: Respond) -> None:
    """A call is opened with its name, its arguments come piece by piece, and without a message there is none."""
    answer = respond("get_weather and get_news in Paris", tools=[WEATHER, NEWS])
    assert answer.types.count("function_call_arguments.delta") == 2
    assert [item["name"] for item in answer.done] == ["get_weather", "get_news"]
    for index, item in enumerate(answer.done):
        pieces = [each for each in answer.of("response.function_call_arguments.delta") if each["output_index"] == index]
        assert "".join(each["delta"] for each in pieces) == item["arguments"] == '{"city":"Paris"}'
        assert {each["item_id"] for each in pieces} == {item["id"]}
    assert answer.response["usage"]["output_tokens"] == 2 * (1 + len(pieces))
    alone = respond("get_weather and get_news in Paris", tools=[WEATHER, NEWS], parallel_tool_calls=False)
    assert len(alone.done) == 1


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "name": "get_news"}, ["get_news"]),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, ["get_weather"]),
    ],
)
def test_tool_choice(respond: Respond, choice: Any, called: list[str]) -> None:
    """A tool may be forbidden, forced, or named."""
    answer = respond("Hello", tools=[WEATHER, NEWS], tool_choice=choice)
    assert [item["name"] for item in answer.done if item["type"] == "function_call"] == called


def test_structured_output(respond: Respond) -> None:
    """`text.format` brings JSON, of a schema or of any shape."""
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"]}
    form = {"type": "json_schema", "name": "place", "schema": schema, "strict": True}
    assert json.loads(respond("Where is Oslo?", text={"format": form}).text) == {"city": "Oslo"}
    assert json.loads(respond("Where is Oslo?", text={"format": {"type": "json_object"}}).text)["subject"]


def test_the_limit_makes_it_incomplete(respond: Respond) -> None:
    """`max_output_tokens` counts reasoning too; what was cut says so."""
    answer = respond(max_output_tokens=5)
    assert answer.last["type"] == "response.incomplete"
    assert answer.response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (answer.response["status"], answer.done[0]["status"]) == ("incomplete", "incomplete")
    assert answer.response["usage"]["output_tokens"] == 5
    thought = respond(model="sim-reasoner", max_output_tokens=5).response
    assert thought["usage"]["output_tokens_details"]["reasoning_tokens"] == 5


def test_instructions_and_images(respond: Respond) -> None:
    """Instructions, text or items, count as input; an image is taken, and not looked at."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    plain = respond([{"role": "user", "content": [{"type": "input_text", "text": PLAIN}, image]}])
    assert plain.text == COUNTED
    bare = respond(PLAIN).response["usage"]["input_tokens"]
    for instructions in ("Be brief", [{"role": "developer", "content": "Be brief"}]):
        assert respond(PLAIN, instructions=instructions).response["usage"]["input_tokens"] == bare + 2


def test_what_answers_say_beside_their_text(respond: Respond) -> None:
    """The model as served, the tier, sources and a stated cost are faults here too."""
    answer = respond(model="gpt-4.1#served=gpt-4.1-2026,tier=flex,citations=annotations,usage=cost")
    response = answer.response
    assert (response["model"], response["service_tier"]) == ("gpt-4.1-2026", "flex")
    cited = response["output"][0]["content"][0]["annotations"]
    assert [event["annotation"] for event in answer.of("response.output_text.annotation.added")] == cited
    assert {each["type"] for each in cited} == {"url_citation"}
    assert response["usage"]["cost"] > 0
    only_total = respond(model="sim-reasoner#usage=total").response["usage"]
    assert only_total["total_tokens"] > only_total["input_tokens"] + only_total["output_tokens"]


def test_sizes_are_hidden_unless_that_is_refused(respond: Respond) -> None:
    """Deltas have `obfuscation` that makes their sizes alike, and `include_obfuscation: false` leaves it out."""
    padded = respond().of("response.output_text.delta")
    assert {(len(event["delta"]) + len(event["obfuscation"])) % 16 for event in padded} == {0}
    bare = respond(stream_options={"include_obfuscation": False}).of("response.output_text.delta")
    assert not any("obfuscation" in event for event in bare)


def test_a_stored_response_is_continued(respond: Respond) -> None:
    """`previous_response_id` brings everything before it, but not the instructions."""
    first = respond("Tell me about sheep", instructions="Be very brief")
    second = respond("Tell me about goats", previous_response_id=first.response["id"])
    assert "You asked before about *sheep*" in second.text
    assert second.response["usage"]["input_tokens"] > first.response["usage"]["output_tokens"]
    call = respond("get_weather in Oslo", tools=[WEATHER], previous_response_id=second.response["id"])
    result = {"type": "function_call_output", "call_id": call.done[0]["call_id"], "output": "rain"}
    assert "rain" in respond([result], previous_response_id=call.response["id"]).text


def test_a_stored_response_is_continued_without_anything_new(respond: Respond) -> None:
    """An empty input, with something to go on from, is a request."""
    first = respond("Tell me about sheep")
    assert respond([], previous_response_id=first.response["id"]).last["type"] == "response.completed"


def test_what_is_not_stored_cannot_be_continued(respond: Respond) -> None:
    """`store: false` forgets, and the refusal is the one that tells a client to send everything."""
    id = respond("Forget this", store=False).response["id"]
    answer = respond(PLAIN, previous_response_id=id)
    assert answer.answer.status == 400
    assert answer.error["code"] == "previous_response_not_found"
    assert answer.error["message"] == f"Previous response with id '{id}' not found."
    reference = respond([{"type": "item_reference", "id": f"msg_{id}"}])
    assert reference.answer.status == 404


def test_a_stored_item_may_be_named(respond: Respond) -> None:
    """`item_reference` stands for an item of a stored response, and so does a reasoning item without its content."""
    first = respond("Tell me about sheep", model="sim-reasoner")
    reasoning, message = first.response["output"]
    reference = {"type": "item_reference", "id": message["id"]}
    given = [{"role": "user", "content": "Tell me about sheep"}, reasoning, reference]
    again = respond([*given, {"role": "user", "content": "And goats"}], model="sim-reasoner")
    assert "You asked before about *sheep*" in again.text


def test_memory_is_bounded() -> None:
    """The oldest responses go: when there are too many, and when they are too large."""
    memory = Memory(most=2, most_bytes=1000)
    for number in range(3):
        memory.keep(f"resp_{number}", ({"id": f"msg_{number}"},))
    assert [memory.recall(f"resp_{number}") is None for number in range(3)] == [True, False, False]
    memory.keep("resp_3", ({"id": "msg_3", "content": "a" * 2000},))
    assert memory.recall("resp_2") is None
    assert memory.item("msg_3") is not None
    memory.keep("resp_4", ())
    assert memory.recall("resp_3") is None


CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": ""}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"n": 2}, "n", "Unknown parameter: 'n'."),
        ({"messages": []}, "messages", "this parameter has moved to 'input'"),
        ({"max_tokens": 5}, "max_tokens", "this parameter has moved to 'max_output_tokens'"),
        ({"response_format": {}}, "response_format", "this parameter has moved to 'text.format'"),
        ({"background": True}, "background", "no background mode"),
        ({"input": None}, "input", "One of 'input' or 'previous_response_id'"),
        ({"input": []}, "input", "One of 'input' or 'previous_response_id'"),
        ({"input": 7}, "input", "expected a string or an array"),
        ({"input": [7]}, "input[0]", "expected an object"),
        ({"input": [CALL]}, "input", "No tool output found for function call call_1."),
        ({"input": [RESULT]}, "input", "No tool call found for function call output with call_id call_1."),
        ({"input": [{**CALL, "id": "call_1"}, RESULT]}, "input[0].id", "Expected an ID that begins with 'fc'."),
        ({"input": [{"type": "function_call"}]}, "input[0].call_id", "Missing required parameter"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "Invalid value: 'web_search_call'."),
        ({"input": [{"role": "clown", "content": ""}]}, "input[0].role", "Invalid value: 'clown'."),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "input[0].content[0].type",
            "Invalid value: 'text'. Supported values are: 'input_text', 'input_image'",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": ""}]}]},
            "input[0].content[0].type",
            "Supported values are: 'output_text' and 'refusal'.",
        ),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "Missing required parameter"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "Missing required parameter"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "Invalid value: 'xml'."),
        ({"previous_response_id": "msg_1"}, "previous_response_id", "Expected an ID that begins with 'resp'."),
        ({"store": "yes"}, "store", "expected a boolean"),
        ({"max_output_tokens": 0}, "max_output_tokens", "an integer above 0"),
    ],
)
def test_nonsense_is_refused_in_openai_s_words(respond: Respond, body: dict[str, Any], param: str, words: str) -> None:
    """A request that OpenAI would refuse is a 400 that names the parameter."""
    answer = respond(**{"input": PLAIN, **body})
    assert answer.answer.status == 400
    assert answer.error["param"] == param
    assert words in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"


def test_what_is_unknown_is_let_pass(respond: Respond) -> None:
    """Fields of tomorrow, and tools that a service would run itself, are no error."""
    assert respond(prompt_cache_key="k", frobnicate={"a": 1}, tools=[{"type": "web_search"}]).text == COUNTED


def test_keys_and_models_are_checked(respond: Respond) -> None:
    """A bad key is a 401, an unknown model a 404; other methods are not allowed."""
    assert respond(headers={"authorization": "Bearer bad"}).answer.status == 401
    assert respond(model="gpt-99").answer.status == 404


# Faults


@pytest.mark.parametrize(
    ("fault", "text", "ended", "reset", "outcome"),
    [
        ("cut=5", "1, 2, 3", False, False, "cut"),
        ("reset=5", "1, 2, 3", False, True, "reset"),
        ("end=5", "1, 2, 3", True, False, "ended"),
        ("cut=1000", COUNTED, False, False, "cut"),
        ("no-done", COUNTED, True, False, "complete"),
    ],
)
def test_broken_off(
    respond: Respond, simulator: Simulator, fault: str, text: str, ended: bool, reset: bool, outcome: str
) -> None:
    """However a stream breaks off, there is no last event, and the record says how it was."""
    answer = respond(simulate=fault)
    assert (answer.text, answer.answer.ended, answer.answer.reset) == (text, ended, reset)
    assert not answer.of("response.completed", "response.incomplete", "response.failed")
    assert simulator.record(answer.answer.request_id)["outcome"] == outcome


@pytest.mark.parametrize(
    ("fault", "types"),
    [
        ("error", ["error", "response.failed"]),
        ("error-chunk", ["response.failed"]),
        ("error-event", ["error"]),
    ],
)
def test_errors_in_the_stream(respond: Respond, fault: str, types: list[str]) -> None:
    """Nested and then once more, as it is live; only the response's own end; or flat, as it is documented."""
    answer = respond(simulate=f"{fault},after=5")
    told = answer.events[-len(types) :]
    assert [event["type"] for event in told] == types
    assert answer.text == "1, 2, 3"
    assert [event["sequence_number"] for event in answer.events] == list(range(len(answer.events)))
    if fault == "error":
        assert told[0]["error"]["type"] == "server_error"
    if fault == "error-event":
        assert told[0]["code"] == "server_error"
        assert "error" not in told[0]
    else:
        assert told[-1]["response"]["status"] == "failed"
        assert told[-1]["response"]["error"]["code"] == "server_error"


def test_error_field(respond: Respond) -> None:
    """A bare `error:` field line has the flat error."""
    assert b'\n\nerror: {"type":"error","code":"server_error"' in respond(simulate="error-field").answer.body


def test_unreadable_event(respond: Respond) -> None:
    """One event has its JSON cut off; the answer goes on, and the sequence shows a number twice at most."""
    body = respond(simulate="bad-json").answer.body
    broken = [each for each in body.split(b"\n\n") if each.startswith(b"event: ") and not each.endswith(b"}")]
    assert len(broken) == 1
    assert b"response.completed" in body


@pytest.mark.parametrize(
    ("fault", "status"), [("fail=429", 429), ("fail=503,tries=1", 503), ("error-200", 200), ("html", 200)]
)
def test_refusals(respond: Respond, fault: str, status: int) -> None:
    """The refusals are those of the other formats."""
    answer = respond(f"refuse {fault}", fault).answer
    assert answer.status == status
    assert b"event:" not in answer.body


def test_no_stream_after_all(respond: Respond) -> None:
    """`whole` answers a stream's request with the response as JSON."""
    assert respond(simulate="whole").answer.json["output"][0]["content"][0]["text"] == COUNTED


@pytest.mark.parametrize("fault", ["bytes", "group", "comments", "fields", "split-utf8", "separators"])
def test_bytes_that_say_the_same(respond: Respond, fault: str) -> None:
    """However it is written, a reader of event streams finds the same events."""
    answer = respond(simulate=fault)
    lines = answer.answer.body.decode().split("\n")
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    text = "".join(event["delta"] for event in data if event["type"] == "response.output_text.delta")
    assert text.startswith("1, ")
    assert data[-1]["type"] == "response.completed"
    assert (len(answer.answer.chunks) > 1000) is (fault == "bytes")


@pytest.mark.parametrize(("fault", "end"), [("crlf", b"\r\n\r\n"), ("cr", b"\r\r"), ("done-open", b"}\n")])
def test_line_ends(respond: Respond, fault: str, end: bytes) -> None:
    """Other line ends, a missing blank line after the last event: also beside the `event:` lines."""
    body = respond(simulate=fault).answer.body
    assert body.endswith(end)
    assert not body.endswith(b"\n\n")
    assert b"event: response.created\r" in body or fault == "done-open"


def test_silence(respond: Respond) -> None:
    """A pause in the middle."""
    before = time.perf_counter()
    assert respond(simulate="stall=0.1,after=5").text == COUNTED
    assert time.perf_counter() - before >= 0.1


@pytest.mark.parametrize(
    ("word", "type", "reason"),
    [
        ("content_filter", "response.incomplete", "content_filter"),
        ("length", "response.incomplete", "max_output_tokens"),
        ("brand_new", "response.incomplete", "brand_new"),
        ("error", "response.failed", None),
    ],
)
def test_other_ends(respond: Respond, word: str, type: str, reason: str | None) -> None:
    """`finish` chooses the last event and its reason."""
    answer = respond(simulate=f"finish={word}")
    assert answer.last["type"] == type
    assert (answer.response["incomplete_details"] or {}).get("reason") == reason


def test_a_refusal_of_the_model(respond: Respond) -> None:
    """The text comes as refusal events and a refusal part."""
    answer = respond(simulate="refusal")
    assert "".join(event["delta"] for event in answer.of("response.refusal.delta")) == COUNTED
    assert answer.done[0]["content"] == [{"type": "refusal", "refusal": COUNTED}]
    assert not answer.text


@pytest.mark.parametrize(
    ("fault", "summary", "text"),
    [("reasoning=summary", 1, 0), ("reasoning=text", 0, 1), ("reasoning=both", 1, 1)],
)
def test_reasoning_as_others_spell_it(respond: Respond, fault: str, summary: int, text: int) -> None:
    """As a summary (OpenAI), as `reasoning_text` (DeepSeek, LM Studio, OpenRouter), or both."""
    answer = respond(simulate=fault)
    assert answer.types.count("reasoning_summary_text.done") == summary
    assert answer.types.count("reasoning_text.done") == text
    assert ("content" in answer.done[0], bool(answer.done[0]["summary"])) == (bool(text), bool(summary))


@pytest.mark.parametrize("shape", ["interleaved", "no-index", "empty-ids", "null-ids", "whole", "object", "index-1"])
def test_calls_in_other_shapes(respond: Respond, shape: str) -> None:
    """The last word on a call is in its `output_item.done`, and in the last event, whatever came before."""
    answer = respond("get_weather and get_news in Oslo", f"tools={shape}", tools=[WEATHER, NEWS])
    wanted = {"city": "Oslo"}
    arguments = [item["arguments"] for item in answer.done]
    assert [each if shape == "object" else json.loads(each) for each in arguments] == [wanted, wanted]
    assert answer.response["output"] == answer.done
    deltas = answer.of("response.function_call_arguments.delta")
    assert bool(deltas) is (shape not in ("whole", "object"))
    if shape == "interleaved":
        assert [event["output_index"] for event in deltas[:4]] == [0, 1, 0, 1]
    if shape == "no-index":
        assert not any("output_index" in event for event in deltas)


@pytest.mark.parametrize("shape", ["empty", "null", "no-delta"])
def test_blank_deltas(respond: Respond, shape: str) -> None:
    """An empty delta before every token, or one that has none."""
    deltas = respond(simulate=f"blank={shape}").of("response.output_text.delta")
    assert [event.get("delta", "missing") for event in deltas[::2]] == [
        {"empty": "", "null": None, "no-delta": "missing"}[shape]
    ] * TOKENS


@pytest.mark.parametrize(("fault", "counts"), [("usage=none", None), ("usage=null-counts", [None] * 5)])
def test_no_usage(respond: Respond, fault: str, counts: Any) -> None:
    """Usage is null, or its counts are."""
    usage = respond(simulate=fault).response["usage"]
    assert (usage if usage is None else list(usage.values())) == counts


# Dialects


def test_llama_cpp(respond: Respond) -> None:
    """No places and no numbers, completed where it was cut, no detail of the output."""
    answer = respond(simulate="dialect=llama.cpp", max_output_tokens=5)
    places = {"output_index", "content_index", "sequence_number"}
    assert not any(places & event.keys() for event in answer.events)
    assert answer.last["type"] == "response.completed"
    assert "output_tokens_details" not in answer.response["usage"]


def test_copilot(respond: Respond) -> None:
    """The same item has another id in every event, and what comes back with one of them is taken."""
    answer = respond(PLAIN, "dialect=copilot,reasoning=summary", store=False)
    ids = [event["item_id"] for event in answer.of("response.output_text.delta")]
    assert len(set(ids)) == TOKENS
    given = [{"role": "user", "content": PLAIN}, *answer.done, {"role": "user", "content": PLAIN}]
    assert respond(given, store=False).text == COUNTED


def test_vllm(respond: Respond) -> None:
    """The last event's output is empty, and it is `completed`, also where the response in it is not."""
    answer = respond(simulate="dialect=vllm")
    assert answer.response["output"] == []
    assert answer.done[0]["content"][0]["text"] == COUNTED
    cut = respond(simulate="dialect=vllm", max_output_tokens=5)
    assert (cut.last["type"], cut.response["status"]) == ("response.completed", "incomplete")


def test_openrouter(respond: Respond) -> None:
    """[DONE] at the end, other ids in the last event, and the message ends before the reasoning."""
    answer = respond(simulate="dialect=openrouter,reasoning=text")
    assert answer.answer.body.endswith(b"\n\ndata: [DONE]\n\n")
    assert [item["type"] for item in answer.done] == ["message", "reasoning"]
    assert not {item["id"] for item in answer.done} & {item["id"] for item in answer.response["output"]}


def test_true_times_are_recorded(respond: Respond, simulator: Simulator) -> None:
    """The record has a stamp and a kind for each event."""
    answer = respond("get_weather in Oslo", tools=[WEATHER], model="sim-reasoner", reasoning={"summary": "auto"})
    record = simulator.record(answer.answer.request_id)
    assert len(record["sent_ns"]) == len(record["kinds"]) == len(answer.events)
    kinds = [kind for kind in record["kinds"] if kind in ("start", "reasoning", "tool", "done")]
    assert list(dict.fromkeys(kinds)) == ["start", "reasoning", "tool", "done"]
    assert record["sent_ns"] == sorted(record["sent_ns"])
    usage = answer.response["usage"]
    assert kinds.count("reasoning") + kinds.count("tool") == usage["output_tokens"]
