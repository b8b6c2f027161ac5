"""%stream without a cell: totals, models, a service tried, an answer again, the end of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import HolystreamError, SetupError
from .live.figures import approximate, total
from .live.saved import printable
from .live.table import bundle as table
from .live.table import present
from .session import Session
from .sync import run


def report(words: Sequence[str], session: Session, model: str | None) -> None:
    """Shows what the words of the line ask for. Raises SetupError for words it does not know."""
    match words:
        case []:
            present(table([["", ""], *_standing(session, model)]))
        case ["models"]:
            present(table(run(_models(session, ""))))
        case ["models", name]:
            present(table(run(_models(session, name))))
        case ["check", *names]:
            from .checking import show_check  # late, with all that tries

            run(show_check(tuple(names), session, model))
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
                f"%stream {' '.join(words)}: write %stream, %stream models [PROVIDER], check [PROVIDER[:MODEL] …], "
                "last [n], or forget NAME."
            )


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


async def _models(session: Session, name: str) -> list[list[str]]:
    """The models of a provider, the session's by default: those that its service lists, and those that are known.

    Raises what kept the service of a provider that was named from listing them, where none is known.
    """
    from .models import known_models, listed_models
    from .pricing import price_card
    from .providers.table import provider

    error: HolystreamError | None = None
    try:
        listed = await listed_models(session, name)
        seller, names, error = listed.provider, listed.models, listed.error
    except HolystreamError as exc:
        seller, names, error = provider(name or session.default_provider()), (), exc
    paces = {profile.model: profile for profile in session.profiles()}
    known = known_models(seller, session)
    if name and error is not None and not known:
        raise error
    rows = [["model", "first token", "gap", "USD per 1M tokens in", "out", "source"]]
    for model in dict.fromkeys([*known, *names] if seller.price_list in ("card", "simulated") else names or known):
        card = price_card(seller, model)
        prices = ["unknown" if price is None else f"{price:f}" for price in (card.input, card.output)]
        pace = paces.get(model) if seller.price_list in ("card", "simulated") else None
        if pace is not None:
            rows.append([model, f"{pace.first_ms:,.0f} ms", f"{pace.gap_ms:g} ms", *prices, pace.source])
        else:
            source = f"{seller.name} lists it" if model in names else card.source
            rows.append([model, "unknown", "unknown", *prices, source])
    return rows


def _answer(session: Session, number: int) -> str:
    if number > len(session.history):
        raise SetupError(f"This kernel has {len(session.history)} answers; there is no {number}. last one.")
    reply = session.history[-number]
    return printable(f"{reply.text}\n\n{reply!r}")
