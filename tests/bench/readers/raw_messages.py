"""The least that reads a stream of Anthropic's Messages."""

from functools import partial

import msgspec

from . import raw


class Delta(msgspec.Struct, gc=False):
    text: str | None = None


class Event(msgspec.Struct, gc=False):
    type: str
    delta: Delta | None = None

    def piece(self) -> str | None:
        return self.delta.text if self.type == "content_block_delta" and self.delta else None


ASKED = {"max_tokens": 100_000, "messages": [{"role": "user", "content": "Count."}], "stream": True}

reader = partial(raw.reader, path="messages", asked=ASKED, kind=Event)
