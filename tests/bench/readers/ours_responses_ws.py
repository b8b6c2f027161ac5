"""This project's client over a Responses socket."""

from functools import partial

from . import ours

reader = partial(ours.reader, wire="responses", transport="ws")
