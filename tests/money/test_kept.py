"""max_cost is kept, whatever the service does: in what it is asked for, and in what is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from foreign import Asked, Foreign, Given, answering, listed, streamed

from holystream_nb.chat.policy import Chat, News
from holystream_nb.chat.settings import Means, Settings
from holystream_nb.client.client import Client
from holystream_nb.errors import BadRequest, HolystreamError, SetupError, SeveralFailed
from holystream_nb.events import Usage
from holystream_nb.facts import Facts
from holystream_nb.money.budget import Budget
from holystream_nb.reply import Reply
from holystream_nb.session import Session

Start = Callable[[Callable[[Asked], Given]], Foreign]

PROMPT = "Hello there"
A_READ = Decimal("0.0008")
"""What a busy machine may bring at once: what has come is paid for."""

TEN_TOKENS = "forty characters, which are ten tokens. "


def chunk(text: str, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}}]}


def endless(asked: Asked) -> Given:
    """A service that keeps no limit: chunks of ten tokens, 2,000 in all, and no usage."""
    return streamed(*(piece for _ in range(200) for piece in (chunk(TEN_TOKENS), 0.005)))


def short(asked: Asked) -> Given:
    """An answer of ten tokens, counted: 20 tokens in, 10 out."""
    usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    return streamed(
        chunk(TEN_TOKENS), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
    )


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a service that is the provider `priced`, whose models smol and tiny cost $1 in and $8 out."""
    path = tmp_path / "providers.toml"
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    with contextlib.ExitStack() as stack:

        def start(handler: Callable[[Asked], Given], **fields: str) -> Foreign:
            found = stack.enter_context(answering(handler))
            own = "".join(f'{name} = "{value}"\n' for name, value in fields.items())
            rows = "".join(f'[priced.prices."{model}"]\ninput = 1\noutput = 8\n' for model in ("smol", "tiny"))
            path.write_text(f'[priced]\nbase_url = "{found.url}"\n{own}{rows}')
            return found

        yield start


@pytest.fixture
async def session() -> Any:
    own = Session()
    yield own
    await own.close()


def limits(service: Foreign) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.body.items() if "max_" in name} for each in service.asked]


async def test_a_stream_that_passes_its_limit_is_stopped(priced: Start, session: Session) -> None:
    """Where the service keeps none: the estimate of the text ends it, before the limit, marked ≈."""
    priced(endless)
    reply = await session.stream(PROMPT, model="priced:smol", max_cost=0.002)
    assert reply.finish_reason == "length"
    assert reply.cost.usd is not None
    assert Decimal("0.0018") < reply.cost.usd <= Decimal("0.002") + A_READ
    assert not reply.usage.exact
    assert not reply.cost.exact


async def test_reasoning_that_is_shown_counts(priced: Start, session: Session) -> None:
    """It is billed as output."""
    delta = {"choices": [{"index": 0, "delta": {"reasoning_content": TEN_TOKENS}}]}
    priced(lambda asked: streamed(*(piece for _ in range(200) for piece in (delta, 0.005))))
    reply = await session.stream(PROMPT, model="priced:smol", max_cost=0.002)
    assert reply.finish_reason == "length"
    assert reply.cost.usd is not None
    assert reply.cost.usd <= Decimal("0.002") + A_READ


async def test_every_choice_counts(priced: Start, session: Session) -> None:
    """n=8: each is asked for an eighth, and all that comes is paid for."""
    pieces = [piece for i in range(400) for piece in (chunk(TEN_TOKENS, i % 8), 0.005)]
    service = priced(lambda asked: streamed(*pieces))
    reply = await session.stream(PROMPT, model="priced:smol", max_cost=0.002, n=8)
    (asked,) = limits(service)
    assert asked == {"max_tokens": pytest.approx(30, abs=1)}
    assert reply.cost.usd is not None
    assert Decimal("0.0018") < reply.cost.usd <= Decimal("0.002") + A_READ
    assert len(reply.other_choices) == 7


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({}, {"max_tokens": 249}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_completion_tokens": 10**6}, {"max_completion_tokens": 249}),
        ({"max_output_tokens": 10**6}, {"max_output_tokens": 249, "max_tokens": 249}),
        ({"max_tokens": 9, "max_completion_tokens": 10**6}, {"max_tokens": 9, "max_completion_tokens": 249}),
        ({"max_tokens": -1}, {"max_tokens": 249}),
    ],
)
async def test_the_user_s_own_limit_keeps_its_name_and_is_never_raised(
    priced: Start, session: Session, wanted: dict[str, int], sent: dict[str, int]
) -> None:
    """The lower of both, by whichever name it was given."""
    service = priced(short)
    await session.stream(PROMPT, model="priced:smol", max_cost=0.002, **wanted)
    assert limits(service) == [sent]


async def test_schemas_are_paid_for(priced: Start, session: Session) -> None:
    """A schema of 4,000 characters are a thousand tokens, which leave less for the answer."""
    service = priced(short)
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"description": "d" * 4_000}}}
    await session.stream(PROMPT, model="priced:smol", max_cost=0.01)
    await session.stream(PROMPT, model="priced:smol", max_cost=0.01, response_format=schema)
    bare, with_schema = (each["max_tokens"] for each in limits(service))
    assert bare - with_schema == pytest.approx(1.25 * 1_000 / 8, rel=0.05)


async def test_an_image_is_no_text(priced: Start, session: Session) -> None:
    """300 kB of base64 were 100,029 tokens, for which $0.01 does not pay."""
    service = priced(short)
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 300_000}"}}
    await session.stream([{"role": "user", "content": [image]}], model="priced:smol", max_cost=0.01)
    (asked,) = limits(service)
    assert asked["max_tokens"] > 1_000


async def test_a_python_caller_reads_the_name_that_it_wrote(priced: Start, session: Session) -> None:
    """`max_cost=…`, where the option line has `--max-cost …`."""
    service = priced(short)
    with pytest.raises(SetupError, match=r"^max_cost=0.000001 does not pay for the prompt at smol .*nothing was sent"):
        await session.stream(PROMPT, model="priced:smol", max_cost="0.000001")
    assert not service.asked


# The session's


async def test_the_session_s_budget_holds_for_all_that_the_session_asks(priced: Start, session: Session) -> None:
    """What was spent before counts; the answer that would pass it is ended; then nothing is sent any more."""
    service = priced(short)
    await session.stream(PROMPT, model="priced:smol")
    assert session.budget.spent == Decimal("0.0001")
    service = priced(endless)
    session.budget.limit = Decimal("0.001")
    reply = await session.stream(PROMPT, model="priced:smol", max_cost=1)
    assert reply.finish_reason == "length"
    assert Decimal("0.0008") < session.budget.spent <= Decimal("0.001") + A_READ
    with contextlib.suppress(SetupError):
        while len(service.asked) < 5:  # the rest may pay for a few tokens
            await session.stream(PROMPT, model="priced:smol")
    asked = len(service.asked)
    with pytest.raises(SetupError, match=r"session_budget=0\.001 .*nothing more was sent"):
        await session.stream(PROMPT, model="priced:smol")
    assert len(service.asked) == asked


async def test_answers_at_once_keep_a_budget_together(priced: Start) -> None:
    """Four streams of one client, each alone within it."""
    priced(endless)
    budget = Budget(Decimal("0.004"), "session_budget")

    async def ask(client: Client) -> Reply:
        stream = client.stream(PROMPT, model="smol")
        async with stream:
            async for _ in stream:
                pass
        return stream.reply

    async with Client("priced") as client:
        replies = await asyncio.gather(*(ask(client.within(budget)) for _ in range(4)))
    assert sum(reply.cost.usd or 0 for reply in replies) <= Decimal("0.004") + A_READ
    assert {reply.finish_reason for reply in replies} == {"length"}


async def test_a_stopped_answer_is_spent_at_its_estimate(priced: Start, session: Session) -> None:
    """Nobody says what it cost."""
    priced(endless)
    place = await session.locate("priced:smol")
    async with session.reached(place) as client, client.stream(PROMPT, model="smol") as stream:
        async for _ in stream:
            if stream.progress.tokens >= 50:
                stream.stop()
    assert session.budget.spent == stream.reply.cost.usd
    assert session.budget.spent >= 50 * Decimal(8) / 10**6


async def test_an_unknown_price_is_refused_under_a_budget_only(priced: Start, session: Session) -> None:
    """It cannot be kept where nobody knows what is spent."""
    priced(short)
    await session.stream(PROMPT, model="priced:nobody-knows")
    session.budget.limit = Decimal(1)
    with pytest.raises(SetupError, match="session_budget=1 cannot be kept: the price of nobody-knows is not known"):
        await session.stream(PROMPT, model="priced:nobody-knows")


# A panel's


@pytest.fixture
async def panel(session: Session) -> Any:
    chats: list[Chat] = []

    def make(*models: str, max_cost: str) -> Chat:
        news: list[News] = []
        means = Means(max_cost=Decimal(max_cost)).checked()
        chats.append(
            Chat(
                session,
                Settings(models),
                report=news.append,
                save_copy=lambda _: "",
                set_aside=lambda *_: "",
                means=means,
            )
        )
        return chats[-1]

    yield make
    for chat in chats:
        await chat.finish()


async def test_a_panel_s_budget_is_for_the_whole_conversation(priced: Start, panel: Any) -> None:
    """The answer that would pass it is ended, and the next question is refused before it is sent."""
    priced(endless)
    chat = panel("priced:smol", max_cost="0.002")
    (reply,) = await asyncio.wrap_future(chat.send(PROMPT).done)
    assert (reply.finish_reason, reply.error) == ("length", None)
    assert Decimal("0.0018") < chat.spent.usd <= Decimal("0.002") + A_READ
    await asyncio.wrap_future(chat.send(PROMPT).done)
    turns = len(chat.conversation.turns)
    chat._budget.limit = chat.spent.usd  # spent to the last cent
    with pytest.raises(SetupError, match="is spent"):
        chat.send(PROMPT)
    with pytest.raises(SetupError, match="is spent"):
        chat.regenerate()
    assert len(chat.conversation.turns) == turns, "a refused question takes nothing away"


async def test_a_panel_s_models_share_what_is_left(priced: Start, panel: Any) -> None:
    """Each is asked for its part."""
    service = priced(short)
    chat = panel("priced:smol", "priced:tiny", max_cost="0.002")
    await asyncio.wrap_future(chat.send(PROMPT).done)
    assert [each["max_tokens"] for each in limits(service)] == pytest.approx([124, 124], abs=2)
    assert chat.spent.usd == Decimal("0.0002")


# What is estimated


async def test_what_is_estimated_live_is_what_is_estimated_at_the_end(priced: Start) -> None:
    """A chunk of ten tokens is ten tokens, in progress as in the reply."""
    priced(endless)
    seen = []
    async with Client("priced") as client, client.stream(PROMPT, model="smol") as stream:
        async for _ in stream:
            seen.append(stream.progress.tokens)
            if len(seen) == 5:
                stream.stop()
    assert seen == sorted(seen)
    assert all(tokens % 10 == 0 for tokens in seen)
    assert stream.reply.usage.completion_tokens == stream.progress.tokens == seen[-1]


async def test_no_estimate_of_a_prompt_is_made_twice(priced: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often one looks: 118 ms for each look, with an image, stood in the loop's way."""
    made = []
    from holystream_nb.client import stream as module

    whole = module.estimate_prompt
    monkeypatch.setattr(module, "estimate_prompt", lambda body: made.append(body) or whole(body))
    priced(endless)
    async with Client("priced", tokens_per_minute=10**6) as client:
        stream = client.within(Budget(Decimal("0.001"), "max_cost")).stream(PROMPT, model="smol")
        async for _ in stream:
            assert stream.reply
    assert len(made) == 1


async def test_gemini_s_thinking_is_paid_for(priced: Start, session: Session) -> None:
    """{3, 9, total 105} cost 22 times less than billed, and was called exact."""
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 105}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
    priced(lambda asked: streamed(chunk("Hi"), end), unnamed_output="reasoning")
    reply = await session.stream(PROMPT, model="priced:smol")
    assert reply.cost.usd == (3 * Decimal(1) + 102 * Decimal(8)) / 10**6
    assert (reply.usage.reasoning_tokens, reply.usage.other_tokens, reply.cost.exact) == (93, None, True)
    assert reply.timing.visible_tokens == 9
    priced(lambda asked: streamed(chunk("Hi"), end))
    reply = await session.stream(PROMPT, model="priced:tiny")
    assert (reply.usage.reasoning_tokens, reply.usage.other_tokens, reply.cost.exact) == (None, 93, False)
    assert reply.timing.visible_tokens == 9


@pytest.mark.parametrize(("tier", "exact"), [("", True), ("default", True), ("flex", False), ("Priority", False)])
def test_another_tier_than_the_list_s_is_not_exact(priced: Start, tier: str, exact: bool) -> None:
    """Lists have the ordinary tier's prices."""
    priced(short)
    stream = Client("priced").stream(PROMPT, model="smol")
    answer: Any = SimpleNamespace(facts=Facts(service_tier=tier))
    assert stream._cost(Usage(3, 9, 12), answer).exact is exact


def test_several_models_share_a_limit(priced: Start) -> None:
    """An equal part for each, whatever the other does."""
    from holystream_nb.ask import Ask
    from holystream_nb.client.options import ClientOptions

    service = priced(short)

    async def ask() -> None:
        session = Session()
        asked = Ask(PROMPT, ("priced:smol", "priced:tiny"), options=ClientOptions(), max_cost=Decimal("0.002"))
        try:
            await session.ask(asked)
        except SeveralFailed:
            pytest.fail("both are paid for")
        finally:
            await session.close()

    asyncio.run(ask())
    assert [each["max_tokens"] for each in limits(service)] == pytest.approx([124, 124], abs=2)


async def test_what_was_refused_makes_no_total_an_estimate(priced: Start, session: Session) -> None:
    """One 401, or a prompt that max_cost does not pay for, and all that was counted exactly stood there with "≈"."""
    priced(lambda asked: listed({"error": {"message": "no such model"}}, 404))
    with pytest.raises(HolystreamError):
        await session.stream(PROMPT, model="priced:nobody-knows")
    priced(short)
    with pytest.raises(SetupError):
        await session.stream(PROMPT, model="priced:smol", max_cost=1e-9)
    await session.stream(PROMPT, model="priced:smol")
    totals = session.totals
    assert (totals.exact, totals.cost_exact, totals.unpriced, totals.cost.usd) == (True, True, 0, Decimal("0.0001"))


async def test_a_prompt_that_was_sent_is_paid_for_although_nothing_came(priced: Start) -> None:
    """A stop while the service thinks: it has the prompt."""
    priced(lambda asked: Given((5.0,)))
    async with Client("priced") as client, client.stream(PROMPT * 100, model="smol", timeout=0.3) as stream:
        with pytest.raises(HolystreamError):
            async for _ in stream:
                pass
        assert (stream.reply.usage.prompt_tokens, stream.reply.usage.exact) == (275, False)


# What a limit may be


def smaller(asked: Asked) -> Given:
    """A model that writes 16,384 tokens at most, and says so to whoever wants more."""
    wanted = max((asked.body.get(name) or 0) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
    said = f"max_tokens is too large: {wanted}. This model supports at most 16384 completion tokens."
    return listed({"error": {"message": said, "param": "max_tokens"}}, 400) if wanted > 16_384 else short(asked)


async def test_more_than_a_model_writes_is_no_limit_for_it(priced: Start, session: Session) -> None:
    """With max_cost=1 a request asked for 124,000 tokens, and OpenAI, DeepSeek, Groq, vLLM answer 400 to that."""
    service = priced(smaller)
    for _ in range(2):
        reply = await session.stream(PROMPT, model="priced:smol", max_cost=1)
        assert (reply.text, reply.timing.retries) == (TEN_TOKENS, 0)
    first, *others = limits(service)
    assert first["max_tokens"] > 100_000
    assert others == [{}, {}], "the model's own holds, from the beginning the second time"
    await session.stream(PROMPT, model="priced:smol", max_cost=0.02)
    assert limits(service)[-1] == {"max_tokens": pytest.approx(2_498, abs=2)}


async def test_what_one_prompt_leaves_no_room_for_is_asked_of_the_next(priced: Start, session: Session) -> None:
    """A limit above what is left of the context is left out for that prompt alone."""
    said = "'max_tokens' is too large: 249. This model's maximum context length is 256 tokens and you have 200 of input"
    full = listed({"error": {"message": said}}, 400)
    service = priced(lambda asked: full if len(service.asked) == 1 else short(asked))
    for _ in range(2):
        await session.stream(PROMPT, model="priced:smol", max_cost=0.002)
    assert limits(service) == [{"max_tokens": 249}, {}, {"max_tokens": 249}]


@pytest.mark.parametrize("most", [Decimal(1), Decimal(100)])
async def test_the_model_s_own_limit_is_not_called_a_budget(priced: Start, most: Decimal) -> None:
    """An answer of 16,384 tokens was ended by its model."""
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    priced(lambda asked: given if (given := smaller(asked)).status == 400 else streamed(chunk(TEN_TOKENS), end))
    async with Client("priced") as client:
        async with client.within(Budget(most, "max_cost")).stream(PROMPT, model="smol") as stream:
            async for _ in stream:
                pass
        assert (stream.reply.finish_reason, stream.limited_by) == ("length", "")


async def test_more_than_any_model_writes_is_not_asked_for(priced: Start, session: Session) -> None:
    """A session's budget of $100 asked for twelve million tokens."""
    service = priced(smaller)
    reply = await session.stream(PROMPT, model="priced:smol", max_cost=100)
    assert (limits(service), reply.text) == ([{}], TEN_TOKENS)


@pytest.mark.parametrize("n", [8, np.int64(8)])
async def test_as_many_choices_as_a_service_reads_are_paid_for(priced: Start, session: Session, n: Any) -> None:
    """Of each only so much is asked for as the limit pays."""
    service = priced(short)
    await session.stream(PROMPT, model="priced:smol", max_cost=0.002, n=n)
    assert limits(service) == [{"max_tokens": 31}]


@pytest.mark.parametrize("n", [8.0, "8", True])
async def test_choices_in_a_form_that_only_some_services_read_are_refused(
    priced: Start, session: Session, n: Any
) -> None:
    """What would be paid for is not known then."""
    service = priced(short)
    with pytest.raises(SetupError, match=r"n is .*: give a whole number"):
        await session.stream(PROMPT, model="priced:smol", max_cost=0.002, parameters={"n": n})
    assert limits(service) == []


async def test_a_limit_of_the_user_s_own_stays_as_it_is(priced: Start, session: Session) -> None:
    """What a user asks for is not silently something else."""
    priced(smaller)
    with pytest.raises(BadRequest, match="too large"):
        await session.stream(PROMPT, model="priced:smol", max_cost=1, max_tokens=20_000)


async def test_messages_have_their_usual_limit_at_most(priced: Start, session: Session) -> None:
    """The format's default is what models take."""
    service = priced(lambda asked: listed({"type": "error", "error": {"type": "api_error", "message": "no"}}, 400))
    with pytest.raises(BadRequest):
        await session.stream(PROMPT, model="priced:smol", wire="messages", max_cost=1)
    with pytest.raises(BadRequest):
        await session.stream(PROMPT, model="priced:smol", wire="messages", max_cost=0.002)
    assert [each["max_tokens"] for each in limits(service)] == [8_192, 249]


async def test_a_limit_below_what_is_set_apart_for_thinking_is_said(priced: Start, session: Session) -> None:
    """The service's 400 said nothing of max_cost."""
    service = priced(short)
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    with pytest.raises(SetupError, match=r"^max_cost=0\.002 pays for about 249 .*, and 2,001 are .*budget_tokens"):
        await session.stream(PROMPT, model="priced:smol", wire="messages", max_cost=0.002, thinking=thinking)
    assert not service.asked
    assert session.budget.spent == 0


async def test_less_than_responses_take_is_not_asked_for(priced: Start, session: Session) -> None:
    """At the end of a budget OpenAI answered 400: `max_output_tokens` is 16 at least."""
    service = priced(short)
    with pytest.raises(
        SetupError, match=r"^max_cost=0\.0001 pays for about 1\d tokens .*, and 16 are the least .*limit;"
    ):
        await session.stream(PROMPT, model="priced:smol", wire="responses", max_cost=0.0001)
    assert not service.asked


async def test_a_budget_does_not_make_the_rate_limit_wait(priced: Start) -> None:
    """What it pays for at most is no estimate of an answer: each of these waited for 124,000 tokens of the minute."""
    priced(short)
    async with Client("priced", tokens_per_minute=2_000) as client:
        for _ in range(3):
            async with client.within(Budget(Decimal(1), "session_budget")).stream(PROMPT, model="smol") as stream:
                async with asyncio.timeout(5):
                    async for _ in stream:
                        pass
            assert (stream.reply.timing.queue_ms or 0) < 1_000
