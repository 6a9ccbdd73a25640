"""What the contract fuzz needs to know, read from the bundle: ids that exist, refusals that are declared.

Schemathesis draws data from schemas alone. Two things that a schema cannot say stand in the bundle's
extensions: which fields carry a resource's id (`x-resource`, `x-serve`), so that drawn requests name
something that exists; and with which codes an operation may refuse data that fits its schema (`x-refusals`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

import hypothesis
import jsonschema_rs
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from specstack_wire import ApiError
from support.fresh import Fresh, session_with
from support.fuzz_run import RUN

Json = dict[str, Any]

EXAMPLES: Final = int(os.environ.get("SPECSTACK_FUZZ_EXAMPLES", "12"))
SHARE: Final = max(EXAMPLES // 3, 8)
"""How many of the cases drawn for an operation go to each further set-up."""
DEEP: Final = EXAMPLES > 100
"""Whether the run takes so long that it should say how far it has come."""
SEED: Final = 20261122
MAX_EVENTS: Final = 200
METHODS: Final = ("get", "put", "post", "delete", "patch")
# Valid data may also meet an id that is not there or is taken already.
ABSENT_OR_TAKEN: Final = {"404", "409"}


@dataclass(frozen=True)
class Known:
    """A resource that exists while the fuzz runs: its id, and the attributes by which operations choose."""

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])

    def fits(self, requires: Mapping[str, Sequence[str]]) -> bool:
        return all(self.attributes.get(name) in allowed for name, allowed in requires.items())


def codes_of(errors: ModuleType) -> dict[str, int]:
    """The status of each error code of a generated errors module."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ApiError))
    return {kind.code: kind.status for kind in kinds if kind.code}


def operations(bundle: Json) -> Iterator[tuple[str, str, Json]]:
    """(method, path, operation) of a bundle; parameters of the path item stand in each operation."""
    for path, item in bundle["paths"].items():
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                yield (
                    method,
                    path,
                    {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]},
                )


def example_ids(bundle: Json, resource: str) -> list[Known]:
    """The ids of a resource that the spec's own examples name, with attributes that all their uses allow.

    Schemathesis sends the examples as they are and builds other requests from them, so these must exist.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for _, _, operation in operations(bundle):
        requires: Mapping[str, Sequence[str]] = operation.get("x-serve", {}).get("requires", {})
        for place, kind in _fields(bundle, operation):
            for value in _example_values(bundle, operation, place) if kind == resource else ():
                allowed = found.setdefault(value, {})
                for name, values in requires.items():
                    allowed[name] = [v for v in allowed.get(name, values) if v in values]
    return [
        Known(name, {key: values[0] for key, values in allowed.items()}) for name, allowed in found.items()
    ]


def _example_values(bundle: Json, operation: Json, place: str) -> Iterator[str]:
    where, _, name = place.partition(".")
    if where != "body":
        for parameter in (resolved(bundle, reference) for reference in operation["parameters"]):
            if parameter["name"] == name and "example" in parameter:
                yield parameter["example"]
        return
    for media in resolved(bundle, operation["requestBody"]).get("content", {}).values():
        schema = resolved(bundle, media.get("schema", {}))
        yield from (example[name] for example in examples_of(schema) if name in example)


def examples_of(schema: Json) -> list[Any]:
    """A schema's own examples, in either form."""
    return schema.get("examples") or ([schema["example"]] if "example" in schema else [])


def configuration(
    bundle: Json,
    known: Mapping[str, Sequence[Known]],
    *,
    values: Mapping[str, Sequence[str]],
    codes: Mapping[str, int],
    examples: int = EXAMPLES,
    auth: Json | None = None,
) -> SchemathesisConfig:
    """The configuration of a run: every check on, every operation in.

    `known` holds the resources that exist, by kind; `values` values that exist for further fields, as
    `path.provider_id`, or of one operation as `listThings.query.after`; `codes` the status of each error
    code; `auth` has credentials by security scheme. To the drawn cases come some for each keyword of each
    schema, kept and broken.
    """
    dictionaries, blocks = operation_blocks(bundle, known, values, codes)
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "max-stream-events": MAX_EVENTS,
            "suppress-health-check": ["all"],
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "phases": {"coverage": {"enabled": True}},
            "dictionaries": dictionaries,
            "operations": blocks,
            **({"auth": {"openapi": auth}} if auth else {}),
        }
    )


def settled(config: Any) -> None:
    """Say that a schema's configuration will not change any more.

    Schemathesis puts an operation's part of it together anew for each case, which takes a tenth of the time.
    """
    for name in ("checks_config_for", "generation_for"):
        setattr(config, name, _remembered(getattr(config, name)))


def _remembered(give: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[str | None, str | None], Any] = {}

    def remembered(*, operation: Any = None, phase: str | None = None) -> Any:
        key = (None if operation is None else operation.label, phase)
        if key not in known:
            known[key] = give(operation=operation, phase=phase)
        return known[key]

    return remembered


def operation_blocks(
    bundle: Json,
    known: Mapping[str, Sequence[Known]],
    values: Mapping[str, Sequence[str]],
    codes: Mapping[str, int],
) -> tuple[dict[str, Json], list[Json]]:
    """The configuration's dictionaries, and its part for each operation."""
    dictionaries: dict[str, Json] = {}
    blocks: list[Json] = []
    for _, _, operation in operations(bundle):
        parameters: Json = {}
        for place, name, ids in _bindings(bundle, operation, known, values):
            dictionaries[name] = {"values": list(ids)}
            parameters[place] = {"dictionary": name, "probability": 0.9}
        accepted = {"2xx", *(ABSENT_OR_TAKEN & set(operation["responses"]))}
        accepted |= {str(codes[code]) for code in operation.get("x-refusals", [])}
        block: Json = {
            "include-operation-id": operation["operationId"],
            "checks": {"positive_data_acceptance": {"expected-statuses": sorted(accepted)}},
        }
        if parameters:
            block["parameters"] = parameters
        blocks.append(block)
    return dictionaries, blocks


def _bindings(
    bundle: Json, operation: Json, known: Mapping[str, Sequence[Known]], values: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(field, dictionary name, ids) for each field of an operation of which existing values are known."""
    serve = operation.get("x-serve", {})
    requires: Mapping[str, Sequence[str]] = serve.get("requires", {})
    for place, resource in _fields(bundle, operation):
        name = f"{operation['operationId']}-{place.replace('.', '-')}"
        known_values = values.get(f"{operation['operationId']}.{place}", values.get(place))
        if known_values is not None:
            yield place, name, known_values
        elif resource in known:
            yield place, name, [entry.id for entry in known[resource] if entry.fits(requires)]


def _fields(bundle: Json, operation: Json) -> Iterator[tuple[str, str | None]]:
    """(`path.x`, `query.x` or `body.x`, resource or None) of every parameter and top-level body field."""
    for reference in operation["parameters"]:
        parameter = resolved(bundle, reference)
        yield f"{parameter['in']}.{parameter['name']}", parameter.get("x-resource")
    body = resolved(bundle, operation.get("requestBody", {}))
    for media in body.get("content", {}).values():
        schema = resolved(bundle, media.get("schema", {}))
        for name, prop in schema.get("properties", {}).items():
            # a list or map of ids cannot be replaced by one id: for these the spec's examples name some
            one = resolved(bundle, prop).get("type") not in ("array", "object")
            yield f"body.{name}", prop.get("x-resource") if one else None


def resolved(bundle: Json, node: Json) -> Json:
    """The node that a `$ref` (with or without siblings) stands for."""
    while "$ref" in node:
        target: Any = bundle
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


@schemathesis.check
def refusal_is_declared(ctx: Any, response: Any, case: Any) -> None:
    """A 400 on data that fits the schema bears one of the codes in the operation's `x-refusals`."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    declared = case.operation.definition.raw.get("x-refusals", [])
    error = json.loads(response.content).get("error", {})
    code, message = error.get("code"), error.get("message")
    assert code in declared, f"refused with 400 {code!r} ({message}), which is not among {declared}"


@schemathesis.check
def stream_is_whole(ctx: Any, response: Any, case: Any) -> None:
    """A stream on data that fits the schema ends as documented, and none of its events is an error."""
    end = case.operation.definition.raw.get("x-stream", {}).get("end")
    media = response.headers.get("content-type", [""])[0]
    if end is None or not media.startswith("text/event-stream"):
        return
    events = [block for block in response.content.decode().split("\n\n") if block]
    assert not any(event.startswith('data: {"error"') for event in events), f"an error came: {events[-1]}"
    cut = len(events) >= MAX_EVENTS
    assert cut or events[-1] == f"data: {end}", f"the last event was {events[-1]!r}"


@dataclass
class Answers:
    """What the requests of one operation's run were answered with: status and media type."""

    setup: str = ""
    """The set-up in which the requests are sent, for the run's summary."""
    wanted: set[str] | None = None
    deleted: bool = False
    seen: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])

    def add(self, response: Any) -> None:
        media = response.headers.get("content-type", [""])[0].partition(";")[0]
        self.seen[response.status_code, media] += 1

    def check(self) -> None:
        """Fails unless requests succeeded with every media type that the operation documents."""
        got = {media for status, media in self.seen if 200 <= status < 300}
        assert self.wanted is not None, "nothing was sent"
        assert self.wanted <= got, f"no request was answered with {self.wanted - got}; seen: {self.seen}"


def fuzz(case: Any, answers: Answers) -> Any:
    """Send a case, run every check and give the response.

    A drawn case that was answered whole is sent a second time, asking for a stream.
    """
    operation = case.operation.definition.raw
    answers.wanted = success_media(operation)
    hypothesis.assume(not breaks_nothing(case))
    response = _checked(case, answers)
    wish = operation.get("x-stream", {}).get("when", "").removeprefix("body.")
    drawn = case.meta.generation.mode.is_positive and case.meta.phase.name is not TestPhase.COVERAGE
    if wish and drawn and response.status_code == 200 and case.body.get(wish) is not True:
        case.body = {**case.body, wish: True}
        _checked(case, answers)
    return response


def breaks_nothing(case: Any) -> bool:
    """Whether a case that should break the schema of an object in the query fits it once it is text.

    `metadata[topic]=null` is the text "null". Schemathesis knows this of plain parameters alone.
    """
    mutations = getattr(case.meta.phase.data, "mutations", None)
    if case.meta.generation.mode.is_positive or not mutations:
        return False
    definitions = {parameter.name: parameter.definition for parameter in case.operation.query}
    for mutation in mutations:
        name = mutation.parameter
        definition = definitions.get(name, {})
        plain = mutation.parameter_location is not ParameterLocation.QUERY or name in case.query
        if plain or definition.get("style") != "deepObject":
            return False
        start = f"{name}["
        found = {key[len(start) : -1]: value for key, value in case.query.items() if key.startswith(start)}
        # A list is sent item by item.
        texts = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
        sent = {key: many if len(many) > 1 else str(many[0]) for key, many in texts.items() if many}
        if not jsonschema_rs.validator_for(definition["schema"]).is_valid(sent):
            return False
    return True


def _checked(case: Any, answers: Answers) -> Any:
    way = transport(case)
    response = case.call(**way)
    RUN.note(answers.setup, case, response)
    answers.add(response)
    case.validate_response(response, transport_kwargs=way)
    return response


def transport(case: Any) -> Json:
    """How a case is sent: to an app of this process in the session that is kept for it."""
    app = case.operation.app
    return {"session": session_with(app, MAX_EVENTS)} if isinstance(app, Fresh) else {}


def success_media(operation: Json) -> set[str]:
    """The media types of an operation's successful replies; "" for an empty one."""
    replies = [reply for status, reply in operation["responses"].items() if status.startswith("2")]
    return {media for reply in replies for media in reply.get("content", {"": None})}
