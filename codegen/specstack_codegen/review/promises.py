"""Comparing what an operation promises besides its data: credentials, limits, streams, aliases, serving."""

from __future__ import annotations

from collections.abc import Callable

from specstack_codegen.review.changes import listed
from specstack_codegen.review.comparison import Documents, Pair, as_map, texts, without
from specstack_codegen.review.findings import Subject
from specstack_codegen.source import Map, Position, Seq

# Compared elsewhere, or words for people.
_KNOWN = frozenset(
    {
        "operationId",
        "summary",
        "description",
        "tags",
        "externalDocs",
        "deprecated",
        "parameters",
        "requestBody",
    }
    | {"responses", "callbacks", "security", "x-public", "x-stability", "x-websocket", "x-variant"}
)
Alternatives = list[dict[str, frozenset[str]]]


def compare_promises(
    documents: Documents, subject: Subject, node: Pair, public: frozenset[str] | None
) -> None:
    """Report every difference. `public` says which extensions both sides have; None for all."""
    _security(documents, subject, node)
    # these name components, which may change while the extension stays as it is
    _websocket(documents, subject, node)
    _variants(documents, subject, node)
    for key in dict.fromkeys((*node.old, *node.new)):
        if key in _KNOWN or not node.differs(key):
            continue
        if key.startswith("x-") and public is not None and key not in public:
            continue
        compare = _EXTENSIONS.get(key)
        if compare is not None:
            compare(documents, subject, node)
        else:
            rule = "extension-changed" if key.startswith("x-") else "not-compared"
            documents.sink.add(rule, subject, key, node.changed(key), *node.at(key))


def _security(documents: Documents, subject: Subject, node: Pair) -> None:
    old, old_pos = _alternatives(documents.old, node.old)
    new, new_pos = _alternatives(documents.new, node.new)
    renamed = renamed_schemes(Pair(documents.old, documents.new))
    old = [{renamed.get(name, name): scopes for name, scopes in one.items()} for one in old]
    was, now = (one.get("x-public") is True for one in node)
    tightened = any(not any(_asks_no_more(two, one) for two in new) for one in old)
    loosened = any(not any(_asks_no_more(one, two) for one in old) for two in new)
    if was != now and not tightened and not loosened:
        tightened, loosened = was, now
        old_pos, new_pos = node.at("x-public")
    if tightened:
        text = f"credentials: {_described(old)} became {_described(new)}"
        documents.sink.add("security-tightened", subject, "security", text, old_pos, new_pos)
    if loosened and not tightened:
        text = f"credentials: {_described(old)} became {_described(new)}"
        documents.sink.add("security-loosened", subject, "security", text, old_pos, new_pos)


def renamed_schemes(whole: Pair) -> dict[str, str]:
    """Security schemes that are only called otherwise: the old name and the new one."""
    schemes = whole.map("components").map("securitySchemes")
    come, found = list(schemes.come()), dict[str, str]()
    for name in schemes.gone():
        same = next((one for one in come if _said(schemes.old[name]) == _said(schemes.new[one])), None)
        if same is not None:
            come.remove(same)
            found[name] = same
    return found


def _said(scheme: object) -> dict[str, object]:
    return {key: value for key, value in as_map(scheme).items() if key != "description"}


def _alternatives(document: Map, node: Map) -> tuple[Alternatives, Position]:
    """The sets of credentials that are enough; one empty set where none are asked for."""
    holder = node if "security" in node else document
    found: Alternatives = []
    for item in holder.seq("security"):
        schemes = as_map(item)
        found.append({name: frozenset(texts(schemes[name])) for name in schemes})
    pos = holder.at("security")
    return found or [{}], pos


def _asks_no_more(one: dict[str, frozenset[str]], other: dict[str, frozenset[str]]) -> bool:
    return all(name in other and scopes <= other[name] for name, scopes in one.items())


def _described(alternatives: Alternatives) -> str:
    return " or ".join(" with ".join(sorted(one)) or "none" for one in alternatives)


def _aliases(documents: Documents, subject: Subject, node: Pair) -> None:
    old, new = texts(node.old.get("x-aliases")), texts(node.new.get("x-aliases"))
    places = node.at("x-aliases")
    for alias in without(old, new):
        documents.sink.add("alias-removed", subject, "x-aliases", f"{alias} is gone", old[alias], places[1])
    for alias in without(new, old):
        documents.sink.add("alias-added", subject, "x-aliases", f"{alias} is new", places[0], new[alias])


def _refusals(documents: Documents, subject: Subject, node: Pair) -> None:
    old, new = texts(node.old.get("x-refusals")), texts(node.new.get("x-refusals"))
    places = node.at("x-refusals")
    for code in without(new, old):
        documents.sink.add("refusal-added", subject, "x-refusals", f"`{code}` is new", places[0], new[code])
    for code in without(old, new):
        documents.sink.add(
            "refusal-removed", subject, "x-refusals", f"`{code}` is gone", old[code], places[1]
        )


def _body_limit(documents: Documents, subject: Subject, node: Pair) -> None:
    old, new = node.values("x-body-limit")
    rule = "body-limit-changed"
    if isinstance(old, int) and isinstance(new, int):
        rule = "body-limit-lowered" if new < old else "body-limit-raised"
    documents.sink.add(
        rule, subject, "x-body-limit", f"{node.changed('x-body-limit')}, in bytes", *node.at("x-body-limit")
    )


def _stream(documents: Documents, subject: Subject, node: Pair) -> None:
    rule = "stream-changed"
    if "x-stream" not in node.old or "x-stream" not in node.new:
        rule = "stream-added" if "x-stream" in node.new else "stream-removed"
        documents.sink.add(rule, subject, "x-stream", node.changed("x-stream"), *node.at("x-stream"))
        return
    stream = node.map("x-stream")
    for key in ("when", "event", "end"):
        if stream.differs(key):
            documents.sink.add(rule, subject, f"x-stream.{key}", stream.changed(key), *stream.at(key))
    # the item itself is compared as the schema of the stream's media type
    if stream.differs("item"):
        path = "x-stream.item"
        documents.sink.add("extension-changed", subject, path, stream.changed("item"), *stream.at("item"))


def _variants(documents: Documents, subject: Subject, node: Pair) -> None:
    old, new = (_by_name(one.seq("x-variant")) for one in node)
    places, variants = node.at("x-variant"), Pair(old, new)
    for name in variants.gone():
        text, where = f"the variant `{name}` is gone", (old.at(name), places[1])
        documents.sink.add("reply-variant-removed", subject, f"x-variant.{name}", text, *where)
    for name in variants.come():
        text, where = f"the variant `{name}` is new", (places[0], new.at(name))
        documents.sink.add("reply-variant-added", subject, f"x-variant.{name}", text, *where)
    for name in variants.both():
        variant = variants.map(name)
        for key in ("header", "value"):
            if variant.differs(key):
                path = f"x-variant.{name}.{key}"
                documents.sink.add(
                    "reply-variant-changed", subject, path, variant.changed(key), *variant.at(key)
                )
        path = f"response.variant.{name}"
        _component(documents, subject, path, variant, "reply", output=True)


def _by_name(items: Seq) -> Map:
    found = Map(pos=items.pos)
    for index, item in enumerate(items):
        found.put(as_map(item).text("name"), item, items.at(index))
    return found


def _component(
    documents: Documents, subject: Subject, path: str, holder: Pair, key: str, *, output: bool
) -> None:
    """Compare the components that `key` names on both sides."""
    components = (one.map("components").map("schemas") for one in (documents.old, documents.new))
    references: list[Map] = []
    for side, schemas in zip(holder, components, strict=True):
        reference = Map(pos=side.pos)
        if side.text(key) in schemas:
            reference.put("schema", schemas[side.text(key)], side.at(key))
        references.append(reference)
    prefix = "response" if output else "request"
    documents.schema(prefix, output, subject, path, Pair(*references), "schema")


def _websocket(documents: Documents, subject: Subject, node: Pair) -> None:
    if "x-websocket" in node.old and "x-websocket" in node.new:
        socket = node.map("x-websocket")
        _component(documents, subject, "websocket.receive", socket, "receive", output=False)
        _component(documents, subject, "websocket.send", socket, "send", output=True)
    if ("x-websocket" in node.old) == ("x-websocket" in node.new):
        return
    rule = "websocket-added" if "x-websocket" in node.new else "websocket-removed"
    documents.sink.add(rule, subject, "x-websocket", node.changed("x-websocket"), *node.at("x-websocket"))


def _idempotent(documents: Documents, subject: Subject, node: Pair) -> None:
    rule = "idempotency-promised" if node.new.get("x-idempotent") is True else "idempotency-lost"
    documents.sink.add(rule, subject, "x-idempotent", node.changed("x-idempotent"), *node.at("x-idempotent"))


def _serve(documents: Documents, subject: Subject, node: Pair) -> None:
    serve = node.map("x-serve")
    altered = [
        key for key in dict.fromkeys((*serve.old, *serve.new)) if serve.differs(key) and key != "requires"
    ]
    if altered:
        text = "; ".join(serve.changed(key) for key in altered)
        documents.sink.add("serve-changed", subject, "x-serve", text, *serve.at(altered[0]))
    requires = serve.map("requires")
    for name in dict.fromkeys((*requires.old, *requires.new)):
        old, new = texts(requires.old.get(name)), texts(requires.new.get(name))
        lost = sorted(old.keys() - new.keys()) if name in requires.new else []
        gained = sorted(new.keys() - old.keys()) if name in requires.old else []
        path, where = f"x-serve.requires.{name}", requires.at(name)
        if lost or name not in requires.old:
            text = f"{listed(lost)} no longer serves" if lost else f"only {listed(new)} serves"
            documents.sink.add("resource-kind-refused", subject, path, text, *where)
        if gained or name not in requires.new:
            text = f"{listed(gained)} serves as well" if gained else "every kind serves"
            documents.sink.add("resource-kind-admitted", subject, path, text, *where)


def _marked(rule: str, key: str) -> Callable[[Documents, Subject, Pair], None]:
    def compare(documents: Documents, subject: Subject, node: Pair) -> None:
        documents.sink.add(rule, subject, key, node.changed(key), *node.at(key))

    return compare


def _telemetry(documents: Documents, subject: Subject, node: Pair) -> None:
    rule = "telemetry-changed" if "x-telemetry" in node.old else "telemetry-added"
    documents.sink.add(rule, subject, "x-telemetry", node.changed("x-telemetry"), *node.at("x-telemetry"))


_EXTENSIONS: dict[str, Callable[[Documents, Subject, Pair], None]] = {
    "x-aliases": _aliases,
    "x-refusals": _refusals,
    "x-body-limit": _body_limit,
    "x-pagination": _marked("pagination-changed", "x-pagination"),
    "x-stream": _stream,
    "x-idempotent": _idempotent,
    "x-serve": _serve,
    "x-access": _marked("access-changed", "x-access"),
    "x-record": _marked("record-changed", "x-record"),
    "x-usage": _marked("usage-changed", "x-usage"),
    "x-telemetry": _telemetry,
    "x-envelope": _marked("envelope-changed", "x-envelope"),
    "servers": _marked("servers-changed", "servers"),
}
