"""Where a reply carries the id of the resource that served it (`x-resource`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from specstack_codegen import naming, schemas
from specstack_codegen.build_context import Context
from specstack_codegen.ir import Schema, Serve


class ReplyIds(NamedTuple):
    """Top-level fields by wire name; deeper ones as attribute names with dots, `[]` for each item."""

    top: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


def reply_ids(context: Context, serve: Serve, models: Sequence[str | None]) -> ReplyIds:
    """The places of the served resource's id in any of the reply forms; of scatter, in each merged item."""
    if serve.mode == "scatter" and serve.resource and serve.merge:
        return ReplyIds(nested=_item_ids(context, models[0], serve.merge, serve.resource))
    if serve.resource is None or serve.mode not in ("routed", "create", "delete"):
        return ReplyIds()
    top: dict[str, None] = {}
    nested: dict[str, None] = {}
    for model in models:
        if model and model in context.schemas:
            for way in _ways(context, context.schemas[model], serve.resource, (model,)):
                if len(way) == 1:
                    top[way[0]] = None
                else:
                    nested[".".join(part if part == "[]" else naming.attribute(part) for part in way)] = None
    return ReplyIds(tuple(top), tuple(nested))


def _item_ids(context: Context, model: str | None, merge: str, resource: str) -> tuple[str, ...]:
    """The places of ids of `resource` in each item of the list `merge` of a reply."""
    fields = schemas.properties(context.schemas.get(model or "", {}), context.schemas)
    items = schemas.resolved(fields.get(merge, {}), context.schemas).get("items")
    if not isinstance(items, dict):
        return ()
    ways = _ways(context, cast(Schema, items), resource, ())
    return tuple(".".join(part if part == "[]" else naming.attribute(part) for part in way) for way in ways)


def _ways(
    context: Context, schema: Schema, resource: str, above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """The ways from a value of `schema` to ids of `resource`; what holds itself is entered once."""
    for branch in schemas.branches(schema, context.schemas):
        for name, value in schemas.properties(branch, context.schemas).items():
            if value.get("x-resource") == resource and "array" not in schemas.types(value, context.schemas):
                yield (name,)
                continue
            way: tuple[str, ...] = (name,)
            inner = schemas.resolved(value, context.schemas)
            component = schemas.ref_name(value)
            while isinstance(inner.get("items"), dict):
                way, component = (*way, "[]"), schemas.ref_name(inner["items"])
                inner = schemas.resolved(inner["items"], context.schemas)
            if component in above:
                continue
            deeper = (*above, component) if component else above
            yield from ((*way, *rest) for rest in _ways(context, inner, resource, deeper))
