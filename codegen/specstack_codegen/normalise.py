"""What is done to schemas before the model generator sees them.

The generator gets plain, named, fully described input, so that it never invents a name: unions are told
apart by full mappings, inline objects become components, files and closed objects say their Python type.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from specstack_codegen import naming, schemas
from specstack_codegen.unions import Node, spell_out_union

_DROPPED = frozenset({"example", "examples", "title", "deprecated", "readOnly", "writeOnly", "$comment"})
_CONSTRAINTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern", "exclusiveMinimum"}
    | {"exclusiveMaximum", "minProperties", "maxProperties", "multipleOf"}
)
_SHAPES = frozenset({"properties", "allOf", "oneOf", "anyOf", "patternProperties"})
_BRANCH = _CONSTRAINTS | {"oneOf", "anyOf"}


@dataclass
class Normalised:
    """Schemas ready for the model generator, with what it must be told besides.

    `owners` maps each component made here to the one it came from. `aliases` and `tagged` are the
    generator's field aliases and the data of unions whose branches share a tag.
    """

    components: dict[str, Node]
    owners: dict[str, str] = field(default_factory=dict[str, str])
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    tagged: dict[str, Node] = field(default_factory=dict[str, Node])


def normalise(components: Mapping[str, Any], closed_base: str, upload_type: str) -> Normalised:
    """Copies of `components`, ready for the generator. The two types are dotted import paths."""
    result = Normalised(components={name: cast(Node, _clean(value)) for name, value in components.items()})
    for name in list(result.components):
        _Hoist(result, name).children(result.components[name], name)
    for name, schema in result.components.items():
        tagged = spell_out_union(result.components, schema)
        if tagged is not None:
            result.tagged[name] = {"x_tagged": tagged}
        _python_types(schema, closed_base, upload_type)
        for prop in schema.get("properties", {}):
            if naming.attribute(prop) != prop:
                result.aliases[f"{name}.{prop}"] = naming.attribute(prop)
    return result


def _clean(value: Any, *, names: bool = False) -> Any:
    """A deep copy without examples, titles and extensions; `names` says that the keys are property names."""
    if isinstance(value, list):
        return [_clean(item) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    known = cast("Mapping[str, Any]", value)
    if names:
        return {key: _clean(item) for key, item in known.items()}
    kept: Node = {}
    for key, item in known.items():
        if key in _DROPPED or key.startswith("x-"):
            continue
        if key in ("default", "enum", "const", "mapping"):
            kept[key] = copy.deepcopy(item)
        else:
            kept[key] = _clean(item, names=key in ("properties", "$defs"))
    return kept


@dataclass
class _Hoist:
    """Gives every inline object and constrained union branch of one component a name of its own."""

    result: Normalised
    owner: str

    def children(self, schema: Any, name: str) -> None:
        if not isinstance(schema, dict):
            return
        node = cast(Node, schema)
        for prop, value in list(node.get("properties", {}).items()):
            node["properties"][prop] = self.child(value, name + naming.pascal(prop))
        for key in ("oneOf", "anyOf"):
            for index, value in enumerate(node.get(key, ())):
                node[key][index] = self.child(value, f"{name}Option{index + 1}", constraints=_BRANCH)
        for part in node.get("allOf", ()):
            self.children(part, name)
        for key, suffix in (("items", "Item"), ("additionalProperties", "Value")):
            if isinstance(node.get(key), dict):
                node[key] = self.child(node[key], name + suffix, constraints=_CONSTRAINTS)

    def child(self, value: Any, name: str, *, constraints: frozenset[str] = frozenset()) -> Any:
        if not isinstance(value, dict):
            return value
        node = cast(Node, value)
        own = node.get("properties") or (constraints | {"discriminator", "allOf"}) & node.keys()
        if "$ref" in node or not own:
            self.children(node, name)
            return node
        free, number = name, 2
        while free in self.result.components:
            free, number = f"{name}{number}", number + 1
        self.result.components[free] = node
        self.result.owners[free] = self.owner
        self.children(node, free)
        return {"$ref": f"{schemas.SCHEMA_PREFIX}{free}"}


def _python_types(schema: Any, closed_base: str, upload_type: str, *, top: bool = True) -> None:
    """Says closed base classes and file types in the generator's own keywords."""
    if isinstance(schema, list):
        for item in cast("list[Any]", schema):
            _python_types(item, closed_base, upload_type, top=False)
    if not isinstance(schema, dict):
        return
    node = cast(Node, schema)
    if node.get("format") == "binary" and node.get("type") == "string":
        node["customTypePath"] = upload_type
        del node["format"]
    if (
        node.get("type") == "object"
        and not _SHAPES & node.keys()
        and node.get("additionalProperties") in (None, True)
    ):
        node["additionalProperties"] = {}
    if top and node.get("properties"):
        if node.get("additionalProperties") is False:
            node["customBasePath"] = closed_base
        if isinstance(node.get("additionalProperties"), bool):
            del node["additionalProperties"]
    for key, value in node.items():
        if key not in ("default", "enum", "const", "customTypePath"):
            _python_types(value, closed_base, upload_type, top=False)
