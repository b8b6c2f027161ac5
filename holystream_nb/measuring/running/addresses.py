"""Where the models of a plan are, found before any child starts; the kernel's simulator is started if it is needed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ... import kinds
from ...client.access import access_of
from ...client.options import ClientOptions, client_options
from ...defaults import BOUND, Place, over, without
from ...errors import SetupError
from ...providers.secret import opened, sealed
from ...providers.select import address_of
from ...providers.table import providers
from ...session import SIMULATOR_KEY, check_key_is_for_one, simulator_speed
from ...session import session as kernel
from ...simulator.process import note_of
from ...wire import certificates
from ..values.plan import Plan
from .worker import Address

Model = str | tuple[str, str] | Mapping[str, Any]
"""`model`, `provider:model`, `https://host/v1:model`; `(address or provider, model)`; or `model`, and options of a
Client, by their names."""

_SECRET: Final = ("api_key", "headers", "query")
_SPOKEN: Final = ("inactivity", "progress_timeout", "connect_timeout")
_OF_ALL: Final = ("requests_per_minute", "tokens_per_minute")
"""Limits for all workers together, which their parent keeps."""

_FORMS: Final = (
    'a text like "openai:gpt-4.1" or "http://127.0.0.1:8080/v1:MODEL", a pair ("http://127.0.0.1:8080/v1", "MODEL"), '
    "or a mapping of base_url, model and how to reach it"
)
_URLS: Final = ("http://", "https://")
_URL: Final = re.compile(r"(https?://(?:\[[^\]]*\]|[^/:?#\s]+)(?::\d+)?(?:/[^:?]*)?(?:\?[^:]*)?)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Located:
    """The models of a plan by their labels, `provider:model` or `host:port:model`, and where each provider is.

    own: addresses that are not the table's, by the provider's label.
    """

    models: tuple[str, ...]
    places: Mapping[str, Place]
    own: Mapping[str, str]
    said: Mapping[str, Any]

    def planned(self, wanted: Plan) -> Plan:
        """The plan with these models."""
        return msgspec.structs.replace(
            wanted, models=self.models, own=dict(self.own), options=dict(self.said), simulator=self.simulator_note
        )

    @property
    def simulator_note(self) -> str:
        """ "simulator ×20" and the like where one of these models runs on the simulator, else ""."""
        place = self.places.get("simulator")
        if place is None:
            return ""
        url = place.options.base_url
        return kernel.note("simulator") if url is None else note_of(url)


async def locate(door: str, models: object, options: ClientOptions) -> Located:
    """Where each model is, as the session says it where nothing else is said; a server of one's own may be asked for
    its only model.

    Raises SetupError for what is no model, or where a key would go to several services.
    """
    each_given = listed(door, models)
    given = [_spoken(door, each, options) for each in each_given]
    places = [await kernel.locate(text or None, own) for text, own in given]
    for each, place in zip(each_given, places, strict=True):
        if _is_two(each, place):
            raise SetupError(
                f"One of the models of {door} is a pair that begins with neither an address nor a provider: give "
                f"{_FORMS}."
            )
    if options.base_url is None:
        check_key_is_for_one(places, options)
    named: dict[str, Place] = {}
    labels = []
    for place in places:
        label = _label(place, named)
        named.setdefault(label, place)
        labels.append(f"{label}:{place.model}")
    own = {
        label: place.provider.base_url or ""
        for label, place in named.items()
        if place.options.base_url is not None and place.provider.base_url is not None
    }
    return Located(tuple(labels), named, own, _said(options, named))


def again(plan: Plan, options: ClientOptions) -> tuple[list[Model], ClientOptions]:
    """The models of a run's file as `locate` takes them, and the options with what the file says of them."""
    known, models = providers(), list[Model]()
    for label, name in map(plan.split, plan.models):
        own: dict[str, Any] = {"wire": wire} if (wire := plan.options.get("wire", {}).get(label)) else {}
        if (url := plan.own.get(label)) is not None and url != plan.base_url:
            own["base_url"] = url
        text = f"{label}:{name}" if label in known else name
        models.append({"model": text, **own} if own else text)
    said = {name: value for name in _SPOKEN if (value := plan.options.get(name)) is not None}
    return models, replace(options, base_url=plan.base_url, **said)


def listed(door: str, models: object) -> Sequence[Any]:
    """Models as they are given, one by one; each stays sealed, since an address may have a key in its query."""
    if isinstance(opened(models), str | Mapping) or _is_pair(opened(models)):
        return [sealed(models)]
    models = sealed(kinds.unpacked(opened(models)))
    if not isinstance(opened(models), list | tuple) or not opened(models):
        raise SetupError(f"The models of {door} are {kinds.kind(opened(models))}: give one or several, each {_FORMS}.")
    return [sealed(each) for each in opened(models)]


def check_side(name: str, model: object) -> None:
    """Raises SetupError for what is not one model, of a comparison of two."""
    if not isinstance(opened(model), str | tuple | Mapping):
        raise SetupError(
            f"{name} is {kinds.kind(opened(model))}: give a name like provider:model, because it is measured in a "
            "process of its own; an address of one's own is {'base_url': …, 'model': …}."
        )


def _is_pair(models: object) -> bool:
    """Whether it is one model at its address, and not two models."""
    if not isinstance(models, tuple) or len(models) != 2 or not all(isinstance(each, str) for each in models):
        return False
    return models[0].startswith(_URLS) and not models[1].startswith(_URLS)


def _is_two(model: object, place: Place) -> bool:
    """Whether two names were taken for one model, whose name would then have a colon."""
    pair = opened(model)
    return isinstance(pair, tuple | list) and place.model == ":".join(map(str, pair))


def _spoken(door: str, model: object, options: ClientOptions) -> tuple[str, ClientOptions]:
    """The text of a model, and how its service is reached."""
    text, own, flaw = _parts(model)
    if flaw:
        raise SetupError(f"One of the models of {door} is {flaw}: give {_FORMS}.")
    text = kinds.optional_text("model", text or None) or ""
    return text, _joined(client_options(**own), options) if own else options


def _parts(model: object) -> tuple[Any, Mapping[str, Any], str]:
    """The text of a model, its own options, sealed, and what is wrong with it.

    An error raised here would show the model in its frame.
    """
    model = opened(model)
    if isinstance(model, Mapping):
        if not model:
            return "", {}, "an empty mapping"
        own = {str(name): sealed(value) for name, value in model.items() if name != "model"}
        return model.get("model"), own, ""
    if isinstance(model, tuple | list) and len(model) == 2 and all(isinstance(part, str) for part in model):
        place, text = model
        if place.startswith(_URLS):
            return text, {"base_url": sealed(place)}, ""
        return f"{place}:{text}", {}, ""
    if isinstance(model, str) and model.strip():
        if not model.strip().startswith(_URLS):
            several = "," in model.partition("#")[0]
            return model, {}, "a text with a comma in it, and several are a list of texts" if several else ""
        parts = _URL.fullmatch(model.strip())
        if parts is None:
            return "", {}, "an address that cannot be one"
        return parts[2] or "", {"base_url": sealed(parts[1])}, ""
    return "", {}, kinds.kind(model)


def _joined(own: ClientOptions, options: ClientOptions) -> ClientOptions:
    """A model's own options over the door's, of which another address gets nothing that is bound to theirs."""
    is_elsewhere = options.base_url is not None and own.base_url is not None and own.base_url != options.base_url
    return over(own, without(options, BOUND) if is_elsewhere else options)


def _label(place: Place, named: Mapping[str, Place]) -> str:
    """A provider's name in tables; where one name has two addresses, with its path, and a number at last."""
    path = urlsplit(place.provider.base_url or "").path
    names = [place.provider.name, f"{place.provider.name}{path}"]
    names += [f"{place.provider.name}{path}#{number}" for number in range(2, len(named) + 3)]
    for name in names:
        other = named.get(name)
        if other is None or (
            other.provider == place.provider and other.options.fingerprint == place.options.fingerprint
        ):
            return name
    raise AssertionError("there are more names than places")


def _said(options: ClientOptions, named: Mapping[str, Place]) -> dict[str, Any]:
    """What a run's file says of how its services were reached: limits, formats, and names without any value."""
    said: dict[str, Any] = {name: value for name in _SPOKEN if (value := getattr(options, name)) is not None}
    for name in ("headers", "query"):
        if found := sorted({each for place in named.values() for each, _ in getattr(place.options, name)}):
            said[name] = found
    if wires := {label: place.options.wire for label, place in named.items() if place.options.wire is not None}:
        said["wire"] = wires
    return said


async def find(
    located: Located, stack: ExitStack, *, foreign: bool
) -> tuple[dict[str, Address], dict[str, ClientOptions]]:
    """The address of each provider, by its label, and what is secret of how it is reached, for the local pool's pipes.

    Raises MissingKey and SetupError now, and not in a child. The workers of a `foreign` executor are never handed
    anything secret: they get a simulator without a key, which ends with `stack`.
    """
    found, secret = {}, {}
    for label, place in located.places.items():
        if place.provider.name == "simulator" and place.options.base_url is None:
            found[label] = await _simulator(place, stack, foreign=foreign)
            continue
        options = place.options
        access_of(replace(place.provider, base_url=address_of(place.provider)), options)
        if foreign and (given := [name for name in (*_SECRET, "cert") if getattr(options, name)]):
            raise SetupError(
                f"{given[0]} is never handed to the workers of an executor: set the key's variable in their "
                "environment and name it with key_variable, and put headers into the providers.toml there."
            )
        if not foreign and (options.ca is not None or options.cert is not None):
            files = certificates.chosen(options.ca, options.cert)
            await asyncio.to_thread(certificates.context, files)
        found[label] = _address(place)
        secret[label] = ClientOptions(**{name: getattr(options, name) for name in _SECRET})
    return found, secret


def _address(place: Place) -> Address:
    options, provider = place.options, place.provider
    variable = provider.key_variable if options.key_variable is None else options.key_variable
    plain: dict[str, Any] = {
        each.name: value
        for each in fields(options)
        if each.name not in (*_SECRET, "base_url", "key_variable", "retries", "pool")
        and (value := getattr(options, each.name)) is not None
    }
    requests, tokens = (plain.pop(name, None) or getattr(provider, name) for name in _OF_ALL)
    return Address(
        provider.base_url,
        key_variable=variable or None,
        options=plain,
        requests_per_minute=None if requests is None else float(requests),
        tokens_per_minute=None if tokens is None else float(tokens),
    )


async def _simulator(place: Place, stack: ExitStack, *, foreign: bool) -> Address:
    address = _address(place)
    if not foreign:
        url = await asyncio.to_thread(kernel.simulator_url)
        return msgspec.structs.replace(address, base_url=url, key_variable=None, key=SIMULATOR_KEY)
    from ...simulator import Simulator

    simulator = Simulator(speed=simulator_speed())
    await asyncio.to_thread(simulator.start)
    stack.callback(simulator.stop)
    return msgspec.structs.replace(address, base_url=simulator.url, key_variable=None)
