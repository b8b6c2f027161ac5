"""hs.check and %stream check: what can be relied on at one service, or at several side by side, as a table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from . import kinds
from .errors import MissingKey, SetupError
from .live.figures import approximate
from .live.harmless import plain_line
from .live.table import aligned, marked
from .live.waiting import WaitingLine
from .money.amount import Amount, total
from .providers.secret import sealing
from .session import Session, check_key_is_for_one, session

if TYPE_CHECKING:
    from .client.check import Check
    from .client.findings import Finding
    from .client.options import ClientOptions
    from .defaults import Place

MOST: Final = 4
"""So many services fit side by side."""

_LIMIT_S: Final = 60.0

_ANY: Final = "-"
"""Stands for a model where only the service is known yet."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one service or several; drawn as a table. `checks[0]["usage"].verdict` is one row's."""

    checks: tuple[Check, ...]

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __getitem__(self, index: int) -> Check:
        return self.checks[index]

    @property
    def differences(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The fields of chunks that are not written alike, with how each service writes them (document 004)."""
        return tuple((name, words) for name, words in self._formats() if len(set(words)) > 1)

    def __repr__(self) -> str:
        parts = [f"{_head(self.checks)}\n{aligned(self._rows())}"]
        if len(self) > 1 and self._formats():
            parts.append(f"How chunks are written:\n{aligned(self._format_rows())}")
        parts += [f"What it took: {_cost(each)}" for each in self]
        return "\n\n".join(parts)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.bundle()

    def bundle(self) -> dict[str, str]:
        """The tables as text and as Markdown."""
        parts = [marked(self._rows())]
        if len(self) > 1 and self._formats():
            parts += ["How chunks are written:", marked(self._format_rows())]
        parts += [plain_line(f"What it took: {_cost(each)}") for each in self]
        return {"text/plain": repr(self), "text/markdown": "\n\n".join(parts)}

    def _rows(self) -> list[list[str]]:
        if len(self) == 1:
            (only,) = self
            rows = [[row.name, row.verdict, _with_advice(row)] for row in only.findings]
            return [["", "", only.label], *rows]
        head = ["", *(each.label for each in self)]
        names = [row.name for row in self[0].findings]
        return [head, *([name, *(_cell(each, name) for each in self)] for name in names)]

    def _formats(self) -> list[tuple[str, tuple[str, ...]]]:
        shapes = [dict(each.shape) for each in self]
        if not all(shapes):
            return []
        return [(name, tuple(shape.get(name, "unknown") for shape in shapes)) for name in shapes[0]]

    def _format_rows(self) -> list[list[str]]:
        head = ["field", "", *(each.label for each in self)]
        rows = ([name, "differs" if len(set(words)) > 1 else "same", *words] for name, words in self._formats())
        return [head, *rows]


@sealing()
async def check(*models: str, timeout: float = _LIMIT_S, **options: Any) -> Checks:
    """Tries one service, or up to four side by side, with a few tokens, and returns what was seen as a table.

    models: `provider`, `model` or `provider:model`; without any, the service and model of the session.
    timeout: limit on each of some five requests (s).
    options: how they are reached, as for `Client`: base_url, api_key, key_variable, headers, ca, …

    A row that fails leaves the others standing; no key is in any of them. Raises SetupError for what cannot be.
    """
    from .client.options import client_options

    line = WaitingLine()
    try:
        began = time.monotonic()
        found = await _checked(models, session, line, client_options(**options), timeout)
        line.say(f"checked {', '.join(each.label for each in found)} in {time.monotonic() - began:,.0f} s")
        return found
    finally:
        line.clear()


async def show_check(models: tuple[str, ...], session: Session) -> None:
    """The same for `%stream check`, shown in the place of the line that says what is being tried."""
    from .client.options import ClientOptions

    line = WaitingLine()
    try:
        found = await _checked(models, session, line, ClientOptions(), _LIMIT_S)
    except BaseException:
        line.clear()
        raise
    line.end(found.bundle())


async def _checked(
    models: tuple[str, ...], session: Session, line: WaitingLine, options: ClientOptions, timeout: float
) -> Checks:
    if not all(isinstance(text, str) for text in models):
        raise SetupError('A model to check is a text: hs.check("openai:gpt-4.1", "simulator:gpt-4.1").')
    if len(models) > MOST:
        raise SetupError(f"{MOST} services fit side by side, and not {len(models)}: check them one after the other.")
    if len(set(models)) < len(models):
        raise SetupError("A service is named twice: name each once.")
    kinds.seconds("timeout", timeout)
    places = [await _place(text.strip(), session, options) for text in models or ("",)]
    check_key_is_for_one(places, options)
    return Checks(tuple([await _one(place, session, line, timeout) for place in places]))


async def _place(text: str, session: Session, options: ClientOptions) -> Place:
    """Where a check goes; its model is "" where the service's own list has to say which there are."""
    from .providers.table import providers

    service, table = session.default_service(), providers()
    if not text and service.needs_list(None, options) == "always":
        return service.place_of_home(options)
    name = text.lower()
    if name not in table:
        return await session.locate(text or None, options)
    if table[name].default_model:
        return await session.locate(f"{name}:", options)
    return replace(service.place(f"{name}:{_ANY}", options), model="")


async def _one(place: Place, session: Session, line: WaitingLine, timeout: float) -> Check:
    from .client.check import check, check_without_key

    label = f"{place.provider.name}:{place.model}".rstrip(":")
    try:
        async with session.reached(place) as client:
            return await check(
                client, place.model, timeout=timeout, tell=lambda doing: line.say(f"checking {label}: {doing} …")
            )
    except MissingKey as exc:
        return await check_without_key(place.provider, place.model, exc, label=label, ca=place.options.ca)


def _head(checks: tuple[Check, ...]) -> str:
    return "\n".join(f"{each.label} at {each.address}" for each in checks)


def _cell(check: Check, name: str) -> str:
    row = check[name]
    return f"{row.verdict}: {_with_advice(row)}"


def _with_advice(row: Finding) -> str:
    return f"{row.seen} → {row.advice}" if row.advice else row.seen


def _cost(check: Check) -> str:
    cost = None if check.usd is None else Amount(check.usd, check.cny)
    simulated = cost if check.provider == "simulator" else None
    usd = check.note or "cost unknown" if cost is None else total(cost, simulated, exact=check.exact)
    requests = f"{check.requests} request{'' if check.requests == 1 else 's'}"
    return f"{check.label}: {requests}, {approximate(check.exact)}{check.tokens:,} tokens, {usd}"
