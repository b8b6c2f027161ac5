"""Events folded into a Reply."""

from decimal import Decimal
from typing import Any

import pytest

from holystream_nb.events import Event, Finish, OtherChoice, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Fold, Reply, ToolCall
from holystream_nb.timing import Timing


def folded(*events: Event, **changes: Any) -> Reply:
    fold = Fold()
    for event in events:
        fold.add(event)
    values: dict[str, Any] = {
        "finish_reason": "stop",
        "whole": True,
        "prompt_estimate": 7,
        "hides_reasoning": False,
        "cost": lambda usage: Cost(None, None, usage.exact, "nobody", "never", "unknown"),
        "model": "m",
        "provider": "p",
        "stamps": Timing(submitted=0, sent=0),
        "request_id": None,
        "error": None,
    }
    return fold.reply(**{**values, **changes})


def test_text_and_reasoning_are_kept_apart_and_in_order() -> None:
    """The answer is the text events, the reasoning the reasoning events."""
    reply = folded(Reasoning("think ", 1), Reasoning("more", 2), Text("a", 3), Text("b", 4), Finish("stop", 4))
    assert (reply.text, reply.reasoning) == ("ab", "think more")


def test_tool_calls_are_put_together_from_interleaved_parts() -> None:
    """Each index is one call; a part without id or name only adds arguments."""
    reply = folded(
        ToolCallPart(0, "a", "f", '{"x"', 1),
        ToolCallPart(1, "b", "g", "", 1),
        ToolCallPart(0, "", "", ": 1}", 2),
    )
    assert reply.tool_calls == (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", ""))


def test_other_choices_are_kept_and_not_mixed_in() -> None:
    """The first choice is the answer."""
    reply = folded(Text("yes", 1), OtherChoice(2, "maybe", 1), OtherChoice(1, "no", 2), Text("!", 3))
    assert (reply.text, reply.other_choices) == ("yes!", ("no", "maybe"))


def test_the_last_usage_wins() -> None:
    """A running usage in every chunk ends as the final one."""
    reply = folded(Text("a", 1), Usage(5, 1, 6, read=1), Text("b", 2), Usage(5, 2, 7, read=2))
    assert (reply.usage.completion_tokens, reply.usage.exact) == (2, True)


def test_without_usage_tokens_are_counted_and_marked() -> None:
    """From the text, of which a chunk may hold many tokens; the prompt is estimated too, and neither is exact."""
    usage = folded(Text("a chunk of ten tokens or so, as services send", 1), Reasoning("b", 2), Finish("stop", 3)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.exact) == (7, 12, 19, False)


def test_a_partial_answer_never_takes_a_running_usage_for_the_whole() -> None:
    """After a stop the text is estimated, and the prompt's reported tokens are used."""
    usage = folded(Text("a", 1), Usage(5, 1, 6, read=1), Text("bcd ef", 2), whole=False).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.exact) == (5, 2, False)


def test_events_of_one_read_make_one_stamp() -> None:
    """Reads are distinct, so gaps are between reads and not between events."""
    assert list(folded(Text("a", 1), Text("b", 1), Reasoning("c", 4)).timing.reads) == [1, 4]


def test_first_answer_is_the_first_output_that_is_not_reasoning() -> None:
    """TTFA waits for text or a tool call."""
    assert folded(Reasoning("a", 1), ToolCallPart(0, "i", "f", "", 5)).timing.first_answer == 5
    assert folded(Reasoning("a", 1)).timing.first_answer is None


@pytest.mark.parametrize(
    ("usage", "hides", "visible"),
    [
        (Usage(1, 600, 601, reasoning_tokens=500), True, 100),
        (Usage(1, 600, 601, reasoning_tokens=500), False, 100),
        (Usage(1, 600, 601), True, None),
        (Usage(1, 600, 601), False, 600),
    ],
)
def test_hidden_reasoning_is_left_out_of_the_rate(usage: Usage, hides: bool, visible: int | None) -> None:
    """Tokens nobody saw arrive must not make the decoding look fast; an unknown number gives no rate."""
    assert folded(Text("a", 1), usage, hides_reasoning=hides).timing.visible_tokens == visible


@pytest.mark.parametrize(
    ("usage", "unnamed", "reasoning", "other", "visible"),
    [
        (Usage(3, 102, 105, other_tokens=93), "reasoning", 93, None, 9),
        (Usage(3, 102, 105, other_tokens=93), "other", None, 93, 9),
        (Usage(3, 9, 12), "reasoning", 0, None, 9),
        (Usage(3, 93, 96, other_tokens=93), "other", None, 93, None),
        (Usage(3, 10, 13, reasoning_tokens=11), "other", 11, None, None),
        (Usage(3, 388, 400, reasoning_tokens=340, other_tokens=46), "reasoning", 386, None, 2),
    ],
)
def test_output_that_no_count_names(
    usage: Usage, unnamed: Any, reasoning: int | None, other: int | None, visible: int | None
) -> None:
    """Its provider's row says whether it is reasoning; nobody saw it come, and below one token there is no rate."""
    reply = folded(Text("a", 1), usage, unnamed=unnamed)
    assert (reply.usage.reasoning_tokens, reply.usage.other_tokens) == (reasoning, other)
    assert reply.timing.visible_tokens == visible


@pytest.mark.parametrize("usage", [Usage(0, 0, 0), Usage(5, 0, 5), Usage(5, None, None), Usage(cost=None), Usage()])
def test_zeros_beside_text_are_no_usage(usage: Usage) -> None:
    """Nor is what is absent: the text is estimated, and says so."""
    reply = folded(Text("abcdefgh", 1), usage)
    assert (reply.usage.completion_tokens, reply.usage.exact, reply.cost.exact) == (2, False, False)
    assert reply.usage.prompt_tokens == (usage.prompt_tokens or 7)


def test_nothing_counted_where_nothing_came_is_a_count() -> None:
    """An empty answer has no tokens."""
    assert folded(Usage(5, 0, 5)).usage == Usage(5, 0, 5)


def test_a_count_that_output_came_after_is_not_of_the_whole() -> None:
    """A running usage whose last is missing: at least so many, and not exact."""
    usage = folded(Text("a", 1), Usage(5, 7, 12, read=1), Text("b", 2), Finish("stop", 3)).usage
    assert (usage.completion_tokens, usage.exact) == (7, False)


def test_a_stated_cost_stays_whatever_comes_after_it() -> None:
    """In a piece before, in a piece behind, and after a stop."""
    one, other = Usage(cost=Decimal("0.5"), read=1), Usage(5, 1, 6, read=1)
    for events in ([one, other], [other, one]):
        for whole in (True, False):
            usage = folded(Text("a", 1), *events, whole=whole).usage
            assert (usage.prompt_tokens, usage.completion_tokens, usage.cost) == (5, 1, Decimal("0.5"))


@pytest.mark.parametrize(
    ("reports", "counts"),
    [
        ((Usage(9), Usage(None, 5)), (9, 5, True)),
        ((Usage(9, cached_tokens=4), Usage(9, 5, 14)), (9, 5, True)),
        ((Usage(9, 5, 14), Usage(0, 0, 0)), (9, 5, True)),
        ((Usage(9, 5, 14), Usage(cost=Decimal("0.5"))), (9, 5, True)),
        ((Usage(None, None, 507),), (7, 500, False)),
        ((Usage(None, 5),), (7, 5, False)),
    ],
)
def test_a_usage_may_come_in_pieces(reports: tuple[Usage, ...], counts: tuple[int, int, bool]) -> None:
    """The later one counts, with what only the earlier says; zeros at the end count nothing; a total is a bound."""
    usage = folded(Text("abcdefgh", 1), *reports).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.exact) == counts
    assert usage.cached_tokens == reports[0].cached_tokens


def test_a_cost_behind_output_makes_an_earlier_count_no_count_of_it() -> None:
    """What came in between was not counted."""
    usage = folded(Text("a", 1), Usage(9, 5, 14), Text("b" * 40, 2), Usage(cost=Decimal("0.5"))).usage
    assert (usage.completion_tokens, usage.exact, usage.cost) == (11, False, Decimal("0.5"))


@pytest.mark.parametrize(
    ("events", "changes", "uncounted"),
    [
        ((Text("a", 1),), {"hides_reasoning": True}, True),
        ((Text("a", 1), Usage(5, 90, 95, read=1)), {"hides_reasoning": True, "whole": False}, False),
        ((Text("a", 1), Usage(5, 90, 95, read=1)), {"hides_reasoning": True}, False),
        ((Reasoning("r", 1), Text("a", 1)), {"hides_reasoning": True}, False),
        ((Text("a", 1),), {}, False),
        ((), {"hides_reasoning": True, "prompt_estimate": None}, False),
    ],
)
def test_hidden_reasoning_that_nobody_counted_is_known(
    events: tuple[Event, ...], changes: dict[str, Any], uncounted: bool
) -> None:
    """After a stop the text is a small part of what such a model wrote, and is billed for."""
    assert folded(*events, **changes).usage.uncounted is uncounted


def test_what_the_service_counts_as_it_goes_is_what_is_shown() -> None:
    """Live as after a stop, with what it hides."""
    fold = Fold()
    for event in (Text("a", 1), Usage(5, 90, 95, read=1), Text("b", 2)):
        fold.add(event)
    assert fold.tokens == fold.usage(whole=False, prompt_estimate=7).completion_tokens == 90


def test_choices_are_estimated_together_and_have_no_common_rate() -> None:
    """All are billed; only the first was timed."""
    events = [Text("a" * 40, 1), OtherChoice(1, "b" * 40, 1), Text("a" * 40, 2), OtherChoice(1, "b" * 40, 2)]
    assert folded(*events).usage.completion_tokens == 40
    assert folded(*events).timing.visible_tokens == 20
    assert folded(*events, Usage(5, 40, 45)).timing.visible_tokens is None


def test_tokens_of_the_first_read_are_estimated_where_all_are() -> None:
    """Two reads of ten tokens each, half a second apart: 20 a second."""
    second = 1_000_000_000
    reply = folded(Text("a" * 40, second), Text("b" * 40, second + second // 2))
    assert reply.timing.decode_tokens_per_s == pytest.approx(20)


def test_shown_reasoning_stays_in_the_rate() -> None:
    """Where reasoning events were seen, all completion tokens arrived in view; unless some have no name."""
    unnamed = folded(Reasoning("a", 1), Text("b", 2), Usage(1, 600, 601, other_tokens=500))
    assert unnamed.timing.visible_tokens is None
    reply = folded(Reasoning("a", 1), Text("b", 2), Usage(1, 600, 601, reasoning_tokens=500))
    assert reply.timing.visible_tokens == 600


def test_tokens_of_the_first_chunk_are_known_from_a_running_usage() -> None:
    """A usage that came with the first read says how many tokens that read brought."""
    reply = folded(Text("abc", 1), Usage(1, 3, 4, read=1), Text("d", 2), Usage(1, 4, 5, read=2))
    assert reply.timing.first_chunk_tokens == 3


def test_a_first_read_of_many_events_makes_no_answer_faster() -> None:
    """What a proxy had gathered when it let go came before TTFT: only what followed was made since then."""
    second = 1_000_000_000
    burst = [Text("x", second)] * 37 + [Text("x", second + 500_000_000)] * 10
    reply = folded(*burst, Usage(5, 47, 52, read=second + 500_000_000))
    assert reply.timing.first_chunk_tokens == 37
    assert reply.timing.decode_tokens_per_s == pytest.approx(20)


def test_the_representation_is_one_short_line_without_the_text() -> None:
    """A reply at the end of a cell does not dump the answer."""
    assert repr(folded(Text("secret text", 1))) == "<Reply p:m stop ≈3 tokens>"


def test_events_are_counted_by_the_read_that_brought_them() -> None:
    """Text, reasoning and calls; not what is no output."""
    events = [Reasoning("a", 1), Text("b", 1), Text("c", 4), ToolCallPart(0, "x", "f", "", 4), Finish("stop", 9)]
    timing = folded(*events, Usage(5, 4, 9, read=9)).timing
    assert (timing.reads.tolist(), timing.events.tolist()) == ([1, 4], [2, 2])


def streamed(tokens: int, reads: int, *, rate: float, per_event: int = 1, per_read: int = 1) -> Reply:
    """A service of `rate` tokens a second, `per_event` of them in an event and `per_read` events in a read."""
    ns = round(per_event * per_read * 1e9 / rate)
    events = [Text("word " * per_event, 1_000_000_000 + ns * read) for read in range(reads) for _ in range(per_read)]
    return folded(*events, Usage(5, tokens, tokens + 5, read=1_000_000_000 + ns * reads))


@pytest.mark.parametrize("per_read", [1, 5, 10])
@pytest.mark.parametrize("per_event", [1, 2, 10])
def test_a_decode_rate_is_the_same_however_the_tokens_are_packed(per_read: int, per_event: int) -> None:
    """50 tok/s were read as 59 and 86 with 5 and 10 events a read; 200 as 378 with 10 tokens an event."""
    reads = 3
    reply = streamed(per_read * per_event * reads, reads, rate=50, per_event=per_event, per_read=per_read)
    assert reply.timing.decode_tokens_per_s == pytest.approx(50)
    assert reply.timing.tpot_ms == pytest.approx(20)
    assert reply.timing.tokens_per_event == per_event


def test_uneven_groups_are_told_apart_by_their_characters() -> None:
    """Of 40 tokens the first event has a quarter of the characters: 30 came in the second after it."""
    second = 1_000_000_000
    reply = folded(Text("a" * 50, second), Text("b" * 150, 2 * second), Usage(1, 40, 41, read=2 * second))
    assert reply.timing.first_chunk_tokens == 10
    assert reply.timing.decode_tokens_per_s == pytest.approx(30)


def test_hidden_reasoning_is_not_in_the_first_reads_share() -> None:
    """A usage that came with the first read counts what was hidden before it; the rate is of what was seen."""
    second = 1_000_000_000
    first = Usage(1, 101, 102, reasoning_tokens=100, read=second)
    last = Usage(1, 111, 112, reasoning_tokens=100, read=2 * second)
    reply = folded(Text("a", second), first, Text("b" * 10, 2 * second), last)
    assert (reply.timing.visible_tokens, reply.timing.first_chunk_tokens) == (11, 1)
    assert reply.timing.decode_tokens_per_s == pytest.approx(10)
