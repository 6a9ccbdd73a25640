"""Loading a run config: substitute, validate, and say everything that is wrong at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from specstack.config_schema import check, close_to
from specstack.config_server import server_faults
from specstack.config_values import Fault, Substituted, place, shown_path, substitute
from specstack.descriptors import GeneratedServer, Operation, ProviderSpec
from specstack.positions import Map, Seq, YamlError, line_of, load
from specstack.positions import Path as KeyPath
from specstack.startup import ConfigError
from specstack.storage.settings import storage_faults

if TYPE_CHECKING:
    from specstack_api.run_config import StackConfig

_PROVIDER_ID = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """A provider that is switched on: its type's spec, its validated config, where it stands."""

    api: str
    provider_id: str
    spec: ProviderSpec
    config: BaseModel
    default: bool
    where: str


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A run config that is right. `apis` are the names to serve, or None for all that can be.

    `registered` are the resources by plural name, each with its place for errors.
    """

    file: str
    stack: "StackConfig"
    providers: tuple[ConfiguredProvider, ...]
    apis: tuple[str, ...] | None
    registered: Mapping[str, tuple[tuple[str, Any], ...]]
    values: Substituted = field(default_factory=Substituted, repr=False, compare=False)
    """The file's own values, secrets and all: for saying where a setting comes from."""

    def of_api(self, api: str) -> tuple[ConfiguredProvider, ...]:
        """The providers of one API, in the order of the file."""
        return tuple(one for one in self.providers if one.api == api)


def load_config(path: Path, server: GeneratedServer, env: Mapping[str, str] | None = None) -> RunConfig:
    """Read the run config in `path` for what `server` offers.

    `env` replaces the process's environment. Raises ConfigError with every fault.
    """
    return read_config(read_text(path), str(path), server, os.environ if env is None else env)


def read_text(path: Path) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from None


def read_config(text: str, file: str, server: GeneratedServer, env: Mapping[str, str]) -> RunConfig:
    """`load_config` for a text; `file` is its name in errors."""
    from specstack_api.run_config import StackConfig

    try:
        document = load(text)
    except YamlError as error:
        raise ConfigError([f"{file}:{error.line}: {error}; mend the YAML there"]) from None
    if not isinstance(document, Map):
        raise ConfigError([f"{file}:1: must be a mapping with version, distro_name and providers"])
    values = substitute(document, env)
    stack, faults = check(StackConfig, values.root, (), values.dynamic, {one.path for one in values.faults})
    reading = _Reading(file, server, values)
    providers = reading.providers()
    if stack is not None:
        reading.check_server(stack)
    found = {
        *values.faults,
        *map(values.with_variable, (*faults, *reading.faults, *storage_faults(values.root))),
    }
    if found or stack is None:
        raise ConfigError(one.render(file) for one in sorted(found, key=_place))
    return RunConfig(file, stack, tuple(providers), reading.apis(), reading.registered(stack), values)


class _Reading:
    """The checks that need the generated server: provider types, their configs, and what fits together."""

    def __init__(self, file: str, server: GeneratedServer, values: Substituted) -> None:
        self._file = file
        self._server = server
        self._values = values
        self._registry = cast(Mapping[tuple[str, str], ProviderSpec], load_reference(server.providers))
        self.faults: list[Fault] = []

    def providers(self) -> list[ConfiguredProvider]:
        found: list[ConfiguredProvider] = []
        by_api = self._values.root.get("providers")
        if not isinstance(by_api, Map):
            return found
        for api, items in by_api.items():
            if self._takes_providers(api) and isinstance(items, Seq):
                found.extend(self._of_api(api, items))
        self._check_apis({api for api, items in by_api.items() if items})
        return found

    def apis(self) -> tuple[str, ...] | None:
        wanted = self._values.root.get("apis")
        return None if wanted is None else tuple(wanted)

    def registered(self, stack: "StackConfig") -> dict[str, tuple[tuple[str, Any], ...]]:
        resources: BaseModel = stack.registered_resources
        found: dict[str, tuple[tuple[str, Any], ...]] = {}
        for plural in type(resources).model_fields:
            items = cast(list[Any], getattr(resources, plural) or [])
            at: KeyPath = ("registered_resources", plural)
            found[plural] = tuple((self._where((*at, index)), item) for index, item in enumerate(items))
        return found

    def check_server(self, stack: "StackConfig") -> None:
        known = partial(all_operations, self._server)
        for path, message in server_faults(stack.server, known, self._values.expansions):
            self._fault(path, message)

    def _line(self, path: KeyPath) -> int:
        return line_of(self._values.root, path)

    def _where(self, path: KeyPath) -> str:
        return f"{self._file}:{self._line(path)}: {shown_path(path)}"

    def _fault(self, path: KeyPath, message: str) -> None:
        self.faults.append(place(self._values.root, path, message))

    def _takes_providers(self, api: str) -> bool:
        entry = self._server.apis.get(api)
        takers = [name for name, one in self._server.apis.items() if one.protocol is not None]
        if entry is None:
            self._fault(("providers", api), f"unknown API; {close_to(api, takers)}")
            return False
        if entry.protocol is None:
            self._fault(("providers", api), f"the server serves this API itself; {close_to('', takers)}")
            return False
        return True

    def _of_api(self, api: str, items: Seq) -> list[ConfiguredProvider]:
        found: list[ConfiguredProvider] = []
        seen: dict[str, int] = {}
        for index, item in enumerate(items):
            path: KeyPath = ("providers", api, index)
            if not isinstance(item, Map):
                continue
            provider_id, type_ = item.get("provider_id"), item.get("provider_type")
            if isinstance(provider_id, str):
                self._check_id(path, provider_id, seen)
                seen.setdefault(provider_id, self._line(path))
            spec = self._spec(path, api, type_) if isinstance(type_, str) else None
            config = None if spec is None else self._config(path, item, spec)
            if isinstance(provider_id, str) and spec is not None and config is not None:
                default = item.get("default") is True
                found.append(ConfiguredProvider(api, provider_id, spec, config, default, self._where(path)))
        self._check_default(api, found)
        return found

    def _check_id(self, path: KeyPath, provider_id: str, seen: Mapping[str, int]) -> None:
        path = (*path, "provider_id")
        if provider_id in seen:
            message = (
                f"'{provider_id}' is taken by the provider in line {seen[provider_id]}; choose another id"
            )
            self._fault(path, message)
        elif not _PROVIDER_ID.fullmatch(provider_id):
            self._fault(path, "may hold letters, digits, '_', '-' and '.' only")

    def _spec(self, path: KeyPath, api: str, type_: str) -> ProviderSpec | None:
        spec = self._registry.get((api, type_))
        if spec is None:
            known = [name for of_api, name in self._registry if of_api == api]
            elsewhere = [of_api for of_api, name in self._registry if name == type_]
            hint = f"it belongs to the API {' or '.join(elsewhere)}" if elsewhere else close_to(type_, known)
            self._fault((*path, "provider_type"), f"no provider type '{type_}' for the API {api}; {hint}")
        return spec

    def _config(self, path: KeyPath, item: Map, spec: ProviderSpec) -> BaseModel | None:
        model = cast(type[BaseModel], load_reference(spec.config))
        written = item.get("config")
        if written is None:
            # Nothing written: missing keys are reported at the provider.
            item.put("config", Map(self._line(path)), self._line(path))
        elif not isinstance(written, Map):
            return None
        known = [one.path for one in self._values.faults]
        config, faults = check(model, self._values.root, (*path, "config"), self._values.dynamic, known)
        self.faults.extend(faults)
        return config

    def _check_default(self, api: str, found: list[ConfiguredProvider]) -> None:
        defaults = [one.provider_id for one in found if one.default]
        path: KeyPath = ("providers", api)
        if len(defaults) > 1:
            self._fault(path, f"only one provider can be the default, not {' and '.join(defaults)}")
        elif len(found) > 1 and not defaults and not self._server.apis[api].routed_by:
            ids = ", ".join(one.provider_id for one in found)
            self._fault(path, f"nothing routes between the providers {ids}; mark one `default: true`")

    def _check_apis(self, provided: set[str]) -> None:
        wanted = self._values.root.get("apis")
        if not isinstance(wanted, Seq):
            return
        for index, name in enumerate(wanted):
            if not isinstance(name, str):
                continue
            entry = self._server.apis.get(name)
            path: KeyPath = ("apis", index)
            if entry is None:
                self._fault(path, f"unknown API '{name}'; {close_to(name, self._server.apis)}")
            elif entry.protocol is not None and name not in provided:
                self._fault(path, f"'{name}' needs a provider; add one under providers.{name}")
            elif name in wanted[:index]:
                self._fault(path, f"'{name}' stands twice; keep one")


def _place(fault: Fault) -> tuple[int, str, str]:
    return fault.line, shown_path(fault.path), fault.message


def all_operations(server: GeneratedServer) -> list[Operation]:
    """The operations of every API that the server knows, served or not."""
    return [op for entry in server.apis.values() for op in load_reference(entry.operations)]


def load_reference(reference: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
