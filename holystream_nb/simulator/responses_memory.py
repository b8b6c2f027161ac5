"""What the simulator remembers of Responses, and how it knows its own reasoning when it comes back.

OpenAI's documents: `store` (true unless told otherwise), `previous_response_id`, `reasoning.encrypted_content`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from .refusals import Refusal

Item = dict[str, Any]
Items = tuple[Item, ...]
Recall = Callable[[str], Items | None]
"""The items up to the end of a response, by its id; None where it is not known."""

_KEY = 24
"""Hexadecimal digits of a response's id, which its items' ids repeat."""
_ID = re.compile(rf"(rs|msg|fc)_([0-9a-f]{{{_KEY}}})([ab])\d+")


class Memory:
    """The last responses with `store`: at most `most`, and fewer when their items have more than `most_bytes`."""

    def __init__(self, most: int = 1000, most_bytes: int = 64 * 2**20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, tuple[Items, int]] = OrderedDict()
        self._bytes = 0

    def keep(self, id: str, items: Items) -> None:
        """Remember a response with everything before it; the oldest go if there are too many."""
        size = len(msgspec.json.encode(items))
        if id in self._kept:
            self._bytes -= self._kept.pop(id)[1]
        self._bytes += size
        self._kept[id] = items, size
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= oldest

    def recall(self, id: str) -> Items | None:
        """The items of a response and of everything before it."""
        return self._kept[id][0] if id in self._kept else None

    def item(self, id: str) -> Item | None:
        """One item of what is remembered."""
        return next(
            (item for items, _ in reversed(self._kept.values()) for item in items if item.get("id") == id), None
        )


class Mint:
    """Makes ids and encrypted reasoning, and knows its own; `seed` makes another simulator's different."""

    def __init__(self, seed: int) -> None:
        self._secret = f"reasoning {seed}".encode()

    @staticmethod
    def key(*parts: object) -> str:
        """A key for the ids of one response: the same for the same parts."""
        return hashlib.blake2b(repr(parts).encode(), digest_size=_KEY // 2).hexdigest()

    @staticmethod
    def id(prefix: str, key: str, reasons: bool, index: int) -> str:
        """The id of an output item; it tells whether reasoning is the first item of its response."""
        return f"{prefix}_{key}{'a' if reasons else 'b'}{index}"

    def encrypted(self, key: str, item: Item) -> str:
        """The `encrypted_content` of a reasoning item of the response with this key."""
        parts = [item.get("summary") or [], item.get("content") or []]
        said = msgspec.json.encode(parts, order="deterministic")
        sealed = hashlib.blake2b(key.encode() + said, key=self._secret, digest_size=24).digest()
        return base64.urlsafe_b64encode(bytes.fromhex(key) + sealed).decode()

    def check(self, given: Sequence[Item], known: Sequence[Item]) -> None:
        """Refuse output items that come back other than they went out; `known` are the items before them.

        A reasoning item must be the simulator's own, unchanged, and followed by the item that it led to; an item with
        the id of one that reasoning led to must come with that reasoning.
        """
        reasoned = {item["id"] for item in known if item.get("type") == "reasoning"}
        nothing: Item = {}
        for item, after in zip_longest(given, given[1:], fillvalue=nothing):
            id = item.get("id")
            found = _ID.fullmatch(id) if isinstance(id, str) else None
            if item.get("type") == "reasoning":
                self._check_reasoning(item, found[2] if found else "", after)
                reasoned.add(id)
            elif found and found[3] == "a":
                wanted = self.id("rs", found[2], True, 0)
                if wanted not in reasoned:
                    raise Refusal(
                        400,
                        f"Item '{id}' of type '{item['type']}' was provided without its required 'reasoning' item: "
                        f"'{wanted}'.",
                        param="input",
                    )

    def _check_reasoning(self, item: Item, key: str, after: Item) -> None:
        id, encrypted = item.get("id"), item.get("encrypted_content")
        if encrypted is not None:
            try:
                minted = base64.urlsafe_b64decode(encrypted)[: _KEY // 2].hex()
            except (TypeError, ValueError, binascii.Error):
                minted = ""
            if not minted or encrypted != self.encrypted(minted, item) or key not in ("", minted):
                raise Refusal(
                    400,
                    f"The encrypted content for item {id} could not be verified. "
                    "Reason: Encrypted content could not be decrypted or parsed.",
                    code="invalid_encrypted_content",
                )
            key = minted
        led_to = _ID.fullmatch(str(after.get("id")))
        is_output = after.get("type") == "function_call" or after.get("role") == "assistant"
        if not is_output or (led_to and led_to[2] != key):
            raise Refusal(
                400,
                f"Item '{id}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def not_found(id: str) -> Refusal:
    """An item that is not remembered."""
    return Refusal(
        404,
        f"Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` "
        "set to true, or remove this item from your input.",
        param="input",
    )


def previous_not_found(id: str) -> Refusal:
    """A response that is not remembered."""
    return Refusal(
        400,
        f"Previous response with id '{id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )
