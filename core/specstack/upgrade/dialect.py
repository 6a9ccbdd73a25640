"""Environment references: what theirs mean, written in ours."""

import re
from dataclasses import dataclass, field

_START = "${env."
_THEIRS = re.compile(r"\$\{env\.([A-Z0-9_]+)(?::([=+]?)([^}]*))?\}")
_OFF = "__disabled__"


@dataclass(slots=True)
class Text:
    """A text in our terms; `notes` say where it does not mean the same."""

    text: str
    notes: list[str] = field(default_factory=list[str])


def translated(text: str) -> Text:
    """`text` with references that mean here what they meant there.

    Early versions put a default behind `:` alone.
    There, an unknown form was literal text, `$$` no escape, and `__disabled__` the word for nothing.
    """
    result = Text("")
    at = 0
    while (found := text.find(_START, at)) >= 0:
        match = _THEIRS.match(text, found)
        result.text += text[at:found]
        if match is None:
            result.text += "$" + _START
            result.notes.append("a reference of an unknown form was literal text and stays so")
            at = found + len(_START)
            continue
        if result.text.endswith("$"):
            result.notes.append("`$$` was no escape; here the reference behind it is literal text")
        reference = match.group()
        if match[2] == "":
            reference = f"${{env.{match[1]}:={match[3]}}}"
            result.notes.append("the default behind `:` was written as it is here, behind `:=`")
        result.text += reference.replace(f":={_OFF}}}", ":=}")
        at = match.end()
    result.text += text[at:]
    return result
