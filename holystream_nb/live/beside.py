"""What a service says of an answer's end and beside it, as every view shows it: words, sources, pictures.

All of it is a stranger's. A `Citation` and a `Picture` are harmless as they are made, also from a file: an address is
http: or https: in plain ASCII, or none; a picture is one of four kinds, small, in base64, or the address of one.
Nothing is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ..money.cost import ORDINARY_TIERS
from ..reply import Reply
from .harmless import readable

MOST: Final = 50
"""Sources that are listed."""

MOST_PICTURES: Final = 4
PICTURE_BYTES: Final = 3_000_000
"""Of a picture that is drawn."""
SAVED_BYTES: Final = 300_000
"""Of a picture that is kept in a notebook's file."""

_TITLE: Final = 200
_ADDRESS: Final = 2_000
_NAME: Final = 80
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
_PICTURE: Final = re.compile(r"data:image/(png|jpe?g|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def ended(reply: Reply, limit: str = "") -> str:
    """How it ended where that is not as it should be, and what of it is missing; "" where there is nothing to say.

    limit: a limit of ours that was reached ("--max-cost reached"), said in the place of the service's word for it.
    """
    words = reply.ending_words
    if limit:
        words = ", ".join(filter(None, (limit, reply.emptiness)))
    if count := reply.unreadable:
        unread = f"{count:,} {'piece' if count == 1 else 'pieces'} unreadable"
        words = f"{words}, {unread}" if words else unread
    return _line(words, 2 * _TITLE)


def named(reply: Reply) -> list[str]:
    """Who answered, where that is not who was asked; the service tier, where it is not the ordinary one."""
    parts = []
    if reply.served_model and _bare(reply.served_model) != _bare(reply.model):
        parts.append(f"served as {_line(reply.served_model, _NAME)}")
    if reply.service_tier.lower() not in ORDINARY_TIERS:
        parts.append(f"tier {_line(reply.service_tier, _NAME)}")
    return parts


def _bare(model: str) -> str:
    """A model's name without whose it is ("openai/gpt-4.1") and what a simulator is asked for ("gpt-4.1#cut")."""
    return model.partition("#")[0].rpartition("/")[2].casefold()


@dataclass(frozen=True, slots=True)
class Citation:
    """What an answer cites: its title, and its address or ""; `host` is whose the address is."""

    title: str
    address: str = ""

    def __post_init__(self) -> None:
        address = _safe(self.address)
        object.__setattr__(self, "title", _line(self.title, _TITLE) or _host(address) or "a source without a name")
        object.__setattr__(self, "address", address)

    @property
    def host(self) -> str:
        return _host(self.address)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an answer: `data` where it can be drawn, `address` where it lies elsewhere, and words for it."""

    words: str
    data: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        is_drawn = len(self.data) <= 4 * PICTURE_BYTES / 3 and _PICTURE.fullmatch(self.data)
        object.__setattr__(self, "words", _line(self.words, _NAME))
        object.__setattr__(self, "data", self.data if is_drawn else "")
        object.__setattr__(self, "address", _safe(self.address))

    @property
    def host(self) -> str:
        return _host(self.address)

    @property
    def is_saved(self) -> bool:
        """Whether a notebook's file keeps it."""
        return bool(self.data) and len(self.data) <= 4 * SAVED_BYTES / 3


def sources(reply: Reply) -> tuple[Citation, ...]:
    """What it cites, each once, in the order of the first mention; the first fifty, and that there are more."""
    found: dict[tuple[str, str], Citation] = {}
    for index, citation in enumerate(reply.citations):
        if len(found) == MOST:
            return (*found.values(), Citation(f"{len(reply.citations) - index:,} more, in reply.citations"))
        source = _source(citation)
        found.setdefault((source.address, "" if source.address else source.title), source)
    return tuple(found.values())


def _source(citation: Mapping[str, Any]) -> Citation:
    """Of whatever shape: OpenAI's annotations in Chat and in Responses, Messages' locations, Perplexity's results."""
    inner = citation.get("url_citation")
    entry = inner if isinstance(inner, Mapping) else citation
    names = (entry.get(name) for name in ("title", "document_title", "filename", "source", "file_id"))
    title = next((name for name in names if isinstance(name, str) and name.strip()), "")
    address = entry.get("url")
    return Citation(title, address if isinstance(address, str) else "")


def pictures(reply: Reply) -> tuple[Picture, ...]:
    """The first four, and that there are more."""
    rest = len(reply.images) - MOST_PICTURES
    more = (Picture(f"{rest:,} more, in reply.images"),) if rest > 0 else ()
    return (*map(_picture, reply.images[:MOST_PICTURES]), *more)


def _picture(address: str) -> Picture:
    if not address.startswith("data:"):
        return Picture("image", address=address)
    found = _PICTURE.match(f"{address[:40]}A")
    kind = "" if found is None else found[1].upper()
    size = (len(address) - address.find(",") - 1) * 3 // 4
    what = f"{kind or 'unknown'} image, {size / 1000:,.0f} kB" if size >= 1000 else f"{kind or 'unknown'} image"
    return Picture(what, data=address)


def _safe(address: str) -> str:
    """An http: or https: address in which nothing acts in HTML, Markdown or a terminal; "" for any other.

    One with a name before its host (`https://bank.example@evil.example`) is none, nor is one longer than 2,000.
    """
    if not isinstance(address, str) or len(address) > _ADDRESS or not address.isprintable() or " " in address:
        return ""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:  # UnicodeError is one
        return ""
    if parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc or not _HOST.fullmatch(host):
        return ""
    rest = "".join(
        f"{mark}{quote(part, safe='/?=&%+,;:-._~')}"
        for mark, part in (("", parts.path), ("?", parts.query), ("#", parts.fragment))
        if part
    )
    return f"{parts.scheme.lower()}://{host}{'' if port is None else f':{port}'}{rest}"


def _host(address: str) -> str:
    return address.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]


def _line(text: str, limit: int) -> str:
    """A text on one line, readable and not too long."""
    line = " ".join(readable(text[: 4 * limit]).split())
    return line if len(line) <= limit else f"{line[:limit]}…"
