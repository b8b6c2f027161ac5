"""Runs that were saved: listed, compared with one another, put together."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.figures.statistics import share
from holystream_nb.measuring.figures.unpaired import difference, subtracted_share
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.runs import compare_runs, merge, runs
from holystream_nb.measuring.values.journal import Log
from holystream_nb.measuring.values.record import End, Lost, Trial, encoder

from .conftest import session

Make = Callable[..., Trial]
Save = Callable[..., Result]


@pytest.fixture
def saved(trial: Make, result: Callable[..., Result], tmp_path: Path) -> Save:
    """A run by hand, in a file: TTFTs in ms, one a repeat of each prompt."""

    def save(name: str, *ttfts: float, seed: int = 0, prompts: int = 1, begun: int = 0, failed: int = 0) -> Result:
        trials = [
            trial(prompt=prompt, repeat=i, ttft=ttft, error="TimedOut" if i < failed else "")
            for prompt in range(prompts)
            for i, ttft in enumerate(ttfts)
        ]
        started = f"2026-11-{20 + begun:02}T00:00:00+00:00"
        own = msgspec.structs.replace(session(), wall_ns=begun, started=started)
        plan = {"repeats": len(ttfts), "seed": seed, "prompts": tuple(f"p{i}" for i in range(prompts))}
        made = result(*trials, sessions=(own,), **plan)
        log = Log(tmp_path / name)
        for line in (made.contents.header, *trials):
            log.write(line)
        log.close()
        return Result(made.contents, tmp_path / name)

    return save


SHAPES: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "log-normal": lambda rng, n: rng.lognormal(5.7, 0.24, n),
    "very skewed": lambda rng, n: rng.lognormal(5.7, 0.8, n),
    "tied": lambda rng, n: np.round(rng.lognormal(1.0, 0.24, n)),
    "two modes": lambda rng, n: np.where(rng.random(n) < 0.3, rng.normal(900, 30, n), rng.normal(300, 30, n)),
}
SIZES = [(0.5, 8, 8), (0.5, 10, 60), (0.5, 100, 100), (0.95, 72, 72), (0.95, 80, 300)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("p", "n", "m"), SIZES)
def test_the_interval_of_a_difference_covers_what_it_claims(shape: str, p: float, n: int, m: int) -> None:
    """1,000 pairs of independent samples of one distribution, the second 1.2 times as slow: 94 % or more hold it."""
    draw = SHAPES[shape]
    rng = np.random.default_rng(7)
    many = draw(rng, 2_000_001)
    truth = float(np.quantile(1.2 * many, p) - np.quantile(many, p))
    held = 0
    for _ in range(1000):
        found = difference(draw(rng, n), 1.2 * draw(rng, m), p)
        assert found.low is not None
        assert found.high is not None
        held += found.low - 1e-9 <= truth <= found.high + 1e-9
    assert held >= 940


@pytest.mark.slow
def test_the_difference_of_two_shares_covers_too() -> None:
    """1,000 pairs of runs with 1 % and 5 % failures."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        found = subtracted_share(share(int(rng.binomial(80, 0.01)), 80), share(int(rng.binomial(200, 0.05)), 200))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 4 <= found.high
    assert held >= 940


def test_a_small_sample_has_a_difference_and_no_verdict() -> None:
    """Five against five: the value stands without an interval."""
    found = difference([1, 2, 3, 4, 5], [11, 12, 13, 14, 15])
    assert (found.value, found.low, found.high) == (10, None, None)
    assert str(found) == "10.0*"


def test_a_later_run_is_better_or_worse_only_by_its_interval(saved: Save) -> None:
    """100 ms less is better, 300 ms to 305 shows nothing, and the notes say for what it holds."""
    before = saved("a.jsonl", *range(300, 340), begun=1)
    after = saved("b.jsonl", *range(200, 240), begun=2)
    found = compare_runs(before.path, after.path)
    table = found.table().set_index("figure")
    assert table.loc["TTFT p50 (ms)", ["before", "after", "difference", "verdict"]].tolist() == [
        319.5, 219.5, -100, "better",
    ]  # fmt: skip
    assert table.loc["TTFT p95 (ms)", "verdict"] == "no interval at this size"
    assert table.loc["error rate (%)", "verdict"] == "no difference shown"
    assert re.search(r"TTFT p50 \(ms\) +320 +220 +-100 \(-\d+ to -[\d.]+\) +better\n", str(found))
    assert re.search(r"TTFT p95 \(ms\) +337 +237 +-100\* +no interval at this size\n", str(found))
    assert r"| TTFT p50 (ms) | 320 | 220 | \-100 (" in found._repr_markdown_()
    assert "Differences are after (2026-" in str(found)
    first = str(found).splitlines()[0]
    assert re.fullmatch(
        r"a: better in TTFT p50 by -100 \(-\d+ to -[\d.]+\) ms, E2E p50 by -0.100 \(.+\) s; no difference shown in "
        r"TPOT p50, decode rate p50, error rate; too few requests for TTFT p95, E2E p95, TPOT p95 \(40 of 72\)\.",
        first,
    )
    assert found.sentences == (first,)
    assert "1 prompt that both runs asked" in str(found)
    assert before.against(after).table().set_index("figure").loc["TTFT p50 (ms)", "verdict"] == "worse"
    same = saved("c.jsonl", *range(305, 345), begun=3)
    assert same.against(before).table().set_index("figure").loc["TTFT p50 (ms)", "verdict"] == "no difference shown"


def test_runs_are_compared_by_the_percentiles_that_each_shows(
    burst: Callable[..., list[Trial]], result: Callable[..., Result]
) -> None:
    """Those of the steady part: with the burst in which all users begin, the p95 of both was 900 ms."""
    before, after = (result(*burst("simulator:a", ttft), concurrency=8) for ttft in (300, 100))
    row = after.against(before).table().set_index("figure").loc["TTFT p95 (ms)"]
    assert [row.before, row.after] == [each.summary().ttft_p95_ms.iloc[0] for each in (before, after)]
    assert (row.before < 320, row.verdict) == (True, "better")


def test_what_came_out_is_a_sentence_for_each_model(trial: Make, result: Callable[..., Result]) -> None:
    """Above the table, the worse first, also in a notebook, where a model's name is only text."""
    names = ("simulator:<b>a|b</b>", "simulator:b")

    def made(*ttfts: float) -> Result:
        return result(*(trial(name, repeat=i, ttft=ttft) for name in names for i, ttft in enumerate(ttfts)), repeats=8)

    found = made(*range(400, 408)).against(made(*range(300, 308)))
    assert [each.partition(" by ")[0] for each in found.sentences] == [
        "<b>a|b</b>: worse in TTFT p50",
        "b: worse in TTFT p50",
    ]
    written = found._repr_markdown_()
    assert written.index("worse in TTFT p50") < written.index("| --- |")
    assert "<b>" not in written
    assert all(each.count("|") - each.count(r"\|") in (0, 6) for each in written.splitlines())


def test_medians_are_compared_by_prompt_where_there_are_six(saved: Save) -> None:
    """Eight prompts: the median of their eight differences, whose interval is the prompts'."""
    before = saved("a.jsonl", 300, 310, prompts=8, begun=1)
    row = saved("b.jsonl", 290, 300, prompts=8, begun=2).against(before).table().iloc[0]
    assert (row.method, row.difference, row.low, row.high, row.verdict) == ("by prompt", -10, -10, -10, "better")


def test_a_proxy_in_one_of_two_runs_is_said(trial: Make, result: Callable[..., Result]) -> None:
    """Its bursts make TTFT longer, and the service is the same."""
    held = result(*(trial(repeat=i, ttft=400, gaps=(140,) * 5, events=[14] * 6) for i in range(8)))
    free = result(*(trial(repeat=i, ttft=265, gaps=(10,) * 80) for i in range(8)))
    assert any(
        note.startswith("Before: WARNING: 8 of 8 answers of a came in bursts") for note in free.against(held).notes
    )
    assert not any("bursts" in note for note in free.against(free).notes)


def test_nonsense_is_refused_and_another_load_is_said(saved: Save, tmp_path: Path) -> None:
    """Other prompts say nothing about a service; another concurrency is a warning above all."""
    one, two = saved("a.jsonl", 300), saved("b.jsonl", 300, prompts=2, begun=1)
    with pytest.raises(SetupError, match=r"different prompts \(a.jsonl, b.jsonl\)"):
        compare_runs(one, two)
    plan = msgspec.structs.replace(one.plan, concurrency=4)
    other = Result(
        msgspec.structs.replace(one.contents, header=msgspec.structs.replace(one.contents.header, plan=plan)), one.path
    )
    warning = "WARNING: not the same question: concurrency 1 before, 4 after."
    assert other.against(one).notes[0] == warning
    assert str(other.against(one)).splitlines()[0] == warning
    assert str(other.against(one)).count(warning) == 1
    moved = msgspec.structs.replace(session(), addresses={"simulator": "http://127.0.0.1:2/v1"})
    elsewhere = Result(msgspec.structs.replace(one.contents, sessions=(moved,)), one.path)
    assert "simulator was asked at http://127.0.0.1:1/v1 before, http://127.0.0.1:2/v1 after." in str(
        elsewhere.against(one)
    )
    with pytest.raises(SetupError, match="give a Result, or its file"):
        compare_runs(one, 3)  # type: ignore[arg-type]


def test_runs_are_listed_newest_first_and_loaded_by_number(saved: Save, tmp_path: Path) -> None:
    """What each cost and what is missing; a file that is none of ours is listed with a reason, and stops nothing."""
    saved("old.jsonl", 300, 310, begun=1, failed=1)
    saved("new.jsonl", 200, begun=2)
    (tmp_path / "foreign.jsonl").write_text("{}\n")
    found = runs(tmp_path)
    table = found.table()
    assert [Path(file).name for file in table.file] == ["new.jsonl", "old.jsonl", "foreign.jsonl"]
    assert table.n.tolist() == [1, 2, 0]
    assert table.failed.tolist() == [0, 1, 0]
    assert table.cost_usd.tolist() == [Decimal("0.001"), Decimal("0.002"), Decimal(0)]
    assert found[0].records[0].timing.ttft_ms == 200
    assert "[1]" in repr(found)
    assert "foreign.jsonl" in repr(found)
    assert len(max(repr(found).splitlines(), key=len)) < 120 + len(str(tmp_path))
    assert "cannot be read" in repr(found)
    (tmp_path / "empty").mkdir()
    assert repr(runs(tmp_path / "empty")) == f"No run is saved in {tmp_path / 'empty'}."


def test_a_run_that_goes_on_is_told_from_a_killed_one(saved: Save, tmp_path: Path) -> None:
    """By its file's lock, which ends with its process; each that is not there yet is to go, or missing."""
    made = saved("a.jsonl", 300, 310)
    killed = msgspec.structs.replace(made.contents.header, plan=msgspec.structs.replace(made.plan, repeats=5))
    for name in ("killed.jsonl", "running.jsonl"):
        (tmp_path / name).write_bytes(b"\n".join(map(encoder.encode, (killed, *made.records))) + b"\n")
    log = Log(tmp_path / "running.jsonl", locked=True)
    notes = {saved.path.name: saved.note for saved in runs(tmp_path).saved}
    assert notes == {"a.jsonl": "", "killed.jsonl": "3 missing", "running.jsonl": "running, 3 to go"}
    log.write(End(session=0, reason="stopped"))
    assert "3 missing, stopped" in repr(runs(tmp_path))
    log.write(msgspec.structs.replace(session(1), started="2026-11-21T00:00:00+00:00"))
    assert "running, 3 to go\n" in repr(runs(tmp_path))
    log.close()
    assert {saved.note for saved in runs(tmp_path).saved} == {"", "3 missing"}


def test_a_folder_of_any_runs_is_no_sweep(trial: Make, result: Callable[..., Result], tmp_path: Path) -> None:
    """One of two models was taken for a level of load, whose table was a traceback."""
    made = result(trial("simulator:a"), trial("simulator:b"))
    (tmp_path / "mine").mkdir()
    log = Log(tmp_path / "mine" / "x.jsonl")
    for line in (made.contents.header, *made.records):
        log.write(line)
    log.close()
    (only,) = runs(tmp_path).saved
    assert only.note == "folder of 1 run"
    with pytest.raises(SetupError, match=r"mine are no sweep: load them one by one, as hs\.runs lists them"):
        load(only.path)


def test_in_a_notebook_runs_are_a_table(saved: Save, tmp_path: Path) -> None:
    """Of text alone, that breaks between cells where the page is narrow."""
    saved("a.jsonl", 100, 110)
    (tmp_path / "<b>.jsonl").write_text("nothing")
    shown = runs(tmp_path)._repr_html_()
    assert "<td>simulator:a</td><td>2</td><td>0</td>" in shown
    assert "<td>&lt;b&gt;.jsonl</td>" in shown
    assert "runs[0] loads the first" in shown


def test_what_was_lost_in_flight_counts_in_the_list(saved: Save, tmp_path: Path) -> None:
    """As in the run's own line and its budget: a list that says less would contradict them."""
    made = saved("a.jsonl", 300)
    with made.path.open("ab") as file:
        file.write(encoder.encode(Lost(model="simulator:a", prompt=0, repeat=1, usd=Decimal("0.5"))) + b"\n")
    (only,) = runs(tmp_path).saved
    assert only.cost_usd == load(made.path).contents.spent == Decimal("0.501")


def test_the_users_own_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was measured yet it says so."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert repr(runs()).startswith("No run is saved in ")


def test_runs_of_one_plan_are_one_result(saved: Save, tmp_path: Path) -> None:
    """Sittings and seeds stay apart, a copy counts once, and the whole can be written and loaded."""
    one, two = saved("a.jsonl", 300, 310, begun=1, seed=1), saved("b.jsonl", 400, begun=2, seed=2)
    whole = merge([one, two, one.path], path=tmp_path / "whole.jsonl")
    assert (whole.plan.repeats, len(whole.records), whole.missing, len(whole.sessions)) == (3, 3, 0, 2)
    assert sorted((trial.repeat, trial.session) for trial in whole.records) == [(0, 0), (1, 0), (2, 1)]
    assert sorted(whole.trials.ttft_ms) == [300, 310, 400]
    for again in (merge([one, two]), merge(one, two), merge(one.path, two)):
        assert again.trials.ttft_ms.tolist() == whole.trials.ttft_ms.tolist()
    with pytest.raises(SetupError, match="differs in prompts"):
        merge([one, saved("c.jsonl", 1, prompts=2, begun=3)])
    for nothing in ([], "a.jsonl"):
        with pytest.raises(SetupError, match=r"hs\.merge takes several runs, or a list of them"):
            merge(nothing)


def test_runs_without_end_are_merged_side_by_side(trial: Make, result: Callable[..., Result]) -> None:
    """Of a duration each, and so of no stated number of repeats: pairs stay with their own run."""

    def sitting(number: int, repeats: int) -> Result:
        rows = [
            trial(model, repeat=i, ttft=100 * number + (5 if model == "x:b" else 0))
            for i in range(repeats)
            for model in ("x:a", "x:b")
        ]
        own = msgspec.structs.replace(session(), wall_ns=number, started=f"2026-11-2{number}T00:00:00+00:00")
        return result(*rows, sessions=(own,), repeats=0, duration=1.0)

    whole = merge([sitting(1, 4), sitting(2, 5)])
    found = whole.compare("a", "b")
    assert (found.pairs, set(found.differences), whole.plan.repeats) == (9, {5.0}, 0)


def test_runs_that_ended_when_decided_are_not_merged(trial: Make, result: Callable[..., Result]) -> None:
    """Their intervals hold for each alone; one and its copy are no two."""
    made = result(*(trial(model) for model in ("x:a", "x:b")), until_decided="ttft_ms")
    with pytest.raises(SetupError, match="stopped by what it had found"):
        merge([made, made])
