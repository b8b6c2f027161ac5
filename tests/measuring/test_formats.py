"""Formats against one another: ways, their names, their pairs, and what the simulator saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

import holystream_nb as hs
from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.facts import WIRES
from holystream_nb.measuring import charts
from holystream_nb.measuring.calibrate import calibrate
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.estimate import check_forms
from holystream_nb.measuring.sweep import sweep
from holystream_nb.measuring.values.plan import Plan, connections
from holystream_nb.measuring.values.record import Trial, decode, encoder
from holystream_nb.measuring.values.schedule import schedule

Make = Callable[..., Trial]
Run = Callable[..., Awaitable[Result]]

BOTH = ("sse", "ws")
QUICK = "simulator:gpt-4.1#tokens=10,rate=100,first=0.05"
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def plan(**more: Any) -> Plan:
    return Plan(**{"models": ("x:a", "x:b"), "prompts": ("Hello",), "repeats": 3, **more})


# The plan


@pytest.mark.parametrize(
    ("given", "ways"),
    [
        ({}, {"sse": ("", "sse")}),
        ({"transport": BOTH}, {"sse": ("", "sse"), "ws": ("", "ws")}),
        ({"wire": "messages"}, {"sse": ("messages", "sse")}),
        ({"wire": ("responses",), "transport": BOTH}, {"sse": ("responses", "sse"), "ws": ("responses", "ws")}),
        (
            {"wire": ("messages", "responses"), "transport": BOTH},
            {
                f"{wire} {way}": (wire, way)
                for wire, way in (("messages", "sse"), ("responses", "sse"), ("responses", "ws"))
            },
        ),
        ({"wire": ("chat", "messages")}, {"chat": ("chat", "sse"), "messages": ("messages", "sse")}),
        (
            {"wire": ("chat", "responses"), "transport": "ws"},
            {"chat": ("chat", "ws"), "responses": ("responses", "ws")},
        ),
        (
            {"wire": ("chat", "responses"), "transport": BOTH},
            {f"{wire} {carrier}": (wire, carrier) for wire in ("chat", "responses") for carrier in BOTH},
        ),
    ],
)
def test_a_way_is_named_by_what_there_are_several_of(given: dict[str, Any], ways: dict[str, tuple[str, str]]) -> None:
    """A model asked in one way has its own name; in several, each way stands behind it."""
    made = plan(**given)
    assert made.ways == ways
    labels = [f"x:a · {way}" for way in ways] if len(ways) > 1 else ["x:a"]
    assert list(made.arms)[: len(ways)] == labels
    assert made.requests == 2 * 3 * len(ways)


def test_formats_take_turns_as_models_do() -> None:
    """Every block asks each model in each way, in random order; each way has a prefix of its own for caches."""
    made = plan(wire=WIRES, repeats=30)
    blocks = schedule(made)
    assert all(len({(slot.model, slot.way) for slot in block}) == 6 for block in blocks)
    assert {block[0].way for block in blocks} == {0, 1, 2}
    assert len({made.messages(0, 0, way)[0]["content"] for way in range(3)}) == 3


@pytest.mark.parametrize("given", [("grpc",), ("chat", "grpc"), ("chat", "chat"), ()])
def test_a_plan_refuses_what_is_no_format_or_twice_there(given: tuple[str, ...]) -> None:
    """In one sentence."""
    with pytest.raises(SetupError, match=r"^(There is no wire 'grpc': choose from chat, messages, resp|wire=).*\.$"):
        plan(wire=given)


@pytest.mark.parametrize(
    "given",
    [
        {"wire": "messages", "transport": "ws"},
        {"wire": "messages", "transport": BOTH},
        {"wire": WIRES, "transport": "ws"},
    ],
)
def test_a_socket_that_no_service_has_is_not_compared(given: dict[str, Any]) -> None:
    """Messages over ws was a row of its own, measured over sse."""
    with pytest.raises(SetupError, match="Messages have no WebSocket"):
        plan(**given)


def test_what_is_left_out_is_said(trial: Make, result: Callable[..., Result]) -> None:
    """Of all pairs."""
    found = result(trial(way="chat sse"), wire=WIRES, transport=BOTH)
    assert "Messages have no WebSocket: they were not asked over ws." in found.notes


def test_a_field_that_one_format_has_no_place_for_is_refused_first(tmp_path: Path) -> None:
    """Before a child starts, and a file is made."""
    with pytest.raises(SetupError, match="seed has no place in the Messages format"):
        asyncio.run(hs.bench(QUICK, "Hello", wire=WIRES, parameters={"seed": 3}, path=tmp_path / "run"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(SetupError, match="Messages"):
        check_forms(plan(models=("anthropic:a",), parameters={"seed": 3}))
    check_forms(plan(models=("anthropic:a",), parameters={"seed": 3}, options={"wire": {"anthropic": "chat"}}))


def test_a_plan_without_a_format_is_the_one_it_always_was() -> None:
    """Its hash, by which files are continued; another format is another plan, and one is one however it is given."""
    assert plan().hash == plan(wire="").hash != plan(wire="chat").hash
    assert plan(wire=("chat",)).hash == plan(wire="chat").hash
    assert plan(wire="chat").difference(plan()) == ["wire"]


def test_what_is_unusual_about_the_connections_names_the_format() -> None:
    """One that was asked for; of several, tables and charts have rows."""
    assert connections(plan(wire="messages")) == ["as messages"]
    assert connections(plan(wire="responses", transport="ws")) == ["over ws", "as responses"]
    assert connections(plan(wire=("chat", "messages"))) == []


# The result


@pytest.fixture
def formats(trial: Make, result: Callable[..., Result]) -> Result:
    """Eighty requests in each of two formats over both transports; Responses over its socket are 40 ms sooner."""
    trials = [
        trial(
            way=f"{wire} {carrier}",
            wire=wire,
            repeat=repeat,
            sent=1000 * repeat,
            ttft=300 + repeat % 7 - (40 if (wire, carrier) == ("responses", "ws") else 0),
        )
        for wire in ("chat", "responses")
        for carrier in BOTH
        for repeat in range(80)
    ]
    return result(*trials, wire=("chat", "responses"), transport=BOTH, repeats=80, simulator="simulator")


def test_tables_have_a_row_for_each_way(formats: Result) -> None:
    """With format and transport as columns of their own in `trials` and `gaps`."""
    assert list(formats.summary().index) == [f"simulator:a · {way}" for way in formats.plan.ways]
    for frame in (formats.trials, formats.gaps):
        assert frame.groupby(["wire", "transport"]).size().nunique() == 1
        assert len(frame.groupby(["wire", "transport"])) == 4
    assert len(formats.rows(formats.arm("responses ws"))) == len(formats.of("simulator:a · responses ws")) == 80


def test_two_ways_are_compared_in_pairs(formats: Result) -> None:
    """By their names alone where there is one model; a name that means several is refused with all there are."""
    found = formats.compare("responses sse", "responses ws")
    assert (found.pairs, found.difference.value, found.is_more_than_noise) == (80, -40, True)
    assert "a · responses ws's TTFT is 40.0 ms shorter than a · responses sse's" in str(found)
    for name in ("ws", "chat"):
        with pytest.raises(SetupError, match="none of what was compared here: simulator:a · chat sse, "):
            formats.arm(name)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [charts.distribution, charts.differences, charts.timeline])
def test_charts_name_each_way(formats: Result, draw: Callable[[Result], Axes]) -> None:
    """In their legends or on their rows."""
    ax = draw(formats)
    written = [text.get_text() for text in (*ax.texts, *ax.get_yticklabels(), *ax.get_xticklabels())]
    legend = ax.get_legend()
    written += [text.get_text() for text in legend.get_texts()] if legend else []
    first = draw is charts.differences  # what the others are compared with stands on its axis
    said = "\n".join([*written, ax.get_xlabel()])
    assert all(f"a · {way}" in said for way in list(formats.plan.ways)[first:])


@pytest.mark.slow
def test_a_sheet_says_how_many_formats(formats: Result) -> None:
    """Above its charts."""
    whole = charts.sheet(formats)
    titles = [text.get_text() for text in whole.figure.texts] + [whole.figure.get_suptitle()]
    assert any("over 2 transports in 2 wire formats" in title for title in titles)


def test_a_trial_says_the_format_it_came_in() -> None:
    """In a file too; those of files without one came as Chat Completions."""
    made = Trial(model="simulator:a", prompt=0, repeat=3, way="messages", wire="messages")
    assert decode(encoder.encode(made)) == made
    old = decode(b'{"kind":"trial","model":"simulator:a","prompt":0,"repeat":3,"transport":"ws"}')
    assert isinstance(old, Trial)
    assert (old.way, old.wire) == ("ws", "chat")


# Real runs


def seen(simulator: Simulator, result: Result) -> Counter[tuple[str, str, str]]:
    """How often each way was asked, and what the simulator knows those requests as."""
    records = ((trial.way, simulator.record(str(trial.response_id))) for trial in result.records)
    return Counter((way, record["method"], record["path"]) for way, record in records)


@pytest.mark.slow
async def test_one_model_is_asked_in_three_formats(run: Run, simulator: Simulator) -> None:
    """Each prompt and repeat once in each; each answer is the same, and its timing error is known."""
    result = await run(QUICK, ["Hello", "Goodbye"], repeats=3, concurrency=2, wire=list(WIRES), calibrate=True)
    assert not (result.trials["error"] != "").any()
    assert seen(simulator, result) == {(wire, "POST", path): 6 for wire, path in PATHS.items()}
    assert result.trials.groupby(["prompt", "repeat"])["wire"].agg(set).eq(set(WIRES)).all()
    assert set(result.trials["output_tokens"]) == {10}
    assert result.compare("messages", "chat").pairs == 6
    assert result.calibration is not None
    assert result.calibration.own
    assert result.calibration.requests == 18
    assert set(result.calibration.ttft_ms_by_transport) == set(WIRES)


@pytest.mark.slow
async def test_responses_over_ws_are_asked_on_the_responses_socket(run: Run, simulator: Simulator) -> None:
    """And Chat Completions on HolySheep's; Messages, which have none, are asked over SSE alone."""
    result = await run(QUICK, repeats=2, wire=list(WIRES), transport=list(BOTH))
    assert not (result.trials["error"] != "").any()
    kinds = seen(simulator, result)
    assert kinds["responses ws", "WS", PATHS["responses"]] == 2
    assert {way for way, _, _ in kinds if way.startswith("messages")} == {"messages sse"}
    used = result.trials.groupby(["wire", "transport"])["transport_used"].agg(set).to_dict()
    assert used["responses", "ws"] == used["chat", "ws"] == {"ws"}
    assert used["messages", "sse"] == {"sse"}
    assert result.compare("responses sse", "responses ws").pairs == 2


@pytest.mark.slow
async def test_a_run_in_several_formats_goes_on_where_it_ended(run: Run, tmp_path: Path) -> None:
    """What is missing of one format is made in that; another choice of formats is another plan."""
    file = tmp_path / "run.jsonl"
    await run(QUICK, repeats=2, wire=["chat", "messages"])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(line for line in lines if b'"wire":"messages"' not in line or b'"kind":"header"' in line))
    assert load(file).missing == 2
    again = await run(QUICK, repeats=2, wire=["chat", "messages"], resume=file)
    assert not again.missing
    assert [trial.wire for trial in again.records[-2:]] == ["messages"] * 2
    with pytest.raises(SetupError, match="differs in wire"):
        await run(QUICK, repeats=2, wire=["chat", "responses"], resume=file)


@pytest.mark.slow
async def test_two_models_of_one_service_in_formats_of_their_own(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    """A mapping names one; both are labelled apart, and the file says which was which."""
    models = [{"base_url": simulator.url, "model": "gpt-4.1#tokens=5", "wire": wire} for wire in ("chat", "messages")]
    result = await hs.bench(models, "Hello", repeats=2, calibrate=False, path=tmp_path / "two.jsonl")
    assert not (result.trials["error"] != "").any()
    assert len(result.arms) == 2
    assert [set(result.rows(arm)["wire"]) for arm in result.arms] == [{"chat"}, {"messages"}]
    assert sorted(result.plan.options["wire"].values()) == ["chat", "messages"]


@pytest.mark.slow
async def test_a_shadow_of_a_service_in_another_format(simulator: Simulator, tmp_path: Path) -> None:
    """A move from Chat Completions to Messages of the very same model."""
    side = {"base_url": simulator.url, "model": "gpt-4.1#tokens=5"}
    sides = {"old": side, "new": side | {"wire": "messages"}}
    found = await hs.shadow(["Hello", "Goodbye"], **sides, calibrate=False, path=tmp_path / "shadow.jsonl")
    assert [set(found.result.rows(arm)["wire"]) for arm in found.result.arms] == [{"chat"}, {"messages"}]
    assert found.similarity.n == 2


@pytest.mark.slow
async def test_a_sweep_has_a_curve_for_each_format(simulator: Simulator, tmp_path: Path) -> None:
    """And a file for each."""
    options: dict[str, Any] = {"base_url": simulator.url, "calibrate": False, "path": tmp_path, "concurrencies": [1]}
    found = await sweep(QUICK, "Hello", repeats=2, wire=["chat", "messages"], **options)
    assert found.arms == (f"{QUICK} · chat", f"{QUICK} · messages")
    assert found.table()["wire"].tolist() == ["chat", "messages"]
    assert len({result.path for result in found.results}) == 2


@pytest.mark.slow
async def test_the_stopwatch_is_calibrated_in_the_formats_of_a_run() -> None:
    """Each has its own error."""
    error = await calibrate(concurrency=6, answers=1, tokens=5, wire=["messages", "responses"])
    assert set(error.ttft_ms_by_transport) == {"messages", "responses"}
    assert not error.own
