"""How a service writes its answers, in words, so that two can be compared: document 004's fields and what is beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..errors import TooLarge
from ..facts import Wire
from ..wire.redaction import Hidden, hide
from ..wire.sse import Decoder
from ..wire.values import parse, well_formed

FIELDS: Final = ("id", "object", "created", "model", "index", "finish_reason")
"""What document 004 names of a chunk."""

_KNOWN: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})
_MOST_NAMES: Final = 12
_LONGEST: Final = 60

Shape = tuple[tuple[str, str], ...]
"""Fields with what was seen of each, in words."""


def shape_of(body: bytes, headers: Mapping[str, str], *, asked: str, secret: Hidden = ()) -> Shape:
    """The shape of a streamed answer: `body` is all its bytes, `asked` the model; `secret` is in no word of it."""
    say = _Saying(secret)
    data, types = _data_of(body)
    chunks = [tree for text in data if isinstance(tree := _parsed(text), dict)]
    choices = [choice for chunk in chunks for choice in _dicts(chunk.get("choices"))]
    deltas = [choice["delta"] for choice in choices if isinstance(choice.get("delta"), dict)]
    reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    models = [chunk["model"] for chunk in chunks if isinstance(chunk.get("model"), str)]
    return (
        ("content type", say.text(headers.get("content-type", "missing").partition(";")[0])),
        ("id", _identity([chunk["id"] for chunk in chunks if chunk.get("id")], len(chunks))),
        ("object", say.texts(chunk.get("object") for chunk in chunks)),
        ("created", _kinds(chunk.get("created") for chunk in chunks)),
        ("model", "as asked" if models and set(models) == {asked} else say.texts(models)),
        ("index", _kinds(choice.get("index") for choice in choices)),
        ("finish_reason", say.texts(reasons)),
        ("delta", say.names(deltas)),
        ("usage", _usage(chunks, say)),
        ("[DONE]", "yes" if "[DONE]" in (text.strip() for text in data) else "missing"),
        ("event types", say.texts(types) if set(types) - {"message"} else "none"),
        ("further fields", say.names([{name: 0 for name in chunk if name not in _KNOWN} for chunk in chunks], "none")),
    )


ENDS: Final[Mapping[Wire, tuple[str, ...]]] = {
    "chat": ("[DONE]",),
    "messages": ("message_stop",),
    "responses": ("response.completed", "response.incomplete"),
}
"""What each format ends with; the first is the usual end."""


def end_in(body: bytes, wire: Wire) -> str:
    """What a stream ended with; "" where it has no end."""
    data = _data_of(body)[0]
    trees = () if wire == "chat" else map(_parsed, data)
    said = [text.strip() for text in data] + [tree.get("type") for tree in trees if isinstance(tree, dict)]
    return next((end for end in ENDS[wire] if end in said), "")


def missing_in(shape: Shape) -> list[str]:
    """Document 004's fields that are not there."""
    seen = dict(shape)
    return [name for name in FIELDS if seen.get(name) in ("missing", "none")]


def error_shape(status: int, body: bytes, secret: Hidden = ()) -> str:
    """How a service writes an error: its status, and where the words are."""
    tree = _parsed(body.decode("utf-8-sig", "replace"))
    say = _Saying(secret)
    if isinstance(tree, dict):
        inner = tree.get("error")
        return (
            f"{status}, error {{{say.names([inner])}}}" if isinstance(inner, dict) else f"{status}, {say.names([tree])}"
        )
    if isinstance(tree, list | str | int | float):
        return f"{status}, JSON that is no object"
    start = body.lstrip()[:1]
    return f"{status}, {'a web page' if start == b'<' else 'a plain text' if start else 'empty'}"


def short(text: str, longest: int = _LONGEST) -> str:
    """A service's or a model's text, on one line and short enough for a table."""
    text = " ".join("".join(each if each.isprintable() else " " for each in well_formed(text[:1_000])).split())
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


class _Saying:
    """Words for what a service sent, without the key that it may echo."""

    def __init__(self, secret: Hidden) -> None:
        self._secret = secret

    def text(self, text: str) -> str:
        return short(hide(text[:1_000], self._secret)) or "empty"

    def texts(self, values: Iterable[Any]) -> str:
        return self._listed(dict.fromkeys(value for value in values if isinstance(value, str)), "missing")

    def names(self, trees: Sequence[Any], nothing: str = "missing") -> str:
        return self._listed(sorted({name for tree in trees if isinstance(tree, dict) for name in tree}), nothing)

    def _listed(self, texts: Iterable[str], nothing: str) -> str:
        said = [self.text(text) for text in texts]
        more = ["…"] if len(said) > _MOST_NAMES else []
        return ", ".join([*said[:_MOST_NAMES], *more]) or nothing


def _data_of(body: bytes) -> tuple[list[str], list[str]]:
    """The data and the types of the events in a body."""
    decoder = Decoder()
    try:
        events = [*decoder.feed(body), *decoder.close()]
    except TooLarge:
        events = []
    return [event.data for event in events], list(dict.fromkeys(event.event for event in events))


def _parsed(text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _identity(ids: Sequence[Any], chunks: int) -> str:
    if not ids:
        return "missing"
    if len(ids) < chunks:
        return "in some chunks only"
    different = {str(each) for each in ids}
    return "one for the answer" if len(different) == 1 else "not the same in every chunk"


def _kinds(values: Iterable[Any]) -> str:
    kinds = {_KINDS.get(type(value), "something else") for value in values if value is not None}
    return ", ".join(sorted(kinds)) or "missing"


_KINDS: Final = {int: "a whole number", float: "a number", str: "a text"}


def _usage(chunks: Sequence[Mapping[str, Any]], say: _Saying) -> str:
    """Where usage stands, and what is counted in it."""
    having = [chunk for chunk in chunks if isinstance(chunk.get("usage"), dict)]
    if not having:
        return "missing"
    if len(having) > 1:
        place = "in several chunks"
    elif _dicts(having[0].get("choices")):
        place = "beside choices"
    else:
        place = "in a chunk of its own"
    return f"{place}: {say.names([chunk['usage'] for chunk in having])}"
