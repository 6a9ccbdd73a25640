"""Rules about paths: their parameters, their aliases, and that no request fits two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import view
from specstack_codegen.lint_rules.registry import Finding, rule
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import Node

_PARAM = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class _Template:
    """A path template in segments, None for a parameter. `greedy`: the last one takes the rest."""

    path: str
    segments: tuple[str | None, ...]
    greedy: bool
    pos: Position
    methods: frozenset[str]


def _names(path: str) -> list[str]:
    return _PARAM.findall(path)


def _template(spec: Spec, node: Node, path: str, pos: Position) -> _Template:
    greedy = {
        name for (place, name), value in view.parameters(spec, node).items() if _is_greedy(place, value)
    }
    segments = tuple(None if "{" in part else part for part in path.strip("/").split("/"))
    last = _names(path.rsplit("/", 1)[-1])
    return _Template(path, segments, bool(last) and last[0] in greedy, pos, frozenset({node.name}))


def _is_greedy(place: str, param: Map) -> bool:
    return place == "path" and bool(param.get("x-greedy"))


@rule("path-parameters")
def path_parameters(spec: Spec) -> Iterator[Finding]:
    """Every `{name}` of a path is a whole segment and a required path parameter, and the other way round."""
    for node in spec.operations():
        path = view.path_of(node)
        pos = spec.openapi.map("paths").at(path)
        declared = {
            name: param for (place, name), param in view.parameters(spec, node).items() if place == "path"
        }
        if re.search(r"[^/]\{|\}[^/]", path):
            yield Finding(pos, f"a parameter of {path} is only part of a segment", "let it fill the segment")
        for name in sorted(set(_names(path)) - declared.keys()):
            hint = f"add {{name: {name}, in: path, required: true, schema: {{type: string}}}}"
            yield Finding(
                node.value.pos, f"{view.label(node)} does not describe the parameter {name!r}", hint
            )
        for name, param in declared.items():
            if name not in _names(path):
                hint = "remove it, or put it into the path"
                yield Finding(param.pos, f"the path {path} has no parameter {name!r}", hint)
            elif param.get("required") is not True:
                yield Finding(
                    param.at("required"), f"the path parameter {name!r} is not required", "required: true"
                )


@rule("path-prefix")
def path_prefix(spec: Spec) -> Iterator[Finding]:
    """Every path begins with the API's `x-api.prefix`, if it has one, and never ends with a slash."""
    for document in spec.apis.values():
        prefix = document.map("x-api").text("prefix")
        for path in document.map("paths"):
            pos = document.map("paths").at(path)
            if not path.startswith(f"{prefix}/") or path.endswith("/"):
                hint = f"write a path that begins with {prefix or ''}/ and does not end with a slash"
                yield Finding(pos, f"the path {path!r} has the wrong form", hint)


@rule("greedy-last")
def greedy_last(spec: Spec) -> Iterator[Finding]:
    """A greedy parameter is a path parameter and the last segment: it takes all the rest of the path."""
    for node in spec.operations():
        for (place, name), param in view.parameters(spec, node).items():
            if not param.get("x-greedy"):
                continue
            pos = param.at("x-greedy")
            if place != "path":
                yield Finding(pos, f"the {place} parameter {name!r} is greedy", "only path parameters can be")
            for path in [view.path_of(node), *(str(alias) for alias in node.value.seq("x-aliases"))]:
                if f"{{{name}}}" in path and not path.endswith(f"/{{{name}}}"):
                    hint = "put it at the end of the path, or remove x-greedy"
                    yield Finding(
                        pos, f"the greedy parameter {name!r} is not the last segment of {path}", hint
                    )


@rule("alias-form")
def alias_form(spec: Spec) -> Iterator[Finding]:
    """An alias is a path like the operation's own: the same parameters, no query, another text."""
    for node in spec.operations():
        path, aliases = view.path_of(node), node.value.seq("x-aliases")
        seen = {path}
        for index, alias in enumerate(str(item) for item in aliases):
            pos = aliases.at(index)
            if not re.fullmatch(r"(/[^/?#{}]+|/\{[^/{}]+\})+", alias):
                yield Finding(
                    pos, f"the alias {alias!r} is no path", "write /<segment>/{<parameter>}… without a query"
                )
            elif sorted(_names(alias)) != sorted(_names(path)):
                names = ", ".join(_names(path)) or "none"
                yield Finding(
                    pos, f"the alias {alias!r} has other parameters than {path}", f"its parameters: {names}"
                )
            elif alias in seen:
                yield Finding(pos, f"the alias {alias!r} says nothing new", "remove it")
            seen.add(alias)


@rule("path-ambiguity")
def path_ambiguity(spec: Spec) -> Iterator[Finding]:
    """No request path fits two templates, aliases included, unless one of them is plainly the more exact.

    `/models/search` beside `/models/{id}` is fine: text wins over a parameter. `/a/{x}/c` beside `/a/b/{y}`
    is not, nor is anything that an id with slashes could look like.
    """
    templates = list(_templates(spec))
    buckets: dict[str | None, list[_Template]] = {}
    for template in templates:
        buckets.setdefault(template.segments[0], []).append(template)
    if None in buckets:
        buckets = {"": templates}
    for bucket in buckets.values():
        for index, one in enumerate(bucket):
            for other in bucket[:index]:
                fault = _clash(one, other)
                if fault:
                    yield Finding(one.pos, *fault)


def _templates(spec: Spec) -> Iterator[_Template]:
    """Every path and every alias as a template; equal ones with different methods are one."""
    merged: dict[str, _Template] = {}
    clashes: list[_Template] = []
    for node in spec.operations():
        own = view.path_of(node)
        aliases = node.value.seq("x-aliases")
        places = [
            (own, spec.openapi.map("paths").at(own)),
            *((str(a), aliases.at(i)) for i, a in enumerate(aliases)),
        ]
        for path, pos in places:
            template = _template(spec, node, path, pos)
            known = merged.get(path)
            if known is None:
                merged[path] = template
            elif template.methods & known.methods and pos != known.pos:
                clashes.append(template)
            else:
                methods = known.methods | template.methods
                merged[path] = _Template(
                    path, known.segments, known.greedy or template.greedy, known.pos, methods
                )
    yield from merged.values()
    yield from clashes


def _clash(one: _Template, other: _Template) -> tuple[str, str] | None:
    if not _overlap(one, other):
        return None
    where = f"{one.path} and {other.path} (at {other.pos})"
    if one.path == other.path:
        return f"{where} are the same path for the same method", "remove one of the two"
    if _shape(one) == _shape(other):
        return f"{where} differ only in the names of their parameters", "use the same names in both"
    if _more_exact(one, other) or _more_exact(other, one):
        return None
    return f"a request can fit both {where}", "change the text of one of the two paths"


def _shape(template: _Template) -> tuple[object, ...]:
    return (template.segments, template.greedy)


def _overlap(one: _Template, other: _Template) -> bool:
    """Whether some path fits both."""
    short, long = sorted((one, other), key=lambda template: len(template.segments))
    if len(short.segments) < len(long.segments) and not short.greedy:
        return False
    pairs = zip(short.segments, long.segments, strict=False)
    return all(a is None or b is None or a == b for a, b in pairs)


def _more_exact(one: _Template, other: _Template) -> bool:
    """Whether `one` has text wherever the two differ, also where a greedy parameter of `other` begins."""
    if one.greedy and len(one.segments) < len(other.segments):
        return False
    swallowing = {len(template.segments) - 1 for template in (one, other) if template.greedy}
    for index, there in enumerate(other.segments):
        here = one.segments[index] if index < len(one.segments) else None
        if here is None and there is not None:
            return False
        if here is None and index in swallowing:
            return False
    return True
