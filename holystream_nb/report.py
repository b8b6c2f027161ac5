"""%stream without a cell: the session's totals, the models, an answer again, the end of a conversation."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from .errors import SetupError
from .live.figures import approximate, total
from .live.saved import printable
from .session import Session


def report(words: Sequence[str], session: Session) -> None:
    """Shows what the words of the line ask for. Raises SetupError for words it does not know."""
    match words:
        case []:
            _show([["", ""], *_standing(session)])
        case ["config"]:
            _show(_settings(session))
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
            raise SetupError(
                f"%stream {' '.join(words)}: write %stream, %stream config, models, last [n], forget NAME."
            )


def _standing(session: Session) -> list[list[str]]:
    service = session.default_service()
    try:
        place = session.located(None)
        provider, chosen = place.provider.name, place.model
    except SetupError:
        provider, chosen = service.provider.name, service.model or "none is set"
    totals = session.totals
    cost = total(totals.usd, totals.simulated_usd, exact=totals.exact)
    if totals.unpriced:
        cost += f", and {totals.unpriced} of unknown cost"
    return [
        ["provider", f"{provider} ({service.source or 'no key set'})"],
        ["model", chosen],
        ["requests", f"{totals.requests:,}"],
        ["output tokens", f"{approximate(totals.exact)}{totals.tokens:,}"],
        ["cost", cost],
        ["conversations", ", ".join(session.conversations) or "none"],
    ]


def _settings(session: Session) -> list[list[str]]:
    """What is set, and by whom; of what is secret the names alone."""
    from .client.options import OPTIONS
    from .defaults import is_set
    from .providers.table import user_file

    service = session.default_service()
    rows = [["setting", "is", "from"]]
    rows.append(["service", service.provider.name, service.source or "no key set"])
    rows.append(["address", service.provider.base_url or "a simulator of this kernel", service.source or "built in"])
    variable = service.provider.key_variable if service.options.key_variable is None else service.options.key_variable
    if service.options.api_key is None and variable:
        state = "set" if os.environ.get(variable, "").strip() else "not set"
        rows.append(["key", f"in the variable {variable} ({state})", service.source or "built in"])
    for each in session.settings():
        if each.model:
            rows.append(["model", each.model, each.source])
        rows += [
            [name, _shown(name, getattr(each.options, name)), each.source]
            for name in sorted(OPTIONS)
            if is_set(each.options, name)
        ]
    path, is_there = user_file()
    rows.append(["providers.toml", str(path), "read" if is_there else "there is none yet"])
    return rows


def _shown(name: str, value: Any) -> str:
    if name == "api_key":
        return "passed in, not shown"
    if name in ("headers", "query"):
        return f"{', '.join(each for each, _ in value)} (values not shown)"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _models(session: Session) -> list[list[str]]:
    from .pricing import price_card

    seller = session.default_service().provider
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
