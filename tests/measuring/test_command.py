"""`holystream-nb bench` as a build runs it: a process, its exit code, and what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holystream_nb import Simulator
from holystream_nb.__main__ import main
from holystream_nb.errors import SetupError
from holystream_nb.measuring.command import exit_code
from holystream_nb.measuring.figures.checks import checks, split
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import End, Trial

Make = Callable[..., Trial]


def bench(simulator: Simulator, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of 80 requests, as a process without a terminal."""
    prompts = folder / "prompts.txt"
    prompts.write_text("Hello\nGoodbye\n")
    command = [sys.executable, "-m", "holystream_nb", "bench", "--model", "simulator:gpt-4.1#tokens=5,first=0.02"]
    command += ["--prompts", str(prompts), "--repeats", "40", "--concurrency", "8", "--base-url", simulator.url]
    environment = {**os.environ, "XDG_DATA_HOME": str(folder)}
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, env=environment, check=False
    )


@pytest.mark.slow
def test_the_exit_code_says_whether_the_limits_held(simulator: Simulator, tmp_path: Path) -> None:
    """0 with a figure and a report of it, 1 for what was broken; no ANSI; progress is not on standard output."""
    out = tmp_path / "new" / "out.json"
    held = bench(
        simulator, tmp_path, "--limit", "ttft_ms=9000", "--limit", "ttft_p50_ms=9000", "--json", str(out),
        "--report", str(tmp_path / "x.html"),
    )  # fmt: skip
    assert held.returncode == 0, held.stderr
    assert "80 of 80 requests kept the limits (95.5 to 100.0 %)" in held.stdout
    assert held.stdout.rstrip().endswith("The limits held.")
    assert "\x1b" not in held.stdout + held.stderr
    assert "\\" not in held.stdout
    assert "done · 80 of 80" in held.stderr
    assert "done · 80 of 80" not in held.stdout
    written = json.loads(out.read_text("utf-8"))
    assert (written["exit_code"], len(written["requests"])) == (0, 80)
    assert {each["verdict"] for each in written["checks"]} == {"held"}
    assert (tmp_path / "x.html").read_text("utf-8").startswith("<!doctype html>")
    broken = bench(simulator, tmp_path, "--limit", "ttft_ms=1")
    assert (broken.returncode, "The limits did not hold." in broken.stdout) == (1, True)


@pytest.mark.slow
def test_too_few_requests_are_said_before_and_what_to_do_after(
    simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten prompts once cannot show 95 %: it is known before anything is paid for, and eight times they can."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "q.txt").write_text("\n".join(f"Question {number}?" for number in range(10)))
    command = ["bench", "--model", "simulator:gpt-4.1#tokens=2,first=0.005", "--base-url", simulator.url]
    command += ["--prompts", str(tmp_path / "q.txt"), "--limit", "ttft_ms=9000"]
    assert main(command) == 2
    out, err = capsys.readouterr()
    before, _ = err.split("simulator:gpt-4.1", 1)
    assert before == (
        "WARNING: 10 requests of each model cannot show that 95 % keep the limits: about 72 are needed, --repeats 8.\n"
    )
    assert "10 of 10 requests kept the limits (69.2 to 100.0 %); about 72 requests would show it" in out
    assert out.rstrip().endswith("Nobody can say yet: ask with --repeats 8.")
    assert main([*command, "--repeats", "8"]) == 0
    assert "WARNING" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_reader_that_has_enough_changes_no_verdict(simulator: Simulator, tmp_path: Path) -> None:
    """Piped into `head`, which closes standard output: it ended in a traceback, and as if a limit were broken."""
    (tmp_path / "p.txt").write_text("Hello")
    command = [sys.executable, "-m", "holystream_nb", "bench", "--model", "simulator:gpt-4.1#tokens=2"]
    command += ["--prompts", str(tmp_path / "p.txt"), "--path", str(tmp_path / "run.jsonl")]
    with subprocess.Popen(
        [*command, "--base-url", simulator.url, "--json", str(tmp_path / "out.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        said = run.stderr.read()
    assert run.returncode == 0, said
    assert "Traceback" not in said
    assert (tmp_path / "out.json").exists()


def test_a_limit_holds_or_breaks_only_by_its_whole_interval(trial: Make, result: Callable[..., Result]) -> None:
    """By hand: 80 of 80 good is held at 95 %, 20 of 20 is unclear, 10 of 20 broken; a p95 of 20 requests is unclear."""

    def verdicts(n: int, slow: int, **columns: float) -> list[str]:
        trials = [trial(repeat=i, ttft=900 if i < slow else 300) for i in range(n)]
        return [each.verdict for each in checks(result(*trials, limits={"ttft_ms": 800}), columns, 0.95)]

    assert verdicts(80, 0) == ["held"]
    assert verdicts(20, 0) == ["unclear"]
    assert verdicts(20, 10) == ["broken"]
    assert verdicts(20, 0, ttft_p95_ms=800) == ["unclear", "unclear"]
    assert verdicts(80, 0, ttft_p95_ms=800, ttft_p50_ms=200, errors=0) == ["held", "held", "broken", "held"]
    assert verdicts(80, 0, decode_tokens_per_s=1) == ["held", "held"]
    assert verdicts(80, 0, decode_tokens_per_s=1000) == ["held", "broken"]


@pytest.mark.parametrize(
    ("name", "limit", "found"),
    [
        ("ttft_p50_ms", 500, "1,100 (1,100 to 1,100)"),
        ("ttft_p95_ms", 500, "1,100 (1,100 to 1,100)"),
        ("ttft_p99_ms", 500, "1,100 (1,100 to 1,100)"),
        ("ttft_mean_ms", 500, "1,000 (967 to 1,027)"),
        ("ttft_max_ms", 500, "1,100"),
        ("ttfa_p50_ms", 500, "1,100 (1,100 to 1,100)"),
        ("e2e_mean_s", 0.5, "1.05 (1.02 to 1.08)"),
        ("e2e_p95_s", 0.5, "1.15 (1.15 to 1.15)"),
        ("e2e_sd_s", 0.1, "0.300"),
    ],
)
def test_limits_of_an_open_loop_are_from_the_scheduled_start(
    name: str, limit: float, found: str, trial: Make, result: Callable[..., Result]
) -> None:
    """Each was answered 100 ms after it was sent, but nine in ten were sent a second late, and their users waited: a
    build that held the service to half a second passed.
    """
    trials = [
        trial(repeat=i, sent=1000 * i + late, scheduled=1000 * i * 1_000_000, ttft=100, gaps=(50,))
        for i, late in enumerate([0, *[1000] * 9] * 40)
    ]
    (late,) = checks(result(*trials, rate=1.0, concurrency=None), {name: limit}, 0.95)
    assert (late.verdict, late.found) == ("broken", f"{found}, from the scheduled start")
    users = [msgspec.structs.replace(each, scheduled=None) for each in trials]
    (sent,) = checks(result(*users), {name: limit}, 0.95)
    assert sent.verdict == "held"
    assert "scheduled" not in sent.sentence


def test_a_line_of_good_requests_says_from_when_they_count(trial: Make, result: Callable[..., Result]) -> None:
    """Where a limit is of TTFT or E2E; the time of a token has no start."""
    trials = [trial(repeat=i, scheduled=0) for i in range(8)]
    for limits in ({"ttft_ms": 800.0}, {"e2e_s": 1.0, "tpot_ms": 90.0}, {"tpot_ms": 90.0}):
        (check,) = checks(result(*trials, rate=1.0, concurrency=None, limits=limits), {}, 0.95)
        assert ("from the scheduled start" in check.found) == (limits != {"tpot_ms": 90.0})


@pytest.mark.slow
def test_what_is_unclear_says_how_many_requests_would_show_it(trial: Make, result: Callable[..., Result]) -> None:
    """By hand: 72 of 72 at 95 %, 368 without an error at 1 %; one bad of 80 needs more than none, and as many bad as
    are allowed are never shown. Of a part that is steady, those that are not come on top.
    """

    def needed(n: int, slow: int, **columns: float) -> list[int]:
        trials = [trial(repeat=i, ttft=900 if i < slow else 300) for i in range(n)]
        return [each.needed for each in checks(result(*trials, limits={"ttft_ms": 800}), columns, 0.95)]

    assert needed(10, 0) == [72]
    assert needed(80, 0, error_rate=1, ttft_p95_ms=800, ttft_p99_ms=800) == [0, 368, 0, 368]
    assert needed(80, 0, error_rate=0) == [0, 0]
    assert 100 < needed(80, 1)[0] < 400
    assert needed(80, 4) == [0]
    rows = [trial(stream=user, repeat=user * 5 + i, sent=1000 * i + user) for user in range(16) for i in range(5)]
    (check,) = checks(result(*rows, concurrency=16), {"ttft_p95_ms": 800}, 0.95)
    said = "; it is of 64 of 80 requests, those of the steady part that succeeded, and 72 are needed"
    assert check.found.endswith(said)
    assert check.needed == 88


@pytest.mark.parametrize(("reason", "code"), [("decided", 0), ("complete", 2), ("max_cost", 2)])
def test_nobody_can_say_what_was_not_decided(
    reason: str, code: int, trial: Make, result: Callable[..., Result]
) -> None:
    """Where a build asked for a decision, that the run is there is not enough."""
    made = result(trial("x:a"), trial("x:b"), until_decided="ttft_ms", ends=(End(0, reason),))
    assert exit_code(made, []) == code


def test_a_limit_of_nothing_is_refused() -> None:
    """By name, with what is meant, or with all that there is."""
    for name, meant in (("tttf_ms", "ttft_ms"), ("ttft", "ttft_ms"), ("decode", "decode_tokens_per_s")):
        with pytest.raises(SetupError, match=rf"no figure {name} to limit: did you mean {meant}\?$"):
            split({name: 1})
    with pytest.raises(SetupError, match=r"no figure x to limit: choose among ttft_ms, tpot_ms, e2e_s, n"):
        split({"x": 1})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", "gpt-4.1"], "there is no --models: did you mean --model?"),
        (["--users", "4"], "there is no --users: did you mean --concurrency?"),
        (["--limits=ttft_ms=1"], "there is no --limits: did you mean --limit?"),
        (["--zzz"], "the following arguments are required: --model"),
    ],
)
def test_an_option_that_there_is_not_names_the_one_that_is_meant(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not another one that is missing because of that."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--prompts", "p.txt", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "ttft_ms"], "write it as ttft_ms=800"),
        (["--limit", "x=1"], "no figure x to limit"),
        (["--limit", "ttft_p95_ms=nan"], "--limit ttft_p95_ms=nan: give a number"),
        (["--limit", "ttft_ms=800", "--limit", "ttft_ms=900"], "--limit ttft_ms is there more than once"),
        (["--share", "1"], "below 1"),
        (["--prompts", "nowhere.txt"], "There is no file nowhere.txt in this folder"),
        (["--rate", "1", "--arrivals", "bursty"], "arrivals is 'bursty': choose one of poisson, constant"),
        (["--arrivals", "0.5"], "arrivals are those of an open loop"),
        (["--until-decided"], "never ends where there is no difference"),
        (["--until-decided", "ttft_ms", "--duration", "5"], "compares two, and here are 1"),
        (["--until-decided", "n", "--repeats", "5"], "metric is 'n': choose one of ttft_ms"),
    ],
)
def test_a_wrong_setup_is_one_sentence_and_code_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("Hello")
    assert main(["bench", "--model", "simulator:gpt-4.1", "--prompts", "p.txt", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
