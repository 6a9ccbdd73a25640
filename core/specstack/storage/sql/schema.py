"""Which version the tables of a database have, and which this program knows: read without SQLAlchemy."""

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

VERSIONS = "specstack_schema"
"""The table, made by Alembic, with a row for the newest revision of each branch."""
COLUMN = "version_num"


@dataclass(frozen=True, slots=True)
class Branch:
    """The tables of one API: its revisions, oldest first, and the package that they are in."""

    api: str
    package: str
    revisions: tuple[str, ...]

    @property
    def newest(self) -> str:
        """The revision that the generated tables agree with."""
        return self.revisions[-1]


@dataclass(frozen=True, slots=True)
class Making:
    """What a backend is made for: its name, the branches of its tables, whether to bring those up to date."""

    name: str
    branches: tuple[Branch, ...]
    migrate: bool


@dataclass(slots=True)
class State:
    """A database beside what this program knows.

    `missing` are the revisions that are to be applied, by API and in order. `newer` are those in the database
    that this program does not have.
    """

    present: dict[str, str] = field(default_factory=dict[str, str])
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    newer: dict[str, str] = field(default_factory=dict[str, str])

    def behind(self, branches: Iterable[Branch]) -> str:
        """That the tables are older than this program, in words."""
        return f"are not up to date: {self.told(branches)}"

    def told(self, branches: Iterable[Branch]) -> str:
        """The version of each API's tables, in words."""
        return ", ".join(_told(branch, self.present.get(branch.api)) for branch in branches)


def branches(migrations: Mapping[str, str], apis: Iterable[str]) -> tuple[Branch, ...]:
    """The branches of APIs, from the package of each. Raises ValueError for revisions that do not fit."""
    return tuple(_branch(api, migrations[api]) for api in sorted(set(apis)))


def compare(known: Iterable[Branch], applied: Collection[str]) -> State:
    """What the revisions in a database lack. Those of APIs that are not asked about are left alone."""
    state = State()
    for branch in known:
        own = [revision for revision in applied if revision.rpartition("_")[0] == branch.api]
        at = -1
        for revision in own:
            state.present[branch.api] = revision
            if revision in branch.revisions:
                at = branch.revisions.index(revision)
            else:
                state.newer[branch.api] = revision
        if branch.api not in state.newer and at + 1 < len(branch.revisions):
            state.missing[branch.api] = branch.revisions[at + 1 :]
    return state


class NewerTables(Exception):
    """A database has tables of a version that this program does not know."""

    def __init__(self, state: State, known: Iterable[Branch]) -> None:
        told = state.told([branch for branch in known if branch.api in state.newer])
        hint = "install the newer one, or name another database"
        super().__init__(f"its tables are newer than this specstack: {told}; {hint}")


@cache
def _branch(api: str, package: str) -> Branch:
    above: dict[str | None, str] = {}
    root = ""
    for file in resources.files(package).iterdir():
        if not file.name.endswith(".py"):
            continue
        facts = _facts(file.read_text(encoding="utf-8"))
        revision, below, labels = (facts.get(key) for key in ("revision", "down_revision", "branch_labels"))
        if not isinstance(revision, str) or revision.rpartition("_")[0] != api:
            continue
        if below is not None and not isinstance(below, str):
            raise ValueError(f"{package}: {file.name}: a revision follows one other")
        if below in above:
            raise ValueError(f"{package}: {file.name} and {above[below]}.py follow the same revision")
        above[below] = revision
        if below is None:
            root = revision if isinstance(labels, tuple) and api in labels else root
    if not root:
        raise ValueError(f"{package}: no first revision has the branch label {api!r}")
    found: list[str] = [root]
    while found[-1] in above:
        found.append(above[found[-1]])
    return Branch(api, package, tuple(found))


def _facts(source: str) -> dict[str, object]:
    """The constants at the top of a module."""
    found: dict[str, object] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _told(branch: Branch, present: str | None) -> str:
    if present is None:
        return f"{branch.api} has none, the newest is {branch.newest}"
    if present == branch.newest:
        return f"{branch.api} is at {present}, the newest"
    return f"{branch.api} is at {present}, the newest here is {branch.newest}"
