"""An answer again: the n-th last of this notebook, or any by its id; as text, or to go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from string import hexdigits
from typing import Any, Final

from .answered import how_it_ended, short_id
from .ask import Ask, answer_format
from .continued import Cut
from .errors import SetupError
from .journal.values import Answer
from .live.beside import ended, pictures, sources
from .live.saved import plain_beside, printable
from .reply import Reply
from .session import Session
from .wire.endings import kind_of

_ID: Final = 4
"""Characters of an answer's id that are enough, if no other begins with them."""


def recalled(session: Session, which: str = "1") -> tuple[Reply | Answer, Ask | None]:
    """An answer, and what it was asked with, where this kernel's cells asked: `which` is a number, or an id.

    The n-th last of this kernel, and before those of the earlier kernels of this notebook. Raises SetupError where
    there is none.
    """
    if not (which.isdecimal() and len(which) < _ID):
        return _by_id(which), None
    number = int(which)
    if 0 < number <= len(session.history):
        return session.history[-number], session.asks[-number]
    before = earlier(session)
    if 0 < number <= len(session.history) + len(before):
        return before[number - len(session.history) - 1], None
    count = len(session.history) + len(before)
    are = f"is {count} answer" if count == 1 else f"are {count:,} answers"
    raise SetupError(f"There {are} of this notebook; there is no {number}. last one.")


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
    answer, ask = recalled(session, which)
    if why := _whole(answer):
        raise SetupError(f"{why}: there is nothing to continue. {_OTHER}")
    if not answer.text.strip():
        raise SetupError(f"Nothing of this answer's text came: ask again. {_OTHER}")
    if ask is None:
        ask = _asked(session, answer)
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


def _asked(session: Session, answer: Reply | Answer) -> Ask:
    """What it was asked with, as far as the journal, or the reply itself, tells."""
    messages = answer.asked if isinstance(answer, Reply) else answer.messages
    if not messages or any(_has_parts(message) for message in messages):
        raise SetupError("What was sent is not all there any more (pictures are kept as hashes): ask again.")
    at_home = answer.provider == session.default_provider()
    model = answer.model if at_home else f"{answer.provider}:{answer.model}"
    if isinstance(answer, Reply):
        return Ask(list(messages), (model,))
    return Ask(list(messages), (model,), format=answer_format(answer.format), parameters=answer.parameters)


def _has_parts(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") != "text" for part in content if isinstance(part, dict))
