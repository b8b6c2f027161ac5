"""What a service says beside its answer, over real sockets: what goes back, endings, tags, pieces and facts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from raw_service import Asked, Writer, serving
from scripted_socket import done, token
from scripted_socket import serving as serving_sockets

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.errors import BadRequest, NotAStream, ServiceError, StreamInterrupted
from holystream_nb.live.feed import Feed
from holystream_nb.live.lane import Lane
from holystream_nb.live.show import draw
from holystream_nb.reply import Reply
from holystream_nb.session import Session


class View:
    """A view that keeps what it is sent."""

    def __init__(self) -> None:
        self.keyframe: dict[str, Any] = {}
        self.verdict = ""
        self.sent: list[dict[str, Any]] = []

    def send(self, content: dict[str, Any]) -> None:
        self.sent.append(content)

    def close(self) -> None:
        """Nothing is held."""


KEY = "key-0123456789"


async def ask(url: str, *, provider: str = "ollama", prompt: Any = "Hello", **options: Any) -> Reply:
    async with Client(provider, base_url=url, api_key=KEY, retries=0) as client:
        stream = client.stream(prompt, model="m", **options)
        async with stream:
            try:
                async for _ in stream:
                    pass
            except hs.HolystreamError:
                pass
        return stream.reply


def answers(*chunks: Any) -> Any:
    """A service that says these chunks, and ends."""

    async def answer(_: Asked, writer: Writer) -> None:
        await writer.head()
        for chunk in chunks:
            await writer.event(chunk)
        await writer.end()

    return answer


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m-2026", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


async def test_no_word_of_a_service_holds_the_key() -> None:
    """Not only errors repeat it: so may ids, names, reasons and what is said about them."""
    said = {**delta(KEY, content="a"), "id": KEY, "model": f"m-{KEY}", "service_tier": KEY}
    said["choices"][0]["native_finish_reason"] = f"{KEY} is bad"
    async with serving(answers(said, "[DONE]")) as service:
        reply = await ask(service.url)
    assert KEY not in repr(reply) + reply.ending_words
    assert (reply.served_model, reply.service_tier, reply.detail) == ("m-…", "…", "… is bad")


# Reasoning in tags


async def test_reasoning_in_tags_is_no_text() -> None:
    """Wherever the chunks are cut; raw has the text as it was sent."""
    pieces = ["<th", "ink>why</", "think>\n\nanswer ", "<think>x</think>"]
    async with serving(answers(*(delta(content=piece) for piece in pieces), delta("stop"), "[DONE]")) as service:
        reply = await ask(service.url)
    assert (reply.reasoning, reply.text) == ("why", "answer <think>x</think>")
    assert reply.raw == "".join(pieces)
    assert reply.ending_words == ""


@pytest.mark.parametrize("tag", [["\n</think>"], ["\n</", "think", ">"]], ids=["whole", "in pieces"])
async def test_an_end_tag_alone_parts_what_has_come(tag: list[str]) -> None:
    """Reasoning that the service's template began: the reply, its times, and a view that had drawn it as text."""
    view = View()

    async def answer(_: Asked, writer: Writer) -> None:
        await writer.head()
        for piece in ("Okay", *tag, "\n\n", "answer"):
            await writer.text(piece)
            await asyncio.sleep(0.02)
        await writer.finish()
        await writer.end()

    async with serving(answer) as service, Client("ollama", base_url=service.url) as client:
        lane = Lane(client.stream("Hello", model="m"), label="m", provider="ollama")
        feed = Feed(view, [lane])
        await draw(feed, [lane])
        feed.close()
    reply = lane.reply
    assert (reply.reasoning, reply.text, reply.raw) == ("Okay", "answer", "Okay\n</think>\n\nanswer")
    ttft_ms, ttfa_ms = reply.timing.ttft_ms, reply.timing.ttfa_ms
    assert ttft_ms is not None
    assert ttfa_ms is not None
    assert ttfa_ms - ttft_ms > 50
    drawn = next(message for message in view.sent if message["kind"] == "snapshot")["lanes"][0]
    assert (drawn["reasoning"], drawn["text"]) == ("Okay", "answer")
    assert drawn["thought"].startswith("≈1 token · 0.")


async def test_tags_in_a_whole_answer() -> None:
    """One that was not streamed although that was asked for."""

    async def answer(_: Asked, writer: Writer) -> bool:
        message = {"role": "assistant", "content": "<think>why</think>answer"}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        writer.raw.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.raw.drain()
        return False

    async with serving(answer) as service:
        reply = await ask(service.url)
    assert (reply.reasoning, reply.text, reply.raw) == ("why", "answer", "<think>why</think>answer")


async def test_tags_on_a_documents_socket() -> None:
    """The same there, and its pieces are kept as they came."""

    async def script(peer: Any) -> None:
        await peer.receive()
        await peer.send(token("<think>why"), token("</think>a"), done())

    async with (
        serving_sockets(script) as service,
        Client("simulator", base_url=service.url, transport="ws", retries=0) as client,
        client.stream("Hello", model="m", keep_chunks=True) as stream,
    ):
        async for _ in stream:
            pass
    assert (stream.reply.reasoning, stream.reply.text) == ("why", "a")
    assert [json.loads(text)["type"] for _, text in stream.reply.chunks] == ["content_block", "content_block", "done"]


@pytest.mark.parametrize("finish", ["stop", None])
async def test_half_a_tag_at_the_end_is_kept(finish: str | None) -> None:
    """As text, also where the stream ends without an end."""
    async with serving(answers(delta(content="<thi"), *([delta(finish)] if finish else []))) as service:
        reply = await ask(service.url)
    assert (reply.text, reply.finish_reason) == ("<thi", finish or "truncated")


# Pieces


async def test_an_unreadable_piece_is_counted() -> None:
    """The rest is kept; a strict reader gets an error at once, which does not blame the address."""
    chunks = (delta(content="a"), '{"choices": [', delta(content="b"), delta("stop"), "[DONE]")
    async with serving(answers(*chunks)) as service:
        reply, strict = await ask(service.url), await ask(service.url, strict=True)
    assert (reply.text, reply.unreadable, reply.error) == ("ab", 1, None)
    assert isinstance(strict.error, NotAStream)
    assert "base URL" not in str(strict.error)
    assert strict.unreadable == 1


async def test_the_first_unreadable_piece_ends_the_answer_of_a_strict_reader() -> None:
    """Though more came in the same read, and though nothing comes after it: nothing of what follows is in the reply."""

    async def in_one_read(_: Asked, writer: Writer) -> None:
        await writer.head()
        pieces = (json.dumps(delta(content="a")), "{", json.dumps(delta(content="b")), json.dumps(delta("stop")))
        await writer.chunk("".join(f"data: {each}\n\n" for each in (*pieces, "[DONE]")).encode())
        await writer.end()

    async def then_silence(_: Asked, writer: Writer) -> None:
        await writer.head()
        await writer.event(delta(content="a"))
        await asyncio.sleep(0.05)
        await writer.event("{")
        await asyncio.sleep(20)

    async def on_a_socket(peer: Any) -> None:
        await peer.receive()
        await peer.send(token("a"), "{", token("b"), done())
        await asyncio.sleep(20)

    async with asyncio.timeout(5):
        for answer in (in_one_read, then_silence):
            async with serving(answer) as service:
                reply = await ask(service.url, strict=True)
            assert (reply.text, reply.unreadable, reply.end, type(reply.error)) == ("a", 1, None, NotAStream)
        async with serving_sockets(on_a_socket) as sockets:
            reply = await ask(sockets.url, provider="simulator", transport="ws", strict=True)
    assert (reply.text, reply.unreadable, reply.end, type(reply.error)) == ("a", 1, None, NotAStream)


async def test_pieces_are_kept_on_request_without_the_key() -> None:
    """Each with its read; nothing is kept unasked."""
    async with serving(answers(delta(content=f"a {KEY}"), delta("stop"), "[DONE]")) as service:
        reply, unasked = await ask(service.url, keep_chunks=True), await ask(service.url)
    assert [text for _, text in reply.chunks] == [
        json.dumps(delta(content="a …"), ensure_ascii=True).replace("\\u2026", "…"),
        json.dumps(delta("stop")),
        "[DONE]",
    ]
    assert [read for read, _ in reply.chunks] == sorted(read for read, _ in reply.chunks)
    assert unasked.chunks == ()


async def at_hs_stream(url: str, **options: Any) -> Reply:
    session = Session()
    try:
        return await session.stream("Hello", model="m", base_url=url, **options)
    finally:
        await session.close()


async def with_tools(url: str, **options: Any) -> Reply:
    return await at_hs_stream(url, tools=[f], **options)


async def at_a_connection(url: str, **options: Any) -> Reply:
    async with Client("ollama", base_url=url) as client, client.connect(model="m") as connection:
        await connection.send("Hello", **options)
        async for _ in connection:
            pass
        assert connection.reply is not None
        return connection.reply


@pytest.mark.parametrize("door", [at_hs_stream, with_tools, at_a_connection])
async def test_every_door_can_be_strict_and_keep_the_pieces(door: Any) -> None:
    """As `Client.stream` can."""
    chunks = (delta(content="a"), '{"choices": [', delta("stop"), "[DONE]")
    async with serving(answers(*chunks)) as service:
        reply = await door(service.url, keep_chunks=True)
        assert [text for _, text in reply.chunks][1:2] == ['{"choices": [']
        with pytest.raises(NotAStream, match="could not be read"):
            await door(service.url, strict=True)


# Endings


@pytest.mark.parametrize("word", ["insufficient_system_resource", "error", "MALFORMED_FUNCTION_CALL"])
async def test_a_failure_is_said_and_raises_only_for_the_strict(word: str) -> None:
    """The text stays, the reply says it."""
    async with serving(answers(delta(content="a"), delta(word), "[DONE]")) as service:
        reply, strict = await ask(service.url), await ask(service.url, strict=True)
    assert (reply.text, reply.finish_reason, reply.error, reply.end) == ("a", word, None, "failure")
    assert reply.ending_words
    assert isinstance(strict.error, ServiceError)
    assert reply.ending_words in str(strict.error)


async def test_the_word_behind_a_gateways_counts() -> None:
    """OpenRouter says `stop` of an answer that Gemini broke off: said, and an error for the strict."""
    end = delta("stop")
    end["choices"][0]["native_finish_reason"] = "MALFORMED_FUNCTION_CALL"
    async with serving(answers(delta(content="a"), end, "[DONE]")) as service:
        reply, strict = await ask(service.url), await ask(service.url, strict=True)
    assert (reply.finish_reason, reply.end) == ("stop", "failure")
    assert reply.ending_words == "the model wrote a malformed call"
    assert reply.ending_words in str(strict.error)


async def test_an_error_may_follow_an_end() -> None:
    """It is the answer's error, whatever the end said."""
    async with serving(answers(delta(content="a"), delta("length"), {"error": {"message": "down"}})) as service:
        reply = await ask(service.url)
    assert isinstance(reply.error, ServiceError)
    assert reply.text == "a"


async def test_an_empty_answer_says_so() -> None:
    """It is no error."""
    async with serving(answers(delta("stop"), "[DONE]")) as service:
        reply = await ask(service.url)
    assert (reply.ending_words, reply.error) == ("empty answer", None)


async def test_a_strict_reader_is_told_of_a_missing_end() -> None:
    """As before."""
    async with serving(answers(delta(content="a"))) as service:
        assert isinstance((await ask(service.url, strict=True)).error, StreamInterrupted)


# Facts


async def test_facts_beside_the_answer() -> None:
    """Sources, annotations, probabilities, pictures, the model and tier as served, timings, the native word."""
    first = {**delta(content="a"), "service_tier": "flex"}
    note = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
    first["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.1}]}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    evil = {"type": "image_url", "image_url": {"url": "javascript:alert(1)"}}
    last = {**delta("stop"), "timings": {"predicted_ms": 1.5}}
    last["choices"][0]["native_finish_reason"] = "STOP"
    counted = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "service_tier": "default"}
    chunks = (first, delta(annotations=[note], images=[image, evil]), last, counted, "[DONE]")
    async with serving(answers(*chunks)) as service:
        reply = await ask(service.url)
    assert (reply.served_model, reply.service_tier, reply.detail) == ("m-2026", "default", "STOP")
    assert (reply.citations, reply.logprobs) == ((note,), ({"token": "a", "logprob": -0.1},))
    assert reply.images == ("data:image/png;base64,AA==",)
    assert reply.timings == {"predicted_ms": 1.5}


async def test_sources_are_those_of_the_last_chunk() -> None:
    """Perplexity repeats them with every chunk; addresses alone are sources too."""
    grown = [{**delta(content="a"), "citations": ["https://a"]}, {**delta(content="b"), "citations": ["https://a"]}]
    last = {**delta("stop"), "citations": ["https://a", "https://b"]}
    async with serving(answers(*grown, last, "[DONE]")) as service:
        reply = await ask(service.url)
    assert reply.citations == ({"url": "https://a"}, {"url": "https://b"})


async def test_groq_says_its_times_beside_its_counts() -> None:
    """In a field of its own."""
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "queue_time": 0.1}
    last = {**delta("stop"), "x_groq": {"id": "r", "usage": counts}}
    async with serving(answers(delta(content="a"), last, "[DONE]")) as service:
        assert (await ask(service.url)).timings == {"id": "r", "usage": counts}


# What goes back


def reasoner(asked: list[dict[str, Any]], *, calls: bool, check: Any = None) -> Any:
    """A service that thinks, and calls f in its first round."""

    async def answer(request: Asked, writer: Writer) -> bool:
        asked.append(request.body)
        refusal = check(request.body) if check is not None else None
        if refusal:
            body = json.dumps({"error": {"message": refusal}}).encode()
            writer.raw.write(b"HTTP/1.1 400 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.raw.drain()
            return False
        await writer.head()
        await writer.event(delta(reasoning_content="why"))
        if calls and not any(message["role"] == "tool" for message in request.body["messages"]):
            call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
            await writer.event(delta(tool_calls=[{**call, "extra_content": {"google": {"thought_signature": "S"}}}]))
            await writer.event(delta("tool_calls"))
        else:
            await writer.event(delta("stop", content="done"))
        await writer.event("[DONE]")
        await writer.end()
        return True

    return answer


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's providers.toml."""
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(tmp_path / "providers.toml"))
    return tmp_path / "providers.toml"


def move(provider: str, url: str, there: Path) -> None:
    """The provider's own row, at another address."""
    there.write_text(f'[{provider}]\nbase_url = "{url}"\nkey_variable = ""\n')


def at(provider: str, url: str, there: Path) -> Client:
    move(provider, url, there)
    return Client(provider)


def f() -> str:
    """A tool."""
    return "ok"


def assistants(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in body["messages"] if message["role"] == "assistant"]


@pytest.mark.parametrize(
    ("provider", "has"),
    [("deepseek", {"reasoning_content"}), ("moonshot", {"reasoning_content"}), ("gemini", {"extra"}), ("groq", set())],
)
async def test_a_round_carries_what_its_service_wants(provider: str, has: set[str], there: Path) -> None:
    """In the second request, with the call it belongs to; ids that were made up agree."""
    asked: list[dict[str, Any]] = []
    async with serving(reasoner(asked, calls=True)) as service, at(provider, service.url, there) as client:
        run = hs.run_tools(client, "Hello", tools=[f], model="m", consent="all")
        reply = await run
    assert (reply.text, len(asked)) == ("done", 2)
    (message,) = assistants(asked[1])
    found = {name for name in ("reasoning_content",) if message.get(name) == "why"}
    found |= {"extra"} if "extra_content" in message["tool_calls"][0] else set()
    assert found == has
    assert asked[1]["messages"][-1]["tool_call_id"] == message["tool_calls"][0]["id"]
    assert run.echoes[0] is not None
    assert run.messages[-1]["echo"] == reply.echo


async def test_a_service_that_wants_reasoning_back_is_asked_again_with_it() -> None:
    """Once: the next round has it at once."""
    asked: list[dict[str, Any]] = []

    def check(body: dict[str, Any]) -> str | None:
        missing = any("reasoning_content" not in message for message in assistants(body))
        return "The `reasoning_content` in the thinking mode must be passed back to the API." if missing else None

    async with (
        serving(reasoner(asked, calls=True, check=check)) as service,
        Client("ollama", base_url=service.url, api_key=KEY) as client,
    ):
        for requests in (3, 5):
            assert (await hs.run_tools(client, "Hello", tools=[f], model="m", consent="all")).text == "done"
            assert len(asked) == requests


async def test_a_service_that_refuses_reasoning_is_asked_again_without(there: Path) -> None:
    """Where its row said otherwise."""
    asked: list[dict[str, Any]] = []

    def check(body: dict[str, Any]) -> str | None:
        there = any("reasoning_content" in message for message in assistants(body))
        return "property 'reasoning_content' is unsupported" if there else None

    async with (
        serving(reasoner(asked, calls=True, check=check)) as service,
        at("deepseek", service.url, there) as client,
    ):
        assert (await hs.run_tools(client, "Hello", tools=[f], model="m", consent="all")).text == "done"
    assert len(asked) == 3


async def test_a_refusal_that_nothing_mends_is_an_error() -> None:
    """The user's own field is the user's."""
    asked: list[dict[str, Any]] = []
    prompt = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "mine"},
        {"role": "user", "content": "c"},
    ]
    refuses = reasoner(asked, calls=False, check=lambda _: "property 'reasoning_content' is unsupported")
    async with serving(refuses) as service:
        reply = await ask(service.url, prompt=prompt)
    assert isinstance(reply.error, BadRequest)
    assert len(asked) == 1


async def test_a_conversation_by_name_carries_it(there: Path) -> None:
    """`--chat`: on to the same model, and to no other."""
    asked: list[dict[str, Any]] = []
    session = Session()
    async with serving(reasoner(asked, calls=False)) as service:
        move("deepseek", service.url, there)
        for model in ("deepseek:v4", "deepseek:v4", "deepseek:other"):
            await session.stream("Hello", model=model, chat="talk")
        await session.close()
    assert [message["reasoning_content"] for message in assistants(asked[1])] == ["why"]
    assert [message["reasoning_content"] for message in assistants(asked[2])] == [" ", " "]
    assert "echo" not in json.dumps(asked)


async def test_a_broken_answer_has_nothing_to_give_back() -> None:
    """Half a signature is none."""
    async with serving(answers(delta(reasoning_content="why"), delta(content="a"))) as service:
        reply = await ask(service.url)
    assert (reply.finish_reason, reply.echo) == ("truncated", None)
