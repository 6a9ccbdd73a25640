"""What a server says when it is ready: what it serves, where, and a line to try it with."""

import json
from typing import TYPE_CHECKING

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
    """A chat with the first model that can, else the list of routes."""
    paths = {op.path for op in app.runtime.operations()}
    chats = [entry.identifier for entry in entries if entry.attributes.get("model_type") == "llm"]
    if "/v1/chat/completions" not in paths or not chats:
        return f"curl -s {url}/v1/inspect/routes"
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    body = json.dumps({"model": chats[0], "messages": messages})
    return f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"
