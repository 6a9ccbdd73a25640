"""Grammars in the form that the engine reads (LLGuidance's Lark): JSON by schema, and function calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROBE = "~!"
"""What a probing grammar writes first; no model would after a row of numbers."""

_MOST_CALLS = 8
_HEADER = "%llguidance {}\n"
# What small models write around a call when left to themselves: a code fence, a tag, spaces.
_LEAD = r"\s*(```(json)?)?\s*(<tool_call>)?\s*"
_NAME_KEY = r'\{\s*"name"\s*:\s*"'
_CLOSE = r"/\s{0,8}\}(\s?<\/tool_call>)?(\s?```)?/"


@dataclass(frozen=True, slots=True)
class Grammar:
    """Rules that define `main`."""

    rules: str

    def source(self) -> str:
        """For a generation."""
        return f"{_HEADER}start: main\n{self.rules}"

    def probe(self) -> str:
        """For finding out whether the engine reads the rules at all."""
        return f"{_HEADER}start: {json.dumps(PROBE)} main\n{self.rules}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called, and the schema of its arguments. `strict` admits no keyword unknown."""

    name: str
    schema: Mapping[str, Any]
    strict: bool = False


def json_grammar(schema: Mapping[str, Any] | bool, *, strict: bool) -> Grammar:
    """JSON that fits `schema`. Unless `strict`, keywords that the engine does not know are passed over."""
    return Grammar(f"main: {_json(schema, strict=strict)}\n")


def calls_grammar(functions: Sequence[Function], *, several: bool) -> Grammar:
    """One call, or with `several` one a line: `{"name": "f", "arguments": {…}}`."""
    more = r' ("\n" call)' + f"{{0,{_MOST_CALLS - 1}}}" if several else ""
    lines = [f"main: call{more}", _one_of("call", len(functions))]
    for index, function in enumerate(functions):
        head = json.dumps(f'{{"name": {json.dumps(function.name)}, "arguments": ')
        lines.append(f'call_{index}: {head} {_json(function.schema, strict=function.strict)} "}}"')
    return Grammar("\n".join(lines) + "\n")


def calls_or_text_grammar(
    functions: Sequence[Function], *, several: bool, instead: tuple[Mapping[str, Any], bool] | None = None
) -> Grammar:
    """Calls, or any text that does not begin as one. `instead` (schema, strict) makes the text JSON.

    Text that begins as the call of a function which there is not is ruled out too: small models like to
    invent names, and held to the real ones they mostly find the right one.
    """
    more = r" (/\s{1,4}/ call)" + f"{{0,{_MOST_CALLS - 1}}}" if several else ""
    text = rf"TEXT: /(.|\n)*/ & ~/{_LEAD}{_NAME_KEY}(.|\n)*/"
    if instead is not None:
        text = f"text: {_json(instead[0], strict=instead[1])}"
    lines = [
        f"main: calls | {text.partition(':')[0]}",
        f"calls: call{more}",
        _one_of("call", len(functions)),
        text,
        f"CLOSE: {_CLOSE}",
    ]
    for index, function in enumerate(functions):
        name = _escaped(json.dumps(function.name))
        # A schema's own JSON could begin as a call does, so there only the tag announces one.
        lead = r"<tool_call>\s?" if instead is not None else r"(```(json)?\s?)?(<tool_call>\s?)?"
        head = rf'{lead}\{{\s{{0,8}}"name"\s?:\s?{name}\s?,\s{{0,8}}"(arguments|parameters)"\s?:\s?'
        lines.append(f"HEAD_{index}: /{head}/")
        lines.append(f"call_{index}: HEAD_{index} {_json(function.schema, strict=function.strict)} CLOSE")
    return Grammar("\n".join(lines) + "\n")


def _one_of(rule: str, count: int) -> str:
    return f"{rule}: " + " | ".join(f"{rule}_{index}" for index in range(count))


def _escaped(text: str) -> str:
    """`text` as a literal part of a regular expression between slashes."""
    return "".join(char if char.isalnum() or char in "_- " else rf"\x{{{ord(char):x}}}" for char in text)


def _json(schema: Mapping[str, Any] | bool, *, strict: bool) -> str:
    """The rule for JSON that fits the schema, with spacing that leaves a small model no room to dither."""
    guidance = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        "lenient": not strict,
    }
    body: Mapping[str, Any] = {} if schema is True else {"not": {}} if schema is False else schema
    return "%json " + json.dumps({**body, "x-guidance": guidance})


def closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a function's arguments, without properties beyond those it lists.

    Only where the schema leaves that open and lists some: a small model would invent more.
    """
    opens = {
        "additionalProperties",
        "patternProperties",
        "unevaluatedProperties",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
    }
    if "properties" not in schema or opens & schema.keys():
        return {"type": "object", **schema} if "type" not in schema and not opens & schema.keys() else schema
    return {"type": "object", **schema, "additionalProperties": False}
