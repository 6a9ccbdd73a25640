"""Two operations, fact by fact: parameters, body, replies."""

from __future__ import annotations

from specstack_codegen.score.comparison import Comparison, Place
from specstack_codegen.score.document import Document, Endpoint
from specstack_codegen.score.shapes import ABSENT
from specstack_codegen.source import Map

_STREAMS = ("text/event-stream", "application/jsonl", "application/x-ndjson")


def compare(comparison: Comparison, ours: Endpoint, theirs: Endpoint) -> None:
    """Adds the facts of one operation that both sides have."""
    _parameters(comparison, ours, theirs)
    _bodies(comparison, ours, theirs)
    _replies(comparison, ours, theirs)


def extra_operation(comparison: Comparison, ours: Endpoint) -> None:
    """Notes an operation that the reference does not have, on a path that it has."""
    comparison.fact("operation", False, Place(ours.id), str(ours), ABSENT, ours.pos, ours.pos)


def _parameters(comparison: Comparison, ours: Endpoint, theirs: Endpoint) -> None:
    own, other = _by_name(ours), _by_name(theirs)
    for key, theirs_one in other.items():
        mine = own.get(key)
        place = Place(f"{ours.id}.{theirs_one.text('name') if mine is None else mine.text('name')}")
        pos = ours.pos if mine is None else mine.pos
        name = theirs_one.text("name")
        own_name = ABSENT if mine is None else mine.text("name")
        comparison.fact("parameter", mine is not None, place, own_name, name, pos, theirs_one.pos)
        if mine is None:
            continue
        needed, wanted = (
            "required" if one.get("required") is True else "optional" for one in (mine, theirs_one)
        )
        comparison.fact("required", needed == wanted, place, needed, wanted, pos, theirs_one.pos)
        comparison.schemas(_schema(mine), _schema(theirs_one), place)
    for key, mine in own.items():
        if key not in other:
            place = Place(f"{ours.id}.{mine.text('name')}")
            comparison.fact("parameter", False, place, mine.text("name"), ABSENT, mine.pos, theirs.pos)


def _schema(parameter: Map) -> Map:
    """A parameter's schema. What stands in a path is never empty, so that such a bound says nothing there."""
    schema = parameter.map("schema")
    if parameter.text("in") != "path" or schema.get("minLength") != 1:
        return schema
    return Map({key: value for key, value in schema.items() if key != "minLength"}, schema.pos)


def _by_name(endpoint: Endpoint) -> dict[tuple[str, str], Map]:
    """Parameters by place and name; those of the path by their order, since their names never travel."""
    found: dict[tuple[str, str], Map] = {}
    words = [word for word in endpoint.path.split("?")[0].split("/") if word.startswith("{")]
    # A version that is a parameter is no part of the comparable path.
    words = words[len(words) - endpoint.key[1].count("{}") :]
    for one in endpoint.parameters:
        place, name = one.text("in"), one.text("name")
        if place != "path":
            found[place, name.lower() if place == "header" else name] = one
        elif f"{{{name}}}" in words:
            found[place, str(words.index(f"{{{name}}}"))] = one
    return found


def _bodies(comparison: Comparison, ours: Endpoint, theirs: Endpoint) -> None:
    own = _body(ours, comparison.our.document)
    other = _body(theirs, comparison.their.document)
    if not own and not other:
        return
    pos, there = own.pos if own else ours.pos, other.pos if other else theirs.pos
    left, right = _body_text(own), _body_text(other)
    comparison.fact("body", left == right, Place(ours.id), left, right, pos, there)
    if own and other:
        _media(comparison, own, other, f"{ours.id}.body")


def _body(endpoint: Endpoint, document: Document) -> Map:
    """The request body; an empty Map where there is none."""
    return document.resolved(endpoint.operation.map("requestBody"))


def _body_text(body: Map) -> str:
    return "none" if not body else "required" if body.get("required") is True else "optional"


def _replies(comparison: Comparison, ours: Endpoint, theirs: Endpoint) -> None:
    """Every status that the reference documents. More of ours are no difference: they only say more."""
    own, other = ours.operation.map("responses"), theirs.operation.map("responses")
    for status in other:
        found = _status(status, own)
        where = f"{ours.id}.{'reply' if status.startswith('2') else 'error'}"
        pos = own.at(found) if found else ours.pos
        comparison.fact("reply", bool(found), Place(where), found or ABSENT, status, pos, other.at(status))
        if found:
            _media(comparison, own.map(found), other.map(status), where)


def _status(status: str, ours: Map) -> str:
    """Our status for one of theirs: the same, else one of its class, else `default`; "" for none."""
    if status in ours:
        return status
    own_class = [one for one in ours if one[:1] == status[:1] and status.upper().endswith("XX")]
    fallback = "default" if "default" in ours and not status.startswith("2") else ""
    return own_class[0] if own_class else fallback


def _media(comparison: Comparison, ours: Map, theirs: Map, where: str) -> None:
    own, other = comparison.our.document.media(ours), comparison.their.document.media(theirs)
    for kind, schema in other.items():
        mine, place = own.get(kind), _media_place(where, kind)
        name = ABSENT if mine is None else kind
        comparison.fact("media", mine is not None, place, name, kind, ours.pos, theirs.pos)
        if mine is not None:
            comparison.schemas(mine, schema, place)
    for kind in own:
        if kind not in other:
            comparison.fact("media", False, _media_place(where, kind), kind, ABSENT, ours.pos, theirs.pos)


def _media_place(where: str, kind: str) -> Place:
    streams = kind in _STREAMS and where.endswith(".reply")
    return Place(f"{where.removesuffix('.reply')}.stream" if streams else where)
