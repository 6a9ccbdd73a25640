"""What every operation that is counted against quotas has besides what its own file says.

`x-counted` of common.yaml names the components: a reply by its status, headers of successful replies, and
those of operations that tell tokens (`x-usage`). Public operations are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.source import Map, Position, SpecError
from specstack_codegen.walk import METHODS

KEY = "x-counted"
_SECTIONS = {"responses": "responses", "headers": "headers", "token_headers": "headers"}


def counted_references(common: Map) -> list[str]:
    """What `x-counted` names, as references into the bundle."""
    rules = common.map(KEY)
    return [
        f"#/components/{section}/{component}"
        for key, section in _SECTIONS.items()
        for component in rules.map(key).values()
    ]


def add_counted(common: Map, bundle: Map) -> Iterator[SpecError]:
    """Put replies and headers into the bundle's operations; gives what `x-counted` names in vain."""
    rules, components = common.map(KEY), bundle.map("components")
    for key, section in _SECTIONS.items():
        for name, component in rules.map(key).items():
            if not isinstance(component, str) or component not in components.map(section):
                pos, message = rules.map(key).at(name), f"there is no component {component!r} in {section}"
                hint = f"define it under components.{section} of common.yaml"
                yield SpecError("counted-components", pos, message, hint)
    for item in bundle.map("paths").values():
        for method in METHODS:
            operation = item.get(method) if isinstance(item, Map) else None
            if isinstance(operation, Map) and operation.get("x-public") is not True:
                _complete(operation, rules)


def _complete(operation: Map, rules: Map) -> None:
    responses = operation.map("responses")
    for status, response in responses.items():
        if status.startswith("2") and isinstance(response, Map) and "$ref" not in response:
            headers = response.map("headers")
            _add(headers, rules.map("headers"), "headers")
            if "x-usage" in operation:
                _add(headers, rules.map("token_headers"), "headers")
            if headers and "headers" not in response:
                response.put("headers", headers, headers.pos)
    before = list(responses)
    _add(responses, rules.map("responses"), "responses")
    if list(responses) != before:
        _sort(responses)


def _add(target: Map, named: Map, section: str) -> None:
    for key, component in named.items():
        if key not in target:
            pos = named.at(key)
            target.put(key, _reference(f"#/components/{section}/{component}", pos), pos)


def _reference(target: str, pos: Position) -> Map:
    found = Map(pos=pos)
    found.put("$ref", target, pos)
    return found


def _sort(responses: Map) -> None:
    """By status, `default` at the end."""
    ordered = sorted(responses.items(), key=lambda one: (one[0] == "default", one[0]))
    responses.clear()
    responses.update(ordered)
