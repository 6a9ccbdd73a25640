"""What a run config can switch on, whatever the environment says: providers, variables, stored weights."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from specstack.config import document_of, load_reference, read_text
from specstack.config_values import Fault, place, shown_path
from specstack.descriptors import GeneratedServer, ProviderSpec
from specstack.env import EnvError, expand, references
from specstack.external import EXTERNAL_KEYS
from specstack.positions import Map, Seq
from specstack.positions import Path as KeyPath
from specstack.startup import ConfigError
from specstack.storage.settings import driver_extra

_SWITCH = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*):\+([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class PossibleProvider:
    """A provider of a run config. `switch` is the variable that turns it on, or "" when it always is."""

    api: str
    provider_id: str
    switch: str
    spec: ProviderSpec


def storage_extras(path: Path) -> set[str]:
    """The extras with the drivers of a run config's storage backends. Raises ConfigError."""
    storage = _document(path).get("storage")
    backends = storage.get("backends") if isinstance(storage, Map) else None
    found = backends.values() if isinstance(backends, Map) else ()
    return {driver_extra(str(one.get("type"))) for one in found if isinstance(one, Map)} - {""}


def telemetry_extras(path: Path) -> set[str]:
    """The extra for a collector, if a run config sends something to one unless told otherwise.

    Raises ConfigError.
    """
    telemetry = _document(path).get("telemetry")
    if not isinstance(telemetry, Map):
        return set()
    return {"telemetry"} if any(_is_on(telemetry.get(key)) for key in ("traces", "metrics")) else set()


def _is_on(value: Any) -> bool:
    """Whether a switch is on where the environment says nothing of it."""
    if not isinstance(value, str):
        return value is True
    try:
        return expand(value, {}).text == "true"
    except EnvError:
        return True


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable of a run config: its default, or None where it has to be set."""

    name: str
    default: str | None
    places: tuple[str, ...]


def possible_providers(path: Path, server: GeneratedServer) -> list[PossibleProvider]:
    """Every provider that stands in a run config. Raises ConfigError for types that do not exist."""
    root = _document(path)
    registry = load_reference(server.providers)
    found: list[PossibleProvider] = []
    faults: list[str] = []
    providers = root.get("providers")
    for api, items in providers.items() if isinstance(providers, Map) else ():
        for index, item in enumerate(items if isinstance(items, Seq) else ()):
            if not isinstance(item, Map):
                continue
            spec = registry.get((api, item.get("provider_type")))
            if spec is None:
                here: KeyPath = ("providers", api, index, "provider_type")
                fault = place(root, here, f"no provider type {item.get('provider_type')!r} for the API {api}")
                faults.append(fault.render(str(path)))
                continue
            written = str(item.get("provider_id", ""))
            match = _SWITCH.fullmatch(written)
            found.append(
                PossibleProvider(api, match[2] if match else written, match[1] if match else "", spec)
            )
    if faults:
        raise ConfigError(faults)
    return found


def provider_types(path: Path, server: GeneratedServer) -> dict[str, list[str]]:
    """The provider types that a run config can switch on, by API, in its order."""
    found: dict[str, dict[str, None]] = {}
    for one in possible_providers(path, server):
        found.setdefault(one.api, {})[one.spec.provider_type] = None
    return {api: list(types) for api, types in found.items()}


def variables(path: Path) -> list[Variable]:
    """The variables that a run config reads, in its order. One that switches a provider needs no value."""
    found: dict[str, Variable] = {}
    for where, text in _texts(_document(path), ()):
        for name, default in references(text):
            known = found.get(name)
            places = (*known.places, shown_path(where)) if known else (shown_path(where),)
            best = default if known is None or known.default is None else known.default
            found[name] = Variable(name, best, tuple(dict.fromkeys(places)))
    return list(found.values())


def external_folders(path: Path) -> list[Fault]:
    """What a run config takes from folders of its own, as faults: images have what comes with specstack."""
    root = _document(path)
    hint = "build one of your own on top of such an image, with the folder in it"
    message = f"images hold what comes with specstack; {hint}"
    return [place(root, (key,), message) for key in EXTERNAL_KEYS if key in root]


def stored_weights(path: Path) -> list[str]:
    """The weights of the model store that a run config names."""
    return list(dict.fromkeys(value for where, value in _texts(_document(path), ()) if where[-1] == "store"))


def _document(path: Path) -> Map:
    return document_of(read_text(path), str(path))


def _texts(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Map):
        for key, value in node.items():
            yield from _texts(value, (*path, key))
    elif isinstance(node, Seq):
        for index, value in enumerate(cast(list[Any], node)):
            yield from _texts(value, (*path, index))
