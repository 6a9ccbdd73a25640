"""The mapping tables, read from `mapping.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from specstack.positions import load

FILE = "mapping.yaml"


@dataclass(frozen=True, slots=True)
class Rule:
    """Where something goes (`to`), or why it goes nowhere (`reason`).

    `ending` is put after a text, unless the setting `switch` beside it is false. `values` says what values
    are called here; others cannot be carried. What `differs` is not carried to a place of its name.
    """

    to: str | None = None
    reason: str | None = None
    ending: str = ""
    switch: str = ""
    values: Mapping[str, str] | None = None
    differs: bool = False


@dataclass(frozen=True, slots=True)
class ProviderRule:
    """What becomes of a provider type."""

    type: str | None = None
    reason: str | None = None
    settings: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Tables:
    """All of `mapping.yaml`."""

    apis: Mapping[str, Rule]
    keys: Mapping[str, Rule]
    refused_values: Mapping[str, Mapping[str, str]]
    when_absent: Mapping[str, str]
    settings: Mapping[str, Rule]
    providers: Mapping[str, Mapping[str, ProviderRule]]

    def provider(self, api: str, type_: str) -> ProviderRule:
        """The rule of a type; without one its name stays."""
        return self.providers.get(api, {}).get(type_) or ProviderRule(type=type_)


@cache
def tables() -> Tables:
    """The shipped tables."""
    text = (resources.files("specstack.upgrade") / FILE).read_text("utf-8")
    return read_tables(text)


def read_tables(text: str) -> Tables:
    """Tables of another text of that form."""
    raw: dict[str, Any] = load(text)
    return Tables(
        apis=_rules(raw["apis"]),
        keys=_rules(raw["keys"]),
        refused_values=raw["refused_values"],
        when_absent=raw["when_absent"],
        settings=_rules(raw["settings"]),
        providers={
            api: {name: _provider(one) for name, one in types.items()}
            for api, types in raw["providers"].items()
        },
    )


def _rules(raw: Mapping[str, Any]) -> dict[str, Rule]:
    return {name: Rule(**one) for name, one in raw.items()}


def _provider(raw: Mapping[str, Any]) -> ProviderRule:
    settings = _rules(raw.get("settings", {}))
    return ProviderRule(raw.get("type"), raw.get("reason"), settings, raw.get("defaults", {}))
