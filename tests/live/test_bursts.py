"""What a view, a file and a terminal say of an answer that arrived in bursts, over a real loopback socket."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holystream_nb import Client
from holystream_nb.live.lane import Lane
from holystream_nb.live.saved import bundle, status_line
from holystream_nb.live.terminal import print_lanes

SAID = (
    "arrived in bursts of about 40 events: a proxy may be buffering "
    "(nginx: proxy_buffering off; or the answer's header X-Accel-Buffering: no; HAProxy: option http-no-delay)"
)


@contextmanager
def held(writes: int, events: int, pause: float) -> Iterator[str]:
    """The address of a service whose events a proxy keeps until it has so many."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            chunk = {"choices": [{"index": 0, "delta": {"content": "x "}, "finish_reason": None}]}
            with contextlib.suppress(ConnectionError):
                for _ in range(writes):
                    time.sleep(pause)
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode() * events)
                chunk["choices"][0] |= {"delta": {}, "finish_reason": "stop"}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def ended(url: str, label: str = "m") -> Lane:
    async with Client("ollama", base_url=url) as client:
        lane = Lane(client.stream("Hello", model="m"), label=label, provider="ollama")
        await print_lanes([lane])
    return lane


@pytest.mark.slow
async def test_bursts_are_said_in_the_view_in_the_file_and_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence after the figures, with the line that mends it; the record of several has it below the table."""
    with held(writes=4, events=40, pause=0.15) as url:
        lane = await ended(url)
    assert lane.reply.timing.events_per_read == pytest.approx(40)
    assert lane.status()["figures"][-1] == SAID
    assert capsys.readouterr().out.endswith(f"{SAID}]\n")
    data, _ = bundle([lane])
    assert SAID in data["text/plain"]
    assert "arrived in bursts of about 40 events" in data["text/markdown"]
    with held(writes=4, events=1, pause=0.01) as url:
        smooth = await ended(url, "smooth")
    data, _ = bundle([lane, smooth])
    table, _, below = data["text/markdown"].partition("| smooth |")
    assert "bursts" not in table
    assert "*m arrived in bursts" in below
    assert data["text/plain"].count("bursts") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("events", "pause"), [(40, 0.02), (3, 0.12)], ids=["fast", "a few at a time"])
async def test_nothing_is_said_of_an_answer_that_is_fast_or_sends_a_few_at_a_time(events: int, pause: float) -> None:
    """Neither is buffered."""
    with held(writes=5, events=events, pause=pause) as url:
        lane = await ended(url)
    assert "bursts" not in status_line(lane)
