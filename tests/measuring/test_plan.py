"""The plan, its hash, and the schedule as a pure function of its seed."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import islice
from statistics import mean
from typing import Any

import msgspec
import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.values.plan import Plan, prefix
from holystream_nb.measuring.values.schedule import blocks, schedule, starts


def plan(**changes: Any) -> Plan:
    return Plan(
        **{"models": ("x:a", "x:b", "x:c"), "prompts": ("one", "two"), "repeats": 10, "concurrency": 4, **changes}
    )


def test_every_model_is_asked_every_prompt_equally_often() -> None:
    """The schedule is the whole product of models, prompts and repeats, each once."""
    slots = [slot.id for block in schedule(plan()) for slot in block]
    assert len(slots) == len(set(slots)) == plan().requests == 60
    assert Counter(model for model, *_ in slots) == {0: 20, 1: 20, 2: 20}


def test_the_schedule_follows_from_the_seed_alone() -> None:
    """Same seed, same order and same waits; another seed, another order."""
    assert schedule(plan(seed=7)) == schedule(plan(seed=7))
    assert schedule(plan(seed=7)) != schedule(plan(seed=8))


def test_models_take_turns_in_random_order() -> None:
    """A block asks every model the same prompt and repeat; no model is always first."""
    blocks = schedule(plan())
    assert all(len({(slot.prompt, slot.repeat) for slot in block}) == 1 and len(block) == 3 for block in blocks)
    assert {block[0].model for block in blocks} == {0, 1, 2}
    assert [block[0].repeat for block in blocks] != sorted(block[0].repeat for block in blocks)


def test_transports_take_turns_as_models_do() -> None:
    """A block asks every model over every transport; neither transport is always first, and each is asked as often."""
    made = plan(transport=("sse", "ws"))
    blocks = schedule(made)
    assert all(len({(slot.model, slot.way) for slot in block}) == 6 for block in blocks)
    assert {block[0].way for block in blocks} == {0, 1}
    assert sum(map(len, blocks)) == made.requests == 120
    assert list(made.arms)[:2] == ["x:a · sse", "x:a · ws"]


def test_a_plan_over_sse_is_the_one_it_always_was() -> None:
    """Files of runs from before there were transports can be continued: the hash of such a plan has not changed."""
    old = plan(seed=7, simulator="simulator", max_cost=Decimal(1))
    assert old.hash == "3047f077adbb"
    assert plan(seed=7, simulator="simulator", transport=("sse",)).hash == old.hash
    others = [plan(seed=7, simulator="simulator", **more) for more in ({"transport": "ws"}, {"reuse": False})]
    assert len({old.hash, *(each.hash for each in others)}) == 3


def test_a_second_transport_does_not_profit_from_the_cache_of_the_first() -> None:
    """The same model sees another prefix of the same length; the first transport sends what it always did."""
    both, one = plan(transport=("sse", "ws")), plan()
    first, second = (both.messages(0, 3, way)[0]["content"] for way in (0, 1))
    assert first == one.messages(0, 3)[0]["content"]
    assert first != second
    assert len(first) == len(second)
    assert both.messages(0, 3, 1) == both.messages(0, 3, 1) != both.messages(0, 4, 1)
    assert plan(transport=("sse", "ws"), cache=True).messages(0, 3, 1) == plan(cache=True).messages(0, 3)


def test_streams_start_one_after_another() -> None:
    """Starts are spread by about 10 ms each, and no two are equal: no lock-step."""
    moments = sorted(moment for worker in starts(plan(concurrency=50), 2) for moment in worker)
    assert len(moments) == len(set(moments)) == 50
    assert all(0.010 * index <= moment <= 0.010 * (index + 1) for index, moment in enumerate(moments))


def test_one_stream_does_not_wait() -> None:
    """Without company there is no lock-step to break."""
    assert starts(plan(concurrency=1), 1) == [(0.0,)]
    assert {slot.wait_s for block in blocks(plan(concurrency=1)) for slot in block} == {0.0}


def test_users_do_not_pause_unless_that_is_asked_for() -> None:
    """A pause of up to 25 ms that nobody asked for halved a fast service; one that is asked for has its mean."""
    assert {slot.wait_s for block in schedule(plan(concurrency=16)) for slot in block} == {0.0}
    waits = [slot.wait_s for block in schedule(plan(pause=0.5, repeats=500)) for slot in block]
    assert 0 <= min(waits) < max(waits) <= 1
    assert mean(waits) == pytest.approx(0.5, rel=0.05)


def test_what_ends_a_run_early_makes_no_other_plan() -> None:
    """It is continued with another duration or another number of failures; a pause makes another plan."""
    assert plan().hash == plan(duration=3.0, max_failures=None).hash != plan(pause=0.1).hash
    assert plan().difference(plan(duration=3.0, max_failures=None)) == []


def test_arrivals_are_poisson() -> None:
    """Open loop: times rise, their distances have the mean 1/rate and, as exponentials do, that spread."""
    made = plan(concurrency=None, rate=20.0, repeats=500)
    times = [slot.wait_s for block in blocks(made) for slot in block]
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    assert times == sorted(times)
    assert starts(made, 2) == [(), ()]
    assert mean(gaps) == pytest.approx(0.05, rel=0.1)
    assert mean(gap**2 for gap in gaps) == pytest.approx(2 * 0.05**2, rel=0.2)


def test_without_a_number_of_repeats_there_is_no_end() -> None:
    """Every prompt is asked once a repeat, repeat after repeat, each in an order of its own; the seed decides."""
    made = plan(repeats=0, duration=1.0)
    first = list(islice(blocks(made), 40))
    assert [block[0].repeat for block in first] == [repeat for repeat in range(20) for _ in range(2)]
    assert len({tuple(block[0].prompt for block in first[at : at + 2]) for at in range(0, 40, 2)}) == 2
    assert first == list(islice(blocks(made), 40))
    assert made.requests == 0


def test_what_is_done_is_not_dealt_again() -> None:
    """A resumed run gets the rest, in the same order."""
    whole = [slot for block in blocks(plan()) for slot in block]
    done = {slot.id for slot in whole[:25]}
    assert [slot for block in blocks(plan(), done) for slot in block] == whole[25:]


@pytest.mark.parametrize(("concurrency", "workers"), [(1, 1), (100, 1), (101, 2), (512, 6)])
def test_a_process_has_about_100_streams(concurrency: int, workers: int) -> None:
    """More than 100 streams are spread over processes by themselves."""
    assert plan(concurrency=concurrency, repeats=1000).workers == workers


def test_a_repeat_has_a_prefix_of_its_own_and_models_share_it() -> None:
    """It differs between repeats and prompts, so that no prompt cache answers; all models get the same text."""
    texts = {plan().messages(prompt, repeat)[0]["content"] for prompt in (0, 1) for repeat in range(10)}
    assert len(texts) == 20
    assert all(text.endswith(("] one", "] two")) and len(text) == len("[12345678] one") for text in texts)
    assert prefix(1, 0, 0) != prefix(2, 0, 0)


def test_with_cache_the_prompt_is_sent_as_it_is() -> None:
    """`cache=True` leaves the prefix out; warm-ups keep theirs, so that they do not fill the cache."""
    assert plan(cache=True).messages(0, 3) == [{"role": "user", "content": "one"}]
    assert plan(cache=True).messages(0, "warm-up")[0]["content"] != "one"


def test_the_prefix_stands_first_in_a_list_of_messages() -> None:
    """Caches go by the beginning: it is put before a system message, and before a list of parts."""
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    asked = plan(prompts=(conversation, parts))
    first, second = asked.messages(0, 0), asked.messages(1, 0)
    assert first[0]["content"].endswith("] Be brief.")
    assert first[1] == conversation[1]
    assert second[0]["content"] == [{"type": "text", "text": prefix(0, 1, 0)}, *parts[0]["content"]]
    assert conversation[0]["content"] == "Be brief."


def test_the_hash_names_everything_but_max_cost() -> None:
    """A run that met its limit is continued with a higher one; any other change is another plan."""
    from decimal import Decimal

    assert plan().hash == plan(max_cost=Decimal(1)).hash
    others = [plan(seed=1), plan(repeats=11), plan(prompts=("one", "three")), plan(cache=True), plan(timeout=1.0)]
    assert len({plan().hash, *(other.hash for other in others)}) == 6
    assert plan().difference(plan(seed=1, repeats=11)) == ["repeats", "seed"]


def test_a_plan_survives_its_file() -> None:
    """As JSON and back it is the same plan with the same hash."""
    from decimal import Decimal

    whole = plan(prompts=("x", [{"role": "user", "content": "y"}]), max_cost=Decimal("0.10"), parameters={"n": 1})
    again = msgspec.json.decode(msgspec.json.encode(whole), type=Plan)
    assert (again, again.hash) == (whole, whole.hash)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"models": ()}, "one model"),
        ({"models": ("x:a", "x:a")}, "twice"),
        ({"prompts": ()}, "one prompt"),
        ({"prompts": ([],)}, "list of messages"),
        ({"repeats": 0}, "repeats=0"),
        ({"duration": 0.0}, "duration=0"),
        ({"pause": -1.0}, "pause"),
        ({"pause": 1.0, "rate": 2.0, "concurrency": None}, "closed loop"),
        ({"max_failures": 0}, "max_failures=0"),
        ({"rate": 1.0}, "either"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": None, "rate": 0.0}, "rate=0"),
        ({"limits": {"ttft": 1.0}}, "no limit ttft"),
        ({"transport": "grpc"}, "'grpc': choose from sse, ws, auto"),
        ({"transport": ("ws", "ws")}, "each transport once"),
        ({"transport": ()}, "each transport once"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(changes: dict[str, Any], word: str) -> None:
    """The sentence names what is wrong."""
    with pytest.raises(SetupError, match=word):
        plan(**changes)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"repeats": 10**30}, "requests, and a plan holds 1,000,000: ask less often, or give a duration"),
        ({"concurrency": 10**9}, "give 10,000 streams or fewer"),
        ({"warmup": 10**9}, "give 1,000 or fewer"),
    ],
)
def test_what_no_machine_holds_is_refused(given: dict[str, int], words: str) -> None:
    """A slip of the keyboard filled the memory until the kernel died."""
    with pytest.raises(SetupError, match=words):
        Plan(**{"models": ("x:a",), "prompts": ("Hello",), "concurrency": 1, **given})
