"""Where the journal lies and what it keeps: what this process says, else the environment, else the site, else ours.

`HOLYSTREAM_JOURNAL` is 0 for no journal, or the path of another folder. Whoever runs a server for others sets it for
their kernels (JupyterHub: `c.Spawner.environment`), or writes `journal.toml` into `holystream_nb` of the machine's
configuration folder (Linux: `/etc/xdg/holystream_nb/journal.toml`):

    journal = false        # or the path of a folder; ~ is each user's home
    days = 30              # how long an answer is kept (90)
    megabytes = 200        # how much all of them may take (500)
    images = false         # whether pictures are kept as such, and not as hashes

The user's variable comes before that file, `%config StreamMagics` and `journal.configure` before both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from .. import kinds
from ..errors import SetupError

VARIABLE: Final = "HOLYSTREAM_JOURNAL"
SITE_FILE: Final = "journal.toml"
_OFF: Final = ("0", "off", "false", "no")
_ON: Final = ("", "1", "on", "true", "yes")


@dataclass(frozen=True, slots=True)
class Settings:
    """`folder` is None for the user's data folder; `days` and `megabytes` limit all that is in it."""

    is_on: bool = True
    folder: Path | None = None
    days: float = 90
    megabytes: float = 500
    images: bool = False

    @property
    def path(self) -> Path:
        return self.folder or default_folder()


@cache
def default_folder() -> Path:
    """`journal` in the user's data folder (Linux: `~/.local/share/holystream_nb/journal`)."""
    from platformdirs import user_data_path

    return user_data_path("holystream_nb", appauthor=False) / "journal"


def settings(said: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """What holds; `said` is what this process says (`changed`). Raises SetupError for what nobody can understand."""
    return replace(_below(environ), **said)


def _below(environ: Mapping[str, str]) -> Settings:
    word = environ.get(VARIABLE)
    return site() if word is None else replace(site(), **_place(VARIABLE, word))


def _place(name: str, word: object) -> dict[str, Any]:
    """On, off, or a folder, as they are written in a variable, a file or `%config`."""
    if isinstance(word, bool):
        return {"is_on": word}
    if not isinstance(word, str | Path):
        raise SetupError(f"{name} is {kinds.kind(word)}: give True, False, or the path of a folder.")
    text = str(word).strip()
    if text.lower() in _OFF:
        return {"is_on": False}
    if text.lower() in _ON:
        return {"is_on": True, "folder": None}
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise SetupError(f"{name} is neither 0, nor 1, nor the whole path of a folder: give one of them.")
    return {"is_on": True, "folder": path}


def changed(said: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """What this process says, with what is given now; None takes a setting back."""
    found = dict(said)
    for name, value in given.items():
        for each in ("is_on", "folder") if name == "journal" else (name,):
            found.pop(each, None)
        if value is not None:
            found |= _setting(name, value)
    return found


def _setting(name: str, value: object) -> dict[str, Any]:
    if name == "journal":
        return _place(name, value)
    if name == "images":
        return {name: kinds.switch(name, value)}
    if name in ("days", "megabytes"):
        return {name: kinds.number(name, value, above=0)}
    raise SetupError(f"The journal knows no {kinds.shown(name)}: journal, days, megabytes and images can be set.")


@cache
def site() -> Settings:
    """What the machine's file says; it is read once."""
    return of_file(site_file())


def site_file() -> Path:
    """The file by which a machine's administrator decides for its users."""
    from platformdirs import site_config_path

    return site_config_path("holystream_nb", appauthor=False) / SITE_FILE


def of_file(path: Path) -> Settings:
    import tomllib

    try:
        entries = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except (OSError, ValueError) as exc:
        raise SetupError(f"{path} cannot be read, so that nothing is written down: {exc}") from exc
    try:
        return replace(Settings(), **changed({}, **entries))
    except SetupError as exc:
        raise SetupError(f"{path}: {exc}") from exc
