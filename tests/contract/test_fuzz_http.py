"""Schemathesis over HTTP: every operation through a socket and the HTTP server that `stack-serve` uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from support import contract
from support.fuzzing import EXAMPLES, Answers, fuzz
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port
from support.serving import serving

PORT = free_port()
schema = contract.schema_of(f"http://127.0.0.1:{PORT}", examples=max(EXAMPLES // 5, 3), coverage=False)


@dataclass
class Server:
    """A server with what the spec's examples name, made anew for the operation that follows on a deletion."""

    upstream: LoopbackUpstream
    stack: ExitStack
    runs: bool = False

    def start(self) -> None:
        if not self.runs:
            self.stack.enter_context(serving(contract.whole(self.upstream), port=PORT))
            self.runs = True

    def stop(self) -> None:
        self.stack.close()
        self.runs = False


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with LoopbackUpstream.running() as upstream, ExitStack() as stack:
        yield Server(upstream, stack)


@pytest.fixture
def server(one_server: Server, answers: Answers) -> Iterator[Server]:
    one_server.start()
    yield one_server
    if answers.deleted:
        one_server.stop()


@schema.parametrize()
def test_operation_over_http(case: Any, answers: Answers, server: Server) -> None:
    response = fuzz(case, answers)
    if case.method == "DELETE" and response.status_code == 200:
        answers.deleted = True
        contract.restore(schema, response.json()["id"])
