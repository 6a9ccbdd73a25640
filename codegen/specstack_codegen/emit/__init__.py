"""Emitters: each turns the IR into generated files, path (relative to the output folder) -> text.

Registered by name and imported when used, so that a run that changes nothing imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from specstack_codegen.ir import Ir

Files = dict[str, str]
Emitter = Callable[[Ir], Files]


def _lazy(module: str) -> Emitter:
    def emit(ir: Ir) -> Files:
        return import_module(f"specstack_codegen.emit.{module}").emit(ir)

    return emit


EMITTERS: dict[str, Emitter] = {
    "models": _lazy("models"),
    "config": _lazy("config"),
    "protocols": _lazy("protocols"),
    "errors": _lazy("errors"),
    "api": _lazy("api"),
    "operations": _lazy("operations"),
    "auto_routers": _lazy("auto_routers"),
    "routing_tables": _lazy("routing_tables"),
    "server": _lazy("server"),
    "storage": _lazy("storage"),
    "kit": _lazy("kit"),
    "telemetry": _lazy("telemetry"),
    "openapi": _lazy("openapi"),
    "client": _lazy("client"),
    "docs": _lazy("docs"),
    "places": _lazy("places"),
}

_WITHOUT_APIS = ("config", "errors", "api", "server", "docs", "places")


def emitters(ir: Ir) -> dict[str, Emitter]:
    """Those that have something to say of this spec: one of providers alone has no operations."""
    return EMITTERS if ir.apis else {name: EMITTERS[name] for name in _WITHOUT_APIS}
