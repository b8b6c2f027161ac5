"""%stream without a cell: the session's totals, the models, an answer again, the end of a conversation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .errors import SetupError
from .live.figures import approximate, total
from .live.saved import printable
from .session import Session


def report(words: Sequence[str], session: Session, model: str | None) -> None:
    """Shows what the words of the line ask for. Raises SetupError for words it does not know."""
    match words:
        case []:
            _show([["", ""], *_standing(session, model)])
        case ["models"]:
            _show(_models(session))
        case ["last"]:
            print(_answer(session, 1))
        case ["last", number] if number.isdecimal() and int(number) > 0:
            print(_answer(session, int(number)))
        case ["forget", name]:
            if session.conversations.pop(name, None) is None:
                known = ", ".join(session.conversations) or "none"
                raise SetupError(f"There is no conversation {name!r} (there are: {known}).")
            print(f"The conversation {name} is forgotten.")
        case _:
            raise SetupError(f"%stream {' '.join(words)}: write %stream, %stream models, last [n], or forget NAME.")


def _standing(session: Session, model: str | None) -> list[list[str]]:
    from .providers.select import select

    provider, chosen = select(model or "", session.default_provider())
    totals = session.totals
    cost = total(totals.usd, totals.simulated_usd, exact=totals.exact)
    if totals.unpriced:
        cost += f", and {totals.unpriced} of unknown cost"
    return [
        ["provider", provider.name],
        ["model", chosen],
        ["requests", f"{totals.requests:,}"],
        ["output tokens", f"{approximate(totals.exact)}{totals.tokens:,}"],
        ["cost", cost],
        ["conversations", ", ".join(session.conversations) or "none"],
    ]


def _models(session: Session) -> list[list[str]]:
    from .pricing import price_card
    from .providers.table import provider

    seller = provider(session.default_provider())
    rows = [["model", "first token", "gap", "USD per 1M tokens in", "out", "source"]]
    for profile in session.profiles():
        card = price_card(seller, profile.model)
        prices = ["unknown" if price is None else f"{price:f}" for price in (card.input, card.output)]
        rows.append([profile.model, f"{profile.first_ms:,.0f} ms", f"{profile.gap_ms:g} ms", *prices, profile.source])
    return rows


def _answer(session: Session, number: int) -> str:
    if number > len(session.history):
        raise SetupError(f"This kernel has {len(session.history)} answers; there is no {number}. last one.")
    reply = session.history[-number]
    return printable(f"{reply.text}\n\n{reply!r}")


def _show(rows: Sequence[Sequence[str]]) -> None:
    """A table: Markdown where it is drawn, aligned text elsewhere."""
    from .live.harmless import plain_line

    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    plain = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
        if any(row)
    )
    lines = [f"| {' | '.join(plain_line(cell).replace('|', '&#124;') for cell in row)} |" for row in rows]
    markdown = "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        print(plain)
    else:
        ipython.display.display({"text/plain": plain, "text/markdown": markdown}, raw=True)
