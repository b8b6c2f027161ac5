"""Where runs are kept: one folder of the user's, and in it a folder for each search, sweep or watch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from ... import kinds
from ...errors import SetupError

ABOUT: Final = "about.json"
"""The file of a folder that says what the runs in it are together."""


def runs_folder() -> Path:
    """The folder of all runs that were given no path."""
    from platformdirs import user_data_path

    return user_data_path("holystream_nb", appauthor=False) / "runs"


def now() -> str:
    """A time as files are named by it; in order of names, files are in order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def path_of(path: object, of: str = "a run", form: str = "a file") -> Path:
    """The path of what is kept, with ~ as the home folder."""
    if not isinstance(path, str | Path) or not str(path):
        raise SetupError(f"The path of {of} is {kinds.kind(path)}: give that of {form}.")
    found = Path(path).expanduser()
    try:
        found.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise SetupError(f"The path of {of} cannot be used ({why}): give another.") from exc
    return found


def folder_of(path: str | Path | None, kind: str) -> Path:
    """The folder that was given, or a new one of its own."""
    return runs_folder() / f"{kind}-{now()}" if path is None else path_of(path, f"a {kind}", "a folder")


def file_name(text: str) -> str:
    """A model's name as a part of a file's."""
    return "".join(character if character.isalnum() or character in ".-" else "_" for character in text)


def write_about(folder: Path, about: Any) -> None:
    """Writes what the runs of a folder are together, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{ABOUT}.new"
    whole.write_bytes(msgspec.json.format(msgspec.json.encode(about)))
    whole.replace(folder / ABOUT)


def read_about(folder: Path) -> dict[str, Any]:
    """What `write_about` wrote; {} where there is none."""
    try:
        found = msgspec.json.decode((folder / ABOUT).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as exc:
        raise SetupError(f"{folder / ABOUT} cannot be read: {exc}") from exc
    return dict(found) if isinstance(found, dict) else {}
