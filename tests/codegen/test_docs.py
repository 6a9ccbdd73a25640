"""The reference pages: all that the spec says is there, links lead somewhere, examples fit."""

import ast
import json
import re
import shlex
from typing import Any

import jsonschema
import pytest
import yaml

from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.emit import EMITTERS
from specstack_codegen.emit.docs_operations import served
from specstack_codegen.emit.docs_schema import Pages
from specstack_codegen.ir import Ir, Key, Serve
from support.codegen import SPECS

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_CURL = re.compile(r"```sh\n(.*?)\n```", re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")


@pytest.fixture(scope="module", params=SPECS)
def made(request: pytest.FixtureRequest) -> tuple[Ir, dict[str, str]]:
    root, package = SPECS[request.param]
    ir = build_ir(load_spec(root), package)
    return ir, EMITTERS["docs"](ir)


def test_every_link_leads_somewhere(made: tuple[Ir, dict[str, str]]) -> None:
    _, pages = made
    anchors = {page: set(_ANCHOR.findall(text)) for page, text in pages.items()}
    broken: list[str] = []
    for page, text in pages.items():
        for target in _LINK.findall(text):
            if target.startswith("http"):
                continue
            path, _, anchor = target.partition("#")
            full = _joined(page, path) if path else page
            if full not in pages or (anchor and anchor not in anchors[full]):
                broken.append(f"{page}: {target}")
    assert broken == []


def _joined(page: str, relative: str) -> str:
    parts = page.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def test_every_table_row_has_the_columns_of_its_head(made: tuple[Ir, dict[str, str]]) -> None:
    for page, text in made[1].items():
        width = 0
        for line in text.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            columns = len(_CELL.findall(line))
            width = width or columns
            assert columns == width, f"{page}: {line}"


def test_every_operation_parameter_field_and_refusal_is_told(made: tuple[Ir, dict[str, str]]) -> None:
    ir, pages = made
    for api in ir.apis:
        text = pages[f"docs/apis/{api.name}.md"]
        for op in api.operations:
            section = text.split(f'<a id="{op.id.lower()}"></a>')[1].split('<a id="')[0]
            assert f"`{op.method} {op.path}` · `{op.id}` · {op.stability}" in section
            wanted = [*(f"| `{param.name}` |" for param in op.params), *(f"`{path}`" for path in op.aliases)]
            wanted += [f"| `{code}` |" for code in op.refusals]
            wanted += [f"`{one.header}`" for one in op.variants]
            wanted += ["WebSocket"] if op.websocket else []
            wanted += [f"ends with `{op.stream.end}`"] if op.stream and op.stream.end else []
            wanted += [f"at most {op.body.limit} bytes"] if op.body and op.body.limit else []
            assert [one for one in wanted if one not in section] == [], op.id


def test_every_component_provider_and_error_has_its_place(made: tuple[Ir, dict[str, str]]) -> None:
    ir, pages = made
    text = "\n".join(pages.values())
    params = {op.params_model for api in ir.apis for op in api.operations}
    for name in ir.schemas.keys() - params:
        assert f'<a id="model-{name.lower()}"></a>' in text, name
    for provider in ir.providers:
        page = pages[f"docs/{provider.source.removesuffix('.yaml')}.md"]
        assert f"# {provider.provider_type}\n" in page
        for name in provider.config.get("properties", {}):
            assert f"| `{name}` |" in page
        assert f"]({provider.source.removesuffix('.yaml')}.md)" in pages["docs/index.md"]
    assert ir.errors is not None
    for kind in ir.errors.kinds:
        assert f"| {kind.status} | `{kind.code}` | `{kind.type}` |" in pages["docs/errors.md"]


def test_the_client_page_shows_what_there_is_and_nothing_else(made: tuple[Ir, dict[str, str]]) -> None:
    ir, pages = made
    page = pages["docs/python-client.md"]
    operations = [op for api in ir.apis for op in api.operations]
    paged = any(op.pagination and op.pagination.style == "cursor" for op in operations)
    assert ("## Lists in pages" in page) == paged
    assert ("## Files" in page) == any(op.is_binary for op in operations)
    assert ("## WebSockets" in page) == any(op.websocket for op in operations)
    assert ("## Streams" in page) == any(op.stream and op.stream.when for op in operations)
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        compile(code.replace("…", "..."), "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_samples_are_run_configs(made: tuple[Ir, dict[str, str]]) -> None:
    ir, pages = made
    for provider in ir.providers:
        page = pages[f"docs/{provider.source.removesuffix('.yaml')}.md"]
        sample = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
        (entry,) = sample["providers"][provider.api]
        assert entry["provider_type"] == provider.provider_type
        assert entry["config"] == dict(provider.sample)


def test_secrets_are_named_as_such() -> None:
    root, package = SPECS["fixture"]
    page = EMITTERS["docs"](build_ir(load_spec(root), package))["docs/providers/crates/inline_shelf.md"]
    assert "| `token` | secret |" in page


def test_curl_examples_fit_the_schema(made: tuple[Ir, dict[str, str]]) -> None:
    """Each example is one shell command, and its JSON body is valid for the operation's schema."""
    ir, pages = made
    document = {"components": {"schemas": dict(ir.schemas)}}
    checked = 0
    for api in ir.apis:
        text = pages[f"docs/apis/{api.name}.md"]
        for op in api.operations:
            section = text.split(f'<a id="{op.id.lower()}"></a>')[1]
            found = _CURL.search(section)
            assert found, op.id
            words = shlex.split(found[1].replace("\\\n", " "))
            assert words[0] == "curl" and "{" not in words[2], words
            if op.body is None or (not op.body.is_json and "application/json" not in op.body.media):
                continue
            body = json.loads(words[words.index("-d") + 1])
            schema = {"$ref": f"#/components/schemas/{op.body.model}", **document}
            jsonschema.Draft202012Validator(schema).validate(body)
            checked += 1
    assert checked > 2


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["integer", "null"]}, "integer or null"),
        ({"const": "x"}, '`"x"`'),
        ({"enum": ["a", 1]}, '`"a"` or `1`'),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "list of (string or null)"),
        ({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/A"}}, "map of [A](#a)"),
        ({"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]}, "[A](#a) or null"),
        ({"type": "string", "format": "binary"}, "file"),
        ({}, "any value"),
    ],
)
def test_types_in_words(schema: dict[str, Any], text: str) -> None:
    pages = Pages({"A": {"type": "object"}}, lambda name: f"#{name.lower()}")
    assert pages.type(schema) == text


def test_limits_and_pipes_in_a_row() -> None:
    schema = {
        "type": "string",
        "minLength": 1,
        "maxLength": 5,
        "pattern": "^a|b$",
        "description": "One\n  two.",
    }
    row = Pages({}, str).row("name", {**schema, "default": "a|b"}, required=True)
    assert row.description == "One two. (not empty, at most 5 long, pattern `^a\\|b$`)"
    assert (row.default, row.required) == ('`"a\\|b"`', "yes")


def test_examples_end_where_schemas_do_not() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "required": ["next", "many"],
        "properties": {
            "next": {"$ref": "#/components/schemas/Node"},
            "many": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
    }
    assert "next" in Pages({"Node": node}, str).example(node)


def test_who_serves_in_words() -> None:
    key = Key(location="body", name="model", python="model", required=True)
    routed = Serve(mode="routed", resource="model", key=key, requires=(("kind", ("a", "b")),))
    assert served(routed) == (
        "The provider of the model named in `model` answers. It must be one that has `kind` `a` or `b`."
    )
    assert "forgets" in served(Serve(mode="delete", resource="model", key=key))
