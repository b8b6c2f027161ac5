"""Bytes in, server-sent events out."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb.errors import TooLarge
from holystream_nb.wire.sse import Decoder, ServerSentEvent

BOM = b"\xef\xbb\xbf"


def decode(*reads: bytes) -> list[ServerSentEvent]:
    """What `feed` returns over all reads; the unfinished event is left out, as in the standard."""
    decoder = Decoder()
    return [event for data in reads for event in decoder.feed(data)]


def data_of(events: Iterable[ServerSentEvent]) -> list[str]:
    return [event.data for event in events]


# --- the standard's own examples ------------------------------------------------------------------------------------


def test_a_stream_of_plain_and_two_line_events() -> None:
    """Lines of one block are joined with LF, and each blank line ends an event."""
    stream = b"data: one\n\ndata: two\ndata: of two lines\n\ndata: three\n\n"
    assert data_of(decode(stream)) == ["one", "two\nof two lines", "three"]


def test_a_stream_of_typed_events() -> None:
    """`event` names the type of its own block only."""
    stream = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\ndata: 113411\n\n"
    assert [(e.event, e.data) for e in decode(stream)] == [
        ("add", "73857293"),
        ("remove", "2153"),
        ("message", "113411"),
    ]


def test_the_stock_ticker() -> None:
    """Three data lines make one event of three lines."""
    assert decode(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [ServerSentEvent("message", "YHOO\n+2\n10", "", None)]


def test_the_four_blocks() -> None:
    """A comment is no event, an `id` without value takes the id back, and one space only is stripped."""
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    decoder = Decoder()
    assert decoder.feed(stream) == [
        ServerSentEvent("message", "first event", "1", None),
        ServerSentEvent("message", "second event", "", None),
    ]
    assert decoder.feed(b"\n\n") == [ServerSentEvent("message", " third event", "", None)]


def test_empty_data_is_data() -> None:
    """A `data` line without a value is an event; the last block, without its blank line, is not."""
    assert data_of(decode(b"data\n\ndata\ndata\n\ndata:")) == ["", "\n"]


def test_a_space_after_the_colon_is_optional() -> None:
    """`data:test` and `data: test` are the same event."""
    first, second = decode(b"data:test\n\ndata: test\n\n")
    assert first == second == ServerSentEvent("message", "test", "", None)


# --- what the web-platform tests of EventSource check ---------------------------------------------------------------

PLATFORM = {
    "a byte order mark is dropped at the start only": (BOM + b"data:1\n\n" + BOM + b"data:2\n\ndata:3\n\n", ["1", "3"]),
    "only one byte order mark is dropped": (BOM + BOM + b"data:1\n\ndata:2\n\ndata:3\n\n", ["2", "3"]),
    "comments, long ones and ones with NUL, stand between lines": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 2048 + b"\rdata:3\n:data:fail\r:" + b"x" * 2048 + b"\ndata:4\n\n",
        ["1\n2\n3\n4"],
    ),
    "the last block needs its blank line": (b"retry:1000\ndata:test1\n\nid:test\ndata:test2\n", ["test1"]),
    "data without colon, without value": (b"data:\n\ndata\ndata\n\ndata:test\n\n", ["", "\n", "test"]),
    "names are exact: no NUL, no capital, no hyphen, no leading space": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata:4\n\n",
        ["\0\n 2\n1\n3\n\n4"],
    ),
    "unknown fields are skipped": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        ["test\n\ntest"],
    ),
    "a tab is no space, and a single space is": (b"data:\ttest\rdata: \ndata:test\n\n", ["\ttest\n\ntest"]),
    "the three line ends mix": (b"data:test\r\ndata\ndata:test\r\n\r", ["test\n\ntest"]),
    "NUL is a character of data": (b"data:\0\n\n\n\n", ["\0"]),
    "UTF-8 is read as UTF-8": (b"data:ok\xe2\x80\xa6\n\n", ["ok…"]),
    "nothing else ends a line": (
        "data:a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei"],
    ),
    "a block without data is no event": (b"event: x\nid: 3\nretry: 5\n\n\n\n: ping\n\ndata:1\n\n", ["1"]),
    "CR alone ends lines and events": (b"data:1\r\rdata:2\r\r", ["1", "2"]),
    "LF after CR LF is a blank line": (b"data:1\r\n\ndata:2\n\r\n", ["1", "2"]),
}


@pytest.mark.parametrize(("stream", "expected"), PLATFORM.values(), ids=PLATFORM)
def test_platform(stream: bytes, expected: list[str]) -> None:
    """Each of these streams gives these events, in one read and byte by byte."""
    assert data_of(decode(stream)) == expected
    assert data_of(decode(*(stream[i : i + 1] for i in range(len(stream))))) == expected


@pytest.mark.parametrize("name", [b"event: \n", b"event:\n", b"event\n", b"event: x\nevent:\n"])
def test_an_empty_type_is_message(name: bytes) -> None:
    """An empty `event` means the default type."""
    assert decode(name + b"data:data\n\n") == [ServerSentEvent("message", "data", "", None)]


def test_a_type_without_data_is_forgotten() -> None:
    """The type of a block that was no event does not pass to the next."""
    assert decode(b"event: lost\n\ndata: x\n\n")[0].event == "message"


@pytest.mark.parametrize("bad", [b"\0\0", b"x\0", b"\0x", b"x\0x"])
def test_an_id_with_nul_is_ignored(bad: bytes) -> None:
    """The last event id stays what it was."""
    assert [e.id for e in decode(b"id: 1\ndata:a\n\nid: " + bad + b"\ndata:b\n\n")] == ["1", "1"]


def test_the_last_event_id_lasts() -> None:
    """An id set by a block without data is the id of later events too, until an empty id takes it back."""
    events = decode("id: …\n\ndata:1\n\ndata:2\n\nid\ndata:3\n\n".encode())
    assert [(e.id, e.data) for e in events] == [("…", "1"), ("…", "2"), ("", "3")]


@pytest.mark.parametrize(
    ("lines", "retry"),
    [
        (b"retry:3000\n", 3000),
        (b"retry: 3000\n", 3000),
        (b"retry:3000\nretry:1000x\n", 3000),
        (b"retry\n", None),
        (b"retry:\n", None),
        (b"retry:-1\n", None),
        (b"retry:1.5\n", None),
        (b"retry:  1\n", None),
        ("retry:٣\n".encode(), None),
        (b"retry:" + b"9" * 100_000 + b"\n", None),
        (b"retry:007\n", 7),
    ],
)
def test_retry_is_ascii_digits(lines: bytes, retry: int | None) -> None:
    """Anything but ASCII digits is ignored; the value belongs to its own block."""
    assert [e.retry for e in decode(lines + b"data:x\n\ndata:y\n\n")] == [retry, None]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff", "\ufffd"),
        (b"\xe2\x82", "\ufffd"),
        (b"\xe2\x82x", "\ufffdx"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),
        (b"\xf0\x80\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),
        (b"\xf0\x9f\x98\x80", "\U0001f600"),
    ],
)
def test_invalid_utf8_becomes_replacement_characters(raw: bytes, text: str) -> None:
    """One U+FFFD for each maximal invalid piece, as the Encoding standard's decoder gives."""
    assert data_of(decode(b"data:" + raw + b"\n\n")) == [text]
    assert utf8_decode(raw) == text


# --- the end of a chat stream ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r", b"\r\n", b"\nevent: x", b"\n: comment"])
def test_close_returns_the_unfinished_event(tail: bytes) -> None:
    """A `data` line at the end counts, with or without its newline, and once only."""
    decoder = Decoder()
    assert decoder.feed(b"data: 1\n\ndata: [DONE]" + tail) == [ServerSentEvent("message", "1", "", None)]
    assert data_of(decoder.close()) == ["[DONE]"]
    assert decoder.close() == []


@pytest.mark.parametrize("stream", [b"", b"data: 1\n\n", b": x", b"event: x\nid: 4", b"\r", BOM[:2], BOM, b"nonsense"])
def test_close_without_data_returns_nothing(stream: bytes) -> None:
    """An end between events, or a block without data, is no event."""
    decoder = Decoder()
    decoder.feed(stream)
    assert decoder.close() == []


def test_a_cut_character_at_the_end_is_replaced() -> None:
    """The end of the stream in the middle of a character leaves one U+FFFD."""
    decoder = Decoder()
    assert decoder.feed("data: é".encode()[:-1]) == []
    assert data_of(decoder.close()) == ["\ufffd"]


# --- lines of no field ----------------------------------------------------------------------------------------------


def test_lines_of_unknown_fields_are_kept() -> None:
    """An `error:` line can be read afterwards; comments and the standard's fields are not among the ignored."""
    decoder = Decoder()
    decoder.feed(b': ping\nid: 1\ndata: x\n\nerror: {"message":"full"}\nbare\n')
    assert decoder.ignored == [("error", '{"message":"full"}'), ("bare", "")]


def test_the_ignored_lines_are_bounded() -> None:
    """Only the last few are kept, each cut."""
    decoder = Decoder()
    for number in range(1000):
        decoder.feed(b"line %d:" % number + b"x" * 5000 + b"\n")
    assert [name for name, _ in decoder.ignored] == [f"line {n}" for n in range(984, 1000)]
    assert {len(value) for _, value in decoder.ignored} == {2000}


# --- size and speed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_over_the_limit_is_refused_after_what_came_before(piece: int, end: bytes) -> None:
    """The events before it are returned; then `TooLarge`, again and again."""
    stream = b"data: ok" + end * 2 + b"data: 1234" + end + b"data: 12345" + end * 2 + b"data: never" + end * 2
    decoder = Decoder(max_event_bytes=22)
    events: list[ServerSentEvent] = []
    with pytest.raises(TooLarge, match="22 bytes"):  # noqa: PT012 - which read raises depends on the piece
        for i in range(0, len(stream) + piece, piece):
            events += decoder.feed(stream[i : i + piece])
    assert data_of(events) == ["ok"]
    with pytest.raises(TooLarge):
        decoder.feed(b"\n")
    with pytest.raises(TooLarge):
        decoder.close()


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_the_limit_is_for_one_event(piece: int) -> None:
    """Events of the limit's size pass, however many."""
    stream = b"\n\ndata: 1234\ndata: 1234\n\n\n" * 5
    decoder = Decoder(max_event_bytes=22)
    events = [e for i in range(0, len(stream), piece) for e in decoder.feed(stream[i : i + piece])]
    assert data_of(events) == ["1234\n1234"] * 5


def test_a_line_that_never_ends_is_refused() -> None:
    """The limit holds for an unfinished line too."""
    decoder = Decoder(max_event_bytes=100_000)
    for _ in range(100):
        assert decoder.feed(b"x" * 1000) == []
    with pytest.raises(TooLarge):
        decoder.feed(b"x")


def test_a_long_line_takes_linear_time() -> None:
    """Ten MiB in reads of 64 KiB cost about ten times one MiB, not a hundred times."""

    def seconds(mebibytes: int) -> float:
        decoder = Decoder()
        piece = b"x" * 65_536
        started = time.perf_counter()
        decoder.feed(b"data: ")
        for _ in range(16 * mebibytes):
            decoder.feed(piece)
        (event,) = decoder.feed(b"\n\n")
        assert len(event.data) == mebibytes << 20
        return time.perf_counter() - started

    small = min(seconds(1) for _ in range(3))
    assert min(seconds(10) for _ in range(3)) < 40 * small + 0.05


def test_many_lines_in_small_reads_take_linear_time() -> None:
    """An event of 40,000 lines, a read each, costs about eight times one of 5,000."""

    def seconds(lines: int) -> float:
        decoder = Decoder()
        started = time.perf_counter()
        for _ in range(lines):
            decoder.feed(b"data: x\n")
        (event,) = decoder.feed(b"\n")
        assert event.data.count("x") == lines
        return time.perf_counter() - started

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 30 * small + 0.05


# --- any stream, any split ------------------------------------------------------------------------------------------


def utf8_decode(data: bytes) -> str:
    """The Encoding standard's UTF-8 decoder, byte by byte (https://encoding.spec.whatwg.org/#utf-8-decoder)."""
    out: list[str] = []
    point = needed = seen = 0
    lower, upper = 0x80, 0xBF
    i = 0
    while i < len(data):
        byte = data[i]
        i += 1
        if not needed:
            if byte < 0x80:
                out.append(chr(byte))
            elif 0xC2 <= byte <= 0xDF:
                needed, point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower, upper = (0xA0 if byte == 0xE0 else 0x80), (0x9F if byte == 0xED else 0xBF)
                needed, point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower, upper = (0x90 if byte == 0xF0 else 0x80), (0x8F if byte == 0xF4 else 0xBF)
                needed, point = 3, byte & 0x7
            else:
                out.append("\ufffd")
            continue
        if not lower <= byte <= upper:
            point = needed = seen = 0
            lower, upper = 0x80, 0xBF
            out.append("\ufffd")
            i -= 1
            continue
        lower, upper = 0x80, 0xBF
        point = point << 6 | byte & 0x3F
        seen += 1
        if seen == needed:
            out.append(chr(point))
            point = needed = seen = 0
    return "".join(out) + ("\ufffd" if needed else "")


def reference(stream: bytes) -> list[ServerSentEvent]:
    """The standard's grammar and its interpretation, character by character, over the whole stream at once."""
    text = utf8_decode(stream.removeprefix(BOM))
    events: list[ServerSentEvent] = []
    data = kind = last_id = ""
    has_data = False
    retry: int | None = None
    line = ""
    i = 0
    while i < len(text):
        character = text[i]
        i += 1
        if character not in "\r\n":
            line += character
            continue
        if character == "\r" and text[i : i + 1] == "\n":
            i += 1
        if line == "":
            if has_data:
                events.append(ServerSentEvent(kind or "message", data[:-1], last_id, retry))
            data, kind, has_data, retry = "", "", False, None
        elif line[0] != ":":
            name, colon, value = line, "", ""
            for position, mark in enumerate(line):
                if mark == ":":
                    name, colon, value = line[:position], mark, line[position + 1 :]
                    break
            if colon and value[:1] == " ":
                value = value[1:]
            if name == "data":
                data += value + "\n"
                has_data = True
            elif name == "event":
                kind = value
            elif name == "id" and "\0" not in value:
                last_id = value
            elif name == "retry" and value and all(digit in "0123456789" for digit in value):
                retry = int(value)
        line = ""
    return events


ENDS = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"]
WORDS = [b"data", b"data:", b"data: ", b"event", b"event:", b"id:", b"id", b"retry:", b"12", b'{"a":1}', b"[DONE]"]
ODD = [
    b":",
    b" ",
    b"\0",
    b"x",
    b"7",
    BOM,
    b"\xef",
    b"\xbb",
    b"\xff",
    b"\xc3\xa9",
    b"\xc3",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
]
NO_ENDS = [b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x85", b"\xc2\x85", b"\x0b", b"\x0c", b"\x1c"]
PIECES = st.sampled_from([*ENDS, *WORDS, *ODD, *NO_ENDS])
LINES = st.tuples(
    st.sampled_from([b"data", b"event", b"id", b"retry", b"error", b"", b"dat"]),
    st.sampled_from([b":", b": ", b"", b":  "]),
    st.one_of(st.binary(max_size=6), st.text(max_size=4).map(lambda text: text.encode("utf-8", "ignore"))),
    st.sampled_from(ENDS),
).map(b"".join)
STREAMS = st.one_of(
    st.lists(PIECES, max_size=30).map(b"".join),
    st.lists(LINES, max_size=12).map(b"".join),
    st.lists(LINES, max_size=6).map(lambda lines: BOM + b"".join(lines)),
    st.binary(max_size=60),
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(stream) + 1) for place in places)
    return [stream[i:j] for i, j in zip([0, *ends], [*ends, len(stream)], strict=True)]


@pytest.mark.slow
@given(STREAMS)
@settings(max_examples=examples(600), deadline=None)
def test_any_stream_gives_the_events_of_the_standard(stream: bytes) -> None:
    """Our events are those of a second implementation that follows the standard's text literally."""
    assert decode(stream) == reference(stream)


@pytest.mark.slow
@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
@settings(max_examples=examples(400), deadline=None)
def test_any_split_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    """However the network cuts a stream, its events, its end and its ignored lines are the same."""
    whole, pieces, single = Decoder(), Decoder(), Decoder()
    events = whole.feed(stream)
    assert [e for data in cut(stream, places) for e in pieces.feed(data)] == events
    assert [e for i in range(len(stream)) for e in single.feed(stream[i : i + 1])] == events
    rest = whole.close()
    assert len(rest) <= 1
    assert pieces.close() == single.close() == rest
    assert pieces.ignored == single.ignored == whole.ignored


@pytest.mark.slow
@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8), st.integers(1, 40))
@settings(max_examples=examples(300), deadline=None)
def test_any_split_meets_the_limit_at_the_same_event(stream: bytes, places: list[int], limit: int) -> None:
    """The limit on an event's size depends on the stream alone, not on how it is cut."""

    def run(reads: list[bytes]) -> tuple[list[ServerSentEvent], bool]:
        decoder = Decoder(max_event_bytes=limit)
        events: list[ServerSentEvent] = []
        try:
            for data in reads:
                events += decoder.feed(data)
            events += decoder.close()
        except TooLarge:
            return events, True
        return events, False

    assert run(cut(stream, places)) == run([stream])
