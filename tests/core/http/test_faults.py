"""Which field a validation error names."""

from typing import Annotated, Literal

import pytest
from pydantic import Discriminator, Field, StringConstraints, Tag, ValidationError
from pydantic_core import from_json

from specstack.http.faults import describe
from specstack_wire import MISSING, ApiModel, ClosedModel, JsonInt, tag_of


class Text(ApiModel):
    type: Literal["text"]
    text: str


class Image(ApiModel):
    type: Literal["image"]
    image: "Url"


class Url(ApiModel):
    url: str
    detail: Literal["low", "high"] | MISSING = MISSING


class User(ApiModel):
    role: Literal["user"]
    content: str | list[Annotated[Text | Image, Discriminator("type")]]


class Tool(ApiModel):
    role: Literal["tool"]
    content: str
    tool_id: str


class Named(ClosedModel):
    name: str


class Ranged(ClosedModel):
    low: JsonInt
    high: JsonInt


AnyMessage = Annotated[
    Annotated[User, Tag("user")] | Annotated[Tool, Tag("tool")], Discriminator(tag_of("role", "user"))
]


class Ask(ApiModel):
    messages: Annotated[list[AnyMessage], Field(min_length=1)]
    times: JsonInt | MISSING = MISSING
    stop: str | list[str] | MISSING | None = MISSING
    choice: Literal["auto", "none"] | Named | Ranged | MISSING = MISSING
    labels: dict[Annotated[str, StringConstraints(max_length=5)], str] | MISSING = MISSING
    closed: Named | MISSING = MISSING
    kids: "list[Ask] | MISSING" = MISSING


def fault_of(raw: str) -> tuple[str, str | None]:
    with pytest.raises(ValidationError) as caught:
        Ask.model_validate_json(raw)
    return describe(caught.value, from_json(raw))


def with_message(fields: str) -> str:
    return '{"messages":[{"role":"user","content":"hi"}],' + fields + "}"


def with_content(content: str) -> str:
    return '{"messages":[{"role":"user","content":' + content + "}]}"


@pytest.mark.parametrize(
    ("raw", "param", "says"),
    [
        ("{}", "messages", "Missing required field 'messages'"),
        ("[]", None, "Invalid value for the request"),
        ('{"messages":[]}', "messages", "at least 1 item"),
        ('{"messages":"x"}', "messages", "valid array"),
        ('{"messages":[{"role":"user"}]}', "messages[0].content", "Missing required field"),
        (with_content('5'), "messages[0].content", "valid string or a valid array"),
        (with_content('[{"type":"text"}]'), "messages[0].content[0].text", "Missing"),
        (with_content('[{"type":"text","text":1}]'), "messages[0].content[0].text", "string"),
        (with_content('[{"type":"image","image":{"url":"u","detail":"x"}}]'),
         "messages[0].content[0].image.detail", "'low' or 'high'"),
        (with_content('[{"type":"film"}]'), "messages[0].content[0].type", "'text' or 'image'"),
        (with_content('[{"text":"x"}]'), "messages[0].content[0].type", "Missing required field"),
        ('{"messages":[{"role":"boss","content":"x"}]}', "messages[0].role", "be 'user' or 'tool'"),
        ('{"messages":[{"role":"tool","content":"y"}]}', "messages[0].tool_id", "Missing"),
        (with_message('"times":1.5'), "times", "valid integer"),
        (with_message('"times":"5"'), "times", "valid integer"),
        (with_message('"times":null'), "times", "valid integer"),
        (with_message('"stop":["a",5]'), "stop[1]", "valid string"),
        (with_message('"choice":{"nam":"x"}'), "choice.name", "Missing required field 'choice.name'"),
        (with_message('"choice":{"low":1}'), "choice.high", "Missing required field 'choice.high'"),
        (with_message('"choice":"maybe"'), "choice", "'auto' or 'none'"),
        (with_message('"labels":{"a":1}'), "labels.a", "valid string"),
        (with_message('"labels":{"a":"b","too long":"c"}'), "labels", "Invalid key in 'labels': string"),
        (with_message('"labels":{"too long":1}'), "labels", "Invalid key in 'labels': string"),
        (with_message('"labels":{"[key]":1}'), "labels.[key]", "Invalid value for 'labels.[key]'"),
        (with_message('"closed":{"name":"x","extra":1}'), "closed.extra", "Unknown field 'closed.extra'"),
        (with_message('"kids":[{"messages":[{"role":"tool","content":"x"}]}]'),
         "kids[0].messages[0].tool_id", "Missing"),
    ],
)  # fmt: skip
def test_the_field_at_fault(raw, param, says):
    message, path = fault_of(raw)
    assert path == param
    assert says in message


def test_the_first_of_several_faults_is_told():
    assert fault_of('{"messages":[{"role":"user"}],"times":"x","stop":5}')[1] == "messages[0].content"


def test_a_branch_called_like_a_field_is_no_step():
    # The tag `text` is also a field of the part; the wrong value stands in `type`'s neighbour `extra`.
    class Holder(ApiModel):
        text: Annotated[
            Annotated[Text, Tag("text")] | Annotated[Image, Tag("image")],
            Discriminator(tag_of("type", "text")),
        ]

    raw = '{"text":{"type":"image","image":{"url":7},"text":"decoy"}}'
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate_json(raw)
    assert describe(caught.value, from_json(raw))[1] == "text.image.url"
