"""Bytes -> server-sent events, as the WHATWG standard says. No I/O, no clock.

    decoder = Decoder()
    for data in reads:
        for event in decoder.feed(data): ...
    for event in decoder.close(): ...

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. A line ends with LF,
CR or CRLF and with nothing else; the text is UTF-8 whatever the headers say, and invalid bytes become U+FFFD.
"""

from __future__ import annotations

import msgspec

from holystream_nb.errors import TooLarge

_BOM = b"\xef\xbb\xbf"
_IGNORED_LINES = 16
_IGNORED_CHARACTERS = 2_000
_RETRY_DIGITS = 640  # the most that int() takes under every setting of sys.set_int_max_str_digits


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: `event` is its type, "message" where the stream names none; `data` is its lines joined with LF.

    `id` is the last event id the stream has set so far, "" if none. `retry` is the reconnection time in milliseconds
    that this event's own block brought, None if it brought none.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class Decoder:
    """The state of one stream: call `feed` with each read, then `close` once at its end.

    `max_event_bytes` bounds the lines between two blank lines. Past it the events that came before are returned, and
    the next call raises `TooLarge` (the same call, if there were none); what the event held is given up.

    `ignored` keeps the last few lines that are neither comments nor fields of the standard, as (name, value), each cut
    to 2,000 characters: some services report an error in an `error:` line, or send a page that is no event stream.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_failure",
        "_held",
        "_id",
        "_limit",
        "_line",
        "_retry",
        "_type",
        "ignored",
    )

    def __init__(self, *, max_event_bytes: int = 64 * 1024 * 1024) -> None:
        self.ignored: list[tuple[str, str]] = []
        self._limit = max_event_bytes
        self._begun = False  # the place of a byte order mark is behind us
        self._after_cr = False  # an LF now belongs to the CR that ended the last read
        self._line = bytearray()  # the unfinished line
        self._data: list[str] = []  # the unfinished event
        self._held = 0  # bytes of its lines
        self._type = ""
        self._retry: int | None = None
        self._id = ""
        self._failure: TooLarge | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that this read completes; an unfinished event is never among them. Raises `TooLarge`."""
        if self._failure is not None:
            raise self._failure
        if not self._begun:
            data = self._begin(data)
            if not self._begun:
                return []
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        end = data.rfind(b"\n") + 1
        if end == len(data) and not self._line:
            lines = data
        elif end:
            lines = bytes(self._line + data[:end])
            self._line[:] = data[end:]
        else:
            lines = b""
            self._line += data
        if self._held + len(lines) + len(self._line) > self._limit:
            lines = self._within_limit(lines)
        return self._events(lines)

    def close(self) -> list[ServerSentEvent]:
        """The event that the end of the stream left unfinished, if it has data: none or one. Raises `TooLarge`.

        The standard discards it. In a chat stream a `data` line at the end still counts, also where its newline is
        missing: services end with `data: [DONE]` and no blank line.
        """
        if self._failure is not None:
            raise self._failure
        lines = bytes(self._line) + b"\n\n"
        self._line.clear()
        return self._events(lines)

    def _begin(self, data: bytes) -> bytes:
        """Drop one byte order mark at the start of the stream, also cut over reads."""
        data = bytes(self._line) + data
        self._line.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._line += data
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _events(self, lines: bytes) -> list[ServerSentEvent]:
        """Interpret whole lines, all ended by LF."""
        events: list[ServerSentEvent] = []
        data = self._data
        # No UTF-8 sequence holds an LF, so the lines decoded together are the lines decoded each alone.
        text = lines.decode("utf-8", "replace").split("\n")
        text.pop()
        for line in text:
            if not line:
                if data:
                    whole = data[0] if len(data) == 1 else "\n".join(data)
                    events.append(ServerSentEvent(self._type or "message", whole, self._id, self._retry))
                    data.clear()
                self._type = ""
                self._retry = None
            elif line.startswith("data: "):
                data.append(line[6:])
            elif line.startswith("event: "):
                self._type = line[7:]
            elif line[0] != ":":
                self._field(line)

        if lines.endswith(b"\n\n"):
            self._held = 0
        elif lines:
            self._held = self._block(lines)
        if self._failure is not None and not events:
            raise self._failure
        return events

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry":
            if value.isascii() and value.isdigit() and len(value) <= _RETRY_DIGITS:
                self._retry = int(value)
        else:
            self.ignored.append((name[:_IGNORED_CHARACTERS], value[:_IGNORED_CHARACTERS]))
            del self.ignored[:-_IGNORED_LINES]

    def _block(self, lines: bytes) -> int:
        """The bytes of the block that these lines leave unfinished, since the last blank line."""
        blank = lines.rfind(b"\n\n")
        if blank >= 0:
            return len(lines) - blank - 2
        return len(lines) - 1 if lines[0] == 0x0A else self._held + len(lines)

    def _within_limit(self, lines: bytes) -> bytes:
        """The lines before the first one that takes its block past the limit; the failure is kept for later."""
        size = self._held
        end = 0
        for line in lines.split(b"\n")[:-1]:
            size = size + len(line) + 1 if line else 0
            if size > self._limit:
                break
            end += len(line) + 1
        else:
            if size + len(self._line) <= self._limit:
                return lines
        self._failure = TooLarge(
            f"One event of the stream passed {self._limit:,} bytes: the answer is cut here; "
            "raise the limit on its size if this is meant."
        )
        self._line.clear()
        return lines[:end]
