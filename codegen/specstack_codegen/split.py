"""Cuts the one text of all models into modules, one per API, each with the imports it needs.

Also the post-pass: rebuild lines go (they undo deferred building), docstrings are wrapped, forward references
that are none lose their quotes.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from specstack_codegen import naming
from specstack_codegen.models import UPLOAD_ALIAS, WIRE, GeneratorError, Models


@dataclass
class Definition:
    """One class or type alias: its source, the names it uses, and the module it goes to."""

    name: str
    source: str
    uses: frozenset[str]
    home: str


@dataclass
class Module:
    """One module of models. `imports` maps a source module to the names needed from it."""

    name: str
    definitions: list[Definition] = field(default_factory=list[Definition])
    imports: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    @property
    def import_lines(self) -> list[str]:
        return [
            f"from {source} import {', '.join(sorted(names))}"
            for source, names in sorted(self.imports.items())
        ]


def split_models(
    models: Models, homes: Mapping[str, str], descriptions: Mapping[str, str], package: str
) -> dict[str, Module]:
    """The modules by name. `homes` says where each component goes; helpers follow the one they came from.

    Raises GeneratorError when a component has no definition of its own name, or modules import in a ring.
    """
    tree = ast.parse(models.text)
    lines = models.text.splitlines()
    external = _imports(tree)
    all_homes = {**homes, **{helper: homes[owner] for helper, owner in models.owners.items()}}
    statements = [node for node in tree.body if _name_of(node)]
    defined = {_name_of(node) for node in statements}
    _check_names(defined, set(all_homes))
    modules: dict[str, Module] = {}
    earlier: set[str] = set()
    for node in statements:
        name = _name_of(node)
        source = _source(node, lines, earlier, models.fillable)
        uses = frozenset(_names_used(ast.parse(source).body[0]))
        if isinstance(node, ast.Assign) and name in descriptions:
            source = f"{source}\n{naming.docstring(descriptions[name])}"
        home = all_homes[name]
        modules.setdefault(home, Module(home)).definitions.append(Definition(name, source, uses, home))
        earlier.add(name)
    for module in modules.values():
        _add_imports(module, external, all_homes, package)
    _check_rings(modules, package)
    return dict(sorted(modules.items()))


def _imports(tree: ast.Module) -> dict[str, str]:
    """Name -> module of everything that the text imports."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: node.module for alias in node.names})
    return {"JsonInt": WIRE, "Field": "pydantic", "Annotated": "typing", "Union": "typing", **found}


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _names_used(node: ast.stmt) -> Iterable[str]:
    """Names in a definition's code, quoted type expressions included, literals and docstrings left out."""
    stack: list[ast.AST] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.Name):
            yield current.id
        elif isinstance(current, ast.Constant) and isinstance(current.value, str):
            yield from _quoted_names(current.value)
        if isinstance(current, ast.Expr):
            continue
        if (
            isinstance(current, ast.Subscript)
            and isinstance(current.value, ast.Name)
            and current.value.id == "Literal"
        ):
            yield "Literal"
            continue
        if (
            isinstance(current, ast.Call)
            and isinstance(current.func, ast.Name)
            and current.func.id in ("Tag", "tag_of")
        ):
            yield current.func.id
            continue
        if isinstance(current, ast.keyword):
            stack.append(current.value) if not isinstance(current.value, ast.Constant) else None
            continue
        stack.extend(ast.iter_child_nodes(current))


def _quoted_names(text: str) -> Iterable[str]:
    try:
        expression = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            yield node.id


def _source(node: ast.stmt, lines: list[str], earlier: set[str], fillable: frozenset[str]) -> str:
    """The text of a definition after the post-pass."""
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    own = lines[first:last]
    if isinstance(node, ast.ClassDef):
        _tidy_class(node, own, first, fillable)
    text = "\n".join(own)
    text = re.sub(r"\bStrictInt\b", "JsonInt", text)
    if isinstance(node, ast.Assign):
        text = re.sub(r'(?<=[\[ ])"(\w+)"(?=[,\]])', lambda m: m[1] if m[1] in earlier else m[0], text)
    return text


def _tidy_class(node: ast.ClassDef, own: list[str], first: int, fillable: frozenset[str]) -> None:
    """Wraps the docstrings of a class and its fields, drops needless settings, fills in absent parts."""
    kept = 0
    for statement in reversed(node.body):
        start, end = statement.lineno - 1 - first, (statement.end_lineno or statement.lineno) - first
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            text = statement.value.value
            if isinstance(text, str):
                own[start:end] = f"    {naming.docstring(inspect.cleandoc(text), 4)}".split("\n")
                kept += 1
        elif isinstance(statement, ast.Assign) and ast.unparse(statement).endswith(
            "arbitrary_types_allowed=True)"
        ):
            del own[start:end]
        else:
            kept += 1
            optional = re.fullmatch(r"(\w+): (\w+) \| None = None", ast.unparse(statement))
            if optional and optional[2] in fillable:
                own[start:end] = [f"    {optional[1]}: {optional[2]} = Field(default_factory={optional[2]})"]
    if not kept:
        own.append("    pass")


def _add_imports(module: Module, external: Mapping[str, str], homes: Mapping[str, str], package: str) -> None:
    for definition in module.definitions:
        for name in definition.uses:
            if name in homes:
                if homes[name] != module.name:
                    module.imports.setdefault(f"{package}.{homes[name]}", set()).add(name)
            elif name in external:
                shown = f"Upload as {name}" if name == UPLOAD_ALIAS else name
                module.imports.setdefault(external[name], set()).add(shown)


def _check_names(defined: set[str], wanted: set[str]) -> None:
    lost, invented = sorted(wanted - defined), sorted(defined - wanted)
    if lost or invented:
        raise GeneratorError(
            f"the model generator did not keep to the components' names: without a class are {lost}, "
            f"without a component {invented}; name the inline schemas of those components"
        )


def _check_rings(modules: Mapping[str, Module], package: str) -> None:
    """Modules that import each other cannot be loaded; the way out is common.yaml."""
    prefix = f"{package}."
    needs = {
        name: {source.removeprefix(prefix) for source in module.imports if source.startswith(prefix)}
        for name, module in modules.items()
    }
    done: set[str] = set()
    while ready := {name for name, others in needs.items() if name not in done and others <= done}:
        done |= ready
    ring = sorted(set(needs) - done)
    if ring:
        raise GeneratorError(
            f"the components of {', '.join(ring)} refer to each other in a ring across files; "
            "move those that several of them need to common.yaml"
        )
