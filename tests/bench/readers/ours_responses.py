"""This project's client in OpenAI's Responses format."""

from functools import partial

from . import ours

reader = partial(ours.reader, wire="responses")
