"""Comparing what stands beside the operations' data: links, calls that the server makes, addresses."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.comparison import Documents, Pair, as_map
from specstack_codegen.review.findings import Subject
from specstack_codegen.review.flatten import references
from specstack_codegen.source import Map
from specstack_codegen.walk import METHODS, resolve

# What a link says besides words for people.
_LINK = ("operationId", "operationRef", "parameters", "requestBody", "server")
# Words are compared for the whole document, components and paths by their own parts; the version of the
# format and the document's own address say nothing of what the server does.
_ROOT = frozenset(
    {"paths", "components", "webhooks", "servers", "security", "externalDocs", "openapi", "$self", "info"}
)


def compare_links(documents: Documents, subject: Subject, path: str, response: Pair) -> None:
    """Report where a reply leads, which generated clients and tests of whole flows follow."""
    links, sink = response.map("links"), documents.sink
    places = response.at("links")
    for name in links.gone():
        where = links.old.at(name), places[1]
        sink.add("link-removed", subject, f"{path}.links.{name}", f"the link `{name}` is gone", *where)
    for name in links.come():
        where = places[0], links.new.at(name)
        sink.add("link-added", subject, f"{path}.links.{name}", f"the link `{name}` is new", *where)
    for name in links.both():
        link = documents.resolved(links.old[name], links.new[name])
        for key in _LINK:
            if link.differs(key):
                text = f"the link `{name}`: {link.changed(key)}"
                sink.add("link-changed", subject, f"{path}.links.{name}.{key}", text, *link.at(key))


def compare_callbacks(documents: Documents, subject: Subject, node: Pair) -> None:
    """Report calls that the server makes because of an operation."""
    _made(documents, subject, node, "callbacks", "callback")


def compare_whole(documents: Documents, subject: Subject) -> None:
    """Report calls that the server makes of itself, and what the document says of itself."""
    whole = Pair(documents.old, documents.new)
    _made(documents, subject, whole, "webhooks", "webhook")
    for key in dict.fromkeys((*whole.old, *whole.new)):
        if key == "tags":
            _tags(documents, subject, whole)
        elif key not in _ROOT and whole.differs(key):
            rule = "extension-changed" if key.startswith("x-") else "not-compared"
            documents.sink.add(rule, subject, key, whole.changed(key), *whole.at(key))
    if ("info" in whole.old) != ("info" in whole.new):
        text = "`info` is new" if "info" in whole.new else "`info` is gone"
        documents.sink.add("documentation-changed", subject, "info", text, *whole.at("info"))


def compare_path(documents: Documents, subject: Subject, items: Pair) -> None:
    """Report what a path says for all of its operations, parameters aside."""
    known = {*METHODS, "parameters", "summary", "description", "additionalOperations", "$ref"}
    for key in dict.fromkeys((*items.old, *items.new)):
        if key not in known and items.differs(key):
            rule = "extension-changed" if key.startswith("x-") else "not-compared"
            rule = "servers-changed" if key == "servers" else rule
            documents.sink.add(rule, subject, key, items.changed(key), *items.at(key))


def _tags(documents: Documents, subject: Subject, whole: Pair) -> None:
    names = [{as_map(tag).text("name") for tag in side.seq("tags")} for side in whole]
    if names[0] != names[1]:
        text = f"`tags` {', '.join(sorted(names[0] ^ names[1]))} came or went"
        documents.sink.add("documentation-changed", subject, "tags", text, *whole.at("tags"))


def _made(documents: Documents, subject: Subject, holder: Pair, section: str, word: str) -> None:
    """Calls under `section`; whoever takes them must be ready for what they carry."""
    sink, calls, places = documents.sink, holder.map(section), holder.at(section)
    for name in calls.gone():
        where = calls.old.at(name), places[1]
        sink.add("server-call-removed", subject, f"{section}.{name}", f"the {word} `{name}` is gone", *where)
    for name in calls.come():
        where = places[0], calls.new.at(name)
        sink.add("server-call-added", subject, f"{section}.{name}", f"the {word} `{name}` is new", *where)
    for name in calls.both():
        call = documents.resolved(calls.old[name], calls.new[name])
        used = {ref for side in call for ref in references(side)}
        if call.old != call.new or not documents.altered.isdisjoint(used):
            text = f"the {word} `{name}` is not what it was"
            sink.add(
                "server-call-changed",
                subject,
                f"{section}.{name}",
                text,
                calls.old.at(name),
                calls.new.at(name),
            )


def more_operations(document: Map, item: Map) -> Iterator[tuple[str, Map, Map]]:
    """Methods that OpenAPI has no field for: the name, the operation, and what holds it."""
    more = item.map("additionalOperations")
    for method in more:
        operation = resolve(document, as_map(more[method]))
        if operation:
            yield method, operation, more
