"""Messages as a small model's chat template reads them: text only, four roles at most, calls written out."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from specstack_api.errors import InvalidValue, UnsupportedContent

Message = dict[str, str]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXTS = {"text": "text", "refusal": "refusal"}
_OLD_ID = "function_call:"
_USE_RESULTS = "\nAnswer with that, in plain words."


def plain_messages(
    messages: Sequence[Mapping[str, Any]], *, system: str = "", examples: Sequence[Mapping[str, Any]] = ()
) -> list[Message]:
    """Messages of the roles system, user and assistant with a text each; no two of a role in a row.

    `system` is added to the first system message or becomes one; `examples` are turns put after it, unless
    the conversation has calls to go by. Calls and what they returned become part of a user message, since
    small models know no role for them and would repeat a call that stands there as their own words. Raises
    `UnsupportedContent` for images, audio and files, `InvalidValue` for a result of no known call.
    """
    plain: list[Message] = []
    open_calls: dict[str, str] = {}
    called = False
    for index, message in enumerate(messages):
        role = cast(str, message["role"])
        where = f"messages[{index}]"
        if message.get("audio") is not None:
            raise UnsupportedContent("this model reads text only, no audio", param=f"{where}.audio")
        text = text_of(message.get("content"), f"{where}.content")
        if role in ("tool", "function"):
            called = True
            last = index + 1 == len(messages) or messages[index + 1]["role"] not in ("tool", "function")
            text = _result(message, text, open_calls, where) + (_USE_RESULTS if last else "")
            _add(plain, "user", text)
            continue
        if role == "assistant":
            open_calls.update(_calls(message))
            text = "\n".join(part for part in (text, message.get("refusal") or "") if part)
            if not text and (message.get("tool_calls") or message.get("function_call")):
                continue
        _add(plain, _ROLES[role], text)
    head = _with_system(plain, system) if system else plain
    if not examples or called:
        return head
    after = 1 if head[0]["role"] == "system" else 0
    return [*head[:after], *(cast(Message, dict(turn)) for turn in examples), *head[after:]]


def _add(plain: list[Message], role: str, text: str) -> None:
    if plain and plain[-1]["role"] == role:
        plain[-1] = {"role": role, "content": f"{plain[-1]['content']}\n{text}"}
    else:
        plain.append({"role": role, "content": text})


def text_of(content: object, where: str) -> str:
    """The text of a message's content: a string, null, or parts, which are joined by line breaks."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for index, part in enumerate(cast(list[Mapping[str, Any]], content)):
        kind = cast(str, part["type"])
        if kind not in _TEXTS:
            raise UnsupportedContent(
                f"this model reads text only, not {kind!r} parts", param=f"{where}[{index}]"
            )
        texts.append(cast(str, part[_TEXTS[kind]]))
    return "\n".join(texts)


def _calls(message: Mapping[str, Any]) -> dict[str, str]:
    """The message's calls by id, each written as in a program."""
    calls: dict[str, str] = {}
    for call in cast(list[Mapping[str, Any]], message.get("tool_calls") or []):
        body = cast(Mapping[str, Any], call.get("function") or call.get("custom"))
        calls[call["id"]] = f"{body['name']}({body.get('arguments') or body.get('input') or ''})"
    if (old := message.get("function_call")) is not None:
        calls[_OLD_ID + old["name"]] = f"{old['name']}({old['arguments']})"
    return calls


def _result(message: Mapping[str, Any], text: str, calls: Mapping[str, str], where: str) -> str:
    if message["role"] == "function":
        return f"{calls.get(_OLD_ID + message['name'], message['name'])} returned: {text}"
    call_id = cast(str, message["tool_call_id"])
    if call_id not in calls:
        raise InvalidValue(
            f"no earlier assistant message has a tool call with the id {call_id!r}",
            param=f"{where}.tool_call_id",
        )
    return f"{calls[call_id]} returned: {text}"


def _with_system(messages: list[Message], text: str) -> list[Message]:
    for message in messages:
        if message["role"] == "system":
            content = "\n\n".join(part for part in (message["content"], text) if part)
            return [{**message, "content": content} if other is message else other for other in messages]
    return [{"role": "system", "content": text}, *messages]
