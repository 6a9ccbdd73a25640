"""Rules about what the server notes of calls: records and token counts."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import home, view
from specstack_codegen.lint_rules.operations import request_field
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.walk import Node


@rule("record", across=True)
def record(spec: Spec) -> Iterator[Finding]:
    """The service that keeps an operation's calls exists, and the caller's wish is a boolean of the body."""
    services = home.services(spec)
    for node in spec.operations():
        kept = node.value.map("x-record")
        service, when = kept.text("service"), kept.text("when")
        if service and service not in services:
            yield Finding(kept.at("service"), f"there is no service {service!r}", close(service, services))
        if when:
            value = request_field(spec, node, when)
            if value is None or "boolean" not in view.types(spec, value):
                message = f"x-record.when: {when!r} is no boolean of the request"
                yield Finding(kept.at("when"), message, "name a boolean of the body: body.<field>")


@rule("usage")
def usage(spec: Spec) -> Iterator[Finding]:
    """What x-usage names is an integer of the reply, and of the stream's events if there are any.

    Both counts are in one top-level field, so that reading them once is enough.
    """
    for node in spec.operations():
        ways = node.value.map("x-usage")
        if len({str(way).partition(".")[0] for way in ways.values()}) > 1:
            message = "x-usage: the counts are in different fields of the reply"
            yield Finding(node.value.at("x-usage"), message, "name two counts inside of one field")
        for name, way in node.value.map("x-usage").items():
            yield from _unknown(spec, node, name, str(way))


def _unknown(spec: Spec, node: Node, name: str, way: str) -> Iterator[Finding]:
    schemas = view.reply_schemas(spec, node)
    item = node.value.map("x-stream").text("item")
    if item in view.components(spec):
        schemas = [*schemas, view.components(spec).map(item)]
    for schema in schemas:
        found = view.field_at(spec, schema, way)
        if found is None or "integer" not in view.types(spec, found):
            at = node.value.map("x-usage").at(name)
            message = f"x-usage.{name}: {way!r} is no integer of what {view.label(node)} replies"
            hint = "write the way to it with dots, such as usage.input_tokens"
            yield Finding(at, message, hint)
            return
