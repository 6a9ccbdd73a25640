"""Reading one side of a comparison: a git ref, a spec folder, one file of it, or a bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from specstack_codegen.bundle import COMMON, Spec, read_spec
from specstack_codegen.review import git
from specstack_codegen.review.errors import ReviewError
from specstack_codegen.review.operations import operations
from specstack_codegen.source import (
    Map,
    Position,
    SpecError,
    display_path,
    positionless,
    read_yaml,
)
from specstack_codegen.walk import lookup, walk

AREAS = ("openapi", "providers", "config", "storage", "errors", "resources", "services", "telemetry")
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
# Top-level keys by which a file that stands alone says what it is.
_MARKS = {
    "errors": "errors",
    "resources": "resources",
    "tables": "storage",
    "services": "services",
    "metrics": "telemetry",
}


@dataclass
class Side:
    """One state of a spec.

    `areas` are the parts it has; `only` is the file of the spec folder that alone is meant ("" for all).
    `published` says that it is a document for clients, without what only the server needs to know. `texts`
    are the lines of every file by the name that positions use.
    """

    label: str
    spec: Spec
    areas: frozenset[str] = frozenset(AREAS)
    only: str = ""
    published: bool = False
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def line(self, pos: Position) -> str:
        """The line of source at a position; "" when there is none."""
        lines = self.texts.get(pos.file, [])
        return lines[pos.line - 1] if 0 < pos.line <= len(lines) else ""


def read_sides(arguments: Iterable[str], path: str) -> tuple[Side, Side]:
    """Both sides of the command line: `BASE..HEAD`, `BASE...HEAD` (from where they parted), or two of them.

    Raises ReviewError when there are not two, or one cannot be read.
    """
    given = list(arguments)
    if len(given) == 1 and ".." in given[0] and not Path(given[0]).exists():
        given = _range(given[0])
    if len(given) != 2:
        raise ReviewError("give two sides, OLD NEW, or one range, BASE..HEAD")
    old, new = (_read(text, path) for text in given)
    if old.only != new.only and "" in (old.only, new.only):
        # one file is meant, so the whole spec on the other side is looked at for that file alone
        for side in (old, new):
            if not side.only and len(side.areas) > 1:
                _select(side, old.only or new.only)
    _refuse_strangers(old, new)
    return old, new


def _refuse_strangers(old: Side, new: Side) -> None:
    """Two sides must be states of the same thing: else everything went and came, which says nothing."""
    shared = [area for area in AREAS if area in old.areas & new.areas]
    if not shared:
        held = (", ".join(area for area in AREAS if area in side.areas) for side in (old, new))
        raise _strangers(old, new, "the one holds {}, the other {}".format(*held))
    if old.only and old.only == new.only:
        return
    things = [(_things(old, area), _things(new, area)) for area in shared]
    if any(one and other for one, other in things) and not any(one & other for one, other in things):
        what = {"openapi": "no operation or schema", "providers": "no provider"}
        named = ", ".join(what.get(area, f"no name in {area}") for area in shared)
        raise _strangers(old, new, f"{named} of the one is in the other")


def _strangers(old: Side, new: Side, why: str) -> ReviewError:
    hint = "give two states of one spec, of one of its files, or of one OpenAPI document"
    return ReviewError(f"{old.label} and {new.label} have nothing in common: {why}", hint)


def _things(side: Side, area: str) -> set[object]:
    """What of a part is known by its name: enough to see whether two sides are the same thing."""
    spec = side.spec
    if area == "openapi":
        found: set[object] = {one for op in operations(spec.openapi) for one in (op.key, op.identifier)}
        # one file of a spec refers to components of all the others
        return found if side.only else found | set(spec.openapi.map("components").map("schemas"))
    if area == "providers":
        return {one.text(key) for one in spec.providers.values() for key in ("provider_type", "module")}
    if area == "config":
        return set(spec.config.map("components").map("schemas"))
    table = table_of(side, area)
    return {name for section in table for name in table.map(section)}


def _range(text: str) -> list[str]:
    from_fork = "..." in text
    before, _, after = text.partition("..." if from_fork else "..")
    before, after = before or "HEAD", after or "HEAD"
    if not from_fork:
        return [before, after]
    repository = _repository(text)
    shas = [_commit(repository, ref) for ref in (before, after)]
    base = git.merge_base(repository, *shas)
    if base is None:
        raise ReviewError(f"{before} and {after} have no commit in common")
    return [base, after]


def _read(text: str, path: str) -> Side:
    if Path(text).exists():
        return read_path(Path(text), text, path)
    repository = _repository(text)
    ref, colon, inside = text.partition(":")
    sha = _commit(repository, ref)
    wanted = inside.strip("/") if colon and inside else path.strip("/")
    folder = path.strip("/") if wanted.startswith(f"{path.strip('/')}/") else wanted
    label = text if ref == sha else f"{text} ({sha[:9]})"
    with tempfile.TemporaryDirectory(prefix="specstack-diff-") as temporary:
        target = Path(temporary)
        if not git.extract(repository, sha, folder, target) or not (target / wanted).exists():
            hint = "name the folder with --path" if not colon else "check the path behind the colon"
            raise ReviewError(f"{label} has no '{wanted}'", hint)
        return read_path(target / wanted, label, path)


def _repository(text: str) -> Path:
    found = git.toplevel(Path.cwd())
    if found is None:
        raise ReviewError(f"there is no file or folder '{text}', and {Path.cwd()} is not in a git repository")
    return found


def _commit(repository: Path, ref: str) -> str:
    sha = git.commit(repository, ref)
    if sha is None:
        raise ReviewError(
            f"'{ref}' is neither a file, a folder nor a git ref of {repository}",
            "`git fetch` brings refs of a remote; a shallow clone does not have them all",
        )
    return sha


def read_path(target: Path, label: str, path: str = "spec") -> Side:
    """The side that a folder or file is. Raises ReviewError when it is none or does not load."""
    if target.is_dir():
        root = next((one for one in (target, target / path) if (one / "openapi").is_dir()), None)
        if root is None:
            raise ReviewError(f"{label} is no spec folder: it has no openapi/ in it, nor in {path}/")
        return _folder(root, label)
    root = next((one for one in list(target.resolve().parents)[:4] if (one / "openapi").is_dir()), None)
    inside = target.resolve().relative_to(root).as_posix() if root is not None else ""
    if root is not None and inside.endswith(".yaml"):
        side = _folder(root, label)
        _select(side, inside)
        return side
    return _standalone(target, label)


def _folder(root: Path, label: str) -> Side:
    spec = read_spec(root)
    if spec.faults:
        raise _faulty(label, spec.faults)
    files = [path for path in root.rglob("*") if path.suffix in _SUFFIXES and path.is_file()]
    return Side(label, spec, texts=_texts(files, root))


def _texts(files: Iterable[Path], root: Path) -> dict[str, list[str]]:
    return {display_path(file, root): file.read_text("utf-8", "replace").splitlines() for file in files}


def _faulty(label: str, faults: list[SpecError]) -> ReviewError:
    first = sorted(faults, key=lambda fault: fault.pos)[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    message = f"{label} does not load: {first.pos}: {first.rule}: {first.message}{more}"
    return ReviewError(message, *([first.hint] if first.hint else []))


def _select(side: Side, inside: str) -> None:
    """Narrow a side to one file of its spec folder."""
    side.only = inside
    stem = inside.removesuffix(".yaml")
    if inside.startswith("openapi/"):
        side.areas = frozenset({"openapi"})
        if stem != f"openapi/{COMMON}":
            paths = side.spec.openapi.map("paths")
            kept = {path for path in paths if paths.at(path).file.endswith(f"/{inside}")}
            for path in [path for path in paths if path not in kept]:
                del paths[path]
    elif inside.startswith("providers/"):
        side.areas = frozenset({"providers"})
        name = stem.removeprefix("providers/")
        side.spec.providers = {key: one for key, one in side.spec.providers.items() if key == name}
    elif inside == "settings.yaml":
        side.areas = frozenset({"providers"})
    elif stem in AREAS:
        side.areas = frozenset({stem})
    else:
        raise ReviewError(
            f"{side.label}: nothing in {inside} is a promise to anybody, so there is nothing to compare"
        )


def _standalone(target: Path, label: str) -> Side:
    """A bundle, or one file of a spec that stands outside its folder."""
    root = target.resolve().parent
    value, faults = read_yaml(target.resolve(), root)
    if faults and target.suffix == ".json":
        value, faults = _json(target, faults)
    if faults:
        raise _faulty(label, faults)
    spec = Spec(root=root)
    side = Side(label, spec, texts=_texts([target.resolve()], root))
    if "openapi" in value:
        spec.openapi = value
        side.areas = frozenset({"openapi"})
        side.published = not any("x-serve" in node.value for node in spec.operations())
        _check_references(label, value)
        return side
    if "provider_type" in value:
        spec.providers = {target.stem: value}
        side.areas = frozenset({"providers"})
        if value.seq("settings"):
            raise ReviewError(f"{label} takes settings from settings.yaml, so give the whole spec folder")
        return side
    mark = "config" if "root" in value else next((area for key, area in _MARKS.items() if key in value), None)
    if mark is None:
        raise ReviewError(f"{label} is neither an OpenAPI document nor a file of a spec")
    if hasattr(spec, mark):
        setattr(spec, mark, value)
    spec.files[f"{mark}.yaml"] = value
    side.areas = frozenset({mark})
    return side


def _json(target: Path, faults: list[SpecError]) -> tuple[Map, list[SpecError]]:
    """JSON that YAML does not read alike; its values have no places."""
    try:
        value = positionless(json.loads(target.read_text("utf-8")))
    except (OSError, ValueError):
        return Map(), faults
    return (value, []) if isinstance(value, Map) else (Map(), faults)


def _check_references(label: str, document: Map) -> None:
    if not isinstance(document.get("paths"), Map):
        raise ReviewError(f"{label} has no paths, so it describes no API")
    for node in walk(document):
        if node.ref and not node.ref.startswith("#/"):
            where = node.value.at("$ref")
            raise ReviewError(
                f"{label} refers to another file: {where}: {node.ref}",
                "give the spec folder, or a bundle of it",
            )
        if node.ref and lookup(document, node.ref) is None:
            raise ReviewError(f"{label} does not load: {node.value.at('$ref')}: {node.ref} leads nowhere")


def table_of(side: Side, name: str) -> Map:
    """A file beside the OpenAPI documents, such as `storage`; empty where the side has none."""
    return side.spec.files.get(f"{name}.yaml", Map())
