"""%stream without a cell: the session's totals, the models, an answer again or found, the end of a conversation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .answered import answer_rows, found
from .errors import HolystreamError, SetupError
from .journal.journal import journal
from .journal.place import SITE_FILE, VARIABLE, settings
from .journal.place import Settings as JournalSettings
from .live.figures import approximate
from .live.saved import printable
from .live.table import bundle as table
from .live.table import present
from .live.where import origin
from .money import amount
from .money.card import LOCAL
from .providers.values import Provider
from .recall import plain, recalled
from .session import Session
from .sync import run
from .tools import mcp_servers


def report(words: Sequence[str], session: Session) -> None:
    """Shows what the words of the line ask for. Raises SetupError for words it does not know."""
    match words:
        case []:
            present(table([["", ""], *_standing(session)]))
        case ["config"]:
            present(table(_settings(session)))
        case ["models"]:
            present(table(run(_models(session, ""))))
        case ["models", name]:
            present(table(run(_models(session, name))))
        case ["check", *names]:
            from .checking import show_check  # late, with all that tries

            run(show_check(tuple(names), session))
        case ["formats"]:
            page = Path(__file__).with_name("providers").joinpath("FORMATS.md").read_text("utf-8")
            present({"text/plain": page, "text/markdown": page})
        case ["last"]:
            print(plain(recalled(session)))
        case ["last" | "show", which]:
            print(plain(recalled(session, which)))
        case ["find", _, *_]:
            _show_found(" ".join(words[1:]))
        case ["find" | "show" | "forget" as word]:
            what = {
                "find": "WORDS, all of which are in the answer or its question",
                "show": "ID, as %stream find shows it",
            }
            raise SetupError(
                f"Write %stream {word} {what.get(word, 'NAME, of a conversation of %%stream --chat NAME')}."
            )
        case ["forget", name]:
            if not session.conversations.forget(name, origin("cell")):
                known = ", ".join(session.conversations) or "none"
                raise SetupError(f"There is no conversation {name!r} (there are: {known}).")
            print(f"The conversation {name} is forgotten.")
        case _:
            raise SetupError(
                f"%stream {' '.join(words)}: write %stream, %stream config, models [PROVIDER], "
                "check [PROVIDER[:MODEL] …], formats, last [n], find WORDS, show ID, continue [n or ID], forget NAME."
            )


def _standing(session: Session) -> list[list[str]]:
    service = session.default_service()
    try:
        place = session.located(None)
        provider, chosen = place.provider.name, place.model
    except SetupError:
        provider, chosen = service.provider.name, service.model or "none is set"
    totals = session.totals
    is_local = totals.local > 0 and totals.local == totals.requests
    cost = LOCAL if is_local else amount.total(totals.cost, totals.simulated, exact=totals.exact and totals.cost_exact)
    if totals.unpriced:
        cost += f", and {totals.unpriced} of unknown cost"
    return [
        ["provider", f"{provider} ({service.source or 'no key set'})"],
        ["model", chosen],
        ["requests", f"{totals.requests:,}"],
        ["output tokens", f"{approximate(totals.exact)}{totals.tokens:,}"],
        ["cost", cost],
        *_limits(session, service.provider),
        ["conversations", ", ".join(session.conversations) or "none"],
    ]


def _limits(session: Session, provider: Provider) -> list[list[str]]:
    """The session's budget, where there is one; the rate, where costs are in yuan."""
    budget, rows = session.budget, []
    if budget.limit is not None:
        rows.append(["budget", f"{budget.limit:f} USD, of which {budget.spent:.6f} USD is spent"])
    if amount.currency() == "CNY":
        rows.append(["rate", f"¥{provider.cny_per_usd:f} to the dollar at {provider.name} ({provider.rate_source})"])
    return rows


def _settings(session: Session) -> list[list[str]]:
    """What is set, and by whom; of what is secret the names alone."""
    from .client.options import OPTIONS
    from .defaults import is_set
    from .providers.table import user_file

    service = session.default_service()
    rows = [["setting", "is", "from"]]
    rows.append(["service", service.provider.name, service.source or "no key set"])
    address = service.provider.base_url or "a simulator of this kernel"
    if not any(each.options.base_url == address for each in session.settings()):  # else it is among what is set
        rows.append(["address", address, service.source or "built in"])
    variable = service.provider.key_variable if service.options.key_variable is None else service.options.key_variable
    if service.options.api_key is None and variable:
        state = "set" if os.environ.get(variable, "").strip() else "not set"
        rows.append(["key", f"in the variable {variable} ({state})", service.source or "built in"])
    if service.options.wire is None and service.provider.wire != "chat":
        rows.append(["wire", service.provider.wire, "built in"])
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
    path, is_there = mcp_servers.user_file()
    servers = ", ".join(map(printable, mcp_servers.names())) or "no server"
    rows.append(["mcp.json", str(path), servers if is_there else "there is none yet"])
    kept = journal.settings
    rows.append(["journal", str(kept.path) if kept.is_on else "off", _said_by(kept)])
    return rows


def _said_by(kept: JournalSettings) -> str:
    """Who says where the journal is."""
    below = settings({})
    if kept != below:
        return "%config StreamMagics"
    if VARIABLE in os.environ:
        return VARIABLE
    return "built in" if below == JournalSettings() else SITE_FILE


def _shown(name: str, value: Any) -> str:
    if name == "api_key":
        return "passed in, not shown"
    if name in ("headers", "query"):
        return f"{', '.join(each for each, _ in value)} (values not shown)"
    if isinstance(value, float):
        return f"{value:g}{' s' if name in _IN_SECONDS else ''}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


_IN_SECONDS: Final = ("backoff", "connect_timeout", "inactivity", "progress_timeout")


async def _models(session: Session, name: str) -> list[list[str]]:
    """The models of a provider, the session's by default: those that its service lists, and those that are known.

    Raises what kept the service from listing them, where none is known.
    """
    from .models import known_models, listed_models
    from .money.card import SIMULATED, price_card
    from .providers.table import provider

    error: HolystreamError | None = None
    try:
        listed = await listed_models(session, name)
        seller, names, error = listed.provider, listed.models, listed.error
    except HolystreamError as exc:
        seller, names, error = provider(name) if name else session.default_service().provider, (), exc
    paces = {profile.model: profile for profile in session.profiles()}
    known = known_models(seller, session)
    if error is not None and not known:
        raise error
    is_documented = seller.price_list in ("card", "simulated")
    rows = [["model", "first token", "gap", f"{amount.currency()} per 1M tokens in", "out", "source"]]
    for model in dict.fromkeys([*known, *names] if is_documented else names or known):
        card = price_card(seller, model)
        word = f" ({SIMULATED})" if card.note == SIMULATED else ""
        rate = card.cny_per_usd if amount.currency() == "CNY" else 1
        prices = ["unknown" if price is None else f"{price * rate:f}{word}" for price in (card.input, card.output)]
        pace = paces.get(model) if is_documented else None
        if pace is not None:
            rows.append([model, f"{pace.first_ms:,.0f} ms", f"{pace.gap_ms:g} ms", *prices, pace.source])
        else:
            source = f"{seller.name} lists it" if model in names else card.source
            rows.append([model, "unknown", "unknown", *prices, source])
    return rows


def _show_found(words: str) -> None:
    """The answers with these words, the newest first."""
    answers = found(words=words, limit=_FOUND)
    if not answers:
        off = "" if journal.settings.is_on else " The journal is off: new answers are not written down."
        print(f"No answer in the journal has the words {printable(words)!r}.{off}")
        return
    present(table(answer_rows(answers[::-1])))
    more = f"These are the newest {_FOUND}: more words find fewer. " if len(answers) == _FOUND else ""
    print(f"{more}%stream show ID shows one whole, `holystream-nb journal forget ID` erases it.")


_FOUND: Final = 30
