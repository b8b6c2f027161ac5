"""Completion of `%%stream` and `%stream` in IPython's own completer: the same in every front-end, consoles included.

Offered are options with what they mean, the values that an option can have, models with their prices, `%stream`'s
subcommands, and the notebook's variables behind a `{` of a prompt. Nothing is asked of a service, and a list of models
that is not known yet is waited for a moment only: the next try has it.
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import ModuleType
from typing import Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.interactiveshell import InteractiveShell

from .magic import StreamMagics
from .session import session

_MAGIC: Final = re.compile(r"%%stream(?!\w)")
_LINE: Final = re.compile(r"\s*%stream\s+(?:(\w+)\s+)*")
_VARIABLE: Final = re.compile(r"(?<!\{)\{([^\W\d]\w*)?$")
_SUBCOMMAND: Final = re.compile(r"^\s+%stream (\w+)(?:[^\n]*?\s{2,})?(.*)$", re.MULTILINE)
_MODELS: Final = ("models", "check")
_WAIT_S: Final = 0.3
_FRESH_S: Final = 60.0
_MEANING: Final = 36
_MOST: Final = 200

Offers = Iterable[tuple[str, str]]
"""What can be written, and what it means."""


def load(shell: InteractiveShell) -> None:
    """Adds it to the shell's completer; a second load replaces the first."""
    unload(shell)
    shell.Completer.custom_matchers.append(_matcher(shell))


def unload(shell: InteractiveShell) -> None:
    matchers: list[Any] = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != _IDENTIFIER]


_IDENTIFIER: Final = "holystream_nb"


def _matcher(shell: InteractiveShell) -> Callable[[CompletionContext], SimpleMatcherResult]:
    @context_matcher(identifier=_IDENTIFIER, priority=1000)  # type: ignore[untyped-decorator]
    def match(context: CompletionContext) -> SimpleMatcherResult:
        before = context.line_with_cursor[: context.cursor_position]
        fragment, offers = completions(context.full_text, context.cursor_line, before, shell.user_ns)
        found = [SimpleCompletion(text, type=_short(meaning)) for text, meaning in _fitting(fragment, offers)]
        return {"completions": found, "matched_fragment": fragment, "suppress": bool(found), "ordered": True}

    matcher: Callable[[CompletionContext], SimpleMatcherResult] = match
    return matcher


def completions(text: str, line: int, before: str, variables: Mapping[str, Any]) -> tuple[str, Offers]:
    """What stands before the cursor of what is completed, and all that could be there.

    text: the whole cell. line: the cursor's. before: that line up to the cursor.
    """
    if _MAGIC.match(text):
        if line:
            found = _VARIABLE.search(before)
            return (found[1] or "", _values(variables)) if found else ("", ())
        *words, fragment = re.split(r"\s+", before)
        return (fragment, _options(words[-1], fragment, variables)) if words else ("", ())
    if found := _LINE.match(before):
        fragment = before[found.end() :]
        return fragment, _subcommands() if found[1] is None else _arguments(before.split()[1])
    return "", ()


def _options(option: str, fragment: str, variables: Mapping[str, Any]) -> Offers:
    """After an option that takes a value, its values; else options."""
    actions: list[argparse.Action] = StreamMagics.stream.parser._actions
    action = next((each for each in actions if option in each.option_strings), None)
    if action is not None:
        if action.choices is not None:
            return [(str(choice), "") for choice in action.choices]
        match action.dest:
            case "model":
                return _models.offers()
            case "chat":
                return [(name, "") for name in session.conversations]
            case "tools" | "allow":
                all_of_them = [("all", "every tool")] if action.dest == "allow" else []
                return [*all_of_them, *((name, meaning) for name, meaning in _values(variables, functions=True))]
        return ()
    if not fragment.startswith("-"):
        return ()
    is_long = fragment.startswith("--")
    named = [(each.option_strings[-1 if is_long else 0], each.help or "") for each in actions if each.option_strings]
    rest = [(each.option_strings[-1], each.help or "") for each in actions if len(each.option_strings) > 1]
    return named if is_long else dict([*named, *rest]).items()


def _subcommands() -> Offers:
    """As the help of `%stream` has them."""
    return [(name, meaning) for name, meaning in _SUBCOMMAND.findall(StreamMagics.stream_line.__doc__ or "")]


def _arguments(subcommand: str) -> Offers:
    if subcommand == "forget":
        return [(name, "") for name in session.conversations]
    if subcommand in _MODELS:
        from .providers.table import providers

        return [(name, "") for name in providers()]
    return ()


def _values(variables: Mapping[str, Any], *, functions: bool = False) -> Iterator[tuple[str, str]]:
    """The notebook's own names: functions, or what is none."""
    hidden = ("In", "Out", "exit", "quit", "get_ipython", "open")
    for name, value in list(variables.items()):
        if name.startswith("_") or name in hidden or isinstance(value, ModuleType | type):
            continue
        if callable(value) is functions:
            yield name, type(value).__name__


def _fitting(fragment: str, offers: Offers) -> list[tuple[str, str]]:
    """Those that begin with what is written, then those that have it within."""
    listed = list(offers)
    word = fragment.lower()
    first = [each for each in listed if each[0].lower().startswith(word)]
    within = [each for each in listed if word and word in each[0].lower() and each not in first]
    return list(islice((*first, *within), _MOST))


def _short(meaning: str) -> str:
    """As much as a list of completions has room for, on one line: JupyterLab breaks it where it can."""
    first = re.split(r"[;(]", meaning.replace("\n", " "))[0].strip()
    cut = first if len(first) <= _MEANING else first[: _MEANING - 1].rstrip() + "…"
    return cut.replace(" ", "\N{NO-BREAK SPACE}").replace("-", "\N{NON-BREAKING HYPHEN}")


class _Models:
    """The models that could be asked, found beside the cells."""

    def __init__(self) -> None:
        self._known: list[tuple[str, str]] = []
        self._at = float("-inf")
        self._thread: threading.Thread | None = None

    def offers(self) -> Offers:
        if time.monotonic() - self._at > _FRESH_S and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._find, name="holystream completion", daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._thread.join(_WAIT_S)
        return self._known

    def _find(self) -> None:
        from .chat.catalogue import catalogue
        from .errors import HolystreamError
        from .models import known_models

        try:
            if not self._known:  # prices take their time
                home = session.default_service().provider
                self._known = [(model, "") for model in known_models(home, session)]
            self._known = [(offer["value"], offer["note"].partition(" per ")[0]) for offer in catalogue(session)]
            self._at = time.monotonic()
        except HolystreamError:  # a table of providers that cannot be read: asking says so
            pass


_models: Final = _Models()
