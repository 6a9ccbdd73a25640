"""A resolved run config for people: every value with the place that it comes from, secrets masked."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, cast

from pydantic import BaseModel

from specstack.config import RunConfig
from specstack.config_values import Substituted
from specstack.masking import hidden, masked
from specstack.positions import Map, Path, Seq, line_of
from specstack.secret_shapes import names_secret
from specstack.yaml_text import yaml_scalar

_COLUMN = 44


def shown(config: RunConfig) -> str:
    """YAML of what is in force, with the origin of each value as a comment at its right.

    An origin is a place in the file, the environment variable that gave the value, or `default`.
    """
    settings = {(one.api, one.provider_id): one.config for one in config.providers}
    name = PurePath(config.file).name
    lines = _View(name, config.values, settings).lines(config.stack)
    return "\n".join([f"# {config.file}, resolved. Secrets are masked.", *lines, ""])


class _View:
    def __init__(self, file: str, values: Substituted, settings: Mapping[tuple[str, str], BaseModel]) -> None:
        self._file = file
        self._values = values
        self._settings = settings

    def lines(self, stack: BaseModel) -> Iterator[str]:
        return self._mapping(_items(stack), (), "")

    def _mapping(self, items: Mapping[str, Any], path: Path, indent: str) -> Iterator[str]:
        for key, value in items.items():
            yield from self._entry(f"{indent}{yaml_scalar(key)}:", value, (*path, key), indent + "  ")

    def _entry(self, head: str, value: Any, path: Path, indent: str) -> Iterator[str]:
        """A key or a list's dash with what stands behind or below it."""
        value = self._typed(value, path)
        if isinstance(value, BaseModel | Mapping):
            items = _items(cast("BaseModel | Mapping[str, Any]", value))
            if items:
                below = list(self._mapping(items, path, indent))
                if head.endswith("-"):
                    # The first key stands behind the dash.
                    below[0] = f"{head} {below[0].lstrip()}"
                else:
                    yield head
                yield from below
                return
            value = {}
        if isinstance(value, list | tuple) and value:
            yield head
            for index, item in enumerate(cast(list[Any], value)):
                yield from self._entry(f"{indent}-", item, (*path, index), indent + "  ")
            return
        yield f"{head} {yaml_scalar(masked(value))}".ljust(_COLUMN) + f"  # {self._origin(path)}"

    def _typed(self, value: Any, path: Path) -> Any:
        """A provider's settings by their own class, which knows defaults and secrets."""
        if len(path) == 4 and path[0] == "providers" and path[3] == "config":
            entry = self._values.root["providers"][path[1]][path[2]]
            return self._settings[str(path[1]), entry["provider_id"]]
        return value

    def _origin(self, path: Path) -> str:
        deepest = self._written(path)
        if deepest is None:
            return "default"
        place = f"{self._file}:{line_of(self._values.root, path)}"
        expansion = self._values.expansions.get(deepest)
        if expansion is None:
            return place
        if expansion.given:
            return f"environment {', '.join(expansion.given)} ({place})"
        if expansion.absent and deepest == path and expansion.text == "":
            return f"default, {', '.join(expansion.absent)} is not set"
        return f"{place}, {', '.join(expansion.absent)} is not set" if expansion.absent else place

    def _written(self, path: Path) -> Path | None:
        """The path at which the file says something of this value; None when it does not."""
        for depth in range(len(path), 0, -1):
            # What a variable spelled as JSON has no places of its own below it.
            if path[:depth] in self._values.expansions:
                return path[:depth]
        node: Any = self._values.root
        for step in path:
            inside = (isinstance(node, Map) and step in node) or (
                isinstance(node, Seq) and isinstance(step, int) and step < len(node)
            )
            if not inside:
                return None
            node = cast(Any, node)[step]
        return path


def _items(value: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        fields = {info.alias or name: getattr(value, name) for name, info in type(value).model_fields.items()}
        return {**fields, **(value.model_extra or {})}
    return {key: hidden(one) if names_secret(str(key)) else one for key, one in value.items()}
