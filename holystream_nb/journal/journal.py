"""The journal's door, one for each process: every answer is written down as it arrives, and can be read again."""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .entry import Entry, Unwritten
from .file import File
from .place import VARIABLE, Settings, changed, settings
from .values import Answer, Begun, Door, Origin
from .writer import NO_SQLITE, Writer

_TOLD: Final = "told"
"""The file that says that this user was told of the journal."""

_PATIENCE: Final = 5.0
"""Seconds that a reader waits for what this process has not yet written, and its end for the last batch."""

_PRUNE: Final = 3600.0
"""Seconds between two looks at the limits."""

_QUIET: Final = 2.0
"""Seconds after the first answer's begin until the first of them."""


class Journal:
    """Nothing of it raises or blocks while an answer streams; reading and forgetting do, and belong in a thread."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._retired: list[Writer] = []
        self._to_say: list[str] = []
        self._problems: set[str] = set()
        self._has_told = False
        self._pruned_at: float | None = None

    def begin(
        self,
        origin: Origin,
        *,
        group: str = "",
        label: str = "",
        model: str = "",
        provider: str = "",
        note: str = "",
        messages: Sequence[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        format: str = "markdown",
    ) -> Entry:
        """Begins an answer; where the journal is off, what it gives writes nothing. It never raises, and never waits.

        group: the same for answers that stand side by side; without it the answer's own id.
        messages, parameters: what is sent; keys and pictures in them are masked before they are written.
        """
        try:
            writer = self._open()
            name = secrets.token_hex(8) if writer else ""
            begun = Begun(
                name,
                group or name,
                origin,
                label,
                model,
                provider,
                note,
                tuple(_copied(each) for each in messages) if writer else (),
                _copied(parameters or {}),
                time.time(),
                format,
            )
            if writer is not None:
                entry = Entry(begun)
                writer.take(entry)
                return entry
        except Exception as exc:  # an answer streams, whatever is wrong with the journal
            self._say(f"An answer is not written down: {exc}")
            begun = Begun("", "", origin, label, model, provider, note, (), {}, time.time(), format)
        return Unwritten(begun)

    def answers(
        self,
        *,
        ids: Sequence[str] | None = None,
        notebook: str | None = None,
        cell: str | None = None,
        execution: str | None = None,
        kernel: str | None = None,
        words: str | Sequence[str] | None = None,
        door: Door | None = None,
        conversation: str | None = None,
        limit: int | None = None,
    ) -> list[Answer]:
        """The answers of all kernels for which all of this holds, newest first.

        words: texts that are all in what was asked or in the answer, in any case; a text is its words.
        limit: how many at most.
        """
        try:
            from .reading import Question, read
        except ImportError:
            self._say(NO_SQLITE)
            return []
        given = words.split() if isinstance(words, str) else list(words or ())
        question = Question(
            None if ids is None else tuple(ids),
            notebook,
            cell,
            execution,
            kernel,
            door,
            conversation,
            tuple(each.casefold() for each in given),
            limit,
        )
        self.flush()
        return read(self.settings.path, question, self._own, self._say)

    def keep_conversation(self, name: str, notebook: str, state: str) -> None:
        """Writes the newest state of a conversation, a JSON text; it never raises, and never waits."""
        try:
            if (writer := self._open()) is not None:
                writer.keep(name, notebook, state)
        except Exception as exc:  # as in begin
            self._say(f"A conversation is not written down: {exc}")

    def conversation(self, name: str, notebook: str) -> str | None:
        """The newest state of a conversation, of any kernel; None where there is none."""
        try:
            from .reading import conversation
        except ImportError:
            self._say(NO_SQLITE)
            return None
        self.flush()
        return conversation(self.settings.path, name, notebook, self._say)

    def forget_conversation(self, name: str, notebook: str) -> None:
        """Erases a conversation's state; the answers stay."""
        if self._writer is not None:
            self._writer.drop(name, notebook)
        try:
            from .erasing import forget_conversation
        except ImportError:
            return  # then there is none
        self.flush()
        forget_conversation(self.settings.path, name, notebook, self._own, self._say)

    def forget(
        self,
        ids: Sequence[str] | None = None,
        *,
        before: float | None = None,
        notebook: str | None = None,
        everything: bool = False,
    ) -> int:
        """Erases the answers for which all of this holds, in the files of all kernels; how many they were.

        before: seconds since 1970. everything: all that there is. Panels' conversations of that time or notebook go
        too, unless ids are given.
        """
        try:
            from .erasing import condition, forget
        except ImportError:
            return 0  # then there is nothing
        if ids is None and before is None and notebook is None and not everything:
            return 0
        self.flush()
        return forget(self.settings.path, condition(ids, before, notebook), self._own, self._say)

    def flush(self) -> bool:
        """Waits until all that has come is on the disk; False where it could not be written."""
        return all(writer.flush(_PATIENCE) for writer in self._writers)

    def configure(
        self,
        *,
        journal: bool | str | Path | None = None,
        days: float | None = None,
        megabytes: float | None = None,
        images: bool | None = None,
    ) -> None:
        """What holds in this process, before the environment and the site's file; None leaves it to them.

        journal: False for none, or the path of another folder.
        days, megabytes: how long an answer is kept (90), and how much all of them may take (500).
        images: whether pictures are kept as such, and not as hashes.
        """
        self._said = changed({}, journal=journal, days=days, megabytes=megabytes, images=images)

    @property
    def settings(self) -> Settings:
        """What holds now. Raises SetupError where the environment or the site's file says what cannot be."""
        return settings(self._said)

    def notice(self) -> str:
        """What is to be said once, and has not been: where the journal is, or what keeps it from being written."""
        said, self._to_say = self._to_say, []
        return "\n".join(said)

    def close(self) -> None:
        """Writes what is there, and closes the files."""
        for writer in self._writers:
            writer.close(_PATIENCE)
        self._writer, self._retired = None, []

    @property
    def _writers(self) -> list[Writer]:
        return [*self._retired, *([self._writer] if self._writer is not None else [])]

    @property
    def _own(self) -> File | None:
        return None if self._writer is None else self._writer.file

    def _open(self) -> Writer | None:
        """The writer of the folder that holds now; None where the journal is off."""
        held = self.settings
        if not held.is_on:
            return None
        with self._lock:
            if self._writer is None or self._writer.folder != held.path:
                if self._writer is not None:
                    self._writer.retire()
                    self._retired = [each for each in self._retired if not each.is_gone] + [self._writer]
                self._writer = Writer(held.path, self._say)
            self._writer.tables.images = held.images
            writer = self._writer
        if not self._has_told:
            self._has_told = True
            self._tell(held)
        if self._pruned_at is None or time.monotonic() - self._pruned_at > _PRUNE:
            self._pruned_at = time.monotonic()
            threading.Thread(target=self._prune, args=(held, writer), name="holystream-prune", daemon=True).start()
        return writer

    def _prune(self, held: Settings, writer: Writer) -> None:
        """Keeps all files within the limits; in a thread of its own."""
        time.sleep(_QUIET)
        try:
            from .erasing import prune
        except ImportError:
            return  # no sqlite3, which the writer says
        prune(held.path, held.days, held.megabytes, writer.file, self._say)

    def _tell(self, held: Settings) -> None:
        """Says where the journal is, once for each user."""
        try:
            held.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(held.path / _TOLD, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:
            return
        self._say(
            f"Answers are kept in {held.path} for {held.days:g} days, {held.megabytes:g} MB at most, without keys and "
            f"pictures. To turn it off: %config StreamMagics.journal = False here, {VARIABLE}=0 for all kernels."
        )

    def _say(self, sentence: str) -> None:
        if sentence not in self._problems:
            self._problems.add(sentence)
            self._to_say.append(sentence)

    def _before_fork(self) -> None:
        for writer in self._writers:
            writer.pause()

    def _after_fork(self) -> None:
        for writer in self._writers:
            writer.resume()

    def _forked(self) -> None:
        """In a forked child: what the parent wrote stays the parent's."""
        for writer in self._writers:
            writer.forsake()
        self._lock = threading.Lock()
        self._writer, self._retired = None, []


def _copied(value: Any) -> Any:
    """Mappings and lists anew, so that who asked may go on with them; what is in them is not copied."""
    if isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list | tuple) else value


journal: Final = Journal()
"""This process's."""

atexit.register(journal.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=journal._before_fork, after_in_parent=journal._after_fork, after_in_child=journal._forked
    )
