"""Fields by path: reading what may be absent, and putting the client's id back deep inside a reply."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import Field

from specstack.fields import facts_at, field_at, fields_at, replaced_at, restored
from specstack_wire import ApiModel, Event, Payload, Stream


class Part(ApiModel):
    machine: str
    note: str | None = None


class Report(ApiModel):
    part: Part | None = None
    data: list[Part] = Field(default_factory=list[Part])


async def collect(stream: Stream[Any]) -> list[Event[Any]]:
    return [event async for event in stream]


def test_absent_null_and_unknown_fields_read_as_none() -> None:
    report = Report(part=Part(machine="m", note=None))
    assert field_at(report, "part.machine") == "m"
    assert field_at(report, "part.note") is None
    assert field_at(report, "part.missing.deeper") is None
    assert field_at(Report(), "part.machine") is None
    assert field_at({"part": {"machine": "m"}}, "part.machine") == "m"


def test_several_fields_leave_out_what_is_absent() -> None:
    assert fields_at({"a": {"b": 1}}, {"one": "a.b", "two": "a.c"}) == {"one": "1"}


def test_facts_are_the_properties_that_were_given_and_none_where_there_is_no_object() -> None:
    class Facts(ApiModel):
        size: int
        colour: str = "red"

    class Thing(ApiModel):
        facts: Facts

    thing = Thing.model_validate({"facts": {"size": 3, "more": None}})
    assert facts_at(thing, "facts") == facts_at({"facts": {"size": 3, "more": None}}, "facts")
    assert facts_at(thing, "facts") == {"size": 3, "more": None}
    assert facts_at(thing, "facts.size") == facts_at(thing, "none") == {}


def test_ids_change_in_objects_and_lists_and_nowhere_else() -> None:
    report = Report(part=Part(machine="own", note="own"), data=[Part(machine="own"), Part(machine="other")])
    found = restored(
        Payload[Report].of(report), ("part.machine", "data.[].machine"), "own", "client/own"
    ).body
    assert found.part is not None
    assert (found.part.machine, found.part.note) == ("client/own", "own")
    assert [part.machine for part in found.data] == ["client/own", "other"]
    assert report.part is not None and report.part.machine == "own", "the provider's own object is left alone"


def test_a_reply_without_the_id_is_passed_on_unread() -> None:
    payload = Payload[Report].from_raw(b'{"not": "even a report"', Report)
    assert restored(payload, ("part.machine",), "own", "key") is payload


def test_a_reply_is_passed_on_when_the_ids_are_the_same() -> None:
    payload = Payload[Report].from_raw(b'{"part": {"machine": "own"}}', Report)
    assert restored(payload, ("part.machine",), "own", "own") is payload


def test_an_escaped_id_is_found_all_the_same() -> None:
    payload = Payload[Report].from_raw(b'{"part": {"machine": "\\u006fwn"}}', Report)
    found = restored(payload, ("part.machine",), "own", "key").body
    assert found.part is not None and found.part.machine == "key"


def test_every_event_of_a_stream_is_restored_and_keeps_its_name() -> None:
    async def events() -> AsyncIterator[Event[Report]]:
        yield Event(Report(part=Part(machine="own")), None, None, "done")
        yield Event(Report(), None, None, "empty")

    stream = restored(Stream[Report].events(events()), ("part.machine",), "own", "key")
    found = asyncio.run(collect(stream))
    assert [event.name for event in found] == ["done", "empty"]
    assert found[0].body.part.machine == "key"


def test_closing_the_restored_stream_closes_its_source() -> None:
    closed: list[bool] = []

    async def events() -> AsyncIterator[Event[Report]]:
        try:
            yield Event(Report(), None, None, None)
        finally:
            closed.append(True)

    async def leave() -> None:
        stream = restored(Stream[Report].events(events()), ("part.machine",), "own", "key")
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())
    assert closed == [True]


@pytest.mark.parametrize("value", [None, 3, "text", [1, 2], {"machine": 5}])
def test_a_place_that_is_something_else_stays(value: Any) -> None:
    body = {"data": value}
    assert replaced_at(body, [["data", "[]", "machine"], ["data", "machine"]], {"own": "key"}) is body
