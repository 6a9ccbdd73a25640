"""Locked requirements for some providers: the part of the project's lock file that they need."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from specstack.descriptors import GeneratedServer
from specstack.startup import StartupError

PROJECT = "specstack"
LOCK = "image.txt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_OWN = re.compile(rf"{PROJECT}\[([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of a lock file: its lines with version and hashes, and which packages asked for it."""

    name: str
    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def extras_of(types: Mapping[str, Iterable[str]], server: GeneratedServer) -> list[str]:
    """The extras of provider types by API."""
    from specstack.config import load_reference

    registry = load_reference(server.providers)
    found = {registry[api, name].extra for api, names in types.items() for name in names}
    return sorted(found - {""})


def requirements_of(extras: Iterable[str] = ()) -> list[str]:
    """What the project's metadata ask for: always, and for these extras. Raises StartupError."""
    declared = _declared()
    found = list(declared[""])
    for extra in extras:
        if extra not in declared:
            raise StartupError(f"{PROJECT} has no extra '{extra}'; there are: {', '.join(sorted(declared))}")
        for one in declared[extra]:
            own = _OWN.match(one)
            found += requirements_of(own[1].split(","))[len(declared[""]) :] if own else [one]
    return found


def needed(packages: Mapping[str, Locked], requirements: Iterable[str]) -> list[Locked]:
    """The packages that the requirements need, directly or not, in the order of the lock file.

    Raises StartupError for one that is not locked.
    """
    wanted = {canonical(one) for one in requirements}
    missing = sorted(wanted - set(packages))
    if missing:
        raise StartupError(f"the lock file has no {', '.join(missing)}; renew it with `make lock`")
    grown = True
    while grown:
        more = {name for name, one in packages.items() if name not in wanted and one.wanted_by & wanted}
        wanted |= more
        grown = bool(more)
    return [one for name, one in packages.items() if name in wanted]


def read_lock(text: str) -> dict[str, Locked]:
    """The packages of a lock file as `uv pip compile` writes it with hashes and annotations."""
    found: dict[str, Locked] = {}
    block: list[str] = []
    for line in [*text.splitlines(), "end"]:
        if block and not line.startswith((" ", "#")):
            one = _locked(block)
            # A package may stand there in several versions, each for some versions of Python.
            other = found.get(one.name)
            found[one.name] = _both(other, one) if other else one
            block = []
        if line and (block or not line.startswith("#")):
            block.append(line)
    return found


def find_lock() -> str:
    """The lock file of an installed specstack, or of the checkout that it runs from. Raises StartupError."""
    installed = resources.files("specstack_distributions") / "requirements.txt"
    checkout = _root() / "requirements" / LOCK
    for one in (installed, checkout):
        if one.is_file():
            return one.read_text("utf-8")
    raise StartupError("no lock file came with this specstack; build from a checkout or an installed wheel")


def canonical(requirement: str) -> str:
    """The name that a requirement begins with, as indexes compare it."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match.group()).lower() if match else ""


def _locked(block: list[str]) -> Locked:
    lines = tuple(line for line in block if not line.lstrip().startswith("#"))
    said = " ".join(line.lstrip(" #") for line in block if line.lstrip().startswith("#"))
    parents = (canonical(one) for one in said.removeprefix("via").replace("(pyproject.toml)", "").split())
    return Locked(canonical(block[0]), lines, frozenset(parents) - {PROJECT})


def _both(one: Locked, other: Locked) -> Locked:
    return Locked(one.name, one.lines + other.lines, one.wanted_by | other.wanted_by)


def _declared() -> dict[str, list[str]]:
    """Requirements by extra; "" has those without."""
    pyproject = _root() / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
        return {"": project["dependencies"], **project["optional-dependencies"]}
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        raise StartupError(f"{PROJECT} is not installed and runs from no checkout") from None
    found: dict[str, list[str]] = {"": []}
    for extra in metadata.metadata(PROJECT).get_all("Provides-Extra") or []:
        found[extra] = []
    for line in lines:
        match = _EXTRA.search(line)
        found[match[1] if match else ""].append(line.partition(";")[0].strip())
    return found


def _root() -> Path:
    """The checkout's root, where this file is in one."""
    return Path(__file__).resolve().parents[3]
