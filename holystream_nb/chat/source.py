"""One model's answer to a turn's question, as a live lane draws it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..client import Message
from ..events import Event, Usage
from ..pricing import UNKNOWN, Cost
from ..reply import Progress, Reply
from ..session import Session
from ..streams import Stream
from ..timing import Timing


class Asked:
    """Chooses the client when it is read, so that a missing key, too, is an answer's failure, and not the panel's."""

    def __init__(
        self,
        session: Session,
        messages: Sequence[Message],
        *,
        model: str,
        provider: str,
        base_url: str | None,
        parameters: dict[str, Any],
    ) -> None:
        self._session = session
        self._messages = messages
        self._model = model
        self._provider = provider
        self._base_url = base_url
        self._parameters = parameters
        self._submitted = time.perf_counter_ns()
        self._stopped = False
        self.stream: Stream | None = None
        """What was sent, if anything was."""

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
            model=self._model,
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

    async def __aiter__(self) -> AsyncIterator[Event]:
        client, model = await self._session.choose(self._model, self._base_url)
        self.stream = client.stream(self._messages, model=model, **self._parameters)
        if self._stopped:
            self.stream.stop()
        async with self.stream:
            async for event in self.stream:
                yield event
