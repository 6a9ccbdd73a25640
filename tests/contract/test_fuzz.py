"""Schemathesis against the server: every operation, all checks, four set-ups, the same cases every time."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.python import asgi

from support import contract, faulty
from support.fuzz_run import RUN, Run
from support.fuzz_setups import Runs, Served, Setup
from support.fuzzing import EXAMPLES, SHARE, transport
from support.loopback_upstream import LoopbackUpstream

# Schemathesis wants the app while tests are collected, so the model server behind it starts then.
_servers = ExitStack()
atexit.register(_servers.close)
_upstream = _servers.enter_context(LoopbackUpstream.running())
_silent = _servers.enter_context(LoopbackUpstream.running())
_silent.app.models = {"object": "list", "data": []}

schema = contract.schema_of(contract.whole(_upstream))
# With keys: what is public answers everybody, all else nobody without one (the check `ignored_auth`).
keyed = contract.schema_of(contract.whole(_upstream, keyed=True), keyed=True)
unguarded = contract.schema_of(contract.whole(_upstream), keyed=True)
# The generated routers are no ornament: they serve the same in an app that knows nothing of ours.
routers = contract.schema_of(contract.bare(_upstream))
_served = Served(contract.whole(_upstream))
# A registration may stand over a model that its provider announces, and deleting it uncovers that again.
# Here, where what is deleted must stay away, providers announce nothing, and answer for what is registered.
sequences = contract.schema_of(contract.whole(_silent, announced=False), linked=True)

IN_PROCESS = Setup("in process", schema, EXAMPLES, contract.restore)
WITH_KEYS = Setup("in process, with keys", keyed, SHARE, contract.restore)
BARE = Setup("in a bare app", routers, SHARE, contract.restore)
OVER_HTTP = Setup("over HTTP", contract.schema_of(_served.url), SHARE, contract.restore)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    yield _served
    _served.stop()


@pytest.fixture
def runs(served: Served) -> Iterator[Runs]:
    """Sends an operation's cases; fails where they never got through."""
    served.start()
    sending = Runs(IN_PROCESS, WITH_KEYS, BARE, OVER_HTTP)
    yield sending
    if sending.answers[OVER_HTTP.name].deleted:
        served.stop()
    sending.check()


@schema.parametrize()
def test_operation(case: Any, runs: Runs) -> None:
    runs.send(case)


def test_a_server_that_asks_for_no_key_is_found_out() -> None:
    case = unguarded["/v1/models"]["GET"].Case()
    with pytest.raises(FailureGroup) as caught:
        case.call_and_validate()
    assert {type(one).__name__ for one in caught.value.exceptions} == {"IgnoredAuth"}


@pytest.mark.parametrize(
    ("method", "path", "fault", "found"),
    [
        ("GET", "/v1/models/{model}", faulty.wrong_type, "JsonSchemaError"),
        ("POST", "/v1/completions", faulty.wrong_event, "JsonSchemaError"),
        ("GET", "/v1/models/{model}", faulty.other_status, "JsonSchemaError"),
        ("POST", "/v1/embeddings", faulty.no_media_type, "MissingContentType"),
        ("POST", "/v1/models", faulty.crash, "ServerError"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_is_found(
    method: str,
    path: str,
    fault: Callable[[faulty.Reply], None],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the cases that a further set-up gets, in which the fault is: the first one has none."""
    monkeypatch.setattr("support.fuzzing.RUN", Run())
    broken = contract.schema_of(faulty.faulty(contract.whole(_upstream), fault))
    runs = Runs(replace(IN_PROCESS), Setup("broken", broken, SHARE, contract.restore))
    operation = schema[path][method]
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(strategies.one_of(modes))
    def run(case: Any) -> None:
        runs.send(case)

    with pytest.raises(FailureGroup) as caught:
        run()
    assert found in {type(one).__name__ for one in caught.value.exceptions}
    assert any("broken" in note for note in caught.value.__notes__)


class Sequences(sequences.as_state_machine()):  # pyright: ignore[reportUntypedBaseClass]
    """Calls that use what earlier calls gave, each sequence on a server of its own."""

    seen: ClassVar[set[tuple[str, int]]] = set()
    followed: ClassVar[set[tuple[str, int]]] = set()
    created: set[str]

    def setup(self) -> None:
        asgi.shutdown_lifespans()
        self.created = set()

    def get_call_kwargs(self, case: Any) -> dict[str, Any]:
        return transport(case)

    def after_call(self, response: Any, case: Any) -> None:
        RUN.note("sequences", case, response)
        answer = (case.operation.label, response.status_code)
        self.seen.add(answer)
        if (case.path_parameters or {}).get("completion_id") in self.created:
            self.followed.add(answer)
        if answer == ("POST /v1/chat/completions", 200) and response.content.startswith(b"{"):
            self.created.add(json.loads(response.content)["id"])


class TestSequences(Sequences.TestCase):
    settings = hypothesis.settings(
        max_examples=max(30, EXAMPLES // 3),
        stateful_step_count=6,
        deadline=None,
        derandomize=True,
        database=None,
    )

    def runTest(self) -> None:
        super().runTest()
        # Ids travelled from one call to the next: what was registered was found, what was deleted was gone.
        assert ("POST /v1/models", 200) in Sequences.seen
        for path in ("GET /v1/models/{model}", "DELETE /v1/models/{model}"):
            assert {(path, 200), (path, 404)} <= Sequences.seen
        # What a sequence itself had created was kept, and found under the id of that reply.
        assert 200 in {status for _, status in Sequences.followed}
