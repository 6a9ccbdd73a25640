"""Schemathesis over HTTP: every operation through a socket and the HTTP server that `stack-serve` uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import contract
from support.fuzzing import EXAMPLES, Answers, fuzz
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port
from support.serving import serving

PORT = free_port()
schema = contract.schema_of(f"http://127.0.0.1:{PORT}", examples=max(EXAMPLES // 5, 3), coverage=False)


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


@pytest.fixture(autouse=True)
def served(upstream: LoopbackUpstream) -> Iterator[None]:
    """A server of its own for each operation, for some of them delete what others ask for."""
    with serving(contract.whole(upstream), port=PORT):
        yield


@schema.parametrize()
def test_operation_over_http(case: Any, answers: Answers) -> None:
    response = fuzz(case, answers)
    if case.method == "DELETE" and response.status_code == 200:
        contract.restore(schema, response.json()["id"])
