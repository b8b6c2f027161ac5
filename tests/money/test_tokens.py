"""Estimates of tokens: text by its bytes, images by their size, and nothing counted as text that is none."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import pytest
from PIL import Image

from holystream_nb.money import tokens
from holystream_nb.money.tokens import estimate_prompt, estimate_tokens, image_size, image_tokens


def picture(size: tuple[int, int], kind: str = "PNG", **options: Any) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("Hello, world", 3), ("你好世界你好世界", 6), ("привет мир", 5), ("\ud800", 1)],
)
def test_text_is_estimated_by_its_bytes(text: str, count: int) -> None:
    """Four to a token: a Chinese character is three quarters of one, and half a character is no failure."""
    assert tokens.tokens_of(tokens.size_of(text)) == count


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_size_of_an_image_is_read_from_its_header(kind: str) -> None:
    """In the four formats that services take."""
    assert image_size(picture((640, 333), kind)) == (640, 333)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": True, "exif": b"Exif\0\0" + bytes(64)}])
def test_all_of_webps_headers_are_read(options: dict[str, Any]) -> None:
    """Lossless, and extended."""
    assert image_size(picture((640, 333), "WEBP", **options)) == (640, 333)


def test_a_photo_s_own_notes_stand_before_its_size() -> None:
    """A JPEG with 30 kB of EXIF."""
    assert image_size(picture((640, 333), "JPEG", exif=b"Exif\0\0" + bytes(30_000))) == (640, 333)


@pytest.mark.parametrize(
    "text", ["", "!", "AAAA", "iVBORw0KGgo=", "/9j/", "/9j/4AAQ", "R0lGODlh", "UklGRgAAAABXRUJQVlA4"]
)
def test_what_is_no_image_has_no_size(text: str) -> None:
    """Cut, empty, of another kind: the default size counts, and nothing is raised."""
    assert image_size(text) is None
    assert image_tokens(f"data:image/png;base64,{text}") == 765


@pytest.mark.parametrize(
    ("size", "count"), [((512, 512), 255), ((1024, 1024), 765), ((2048, 4096), 1105), ((8000, 100), 765), ((1, 1), 255)]
)
def test_an_image_is_tiles(size: tuple[int, int], count: int) -> None:
    """OpenAI's documents' own examples among them: 1024 x 1024 are 765 tokens, 2048 x 4096 are 1,105."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size[0].to_bytes(4) + size[1].to_bytes(4)
    assert image_tokens(f"data:image/png;base64,{base64.b64encode(header).decode()}") == count
    assert image_tokens("https://example.com/a.png", "low") == 85


BIG = base64.b64encode(bytes(225_000)).decode()
IMAGES: list[dict[str, Any]] = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BIG}"}},
    {"type": "input_image", "image_url": f"data:image/png;base64,{BIG}"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BIG}},
    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{BIG}"}},
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": BIG}},
    {"type": "input_audio", "input_audio": {"data": BIG, "format": "mp3"}},
    {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{BIG}"}},
]


@pytest.mark.parametrize("part", IMAGES, ids=lambda part: part["type"])
def test_what_data_is_written_in_is_no_text(part: dict[str, Any]) -> None:
    """300 kB of base64 were 100,029 tokens, and 118 ms for each look."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    began = time.perf_counter()
    count = estimate_tokens(messages)
    assert time.perf_counter() - began < 0.01
    assert 100 < count < 12_000


def test_an_image_in_a_tool_s_result_counts() -> None:
    """Whatever role brings it."""
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture((1024, 1024))}"}}]
    assert estimate_tokens([{"role": "tool", "tool_call_id": "a", "content": content}]) == 765


def test_tool_calls_and_schemas_count() -> None:
    """They are read by the model, and paid for."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "' + "y" * 400 + '"}'}}
    assert estimate_tokens([{"role": "assistant", "content": None, "tool_calls": [call]}]) > 100
    schema = {"type": "object", "properties": {"x": {"type": "string", "description": "d" * 400}}}
    bare = {"messages": [{"role": "user", "content": "Hi"}]}
    for more in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
        {"instructions": "d" * 440},
        {"system": "d" * 440},
    ):
        assert estimate_prompt({**bare, **more}) > estimate_prompt(bare) + 100


def test_reasoning_that_a_user_gives_back_by_hand_counts() -> None:
    """As DeepSeek and Kimi want it in a turn with tools."""
    assert estimate_tokens([{"role": "assistant", "content": "a" * 400, "reasoning_content": "t" * 4_000}]) == 1_100


def test_what_goes_back_of_a_turn_counts_once() -> None:
    """In chat it stands beside the message; in other formats it is the message."""
    thought = {"reasoning_content": "t" * 4_000}
    message = {"role": "assistant", "content": "a" * 4_000}
    chat = {**message, "echo": {"wire": "chat", "from": "p:m", "content": thought}}
    blocks = [{"type": "thinking", "thinking": "t" * 4_000}, {"type": "text", "text": "a" * 4_000}]
    whole = {**message, "echo": {"wire": "messages", "from": "p:m", "content": blocks}}
    assert [estimate_tokens([each]) for each in (message, chat, whole)] == [1000, 2000, 2000]
