"""Storage servers that an older file describes in parts, such as host and port: here each has a URL."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from specstack.positions import Map
from specstack.upgrade.report import Report

_REFERENCE = re.compile(r"(\$\{env\.[^}]*\})")
_OPERAND = re.compile(r"(\$\{env\.[A-Z0-9_]+:[=+]?)([^}]*)\}")
_PARTS = ("host", "port", "db", "user", "password", "ssl_mode", "ca_cert_path")
_SCHEMES = {
    "kv_postgres": "postgresql",
    "sql_postgres": "postgresql",
    "kv_redis": "redis",
    "kv_mongodb": "mongodb",
}
_OPTIONS = {"ssl_mode": "sslmode", "ca_cert_path": "sslrootcert"}


def with_urls(root: Map, report: Report) -> Map:
    """`root` with the URL of each storage server in place of its parts."""
    storage = root.get("storage")
    backends = storage.get("backends") if isinstance(storage, Map) else None
    if not isinstance(storage, Map) or not isinstance(backends, Map):
        return root
    found = Map(backends.line)
    for name, backend in backends.items():
        path = ("storage", "backends", name)
        found.put(name, _with_url(backend, path, report), backends.lines[name])
    return _replaced(root, "storage", _replaced(storage, "backends", found))


def _with_url(backend: Any, path: tuple[str, ...], report: Report) -> Any:
    if not isinstance(backend, Map) or "url" in backend or "connection_string" in backend:
        return backend
    scheme = _SCHEMES.get(str(backend.get("type")))
    parts = {key: str(backend[key]) for key in _PARTS if backend.get(key) not in (None, "")}
    if scheme is None or not parts:
        return backend
    found = Map(backend.line)
    for key, value in backend.items():
        if key not in _PARTS:
            found.put(key, value, backend.lines[key])
    if scheme == "mongodb" and "db" in parts:
        found.put("database", parts.pop("db"), backend.lines["db"])
    line = min(backend.lines[key] for key in _PARTS if key in backend)
    found.put("url", f"{scheme}://{_place(parts)}", line)
    report.note(line, path, f"{', '.join(parts)} became url")
    for key in ("user", "password"):
        if "${env." in parts.get(key, ""):
            message = (
                f"the variable's value goes into url as it is: in a {key}, write @ as %40, / as %2F, : as %3A"
            )
            report.note(backend.lines[key], (*path, key), message)
    return found


def _place(parts: Mapping[str, str]) -> str:
    """What comes behind `scheme://`."""
    text = _quoted(parts.get("host", "localhost"))
    if "port" in parts:
        text += f":{_quoted(parts['port'])}"
    if "user" in parts or "password" in parts:
        password = f":{_quoted(parts['password'])}" if "password" in parts else ""
        text = f"{_quoted(parts.get('user', ''))}{password}@{text}"
    if "db" in parts:
        text += f"/{_quoted(parts['db'])}"
    options = [f"{_OPTIONS[key]}={_quoted(parts[key])}" for key in _OPTIONS if key in parts]
    return text + (("" if "db" in parts else "/") + f"?{'&'.join(options)}" if options else "")


def _quoted(text: str) -> str:
    """The text as part of a URL; of references what they say themselves, such as a default."""
    return "".join(
        _OPERAND.sub(lambda match: f"{match[1]}{quote(match[2], safe='')}}}", part)
        if part.startswith("${env.")
        else quote(part, safe="")
        for part in _REFERENCE.split(text)
    )


def _replaced(node: Map, key: str, value: Any) -> Map:
    found = Map(node.line)
    for name, one in node.items():
        found.put(name, value if name == key else one, node.lines[name])
    return found
