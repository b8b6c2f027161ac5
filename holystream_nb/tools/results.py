"""What a function returned, as a model can read it: text or JSON, in bounds and without secrets, and pictures."""

from __future__ import annotations

import base64
import csv
import dataclasses
import datetime
import decimal
import enum
import json
import os
import re
import sys
import types
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import BytesIO, StringIO
from typing import Any, Final

import msgspec

from ..wire.redaction import redact, redact_marked

RESULT_BYTES: Final = 64 * 1024
"""The longest result that goes back to a model; what is cut off is said."""

_MARGIN: Final = 16 * 1024
"""A secret that begins before the cut has ended here: what is behind it need not be looked through."""

_CELLS: Final = 1000
"""A table or an array of more is shortened."""

_ROWS: Final = 20
_COLUMNS: Final = 50
_CELL_CHARACTERS: Final = 1000

_IMAGES: Final = 8
_IMAGE_EDGE: Final = 1568
_IMAGE_BYTES: Final = 3_750_000
"""Larger pictures are scaled by services (https://platform.claude.com/docs/en/build-with-claude/vision), or refused:
5 MB as base64."""

_MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_ERROR_CHARACTERS: Final = 300
_SECRET: Final = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|_PAT|_PASS|_CREDENTIALS)$", re.IGNORECASE)
_LOGIN: Final = re.compile(r'(?<=://)[^/@\s"]+(?=@)')
_KEPT: Final = (str, int, float, bool, type(None))
"""What JSON has a form of; NaN and the infinities become null in it."""


class ToolError(Exception):
    """Why a call has no result: one short sentence, without a traceback or secrets."""


@dataclasses.dataclass(slots=True)
class _Room:
    """What there is room for yet in one result: a value may have more in it than there is memory."""

    values: int = 1_000_000
    images: list[Image] = dataclasses.field(default_factory=list)
    figures: list[Any] = dataclasses.field(default_factory=list)


class _NoForm(Exception):
    """JSON has no form of a value of this type."""


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """A picture of a media type that services take: image/png, image/jpeg, image/gif or image/webp."""

    media_type: str
    data: bytes = dataclasses.field(repr=False)

    @property
    def url(self) -> str:
        """It as a `data:` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What goes back to a model. Each of the images has its word, with its size, in the text."""

    text: str
    images: tuple[Image, ...] = ()


def result_of(name: str, value: Any) -> Result:
    """What the function `name` returned, as text or JSON in whole characters, cut at 64 KiB, and its pictures.

    Tables and arrays of more than 1,000 cells are shortened, and say so; a picture is scaled to what services take.
    Raises ToolError where JSON has no form of it.
    """
    room = _Room()
    try:
        plain = _plain(value, room)
        if room.images and isinstance(plain, list) and all(isinstance(each, str) for each in plain):
            plain = "\n".join(plain)  # texts and pictures side by side
        data = plain.encode() if isinstance(plain, str) else msgspec.json.encode(plain)
    except Exception as exc:  # whatever a foreign type raises
        kind = type(value).__name__
        inner = str(exc) if isinstance(exc, _NoForm) else kind
        what = kind if inner == kind else f"{kind} with {inner} in it"
        raise ToolError(f"{name} returned {what}, which JSON has no form of: return text, lists or dicts.") from exc
    return Result(_bounded(data, is_all=room.values >= 0), tuple(room.images))


def _bounded(data: bytes, *, is_all: bool) -> str:
    """The text without secrets, which are taken out before the cut: it could go through one."""
    is_whole = is_all and len(data) <= RESULT_BYTES + _MARGIN
    text = redact_marked(_without_secrets(data[: RESULT_BYTES + _MARGIN].decode("utf-8", "ignore")))
    shown = text.encode()
    if is_whole and len(shown) <= RESULT_BYTES:
        return text
    room = RESULT_BYTES if is_whole else max(0, min(RESULT_BYTES, len(shown) - _MARGIN))
    total = len(shown) if is_whole else len(data)
    more = "" if is_all else "more than "
    return f"{shown[:room].decode('utf-8', 'ignore')}\n[cut here: {room:,} of {more}{total:,} bytes]"


def _plain(value: Any, room: _Room) -> Any:
    """A value in JSON's types, or one that msgspec writes as text; pictures go to `room` and leave a word.

    Raises _NoForm, or what a foreign type raises.
    """
    kind = type(value)
    if kind in _KEPT:
        return value.encode("utf-8", "replace").decode() if kind is str and not value.isascii() else value
    if isinstance(value, enum.Enum):
        return _plain(value.value, room)
    if isinstance(value, str):
        return _plain(str(value), room)
    if isinstance(value, Mapping):
        return {_key(key): _plain(each, room) for key, each in _fitting(value.items(), room)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, room) for each in _fitting(value, room)]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{_count(memoryview(value).nbytes, 'byte')}]"
    if (figure := _figure(value)) is not None:
        if any(figure is each for each in room.figures):  # its axes, lines and bars are returned with it
            return "[the same image]"
        room.figures.append(figure)
        return _shown(_drawn(figure), room)
    if isinstance(value, BaseException):  # one of several results, as asyncio.gather returns them
        return f"{kind.__name__}: {short(str(value))}"
    if (picture := _picture(value)) is not None:
        return _shown(picture, room)
    if (library := kind.__module__.partition(".")[0]) == "pandas":
        return _of_pandas(value, room)
    if library == "polars":
        return _of_polars(value, room)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return msgspec.to_builtins(datetime.timedelta(value.days, value.seconds, value.microseconds))
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(kind, "__array__"):
        return _array(value, room)
    if (fields := _fields(value)) is not None:
        return {name: _plain(each, room) for name, each in fields.items()}
    if isinstance(value, Collection):
        return [_plain(each, room) for each in _fitting(value, room)]
    if isinstance(value, Iterator):  # which may have no end
        raise _NoForm(kind.__name__)
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value, inf_nan_mode="null")  # complex numbers, fractions, addresses, patterns
    except PydanticSerializationError:
        raise _NoForm(kind.__name__) from None


def _fitting(values: Iterable[Any], room: _Room) -> Iterator[Any]:
    """As many of the values as there is room for."""
    for value in values:
        room.values -= 1
        if room.values < 0:
            return
        yield value


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, a pydantic model, a Struct or a class of attrs; None of anything else."""
    kind = type(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(kind, "model_dump"):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, dict) else {"root": dumped}
    if isinstance(value, types.SimpleNamespace):
        return vars(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    return None


def _key(key: Any) -> str:
    """The key of an object in JSON."""
    if isinstance(key, tuple):
        return ", ".join(map(_key, key))
    plain = _plain(key, _Room())
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode().strip('"')


# Tables and arrays


def _of_pandas(value: Any, room: _Room) -> Any:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return _table(_head(value), value.iloc[:, :_COLUMNS], room)
    if isinstance(value, pd.Series):
        name = "" if value.name is None else f" {_key(value.name)}"
        return _table(f"Series{name} of {_count(len(value), 'value')} ({value.dtype})", value.to_frame(), room)
    if value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return value.isoformat()
    if isinstance(value, pd.Index | pd.api.extensions.ExtensionArray):
        return _array(value, room)
    if isinstance(value, pd.Period | pd.Interval):
        return str(value)
    raise _NoForm(type(value).__name__)


def _of_polars(value: Any, room: _Room) -> Any:
    kind = type(value).__name__
    if kind == "Series":
        head = f"Series {_key(value.name)} of {_count(len(value), 'value')} ({value.dtype})"
        value = value.to_frame()
    elif kind == "DataFrame":
        head = _head(value)
    else:
        raise _NoForm(kind)
    shown = value.select(value.columns[:_COLUMNS])
    rows = value.height
    shown = shown if rows * shown.width <= _CELLS else shown.head(_ROWS)
    return _csv(head, shown.columns, shown.rows(), rows, room)


def _head(frame: Any) -> str:
    """The line about a DataFrame."""
    rows, columns = frame.shape
    kinds = [f"{_key(name)} ({kind})" for name, kind in zip(frame.columns, frame.dtypes, strict=True)]
    left_out = f", and {columns - _COLUMNS:,} that are left out" if columns > _COLUMNS else ""
    named = f": {', '.join(kinds[:_COLUMNS])}" if kinds else ""
    return f"DataFrame of {_count(rows, 'row')} and {_count(columns, 'column')}{named}{left_out}"


def _table(head: str, frame: Any, room: _Room) -> str:
    """A DataFrame as CSV below a line about it; the index goes along where it is more than the rows' numbers."""
    rows, columns = frame.shape
    shown = frame if rows * max(columns, 1) <= _CELLS else frame.iloc[:_ROWS]
    is_numbered = (
        frame.index.names == [None] and frame.index.dtype.kind == "i" and list(shown.index) == [*range(len(shown))]
    )
    names = [] if is_numbered else ["" if name is None else _key(name) for name in frame.index.names]
    cells = zip(*(shown.iloc[:, column] for column in range(columns)), strict=True) if columns else ((),) * len(shown)
    labels = (() if is_numbered else each if isinstance(each, tuple) else (each,) for each in shown.index)
    lines = [(*label, *row) for label, row in zip(labels, cells, strict=True)]
    return _csv(head, [*names, *map(_key, frame.columns)], lines, rows, room)


def _csv(head: str, names: Iterable[str], lines: Sequence[Any], rows: int, room: _Room) -> str:
    """The head, then these lines of so many rows."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        writer.writerow([_cell(each, room) for each in line])
    cut = f"[the first {len(lines)} of {rows:,} rows]\n" if len(lines) < rows else ""
    return f"{head}\n{out.getvalue()}{cut}".rstrip("\n")


def _cell(value: Any, room: _Room) -> str:
    plain = _plain(value, room)
    if plain is None or plain != plain:  # missing, or NaN
        return ""
    text = plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
    over = len(text) - _CELL_CHARACTERS
    return text if over <= 0 else f"{text[:_CELL_CHARACTERS]} [{over:,} characters more]"


def _array(value: Any, room: _Room) -> Any:
    """An array as nested lists, or as words about it and its first values."""
    import numpy as np

    array = np.asanyarray(value)
    if array.dtype.kind in "mM":  # as numbers they would be nanoseconds
        array = np.where(
            np.isnat(array), None, np.datetime_as_string(array) if array.dtype.kind == "M" else array.astype(str)
        )
    if array.size <= _CELLS:
        return _plain(array.tolist(), room)
    shape = "×".join(f"{length:,}" for length in array.shape)
    first = _plain(array.ravel()[:_ROWS].tolist(), room)
    written = msgspec.json.encode(first).decode()
    return f"array of {shape} values ({array.dtype}), the first {_ROWS} of {array.size:,}: {written}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# Pictures


def _figure(value: Any) -> Any:
    """The matplotlib figure that this is, or is a part of; None of anything else."""
    if "matplotlib.figure" not in sys.modules:
        return None
    from matplotlib.artist import Artist
    from matplotlib.figure import SubFigure

    figure = value.figure if isinstance(value, Artist) else None
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def _drawn(figure: Any) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", dpi=min(figure.dpi, _IMAGE_EDGE / max(figure.get_size_inches())))
    return out.getvalue()


def _picture(value: Any) -> bytes | None:
    """The data of a picture, or of what a notebook shows as PNG or JPEG, as PIL's images."""
    if isinstance(value, Image):
        return value.data
    for method in ("_repr_png_", "_repr_jpeg_"):
        if hasattr(type(value), method) and (shown := getattr(value, method)()):
            data = shown[0] if isinstance(shown, tuple) else shown
            return base64.b64decode(data) if isinstance(data, str) else bytes(data)
    return None


def _shown(data: bytes, room: _Room) -> str:
    """Adds a picture as services take it, and returns its word."""
    from PIL import Image as pictures

    if len(room.images) >= _IMAGES:
        return f"[an image that is left out: {_IMAGES} go along]"
    try:
        with pictures.open(BytesIO(data)) as picture:
            width, height = picture.size
            media_type = _MEDIA_TYPES.get(picture.format or "")
            if media_type and max(width, height) <= _IMAGE_EDGE and len(data) <= _IMAGE_BYTES:
                room.images.append(Image(media_type, data))
                return f"[an image of {width}×{height}]"
            small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    except Exception:  # whatever PIL makes of data that may come from anywhere
        return "[an image that cannot be read]"
    small.thumbnail((_IMAGE_EDGE, _IMAGE_EDGE))
    out = BytesIO()
    small.save(out, "PNG")
    if out.tell() > _IMAGE_BYTES:
        out = BytesIO()
        small.convert("RGB").save(out, "JPEG")
    room.images.append(Image(_MEDIA_TYPES["PNG" if out.getvalue().startswith(b"\x89PNG") else "JPEG"], out.getvalue()))
    scaled = "" if small.size == (width, height) else f", scaled from {width}×{height}"
    return f"[an image of {small.width}×{small.height}{scaled}]"


# Text for a model


def short(text: str) -> str:
    """The first line of a message, without keys, of at most 300 characters."""
    line = " ".join(text.strip().partition("\n")[0].split())
    line = redact(_without_secrets(line))
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= _ERROR_CHARACTERS else f"{line[:_ERROR_CHARACTERS]} …"


def _without_secrets(text: str) -> str:
    """The text without logins in addresses and the values of variables that are called like a secret, also in JSON."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET.search(name):
            for form in (value, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]):
                text = text.replace(form, "…")
    return _LOGIN.sub("…", text)
