"""The least that reads a stream of OpenAI's Responses."""

from functools import partial

import msgspec

from . import raw


class Event(msgspec.Struct, gc=False):
    type: str
    delta: str | None = None

    def piece(self) -> str | None:
        return self.delta if self.type == "response.output_text.delta" else None


ASKED = {"input": "Count.", "store": False, "stream": True}

reader = partial(raw.reader, path="responses", asked=ASKED, kind=Event)
