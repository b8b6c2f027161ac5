"""Conversations, and all that one user asks one after another: how it is dealt, what each turn brings, what is made
again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import pytest

import holystream_nb as hs
from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.dispatch import Dispatcher, deal
from holystream_nb.measuring.running.intake import Intake, Word
from holystream_nb.measuring.running.pace import Pace
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.prompts import Prompts, read_prompts
from holystream_nb.measuring.values.record import Trial
from holystream_nb.measuring.values.schedule import Slot, blocks, chains, schedule

Run = Callable[..., Awaitable[Result]]
Make = Callable[..., Trial]
TALK = hs.Conversation(["One?", "Two?", "Three?"])


def test_a_conversation_is_asked_in_turns_by_one_user() -> None:
    """Its turns stand together in the schedule, of each model in order; others are alone."""
    talk = hs.Conversation(["One?", "Two?", "Three?"], system="Be brief.")
    made = Plan(models=("x:a", "x:b"), prompts=("Alone.", *talk.turns, "Last."), repeats=2, concurrency=2)
    assert made.requests == 20
    assert made.units == [range(1), range(1, 4), range(4, 5)]
    for block in schedule(made):
        prompts = [slot.prompt for slot in block]
        assert prompts in ([0, 0], [4, 4], [1, 2, 3, 1, 2, 3])
    taken = [chain for block in schedule(made) for chain in chains(made, block)]
    assert sorted(map(len, taken)) == [1] * 8 + [3] * 4
    first = made.messages(1, 0)
    assert [message["role"] for message in first] == ["system", "user"]
    assert first[0]["content"].endswith("] Be brief.")
    assert made.messages(2, 0) == [{"role": "user", "content": "Two?"}]


def test_a_conversation_is_made_of_texts_or_of_messages() -> None:
    """Of messages the answers are left out; what is no conversation is refused."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye"},
    ]
    turns = hs.Conversation(messages).turns
    assert [(turn.text, turn.number, turn.system) for turn in turns] == [("Hi", 0, "Be brief."), ("Bye", 1, "")]
    sharegpt = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}, {"from": "human", "value": "Bye"}]
    assert [turn.text for turn in hs.Conversation(sharegpt).turns] == ["Hi", "Bye"]
    for wrong, said in (
        ([], "an empty list"),
        ([1], "A turn is of type int"),
        (messages[2:3], "at least one message of the user"),
    ):
        with pytest.raises(SetupError, match=said):
            hs.Conversation(wrong)


@pytest.mark.slow
async def test_each_turn_brings_what_was_said_before(run: Run) -> None:
    """Its prompt has the tokens of all before it; it is sent after the answer and the pause; it has its own figures."""
    talk = hs.Conversation(["One?", "Two?", "Three?"])
    result = await run(models=["simulator:gpt-4.1#tokens=50"], prompts=[talk], repeats=2, concurrency=2, pause=0.2)
    rows = result.trials
    assert "1 conversation of 3 turns × 2 · 2 at once" in result.to_markdown()
    assert rows.groupby("turn")["ttft_ms"].count().to_dict() == {1: 2, 2: 2, 3: 2}
    for repeat in (0, 1):
        turns = sorted((trial for trial in result.records if trial.repeat == repeat), key=lambda trial: trial.prompt)
        tokens = [trial.prompt_tokens or 0 for trial in turns]
        assert tokens[1] - tokens[0] >= 50
        assert tokens[2] - tokens[1] >= 50
        assert all((after.sent or 0) > before.over for before, after in pairwise(turns))
        assert len({trial.stream for trial in turns}) == 1


@pytest.mark.slow
async def test_a_user_thinks_as_long_as_the_schedule_says(run: Run) -> None:
    """From an answer's end to the user's next request: within a conversation and between two of them."""
    result = await run(prompts=[TALK, "Alone."], repeats=4, concurrency=2, pause=0.1)
    pauses = {slot.id: slot.wait_s for block in schedule(result.plan) for slot in block}
    assert 0 < min(pauses.values()) < max(pauses.values()) <= 0.2
    users: dict[int, list[Trial]] = {}
    for trial in sorted(result.records, key=lambda trial: trial.submitted):
        users.setdefault(trial.stream, []).append(trial)
    assert sum(map(len, users.values())) == 16
    for user in users.values():
        for before, after in pairwise(user):
            waited = (after.submitted - before.over) / 1e9
            assert waited > pauses[0, after.prompt, after.repeat, 0] - 0.001


@pytest.mark.slow
async def test_a_conversation_that_was_cut_goes_on_from_what_is_asked_again(run: Run) -> None:
    """Turns of an earlier sitting are asked once more, and kept apart, since their answers were not."""
    models = ["simulator:gpt-4.1#tokens=50"]
    asked: dict[str, Any] = {"models": models, "prompts": [hs.Conversation(["One?", "Two?", "Three?"])]}
    whole = await run(**asked)
    tokens = {trial.prompt: trial.prompt_tokens for trial in whole.records}
    lines = whole.path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"kind":"trial"' not in line or b'"prompt":0' in line]
    whole.path.write_bytes(b"".join(kept))
    result = await run(**asked, resume=whole.path)
    assert {trial.prompt: trial.prompt_tokens for trial in result.records} == tokens
    assert [trial.prompt for trial in result.warmup_records if trial.repeat < -1] == [0]


@pytest.mark.slow
async def test_a_conversation_goes_on_when_a_turn_fails(run: Run) -> None:
    """Every turn is asked, and has its record."""
    talk = hs.Conversation(["One?", "Two?", "Three?"], system="Be brief.")
    result = await run(models="simulator:gpt-4.1#fail=429", prompts=[talk], warmup=0)
    assert [(trial.prompt, trial.error) for trial in result.records] == [(turn, "RateLimited") for turn in range(3)]


async def test_a_conversation_needs_a_closed_loop() -> None:
    """It waits for its answers."""
    with pytest.raises(SetupError, match="give concurrency, the number of users"):
        await hs.bench("simulator:gpt-4.1", [hs.Conversation(["One?", "Two?"])], rate=1)


def test_a_panels_questions_are_a_conversation() -> None:
    """Anything that gives its messages."""

    class Panel:
        def to_messages(self) -> list[dict[str, str]]:
            return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]

    assert [turn.text for turn in read_prompts("hs.bench", Panel()).prompts] == ["Hi"]  # type: ignore[union-attr]


@pytest.mark.slow
async def test_a_chat_panel_is_asked_again_as_it_was(run: Run, simulator: Simulator) -> None:
    """A real one's two questions, in turns of one conversation: the second brings the first and its new answer."""
    panel = hs.ChatPanel("gpt-4.1#tokens=3", base_url=simulator.url, system="Be brief.")
    try:
        for question in ("Who are you?", "And then?"):
            await panel.send(question)
        result = await run("simulator:gpt-4.1#tokens=50", panel)
    finally:
        panel.close()
    assert [(turn.text, turn.number, turn.system) for turn in result.plan.prompts] == [
        ("Who are you?", 0, "Be brief."),
        ("And then?", 1, ""),
    ]
    first, second = sorted(result.records, key=lambda trial: trial.prompt)
    assert (first.error, second.error) == ("", "")
    assert (second.prompt_tokens or 0) - (first.prompt_tokens or 0) >= 50
    assert second.submitted > first.over


# How they are dealt


def dispatcher(limit: str | None = None, paces: dict[str, Pace] | None = None, **changes: Any) -> Dispatcher:
    made = Plan(**{"models": ("x:a",), "prompts": TALK.turns, "repeats": 4, "concurrency": 2, **changes})
    budget = Budget(None if limit is None else Decimal(limit), [Decimal("0.01")] * len(made.models))
    return Dispatcher(made, blocks(made), budget, paces or {}, now=lambda: 0, planned=made.requests)


def test_a_conversation_is_leased_as_one() -> None:
    """Its turns go to one worker, whoever else asks; streams are counted, not turns."""
    made = dispatcher()
    dealt = deal(made, {0: 1, 1: 2})
    assert [len(dealt[worker]) for worker in (0, 1)] == [3, 6]
    assert [lease.more for lease in dealt[0]] == [True, True, False]
    assert len({lease.slot.repeat for lease in dealt[0]}) == 1
    assert (made.waiting(0), made.running(0), made.waiting(1)) == (1, 0, 2)
    made.begun(0, dealt[0][0].slot, 1)
    assert (made.waiting(0), made.running(0)) == (0, 1)


def test_between_two_turns_a_stream_is_not_idle(trial: Make) -> None:
    """What it has not begun is bound to it: nothing more is leased for it ahead of time."""
    made = dispatcher()
    first, *_ = (lease.slot for lease in made.lease(0, 1))
    made.begun(0, first, 1)
    made.settle(trial("x:a", prompt=0, repeat=first.repeat, worker=0))
    assert (made.waiting(0), made.running(0)) == (0, 1)


def test_what_a_dead_worker_left_of_a_conversation_stays_one(trial: Make) -> None:
    """Its second turn had begun: that and the third go to one other worker, in their order."""
    made = dispatcher(repeats=1)
    slots = [lease.slot for lease in made.lease(0, 1)]
    made.begun(0, slots[0], 1)
    made.settle(trial("x:a", prompt=0, worker=0))
    made.begun(0, slots[1], 2)
    assert len(made.lost(0, "worker 0 ended with code -9")) == 1
    again = made.lease(1, 1)
    assert [(lease.slot.prompt, lease.more) for lease in again] == [(1, True), (2, False)]


def test_what_was_given_back_of_a_conversation_stays_one() -> None:
    """The same, of a worker that ended in time."""
    made = dispatcher(repeats=1)
    slots = [lease.slot for lease in made.lease(0, 1)]
    made.give_back(0, slots)
    assert [lease.slot for lease in made.lease(1, 1)] == slots


def test_a_conversation_begins_only_if_its_cost_fits() -> None:
    """Of two that would cost 3 cents each, 5 cents allow one; the run ends instead of waiting for ever."""
    made = dispatcher(limit="0.05")
    assert len(made.lease(0, 2)) == 3
    slots = [Slot(0, prompt, each.slot.repeat, 0.0) for prompt, each in enumerate(dispatcher().lease(0, 1))]
    made.give_back(0, slots)
    poor = dispatcher(limit="0.02")
    assert poor.lease(0, 2) == []
    assert (poor.has_ended, poor.reason) == (True, "max_cost")


def test_a_guessed_cost_does_not_hold_a_conversation_back() -> None:
    """The first request of a model goes alone: with the turns that follow it, which go alone as well."""
    made = Plan(models=("x:a",), prompts=TALK.turns, repeats=2, concurrency=2)
    budget = Budget(Decimal(1), [Decimal("0.01")], is_limit=False)
    guessing = Dispatcher(made, blocks(made), budget, {}, now=lambda: 0, planned=6)
    assert len(guessing.lease(0, 2)) == 3


def test_turns_wait_for_the_limiter_one_by_one() -> None:
    """Of 4 requests a minute, a conversation of 3 takes 3; the next one waits."""
    made = dispatcher(paces={"x": Pace(4, None)})
    assert len(made.lease(0, 2)) == 3


async def test_a_conversation_longer_than_a_minute_allows_is_refused() -> None:
    """It could never begin as one."""
    with pytest.raises(SetupError, match="3 requests to simulator belong together, and requests_per_minute allows"):
        await hs.bench("simulator:gpt-4.1", [TALK], requests_per_minute=2, calibrate=False)


def test_every_user_of_a_search_has_a_conversation() -> None:
    """Also where their turns alone would be requests enough."""
    talk = Prompts(TALK.turns)
    assert talk.repeats(9) == 3
    assert talk.repeats(9, 16) == 16
    assert Prompts(("One?", "Two?")).repeats(9, 2) == 5


def test_a_batch_of_work_cuts_no_conversation() -> None:
    """After its end nothing begins but the next turn of one that has begun; the run's end holds for all."""
    intake = Intake()
    intake.hear(Word(start=0, until=100))
    intake.ends = 50
    slot = Slot(0, 0, 0, 0.0)
    assert [intake.is_off(slot, 60), intake.is_off(slot, 60, follows=True)] == [True, False]
    assert intake.is_off(slot, 110, follows=True)
    assert intake.rest == [slot, slot]


@pytest.mark.slow
async def test_a_conversation_outlives_the_batches_of_an_executor(run: Run) -> None:
    """No turn is asked twice because a batch ended."""
    model = "simulator:gpt-4.1#tokens=20,rate=10,first=0.1"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result = await run(models=model, prompts=[TALK], executor=pool, warmup=0)
    assert [trial.error for trial in result.records] == [""] * 3
    assert not result.warmup_records


# Cold and warm


def test_a_cold_request_and_its_warm_one_are_one_users() -> None:
    """In this order, whatever stands between them in the block."""
    made = Plan(models=("x:a", "x:b"), prompts=("Hi",), repeats=5, caches=("cold", "warm"), concurrency=4)
    for block in schedule(made):
        assert [[(slot.way, slot.model) for slot in chain] for chain in chains(made, block)] in (
            [[(0, 0), (1, 0)], [(0, 1), (1, 1)]],
            [[(0, 1), (1, 1)], [(0, 0), (1, 0)]],
        )


@pytest.mark.slow
async def test_a_cold_request_that_failed_is_made_again_for_its_warm_one(run: Run) -> None:
    """Kept among the warm-ups; the warm one is then sent. (The simulator fails each first try, so it fails as well.)"""
    model = "simulator:gpt-4.1#tokens=5,fail=503,tries=1"
    result = await run(models=model, prompts="Hello", cache=("cold", "warm"), warmup=0)
    assert [(trial.way, trial.error) for trial in result.warmup_records] == [("cold", "")]
    (cold,) = (trial for trial in result.records if trial.way == "cold")
    (warm,) = (trial for trial in result.records if trial.way == "warm")
    assert cold.error == "ServiceUnavailable"
    assert "Not sent" not in warm.message
    assert cold.over < result.warmup_records[0].submitted < result.warmup_records[0].over < warm.submitted


@pytest.mark.slow
async def test_a_warm_request_whose_cache_cannot_be_filled_is_not_sent(run: Run) -> None:
    """It failed as that did, at no cost, and says so; nothing of it is compared."""
    result = await run(models="simulator:gpt-4.1#fail=503,tries=9", prompts="Hello", cache=("cold", "warm"), warmup=0)
    cold, warm = sorted(result.records, key=lambda trial: trial.way)
    assert (cold.error, warm.error) == ("ServiceUnavailable", "ServiceUnavailable")
    assert warm.message.startswith("Not sent: what was to fill its cache failed (")
    assert warm.usd == 0
    assert len(result.warmup_records) == 1


@pytest.mark.slow
async def test_a_warm_request_of_another_sitting_has_its_cold_one_made_again(run: Run) -> None:
    """Its cache may be empty by then."""
    asked: dict[str, Any] = {"prompts": "Hello", "cache": ("cold", "warm"), "warmup": 0}
    whole = await run(**asked)
    lines = whole.path.read_bytes().splitlines(keepends=True)
    whole.path.write_bytes(b"".join(line for line in lines if b'"transport":"warm"' not in line))
    result = await run(**asked, resume=whole.path)
    assert sorted(trial.way for trial in result.records) == ["cold", "warm"]
    assert [trial.way for trial in result.warmup_records] == ["cold"]


async def test_a_conversation_has_no_cold_and_warm() -> None:
    """It fills its own cache."""
    with pytest.raises(SetupError, match="fills its own cache"):
        await hs.bench("simulator:gpt-4.1", [TALK], cache=("cold", "warm"))
