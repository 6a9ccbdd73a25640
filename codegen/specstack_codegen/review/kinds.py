"""Every kind of change to a schema: whether it narrows or widens it, and what that means each way.

`input` is what callers, run configs and provider data send: what was accepted must stay accepted. `output` is
what clients read: what they could read must stay readable.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How much a change asks of those who depend on the spec, worst last."""

    DOCUMENTATION = 0
    COMPATIBLE = 1
    RISKY = 2
    SOURCE = 3
    BREAKING = 4

    @property
    def word(self) -> str:
        """The name that people and options use."""
        return "source-breaking" if self is Level.SOURCE else self.name.lower()


DOCS, OK, RISKY, SOURCE, BREAKING = Level


class Verdict(NamedTuple):
    """The class of a change in one direction, and why."""

    level: Level
    why: str


class Kind(NamedTuple):
    """A kind of change: does it take values away (`narrows`), does it bring new ones (`widens`)."""

    narrows: bool
    widens: bool
    input: Verdict
    output: Verdict


_ACCEPTED = Verdict(OK, "what was accepted still is")
_READABLE = Verdict(OK, "what clients could read they still can")


def _narrows(why: str, level: Level = BREAKING) -> Kind:
    return Kind(True, False, Verdict(level, why), _READABLE)


def _widens(why: str, level: Level = BREAKING) -> Kind:
    return Kind(False, True, _ACCEPTED, Verdict(level, why))


def _note(input: Verdict, output: Verdict) -> Kind:
    return Kind(False, False, input, output)


_BEYOND = "clients that rely on the old limits may get values beyond them"
_UNKNOWN = "clients with a closed list of values meet ones that they do not know"
_FOREIGN = "clients may get a value that they cannot read"
_REFUSED = "values that were accepted are refused"

KINDS: dict[str, Kind] = {
    "type-narrowed": _narrows("values of the types that went are refused"),
    "type-widened": _widens("clients may get a value of a type that they cannot read"),
    "type-changed": Kind(True, True, Verdict(BREAKING, _REFUSED), Verdict(BREAKING, _FOREIGN)),
    "null-refused": _narrows("callers that send null are refused"),
    "null-admitted": _widens("clients that use the value without looking may get null"),
    "enum-value-removed": _narrows("callers that send these values are refused"),
    "enum-value-added": _widens(_UNKNOWN, RISKY),
    "values-restricted": _narrows("all values but those listed are refused"),
    "values-opened": _widens(_UNKNOWN, RISKY),
    "constant-changed": Kind(True, True, Verdict(BREAKING, _REFUSED), Verdict(BREAKING, _FOREIGN)),
    "bound-tightened": _narrows("values between the old limit and the new one are refused"),
    "bound-loosened": _widens(_BEYOND, RISKY),
    "pattern-added": _narrows("values that do not match are refused"),
    "pattern-removed": _widens(_BEYOND, RISKY),
    "pattern-changed": Kind(
        True,
        True,
        Verdict(BREAKING, "values that only the old pattern matches are refused"),
        Verdict(RISKY, "clients may get values that the old pattern does not match"),
    ),
    "format-added": _narrows("a strict reader of the format may refuse values that were accepted", RISKY),
    "format-removed": _widens("clients that read the format may get other values", RISKY),
    "format-changed": Kind(
        True,
        True,
        Verdict(RISKY, "values of the old format may be refused"),
        Verdict(RISKY, "clients that read the old format may get other values"),
    ),
    "encoding-changed": Kind(
        True, True, Verdict(BREAKING, "the value must be sent otherwise"), Verdict(BREAKING, _FOREIGN)
    ),
    "secret-exposed": _note(
        Verdict(RISKY, "it is no longer marked as a secret, so it may be shown and logged"),
        Verdict(RISKY, "it is no longer marked as a secret, so it may be shown and logged"),
    ),
    "secret-marked": _note(_ACCEPTED, _READABLE),
    "property-required": _narrows("callers that leave it out are refused"),
    "property-optional": _widens("clients that rely on it may find nothing there"),
    "property-removed": Kind(
        False,
        True,
        Verdict(BREAKING, "callers that send it are no longer understood"),
        Verdict(BREAKING, "clients that read it find nothing there"),
    ),
    "property-refused": Kind(
        True,
        True,
        Verdict(BREAKING, "callers that send it are refused, for the object admits no other properties"),
        Verdict(BREAKING, "clients that read it find nothing there"),
    ),
    "property-added": _note(
        Verdict(OK, "callers may leave it out, and nothing was promised of properties without a name"),
        Verdict(OK, "clients may pass it over"),
    ),
    "property-admitted": _widens("clients that hold the object to its listed properties refuse it", RISKY),
    "property-demanded": Kind(
        True,
        True,
        Verdict(BREAKING, "callers that leave it out are refused"),
        Verdict(RISKY, "clients that hold the object to its listed properties refuse it"),
    ),
    "property-claimed": _narrows(
        "callers may use this name for something of their own, of which only some values are admitted now",
        RISKY,
    ),
    "property-named": _note(
        Verdict(RISKY, "callers may use this name for something of their own, and now it means something"),
        _READABLE,
    ),
    "object-closed": _narrows("callers that send further properties are refused"),
    "object-opened": _widens("clients that hold the object to its listed properties may refuse it", RISKY),
    "variant-removed": _narrows("callers that send this variant are refused"),
    "variant-added": _widens(_FOREIGN),
    "tagged-variant-added": _widens(
        "clients that know only the old variants meet a tag they do not know", RISKY
    ),
    "variants-overlap": _narrows("a value that fits two variants of a oneOf is refused"),
    "variants-parted": _widens("clients may get values that fit two variants", RISKY),
    "unique-demanded": _narrows("lists that hold a value twice are refused"),
    "unique-dropped": _widens("lists may hold a value twice", RISKY),
    "exclusion-added": _narrows("the values that are excluded now are refused"),
    "exclusion-removed": _widens("clients may get values that were excluded", RISKY),
    "keyword-changed": Kind(
        True,
        True,
        Verdict(BREAKING, "nothing shows that what was accepted still is"),
        Verdict(RISKY, "nothing shows that clients can still read every value"),
    ),
    "keyword-added": _narrows("nothing shows that what was accepted still is"),
    "keyword-removed": _widens("nothing shows that clients can still read every value", RISKY),
    "content-changed": _note(
        Verdict(RISKY, "nothing is refused by it, but who reads the text may read it otherwise"),
        Verdict(RISKY, "clients that go by it read the text otherwise"),
    ),
    "names-changed": _note(
        Verdict(RISKY, "names from another part of the spec are asked for, or others than before"),
        Verdict(RISKY, "names from another part of the spec are given, or others than before"),
    ),
    "default-changed": _note(
        Verdict(RISKY, "callers that leave it out get something else"),
        Verdict(OK, "replies say what they mean"),
    ),
    "default-removed": _note(
        Verdict(RISKY, "what callers get that leave it out is no longer promised"),
        Verdict(OK, "replies say what they mean"),
    ),
    "default-added": _note(
        Verdict(OK, "it says what callers get that leave it out"), Verdict(OK, "replies say what they mean")
    ),
    "deprecated": _note(Verdict(OK, "it still works and is about to go"), Verdict(OK, "it is about to go")),
    "undeprecated": _note(Verdict(OK, "it is there to stay"), Verdict(OK, "it is there to stay")),
    "read-only": _note(Verdict(RISKY, "callers that send it are not listened to"), _READABLE),
    "writable": _note(_ACCEPTED, _READABLE),
    "write-only": _note(_ACCEPTED, Verdict(BREAKING, "clients that read it find nothing there")),
    "readable": _note(_ACCEPTED, _READABLE),
    "discriminator-changed": _note(
        Verdict(SOURCE, "generated clients tell the variants apart by it"),
        Verdict(SOURCE, "generated clients tell the variants apart by it"),
    ),
    "xml-changed": _note(
        Verdict(RISKY, "bodies in XML are read otherwise"),
        Verdict(RISKY, "bodies in XML are written otherwise"),
    ),
    "resource-changed": _note(
        Verdict(RISKY, "access checks and the rewriting of ids go by it"),
        Verdict(RISKY, "access checks and the rewriting of ids go by it"),
    ),
    "stability-lowered": _note(
        Verdict(BREAKING, "what was promised to stay may now change at any time"),
        Verdict(BREAKING, "what was promised to stay may now change at any time"),
    ),
    "stability-changed": _note(
        Verdict(OK, "nothing that was promised goes"), Verdict(OK, "nothing that was promised goes")
    ),
}
