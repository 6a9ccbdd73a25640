"""No false "compatible": where no change narrows, all that the old schema admits, the new one does too.

Schemas and edits are drawn at random, a validator says what each schema admits, and a pool of small values is
tried on both sides.
"""

import itertools
import random
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specstack_codegen.review.changes import Change
from specstack_codegen.review.differ import Differ
from specstack_codegen.review.flat import conj
from specstack_codegen.review.flatten import Flattener, altered_references
from specstack_codegen.source import NOWHERE, positionless

Schema = dict[str, Any]
PREFIX = "#/components/schemas/"
SCALARS: list[Any] = [None, True, False, -1, 0, 1, 2, 3, 6, 1.0, 0.5, 2.5, "", "x", "xy", "axe", "xxxx"]


def pool() -> list[Any]:
    """Small values of every shape, always the same ones."""
    dice = random.Random(7)
    lists = [list(pair) for length in (0, 1, 2) for pair in itertools.product(SCALARS[::2], repeat=length)]
    objects = [
        {name: dice.choice(SCALARS) for name in names}
        for names in itertools.chain.from_iterable(itertools.combinations("abk", n) for n in (0, 1, 2, 3))
        for _ in range(12)
    ]
    tagged = [{"k": tag, "a": value} for tag in ("one", "two") for value in SCALARS]
    nested = [{"a": dice.choice([*lists, *objects, *tagged]), "b": dice.choice(SCALARS)} for _ in range(60)]
    deep = [[dice.choice([*objects, *tagged, *lists])] for _ in range(40)]
    return [*SCALARS, *dice.sample(lists, 60), *objects, *tagged, *nested, *deep]


VALUES = pool()

scalars = st.sampled_from(SCALARS)
numbers = st.sampled_from([-1, 0, 1, 2, 2.5, 3])
sizes = st.integers(0, 3)
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
types = st.one_of(
    st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True)
)
references = st.sampled_from(["A", "B"]).map(lambda name: {"$ref": f"{PREFIX}{name}"})


def keywords(schemas: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """What each keyword may hold."""
    lists = st.lists(schemas, min_size=1, max_size=3)
    return {
        "type": types,
        "enum": st.lists(scalars, min_size=1, max_size=4),
        "const": scalars,
        "minimum": numbers,
        "maximum": numbers,
        "exclusiveMinimum": numbers,
        "exclusiveMaximum": numbers,
        "multipleOf": st.sampled_from([1, 2, 3, 0.5]),
        "minLength": sizes,
        "maxLength": sizes,
        "pattern": st.sampled_from(["x", "^x", "^a", "y$"]),
        "items": schemas,
        "prefixItems": lists,
        "minItems": sizes,
        "maxItems": sizes,
        "uniqueItems": st.booleans(),
        "contains": schemas,
        "minContains": sizes,
        "maxContains": sizes,
        "properties": st.dictionaries(st.sampled_from("ab"), schemas, max_size=2),
        "required": st.lists(st.sampled_from("abk"), max_size=2, unique=True),
        "additionalProperties": st.one_of(st.booleans(), schemas),
        "patternProperties": st.dictionaries(st.sampled_from(["^k", "b"]), schemas, max_size=1),
        "propertyNames": schemas,
        "minProperties": sizes,
        "maxProperties": sizes,
        "dependentRequired": st.dictionaries(
            st.sampled_from("ab"), st.lists(st.sampled_from("abk"), unique=True, max_size=1), max_size=1
        ),
        "anyOf": lists,
        "oneOf": lists,
        "allOf": lists,
        "not": schemas,
        "if": schemas,
        "then": schemas,
        "else": schemas,
    }


def objects(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """Schemas of a few keywords. Objects always say whether they are open to other properties."""
    drawn = keywords(schemas)
    few = st.lists(st.sampled_from(sorted(drawn)), min_size=1, max_size=4, unique=True)

    def stated(schema: Schema) -> Schema:
        return {"additionalProperties": True, **schema} if "properties" in schema else schema

    return few.flatmap(lambda names: st.fixed_dictionaries({name: drawn[name] for name in names})).map(stated)


def tagged(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """Unions whose branches are told apart by a constant."""

    def union(branches: list[Any]) -> Schema:
        tags = ("one", "two", "three")
        return {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["k"],
                    "properties": {"k": {"const": tag}, "a": branch},
                    "additionalProperties": True,
                }
                for tag, branch in zip(tags, branches, strict=False)
            ]
        }

    return st.lists(schemas, min_size=1, max_size=3).map(union)


def layer(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(objects(schemas), objects(schemas), tagged(schemas))


leaves = st.one_of(st.booleans(), types.map(lambda name: {"type": name}), references)
shallow = layer(leaves)
deep = st.one_of(shallow, layer(st.one_of(leaves, shallow)))
# components refer to one another through properties alone, so that every schema can be read
recursive = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["object", ["object", "null"], ["object", "integer"]]),
        "properties": st.dictionaries(st.sampled_from("ab"), st.one_of(leaves, shallow), max_size=2),
        "required": st.lists(st.sampled_from("ab"), max_size=1),
        "additionalProperties": st.booleans(),
    }
)


def nodes(schema: Any) -> list[Schema]:
    """Every schema object within `schema`."""
    found: list[Schema] = []
    if isinstance(schema, dict):
        found.append(schema)
        for key, value in schema.items():
            if key in ("properties", "patternProperties"):
                found.extend(node for one in value.values() for node in nodes(one))
            elif isinstance(value, list) and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
                found.extend(node for one in value for node in nodes(one))
            elif key in ("items", "additionalProperties", "not", "contains", "propertyNames"):
                found.extend(nodes(value))
    return found


def copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list) else value


@st.composite
def edits(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """Two documents: a drawn one, and the same after one to three edits, or another one altogether."""
    old: Schema = {"A": draw(recursive), "B": draw(recursive), "Root": draw(deep)}
    if draw(st.integers(0, 9)) == 0:
        return old, {"A": draw(recursive), "B": draw(recursive), "Root": draw(deep)}
    new = copy(old)
    drawn = keywords(leaves)
    for _ in range(draw(st.integers(1, 3))):
        inside = [node for name in ("Root", "A", "B") for node in nodes(new[name])]
        if not inside:
            break
        node = draw(st.sampled_from(inside))
        alterable = sorted(set(node) - {"additionalProperties", "$ref"})
        if alterable and draw(st.booleans()):
            key = draw(st.sampled_from(alterable))
            if isinstance(node[key], list) and len(node[key]) > 1 and draw(st.booleans()):
                del node[key][draw(st.integers(0, len(node[key]) - 1))]
            else:
                del node[key]
        elif "$ref" not in node:
            key = draw(st.sampled_from(sorted(drawn)))
            if key == "properties" and "additionalProperties" not in node:
                # a new property where nothing was said of others is taken for compatible by convention
                continue
            node[key] = draw(drawn[key])
        if "properties" in node:
            node.setdefault("additionalProperties", True)
    return old, new


def changes(old: Schema, new: Schema) -> tuple[Change, ...]:
    documents = [positionless({"components": {"schemas": side}}) for side in (old, new)]
    differ = Differ(Flattener(documents[0]), Flattener(documents[1]), altered_references(*documents))
    roots = [conj(one["components"]["schemas"]["Root"], NOWHERE) for one in documents]
    return differ.changes(*roots)


def validator(schemas: Schema) -> Any:
    document = {"$ref": f"{PREFIX}Root", "components": {"schemas": schemas}}
    return jsonschema_rs.Draft202012Validator(document)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(edits())
def test_what_is_called_compatible_is(pair: tuple[Schema, Schema]) -> None:
    old, new = pair
    try:
        before, after = validator(old), validator(new)
    except jsonschema_rs.ValidationError:
        return
    found = changes(old, new)
    narrows, widens = any(one.narrows for one in found), any(one.widens for one in found)
    for value in VALUES:
        was, now = before.is_valid(value), after.is_valid(value)
        assert narrows or now or not was, (
            f"{value!r} was admitted and is not, and nothing says so: {found}\n{old}\n{new}"
        )
        assert widens or was or not now, (
            f"{value!r} is admitted and was not, and nothing says so: {found}\n{old}\n{new}"
        )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(edits())
def test_a_schema_compared_with_itself_has_no_changes(pair: tuple[Schema, Schema]) -> None:
    assert changes(pair[0], copy(pair[0])) == ()


RANGES = ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems")
TOLD_APART = (*RANGES, "minProperties", "maxProperties", "properties", "required", "const", "items")


def branches() -> st.SearchStrategy[Schema]:
    """Objects, mostly, with what may tell them apart from others."""
    drawn = keywords(leaves)
    few = st.lists(st.sampled_from(TOLD_APART), max_size=3, unique=True)
    kinds = st.sampled_from(["object", "object", "array", "string", "integer", ["number", "object"]])
    more = st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": True}])
    parts = few.flatmap(lambda names: st.fixed_dictionaries({name: drawn[name] for name in names}))
    return st.builds(lambda kind, rest, part: {"type": kind, **rest, **part}, kinds, more, parts)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(branches(), min_size=2, max_size=2), recursive)
def test_where_one_of_refuses_nothing_no_value_fits_two_branches(pair: list[Schema], other: Schema) -> None:
    shared = {"A": other, "B": {"type": "string"}}
    old, new = ({**shared, "Root": {keyword: pair}} for keyword in ("anyOf", "oneOf"))
    if any(one.kind == "variants-overlap" for one in changes(old, new)):
        return
    before, after = validator(old), validator(new)
    assert [value for value in VALUES if before.is_valid(value) and not after.is_valid(value)] == []
