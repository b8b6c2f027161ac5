"""An answer again: the n-th last of this notebook, or any by its id; as text, or to go on with it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from string import hexdigits
from typing import Any, Final

from .answered import SHORT, how_it_ended, short_id
from .ask import Ask, answer_format
from .continued import Cut
from .errors import SetupError
from .journal.masking import MASK
from .journal.values import Answer
from .live.beside import ended, pictures, sources
from .live.saved import plain_beside, printable
from .reply import Reply
from .session import Session
from .wire.endings import kind_of

_ID: Final = 4
"""Characters of an answer's id that are enough, if no other begins with them; of digits alone, as many as are shown."""


def recalled(session: Session, which: str = "1") -> Reply | Answer:
    """An answer: the n-th last of this kernel and of the earlier ones of this notebook, or the one of an id.

    Raises SetupError where there is none.
    """
    if not _is_number(which):
        return _by_id(which)
    number = int(which)
    if 0 < number <= len(session.history):
        return session.history[-number]
    before = earlier(session)
    if 0 < number <= len(session.history) + len(before):
        return before[number - len(session.history) - 1]
    count = len(session.history) + len(before)
    if not count:
        raise SetupError("This notebook has no answers yet.")
    raise SetupError(
        f"This notebook has {count:,} answer{'' if count == 1 else 's'}: give a number from 1 to {count:,}."
    )


def _is_number(which: str) -> bool:
    return which.isdecimal() and len(which) < SHORT


def earlier(session: Session) -> list[Answer]:
    """What earlier kernels of this notebook were answered, the newest first."""
    from .journal.journal import journal
    from .live.where import origin

    notebook = origin("cell").notebook
    answers = journal.answers(notebook=notebook) if notebook else []
    return [answer for answer in answers if answer.began < session.began]


def _by_id(text: str) -> Answer:
    from .journal.journal import journal

    if len(text) < _ID or not set(text.lower()) <= set(hexdigits):
        raise SetupError(f"{text!r} is neither a number nor the id of an answer, as %stream find shows them.")
    matching = journal.answers(ids=[text.lower()])
    if not matching:
        raise SetupError(f"There is no answer {text!r} in the journal: %stream find shows the ids.")
    if len(matching) > 1:
        raise SetupError(f"Several answers' ids begin with {text!r}: write more of it.")
    return matching[0]


def plain(answer: Reply | Answer) -> str:
    """It as plain text, with how it ended and its figures' line."""
    if isinstance(answer, Reply):
        parts = [answer.text, plain_beside(sources(answer), pictures(answer)), ended(answer), repr(answer)]
    else:
        notebook = answer.origin.notebook
        told = (short_id(answer), f"{answer.provider}:{answer.model}", answer.note, notebook, how_it_ended(answer))
        parts = [answer.text, answer.error, f"[{' · '.join(filter(None, told))}]"]
    return printable("\n\n".join(filter(None, parts)))


def going_on(session: Session, which: str = "1") -> Ask:
    """What asks the same model to go on where an answer was cut. Raises SetupError where it cannot."""
    answer = recalled(session, which)
    if why := _whole(answer):
        raise SetupError(f"{why}: there is nothing to continue. {_OTHER}")
    if not answer.text.strip():
        raise SetupError(f"Nothing of this answer's text came: ask again. {_OTHER}")
    ask = session.asks[-int(which)] if isinstance(answer, Reply) else _asked(session, answer)
    if ask.tools or (isinstance(answer, Answer) and answer.record.get("calls")):
        raise SetupError(
            f"The model was calling tools in this answer, whose results are not repeated: ask again. {_OTHER}"
        )
    wire = answer.wire if isinstance(answer, Reply) else answer.record.get("wire", "chat")
    parameters = {name: value for name, value in ask.parameters.items() if name != "response_format"}
    return Ask(
        prompt=ask.prompt,
        models=ask.models,
        options=ask.options,
        timeout=ask.timeout,
        format=ask.format,
        max_cost=ask.max_cost,
        transport=ask.transport,
        parameters=parameters,
        is_line=True,
        cut=Cut(answer.text, wire),
    )


_OTHER: Final = "%stream continue N is for the N-th last answer, %stream continue ID for one that %stream find shows."


def _whole(answer: Reply | Answer) -> str:
    """Why it is not one to go on with; "" where it was cut."""
    if isinstance(answer, Reply):
        word = answer.finish_reason
        was_cut = answer.end in (None, "length") or answer.error is not None
    else:
        if answer.is_running:
            return "This answer is still running in its kernel"
        word = str(answer.record.get("finish_reason") or "")
        was_cut = answer.state != "done" or kind_of(word) == "length"
    return "" if was_cut else f"This answer ended by itself ({word or 'done'})"


def _asked(session: Session, answer: Answer) -> Ask:
    """What it was asked with, as far as the journal tells. Raises SetupError where it would go to another service."""
    if any(_has_parts(message) for message in answer.messages):
        raise SetupError("What was asked has pictures in it, of which the journal keeps hashes alone: ask again.")
    if _is_masked(answer.parameters):
        raise SetupError("It was asked with credentials among its parameters, which no journal keeps: ask again.")
    at_home = answer.provider == session.default_provider()
    model = answer.model if at_home else f"{answer.provider}:{answer.model}"
    with contextlib.suppress(SetupError):
        if session.located(model).provider.name == answer.provider:
            return Ask(
                list(answer.messages), (model,), format=answer_format(answer.format), parameters=answer.parameters
            )
    raise SetupError(
        f"This answer came from {answer.provider}, whose address is not set here: set it (hs.configure(base_url=…)), "
        "and continue again."
    )


def _is_masked(value: object) -> bool:
    if isinstance(value, Mapping | list):
        return any(map(_is_masked, value.values() if isinstance(value, Mapping) else value))
    return value == MASK


def _has_parts(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") != "text" for part in content if isinstance(part, dict))
