"""One OpenAPI document as the scorer sees it: its operations under comparable paths, and its references."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from specstack_codegen.bundle import Spec
from specstack_codegen.emit.openapi import event_data
from specstack_codegen.source import Map, Position, Seq, SpecError, SpecErrors, read_yaml
from specstack_codegen.walk import METHODS, lookup, resolve, walk

_VERSION = re.compile(r"v\d+[a-z0-9]*|\{.*\}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation with the parameters of its path; `key` is the method and the comparable path."""

    key: tuple[str, str]
    path: str
    operation: Map
    parameters: tuple[Map, ...]
    pos: Position

    @property
    def id(self) -> str:
        """The operationId, else method and path."""
        return self.operation.text("operationId") or str(self)

    @property
    def category(self) -> str:
        """The first tag, else the path's first word."""
        tags = self.operation.seq("tags")
        words = self.key[1].strip("/").split("/")[0]
        return str(tags[0]) if tags else words.replace("_", " ").replace("-", " ").capitalize()

    def __str__(self) -> str:
        return f"{self.key[0].upper()} {self.path}"


@dataclass
class Document:
    """An OpenAPI document with positions, and what identifies it: title, version and the file's sha256."""

    root: Map
    name: str = ""
    sha256: str = ""

    @property
    def title(self) -> str:
        return self.root.map("info").text("title")

    @property
    def version(self) -> str:
        return str(self.root.map("info").get("version") or "")

    @cached_property
    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """The operations by method and comparable path; where two share one, the first."""
        found: dict[tuple[str, str], Endpoint] = {}
        for one in self._endpoints():
            found.setdefault(one.key, one)
        return found

    def _endpoints(self) -> Iterator[Endpoint]:
        paths = self.root.map("paths")
        for path in paths:
            item = paths.map(path)
            shared = self.parameters(item)
            for method in METHODS:
                operation = item.get(method)
                if not isinstance(operation, Map):
                    continue
                own = self.parameters(operation)
                named = {(one.text("in"), one.text("name")) for one in own}
                inherited = [one for one in shared if (one.text("in"), one.text("name")) not in named]
                key = (method, comparable(path))
                yield Endpoint(key, path, operation, (*inherited, *own), item.at(method))

    def parameters(self, holder: Map) -> list[Map]:
        """The parameters of a path or an operation."""
        every = cast("list[Any]", holder.seq("parameters"))
        return [self.resolved(one) for one in every if isinstance(one, Map)]

    def resolved(self, value: Map) -> Map:
        """What stands behind a `$ref`."""
        return resolve(self.root, value)

    def target(self, node: Map) -> tuple[str, Map]:
        """The name and value of what `$ref` points at; an empty Map where there is nothing."""
        ref = node.text("$ref")
        value = lookup(self.root, ref)
        return ref.rsplit("/", 1)[-1], value if isinstance(value, Map) else Map(pos=node.at("$ref"))

    def media(self, holder: Map) -> dict[str, Map]:
        """The schemas of a body or reply by media type; of a stream, that of one event's data."""
        content = self.resolved(holder).map("content")
        return {kind.split(";")[0].strip().lower(): _schema(content.map(kind)) for kind in content}


def _schema(media: Map) -> Map:
    item = media.get("itemSchema")
    return event_data(item) if isinstance(item, Map) else media.map("schema")


def comparable(path: str) -> str:
    """A path without query, leading version and names of parameters: `/v1/models/{model}` is `/models/{}`."""
    words = path.split("?")[0].strip("/").split("/")
    if len(words) > 1 and _VERSION.fullmatch(words[0]):
        words = words[1:]
    return "/" + "/".join("{}" if word.startswith("{") else word for word in words)


def of_spec(spec: Spec) -> Document:
    """The bundle of a spec folder."""
    return Document(spec.openapi, name=spec.root.name)


def read_document(path: Path) -> Document:
    """A document in YAML or JSON. Raises SpecErrors when it cannot be read or is no OpenAPI 3 document."""
    root, faults = read_yaml(path, path.parent)
    if not faults and not (root.text("openapi").startswith("3.") and isinstance(root.get("paths"), Map)):
        hint = "the scorer reads OpenAPI 3.0, 3.1 and 3.2, as one file in YAML or JSON"
        faults = [SpecError("no-openapi", root.pos, "this is no OpenAPI 3 document", hint)]
    if faults:
        raise SpecErrors(faults)
    _name_recursion(root)
    if lost := list(_unresolved(root)):
        raise SpecErrors(lost)
    return Document(root, path.name.split(".")[0], hashlib.sha256(path.read_bytes()).hexdigest())


def _name_recursion(root: Map) -> None:
    """`$recursiveRef: "#"` (JSON Schema 2019-09) as a `$ref` to the component that has the anchor."""
    components = root.map("components").map("schemas")
    for name in components:
        if components.map(name).get("$recursiveAnchor") is True:
            _rename(components[name], f"#/components/schemas/{name}")


def _rename(value: Any, ref: str) -> None:
    if isinstance(value, Map):
        if value.pop("$recursiveRef", None) is not None:
            value["$ref"] = ref
        for item in value.values():
            _rename(item, ref)
    elif isinstance(value, Seq):
        for item in cast("list[Any]", value):
            _rename(item, ref)


def _unresolved(root: Map) -> Iterator[SpecError]:
    """References that lead nowhere: everything behind them would look as if it were of any type."""
    for node in walk(root):
        if node.ref and not isinstance(lookup(root, node.ref), Map):
            hint = (
                "the scorer reads one file: bundle the document first, so that every reference begins with #/"
            )
            message = f"the reference {node.ref!r} leads nowhere"
            yield SpecError("unresolved-ref", node.value.at("$ref"), message, hint)
