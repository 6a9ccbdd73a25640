"""Comparing request bodies, replies and streams of an operation."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.beside import compare_links
from specstack_codegen.review.changes import shown
from specstack_codegen.review.comparison import Documents, Pair, as_map
from specstack_codegen.review.findings import Subject
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import walk

_STREAMS = frozenset(
    {"text/event-stream", "application/jsonl", "application/x-jsonl", "application/x-ndjson"}
)


def compare_request_body(documents: Documents, subject: Subject, node: Pair) -> None:
    """Report every difference between the bodies that callers may send."""
    sink, path, places = documents.sink, "request.body", node.at("requestBody")
    if "requestBody" not in node.old and "requestBody" not in node.new:
        return
    body = documents.resolved(node.old.get("requestBody"), node.new.get("requestBody"))
    needed = body.new.get("required") is True
    if "requestBody" not in node.old:
        rule = "request-body-required" if needed else "request-body-added"
        text = f"a request body is new{' and required' if needed else ''}"
        sink.add(rule, subject, path, text, *places)
    elif "requestBody" not in node.new:
        sink.add("request-body-removed", subject, path, "the request body is gone", *places)
    else:
        if (body.old.get("required") is True) != needed:
            rule = "request-body-required" if needed else "request-body-optional"
            text = f"the body is {'now' if needed else 'no longer'} required"
            sink.add(rule, subject, path, text, *body.at("required"))
        _content(documents, subject, path, body, output=False, streams=False)


def compare_responses(documents: Documents, subject: Subject, node: Pair) -> None:
    """Report every difference between the replies that clients may get."""
    sink, responses = documents.sink, node.map("responses")
    gone, come = list(responses.gone()), list(responses.come())
    successes = [one for one in gone if one.startswith("2")], [one for one in come if one.startswith("2")]
    if len(successes[0]) == len(successes[1]) == 1:
        (before,), (after,) = successes
        rule = "response-status-widened" if _covers(after, before) else "response-status-changed"
        rule = "response-status-narrowed" if _covers(before, after) else rule
        if before.upper() != after.upper():
            text = f"the status {before} became {after}"
            places = responses.old.at(before), responses.new.at(after)
            sink.add(rule, subject, f"response.{before}", text, *places)
        _response(documents, subject, before, responses.old[before], responses.new[after])
        gone.remove(before)
        come.remove(after)
    for status in gone:
        rule = "response-status-removed" if status[0] in "123" else "error-status-removed"
        places = responses.old.at(status), node.new.at("responses")
        announced = next((one for one in _announced_by(status) if one in responses.new), None)
        if announced is not None:
            rule = "response-status-widened" if status[0] in "123" else rule
            _response(documents, subject, status, responses.old[status], responses.new[announced])
        sink.add(rule, subject, f"response.{status}", f"the status {status} is gone", *places)
    for status in come:
        rule = "response-status-added" if status[0] in "123" else "error-status-added"
        announced = next((one for one in _announced_by(status) if one in responses.old), None)
        if announced is not None:
            rule = "error-status-described" if rule == "error-status-added" else rule
            _response(documents, subject, status, responses.old[announced], responses.new[status])
        places = node.old.at("responses"), responses.new.at(status)
        sink.add(rule, subject, f"response.{status}", f"the status {status} is new", *places)
    for status in responses.both():
        _response(documents, subject, status, responses.old[status], responses.new[status])


def _covers(one: str, other: str) -> bool:
    return one.upper().endswith("XX") and one[0] == other[0]


def _announced_by(status: str) -> Iterator[str]:
    """What in an OpenAPI document speaks for a status that is not listed."""
    if status != "default":
        yield from (f"{status[0]}XX", f"{status[0]}xx")
        if status[0] not in "123":
            yield "default"


def _response(documents: Documents, subject: Subject, status: str, old: object, new: object) -> None:
    response, path = documents.resolved(old, new), f"response.{status}"
    _headers(documents, subject, path, response)
    _content(documents, subject, path, response, output=True, streams=True)
    compare_links(documents, subject, path, response)


def _headers(documents: Documents, subject: Subject, path: str, response: Pair) -> None:
    sink = documents.sink
    headers = Pair(_lower(response.old.map("headers")), _lower(response.new.map("headers")))
    places = response.at("headers")
    for name in headers.gone():
        stability = as_map(documents.resolved(headers.old[name], None).old)
        promised = "deprecated" if stability.get("deprecated") is True else ""
        text = f"the header `{name}` is gone"
        where = headers.old.at(name), places[1]
        sink.add("response-header-removed", subject, f"{path}.headers.{name}", text, *where, promised)
    for name in headers.come():
        text = f"the header `{name}` is new"
        where = places[0], headers.new.at(name)
        sink.add("response-header-added", subject, f"{path}.headers.{name}", text, *where)
    for name in headers.both():
        header = documents.resolved(headers.old[name], headers.new[name])
        was, now = (one.get("required") is True for one in header)
        if was != now:
            rule = "response-header-required" if now else "response-header-optional"
            text = f"`{name}` is {'now' if now else 'no longer'} always there"
            sink.add(rule, subject, f"{path}.headers.{name}", text, *header.at("required"))
        _header_notes(documents, subject, f"{path}.headers.{name}", header)
        documents.schema("response", True, subject, f"{path}.headers.{name}", header, "schema")


def _header_notes(documents: Documents, subject: Subject, path: str, header: Pair) -> None:
    """How a header is written, and whether it is about to go."""
    content = header.map("content")
    if header.old.get("explode", False) != header.new.get("explode", False):
        where = header.at("explode")
        documents.sink.add("response-header-style-changed", subject, path, header.changed("explode"), *where)
    elif header.old.text("style", "simple") != header.new.text("style", "simple"):
        where = header.at("style")
        documents.sink.add("response-header-style-changed", subject, path, header.changed("style"), *where)
    elif content.old.keys() != content.new.keys():
        text = "it has another media type"
        documents.sink.add("response-header-style-changed", subject, path, text, *header.at("content"))
    was, now = (one.get("deprecated") is True for one in header)
    if was != now:
        rule = "response-header-deprecated" if now else "stability-changed"
        text = f"`deprecated` is {'new' if now else 'gone'}"
        documents.sink.add(rule, subject, path, text, *header.at("deprecated"))
    for media in content.both():
        documents.schema("response", True, subject, path, content.map(media), "schema")


def _lower(headers: Map) -> Map:
    """The headers by lower-case name: case is no part of it."""
    found = Map(pos=headers.pos)
    for name, value in headers.items():
        found.put(name.lower(), value, headers.at(name))
    return found


def _content(
    documents: Documents, subject: Subject, path: str, holder: Pair, *, output: bool, streams: bool
) -> None:
    sink, places = documents.sink, holder.at("content")
    content = Pair(_plain(holder.old.map("content")), _plain(holder.new.map("content")))
    word, side = ("response", path) if output else ("request", path)
    for media in content.gone():
        wider = next((one for one in _ranges(media) if one in content.new), None)
        if wider is not None and not output:
            pair = documents.resolved(content.old[media], content.new[wider])
            documents.schema(word, output, subject, path, pair, "schema")
            continue
        text = f"the media type {media} is gone"
        where = content.old.at(media), places[1]
        sink.add(f"{word}-media-removed", subject, side, text, *where)
    for media in content.come():
        rule = "stream-media-added" if streams and media in _STREAMS else f"{word}-media-added"
        where = places[0], content.new.at(media)
        sink.add(rule, subject, side, f"the media type {media} is new", *where)
    for media in content.both():
        pair = documents.resolved(content.old[media], content.new[media])
        body = f"{path}.body" if output else path
        alike = _alike(pair)
        documents.schema(word, output, subject, body, alike, "schema")
        if alike is pair:
            events = f"{path}.event" if output else f"{path}.item"
            documents.schema(word, output, subject, events, pair, "itemSchema")
        _encoding(documents, subject, path, pair)


def _ranges(media: str) -> tuple[str, ...]:
    """What takes in a media type besides itself."""
    return tuple(one for one in (f"{media.partition('/')[0]}/*", "*/*") if one != media)


def _alike(pair: Pair) -> Pair:
    """Both media types with a `schema`, where one side describes a stream's events as OpenAPI 3.1 does."""
    if len({"schema", "itemSchema"} & (pair.old.keys() ^ pair.new.keys())) < 2:
        return pair
    return Pair(*(_with_event_data(one) for one in pair))


def _with_event_data(media: Map) -> Map:
    """The media type with the schema of one event's data for a schema, if it has that alone."""
    if "schema" in media or "itemSchema" not in media:
        return media
    items = walk(media.map("itemSchema"), "schema")
    data = next((node.value.get("contentSchema") for node in items if "contentSchema" in node.value), None)
    copy = Map(pos=media.pos)
    copy.put("schema", data if data is not None else media["itemSchema"], media.at("itemSchema"))
    return copy


def _plain(content: Map) -> Map:
    """Media types without parameters and in lower case."""
    found = Map(pos=content.pos)
    for name, value in content.items():
        found.put(name.split(";")[0].strip().lower(), value, content.at(name))
    return found


def _encoding(documents: Documents, subject: Subject, path: str, pair: Pair) -> None:
    for key in ("prefixEncoding", "itemEncoding"):
        if pair.differs(key):
            text = pair.changed(key)
            documents.sink.add("encoding-changed", subject, f"{path}.{key}", text, *pair.at(key))
    encoding = pair.map("encoding")
    for name in dict.fromkeys((*encoding.old, *encoding.new)):
        one, other = encoding.values(name)
        if one != other:
            text = f"the encoding of `{name}` {shown(one)} became {shown(other)}"
            where: tuple[Position, Position] = (encoding.old.at(name), encoding.new.at(name))
            documents.sink.add("encoding-changed", subject, f"{path}.{name}", text, *where)
