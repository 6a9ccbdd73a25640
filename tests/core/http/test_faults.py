"""Which field a validation error names."""

from typing import Annotated, Literal

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError
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
    stop: str | list[str] | None | MISSING = MISSING
    choice: Literal["auto", "none"] | Named | Ranged | MISSING = MISSING
    labels: dict[str, str] | MISSING = MISSING
    closed: Named | MISSING = MISSING
    kids: "list[Ask] | MISSING" = MISSING


def fault_of(raw: str) -> tuple[str, str | None]:
    with pytest.raises(ValidationError) as caught:
        Ask.model_validate_json(raw)
    return describe(caught.value, from_json(raw))


OK = '"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    ("raw", "param", "says"),
    [
        ("{}", "messages", "Missing required field 'messages'"),
        ("[]", None, "Invalid value for the request"),
        ('{"messages":[]}', "messages", "at least 1 item"),
        ('{"messages":"x"}', "messages", "valid array"),
        ('{"messages":[{"role":"user"}]}', "messages[0].content", "Missing required field"),
        ('{"messages":[{"role":"user","content":5}]}', "messages[0].content", "valid string or a valid array"),
        ('{"messages":[{"role":"user","content":[{"type":"text"}]}]}', "messages[0].content[0].text", "Missing"),
        ('{"messages":[{"role":"user","content":[{"type":"text","text":1}]}]}', "messages[0].content[0].text", "string"),
        ('{"messages":[{"role":"user","content":[{"type":"image","image":{"url":"u","detail":"x"}}]}]}',
         "messages[0].content[0].image.detail", "'low' or 'high'"),
        ('{"messages":[{"role":"user","content":[{"type":"film"}]}]}', "messages[0].content[0]", "film"),
        ('{"messages":[{"role":"boss","content":"x"}]}', "messages[0]", "boss"),
        ('{"messages":[{"role":"user","content":"x"},{"role":"tool","content":"y"}]}', "messages[1].tool_id", "Missing"),
        ("{%s,\"times\":1.5}" % OK, "times", "valid integer"),
        ("{%s,\"times\":\"5\"}" % OK, "times", "valid integer"),
        ("{%s,\"times\":null}" % OK, "times", "valid integer"),
        ("{%s,\"stop\":[\"a\",5]}" % OK, "stop[1]", "valid string"),
        ("{%s,\"choice\":{\"nam\":\"x\"}}" % OK, "choice.name", "Missing required field 'choice.name'"),
        ("{%s,\"choice\":{\"low\":1}}" % OK, "choice.high", "Missing required field 'choice.high'"),
        ("{%s,\"choice\":\"maybe\"}" % OK, "choice", "'auto' or 'none'"),
        ("{%s,\"labels\":{\"a\":1}}" % OK, "labels.a", "valid string"),
        ("{%s,\"closed\":{\"name\":\"x\",\"extra\":1}}" % OK, "closed.extra", "Unknown field 'closed.extra'"),
        ("{%s,\"kids\":[{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}]}" % OK,
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
