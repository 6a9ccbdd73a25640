"""Comparing what operators write: the run config, the settings of providers, and provider data."""

from __future__ import annotations

from collections.abc import Iterable

from specstack_codegen.review.comparison import Documents, Pair, texts, without
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.review.operations import operations
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import resolve

CONFIG = Subject("config", "config", "Run config")
_WORDS = ("summary", "description", "sample")


def compare_config(config: Pair, resources: Pair, openapi: Pair, sink: Sink) -> None:
    """Report what makes run configs invalid, or read otherwise."""
    filled = Pair(*(_filled(*side) for side in zip(config, resources, openapi, strict=True)))
    documents = Documents(filled.old, filled.new, sink)
    roots: list[Map] = []
    for side, document in zip(config, filled, strict=True):
        root = Map(pos=side.at("root"))
        components = document.map("components").map("schemas")
        if side.text("root") in components:
            root.put("schema", components[side.text("root")], components.at(side.text("root")))
        roots.append(root)
    documents.schema("config", False, CONFIG, "config", Pair(*roots), "schema")
    if config.differs("stores"):
        sink.add("not-compared", CONFIG, "stores", config.changed("stores"), *config.at("stores"))
    _words(config, sink)


def _filled(config: Map, resources: Map, openapi: Map) -> Map:
    """The run config's schemas, with a list for each resource that it may register.

    The items have the form of the register operation's body, with no other keys, as in the generated schema.
    """
    own = config.map("components").map("schemas")
    schemas = _copy(openapi.map("components").map("schemas"))
    for name in own:
        schemas.put(name, own[name], own.at(name))
    holder = own.map(config.text("registrations"))
    properties = _copy(holder.map("properties"))
    for name in resources.map("resources"):
        resource = resources.map("resources").map(name)
        body = _body(openapi, name) if "registration" in resource else Map()
        if body:
            items = _copy(body)
            items["additionalProperties"] = False
            entry = Map({"type": "array", "items": items}, body.pos)
            properties.put(resource.text("plural", f"{name}s"), entry, body.pos)
    if config.text("registrations"):
        closed = _copy(holder)
        closed["properties"] = properties
        schemas.put(config.text("registrations"), closed, own.at(config.text("registrations")))
    return Map({"components": Map({"schemas": schemas}, own.pos)}, config.pos)


def _copy(value: Map) -> Map:
    """The same mapping, to put other entries into."""
    copy = Map(dict(value), value.pos)
    copy.key_pos = dict(value.key_pos)
    return copy


def _words(config: Pair, sink: Sink) -> None:
    """Texts of the run config's schemas."""
    for old, new, path in _alike(
        config.old.map("components").map("schemas"), config.new.map("components").map("schemas")
    ):
        for key in ("description", "title", "examples"):
            if old.get(key) != new.get(key) and not isinstance(old.get(key), Map):
                text = f"`{key}` changed"
                sink.add("documentation-changed", CONFIG, f"{path}.{key}", text, old.at(key), new.at(key))


def _alike(old: Map, new: Map, path: str = "config") -> Iterable[tuple[Map, Map, str]]:
    for key in old:
        one, other = old.get(key), new.get(key)
        if isinstance(one, Map) and isinstance(other, Map):
            here = f"{path}.{key}"
            yield one, other, here
            yield from _alike(one, other, here)


def _body(document: Map, resource: str) -> Map:
    """The body with which `resource` is registered; empty where no operation does so."""
    for operation in operations(document):
        serve = operation.node.map("x-serve")
        if serve.text("resource") == resource and serve.text("action") == "register":
            content = operation.node.map("requestBody").map("content").map("application/json")
            return resolve(document, content.map("schema"))
    return Map()


def compare_providers(old: dict[str, Map], new: dict[str, Map], sink: Sink) -> None:
    """Report provider types that came, went or take other settings."""
    before, after = _by_type(old), _by_type(new)
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        subject = _subject(one if one is not None else other if other is not None else Map())
        if one is None and other is not None:
            sink.add(
                "provider-added", subject, "", f"{subject.identifier} is new", None, other.at("provider_type")
            )
        elif one is not None and other is None:
            text = f"{subject.identifier} is gone"
            sink.add("provider-removed", subject, "", text, one.at("provider_type"), None)
        elif one is not None and other is not None:
            _compare_provider(subject, Pair(one, other), sink)


def compare_groups(groups: Pair, old: dict[str, Map], new: dict[str, Map], sink: Sink) -> None:
    """Report groups of settings that providers of others may take, as far as our own do not show it."""
    for name in groups.gone():
        where = groups.old.at(name), None
        sink.add("settings-removed", _group(name), "", f"the settings `{name}` are gone", *where)
    for name in groups.come():
        where = None, groups.new.at(name)
        sink.add("settings-added", _group(name), "", f"the settings `{name}` are new", *where)
    taken = _taken(old) & _taken(new)
    for name in groups.both():
        if name not in taken:
            group = Pair(*(_as_schema(side.map(name)) for side in groups))
            documents = Documents(group.old, group.new, sink)
            documents.schema("provider-config", False, _group(name), "settings", group, "schema")
        if groups.map(name).differs("description"):
            where = groups.map(name).at("description")
            sink.add("documentation-changed", _group(name), "description", "`description` changed", *where)


def _taken(providers: dict[str, Map]) -> set[str]:
    return {str(name) for provider in providers.values() for name in provider.seq("settings")}


def _group(name: str) -> Subject:
    return Subject("settings", name, f"Settings {name}")


def _as_schema(group: Map) -> Map:
    """The settings of a group as those of a provider that has no others."""
    closed = Map({"type": "object", "additionalProperties": False}, group.pos)
    closed.put("properties", group.map("properties"), group.at("properties"))
    return Map({"schema": closed}, group.pos)


def _by_type(providers: dict[str, Map]) -> dict[tuple[str, str], Map]:
    return {(one.text("api"), one.text("provider_type")): one for one in providers.values()}


def _subject(provider: Map) -> Subject:
    kind, api = provider.text("provider_type"), provider.text("api")
    return Subject("provider", kind, f"Provider {kind}  ({api})", provider.text("stability", "stable"))


def _compare_provider(subject: Subject, provider: Pair, sink: Sink) -> None:
    documents = Documents(provider.old, provider.new, sink)
    documents.schema("provider-config", False, subject, "config", provider, "config")
    if "provider_data" in provider.old:
        documents.schema("provider-data", False, subject, "provider_data", provider, "provider_data")
    if provider.differs("stability"):
        lowered = provider.new.text("stability") == "experimental"
        rule = "stability-lowered" if lowered else "stability-changed"
        sink.add(rule, subject, "stability", provider.changed("stability"), *provider.at("stability"))
    _names(subject, provider, "capabilities", ("capability-removed", "capability-added"), sink)
    requires = provider.map("requires")
    _names(subject, requires, "apis", ("provider-requires-less", "provider-requires-api"), sink)
    _names(subject, requires, "optional_apis", ("provider-requires-less", "provider-requires-less"), sink)
    for key, rule in (("extra", "provider-extra-changed"), ("module", "provider-module-changed")):
        if provider.differs(key):
            sink.add(rule, subject, key, provider.changed(key), *provider.at(key))
    for key in _WORDS:
        if provider.differs(key):
            text = f"`{key}` changed"
            sink.add("documentation-changed", subject, key, text, *provider.at(key))
    for key in ("config", "provider_data"):
        for old, new, path in _alike(provider.old.map(key), provider.new.map(key), key):
            if isinstance(old.get("description"), str) and old.get("description") != new.get("description"):
                places = old.at("description"), new.at("description")
                sink.add("documentation-changed", subject, path, "`description` changed", *places)


def _names(subject: Subject, holder: Pair, key: str, rules: tuple[str, str], sink: Sink) -> None:
    """Report names that went from a list, and names that came."""
    old, new = texts(holder.old.get(key)), texts(holder.new.get(key))
    places: tuple[Position, Position] = holder.at(key)
    for name in without(old, new):
        sink.add(rules[0], subject, key, f"`{name}` is gone", old[name], places[1])
    for name in without(new, old):
        sink.add(rules[1], subject, key, f"`{name}` is new", places[0], new[name])
