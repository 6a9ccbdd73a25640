"""What a server says when it is ready: what it serves, where, and a line to try it with."""

import json
import shlex
from typing import TYPE_CHECKING, Any

from specstack.descriptors import Operation
from specstack.http.app import BUNDLE_PATH
from specstack.routing import Entry

if TYPE_CHECKING:
    from specstack.assembly import Application

_SHOWN = 8


def banner(app: "Application", url: str, notice: str) -> str:
    """The message for the terminal. Lists what is known now: providers may announce more later."""
    runtime = app.runtime
    lines = [f"specstack serves '{app.config.stack.distro_name}' at {url}", ""]
    lines.append(f"  APIs       {', '.join(entry.name for entry in runtime.served())}")
    for index, one in enumerate(runtime.running):
        head = "providers" if index == 0 else ""
        lines.append(f"  {head:<10} {one.configured.provider_id} ({one.configured.spec.provider_type})")
    entries: list[Entry] = []
    for name in app.server.tables:
        table = runtime.table(name)
        known = list(table.known())
        entries.extend(known)
        lines.extend(_resources(table.resource.plural, known))
    lines.extend(["", f"  try        {_curl(app, url, entries)}"])
    if notice:
        lines.extend(["", *(f"  {line}".rstrip() for line in notice.splitlines())])
    return "\n".join([*lines, ""])


def _resources(plural: str, known: list[Entry]) -> list[str]:
    if not known:
        return [f"  {plural:<10} none known yet"]
    heads = [plural, *[""] * len(known)]
    lines = [f"  {head:<10} {entry.identifier}" for head, entry in zip(heads, known[:_SHOWN], strict=False)]
    if len(known) > _SHOWN:
        lines.append(f"  {'':<10} and {len(known) - _SHOWN} more")
    return lines


def _curl(app: "Application", url: str, entries: list[Entry]) -> str:
    """A request that can succeed: the first example whose resource is known, else a plain GET."""
    operations = app.runtime.operations()
    keyed = app.config.stack.server.auth.provider_config is not None
    auth = ' -H "authorization: Bearer $SPECSTACK_API_KEY"' if keyed else ""
    tried: set[str] = set()
    for op in operations:
        name = op.access.resource if op.access else None
        if op.method != "POST" or name is None:
            continue
        body = _example(app, op, name, entries, stand_in=name not in tried)
        tried.add(name)
        if body is not None:
            sent = shlex.quote(json.dumps(body, ensure_ascii=False))
            return f"curl -s {url}{op.path} -H 'content-type: application/json'{auth} -d {sent}"
    plain = (op.path for op in operations if op.method == "GET" and "{" not in op.path)
    return f"curl -s {url}{next(plain, BUNDLE_PATH)}{auth}"


def _example(
    app: "Application", op: Operation, resource: str, entries: list[Entry], *, stand_in: bool
) -> dict[str, Any] | None:
    """The first example of the operation's request whose resource is known.

    A `stand_in`, the first entry whose attributes are the defaults, may take the place of one that is not.
    """
    schema = _request_schema(app.http.openapi(), op)
    fields = [name for name, one in schema.get("properties", {}).items() if one.get("x-resource") == resource]
    examples: list[dict[str, Any]] = schema.get("examples", [])
    if len(fields) != 1 or not examples:
        return None
    field, known = fields[0], {entry.identifier for entry in entries}
    for example in examples:
        if example.get(field) in known:
            return example
    kinds = app.runtime.table(resource).resource.attributes
    usual = {name: values[0] for name, values in kinds.items()}
    found = next((entry.identifier for entry in entries if entry.attributes == usual), None)
    return {**examples[0], field: found} if stand_in and found is not None else None


def _request_schema(bundle: dict[str, Any], op: Operation) -> dict[str, Any]:
    described = bundle.get("paths", {}).get(op.path, {}).get(op.method.lower(), {})
    media = described.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = media.get("schema", {}).get("$ref", "").removeprefix("#/components/schemas/")
    return bundle.get("components", {}).get("schemas", {}).get(name, {})
