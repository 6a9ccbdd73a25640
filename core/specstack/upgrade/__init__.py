"""Making a run config of ours from one of Llama Stack or OGX. Nothing is left out in silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from specstack.config_values import Fault
from specstack.descriptors import GeneratedServer
from specstack.positions import Map, Seq, YamlError, line_of, load
from specstack.startup import ConfigError
from specstack.upgrade import shapes
from specstack.upgrade.carry import Carrier
from specstack.upgrade.legacy import as_version_2
from specstack.upgrade.mapping import Tables, tables
from specstack.upgrade.providers import Providers, meant
from specstack.upgrade.report import Report
from specstack.upgrade.servers import with_urls
from specstack.yaml_text import yaml_lines

_VERSION = 2
_KNOWN_VERSIONS = (None, 1, 2, "1", "2", "v1", "v2")
_UNNAMED = "upgraded"


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A run config of ours as text, and what was said on the way, a line each."""

    text: str
    report: tuple[str, ...]


def upgrade(text: str, file: str, server: GeneratedServer, using: Tables | None = None) -> Upgraded:
    """The run config in `text` in our terms; `file` is its name in the report.

    Raises ConfigError when it is no run config at all.
    """
    root = _read(text, file)
    report = Report()
    document = _Upgrade(with_urls(root, report), server, using or tables(), report).document()
    lines = report.lines(file)
    head = [f"# Made from {file} by `specstack config upgrade`. Comments of that file were not carried."]
    head += [f"# {line}" for line in lines]
    return Upgraded("\n".join([*head, *yaml_lines(document), ""]), tuple(lines))


def _read(text: str, file: str) -> Map:
    try:
        root = load(text)
    except YamlError as error:
        raise ConfigError([f"{file}:{error.line}: {error}; mend the YAML there"]) from None
    if not isinstance(root, Map) or not {"providers", "routing_table", "provider_map"} & set(root):
        raise ConfigError([f"{file}:1: is no run config: it has no providers"])
    if root.get("version") not in _KNOWN_VERSIONS:
        fault = Fault(line_of(root, ("version",)), ("version",), "only versions 1 and 2 can be upgraded")
        raise ConfigError([fault.render(file)])
    return as_version_2(root)


class _Upgrade:
    def __init__(self, root: Map, server: GeneratedServer, using: Tables, report: Report) -> None:
        from specstack_api.run_config import StackConfig

        self._root = root
        self._server = server
        self._tables = using
        self._report = report
        self._stack = StackConfig
        entry = shapes.at(StackConfig, "providers", "any", 0)
        self._providers = Providers(root, entry, server, using, report)

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        providers = self._providers.carry(self._root.get("providers"), ("providers",))
        rest = Map(self._root.line)
        for key, value in self._root.items():
            if key not in ("version", "providers"):
                rest.put(key, value, self._root.lines[key])
        Carrier(self._root, self._tables.keys, self._report, self._refused).mapping(
            rest, (), found, self._stack
        )
        if "apis" in found:
            found["apis"] = self._apis(found["apis"], providers)
        self._when_absent()
        if "distro_name" not in found:
            self._report.note(self._root.line, ("distro_name",), f"it had no name and is called '{_UNNAMED}'")
        order: dict[str, Any] = {"version": _VERSION, "distro_name": found.pop("distro_name", _UNNAMED)}
        if "apis" in found:
            order["apis"] = found.pop("apis")
        return {**order, "providers": providers, **self._renamed(found)}

    def _apis(self, carried: Any, providers: Mapping[str, Any]) -> list[str]:
        key = "apis" if "apis" in self._root else "apis_to_serve"
        written = self._root.get(key)
        found: list[str] = []
        for index, old in enumerate(written if isinstance(written, Seq) else []):
            name, why = self._providers.api(str(old))
            if why is None and self._server.apis[name].protocol is not None and name not in providers:
                why = "none of its providers was carried"
            if why is not None:
                self._report.lost(line_of(self._root, (key, index)), (key, index), f"{old}: {why}")
            elif name not in found:
                found.append(name)
        return found

    def _refused(self, dotted: str, item: Map) -> str | None:
        """Why an item of a list must stay out: what it says, or whom it belongs to."""
        for key, value in item.items():
            why = self._tables.refused_values.get(f"{dotted}.{key}", {}).get(str(value))
            if why is not None:
                return f"{key}: {value}: {why}"
        provider = item.get("provider_id")
        if not isinstance(provider, str) or meant(provider) in self._providers.ids:
            return None
        gone = self._providers.gone.get(meant(provider))
        if gone is not None:
            return f"its provider {meant(provider)} was not carried"
        return f"the file has no provider {meant(provider)}"

    def _renamed(self, found: dict[str, Any]) -> dict[str, Any]:
        """Resources name their providers by our ids. What has another form is for the check to refuse."""
        for items in _values(found.get("registered_resources")):
            for resource in _mappings(items):
                old = resource.get("provider_id")
                if isinstance(old, str) and meant(old) == old:
                    resource["provider_id"] = self._providers.ids.get(old, old)
        return found

    def _when_absent(self) -> None:
        for dotted, message in self._tables.when_absent.items():
            path = tuple(dotted.split("."))
            node: Any = self._root
            for step in path:
                node = node.get(step) if isinstance(node, Map) else None
            if node is None:
                self._report.note(line_of(self._root, path), path, message)


def _mappings(items: Any) -> list[dict[str, Any]]:
    found = cast("list[Any]", items) if isinstance(items, list) else []
    return [one for one in found if isinstance(one, dict)]


def _values(mapping: Any) -> list[Any]:
    return list(cast("dict[str, Any]", mapping).values()) if isinstance(mapping, dict) else []
