"""What a routing table says when it refuses: the errors of its resource, with their words."""

import difflib
from collections.abc import Mapping, Sequence

from specstack.descriptors import ResourceSpec
from specstack.entries import Entry
from specstack_wire import ApiError

_LONGEST_COMPARED = 200


class Refusals:
    """Makes the errors of one resource's table. `param` is the request's field to blame.

    `roles` has the errors that no resource has for itself: `invalid`, `provider_not_found` and
    `provider_required`.
    """

    def __init__(self, resource: ResourceSpec, roles: Mapping[str, type[ApiError]]) -> None:
        self._resource = resource
        self._roles = roles

    def no_provider(self, provider_id: str | None, providers: Sequence[str], param: str | None) -> ApiError:
        """Nobody, or more than one, could have been meant."""
        names = ", ".join(providers)
        if provider_id is None:
            known = names or "none is configured"
            text = f"Name the provider that the {self._resource.name} is for (providers: {known})."
            return self._roles["provider_required"](text, param=param)
        close = difflib.get_close_matches(provider_id[:_LONGEST_COMPARED], providers, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {names or 'none'}."
        text = f"No provider '{short(provider_id)}' serves {self._resource.plural}; {hint}"
        return self._roles["provider_not_found"](text, param=param)

    def attribute(self, name: str, allowed: Sequence[str]) -> ApiError:
        """An attribute's value that does not exist."""
        text = f"'{name}' of a {self._resource.name} is one of: {', '.join(allowed)}."
        return self._roles["invalid"](text, param=name)

    def not_offered(self, entry: Entry, why: str, param: str | None) -> Exception:
        """A registration of what its provider does not offer."""
        text = f"The {self._resource.name} '{short(entry.identifier)}' would never be served: {why}."
        return _made(self._resource.conflict, text, param)

    def elsewhere(self, entry: Entry, other: str, param: str | None) -> Exception:
        """A registration whose id says that another provider serves it."""
        kind, wanted = self._resource.name, short(entry.identifier)
        rest = wanted.removeprefix(f"{other}/")
        text = (
            f"The id '{wanted}' is that of a {kind} of the provider '{other}' and cannot stand for one of "
            f"'{entry.provider_id}'; choose another, such as '{entry.provider_id}/{rest}'."
        )
        return _made(self._resource.conflict, text, param)

    def taken(self, existing: Entry, param: str | None) -> Exception:
        """A registration of an id that names something else."""
        text = (
            f"The {self._resource.name} '{existing.identifier}' exists already with other values, "
            f"at the provider '{existing.provider_id}'; unregister it first or choose another id."
        )
        return _made(self._resource.conflict, text, param)

    def kept(self, entry: Entry, reason: str, param: str | None) -> Exception:
        """A removal of what is not the table's own."""
        text = f"The {self._resource.name} '{entry.identifier}' cannot be removed here: {reason}."
        return _made(self._resource.conflict, text, param)

    def wrong(
        self, entry: Entry, identifier: str, name: str, allowed: Sequence[str], param: str | None
    ) -> Exception:
        """A call that needs another value of an attribute."""
        text = (
            f"The {self._resource.name} '{identifier}' has {name} '{entry.attributes.get(name, '')}'; "
            f"this operation needs {' or '.join(allowed)}."
        )
        return _made(self._resource.wrong_attribute, text, param)

    def ambiguous(self, identifier: str, several: Sequence[str], param: str | None) -> Exception:
        """A bare id that several providers have."""
        text = (
            f"Several providers have the {self._resource.name} '{short(identifier)}'; "
            f"use {_quoted(several, 'or')}."
        )
        return _made(self._resource.not_found, text, param)

    def unknown(
        self, identifier: str, entries: Sequence[str], routes: Mapping[str, str], param: str | None
    ) -> Exception:
        """An id that is not there. `entries` are there; `routes` has all names, each with its id."""
        text = f"The {self._resource.name} '{short(identifier)}' does not exist."
        if close := _close_to(identifier, routes):
            text += f" Did you mean {_quoted(close, 'or')}?"
        elif entries:
            text += f" Known are, for example, {_quoted(entries[:3], 'and')}."
        else:
            plural = self._resource.plural
            text += f" No {plural} are known: see the providers' health, or register one."
        return _made(self._resource.not_found, text, param)


def short(identifier: str) -> str:
    """An id for a message."""
    return identifier if len(identifier) <= _LONGEST_COMPARED else identifier[:_LONGEST_COMPARED] + "…"


def _close_to(identifier: str, routes: Mapping[str, str]) -> Sequence[str]:
    """Up to three ids like the one that was asked for, each of another resource."""
    if len(identifier) > _LONGEST_COMPARED:
        return []
    found: dict[str, str] = {}
    for name in difflib.get_close_matches(identifier, list(routes), 6, 0.5):
        found.setdefault(routes[name], name)
    return tuple(found.values())[:3]


def _made(kind: type[Exception], message: str, param: str | None) -> Exception:
    return kind(message, param=param) if issubclass(kind, ApiError) else kind(message)


def _quoted(names: Sequence[str], word: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
