"""Workloads: lengths of prompts and answers, cold and warm caches, traces."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import msgspec
import pytest

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.estimate import check_forms, estimate
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.prompts import read_prompts
from holystream_nb.measuring.values.schedule import schedule

Run = Callable[..., Awaitable[Result]]


def test_lengths_are_given_listed_or_drawn() -> None:
    """The same seed draws the same; distributions have the mean and the deviation that were said."""

    def inputs(given: Any, **options: Any) -> list[int]:
        return [prompt.input_tokens for prompt in hs.synthetic(given, 10, **options).prompts]

    assert inputs(1000) == [1000]
    assert inputs(1000, n=3) == [1000] * 3
    assert inputs([100, 200]) == [100, 200]
    assert inputs([100, 200], n=3) == [100, 200, 100]
    uniform = inputs(("uniform", 100, 200), n=2000)
    assert (min(uniform), max(uniform), round(mean(uniform), -1)) == (100, 200, 150)
    for kind in ("normal", "lognormal"):
        drawn = inputs((kind, 1000, 200), n=5000)
        assert mean(drawn) == pytest.approx(1000, rel=0.02)
        assert stdev(drawn) == pytest.approx(200, rel=0.05)
    assert inputs(("normal", 100, 9), n=5, seed=1) == inputs(("normal", 100, 9), n=5, seed=1)
    assert inputs(("normal", 100, 9), n=5, seed=1) != inputs(("normal", 100, 9), n=5, seed=2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_tokens": 0}, "input_tokens=0: give a whole number, 1 or more"),
        ({"input_tokens": ("normal", 100, 10)}, "say of how many prompts, as n=100"),
        ({"input_tokens": ("gauss", 100, 10), "n": 5}, "choose one of uniform, normal, lognormal"),
        ({"input_tokens": ("normal", 100), "n": 5}, "is not whole"),
        ({"input_tokens": 100, "shared_prefix": 100}, "fewer tokens than the shortest prompt has, 100"),
        ({"input_tokens": []}, "an empty list"),
    ],
)
def test_lengths_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    """In one sentence."""
    with pytest.raises(SetupError, match=said):
        hs.synthetic(**given)


def test_texts_are_new_for_each_prompt_and_repeat_and_share_what_was_said() -> None:
    """All models get the same; a shared prefix is the same only where caches may answer."""

    def texts(**changes: Any) -> list[str]:
        asked = hs.synthetic(100, shared_prefix=changes.pop("shared", 0), n=2).prompts
        made = Plan(models=("x:a",), prompts=asked, repeats=2, **changes)
        return [made.messages(prompt, repeat)[0]["content"] for prompt in (0, 1) for repeat in (0, 1)]

    def begin(text: str) -> str:
        return " ".join(text.split()[:50])

    assert len({*texts()}) == len({*map(begin, texts(shared=50))}) == 4
    assert texts() == texts() != texts(seed=1)
    assert len({*map(begin, texts(shared=50, cache=True))}) == 1
    assert len({*texts(shared=50, cache=True)}) == 4
    assert len({*texts(cache=True)}) == 2


def test_cold_and_warm_are_arms_of_which_only_warm_can_have_been_seen() -> None:
    """Each model is asked cold, then warm; the beginning is the same in both, and in no other repeat."""
    made = Plan(
        models=("x:a", "x:b"), prompts=hs.synthetic(100, shared_prefix=60).prompts, repeats=3, caches=("cold", "warm")
    )
    assert list(made.arms) == ["x:a · cold", "x:a · warm", "x:b · cold", "x:b · warm"]
    for block in schedule(made):
        order = [(slot.model, slot.way) for slot in block]
        assert all(order[index + 1] == (model, 1) for index, (model, way) in enumerate(order) if way == 0)
    texts = {(repeat, way): made.messages(0, repeat, way)[0]["content"] for repeat in range(3) for way in (0, 1)}
    begins = {key: " ".join(text.split()[:60]) for key, text in texts.items()}
    assert all(begins[repeat, 0] == begins[repeat, 1] for repeat in range(3))
    assert len({*begins.values()}) == 3
    assert len({*texts.values()}) == 6
    plain = Plan(models=("x:a",), prompts=("Hello",), caches=("cold", "warm"), transport=("sse", "ws"))
    assert list(plain.ways) == ["sse cold", "sse warm", "ws cold", "ws warm"]
    assert plain.messages(0, 0, 0) == plain.messages(0, 0, 1) != plain.messages(0, 0, 2) == plain.messages(0, 0, 3)


@pytest.mark.slow
async def test_a_prompt_has_as_many_tokens_as_the_service_counts(run: Run) -> None:
    """Of two models and three lengths, to one percent; the answers end at their limit; the text is new each time."""
    result = await run(
        models=["simulator:gpt-4.1#tokens=50", "simulator:deepseek-v3.2#tokens=50"],
        prompts=hs.synthetic([100, 1000, 10_000], 20),
        repeats=2,
    )
    assert set(result.plan.fits) == set(result.models)
    for trial in result.records:
        asked = result.plan.prompts[trial.prompt]
        assert trial.prompt_tokens == pytest.approx(asked.input_tokens, rel=0.01)  # type: ignore[union-attr]
        assert trial.output_tokens == 20
    assert "Asked: 3 synthetic prompts of 100 to 10,000 input and 20 output tokens." in result.notes
    assert not any("of what was asked for" in note for note in result.notes)
    expected = estimate(result.plan, 1)
    assert expected.fits == 0
    made = [*result.records, *result.warmup_records]
    assert 2 * 2 <= len([trial for trial in result.warmup_records if trial.repeat < -1]) <= 10
    assert result.contents.spent == sum(trial.due_usd or 0 for trial in made)
    assert str(estimate(msgspec.structs.replace(result.plan, fits={}), 1)).startswith(
        "12 requests and 2 warm-ups, and up to 10 to find out lengths, at most about"
    )
    assert result.contents.spent <= (estimate(msgspec.structs.replace(result.plan, fits={}), 1).usd or 0)


@pytest.mark.slow
async def test_answers_that_end_before_their_length_are_said(run: Run) -> None:
    """A service that does not take ignore_eos may end earlier: the notes say how near it came."""
    result = await run(models="simulator:gpt-4.1#tokens=5", prompts=hs.synthetic(100, 20))
    assert "Output tokens of what was asked for: 25 to 25 % at simulator:gpt-4.1#tokens=5." in result.notes


@pytest.mark.slow
async def test_a_warm_request_waits_for_its_cold_one(run: Run) -> None:
    """Also with many at once; the tables have a row for each."""
    result = await run(prompts="Hello", repeats=6, concurrency=4, cache=("cold", "warm"))
    ends = {(trial.repeat, trial.way): (trial.sent or 0, trial.over) for trial in result.records}
    assert len(ends) == 12
    assert all(ends[repeat, "cold"][1] <= ends[repeat, "warm"][0] for repeat in range(6))
    assert list(result.summary().index) == list(result.arms)
    assert [len(result.rows(arm)) for arm in result.arms] == [6, 6]
    assert set(result.trials["cache"]) == {"cold", "warm"}


async def test_cold_and_warm_need_a_closed_loop() -> None:
    """Arrivals of their own could not wait for each other."""
    with pytest.raises(SetupError, match="take turns"):
        await hs.bench("simulator:gpt-4.1", "Hello", rate=1, cache=("cold", "warm"))
    with pytest.raises(SetupError, match="cache is True, False"):
        await hs.bench("simulator:gpt-4.1", "Hello", cache=("warm",))


@pytest.mark.slow
async def test_the_workloads_of_artificial_analysis_are_presets(run: Run) -> None:
    """Their lengths; the table has its figures, and no documented ones."""
    preset = hs.preset("aa-100")
    result = await run(models="simulator:gpt-4.1#tokens=400", **{**preset.arguments, "repeats": 2})
    assert [(trial.prompt_tokens, trial.output_tokens) for trial in result.records] == [(100, 300)] * 2
    assert [name for name in preset.table(result) if not name.endswith((" low", " high"))] == list(preset.columns)
    assert preset.documented.empty
    lengths = [hs.preset(name).arguments["prompts"].prompts[0] for name in ("aa-1k", "aa-10k", "aa-100k")]
    assert [(each.input_tokens, each.output_tokens) for each in lengths] == [
        (1_000, 1_000),
        (10_000, 1_500),
        (100_000, 2_000),
    ]


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
"""
BURST = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,Conversation log
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:01+00:00,2399,6
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 27482, "input_length": 7322, "output_length": 490, "hash_ids": [0, 2]}
"""
OWN = """time,prompt_tokens,completion_tokens
0,800,5
1.5,20,200
86400,30,30
"""


@pytest.mark.parametrize(
    ("name", "text", "times", "lengths"),
    [
        ("own.csv", OWN, (0.0, 1.5, 86400.0), [(800, 5), (20, 200), (30, 30)]),
        ("own_ms.csv", OWN.replace("time", "time_ms"), (0.0, 0.0015, 86.4), [(800, 5), (20, 200), (30, 30)]),
        ("dates.csv", AZURE.replace("TIMESTAMP", "timestamp"), (0.0, 4.314579), [(374, 44), (396, 109)]),
        ("azure.csv", AZURE, (0.0, 4.314579), [(374, 44), (396, 109)]),
        ("azure24.csv", AZURE_2024, (0.0, 0.99007), [(2162, 5), (2399, 6)]),
        ("burst.csv", BURST, (0.0, 113.0), [(472, 18), (417, 276)]),
        ("mooncake.jsonl", MOONCAKE, (0.0, 27.482), [(6758, 500), (7322, 490)]),
    ],
)
def test_public_traces_are_read(tmp_path: Path, name: str, text: str, times: Any, lengths: Any) -> None:
    """Times from the first request on, in seconds; requests without tokens are left out, and that is said."""
    (tmp_path / name).write_text(text)
    found = hs.trace(tmp_path / name)
    assert found.times == pytest.approx(times, abs=1e-5)
    assert [(each.input_tokens, each.output_tokens) for each in found.prompts] == lengths
    assert f"at the times of {name}" in found.source
    assert ("1 request without tokens left out" in found.source) == (name == "burst.csv")
    assert hs.trace(tmp_path / name, speed=2).times == pytest.approx([each / 2 for each in times], abs=1e-5)
    assert len(hs.trace(tmp_path / name, n=1).prompts) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "when,input_tokens,answer\n1,2,3\n",
            r"no trace of a known form: it has no column of a time \(TIMESTAMP.+time_ms\), nor of output tokens "
            r"\(GeneratedTokens.+completion_tokens\); it has when, input_tokens, answer\.",
        ),
        ("Timestamp,Request tokens,Response tokens\nx,1,2\n", "a row without a time"),
        ("Timestamp,Request tokens,Response tokens\nnan,1,2\n", "a row without a time"),
        ("Timestamp,Request tokens,Response tokens\n1,-3,2\n", "two numbers of tokens"),
        ("Timestamp,Request tokens,Response tokens\n1,0,2\n", "no request with input and output tokens"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """In one sentence."""
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match=said):
        hs.trace(path)


def test_a_workload_shows_itself_as_what_it_is(tmp_path: Path) -> None:
    """In a line, as a cell's last one and as the first that a bench says: 2,000 prompts were 167 kB."""
    path = tmp_path / "own.csv"
    path.write_text(OWN)
    said = "3 synthetic prompts of 20 to 800 input and 5 to 200 output tokens at the times of own.csv"
    assert repr(hs.trace(path)) == f"{said}, over 24 h"
    assert repr(hs.trace(path, speed=1440)) == f"{said} at 1440 times its speed, over 60 s"
    assert repr(hs.synthetic(1000, 5)) == "1 synthetic prompt of 1,000 input and 5 output tokens"
    assert repr(read_prompts("hs.bench", ["one", "two"])) == "2 prompts"


@pytest.mark.slow
async def test_a_long_trace_is_planned_at_once() -> None:
    """The texts of 20,000 prompts are made when they are asked, not before."""
    asked = hs.synthetic(("lognormal", 2000, 2000), ("normal", 200, 50), n=20_000).prompts
    made = Plan(models=("simulator:gpt-4.1",), prompts=asked, simulator="simulator")
    start = time.perf_counter()
    check_forms(made)
    assert estimate(made, 1).usd
    assert time.perf_counter() - start < 3


async def test_a_shadow_has_no_arrivals(tmp_path: Path) -> None:
    """A trace would be asked without its times."""
    path = tmp_path / "mooncake.jsonl"
    path.write_text(MOONCAKE)
    with pytest.raises(SetupError, match=r"replayed by hs\.bench"):
        await hs.shadow(hs.trace(path), old="simulator:gpt-4.1", new="simulator:deepseek-v3.2")


@pytest.mark.slow
async def test_a_trace_is_replayed(run: Run, tmp_path: Path) -> None:
    """At its own times and of its lengths; a rate or repeats beside it are refused."""
    path = tmp_path / "mooncake.jsonl"
    path.write_text(MOONCAKE.replace("27482", "400"))
    for more in ({"rate": 1}, {"concurrency": 1}, {"repeats": 2}):
        with pytest.raises(SetupError, match=r"[Tt]race"):
            await run(prompts=hs.trace(path), **more)
    result = await run(models="simulator:gpt-4.1#tokens=600", prompts=hs.trace(path))
    first, second = sorted(result.records, key=lambda trial: trial.prompt)
    assert ((second.scheduled or 0) - (first.scheduled or 0)) / 1e9 == pytest.approx(0.4, abs=1e-6)
    assert [each.prompt_tokens for each in (first, second)] == pytest.approx([6758, 7322], rel=0.01)
    assert [each.output_tokens for each in (first, second)] == [500, 490]


def test_what_a_run_finds_out_of_lengths_makes_no_other_plan() -> None:
    """A run is continued with its own fits; caches that are compared make another plan."""
    asked: dict[str, Any] = {"models": ("x:a",), "prompts": hs.synthetic(100, 20).prompts}
    assert Plan(**asked, fits={"x:a": (12.0, 1.01)}).hash == Plan(**asked).hash
    assert Plan(**asked, caches=("cold", "warm")).hash != Plan(**asked).hash


@pytest.mark.slow
async def test_finding_out_lengths_keeps_the_limits_of_the_run(run: Run) -> None:
    """Where max_cost does not hold it, it is not asked for, and the run says what the service counted."""
    with pytest.raises(SetupError, match="and up to 5 to find out lengths"):
        await run(prompts=hs.synthetic(1000, 5), max_cost=0.003)
