"""Rules about how operations are served: modes, keys, resources, services, refusals, envelopes."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import home, view
from specstack_codegen.lint_rules.operations import request_field
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map
from specstack_codegen.walk import Node

_SCATTERED = frozenset({"array", "object"})


@rule("serve-mode", across=True)
def serve_mode(spec: Spec) -> Iterator[Finding]:
    """Every operation says in x-serve who answers it.

    The fields that it names are in the request or reply, the resources and services in their files.
    """
    resources, services = home.resources(spec), home.services(spec)
    for node in spec.operations():
        serve = node.value.map("x-serve")
        if "x-serve" not in node.value:
            hint = "add x-serve: {mode: …}; spec/meta/extensions.json lists the modes"
            yield Finding(node.value.pos, f"{view.label(node)} does not say who serves it", hint)
            continue
        resource, service = serve.text("resource"), serve.text("service")
        if resource and resource not in resources:
            yield Finding(
                serve.at("resource"), f"there is no resource {resource!r}", close(resource, resources)
            )
        if service and service not in services:
            yield Finding(serve.at("service"), f"there is no service {service!r}", close(service, services))
        yield from _request_names(spec, node, serve)
        yield from _reply_names(spec, node, serve)
        yield from _requirements(serve, resources.get(resource, Map()))
        yield from _table_key(node, serve)


def _request_names(spec: Spec, node: Node, serve: Map) -> Iterator[Finding]:
    for name in ("key", "provider"):
        key = serve.text(name)
        if not key:
            continue
        value = request_field(spec, node, key)
        if value is None:
            place, _, field = key.partition(".")
            body = view.all_fields(spec, view.body_schemas(spec, node))
            known = (
                set(body) if place == "body" else {n for p, n in view.parameters(spec, node) if p == place}
            )
            message = f"x-serve.{name}: {view.label(node)} has no {key!r} in its request"
            yield Finding(
                serve.at(name), message, close(field, known, "name a field of the body or a parameter")
            )
        elif serve.text("mode") == "scatter" and not view.types(spec, value) & _SCATTERED:
            hint = "scatter needs a list or a map of ids; for a single id use mode routed"
            yield Finding(serve.at(name), f"x-serve.{name}: {key!r} is neither a list nor a map", hint)
        elif serve.text("mode") != "scatter" and "string" not in view.types(spec, value):
            hint = "ids are strings; for a list or a map of ids use mode scatter"
            yield Finding(serve.at(name), f"x-serve.{name}: {key!r} is no string", hint)


def _reply_names(spec: Spec, node: Node, serve: Map) -> Iterator[Finding]:
    reply = view.all_fields(spec, view.reply_schemas(spec, node))
    for name in ("id", "merge"):
        field = serve.text(name)
        if not field:
            continue
        types = view.types(spec, reply.get(field, Map()))
        allowed = {
            "id": {"string"},
            "merge": {"array"} if serve.text("mode") == "fan-out" else set(_SCATTERED),
        }[name]
        if field not in reply:
            message = f"x-serve.{name}: the reply of {view.label(node)} has no field {field!r}"
            yield Finding(serve.at(name), message, close(field, reply))
        elif not types & allowed:
            what = " or ".join(
                {"string": "string", "array": "list", "object": "map"}[kind] for kind in sorted(allowed)
            )
            message = f"x-serve.{name}: the reply field {field!r} is no {what}"
            yield Finding(serve.at(name), message, f"name a {what} of the reply")


def _requirements(serve: Map, resource: Map) -> Iterator[Finding]:
    requires, attributes = serve.map("requires"), resource.map("attributes")
    for name in requires:
        known = {str(value) for value in attributes.map(name).seq("enum")}
        if name not in attributes:
            message = f"x-serve.requires: the resource has no attribute {name!r}"
            yield Finding(requires.at(name), message, close(name, attributes))
            continue
        for index, value in enumerate(requires.seq(name)):
            if str(value) not in known:
                pos = requires.seq(name).at(index)
                yield Finding(pos, f"x-serve.requires: {name} is never {value!r}", close(str(value), known))


def _table_key(node: Node, serve: Map) -> Iterator[Finding]:
    if serve.text("mode") != "table":
        return
    needs_key = serve.text("action") in ("get", "unregister")
    if needs_key and "key" not in serve:
        hint = "add key: path.<parameter>"
        yield Finding(serve.pos, f"{view.label(node)} does not say which id it is about", hint)
    if not needs_key and "key" in serve:
        yield Finding(serve.at("key"), f"the action {serve.text('action')!r} has no key", "remove key")


@rule("resource-known", across=True)
def resource_known(spec: Spec) -> Iterator[Finding]:
    """x-resource and x-access name resources of resources.yaml; the key of x-serve carries x-resource."""
    known = home.resources(spec)
    for node in spec.nodes:
        name = node.value.text("x-resource")
        if name and name not in known:
            yield Finding(node.value.at("x-resource"), f"there is no resource {name!r}", close(name, known))
        access = node.value.map("x-access")
        name = access.text("resource")
        if node.kind == "operation" and name and name not in known:
            yield Finding(access.at("resource"), f"there is no resource {name!r}", close(name, known))
    for node in spec.operations():
        yield from _key_resource(spec, node)


def _key_resource(spec: Spec, node: Node) -> Iterator[Finding]:
    serve = node.value.map("x-serve")
    place, _, name = serve.text("key").partition(".")
    resource, value = serve.text("resource"), request_field(spec, node, serve.text("key"))
    if not resource or value is None:
        return
    holder = view.parameters(spec, node).get((place, name), Map())
    inner = (value.map("items"), value.map("additionalProperties"), value.map("propertyNames"))
    stated = next((one["x-resource"] for one in (value, holder, *inner) if "x-resource" in one), None)
    if stated != resource:
        pos = value.pos if place == "body" else holder.pos
        what = f"{serve.text('key')!r} carries the id of a {resource} and has no x-resource"
        hint = f"add x-resource: {resource}, so that access checks and id rewriting see it"
        yield Finding(pos, what if stated is None else f"{what.split(' and ')[0]}, not of a {stated}", hint)


@rule("refusal-known", across=True)
def refusal_known(spec: Spec) -> Iterator[Finding]:
    """The codes in x-refusals are codes of errors.yaml, of this spec or the main one."""
    known = home.error_codes(spec)
    for node in spec.operations():
        refusals = node.value.seq("x-refusals")
        for index, code in enumerate(str(item) for item in refusals):
            if code not in known:
                yield Finding(refusals.at(index), f"no error has the code {code!r}", close(code, known))


@rule("envelope-known", across=True)
def envelope_known(spec: Spec) -> Iterator[Finding]:
    """The error forms that x-api and x-envelope choose are in errors.yaml, of this spec or the main one."""
    known = home.envelopes(spec)
    for document in spec.apis.values():
        yield from _envelope(document.map("x-api"), "envelope", known)
    for node in spec.operations():
        yield from _envelope(node.value, "x-envelope", known)


def _envelope(holder: Map, key: str, known: set[str]) -> Iterator[Finding]:
    name = holder.text(key)
    if name and name not in known:
        yield Finding(holder.at(key), f"there is no error envelope {name!r}", close(name, known))
