"""Providers of the old file: their types, ids and settings in our terms."""

import re
from dataclasses import replace
from typing import Any, cast

from specstack.descriptors import GeneratedServer, ProviderSpec
from specstack.external import provider_types
from specstack.positions import Map, Path, Seq, line_of
from specstack.references import load_reference
from specstack.upgrade import shapes
from specstack.upgrade.carry import Carrier, inside
from specstack.upgrade.dialect import translated
from specstack.upgrade.mapping import ProviderRule, Rule, Tables
from specstack.upgrade.report import Report

_NO_ID_CHARS = re.compile(r"[^A-Za-z0-9_.-]+")
_SWITCH = re.compile(r"\$\{env\.[A-Z0-9_]+:\+([^}]*)\}")
_DEFAULTED = re.compile(r"\$\{env\.[A-Z0-9_]+:=([^}]*)\}")
_FALSE = ("false", "0", "no", "off")
_OFF = ("", "__disabled__")


class Providers:
    """Carries `providers`. Afterwards `ids` maps each old id to ours, `gone` to why it was not carried."""

    def __init__(
        self, root: Any, entry: Any, server: GeneratedServer, tables: Tables, report: Report
    ) -> None:
        self._root = root
        self._entry = entry
        self._server = server
        self._tables = tables
        self._report = report
        self._registry = provider_types(server)
        self.ids: dict[str, str] = {}
        self.gone: dict[str, str] = {}

    def carry(self, node: Any, path: Path) -> dict[str, list[Any]]:
        """The providers by our names of their APIs."""
        found: dict[str, list[Any]] = {}
        if not isinstance(node, Map):
            return found
        for old, items in node.items():
            here = (*path, old)
            if items is None:
                continue
            api, why = self.api(old)
            if isinstance(items, Seq):
                for index, item in enumerate(items):
                    self._one(item, (*here, index), api, why, found)
            else:
                self._lost(here, "a list of providers must stand here")
        return found

    def api(self, old: str) -> tuple[str, str | None]:
        """Our name of an API and, when this server does not have it, why."""
        rule = self._tables.apis.get(old, Rule(to=old))
        name = rule.to or old
        if name in self._server.apis:
            return name, None
        known = f"'{name}', as it is called now" if name != old else f"'{name}'"
        return name, rule.reason or f"this server has no API {known}"

    # -- inside ----------------------------------------------------------------------------

    def _lost(self, path: Path, message: str) -> None:
        self._report.lost(line_of(self._root, path), path, message)

    def _note(self, path: Path, message: str) -> None:
        self._report.note(line_of(self._root, path), path, message)

    def _one(self, item: Any, path: Path, api: str, why: str | None, found: dict[str, list[Any]]) -> None:
        if not isinstance(item, Map):
            self._lost(path, "a provider must be a mapping")
            return
        id_, type_ = item.get("provider_id"), item.get("provider_type")
        old = "" if id_ is None else str(id_)
        rule = self._tables.provider(api, str(type_))
        if old in _OFF:
            why = "it is switched off: it has no provider_id"
        elif why is None:
            why = self._unknown(api, str(type_), rule)
        carried = None if why else self._carried(item, path, api, rule, old)
        if carried is None:
            self.gone.setdefault(meant(old), why or "its settings could not be carried")
            if why:
                self._lost(path, f"{type_}: {why}")
            return
        self.ids[meant(old)] = meant(carried["provider_id"])
        found.setdefault(api, []).append(carried)

    def _unknown(self, api: str, type_: str, rule: ProviderRule) -> str | None:
        if self._server.apis[api].protocol is None:
            return "the server serves this API itself"
        if rule.type is None or (api, rule.type) not in self._registry:
            return rule.reason or f"there is no provider type '{rule.type or type_}' for the API {api}"
        return None

    def _carried(
        self, item: Map, path: Path, api: str, rule: ProviderRule, old: str
    ) -> dict[str, Any] | None:
        """The provider in our terms; None after saying what it lacks."""
        type_ = cast(str, rule.type)
        if type_ != item["provider_type"]:
            self._note((*path, "provider_type"), f"{item['provider_type']} became {type_}")
        own: dict[str, Any] = {"provider_id": self._id(old, (*path, "provider_id")), "provider_type": type_}
        config = self._config(item.get("config"), (*path, "config"), rule, self._registry[api, type_])
        if config is None:
            return None
        others = Map(item.line)
        for key, value in item.items():
            if key not in (*own, "config"):
                others.put(key, value, item.lines[key])
        rules = inside(self._tables.keys, "providers[]")
        Carrier(self._root, rules, self._report).mapping(others, path, own, self._entry)
        return {**own, "config": config} if config else own

    def _id(self, old: str, path: Path) -> str:
        new = translated(old).text
        if "${env." not in new and _NO_ID_CHARS.search(new):
            new = _NO_ID_CHARS.sub("-", new).strip("-")
            self._note(path, f"the id became {new}")
        return new

    def _config(self, node: Any, path: Path, rule: ProviderRule, spec: ProviderSpec) -> dict[str, Any] | None:
        model = load_reference(spec.config)
        config: dict[str, Any] = {}
        if isinstance(node, Map):
            fitting = {
                old: one
                for old, one in self._tables.settings.items()
                if one.to is None or (shapes.has(model, one.to) and not shapes.has(model, old))
            }
            rules = {**fitting, **{old: _switched(one, node) for old, one in rule.settings.items()}}
            Carrier(self._root, rules, self._report).mapping(node, path, config, model)
        for key, value in rule.defaults.items():
            if key not in config:
                config[key] = value
                self._note(path, f"{key} is {value}, which {spec.provider_type} must be told")
        absent = shapes.missing(model, config)
        if absent:
            self._lost(path[:-1], f"{spec.provider_type} cannot be without {' and '.join(absent)}")
            return None
        return config


def _switched(rule: Rule, node: Map) -> Rule:
    """The rule, without its ending where the file says so. A variable counts by its default."""
    if not rule.switch:
        return rule
    said = _DEFAULTED.sub(r"\1", translated(str(node.get(rule.switch))).text)
    return replace(rule, ending="") if said.strip().lower() in _FALSE else rule


def meant(provider_id: str) -> str:
    """The id that a conditional one has when it is on, by which other places name it."""
    match = _SWITCH.fullmatch(provider_id)
    return match[1] if match else provider_id
