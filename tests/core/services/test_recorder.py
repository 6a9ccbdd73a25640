"""Rows of what was answered: whatever one reply is, the others are kept."""

import json
from typing import Any

import pytest

from specstack.services.stored_completions import recorder
from specstack.services.stored_completions.recorder import Kept, RowReader
from specstack.sources import RandomIds, SystemClock
from specstack_wire import SHARED


def kept(reply: bytes | list[Any]) -> Kept:
    return (SHARED, "m", None, b"{}", reply)


def whole(number: int) -> bytes:
    return json.dumps({"id": f"c-{number}", "created": number}).encode()


async def test_a_reply_that_nobody_foresaw_costs_its_own_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, chunks: Any) -> None:
        raise TypeError("not foreseen")

    monkeypatch.setattr(recorder.Assembly, "read", fails)
    batch = [kept(whole(1)), kept([b'data: {"id": "s"}\n\n']), kept(b"[]"), kept(whole(2))]
    rows = await RowReader(RandomIds(), SystemClock()).rows(batch)
    assert [row.values["completion_id"] for row in rows] == ["c-1", "c-2"]


async def test_a_batch_of_which_nothing_can_be_read_is_no_rows() -> None:
    assert len(await RowReader(RandomIds(), SystemClock()).rows([kept(b"[]"), kept(b"{")])) == 0
