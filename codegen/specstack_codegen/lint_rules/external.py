"""Rules about external specs, which add to a server that somebody else has made."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.bundle import TABLES, Spec
from specstack_codegen.lint_rules import view
from specstack_codegen.lint_rules.registry import Finding, rule

_ITS_OWN = frozenset({"errors", "resources", "services", "settings"})
"""Files beside the APIs and providers; all others say something of the whole server."""


@rule("external-files")
def external_files(spec: Spec) -> Iterator[Finding]:
    """An external spec says nothing of the whole server.

    Its run config, its deviations, and the roles of its errors are the server's.
    """
    if not spec.external:
        return
    for name in (one for one in TABLES if one not in _ITS_OWN):
        document = spec.files.get(f"{name}.yaml")
        if document is not None:
            yield Finding(document.pos, f"{name}.yaml is for the server's own spec", "remove the file")
    for key in ("roles", "upstream"):
        if key in spec.errors:
            message = f"{key} are for the server's own errors.yaml"
            yield Finding(spec.errors.at(key), message, f"remove {key}; the server's apply here too")


@rule("external-serve", across=True)
def external_serve(spec: Spec) -> Iterator[Finding]:
    """Operations of an external spec are served by its own resources and services."""
    if not spec.external:
        return
    resources, services = spec.resources.map("resources"), spec.services.map("services")
    for node in spec.operations():
        serve = node.value.map("x-serve")
        for key, known in (("resource", resources), ("service", services)):
            name = serve.text(key)
            if name and name not in known:
                message = f"the {key} {name!r} is not of this spec"
                yield Finding(serve.at(key), message, f"declare a {key} in {key}s.yaml")
        api = view.api_of(spec, node)
        name = serve.text("resource")
        if name in resources and resources.map(name).text("routes") not in spec.apis:
            hint = f"route it to an API of this spec, such as {api}"
            yield Finding(
                resources.map(name).at("routes"), f"the resource {name!r} routes another's API", hint
            )
