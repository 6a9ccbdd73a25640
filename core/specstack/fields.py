"""Reading and changing fields of models by path, for generated routers and routing tables."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from pydantic_core import to_json

from specstack_wire import Event, Payload, Stream, given

R = TypeVar("R", bound=Payload[Any] | Stream[Any])


def field_at(value: Any, path: str) -> Any:
    """What stands at `path` (attribute names joined by dots) in a model or mapping; None when absent."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = cast("Mapping[str, Any]", value).get(name)
        else:
            value = getattr(value, name, None)
        value = given(value)
        if value is None:
            return None
    return value


def fields_at(value: Any, paths: Mapping[str, str]) -> dict[str, str]:
    """The strings at several paths; those that are absent are left out."""
    found = {name: field_at(value, path) for name, path in paths.items()}
    return {name: str(item) for name, item in found.items() if item is not None}


def facts_at(value: Any, path: str) -> dict[str, Any]:
    """The properties of the object at `path`, as plain data; none when it is absent or no object."""
    found = field_at(value, path)
    if isinstance(found, BaseModel):
        return found.model_dump(mode="json", exclude_unset=True)
    return dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}


def restored(reply: R, paths: Sequence[str], own: str, key: str) -> R:
    """The reply with the provider's id `own` changed back to the client's `key` at nested `paths`.

    A path is attribute names joined by dots, with `[]` for every item of a list. Bytes in which `own` does
    not occur are passed on unread. In a stream every event is treated so.
    """
    if own == key:
        return reply
    ways = [path.split(".") for path in paths]
    needle = to_json(own)
    if isinstance(reply, Stream):
        events = cast("Stream[Any]", reply)
        return cast(R, Stream[Any].events(_restored_events(events, ways, own, key, needle)))
    return cast(R, _restored_payload(cast("Payload[Any]", reply), ways, own, key, needle))


def replaced_at(value: Any, ways: Sequence[Sequence[str]], ids: Mapping[str, str]) -> Any:
    """`value` with the strings at `ways` looked up in `ids`; the same object where nothing changes."""
    for way in ways:
        value = _replaced(value, way, ids)
    return value


def _restored_payload(
    payload: Payload[Any], ways: Sequence[Sequence[str]], own: str, key: str, needle: bytes
) -> Payload[Any]:
    body = _restored_body(payload, ways, own, key, needle)
    return payload if body is payload else Payload[Any].of(body)


def _restored_event(
    event: Event[Any], ways: Sequence[Sequence[str]], own: str, key: str, needle: bytes
) -> Event[Any]:
    body = _restored_body(event, ways, own, key, needle)
    return event if body is event else Event[Any](body, None, None, event.name)


def _restored_body(
    payload: Payload[Any], ways: Sequence[Sequence[str]], own: str, key: str, needle: bytes
) -> Any:
    """The changed body, or the payload itself where nothing changes."""
    if payload.has_raw and needle not in payload.raw and b"\\u" not in payload.raw:
        return payload
    body = replaced_at(payload.body, ways, {own: key})
    return payload if body is payload.body else body


async def _restored_events(
    stream: Stream[Any], ways: Sequence[Sequence[str]], own: str, key: str, needle: bytes
) -> AsyncIterator[Event[Any]]:
    try:
        async for event in stream:
            yield _restored_event(event, ways, own, key, needle)
    finally:
        await stream.aclose()


def _replaced(value: Any, way: Sequence[str], ids: Mapping[str, str]) -> Any:
    if not way:
        return ids.get(value, value) if isinstance(value, str) else value
    name, rest = way[0], way[1:]
    if name == "[]":
        if not isinstance(value, list):
            return value
        items = cast("list[Any]", value)
        changed = [_replaced(item, rest, ids) for item in items]
        return changed if any(new is not old for new, old in zip(changed, items, strict=True)) else items
    inner = field_at(value, name)
    new = None if inner is None else _replaced(inner, rest, ids)
    if new is inner:
        return value
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: new})
    return {**cast("Mapping[str, Any]", value), name: new}
