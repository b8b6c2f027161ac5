"""Which service a door speaks to where it is not told, and how: settings over the environment over the simulator.

In this order: `%config StreamMagics`, `hs.configure`, HOLYSHEEP_API_KEY, OPENAI_BASE_URL with its OPENAI_API_KEY, the
simulator. What is secret goes with the address that it was given for, and to no other.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from . import kinds
from .client.options import ClientOptions, client_options
from .errors import SetupError
from .providers.secret import merged
from .providers.select import at, found_at, is_ones_own, may_name_provider, same_host, select
from .providers.table import provider, providers
from .providers.values import Provider

HOUSE: Final = "holysheep"
"""The provider that a key without an address is for."""

SECRETS: Final = ("api_key", "key_variable", "key_header", "headers", "query", "cert")
"""Options that are for one service."""

ADDRESSED: Final = frozenset({"base_url", *SECRETS})
"""Options that say which service is meant."""

BOUND: Final = ADDRESSED | {"wire"}
"""Options that belong to one service; all others hold wherever a request goes."""

_NOTHING: Final = ClientOptions()


@dataclass(frozen=True, slots=True)
class Settings:
    """What was set at one place, `source`: a model, and the client's options."""

    source: str
    model: str = ""
    options: ClientOptions = field(default_factory=ClientOptions)

    @property
    def has_address(self) -> bool:
        """Whether it says where requests go: by an address, or by a key for one."""
        return any(is_set(self.options, name) for name in ADDRESSED)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: the provider at its address, the model's name there, and how it is reached.

    `text` is what names this model again: `model`, or `provider:model`.
    """

    provider: Provider
    model: str
    options: ClientOptions
    text: str = ""


@dataclass(frozen=True, slots=True)
class DefaultService:
    """The service of doors that are told none: the provider at its address, how it is reached, and who said so.

    `model` is the text of the model that is set, "" for none. `source` is a variable's name, `hs.configure`, …; "" for
    the simulator, which nobody chose.
    """

    provider: Provider
    options: ClientOptions
    model: str
    source: str

    @property
    def has_own_address(self) -> bool:
        return self.options.base_url is not None

    def place(self, text: str | None, given: ClientOptions = _NOTHING, models: Collection[str] = ()) -> Place:
        """Where a request goes that names `model` or `provider:model`, or neither, and brings options of its own.

        models: the names that `home(given)` serves, where they are known. Raises SetupError for what cannot be.
        """
        home = self.home(given)
        text = text or self.model_at(home)
        chosen, model = select(text, home, models=models)
        if given.base_url is not None:
            chosen = home if chosen is home else at(chosen, given.base_url)
        return Place(chosen, model, self._options(chosen, given), text or model)

    def place_of_home(self, given: ClientOptions) -> Place:
        """Where `home` is asked something else than an answer."""
        home = self.home(given)
        return Place(home, "", self._options(home, given))

    def place_of_list(self, text: str | None, given: ClientOptions) -> Place:
        """Where `home` is asked for its models: with what is secret only where it is meant for home.

        A key beside `provider:model` is that provider's, and home is asked whether this is a name of its own first.
        """
        is_for_home = given.base_url is not None or self.needs_list(text, given) != "if there"
        return self.place_of_home(given if is_for_home else without(given, SECRETS))

    def needs_list(self, text: str | None, given: ClientOptions) -> Literal["", "always", "if there"]:
        """Whether the names that home serves decide: `always` where no model is named, `if there` where one may be
        named like a provider."""
        home = self.home(given)
        text = text or self.model_at(home)
        if not text:
            return "always" if home.default_model is None and is_ones_own(home) else ""
        is_by_address = given.base_url is not None or self.has_own_address
        return "if there" if is_by_address and may_name_provider(text, home) else ""

    def is_chosen_for(self, text: str | None, given: ClientOptions | None, place: Place) -> bool:
        """Whether a request goes there because nothing else was said."""
        given = given or _NOTHING
        is_told = given.base_url is not None or given.api_key is not None or given.key_variable is not None
        is_named = (text or "").lower().startswith(f"{place.provider.name}:")
        return place.provider == self.provider and not is_told and not is_named

    def model_at(self, home: Provider) -> str:
        """The text of the model that is set, "" at another address than the one it was set with."""
        return self.model if not self.has_own_address or _is_same(home, self.provider) else ""

    def home(self, given: ClientOptions) -> Provider:
        """The provider of models that are named without one."""
        if given.base_url is not None:
            return found_at(given.base_url)
        if not self.source and (given.api_key is not None or given.key_variable is not None):
            return provider(HOUSE)  # a key is not for the simulator
        return self.provider

    def _options(self, chosen: Provider, given: ClientOptions) -> ClientOptions:
        """The given ones over the defaults, of which another address gets nothing that is bound to theirs."""
        below = self.options if _is_same(chosen, self.provider) else without(self.options, BOUND)
        if given.base_url is None and chosen is not self.provider:
            below = replace(below, base_url=None)  # an explicit provider keeps its own address
        return over(given, below)


def default_service(settings: Sequence[Settings], environ: Mapping[str, str] = os.environ) -> DefaultService:
    """The service of doors that are told none; of several settings the first that says something holds.

    Raises SetupError where what is set cannot be.
    """
    address = next((each for each in settings if each.has_address), None) or _of_environment(environ)
    home = provider("simulator", environ) if address is None else _address_of(address, environ)
    model = next((each.model for each in settings if each.model and _is_for(each, home, environ)), "")
    limits = ClientOptions()
    for each in reversed(settings):
        limits = over(without(each.options, BOUND), limits)
    wire = next((each.options.wire for each in settings if each.options.wire and _is_for(each, home, environ)), None)
    limits = replace(limits, wire=wire)
    if address is None:
        return DefaultService(home, limits, model, "")
    bound = {name: getattr(address.options, name) for name in ADDRESSED}
    return DefaultService(home, replace(limits, **bound), model, address.source)


def _is_for(settings: Settings, home: Provider, environ: Mapping[str, str]) -> bool:
    """Whether the model and the format that were set are this service's: those set with another address are not."""
    return not settings.has_address or _is_same(_address_of(settings, environ), home)


def changed(before: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings with what is given, None taking something back.

    What is bound to an address goes with it, where another one comes. Raises SetupError for what cannot be.
    """
    model = before.model
    if "model" in given:
        model = kinds.optional_text("model", given["model"], "model='deepseek-v3.2'") or ""
    new = client_options(**{name: value for name, value in given.items() if name != "model"})
    below = without(before.options, given.keys() - {"model"})
    moved = replace(before, model=model, options=over(new, below))
    if before.has_address and not _is_same(_address_of(before), _address_of(moved)):
        moved = replace(moved, options=over(new, without(below, BOUND)))
    return moved


def _address_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Provider:
    if settings.options.base_url is not None:
        return found_at(settings.options.base_url, environ)
    return _named(settings.model, environ) or provider(HOUSE, environ)


def _is_same(one: Provider, other: Provider) -> bool:
    if one.base_url is None or other.base_url is None:
        return one.name == other.name
    return same_host(one.base_url, other)


def _named(text: str, environ: Mapping[str, str]) -> Provider | None:
    """The provider in `provider:model`."""
    word, colon, _ = text.partition(":")
    return providers(environ).get(word.strip().lower()) if colon else None


def _of_environment(environ: Mapping[str, str]) -> Settings | None:
    if environ.get("HOLYSHEEP_API_KEY", "").strip():
        return Settings("HOLYSHEEP_API_KEY")
    url = environ.get("OPENAI_BASE_URL", "").strip()
    if not url or not environ.get("OPENAI_API_KEY", "").strip():
        return None
    try:
        return Settings("OPENAI_BASE_URL", "", client_options(base_url=url, key_variable="OPENAI_API_KEY"))
    except SetupError as exc:
        raise SetupError(f"OPENAI_BASE_URL cannot be used, since its {str(exc).removeprefix('The ')}") from exc


def is_set(options: ClientOptions, name: str) -> bool:
    return getattr(options, name) not in (None, ())


def has_secrets(options: ClientOptions) -> bool:
    """Whether something is given that is for one service."""
    return any(is_set(options, name) for name in SECRETS)


def over(above: ClientOptions, below: ClientOptions) -> ClientOptions:
    """Both, those of `above` where both say something; of headers and a query each name by itself."""
    if above.api_key is not None or above.key_variable is not None:
        below = replace(below, api_key=None, key_variable=None)
    said: dict[str, Any] = {each.name: getattr(above, each.name) for each in fields(above) if is_set(above, each.name)}
    pairs = {name: merged(getattr(below, name), getattr(above, name)) for name in ("headers", "query")}
    return replace(below, **{**said, **pairs})


def without(options: ClientOptions, names: Collection[str]) -> ClientOptions:
    blank = ClientOptions()
    return replace(options, **{name: getattr(blank, name) for name in names})
