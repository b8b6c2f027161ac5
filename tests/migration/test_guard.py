"""Every rule of the guard and its edges, by exact moments."""

from __future__ import annotations

import math
from array import array
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holystream_nb.errors import (
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    HolystreamError,
    KeyRefused,
    NotAStream,
    RateLimited,
    ServiceUnavailable,
    SetupError,
    Stalled,
    StreamInterrupted,
    TooLarge,
    UnknownModel,
)
from holystream_nb.events import Usage
from holystream_nb.migration.guard import Finding, Guard, Watch, Window, outcome
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing

GUARD = Guard()


class Line:
    """A guard, its window, and a clock that a test sets."""

    def __init__(self, guard: Guard = GUARD) -> None:
        self.guard, self.window, self.watch = guard, Window(guard), Watch(guard)
        self.now = 0.0
        self.found: list[tuple[float, Finding]] = []

    def at(self, now: float, ttft_ms: float | None = None, how: str = "fine", waits: tuple[float, ...] = ()) -> Line:
        """A request that speaks and ends at that moment, and a look."""
        self.now = now
        if ttft_ms is not None:
            self.window.heard(now, ttft_ms)
        self.window.ended(now, how)
        return self.look(now, waits)

    def look(self, now: float, waits: tuple[float, ...] = ()) -> Line:
        self.found += [(now, finding) for finding in self.watch.judge(now, self.window, waits)]
        return self

    def kinds(self) -> list[tuple[float, str]]:
        return [(at, finding.kind) for at, finding in self.found]

    def every(self, step: float, until: float, ttft_ms: float | None, how: str = "fine") -> Line:
        """Requests at an even pace; ends where it is rolled back."""
        now = self.now
        while now + step <= until and (self.now, "rolled back") not in self.kinds():
            now += step
            self.at(now, ttft_ms, how)
        return self


def test_documents_figures_are_the_defaults() -> None:
    """004: p95 over 2,000 ms for 5 min, alert at 1,500; 5xx over 1 % over 10 min."""
    assert {field.name: getattr(GUARD, field.name) for field in fields(GUARD)} == {
        "p95_ttft_ms": 2000,
        "for_s": 300,
        "alert_ms": 1500,
        "error_rate": 0.01,
        "over_s": 600,
        "min_requests": 20,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"p95_ttft_ms": 0},
        {"for_s": -1},
        {"over_s": math.inf},
        {"min_requests": 0},
        {"error_rate": 1},
        {"error_rate": -0.1},
        {"alert_ms": 2001},
    ],
)
def test_a_guard_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    """The sentence names the field."""
    with pytest.raises(SetupError, match=next(iter(wrong))):
        Guard(**wrong)


# Latency


def test_slow_for_five_minutes_is_rolled_back_then_and_not_before() -> None:
    """A look exactly 300 s after the first one over the limit; the reason has the figures."""
    line = Line().every(1, 60, 500).every(1, 400, 2600)
    # 3 of the last 60 are 5 %: the fourth is the one too many, at 64 s
    assert line.kinds() == [(64, "alert"), (364, "rolled back")]
    assert line.found[-1][1].text == "p95 TTFT was over 2,000 ms for 300 s, and is 2,600 ms (60 requests)"


def test_exactly_at_the_limit_is_not_over_it() -> None:
    """2,000 ms are within, however long; the alert at 1,500 stands."""
    assert Line().every(1, 1000, 2000).kinds() == [(20, "alert")]
    assert Line().every(1, 1000, 1500).kinds() == []
    assert (320, "rolled back") in Line().every(1, 1000, 2000.1).kinds()


def test_a_break_starts_the_five_minutes_again() -> None:
    """p95 must be over the limit without a break."""
    line = Line().every(1, 290, 2600).every(1, 370, 500)
    assert line.kinds() == [(20, "alert"), (347, "recovered")]
    assert line.watch.over_since is None
    line.every(1, 671, 2600)
    assert (line.now, line.watch.over_since) == (671, 374)
    assert line.every(1, 700, 2600).kinds()[-1] == (674, "rolled back")


def test_what_has_recovered_is_not_rolled_back_for_its_past() -> None:
    """At four requests a minute the window is five minutes long: its slow ones last, but the newest are well."""
    line = Line().every(15, 300, 500).every(15, 390, 2600).every(15, 900, 500)
    assert [kind for _, kind in line.kinds()] == ["alert", "recovered"]


def test_under_min_requests_nothing_follows() -> None:
    """19 slow requests in five minutes say nothing; the 20th does."""
    line = Line()
    for at in range(19):
        line.at(at, 9000)
    assert line.window.figures(18).p95_ttft_ms is None
    assert line.kinds() == []
    assert line.at(19, 9000).kinds() == [(19, "alert")]


def test_one_slow_request_of_twenty_is_not_p95() -> None:
    """The 19th of 20 decides: two must be slow."""
    line = Line()
    for at in range(19):
        line.at(at, 100)
    assert line.at(19, 9000).window.figures(19).p95_ttft_ms == 100
    assert line.at(20, 9000).window.figures(20).p95_ttft_ms == 9000


def test_requests_leave_the_window_when_they_are_five_minutes_old() -> None:
    """At 299.9 s they are in it; at 300 they are out, and p95 is unknown again."""
    line = Line()
    for _ in range(20):
        line.at(0, 1000)
    assert line.look(299.9).window.figures(299.9).timed == 20
    assert line.window.figures(300).p95_ttft_ms is None


def test_busy_windows_are_a_fifth_as_long() -> None:
    """With enough requests p95 is of the last minute, so that it shows a recovery within one."""
    line = Line().every(1, 100, 9000).every(1, 156, 100)
    assert line.window.figures(156).p95_ttft_ms == 9000  # 4 of the last 60 are slow
    assert line.every(1, 157, 100).window.figures(157).p95_ttft_ms == 100


def test_an_alert_ends_at_nine_tenths() -> None:
    """About the limit there is one alert and not fifty."""
    line = Line(Guard(min_requests=1, for_s=5))
    for at, ttft in enumerate([1499, 1501, 1499, 1501, 1499, 1351, 1350, 1499, 1501]):
        line.at(2.0 * at, ttft)
    assert line.kinds() == [(2, "alert"), (12, "recovered"), (16, "alert")]
    assert line.found[0][1].text == "p95 TTFT is 1,501 ms, over 1,500 ms (1 requests)"


def test_who_never_got_a_first_token_is_slower_than_all() -> None:
    """+∞: more than 5 % of such requests are over any limit."""
    line = Line()
    for at in range(38):
        line.at(at, 100)
    for at in range(38, 40):
        line.at(at, math.inf)
    assert line.window.figures(39).p95_ttft_ms == 100
    line.at(40, math.inf)
    assert line.window.figures(40).p95_ttft_ms == math.inf
    assert line.found[-1][1].text.startswith("p95 TTFT is ∞ (no first token), over 1,500 ms")


def test_requests_that_still_wait_count_with_their_wait() -> None:
    """A service that hangs is noticed before anything times out; short waits say nothing yet."""
    line = Line()
    for at in range(38):
        line.at(at, 100)
    figures = line.window.figures(38, (1500, 1400, 10))
    assert (figures.p95_ttft_ms, figures.timed) == (100, 38)
    figures = line.window.figures(38, (1501, 4000, 4000))
    assert (figures.p95_ttft_ms, figures.timed) == (1501, 41)
    waits = (4000.0,) * 3
    line.look(40, waits).look(339, waits)
    assert line.kinds()[-1][1] != "rolled back"


def test_a_hanging_service_is_rolled_back_by_the_requests_that_wait() -> None:
    """Nothing ends, nothing speaks: each new request's look is enough."""
    line = Line(Guard(for_s=10, min_requests=5))
    for at in range(5):
        line.at(at, 100)
    for at in range(5, 16):
        line.look(at, tuple(1000.0 * (at - begun) for begun in range(5, at)))
    assert line.kinds() == [(7, "alert")]
    line.look(18, tuple(1000.0 * (18 - begun) for begun in range(5, 18)))
    assert line.kinds()[-1] == (18, "rolled back")


# Errors


def test_errors_over_one_percent_are_rolled_back_at_once() -> None:
    """Two of 199; two of 200 are exactly 1 %, and keep it."""
    line = Line()
    for at in range(198):
        line.at(at * 0.1, 100)
    line.at(20, 100, "Stalled")
    assert line.kinds() == []
    line.at(20.1, 100)
    assert line.at(20.2, 100, "ServiceUnavailable").kinds() == []
    short = Line()
    for at in range(197):
        short.at(at * 0.1, 100)
    short.at(20, 100, "Stalled").at(20.1, 100, "ServiceUnavailable")
    assert short.kinds() == [(20.1, "rolled back")]
    assert short.found[0][1].text == (
        "2 of 199 requests failed in 600 s (1.01 %, over 1 %): 1 Stalled, 1 ServiceUnavailable"
    )


def test_a_single_error_is_an_alert_and_no_verdict() -> None:
    """One of 20 is 5 %, and says nothing; it is over when one is no more than 1 %."""
    line = Line().every(1, 19, 100).at(20, 100, "ServiceUnavailable")
    assert line.kinds() == [(20, "alert")]
    assert line.every(1, 99, 100).kinds() == [(20, "alert")]
    assert line.at(100, 100).kinds() == [(20, "alert"), (100, "recovered")]


def test_all_failing_waits_for_min_requests() -> None:
    """19 failures of 19 say nothing, the 20th rolls back."""
    line = Line()
    for at in range(19):
        line.at(at, math.inf, "ConnectionFailed")
    assert line.kinds() == []
    assert line.at(19, math.inf, "ConnectionFailed").kinds() == [(19, "rolled back")]


def test_errors_leave_the_window_after_ten_minutes() -> None:
    """At 600 s the first of two is out, and one is not enough."""
    line = Line().at(0, 100, "Stalled")
    for at in range(580, 600):
        line.at(at, 100)
    assert line.window.figures(599.9).errors == 1
    assert line.window.figures(600).errors == 0
    assert line.at(600, 100, "Stalled").kinds()[-1][1] == "alert"


def test_refused_requests_are_no_errors_but_an_alert() -> None:
    """The new service may not take what the old one took: a human should know."""
    line = Line().every(1, 30, None, "refused")
    assert line.kinds() == [(20, "alert")]
    figures = line.window.figures(30)
    assert (figures.requests, figures.errors, figures.refused) == (30, 0, 30)
    assert "400, 413 or 422" in line.found[0][1].text


# What counts


def reply(error: HolystreamError | None = None, finish_reason: str = "stop", retries: int = 0) -> Reply:
    return Reply(
        text="",
        reasoning="",
        tool_calls=(),
        finish_reason=finish_reason,
        usage=Usage(),
        timing=Timing(submitted=0, reads=array("q"), retries=retries),
        cost=Cost(usd=None, cny=None, source="", as_of="", note="unknown", exact=False),
        model="m",
        provider="p",
        error=error,
    )


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnavailable,
        RateLimited,
        KeyRefused,
        UnknownModel,
        ConnectionFailed,
        StreamInterrupted,
        Stalled,
        NotAStream,
    ],
)
def test_what_the_service_is_to_blame_for_is_an_error(error: type[HolystreamError]) -> None:
    """5xx, 429, no connection, a stall; also a key or a model that the new side does not know."""
    assert outcome(reply(error("…"), "")) == error.__name__


@pytest.mark.parametrize("error", [SetupError, DeadlineExceeded, TooLarge])
def test_the_callers_own_limits_are_none(error: type[HolystreamError]) -> None:
    """What the caller set, the service did not break."""
    assert outcome(reply(error("…"), "")) == "fine"


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (reply(), "fine"),
        (reply(finish_reason="length"), "fine"),
        (reply(finish_reason="stopped"), "fine"),
        (reply(finish_reason="truncated"), "truncated"),
        (reply(finish_reason="insufficient_system_resource"), "insufficient_system_resource"),
        (reply(finish_reason="content_filter"), "fine"),
        (reply(retries=1), "retried"),
        (reply(BadRequest("…"), "", retries=1), "refused"),
    ],
)
def test_how_other_requests_ended(made: Reply, word: str) -> None:
    """A stop is no error, an unfinished answer is one, and so is one that only a retry rescued."""
    assert outcome(made) == word


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(1, 5000)), min_size=1, max_size=120))
def test_the_window_is_what_its_definition_says(steps: list[tuple[float, float]]) -> None:
    """Against the definition, taken literally: the last fifth, or the latest min_requests within for_s."""
    guard = Guard(for_s=100, min_requests=5)
    window, now, all_of_them = Window(guard), 0.0, []
    for step, ttft in steps:
        now += step
        window.heard(now, ttft)
        all_of_them.append((now, ttft))
        young = [(at, value) for at, value in all_of_them if now - at < 100]
        recent = [value for at, value in young if now - at < 20]
        held = recent if len(recent) >= 5 else [value for _, value in young[-5:]]
        wanted = sorted(held)[math.ceil(0.95 * len(held)) - 1] if len(held) >= 5 else None
        assert window.figures(now).p95_ttft_ms == wanted
