"""Tool calling for models that were not trained for it: what the prompt says, what the grammar enforces."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from specstack_api.errors import InvalidToolChoice, InvalidValue, UnsupportedParameter
from specstack_providers.inline.inference.llama_grammar import Function, closed

Mode = Literal["text", "auto", "calls"]

_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}
_EXAMPLES = 3
_EXAMPLE_VALUES: Mapping[str, object] = {
    "boolean": True,
    "array": [],
    "object": {},
}


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions of a request, and whether the reply may be text, calls or either."""

    functions: tuple[Function, ...] = ()
    described: tuple[Mapping[str, Any], ...] = ()
    positions: tuple[int, ...] = ()
    mode: Mode = "text"
    several: bool = False

    def prompt(self) -> str:
        """What the system message says about them."""
        listed = "\n".join(json.dumps(each, ensure_ascii=False) for each in self.described)
        form = '{"name": function name, "arguments": {its arguments}}'
        if self.mode == "calls":
            return f"You call functions. Functions:\n{listed}\n\nReply only with {form}."
        return (
            f"You are a helpful assistant. You may call functions:\n{listed}\n\n"
            f"To call one, reply only with {form}. If no function fits, reply in plain words."
        )

    def examples(self) -> list[Mapping[str, Any]]:
        """Turns that show a small model both ways to answer, without which it hardly ever calls anything."""
        turns: list[Mapping[str, Any]] = [
            {"role": "user", "content": "Hello!"},
            {"role": "assistant", "content": "Hello! How can I help you?"},
        ]
        for function, described in list(zip(self.functions, self.described, strict=True))[:_EXAMPLES]:
            asked = described.get("description") or f"Call {function.name}."
            call = json.dumps({"name": function.name, "arguments": _example(function.schema)})
            turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": call}]
        return turns


def tools_of(body: Mapping[str, Any]) -> Tools:
    """The tools of a chat request.

    Raises `InvalidToolChoice` for a choice that no tool fits, `UnsupportedParameter` for custom tools and
    `InvalidValue` for two functions of one name.
    """
    tools = _functions(cast(list[Mapping[str, Any]], body.get("tools") or []))
    # A small model that may go on calling does, so several calls come only where they are asked for.
    several = body.get("parallel_tool_calls") is True
    return replace(_chosen(tools, body.get("tool_choice")), several=several)


def _functions(tools: Sequence[Mapping[str, Any]]) -> Tools:
    functions: list[Function] = []
    described: list[Mapping[str, Any]] = []
    for index, tool in enumerate(tools):
        if tool["type"] != "function":
            raise UnsupportedParameter(
                f"this model calls functions with JSON arguments only, not {tool['type']!r} tools",
                param=f"tools[{index}].type",
            )
        function = cast(Mapping[str, Any], tool["function"])
        name = cast(str, function["name"])
        if any(other.name == name for other in functions):
            raise InvalidValue(f"two tools have the name {name!r}", param=f"tools[{index}].function.name")
        given = cast(Mapping[str, Any] | None, function.get("parameters"))
        schema: Mapping[str, Any] = _NO_ARGUMENTS if given is None else given
        strict = function.get("strict") is True
        functions.append(Function(name, schema if strict else closed(schema), strict))
        shown = {key: function[key] for key in ("name", "description") if function.get(key)}
        described.append({**shown, "parameters": schema})
    return Tools(tuple(functions), tuple(described), tuple(range(len(functions))))


def _chosen(tools: Tools, choice: object) -> Tools:
    """`tools` cut down to what `tool_choice` admits."""
    if choice is None:
        return replace(tools, mode="auto" if tools.functions else "text")
    if isinstance(choice, str):
        if choice == "required" and not tools.functions:
            raise InvalidToolChoice("tool_choice is 'required' and there are no tools", param="tool_choice")
        if choice == "none" or not tools.functions:
            return Tools()
        return replace(tools, mode="calls" if choice == "required" else "auto")
    asked = cast(Mapping[str, Any], choice)
    if asked["type"] == "function":
        return replace(_only(tools, [asked["function"]["name"]], "tool_choice.function.name"), mode="calls")
    if asked["type"] == "allowed_tools":
        allowed = cast(Mapping[str, Any], asked["allowed_tools"])
        names = [str(_name_of(tool)) for tool in allowed["tools"]]
        kept = _only(tools, names, "tool_choice.allowed_tools.tools")
        if not kept.functions and allowed["mode"] == "required":
            raise InvalidToolChoice("tool_choice requires a tool and allows none", param="tool_choice")
        if not kept.functions:
            return Tools()
        return replace(kept, mode="calls" if allowed["mode"] == "required" else "auto")
    raise InvalidToolChoice(f"this model has no {asked['type']!r} tools to choose", param="tool_choice.type")


def _name_of(tool: Mapping[str, Any]) -> object:
    """The name in an entry of `allowed_tools`, None for one that names no function."""
    function = tool.get("function")
    return cast(Mapping[str, Any], function).get("name") if isinstance(function, Mapping) else None


def _only(tools: Tools, names: Sequence[str], param: str) -> Tools:
    """`tools` without those not named. Raises `InvalidToolChoice` for a name that no tool has."""
    known = [function.name for function in tools.functions]
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidToolChoice(f"tool_choice names {name!r}; the tools are: {there}", param=param)
    kept = [index for index, name in enumerate(known) if name in names]
    return Tools(
        tuple(tools.functions[index] for index in kept),
        tuple(tools.described[index] for index in kept),
        tuple(kept),
    )


def _example(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments that have the schema's form, as far as its required properties show it."""
    properties = cast(Mapping[str, Any], schema.get("properties") or {})
    names: list[str] = schema.get("required") or list(properties)
    return {name: _example_value(properties.get(name), place) for place, name in enumerate(names)}


def _example_value(schema: object, place: int) -> object:
    given: Mapping[str, Any] = cast(Mapping[str, Any], schema) if isinstance(schema, Mapping) else {}
    if given.get("enum"):
        return given["enum"][0]
    kind = given.get("type")
    if kind in ("integer", "number"):
        # Numbers of two digits that differ: a small model copies the length of what it saw.
        return 25 + 10 * place
    return _EXAMPLE_VALUES.get(kind, "example") if isinstance(kind, str) else "example"
