"""What a server writes to its output, line by line: the text encoding that the SDK is given for it.

The SDK keeps a line until it ends, however long, and looks through all of it with every piece; a byte that is no UTF-8
ends its reading without a word. Here a line is kept in pieces up to a bound. A longer one becomes an error, which
answers its request; what is no UTF-8 is replaced.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

LINES: Final = "holystream_lines"
"""The name of the encoding, once `register` was called."""
LINE_CHARACTERS: Final = 8 * 1024 * 1024

_EDGE: Final = 500
_VERSION: Final = r'\s*"jsonrpc"\s*:\s*"2\.0"\s*'
_ID: Final = r'\s*"id"\s*:\s*(\d+|"[^"\\]*")\s*'
_AT_ITS_BEGINNING: Final = re.compile(rf"\s*{{(?:{_VERSION},)?{_ID},")
_AT_ITS_END: Final = re.compile(rf",{_ID}(?:,{_VERSION})?}}\s*$")
_UTF8: Final = codecs.lookup("utf-8")


def register() -> None:
    """Makes the encoding known; again is harmless."""
    codecs.unregister(_found)
    codecs.register(_found)


class _Decoder(codecs.getincrementaldecoder("utf-8")):  # type: ignore[misc]  # it is made by a function
    """Gives whole lines alone."""

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._pieces: list[str] = []
        self._length = 0

    def decode(self, data: Any, final: bool = False) -> str:
        rest, *others = super().decode(data, final).split("\n")
        self._add(rest)
        lines = []
        for each in others:
            lines.append(f"{self._line()}\n")
            self._pieces, self._length = [], 0
            self._add(each)
        return "".join(lines)

    def _add(self, piece: str) -> None:
        self._length += len(piece)
        self._pieces.append(piece)
        if self._length > LINE_CHARACTERS:  # its beginning and its end are enough
            line = "".join(self._pieces)
            self._pieces = [line[:_EDGE], line[-_EDGE:]]

    def _line(self) -> str:
        line = "".join(self._pieces)
        if self._length <= LINE_CHARACTERS:
            return line
        named = _AT_ITS_BEGINNING.match(line) or _AT_ITS_END.search(line[-_EDGE:])
        if named is None:
            return line  # no message, which is said
        why = f"its answer is longer than {LINE_CHARACTERS:,} characters"
        return f'{{"jsonrpc": "2.0", "id": {named[1]}, "error": {{"code": -32603, "message": {json.dumps(why)}}}}}'


def _found(name: str) -> codecs.CodecInfo | None:
    if name != LINES:
        return None
    return codecs.CodecInfo(_UTF8.encode, _UTF8.decode, incrementaldecoder=_Decoder, name=LINES)
