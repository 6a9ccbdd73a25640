"""Nothing is passed over in silence: every key that a spec may have is compared, or named here with a reason.

One document has every field of every object of OpenAPI 3.2 and of JSON Schema, and every extension of ours.
Each of its keys is taken away and each of its values changed, one after the other; the same is done with the
other files of the real spec.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_specifications
import openapi_spec_validator
import pytest
import yaml

from specstack_codegen.bundle import Spec
from specstack_codegen.review import names as taken
from specstack_codegen.review.review import review
from specstack_codegen.review.sides import Side, read_path
from specstack_codegen.source import Map, Seq, load_yaml, positionless
from support.codegen import REPOSITORY
from support.mutations import copied

HERE = Path(__file__).parent
META = REPOSITORY / "spec/meta"
EVERYTHING = yaml.safe_load((HERE / "everything.yaml").read_text())

# Fields that say nothing of what the server does, by the way to them ("*" is any step).
NO_CONTRACT = {
    "openapi": "the version of the format; what it changes shows in what is written in it",
    "$self": "the document's own address",
    "components/pathItems/*": "operations are compared where a path uses them",
}
SAME = {
    "delete paths/*/post/parameters/0/style": "it is the default",
    "delete paths/*/post/x-public": "it is the default",
    "delete components/headers/Location/style": "it is the default",
    "delete components/headers/Location/explode": "it is the default",
    "delete components/parameters/Thing/required": "a parameter in the path always is",
    "change components/parameters/Thing/required": "a parameter in the path always is",
}
# Keys that the document above cannot have, or has by another one.
ELSEWHERE = {
    "x-api": "stands in files of the spec folder; its `envelope` is compared, the rest is in paths and tags",
    "x-counted": "stands in common.yaml; reading the spec turns it into responses and headers of operations",
    "token_headers": "part of x-counted",
    "envelope": "part of x-api",
    **dict.fromkeys(("get", "put", "delete", "options", "head", "patch", "trace", "query"), "as `post`"),
    **dict.fromkeys(
        ("$schema", "$vocabulary", "$id", "$anchor", "$dynamicAnchor", "$dynamicRef"),
        "names a schema or a dialect; lint refuses it in the spec",
    ),
}


class Edit(NamedTuple):
    """`how` is delete or change."""

    how: str
    way: tuple[str | int, ...]

    def __str__(self) -> str:
        return f"{self.how} {'/'.join(map(str, self.way))}"

    def fits(self, pattern: str) -> bool:
        """Whether `pattern`, with or without the verb, is about this edit; a last "*" is everything below."""
        verb, _, steps = pattern.rpartition(" ")
        if verb and verb != self.how:
            return False
        wanted, way = steps.split("/"), [str(step).replace("/", "") for step in self.way]
        if wanted[-1] == "*" and len(way) + 1 >= len(wanted):
            wanted, way = wanted[:-1], way[: len(wanted) - 1]
        return len(wanted) == len(way) and all(
            one in ("*", two) for one, two in zip(wanted, way, strict=True)
        )


def edits(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[Edit]:
    """An edit for each key, item and value."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield Edit("delete", (*way, key))
            yield from edits(value[key], (*way, key))
    else:
        yield Edit("change", way)


def do(edit: Edit, holder: Any) -> None:
    """Make the edit in place."""
    for step in edit.way[:-1]:
        holder = holder[step]
    last: Any = edit.way[-1]
    if edit.how == "change":
        value = holder[last]
        if isinstance(value, bool):
            holder[last] = not value
        elif isinstance(value, int | float):
            holder[last] = value + 1
        else:
            holder[last] = f"{value or ''}x"
        return
    if isinstance(holder, Seq):
        del holder.item_pos[last]
    del holder[last]


def document(content: Any) -> Side:
    spec = Spec(root=REPOSITORY / "spec", openapi=positionless(content))
    return Side("everything", spec, frozenset({"openapi"}))


def test_every_part_of_a_document_is_compared() -> None:
    base = document(EVERYTHING)
    assert review(base, document(copy.deepcopy(EVERYTHING))).findings == []
    silent: list[Edit] = []
    for edit in edits(EVERYTHING):
        changed = copy.deepcopy(EVERYTHING)
        do(edit, changed)
        if not review(base, document(changed)).findings:
            silent.append(edit)
    named = [*NO_CONTRACT, *SAME]
    assert [str(one) for one in silent if not any(one.fits(pattern) for pattern in named)] == []
    assert [pattern for pattern in named if not any(one.fits(pattern) for one in silent)] == []


def names(schema: Any) -> Iterator[str]:
    """The members that a JSON Schema, however deep, knows by name."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        for value in schema.values():
            yield from names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from names(value)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from keys(one)


def test_the_document_has_every_field_that_there_is() -> None:
    folder = Path(openapi_spec_validator.__file__).parent
    known = set(names(json.loads((folder / "resources/schemas/v3.2/schema.json").read_text())))
    assert {"additionalOperations", "itemSchema", "operationRef"} <= known
    registry = jsonschema_specifications.REGISTRY
    for address in registry:
        if "2020-12/meta" in address:
            known |= set(names(registry[address].contents))
    extensions = json.loads((META / "extensions.json").read_text())["extensions"]
    for name, extension in extensions.items():
        known |= {name, *names(extension["schema"])}
    assert (
        known - set(keys(EVERYTHING)) - set(ELSEWHERE) - set(extensions["x-api"]["schema"]["properties"])
        == set()
    )


# -- the other files -----------------------------------------------------------------------------------

STORAGE = load_yaml(HERE / "storage.yaml", HERE)
STORAGE.put("migrations", "a.package", STORAGE.pos)
COLUMNS = next(iter(STORAGE["tables"].values()))["columns"]
next(iter(COLUMNS.values())).put("default", "a", STORAGE.pos)
REAL = read_path(REPOSITORY / "spec", "real")
REAL.spec.files["storage.yaml"] = STORAGE
# Keys that do not count by themselves.
READ = {"settings": "reading the spec turns the group into settings of the config, which are compared"}
AREAS = {
    "config": REAL.spec.config,
    "errors": REAL.spec.errors,
    "resources": REAL.spec.resources,
    "services": REAL.spec.services,
    "storage": STORAGE,
    "telemetry": REAL.spec.files["telemetry.yaml"],
    **{name: REAL.spec.providers[name] for name in list(REAL.spec.providers)[::2]},
}


def with_area(area: str, content: Map) -> Side:
    """The real spec with one file of it exchanged."""
    old = REAL.spec
    spec = Spec(root=old.root, sources=old.sources)
    for name in ("openapi", "config", "errors", "resources", "services", "approvals"):
        setattr(spec, name, content if name == area else getattr(old, name))
    spec.providers = {**old.providers, **({area: content} if area in old.providers else {})}
    spec.apis = dict(old.apis)
    spec.files = {**old.files, **({f"{area}.yaml": content} if area in ("storage", "telemetry") else {})}
    return Side("edited", spec, REAL.areas, texts=REAL.texts)


def means_the_same(edit: Edit, root: Map) -> bool:
    """A type beside its values, what is open anyway, and lists of nothing."""
    holder: Any = root
    for step in edit.way[:-1]:
        holder = holder[step]
    value = holder[edit.way[-1]]
    if edit.how != "delete":
        return False
    if edit.way[-1] == "type":
        return "enum" in holder or "const" in holder
    if edit.way[-1] == "additionalProperties":
        return value is True
    return value == [] or (isinstance(value, Map) and all(one == [] for one in value.values()))


@pytest.mark.parametrize("area", AREAS)
def test_every_part_of_the_other_files_is_compared(area: str) -> None:
    silent: list[str] = []
    for edit in edits(AREAS[area]):
        if edit.way[0] in READ or means_the_same(edit, AREAS[area]):
            continue
        content = copied(AREAS[area])
        do(edit, content)
        if not review(REAL, with_area(area, content)).findings:
            silent.append(str(edit))
    assert silent == []


@pytest.mark.parametrize(
    "area", ["errors", "resources", "services", "telemetry", "storage", "config", "provider"]
)
def test_the_files_have_every_key_that_there_is(area: str) -> None:
    known = set(names(json.loads((META / f"{area}.json").read_text())))
    found = [AREAS[area]] if area != "provider" else [*REAL.spec.providers.values()]
    assert known - {key for one in found for key in keys(one)} == set()


# Texts and keys of the run config that are its author's own, or say by themselves what they admit.
FREE = {
    "distro_name": "a name that its author chooses",
    "external_providers_dir": "a folder",
    "external_apis_dir": "a folder",
    "providers.*[*].provider_id": "a name that its author chooses",
    "providers.*[*].provider_type": "provider types are compared by themselves: provider-removed",
    "providers.*[*].config.*": "the settings of a type are compared by themselves: provider-config-…",
    "server.host": "an address",
    "server.allowed_hosts[*]": "host names",
    "server.tls.certfile": "a file",
    "server.tls.keyfile": "a file",
    "server.tls.cafile": "a file",
    "server.auth.provider_config.plain_keys": "secrets",
    "server.auth.provider_config.keys[*].id": "a name that its author chooses",
    "server.auth.provider_config.keys[*].attributes.*": "words of the author's own",
    "server.auth.provider_config.keys[*].attributes.*[*]": "words of the author's own",
    "storage.backends.*": "names that its author chooses",
    "storage.backends.*.db_path": "a file",
    "storage.backends.*.url": "an address",
    "storage.backends.*.database": "the author's own",
    "storage.backends.*.collection": "the author's own",
    "storage.stores.registry.backend": "one of storage.backends; which fits is said by store-kind-changed",
    "storage.stores.providers.backend": "as above",
    "storage.stores.quota.backend": "as above",
    "storage.stores.inference.backend": "as above",
    "telemetry.service_name": "a name that its author chooses",
}


def open_places(config: Map) -> Iterator[tuple[str, Map]]:
    """The texts without a list or pattern, and the maps with keys of any name."""
    schemas = config["components"]["schemas"]

    def visit(schema: Any, path: str) -> Iterator[tuple[str, Map]]:
        if not isinstance(schema, Map):
            return
        if "$ref" in schema:
            yield from visit(schemas[schema["$ref"].rpartition("/")[2]], path)
        if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "pattern"}:
            yield path, schema
        if schema.get("additionalProperties", False) is not False:
            yield f"{path}.*", schema
        for key, value in schema.get("properties", {}).items():
            yield from visit(value, f"{path}.{key}" if path else key)
        yield from visit(schema.get("items"), f"{path}[*]")
        yield from visit(schema.get("additionalProperties"), f"{path}.*")

    return visit(schemas[config["root"]], "")


def test_every_free_text_of_the_run_config_is_a_name_from_elsewhere_or_its_author_s_own() -> None:
    """A key that takes names of another file says so with `x-names`, so that the review knows."""
    every = dict(open_places(REAL.spec.config))
    named = {path: list(schema["x-names"]) for path, schema in every.items() if "x-names" in schema}
    assert named == {
        "apis[*]": ["api"],
        "providers.*": ["provider-api"],
        "server.quota.operations[*]": ["operation", "api"],
        "logging.categories.*": ["log-category"],
    }
    assert set(every) - set(named) == set(FREE)
    kinds = json.loads((META / "config.json").read_text())["$defs"]["x-names"]["items"]["enum"]
    assert tuple(kinds) == taken.KINDS


def test_a_group_of_settings_is_compared_where_it_is_used(tmp_path: Path) -> None:
    folder = shutil.copytree(REPOSITORY / "spec", tmp_path / "spec")
    path = next(path for path in folder.rglob("providers/**/*.yaml") if "\nsettings:" in path.read_text())
    lines = [line for line in path.read_text().splitlines(True) if not line.startswith("settings:")]
    path.write_text("".join(lines))
    found = review(read_path(REPOSITORY / "spec", "old"), read_path(folder, "new")).findings
    assert any(one.rule.startswith("provider-config-") for one in found)
