"""Load a spec folder and merge its OpenAPI files into one document.

Every file under `openapi/` is a complete small OpenAPI document. Component names are global, so bundling is a
merge; `common.yaml#/components/schemas/Error` becomes `#/components/schemas/Error`. Positions survive the
merge.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, cast

from specstack_codegen.cache import APPROVALS
from specstack_codegen.counted import add_counted, counted_references
from specstack_codegen.source import Map, Position, Seq, SpecError, SpecErrors, display_path, read_yaml
from specstack_codegen.walk import METHODS, Node, walk

OPENAPI_VERSION = "3.2.0"
TABLES = (
    "resources",
    "services",
    "errors",
    "config",
    "deviations",
    "settings",
    "storage",
    "telemetry",
    "approvals",
)
"""The files that a spec folder may have beside its OpenAPI documents and providers."""
COMMON = "common"
_COMPONENTS = "#/components/"


@dataclass
class Spec:
    """A whole spec folder, read and merged.

    `openapi` is the bundle: x- extensions (aliases too) are still in it, refs are local. `apis` maps the
    API's name to its own file, `files` every file that was read. Files that a spec folder does not have are
    empty Maps (`deviations`: None). `references` says which OpenAPI file refers to which other one, and where
    it does so first. `external` says that it adds to a server which somebody else has made.
    """

    root: Path
    external: bool = False
    openapi: Map = field(default_factory=Map)
    apis: dict[str, Map] = field(default_factory=dict[str, Map])
    component_api: dict[str, str] = field(default_factory=dict[str, str])
    operation_api: dict[str, str] = field(default_factory=dict[str, str])
    providers: dict[str, Map] = field(default_factory=dict[str, Map])
    resources: Map = field(default_factory=Map)
    services: Map = field(default_factory=Map)
    errors: Map = field(default_factory=Map)
    config: Map = field(default_factory=Map)
    deviations: Map | None = None
    settings: Map = field(default_factory=Map)
    storage: Map = field(default_factory=Map)
    telemetry: Map = field(default_factory=Map)
    approvals: Map = field(default_factory=Map)
    sources: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, Map] = field(default_factory=dict[str, Map])
    faults: list[SpecError] = field(default_factory=list[SpecError])
    references: dict[str, dict[str, Position]] = field(default_factory=dict[str, dict[str, Position]])

    @cached_property
    def nodes(self) -> list[Node]:
        """Every object of the bundle, walked once."""
        return list(walk(self.openapi))

    def operations(self) -> Iterator[Node]:
        """The operations of the bundle, in path order."""
        return (node for node in self.nodes if node.kind == "operation")

    def schemas(self) -> Iterator[Node]:
        """Every schema of the bundle, nested ones too."""
        return (node for node in self.nodes if node.kind == "schema")

    def file_of(self, pos: Position) -> str:
        """The stem of the OpenAPI file that a position lies in: an API's name, or "common"."""
        return PurePosixPath(pos.file).stem


def read_spec(root: Path, base: Path | None = None, *, external: bool = False) -> Spec:
    """Read and merge the spec folder `root`. Faults are kept in `faults`; what is sound can be used.

    `base` is the main spec's folder, of which another one may use the groups of settings and, unless it has a
    common.yaml of its own, that one's components. An `external` spec may be a folder of providers alone, as
    `<api>/<name>.yaml`.
    """
    spec = Spec(root=root, external=external)
    for kind in TABLES:
        path = root / f"{kind}.yaml"
        if path.exists():
            setattr(spec, kind, _read(spec, path))
    if base is not None and not spec.settings and (base / "settings.yaml").exists():
        spec.settings, _ = read_yaml(base / "settings.yaml", base)
    folder = providers_folder(root) if external else root / "providers"
    for path in sorted(folder.glob("[!.]*/*.yaml" if external else "**/*.yaml")):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        spec.providers[stem] = _read(spec, path, f"providers/{stem}.yaml")
        _add_settings(spec, spec.providers[stem])
    documents = {path.stem: _read(spec, path) for path in sorted((root / "openapi").glob("*.yaml"))}
    own = set(documents)
    shared = base / "openapi" / f"{COMMON}.yaml" if base is not None else None
    if shared is not None and shared.exists() and documents and COMMON not in documents:
        documents[COMMON] = _read(spec, shared, f"openapi/{COMMON}.yaml")
    if not documents and not (external and spec.providers):
        pos = Position(display_path(root / "openapi", root), 1, 1)
        hint = (
            "a spec has one OpenAPI document per API in openapi/<api>.yaml; check the path given with --spec"
        )
        spec.faults.append(SpecError("empty-spec", pos, "there is no OpenAPI document in this folder", hint))
    for path in sorted((root / "meta").glob("*.json")):
        spec.sources[f"meta/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    spec.apis = {stem: document for stem, document in documents.items() if stem != COMMON}
    _Bundler(spec, documents, own).run()
    return spec


def providers_folder(root: Path) -> Path:
    """Where an external spec has its providers: in `providers/`, or it is nothing but them."""
    nested = root / "providers"
    return nested if nested.is_dir() or (root / "openapi").is_dir() else root


def load_spec(root: Path) -> Spec:
    """Read and merge the spec folder `root`; raises SpecErrors with every fault found on the way."""
    spec = read_spec(root)
    if spec.faults:
        raise SpecErrors(spec.faults)
    return spec


def _read(spec: Spec, path: Path, name: str = "") -> Map:
    value, faults = read_yaml(path, spec.root)
    spec.faults.extend(faults)
    relative = name or path.relative_to(spec.root).as_posix()
    spec.files[relative] = value
    if path.exists() and relative != APPROVALS:
        spec.sources[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return value


def _add_settings(spec: Spec, provider: Map) -> None:
    """Put the properties of the groups that a provider names behind those of its own config."""
    groups, named, config = spec.settings.map("settings"), provider.seq("settings"), provider.map("config")
    if named and "properties" not in config:
        config.put("properties", Map(pos=config.pos), config.pos)
    own = config.map("properties")
    for index, name in enumerate(str(item) for item in named):
        if name not in groups:
            hint = _close(name, groups, "close names:") or "define the group in settings.yaml"
            fault = SpecError("shared-settings", named.at(index), f"there are no settings {name!r}", hint)
            spec.faults.append(fault)
        group = groups.map(name).map("properties")
        for key in group:
            if key not in own:
                own.put(key, group[key], group.at(key))
                continue
            message = f"the setting {key!r} stands here and in the settings {name!r}, at {group.at(key)}"
            spec.faults.append(SpecError("shared-settings", own.at(key), message, "keep one of the two"))


@dataclass
class _Bundler:
    spec: Spec
    documents: dict[str, Map]
    own: set[str]

    def run(self) -> None:
        for stem in self.order():
            self.rewrite_refs(stem)
        if not self.documents.keys() <= self.own:
            self.drop_unused()
        self.merge_heads()
        for stem in self.order():
            self.merge_paths(stem)
            self.merge_components(stem)
        if COMMON in self.documents:
            self.spec.faults.extend(add_counted(self.documents[COMMON], self.spec.openapi))

    def order(self) -> list[str]:
        """common.yaml first, then the APIs by name."""
        return sorted(self.documents, key=lambda stem: (stem != COMMON, stem))

    def drop_unused(self) -> None:
        """Leave of another spec's common.yaml what the files here refer to, directly or not."""
        parts = self.documents[COMMON].map("components")
        pending = [ref for stem in self.own for ref in _references(self.documents[stem])]
        pending += counted_references(self.documents[COMMON])
        wanted: set[str] = set()
        while pending:
            ref = pending.pop()
            section, _, name = ref.removeprefix(_COMPONENTS).partition("/")
            if ref not in wanted and name in parts.map(section):
                wanted.add(ref)
                pending += _references(parts.map(section)[name])
        for section in [one for one in parts if one != "securitySchemes"]:
            for name in [one for one in parts.map(section) if f"{_COMPONENTS}{section}/{one}" not in wanted]:
                del parts.map(section)[name]

    def merge_heads(self) -> None:
        """openapi, info, tags, servers and security: common.yaml speaks for all, tags come from the APIs."""
        bundle = self.spec.openapi
        # A common.yaml that is not this spec's own has the last word only.
        heads = [self.documents[stem] for stem in sorted(self.order(), key=lambda stem: stem not in self.own)]
        if not heads:
            return
        bundle.pos = heads[0].pos
        bundle.put("openapi", OPENAPI_VERSION, heads[0].at("openapi"))
        for key in ("$self", "info", "jsonSchemaDialect", "servers", "security"):
            owner = next((head for head in heads if key in head), None)
            if owner is not None:
                bundle.put(key, owner[key], owner.at(key))
        tags = Seq(pos=bundle.pos)
        for name, document in self.spec.apis.items():
            own = [tag for tag in document.seq("tags") if isinstance(tag, Map) and tag.get("name") == name]
            tag = own[0] if own else Map({"name": name}, document.at("x-api"))
            summary = document.map("x-api").text("summary")
            if summary and not own:
                tag.put("description", summary, document.map("x-api").at("summary"))
            tags.append(tag)
            tags.item_pos.append(tag.pos)
        bundle.put("tags", tags, bundle.pos)
        bundle.put("paths", Map(pos=bundle.pos), bundle.pos)
        bundle.put("components", Map(pos=bundle.pos), bundle.pos)

    def merge_paths(self, stem: str) -> None:
        source, target = self.documents[stem].map("paths"), self.spec.openapi.map("paths")
        for path, item in source.items():
            if path in target:
                self.collision("path", path, source.at(path), target.at(path))
                continue
            target.put(path, item, source.at(path))
            for method in METHODS:
                operation = item.get(method) if isinstance(item, Map) else None
                if isinstance(operation, Map) and operation.text("operationId"):
                    self.spec.operation_api.setdefault(operation.text("operationId"), stem)

    def merge_components(self, stem: str) -> None:
        source, target = self.documents[stem].map("components"), self.spec.openapi.map("components")
        for section in source:
            if section not in target:
                target.put(section, Map(pos=source.at(section)), source.at(section))
            for name, value in source.map(section).items():
                pos, merged = source.map(section).at(name), target.map(section)
                if name in merged:
                    self.collision(f"{section} component", name, pos, merged.at(name))
                    continue
                merged.put(name, value, pos)
                if section == "schemas":
                    self.spec.component_api[name] = stem

    def collision(self, what: str, name: str, pos: Position, first: Position) -> None:
        message = f"the {what} {name!r} is defined twice; the first stands at {first}"
        hint = "names are global: rename one, or define it once and refer to it as <file>.yaml#/components/…"
        self.spec.faults.append(SpecError("component-collision", pos, message, hint))

    def rewrite_refs(self, stem: str) -> None:
        for node in walk(self.documents[stem]):
            ref = node.value.get("$ref")
            if isinstance(ref, str):
                node.value["$ref"] = self.local(stem, ref, node.value.at("$ref"))
            if node.kind == "discriminator":
                mapping = node.value.map("mapping")
                for tag, target in mapping.items():
                    if isinstance(target, str):
                        mapping[tag] = self.local(stem, target, mapping.at(tag))
                default = node.value.get("defaultMapping")
                if isinstance(default, str):
                    node.value["defaultMapping"] = self.local(stem, default, node.value.at("defaultMapping"))

    def local(self, stem: str, ref: str, pos: Position) -> str:
        """The bundle's form of `ref`; reports it when it does not lead to a component."""
        file, _, pointer = ref.partition("#")
        if not pointer:
            # a discriminator may map to a bare component name
            file, pointer = "", f"/components/schemas/{ref}"
        target = PurePosixPath(file).stem if file else stem
        if target != stem and target in self.documents:
            self.spec.references.setdefault(stem, {}).setdefault(target, pos)
        parts = pointer.split("/")
        if len(parts) != 4 or parts[:2] != ["", "components"]:
            hint = "refer to a named component: [<file>.yaml]#/components/<section>/<name>"
            self.unresolved(ref, pos, "does not point at a named component", hint)
        elif target not in self.documents:
            hint = (
                _close(target, self.documents, "the files are") or "every file stands in openapi/<name>.yaml"
            )
            self.unresolved(ref, pos, f"names the file {file!r}, which does not exist", hint)
        elif self.documents[target] and parts[3] not in self.documents[target].map("components").map(
            parts[2]
        ):
            self.unresolved(ref, pos, "leads nowhere", self.where_is(parts[2], parts[3], target))
        return "#" + pointer

    def unresolved(self, ref: str, pos: Position, what: str, hint: str) -> None:
        self.spec.faults.append(SpecError("unresolved-ref", pos, f"the reference {ref!r} {what}", hint))

    def where_is(self, section: str, name: str, target: str) -> str:
        for stem in self.order():
            if name in self.documents[stem].map("components").map(section):
                return f"it is defined in another file: {stem}.yaml#/components/{section}/{name}"
        names = self.documents[target].map("components").map(section)
        return _close(name, names, "close names:") or f"define it under components.{section} of {target}.yaml"


def _references(value: Any) -> Iterator[str]:
    """Every text of a document that leads to a component."""
    if isinstance(value, str):
        if value.startswith(_COMPONENTS):
            yield value
    elif isinstance(value, dict | list):
        items = (
            cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        )
        for item in items:
            yield from _references(item)


def _close(name: str, names: Any, lead: str) -> str:
    found = difflib.get_close_matches(name, list(cast("dict[str, Any]", names)), n=3)
    return f"{lead} {', '.join(found)}" if found else ""
