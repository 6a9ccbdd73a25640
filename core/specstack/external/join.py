"""The server of a run config: the installed one with the providers and APIs that join it from outside."""

import sys
from importlib import import_module, invalidate_caches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from specstack import __version__
from specstack.config_values import Fault, place
from specstack.descriptors import GeneratedServer
from specstack.external.folders import Generated, code_of, spec_files
from specstack.external.parts import Part, conflicts, with_parts
from specstack.external.registry import provider_types
from specstack.positions import Map
from specstack.startup import StartupError, told

GROUP = "specstack.external"
"""The entry points of installed packages that add to a server; each names its `SERVER`."""
EXTERNAL_KEYS = ("external_providers_dir", "external_apis_dir")


def joined(
    server: GeneratedServer, root: Map, folder: Path
) -> tuple[GeneratedServer, list[Fault], list[str]]:
    """The server with what installed packages and the folders of a run config add.

    `root` is the substituted run config; paths in it are relative to `folder`. Gives the faults of its keys
    as well, and lines about what is wrong elsewhere.
    """
    parts, lines = _installed()
    faults: list[Fault] = []
    for key in EXTERNAL_KEYS:
        written = root.get(key)
        if not isinstance(written, str) or not written:
            continue
        try:
            parts.append(_of_folder(key, folder / Path(written).expanduser(), server.generator))
        except StartupError as error:
            faults += [place(root, (key,), line) for line in error.lines]
    if parts:
        lines += conflicts(server, (claim for part in parts for claim in part.claims()))
    if not parts or lines or faults:
        return server, faults, lines
    return with_parts(server, parts), [], []


def _installed() -> tuple[list[Part], list[str]]:
    parts: list[Part] = []
    lines: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        name = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.name
        try:
            parts.append(Part(_fitting(_loaded(entry)), f"the package {name}"))
        except StartupError as error:
            lines += [
                f"the package {name}: {line}; install one that fits, or remove it" for line in error.lines
            ]
    return parts, lines


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise StartupError(f"{entry.value} cannot be loaded: {told(error)}") from None


def _fitting(found: Any) -> GeneratedServer:
    """Raises StartupError for what was not generated to join this version of the server."""
    if not isinstance(found, GeneratedServer) or not found.made_for:
        raise StartupError("its entry point is no SERVER that `specstack generate --external` has made")
    if _series(found.made_for) != _series(__version__):
        raise StartupError(f"it was generated for specstack {found.made_for}, and this is {__version__}")
    return found


def _series(version: str) -> list[str]:
    return version.split(".")[:2]


def _of_folder(key: str, root: Path, generator: str) -> Part:
    root = root.resolve()
    if not root.is_dir():
        raise StartupError(f"there is no directory {root}")
    _check_kind(key, root)
    code, why = code_of(root, generator)
    if code is None:
        raise StartupError(f"{why}; run: specstack generate --external {quote(str(root))}")
    server = _imported(code, root)
    _check_modules(server, root)
    return Part(server, str(root), str(root))


def _check_kind(key: str, root: Path) -> None:
    """Raises StartupError where a folder is not what its key says."""
    files = spec_files(root)
    has_apis = any(name.startswith("openapi/") for name in files)
    wants_apis = key == EXTERNAL_KEYS[1]
    if has_apis and not wants_apis:
        raise StartupError(f"{root} holds APIs; name it under {EXTERNAL_KEYS[1]}")
    if wants_apis and not has_apis:
        other = f"; name it under {EXTERNAL_KEYS[0]}" if files else ""
        raise StartupError(f"{root} has no openapi/<api>.yaml{other}")
    if not files:
        raise StartupError(f"{root} has no <api>/<name>.yaml of a provider")


def _imported(code: Generated, root: Path) -> GeneratedServer:
    """The package, with its folder and the spec's own on the path, behind all that is installed."""
    for one in (str(code.out), str(root)):
        if one not in sys.path:
            sys.path.append(one)
    invalidate_caches()
    name = f"{code.package}_server"
    try:
        module = import_module(name)
    except Exception as error:
        raise StartupError(f"{code.out / name} cannot be imported: {told(error)}") from None
    home = Path(str(module.__file__)).resolve().parent.parent
    if home != code.out.resolve():
        hint = f"generate with another --package than {code.package}, or start a new process"
        raise StartupError(f"{name} is loaded already, from {home}; {hint}")
    return module.SERVER


def _check_modules(server: GeneratedServer, root: Path) -> None:
    """Raises StartupError for code in the folder that another module of its name would be taken for."""
    modules = [spec.module for spec in provider_types(server).values()]
    lines: list[str] = []
    for name in sorted({one.partition(".")[0] for one in (*modules, *server.services.values())}):
        own = next((path for path in (root / name, root / f"{name}.py") if path.exists()), None)
        if own is None:
            continue
        found = find_spec(name)
        places = [*(found.submodule_search_locations or ()), found.origin or "python itself"] if found else []
        if not any(Path(place).is_relative_to(root) for place in places):
            lines.append(f"{own} is hidden by another module, {places[-1]}; give it another name")
    if lines:
        raise StartupError(*lines)
