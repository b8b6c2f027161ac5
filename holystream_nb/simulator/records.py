"""What truly happened, and when: one record a request, by `time.perf_counter_ns` (one clock for a whole machine)."""

from __future__ import annotations

import time
import uuid
from array import array
from collections import OrderedDict
from typing import Any

KINDS = ("start", "role", "text", "reasoning", "tool", "finish", "usage", "done", "other")
_CODES = {kind: code for code, kind in enumerate(KINDS)}


class Record:
    """The times of one request, or of one turn on a socket (whose method is WS), in ns.

    `sent_ns[i]` is taken right before event i, of `kinds[i]`, is handed to the socket; events in one write share a
    stamp, an event in several writes has the stamp of the last. `received_ns` is when the request was there, body and
    all, from which its latencies count; `request_bytes` is the size of that body, or of the message that asked for a
    turn. `outcome` is running, complete, refused (an error, or
    no chat completion), redirected, cut, reset, dropped, ended (cleanly, but early), closed (with a close frame that
    was asked for), failed (with an error in the stream), cancelled or disconnected (by the client), upgraded (a
    handshake, or a POST that was offered a socket), or broken (a defect of the simulator). `session` is the id of the
    handshake's record for a turn, and a request's own `X-Session-ID`.
    """

    def __init__(self, method: str, path: str, host: str, has_key: bool) -> None:
        self.id = f"req_{uuid.uuid4().hex}"
        self.method, self.path, self.host, self.has_key = method, path, host, has_key
        self.session = ""
        self.model = ""
        self.stream = False
        self.status: int | None = None
        self.outcome = "running"
        self.received_ns = time.perf_counter_ns()
        self.request_bytes = 0
        self.head_ns: int | None = None
        self.body_end_ns: int | None = None
        self.disconnected_ns: int | None = None
        self.sent_ns = array("q")
        self.kinds = bytearray()

    def received(self, size: int) -> None:
        """The whole request, of so many bytes, has arrived now."""
        self.received_ns, self.request_bytes = time.perf_counter_ns(), size

    def head(self, status: int) -> None:
        """The response head is handed to the socket now."""
        self.status = status
        self.head_ns = time.perf_counter_ns()

    def sent(self, kinds: tuple[str, ...]) -> None:
        """Events of these kinds are handed to the socket now."""
        now = time.perf_counter_ns()
        for kind in kinds:
            self.sent_ns.append(now)
            self.kinds.append(_CODES[kind])

    def ended(self, outcome: str) -> None:
        """The body ends now, in this way."""
        self.body_end_ns = time.perf_counter_ns()
        self.outcome = outcome

    def disconnected(self) -> None:
        """The client has gone, before the end."""
        self.disconnected_ns = time.perf_counter_ns()
        self.outcome = "disconnected"

    def summary(self) -> dict[str, Any]:
        """Everything but the stamps of the events."""
        asked = ("id", "method", "path", "host", "has_key", "session", "model", "stream")
        names = (*asked, "status", "outcome", "received_ns", "request_bytes")
        return {**{name: getattr(self, name) for name in names}, "events": len(self.sent_ns)}

    def full(self) -> dict[str, Any]:
        """All of it."""
        return {
            **self.summary(),
            "head_ns": self.head_ns,
            "sent_ns": self.sent_ns.tolist(),
            "kinds": [KINDS[code] for code in self.kinds],
            "body_end_ns": self.body_end_ns,
            "disconnected_ns": self.disconnected_ns,
        }


class Records:
    """The last requests: at most `most` of them, and fewer when they hold more than `most_stamps` events together."""

    def __init__(self, most: int = 1000, most_stamps: int = 5_000_000) -> None:
        self._most, self._most_stamps = most, most_stamps
        self._kept: OrderedDict[str, Record] = OrderedDict()
        self.active: set[str] = set()
        """Ids of the chat answers and turns that run now."""
        self.sockets: set[str] = set()
        """Ids of the handshakes whose sockets are open now."""

    def open(self, method: str, path: str, host: str, has_key: bool) -> Record:
        """A new record; the oldest finished ones go if there are too many."""
        record = Record(method, path, host, has_key)
        self._kept[record.id] = record
        stamps = sum(len(each.sent_ns) for each in self._kept.values())
        for old in list(self._kept.values()):
            if len(self._kept) <= self._most and stamps <= self._most_stamps:
                break
            if old.outcome != "running":
                stamps -= len(old.sent_ns)
                del self._kept[old.id]
        return record

    def get(self, request_id: str) -> Record | None:
        """The record of a request, or of the response with this id on a socket, if it is still kept."""
        return self._kept.get(request_id.replace("resp_", "req_"))

    def newest(self, most: int = 100) -> list[Record]:
        """The newest records, newest first."""
        return list(reversed(self._kept.values()))[:most]
