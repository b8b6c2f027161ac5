"""How a run stands: the tally, and the plain views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from IPython.core.interactiveshell import InteractiveShell

from holystream_nb.measuring.running import progress
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.estimate import estimate
from holystream_nb.measuring.running.progress import Place, line, rows, shown, view
from holystream_nb.measuring.running.tally import Tally
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Lost, Trial, Warmup
from holystream_nb.money.amount import show_in

Make = Callable[..., Trial]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def plan(models: tuple[str, ...] = ("simulator:a", "simulator:b")) -> Plan:
    return Plan(models=models, prompts=("Hello",), repeats=4)


def test_a_model_shows_its_medians_and_failures(trial: Make) -> None:
    """Done, failed, median TTFT and decode rate of what has come, per model; dashes before."""
    tally = Tally(plan())
    for ttft in (100, 300, 200):
        tally.add(trial(ttft=ttft, gaps=(20, 20)))
    tally.add(trial(error="RateLimited", usd=None))
    assert rows(tally) == [["simulator:a", "4 of 4", "1", "200", "50.0"], ["simulator:b", "0 of 4", "0", "–", "–"]]


def test_the_figures_are_those_of_a_result(trial: Make) -> None:
    """With its digits, and without what a failed request had got before it broke."""
    tally = Tally(plan())
    tally.add(trial(ttft=68.12, gaps=(2.376, 2.376)))
    broken = trial(ttft=999, gaps=(1, 1))
    tally.add(msgspec.structs.replace(broken, error="StreamInterrupted"))
    assert rows(tally)[0] == ["simulator:a", "2 of 4", "1", "68.1", "421"]


def test_the_line_has_state_cost_and_time_left(trial: Make) -> None:
    """Two of eight in 10 s since the first, one of them in the 10 s after it: 60 s are left."""
    clock = Clock()
    tally = Tally(plan(), clock=clock)
    assert line(tally).startswith("warming up · 0 of 8")
    clock.now = 2
    tally.add(trial(usd=Decimal("0.01"), price_note=""))
    clock.now = 12
    tally.add(trial("simulator:b", usd=Decimal("0.02"), price_note=""))
    assert line(tally) == "running · 2 of 8 · $0.03 · 12 s, about 60 s left"


def test_the_line_keeps_what_is_paid_apart_from_what_is_not(trial: Make) -> None:
    """A run of a service and the simulator has two sums; a run of the simulator one, which says so."""
    tally = Tally(plan())
    tally.add(trial(usd=Decimal("0.0002"), price_note="simulated"))
    assert " · $0.00020 (simulated) · " in line(tally)
    tally.add(trial("simulator:b", usd=Decimal("0.02"), price_note=""))
    assert " · $0.02 and $0.00020 (simulated) · " in line(tally)


def test_amounts_are_in_the_readers_currency(trial: Make) -> None:
    """Yuan at the seller's rate, where that is known; and what was lost is known in dollars alone."""
    tally = Tally(plan())
    show_in("CNY")
    try:
        tally.add(trial(usd=Decimal("0.01"), cny=Decimal("0.072"), price_note=""))
        assert " · ¥0.072 · " in line(tally)
        tally.add(trial(usd=Decimal("0.01"), cny=Decimal("0.072"), stated_usd=Decimal("0.02"), price_note=""))
        assert " · ¥0.216 · " in line(tally) or " · ¥0.22 · " in line(tally)
        assert "¥" in str(estimate(plan(models=("holysheep:gpt-4.1",)), 1))
        tally.add(Lost(model="simulator:a", prompt=0, repeat=3, usd=Decimal("0.01")))
        assert " · $0.04 · " in line(tally)
    finally:
        show_in("USD")


def test_sums_are_exact_in_whatever_context(trial: Make) -> None:
    """A caller who reckons with two digits gets no sum of two digits."""
    tally, budget = Tally(plan()), Budget(Decimal("0.5"), [Decimal("0.0123456")])
    with localcontext(Context(prec=2)):
        for _ in range(3):
            tally.add(trial(usd=Decimal("0.0123456"), price_note=""))
            budget.reserve(0)
            budget.settle(0, Decimal("0.0123456"))
        expected = estimate(plan(models=("holysheep:gpt-4.1",)), 1)
    assert tally.paid is not None
    assert (tally.paid.usd, budget.spent, budget.left) == (
        Decimal("0.0370368"),
        Decimal("0.0370368"),
        Decimal("0.4629632"),
    )
    assert expected.usd == estimate(plan(models=("holysheep:gpt-4.1",)), 1).usd


def test_what_an_earlier_session_made_does_not_set_the_pace(trial: Make) -> None:
    """A resumed run counts what is there, and judges the time left by what comes now."""
    clock = Clock()
    tally = Tally(plan(), clock=clock)
    for _ in range(4):
        tally.add(trial())
    tally.resume()
    assert (tally.done, tally.left_s, tally.state) == (4, None, "warming up")
    clock.now = 5
    tally.add(trial("simulator:b"))
    clock.now = 7
    tally.add(trial("simulator:b"))
    assert tally.left_s == 4


def test_a_warm_up_costs_but_does_not_count(trial: Make) -> None:
    """It is paid for, and in no figure."""
    tally = Tally(plan())
    tally.add(Warmup(**{name: getattr(trial(), name) for name in Trial.__struct_fields__}))
    assert (tally.done, tally.paid and tally.paid.usd, tally.warmups) == (0, Decimal("0.001"), 1)


def test_an_unknown_cost_is_unknown(trial: Make) -> None:
    """One price nobody knows makes the sum unknown, and not smaller."""
    tally = Tally(plan())
    tally.add(trial())
    tally.add(trial("simulator:b", usd=None, price_note="unknown"))
    assert "cost unknown" in line(tally)


def test_a_path_that_stays_in_a_notebook_names_no_home() -> None:
    """Below the home folder it begins with ~; a path given by hand stays as it is."""
    assert shown(Path.home() / "a" / "run.jsonl") == "~/a/run.jsonl"
    assert shown(Path("runs/run.jsonl")) == "runs/run.jsonl"


def test_a_terminal_gets_text(trial: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside a notebook: what will be done, and how it ended, with the way back to the file."""
    tally = Tally(plan())
    screen = view(Path("run.jsonl"))
    screen.begin(tally, estimate(plan(), 1), lambda: None)
    tally.add(trial())
    screen.update()
    screen.end("cancelled")
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("simulator:a, simulator:b: 8 requests and 2 warm-ups")
    assert last.startswith("stopped; what is there is kept · 1 of 8")
    assert last.endswith("hs.load('run.jsonl')")


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_the_runs_of_a_search_are_one_output(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replaces the one before; a run of its own has its own."""
    monkeypatch.setattr(progress, "screen", lambda: "file")
    published: list[tuple[str, bool]] = []

    def publish(data: object, metadata: object = None, **more: Any) -> None:
        published.append((more["transient"]["display_id"], more.get("update", False)))

    monkeypatch.setattr(shell.display_pub, "publish", publish)

    def made() -> None:
        screen = view(Path("run.jsonl"))
        screen.begin(Tally(plan()), estimate(plan(), 1), lambda: None)
        screen.end("complete")

    place = Place()
    for _ in range(2):
        with place:
            made()
    assert len({name for name, _ in published}) == 1
    assert [is_update for _, is_update in published] == [False, True, True, True]
    made()
    assert len({name for name, _ in published}) == 2
