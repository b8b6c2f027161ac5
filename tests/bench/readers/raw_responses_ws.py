"""The least that reads a Responses socket."""

from functools import partial

from . import raw_ws
from .raw_responses import Event

ASKED = {"type": "response.create", "input": "Count.", "store": False}

reader = partial(raw_ws.reader, path="/v1/responses", asked=ASKED, kind=Event, end="response.completed")
