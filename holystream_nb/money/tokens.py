"""Tokens where nobody reported them, estimated; shown with "≈".

A token is taken for four bytes of UTF-8: four letters of English or code, two of Greek or Cyrillic, three quarters of a
token for a Chinese character. The same holds for what is asked and for what comes, while it comes and at the end, so
that a figure does not jump. An estimate is not a count: tokenizers differ among each other by a third and more.

An image is tiles, by its size; what it is written in (base64) is no text. Nothing is decoded but an image's header.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..wire.values import encoded

_BYTES: Final = 4

# OpenAI's documents, "Images and vision", for GPT-4o: an image is fitted into 2,048 px, its shorter side then into
# 768 px, and costs 85 tokens and 170 for each tile of 512 px; with detail "low" 85. Anthropic's width x height / 750
# and Gemini's 258 a tile of 768 px come to the same order.
_IMAGE, _TILE, _TILE_PX, _LONG_PX, _SHORT_PX = 85, 170, 512, 2048, 768
_UNKNOWN_PX: Final = (1024, 1024)
"""Taken for an image whose size cannot be seen: one at an address, or one in another format."""

_HEADER: Final = 64 * 1024  # characters of base64: a photo's own notes (EXIF) stand before its size, and may be long
_PAGE, _PAGE_BYTES = 2_000, 50_000
"""Of a file that is no text (a PDF): so many tokens for each so many bytes, which is about a page."""

_SOUND_BYTES: Final = 1_600
"""Of sound: bytes for a token, 10 a second of MP3 at 128 kbit/s."""

_OF_REQUEST: Final = (
    *("tools", "functions", "response_format", "instructions", "system", "text", "output_config", "tool_choice"),
)
"""Fields, besides the messages, that a model reads."""


def tokens_of(size: int) -> int:
    """Tokens of so many bytes of text."""
    return -(-size // _BYTES)


def size_of(text: str) -> int:
    """Bytes of a text, in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def estimate_prompt(asked: Mapping[str, Any]) -> int:
    """Tokens of a request: its messages with images, files, tool calls and results, and the schemas beside them."""
    size = sum(size_of(part) if isinstance(part, str) else len(encoded(part)) for part in _beside(asked))
    tokens = 0
    for message in asked.get("messages") or ():
        bytes_, more = _message(message)
        size += bytes_
        tokens += more
    return tokens + tokens_of(size)


def estimate_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Tokens of messages alone."""
    return estimate_prompt({"messages": messages})


def _beside(asked: Mapping[str, Any]) -> list[Any]:
    return [asked[name] for name in _OF_REQUEST if asked.get(name)]


def _message(message: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of text in a message, and tokens of all else."""
    size, tokens = _content(message.get("content"))
    for call in message.get("tool_calls") or ():
        size += _content(call.get("function"))[0] if isinstance(call, Mapping) else 0
    for name in ("reasoning_content", "reasoning"):
        size += _content(message.get(name))[0]
    echo = message.get("echo")
    if isinstance(echo, Mapping):  # in chat it is sent beside the message, in other formats in its place
        own = _content(echo.get("content"))
        if echo.get("wire") == "chat":
            size, tokens = size + own[0], tokens + own[1]
        else:
            size, tokens = max(size, own[0]), max(tokens, own[1])
    return size, tokens


def _content(content: Any) -> tuple[int, int]:
    """Bytes of text in whatever stands in a message, and tokens of images, sound and files."""
    if isinstance(content, str):
        return size_of(content), 0
    if isinstance(content, Mapping):
        part = _part(content)
        if part is not None:
            return 0, part
        inside = [_named(name, value) for name, value in content.items() if name != "type"]
    elif isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        inside = [_content(each) for each in content]
    else:
        return 0, 0
    return sum(size for size, _ in inside), sum(tokens for _, tokens in inside)


def _named(name: str, value: Any) -> tuple[int, int]:
    """What stands in a part under a name: an address of data is a file, whatever the part is called (a video)."""
    is_data = name != "text" and isinstance(value, str) and value.startswith("data:")
    return (0, file_tokens(value)) if is_data else _content(value)


def _part(part: Mapping[str, Any]) -> int | None:
    """Tokens of a part that is no text, in any format's shape; None for text."""
    kind = part.get("type")
    if kind in ("image_url", "input_image", "image"):
        image: Any = part.get("image_url")
        detail: Any = part.get("detail")
        if isinstance(image, Mapping):
            image, detail = image.get("url"), image.get("detail", detail)
        return image_tokens(image if image is not None else _inside(part), detail)
    if kind in ("file", "input_file", "document"):
        return file_tokens(_inside(part), str(_held(part).get("media_type", "")))
    if kind in ("input_audio", "audio"):
        return 1 + len(_inside(part)) * 3 // 4 // _SOUND_BYTES
    return None


def _held(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object in a part that holds its data: Messages' `source`, Chat Completions' `file`; else the part."""
    inside = (part.get(name) for name in ("source", "file", "input_audio"))
    return next((each for each in inside if isinstance(each, Mapping)), part)


def _inside(part: Mapping[str, Any]) -> str:
    """What a part holds: base64, a `data:` address, or text; "" for what is elsewhere."""
    found = (_held(part).get(name) for name in ("data", "file_data"))
    return next((each for each in found if isinstance(each, str)), "")


def file_tokens(held: str, media_type: str = "") -> int:
    """Tokens of a file, given as base64, as a `data:` address, or (`text/plain`) as it is."""
    if media_type.startswith("text/") and not held.startswith("data:"):
        return tokens_of(size_of(held))
    size = len(held) * 3 // 4
    is_text = held.startswith(("data:text/", "data:application/json"))
    return tokens_of(size) if is_text else _PAGE * max(1, -(-size // _PAGE_BYTES))


def image_tokens(url: Any, detail: Any = None) -> int:
    """Tokens of an image, given as base64, as a `data:` address, or as the address of one that nobody looks at."""
    if detail == "low":
        return _IMAGE
    width, height = _UNKNOWN_PX
    if isinstance(url, str) and not url.startswith(("http:", "https:")):
        comma = url.find(",", 0, 200) if url.startswith("data:") else -1
        width, height = image_size(url[comma + 1 : comma + 1 + _HEADER]) or _UNKNOWN_PX
    longest, shortest = max(width, height), max(1, min(width, height))
    scale = min(1.0, _LONG_PX / max(1, longest))
    scale = min(scale, _SHORT_PX / shortest)
    tiles = -(-int(longest * scale) // _TILE_PX) * -(-int(shortest * scale) // _TILE_PX)
    return _IMAGE + _TILE * max(1, tiles)


def image_size(text: str) -> tuple[int, int] | None:
    """Width and height of an image by its beginning in base64: PNG, JPEG, GIF, WebP; None for anything else."""
    try:
        head = base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return None
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", head[16:24])
            return width, height
        if head.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack("<HH", head[6:10])
            return width, height
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head)
        return _jpeg(head) if head.startswith(b"\xff\xd8") else None
    except struct.error:
        return None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """In the frame's header, after segments that say their length."""
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        (length,) = struct.unpack(">H", head[at + 2 : at + 4])
        at += 2 + length
    return None
