"""Comparing what generated clients and other people's providers see by name, and what holds for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from specstack_codegen.review.beside import compare_whole
from specstack_codegen.review.comparison import Documents, Pair, as_map, without
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.review.flat import conj
from specstack_codegen.review.operations import Operation, operations
from specstack_codegen.review.promises import renamed_schemes
from specstack_codegen.source import Map
from specstack_codegen.walk import METHODS, Node, lookup, resolve, walk

CLIENT = Subject("client", "components", "Generated code: names of models")
DOCUMENT = Subject("document", "document", "The whole document")
# Words for people; the form of a token is one too, for it is the server that made it.
_SCHEME_WORDS = frozenset({"description", "bearerFormat", "deprecated"})


def compare_components(documents: Documents, sink: Sink) -> None:
    """Report components that have another name, or none, on the new side."""
    components = Pair(documents.old, documents.new).map("components").map("schemas")
    gone, come = list(components.gone()), list(components.come())
    used = _stable_components(documents.old) if gone else frozenset[str]()
    for name in gone:
        stability = "stable" if name in used else "experimental"
        subject = Subject(CLIENT.kind, CLIENT.identifier, CLIENT.label, stability)
        old_pos = components.old.at(name)
        other = next((one for one in come if _same(documents, components, name, one)), None)
        if other is None:
            neighbour = next(
                (
                    components.new.at(one)
                    for one in components.new
                    if components.new.at(one).file == old_pos.file
                ),
                None,
            )
            text = f"the component `{name}` is gone"
            sink.add("component-removed", subject, name, text, old_pos, neighbour)
        else:
            come.remove(other)
            text = f"the component `{name}` became `{other}`"
            sink.add("component-renamed", subject, name, text, old_pos, components.new.at(other))
    for name in come:
        text = f"the component `{name}` is new"
        sink.add("component-added", CLIENT, name, text, None, components.new.at(name))


def _same(documents: Documents, components: Pair, one: str, other: str) -> bool:
    old, new = components.old[one], components.new[other]
    if isinstance(old, Map) and isinstance(new, Map) and old.keys() != new.keys():
        return False
    before, after = conj(old, components.old.at(one)), conj(new, components.new.at(other))
    return not documents.differ.changes(before, after)


def _stable_components(document: Map) -> frozenset[str]:
    """Components that something other than experimental operations uses; those that nothing uses too."""
    schemas = document.map("components").map("schemas")
    kept: set[str] = set()
    loose: set[str] = set()
    for operation in operations(document):
        found = kept if operation.stability != "experimental" else loose
        _collect(document, _nodes(operation), found)
    return frozenset(name for name in schemas if name in kept or name not in loose)


def _nodes(operation: Operation) -> Iterator[Map]:
    yield operation.node
    shared = Map({key: value for key, value in operation.item.items() if key not in METHODS})
    yield shared


def _collect(document: Map, roots: Iterator[Map], found: set[str]) -> None:
    pending: list[object] = list(roots)
    seen: set[str] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, Map):
            ref = value.text("$ref")
            if ref and ref not in seen:
                seen.add(ref)
                if ref.startswith("#/components/schemas/"):
                    found.add(ref.rsplit("/", 1)[-1])
                pending.append(lookup(document, ref))
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(cast("list[object]", value))


def compare_document(documents: Documents, sink: Sink) -> None:
    """Report differences of security schemes and servers."""
    whole = Pair(documents.old, documents.new)
    schemes = whole.map("components").map("securitySchemes")
    renamed = renamed_schemes(whole)
    for name, other in renamed.items():
        text, where = (
            f"the security scheme `{name}` became `{other}`",
            (schemes.old.at(name), schemes.new.at(other)),
        )
        sink.add("security-scheme-renamed", DOCUMENT, f"securitySchemes.{name}", text, *where)
    for name in without(schemes.gone(), renamed):
        where = schemes.old.at(name), whole.new.map("components").at("securitySchemes")
        text = f"the security scheme `{name}` is gone"
        sink.add("security-scheme-removed", DOCUMENT, f"securitySchemes.{name}", text, *where)
    for name in without(schemes.come(), renamed.values()):
        where = whole.old.map("components").at("securitySchemes"), schemes.new.at(name)
        text = f"the security scheme `{name}` is new"
        sink.add("security-scheme-added", DOCUMENT, f"securitySchemes.{name}", text, *where)
    for name in schemes.both():
        scheme = Pair(*(resolve(one, as_map(side[name])) for one, side in zip(whole, schemes, strict=True)))
        for key in dict.fromkeys((*scheme.old, *scheme.new)):
            if scheme.differs(key) and key != "description":
                path = f"securitySchemes.{name}.{key}"
                rule = "documentation-changed" if key in _SCHEME_WORDS else "security-scheme-changed"
                sink.add(rule, DOCUMENT, path, scheme.changed(key), *scheme.at(key))
    if whole.differs("servers"):
        sink.add("servers-changed", DOCUMENT, "servers", whole.changed("servers"), *whole.at("servers"))
    compare_whole(documents, DOCUMENT)


def compare_words(documents: Documents, sink: Sink) -> None:
    """Report changes of words for people: one finding per text, at the operation or component it is in."""
    before, after = _altered(documents.old, documents.new), _altered(documents.new, documents.old)
    new = {node.path: node for node in walk(after)}
    for old in walk(before):
        other = new.get(old.path)
        if other is None or other.kind != old.kind:
            continue
        pair = Pair(old.value, other.value)
        for key in _words(old):
            if pair.differs(key):
                subject = _owner(old)
                sink.add(
                    "documentation-changed", subject, f"{_short(old)}{key}", _said(pair, key), *pair.at(key)
                )


def _altered(document: Map, other: Map) -> Map:
    """The document without the paths and components that stand in the other one word for word."""
    rest = Map(dict(document), document.pos)
    rest.key_pos = dict(document.key_pos)
    rest["paths"] = _differing(document.map("paths"), other.map("paths"))
    sections, others = document.map("components"), other.map("components")
    components = Map(pos=sections.pos)
    for section in sections:
        left = _differing(sections.map(section), others.map(section))
        components.put(section, left, sections.at(section))
    rest["components"] = components
    return rest


def _differing(entries: Map, others: Map) -> Map:
    left = Map(pos=entries.pos)
    for name, value in entries.items():
        if name not in others or others[name] != value:
            left.put(name, value, entries.at(name))
    return left


_TEXTS = ("summary", "description", "title", "example", "examples", "externalDocs", "$comment")


def _words(node: Node) -> tuple[str, ...]:
    if node.kind == "operation":
        return (*_TEXTS, "tags")
    if node.kind == "info":
        return tuple(dict.fromkeys((*_TEXTS, "version", "contact", "license", "termsOfService")))
    return (*_TEXTS, "parent", "kind") if node.kind == "tag" else _TEXTS


def _said(pair: Pair, key: str) -> str:
    one, other = pair.values(key)
    if one is None or other is None:
        return f"`{key}` is {'new' if one is None else 'gone'}"
    return f"`{key}` changed"


def _owner(node: Node) -> Subject:
    operation = node.within("operation")
    if operation is not None and operation.parent is not None:
        path, method = operation.parent.name, operation.name
        parent = operation.parent.value
        return Operation(path, method, operation.value, parent, operation.value.pos).subject()
    if node.path[:1] == ("components",) and len(node.path) > 2:
        return Subject("component", node.path[2], f"{node.path[2]}  ({node.path[1]})")
    return DOCUMENT


def _short(node: Node) -> str:
    """The way from the operation or component to the text."""
    skip = 3 if node.path[:1] in (("components",), ("paths",)) else 0
    return "".join(f"{step}." for step in node.path[skip:])


def compare_envelopes(old: dict[str, Map], new: dict[str, Map], sink: Sink) -> None:
    """Report APIs whose errors have another form."""
    for name in old.keys() & new.keys():
        head = Pair(old[name].map("x-api"), new[name].map("x-api"))
        if head.old.text("envelope", "openai") != head.new.text("envelope", "openai"):
            subject = Subject("api", name, f"API {name}")
            sink.add(
                "envelope-changed", subject, "x-api.envelope", head.changed("envelope"), *head.at("envelope")
            )
