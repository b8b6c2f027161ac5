"""One model's answer to a turn's question, as a live lane draws it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..ask import Ask
from ..client.client import Message
from ..client.stream import Stream
from ..events import Event, Usage
from ..live.questions import Questions
from ..money.budget import Budget
from ..money.card import UNKNOWN
from ..money.cost import Cost
from ..reply import Progress, Reply
from ..session import Session
from ..timing import Timing
from ..tools.call import Call
from ..tools.exchange import Echo
from ..tools.run import ToolRun, run_tools
from .settings import Means


class Asked:
    """Chooses the client when it is read, so that a missing key, too, is an answer's failure, and not the panel's."""

    def __init__(
        self,
        session: Session,
        messages: Sequence[Message],
        *,
        model: str,
        provider: str,
        means: Means,
        parameters: dict[str, Any],
        questions: Questions,
        budget: Budget | None = None,
        shares: int = 1,
    ) -> None:
        self.messages = messages
        self.parameters = parameters
        self._session = session
        self._model = model
        self._provider = provider
        self._means = means
        self._questions = questions
        self._budget = budget
        self._shares = shares
        self._submitted = time.perf_counter_ns()
        self._stopped = False
        self.stream: Stream | ToolRun | None = None
        """What was sent, if anything was."""

    @property
    def calls(self) -> tuple[Call, ...]:
        """Of tools, so far."""
        return self.stream.calls if isinstance(self.stream, ToolRun) else ()

    @property
    def limited_by(self) -> str:
        """The budget that ended it, by its name."""
        return "" if self.stream is None else self.stream.limited_by

    @property
    def echoes(self) -> tuple[Echo | None, ...]:
        """What the service wants back of each round, the last one's what was said last."""
        if isinstance(self.stream, ToolRun):
            return tuple(self.stream.echoes)
        return () if self.stream is None else (self.stream.reply.echo,)

    @property
    def requests(self) -> tuple[Reply, ...]:
        """Each request's own reply: with tools there may be several."""
        if isinstance(self.stream, ToolRun):
            return tuple(self.stream.replies)
        return () if self.stream is None else (self.stream.reply,)

    @property
    def ask(self) -> Ask:
        """It as a cell would ask it."""
        means = self._means
        return Ask(
            self.messages,
            (self._model,),
            options=means.options,
            transport=means.transport,
            tools=means.tools,
            allow=means.allow,
            parameters=self.parameters,
        )

    @property
    def reply(self) -> Reply:
        if self.stream is not None:
            return self.stream.reply
        return Reply(
            text="",
            reasoning="",
            tool_calls=(),
            finish_reason="",
            usage=Usage(exact=False),
            timing=Timing(submitted=self._submitted),
            cost=Cost(None, None, False, "", "", UNKNOWN),
            model=self._model.removeprefix(f"{self._provider}:"),
            provider=self._provider,
        )

    @property
    def progress(self) -> Progress:
        if self.stream is not None:
            return self.stream.progress
        return Progress((time.perf_counter_ns() - self._submitted) / 1e6, None, 0, None, 0, 0.0, "")

    def stop(self) -> None:
        self._stopped = True
        if self.stream is not None:
            self.stream.stop()

    async def __aiter__(self) -> AsyncIterator[Event | Call]:
        means = self._means
        place = await self._session.locate(self._model, means.options)
        async with self._session.reached(place) as client:
            if self._budget is not None:
                client = client.within(self._budget, shares=self._shares)
            how: dict[str, Any] = {"model": place.model, "transport": means.transport, **self.parameters}
            if means.tools:
                self.stream = run_tools(
                    client, self.messages, tools=means.tools, consent=means.allow, ask=self._questions.ask, **how
                )
            else:
                self.stream = client.stream(self.messages, **how)
            if self._stopped:
                self.stream.stop()
            async with self.stream:
                async for event in self.stream:
                    yield event
