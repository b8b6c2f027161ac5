"""The network's own round trip: measured beside a run over real sockets, kept in its file, and taken from TTFT."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from holystream_nb.measuring.figures.network import net_ms
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.journal import read
from holystream_nb.measuring.values.record import Contents, Trial, Trip, Unknown, decode, encoder
from holystream_nb.wire.certificates import VARIABLES
from holystream_nb.wire.trip import round_trip

MS = 1_000_000
Run = Callable[..., Awaitable[Result]]
Made = Callable[..., Trial]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def tripped(made: Result, *trips: Trip) -> Result:
    """The same result with round trips."""
    old = made.contents
    again = Contents(old.header, old.sessions, old.trials, old.warmups, None, old.ends, old.torn, trips)
    return Result(again, made.path)


def trip(tcp_ms: float | None, provider: str = "simulator", **more: str) -> Trip:
    return Trip(provider, 0, 0, None if tcp_ms is None else round(tcp_ms * MS), **more)


async def test_round_trips_are_measured_beside_a_run_and_kept(run: Run, tmp_path: Path) -> None:
    """They are in its file, and the figures are there when it is loaded."""
    made = await run(repeats=6)
    contents = read(tmp_path / "run.jsonl")
    assert contents.torn == 0
    assert [(each.provider, each.via, each.error) for each in contents.trips[:1]] == [("simulator", "", "")]
    assert contents.trips[0].tcp is not None
    assert contents.trips[0].tls is None
    frame = made.trials
    assert (frame["ttft_net_ms"] < frame["ttft_ms"]).all()
    assert made.cells["simulator:gpt-4.1#tokens=5"]["round_trip_p50_ms"].value == pytest.approx(
        contents.trips[0].tcp / 1e6, rel=20
    )


def test_a_distance_that_changes_nothing_has_no_row(trial: Made, result: Callable[..., Result]) -> None:
    """A table shows TTFT net of a round trip where that is another number; `summary()` has it always."""
    made = result(*(trial(repeat=i, ttft=300 + i) for i in range(6)))
    far, near = tripped(made, trip(90.0)), tripped(made, trip(0.09))
    assert "| TTFT p50, net of one round trip (ms) | 21" in far.to_markdown()
    assert "round trip" not in near.to_markdown()
    assert near.summary()["round_trip_p50_ms"].tolist() == [0.09]


async def test_a_trial_says_what_its_new_connection_took(run: Run) -> None:
    """Without `reuse` each has one of its own; on a kept connection there is nothing to say."""
    fresh = await run(repeats=3, reuse=False)
    assert fresh.trials["tcp_ms"].notna().all()
    assert fresh.trials["dns_ms"].isna().all()  # 127.0.0.1 is no name
    trial = fresh.records[0]
    parts = trial.timing.parts
    assert parts.total_ms == pytest.approx((trial.timing.connect_ms or 0) + (trial.timing.e2e_s or 0) * 1e3)
    assert parts.send_ms is not None


async def test_a_kept_connection_has_no_parts_of_opening(run: Run) -> None:
    """Its warm-up opened it."""
    kept = await run(repeats=3)
    assert kept.trials["tcp_ms"].isna().all()
    assert kept.warmups["tcp_ms"].notna().all()


async def test_tls_is_a_round_trip_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same trust as requests have; where it fails, that is said, and the connection's time is kept."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(side)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=side)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        trusted = await round_trip(url, {"ca": str(tmp_path / "authority.pem")})
        stranger = await round_trip(url, {})
    assert trusted.tcp is not None
    assert trusted.tls is not None
    assert trusted.error == ""
    assert (stranger.tcp is None, stranger.tls, stranger.error) == (False, None, "SSLCertVerificationError")


async def test_behind_a_proxy_only_the_way_to_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name says so, and nothing is asked of the proxy."""
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        took = await round_trip("https://api.example/v1", {})
        for _ in range(100):
            if heard:
                break
            await asyncio.sleep(0.01)
    assert (took.via, took.tls, took.error) == ("proxy", None, "")
    assert took.tcp is not None
    assert heard == [b""]


async def test_a_busy_loop_is_not_taken_for_the_network() -> None:
    """The kernel's loop draws: what it does meanwhile does not lengthen the round trip."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        asked = asyncio.ensure_future(round_trip(url, {}))
        while not asked.done():
            time.sleep(0.1)  # noqa: ASYNC251  # the loop is to be held up
            await asyncio.sleep(0)
    took = asked.result()
    assert took.tcp is not None
    assert took.tcp < 90 * MS


def test_ttft_net_takes_off_the_providers_own_median(trial: Made, result: Callable[..., Result]) -> None:
    """Of several measured, one lost: 300 − 40; a provider that was not measured has none."""
    made = result(trial("simulator:a"), trial("openai:b", prompt=0))
    with_trips = tripped(made, trip(40), trip(30), trip(500), trip(None, error="TimeoutError"))
    frame = with_trips.trials.set_index("model")
    assert frame.loc["simulator:a", "ttft_net_ms"] == pytest.approx(260)
    assert frame["ttft_net_ms"].isna()["openai:b"]
    assert with_trips.cells["simulator:a"]["ttft_net_p50_ms"].value == pytest.approx(260)
    assert with_trips.cells["openai:b"]["round_trip_p50_ms"].value is None
    assert any("1 of 4 round trips to simulator failed" in note for note in with_trips.notes)


def test_a_round_trip_to_a_proxy_is_not_taken_off(trial: Made, result: Callable[..., Result]) -> None:
    """It is not the way to the service; a note says so."""
    made = tripped(result(trial("simulator:a")), trip(40, via="proxy"))
    assert made.trials["ttft_net_ms"].isna().all()
    assert any("goes through a proxy" in note for note in made.notes)


def test_net_is_never_below_nothing() -> None:
    """An answer out of a cache at the edge may be faster than the median round trip."""
    assert net_ms(10.0, 12.0) == 0.0
    assert net_ms(None, 12.0) is None
    assert net_ms(10.0, None) is None


def test_a_line_of_a_later_version_is_not_torn() -> None:
    """It is left out; a line of a kind that is known, and is not whole, is torn as before."""
    assert decode(b'{"kind":"weather","rain":1}') == Unknown("weather")
    assert decode(b'{"kind":"trip"}') is None
    assert decode(b'{"kind":"tri') is None
    assert decode(encoder.encode(trip(1))) == trip(1)
