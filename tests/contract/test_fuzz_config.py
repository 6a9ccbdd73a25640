"""The fuzz's own parts: what its configuration takes from a spec, and that its checks can fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from support.fuzz_run import Run
from support.fuzz_setups import Setup
from support.fuzzing import (
    Answers,
    Known,
    breaks_nothing,
    example_ids,
    operation_blocks,
    refusal_is_declared,
    settled,
    stream_is_whole,
    success_media,
)

SPEC: dict[str, Any] = {
    "openapi": "3.2.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/v1/spin": {
            "post": {
                "operationId": "spin",
                "x-serve": {
                    "mode": "routed",
                    "resource": "top",
                    "key": "body.top",
                    "requires": {"kind": ["round"]},
                },
                "x-refusals": ["too_fast"],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Spin"}}}
                },
                "responses": {
                    "200": {"description": "", "content": {"application/json": {}}},
                    "404": {"description": ""},
                },
            }
        },
        "/v1/tops/{top}": {
            "parameters": [{"$ref": "#/components/parameters/Top"}],
            "delete": {
                "operationId": "deleteTop",
                "x-serve": {"mode": "table", "resource": "top", "action": "unregister"},
                "responses": {"204": {"description": ""}, "409": {"description": ""}},
            },
        },
    },
    "components": {
        "parameters": {"Top": {"in": "path", "name": "top", "x-resource": "top", "example": "square-1"}},
        "schemas": {
            "Spin": {
                "type": "object",
                "properties": {"top": {"type": "string", "x-resource": "top"}, "speed": {"type": "integer"}},
                "examples": [{"top": "round-1", "speed": 1}, {"speed": 2}],
            }
        },
    },
}


def test_ids_of_examples_have_the_attributes_that_their_operations_require() -> None:
    assert example_ids(SPEC, "top") == [Known("round-1", {"kind": "round"}), Known("square-1")]


def test_fields_draw_what_exists_and_fits_and_refusals_are_accepted_where_declared() -> None:
    known = [Known("round-1", {"kind": "round"}), Known("square-1", {"kind": "square"})]

    dictionaries, blocks = operation_blocks(SPEC, {"top": known}, {"body.speed": ["3"]}, {"too_fast": 422})

    assert {name: found["values"] for name, found in dictionaries.items()} == {
        "spin-body-top": ["round-1"],
        "spin-body-speed": ["3"],
        "deleteTop-path-top": ["round-1", "square-1"],
    }
    assert {
        block["include-operation-id"]: block["checks"]["positive_data_acceptance"]["expected-statuses"]
        for block in blocks
    } == {"spin": ["2xx", "404", "422"], "deleteTop": ["2xx", "409"]}


def case_of(operation: dict[str, Any], positive: bool = True) -> Any:
    mode = SimpleNamespace(is_positive=positive)
    definition = SimpleNamespace(raw=operation)
    return SimpleNamespace(
        meta=SimpleNamespace(generation=SimpleNamespace(mode=mode)),
        operation=SimpleNamespace(definition=definition, label="x"),
    )


def reply_of(status: int, content: bytes, media: str = "application/json") -> Any:
    return SimpleNamespace(status_code=status, content=content, headers={"content-type": [media]})


def test_an_undeclared_refusal_fails_and_a_declared_one_does_not() -> None:
    refused = reply_of(400, b'{"error": {"code": "too_fast", "message": "slower"}}')

    assert refusal_is_declared(None, refused, case_of({"x-refusals": ["too_fast"]})) is None
    assert refusal_is_declared(None, refused, case_of({}, positive=False)) is None
    with pytest.raises(AssertionError, match="too_fast"):
        refusal_is_declared(None, refused, case_of({"x-refusals": ["too_slow"]}))


@pytest.mark.parametrize("content", [b'data: {"a": 1}\n\n', b'data: {"error": {}}\n\ndata: [DONE]\n\n'])
def test_a_stream_that_breaks_off_fails(content: bytes) -> None:
    case = case_of({"x-stream": {"end": "[DONE]"}})

    assert (
        stream_is_whole(None, reply_of(200, b"data: {}\n\ndata: [DONE]\n\n", "text/event-stream"), case)
        is None
    )
    with pytest.raises(AssertionError):
        stream_is_whole(None, reply_of(200, content, "text/event-stream"), case)


def test_an_operation_that_never_got_through_fails() -> None:
    answers = Answers(wanted=success_media(SPEC["paths"]["/v1/spin"]["post"]))
    answers.add(reply_of(404, b"{}"))
    with pytest.raises(AssertionError, match="application/json"):
        answers.check()

    answers.add(reply_of(200, b"{}"))
    answers.check()
    with pytest.raises(AssertionError, match="nothing was sent"):
        Answers().check()


def test_an_empty_success_counts_as_one() -> None:
    answers = Answers(wanted=success_media(SPEC["paths"]["/v1/tops/{top}"]["delete"]))
    answers.add(SimpleNamespace(status_code=204, headers={}))
    answers.check()


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"labels[a]": "null"}, True),
        ({"labels[a]": 0.5, "labels[b]": [True]}, True),
        ({"labels[a]": []}, True),
        ({"labels[a]": ["1", "2"]}, False),
        ({"labels[a]": "too long"}, False),
        ({"labels": ""}, False),
    ],
)
def test_what_is_no_text_in_an_object_of_the_query_is_text_once_it_is_sent(
    query: dict[str, Any], fits: bool
) -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}}
    labels = SimpleNamespace(name="labels", definition={"style": "deepObject", "schema": schema})
    mutation = SimpleNamespace(parameter="labels", parameter_location=ParameterLocation.QUERY)
    case = case_of({}, positive=False)
    case.operation.query, case.query = [labels], query
    case.meta.phase = SimpleNamespace(data=SimpleNamespace(mutations=(mutation,)))

    assert breaks_nothing(case) is fits

    other = SimpleNamespace(parameter="label", parameter_location=ParameterLocation.PATH)
    case.meta.phase.data.mutations = (mutation, other)
    assert not breaks_nothing(case)


def test_a_set_up_gets_its_share_and_all_once_a_case_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(case: Any, answers: Answers) -> None:
        raise AssertionError("it fell over")

    monkeypatch.setattr("support.fuzz_setups.fuzz", failing)

    def drawn(phase: TestPhase = TestPhase.FUZZING) -> Any:
        case = case_of({})
        case.meta.phase = SimpleNamespace(name=phase)
        return case

    setup = Setup("a set-up", schema=None, share=2, restore=lambda schema, name: None)

    assert [setup.takes(drawn()) for _ in range(4)] == [True, True, False, False]
    assert setup.takes(drawn(TestPhase.EXAMPLES)) and not setup.takes(drawn(TestPhase.COVERAGE))
    with pytest.raises(AssertionError, match="fell over") as caught:
        setup.send(drawn(), Answers())
    assert caught.value.__notes__[-1].endswith("a set-up")
    assert setup.takes(drawn())


def sent(run: Run, url: str, body: bytes | None = None) -> None:
    request = SimpleNamespace(method="POST", path_url=url, headers={}, body=body)
    run.note("a set-up", case_of({}), SimpleNamespace(request=request))


def test_runs_that_send_the_same_have_the_same_digest() -> None:
    one, same, other = Run(), Run(), Run()
    for run in (one, same):
        sent(run, "/v1/tops", b"{}")
        sent(run, "/v1/tops")
    sent(other, "/v1/tops")
    sent(other, "/v1/tops", b"{}")

    assert one.digest == same.digest != other.digest
    assert one.summary(3)[:2] == ["       2 cases of   1 operations  a set-up", "       2 cases  x"]
    assert one.summary(3)[-1].startswith("1 operations, 2 cases, 3 failures, 0 s; digest")


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    run = Run(tell=told.append)
    sent(run, "/v1/tops")
    assert not told

    monkeypatch.setattr("support.fuzz_run.PROGRESS_SECONDS", 0.0)
    sent(run, "/v1/tops")
    assert len(told) == 1 and told[0].endswith("2 cases, now a set-up: x")


def test_a_settled_configuration_is_put_together_once() -> None:
    def give(*, operation: Any = None, phase: str | None = None) -> object:
        return object()

    config = SimpleNamespace(checks_config_for=give, generation_for=give)
    settled(config)
    operation, other = SimpleNamespace(label="x"), SimpleNamespace(label="y")

    first = config.checks_config_for(operation=operation, phase="fuzzing")
    assert first is config.checks_config_for(operation=operation, phase="fuzzing")
    assert first is not config.checks_config_for(operation=other, phase="fuzzing")
    assert first is not config.checks_config_for(operation=operation)
