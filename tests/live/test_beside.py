"""How a service ended an answer and what it said beside it, as all five views show it: the same words."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from foreign import answering, streamed

from holystream_nb import Client, Simulator
from holystream_nb.chat.conversation import Answer, Label, Turn
from holystream_nb.chat.markdown import turn_markdown, turn_text
from holystream_nb.events import Usage
from holystream_nb.live.beside import MOST, SAVED_BYTES, Citation, Picture, ended, named, pictures, sources
from holystream_nb.live.harmless import plain_line
from holystream_nb.live.lane import Lane
from holystream_nb.live.saved import beside_markdown, bundle, plain_beside, status_line
from holystream_nb.live.terminal import print_lanes
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(30)).decode()
ENDINGS = {
    "finish=content_filter,tokens=5": "the service's filter ended it",
    "finish=insufficient_system_resource,tokens=5": "the service ran out of resources",
    "finish=MALFORMED_FUNCTION_CALL,tokens=5": "the model wrote a malformed call",
    "finish=MAX_TOKENS,tokens=5": "length limit reached",
    "finish=pause_turn,tokens=5": "paused: send it back to go on",
    "finish=refusal,tokens=5": "refused",
    "finish=error,tokens=5": "the service failed in the middle",
    "finish=wandered_off,tokens=5": 'ended by the service: "wandered_off"',
    "tokens=0": "empty answer",
    "bad-json,tokens=5": "1 piece unreadable",
    "bad-json,finish=content_filter,tokens=5": "the service's filter ended it, 1 piece unreadable",
}


def reply(**fields: Any) -> Reply:
    cost = Cost(None, None, exact=True, source="", as_of="")
    asked = Reply(
        "x", "", (), "stop", Usage(prompt_tokens=1, completion_tokens=1), Timing(submitted=0), cost, "gpt-4.1", "p"
    )
    return replace(asked, **fields)


async def read(simulator: Simulator, faults: str, format: str = "markdown") -> Lane:
    """A lane that has been read to its end."""
    async with (
        Client("simulator", base_url=simulator.url) as client,
        client.stream("Hello", model=f"gpt-4.1#{faults}") as stream,
    ):
        lane = Lane(stream, label="gpt-4.1", provider="simulator", format=format)
        async for _ in stream:
            pass
        lane.end(None)
        return lane


@pytest.mark.parametrize(("faults", "words"), ENDINGS.items())
async def test_an_end_that_is_not_normal_is_said_in_every_view(
    simulator: Simulator, faults: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Live, saved alone and beside another, in a panel and its copy, and in a terminal: the same words."""
    lane, whole = await read(simulator, faults), await read(simulator, "tokens=5")
    status = lane.status()
    assert (status["state"], status["ending"], status["error"]) == ("done", words, "")
    assert words not in status["figures"]  # it stands for itself

    for lanes in ([lane], [lane, whole]):
        data, _ = bundle(lanes)
        assert data["text/plain"].count(words) == 1
        assert data["text/markdown"].count(plain_line(words)) == 1
    assert bundle([lane])[0]["text/markdown"].endswith(f"**{plain_line(words)}**")
    assert f"| **{plain_line(words)}** |" in bundle([lane, whole])[0]["text/markdown"]
    assert "| stop |" in bundle([lane, whole])[0]["text/markdown"]

    answer = Answer.of(lane)
    assert answer.drawn()["ending"] == words
    turn = Turn("1", "Hello", (Label("gpt-4.1", "simulator", ""),), (answer,))
    assert turn_text(turn).endswith(f"]\n[{words}]")
    assert turn_markdown(turn).endswith(f"**{plain_line(words)}**")

    async with Client("simulator", base_url=simulator.url) as client:
        await print_lanes([Lane(client.stream("Hello", model=f"gpt-4.1#{faults}"), label="m", provider="simulator")])
    assert capsys.readouterr().out.endswith(f"]\n[{words}]\n")  # a line of its own


@pytest.mark.parametrize("faults", ["tokens=5", "tools=openai", "image,tokens=0", "finish=end_turn,tokens=5"])
async def test_a_normal_end_needs_no_words(simulator: Simulator, faults: str) -> None:
    """A whole text, calls of tools, a picture without text."""
    assert (await read(simulator, faults)).status()["ending"] == ""


async def test_nothing_is_said_of_the_end_while_an_answer_runs(simulator: Simulator) -> None:
    """It is empty until its first piece, and that is no end."""
    async with Client("simulator", base_url=simulator.url) as client:
        stream = client.stream("Hello", model="gpt-4.1#tokens=5")
        assert Lane(stream, label="m", provider="simulator").status()["ending"] == ""
        await stream.aclose()


def test_a_limit_of_ours_stands_in_the_place_of_the_service_s_word() -> None:
    """And an answer that it left empty is said to be."""
    cut = reply(finish_reason="length")
    assert ended(cut, "--max-cost reached") == "--max-cost reached"
    assert ended(replace(cut, text=""), "--max-cost reached") == "--max-cost reached, empty answer"
    assert ended(replace(cut, unreadable=3)) == "length limit reached, 3 pieces unreadable"


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ("", []),
        ("gpt-4.1", []),
        ("GPT-4.1", []),
        ("openai/gpt-4.1", []),
        ("gpt-4.1-2025-04-14", ["served as gpt-4.1-2025-04-14"]),
        ("a\x1b[2Jb\n" + "c" * 500, [f"served as a\ufffd[2Jb {'c' * 73}…"]),
    ],
)
def test_who_answered_is_said_where_that_is_somebody_else(served: str, said: list[str]) -> None:
    """Not where the name differs in whose model it is, or in large letters."""
    assert named(reply(served_model=served)) == said
    assert named(reply(model="openai/gpt-4.1#cut=5", served_model="gpt-4.1")) == []


def test_a_service_tier_is_said_where_it_is_not_the_ordinary_one() -> None:
    """It has another price, or another pace."""
    assert [named(reply(service_tier=tier)) for tier in ("", "default", "standard", "auto")] == [[]] * 4
    assert named(reply(service_tier="flex")) == ["tier flex"]


SHAPES: list[tuple[Mapping[str, Any], Citation]] = [
    ({"url": "https://a.example/x"}, Citation("a.example", "https://a.example/x")),
    ({"title": "T", "url": "https://a.example", "snippet": "s"}, Citation("T", "https://a.example")),
    (
        {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "T", "start_index": 0}},
        Citation("T", "https://a.example"),
    ),
    ({"type": "url_citation", "url": "https://a.example", "title": "T"}, Citation("T", "https://a.example")),
    (
        {"type": "web_search_result_location", "url": "https://a.example", "title": "T"},
        Citation("T", "https://a.example"),
    ),
    ({"type": "char_location", "document_title": "The book", "document_index": 0}, Citation("The book")),
    ({"type": "file_citation", "filename": "notes.pdf", "file_id": "file-1"}, Citation("notes.pdf")),
    ({"url": 7, "title": ["x"], "url_citation": "x"}, Citation("")),
]


@pytest.mark.parametrize(("citation", "source"), SHAPES)
def test_a_source_is_read_out_of_every_shape(citation: Mapping[str, Any], source: Citation) -> None:
    """Chat's and Responses' annotations, Messages' locations, search results, addresses alone; and of nothing."""
    assert sources(reply(citations=(citation,))) == (source,)


def test_sources_are_listed_once_and_not_without_end() -> None:
    """In the order of the first mention: answers refer to them by number."""
    twice = [{"url": f"https://a.example/{number % 3}"} for number in range(9)]
    assert [each.address[-1] for each in sources(reply(citations=tuple(twice)))] == ["0", "1", "2"]
    *_, last = many = sources(reply(citations=tuple({"title": f"{number}"} for number in range(500))))
    assert (len(many), last) == (MOST + 1, Citation("450 more, in reply.citations"))


ADDRESSES = {
    "https://example.org/a?b=c&d=e#f": "https://example.org/a?b=c&d=e#f",
    "HTTP://Example.org:8080/": "http://example.org:8080/",
    "https://bücher.example/ü": "https://xn--bcher-kva.example/%C3%BC",
    "https://example.org/)](javascript:alert(1))<b>`$x$`": (
        "https://example.org/%29%5D%28javascript:alert%281%29%29%3Cb%3E%60%24x%24%60"
    ),
    **dict.fromkeys(
        (
            "javascript:alert(1)",
            "data:text/html,<script>",
            "file:///etc/passwd",
            "//example.org",
            "https://",
            "https:example.org",
            "https://bank.example@evil.example/",
            "https://evil.example\\@bank.example/",
            "https://[::1",
            "https://example.org:99999999/",
            "https://example.org/\x1b[2J",
            "https://example.org/\u202egpj.exe",
            "https://ex ample.org/",
            "https://example.org/" + "a" * 3000,
            "https://a..b/",
            "",
        ),
        "",
    ),
}


@pytest.mark.parametrize(("given", "kept"), ADDRESSES.items())
def test_an_address_is_one_that_cannot_act_or_none(given: str, kept: str) -> None:
    """In HTML, Markdown and a terminal; what leads elsewhere than it reads is none."""
    assert Citation("t", given).address == kept
    assert Picture("w", address=given).address == kept


def test_sources_in_markdown_are_links_that_say_where_they_lead() -> None:
    """Title and address are the service's: neither can end its link, begin another or be Markdown."""
    listed = [Citation("One](https://evil.example) *two* <b>", "https://example.org/a?b=c&d=e"), Citation("A book")]
    assert beside_markdown(listed, ()) == (
        "**Sources**\n\n"
        "1. [One)(`https://evil.example`) \\*two\\* &lt;b>](<https://example.org/a?b=c&amp;d=e>) · example\\.org\n"
        "2. A book"
    ).replace("&lt;b>", plain_line("<b>"))
    assert plain_beside(listed, ()).splitlines() == [
        "Sources:",
        "[1] One](https://evil.example) *two* <b> · https://example.org/a?b=c&d=e",
        "[2] A book",
    ]


def test_only_small_pictures_of_four_kinds_are_drawn() -> None:
    """Others are said; one that lies elsewhere is a link, and is never loaded."""
    small, elsewhere, drawing, large, more = pictures(
        reply(
            images=(
                f"data:image/png;base64,{PNG}",
                "https://example.org/leak.png",
                "data:image/svg+xml;base64,PHN2Zy8+",
                "data:image/webp;base64," + "A" * 8_000_000,
                "data:image/png;base64,AAAA",
            )
        )
    )
    assert (small.data, small.words) == (f"data:image/png;base64,{PNG}", "PNG image")
    assert (elsewhere.data, elsewhere.address) == ("", "https://example.org/leak.png")
    assert (drawing.data, drawing.words) == ("", "unknown image")
    assert (large.data, large.words) == ("", "WEBP image, 6,000 kB")
    assert (more.data, more.address, more.words) == ("", "", "1 more, in reply.images")
    assert Picture("w", data=f'data:image/png;base64,{PNG}" onerror="x').data == ""
    saved = beside_markdown((), (small, elsewhere, drawing))
    assert saved.count("![") == 1
    assert f"![PNG image](data:image/png;base64,{PNG})" in saved
    assert "[image](<https://example.org/leak.png>) · " in saved
    kept_out = Picture("PNG image", data="data:image/png;base64," + "A" * (2 * SAVED_BYTES))
    assert kept_out.data
    assert beside_markdown((), (kept_out,)) == "🖼 PNG image (not kept in this file)"


async def test_what_a_service_says_beside_an_answer_is_in_every_view(simulator: Simulator) -> None:
    """Sources, a picture, who answered and the tier: live, saved, in the panel."""
    lane = await read(simulator, "citations=annotations,image,served=gpt-4.1-2025-04-14,tier=flex,tokens=5")
    status = lane.status()
    assert status["sources"][0]["address"].startswith("https://")
    assert status["sources"][0]["host"] in status["sources"][0]["address"]
    assert status["pictures"][0]["data"].startswith("data:image/png;base64,")
    assert {"served as gpt-4.1-2025-04-14", "tier flex"} <= set(status["figures"])
    assert "served as gpt-4.1-2025-04-14 · tier flex" in status_line(lane)
    data, _ = bundle([lane])
    answer = Answer.of(lane)
    assert (answer.sources, answer.pictures) == (lane.sources, lane.pictures)
    assert answer.drawn()["sources"] == status["sources"]
    turn = Turn("1", "Hello", (Label("gpt-4.1", "simulator", ""),), (answer,))
    for written in (data["text/markdown"], turn_markdown(turn)):
        assert "![PNG image](data:image/png;base64," in written
        assert f"](<{lane.sources[0].address}>)" in written
    for written in (data["text/plain"], turn_text(turn)):
        assert f"[1] {lane.sources[0].title} · {lane.sources[0].address}" in written


async def test_reasoning_of_nothing_but_space_is_not_folded() -> None:
    """Some servers send a line end for a model that was told not to think."""
    chunks = [{"choices": [{"delta": delta}]} for delta in ({"reasoning_content": "\n\n"}, {"content": "Hi"})]
    with answering(lambda asked: streamed(*chunks)) as service:
        async with Client("ollama", base_url=service.url) as client, client.stream("Hello", model="m") as stream:
            lane = Lane(stream, label="m", provider="ollama")
            async for _ in stream:
                pass
            lane.end(None)
    turn = Turn("1", "Hello", (Label("m", "", ""),), (Answer.of(lane),))
    for saved in (*bundle([lane])[0].values(), turn_text(turn), turn_markdown(turn)):
        assert "reasoning" not in saved.lower()


async def test_thoughts_in_the_text_are_folded_like_reasoning(simulator: Simulator) -> None:
    """`<think>…</think>` of a local model: in the fold, and not in the answer."""
    lane = await read(simulator, "reasoning=think,tokens=20")
    assert lane.snapshot()["reasoning"]
    assert "<think>" not in str(lane.snapshot())
    markdown = bundle([lane])[0]["text/markdown"]
    assert markdown.startswith("<details><summary>Reasoning")
    assert "think>" not in markdown
    assert re.search(r"Reasoning · ≈[1-9]\d* tokens", markdown), "the service saw none of it, and counted 0"
    assert "\n\n\n" not in bundle([lane])[0]["text/plain"]


async def test_a_socket_that_was_asked_for_and_not_offered_is_said_in_the_end(simulator: Simulator) -> None:
    """Messages has none; where a socket came, or nobody asked for one, nothing is said."""
    for wire, transport, said in (("messages", "ws", True), ("messages", "sse", False), ("responses", "ws", False)):
        async with (
            Client("simulator", base_url=simulator.url) as client,
            client.stream("Hello", model="gpt-4.1", wire=wire, transport=transport) as stream,
        ):
            lane = Lane(stream, label="m", provider="simulator", transport=transport)
            async for _ in stream:
                pass
            lane.end(None)
        told = [*lane.status()["figures"], *bundle([lane])[0].values()]
        assert [("no socket is offered" in each) for each in told].count(True) == (3 if said else 0)


async def test_a_stated_cost_is_read_beside_ours_and_not_as_code(simulator: Simulator) -> None:
    """Two dollars in a line of Markdown would stand in code spans."""
    markdown = bundle([await read(simulator, "usage=cost,tokens=20")])[0]["text/markdown"]
    assert " USD as simulator says*" in markdown
    assert "`" not in markdown.rpartition("---")[2]
