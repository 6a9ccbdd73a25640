"""remote::openai-compatible over sockets: what passes through, what is translated, what fails how."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from specstack_api import errors
from specstack_api.models.inference import CreateCompletionRequest, CreateEmbeddingRequest, RerankRequest
from specstack_api.protocols.inference import Inference
from specstack_providers.remote.inference.reranking import ranked
from specstack_wire import NO_PARAMS, ApiError, Payload, Request, RequestContext, Stream
from support import loopback_replies as replies
from support.calls import chat, received
from support.loopback_upstream import LoopbackUpstream

KIND = "remote::openai-compatible"
KEY = "sk-loopback-secret-1"
Make = Callable[..., Awaitable[Inference]]


async def collected(reply: Payload[Any] | Stream[Any]) -> list[Any]:
    assert isinstance(reply, Stream)
    return [json.loads(event.raw) async for event in reply]


async def test_chat_passes_request_and_reply_through_as_bytes(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    request = chat("Good morning", temperature=0.5, an_unknown_field={"kept": [1, 2]})

    reply = await provider.create_chat_completion(ctx, request)

    assert isinstance(reply, Payload)
    assert far.seen[-1].path == "/v1/chat/completions"
    assert far.seen[-1].body == request.raw
    assert json.loads(reply.raw) == replies.chat(json.loads(request.raw))
    assert reply.body.choices[0].message.content == "You said: Good morning"


async def test_a_changed_model_id_is_all_that_changes_upstream(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    await provider.create_chat_completion(ctx, chat("x").replacing("model", "org/echo:8b"))

    assert far.seen[-1].body == chat("x", model="org/echo:8b").raw


async def test_chat_streams_the_events_of_the_upstream(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    request = chat(
        "one two", stream=True, n=2, logprobs=True, top_logprobs=2, stream_options={"include_usage": True}
    )

    events = await collected(await provider.create_chat_completion(ctx, request))

    assert events == list(replies.chat_events(json.loads(request.raw)))
    assert events[-1]["usage"]["total_tokens"] > 0


async def test_completions_whole_and_streamed(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    provider = await make(KIND, base_url=far.base_url)
    plain = await provider.create_completion(ctx, received(CreateCompletionRequest, prompt=["a b", "c"], n=2))
    streamed = received(CreateCompletionRequest, prompt="a b", stream=True)

    assert isinstance(plain, Payload)
    assert [choice.index for choice in plain.body.choices] == [0, 1, 2, 3]
    events = await collected(await provider.create_completion(ctx, streamed))
    assert "".join(choice["text"] for event in events for choice in event["choices"]) == "and so a b"


@pytest.mark.parametrize("fault", ["", "@@float_only=1@@"], ids=["known", "ignored by the server"])
async def test_base64_vectors_equal_the_float_ones(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, fault: str
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    texts = [f"red cat {fault}", "blue dog"]

    floats = await provider.create_embedding(ctx, received(CreateEmbeddingRequest, input=texts))
    packed = await provider.create_embedding(
        ctx, received(CreateEmbeddingRequest, input=texts, encoding_format="base64", dimensions=16)
    )

    assert [row["embedding"] for row in json.loads(floats.raw)["data"]] == [
        replies.vector(t, 8) for t in texts
    ]
    for row, text in zip(json.loads(packed.raw)["data"], texts, strict=True):
        vector = struct.unpack("<16f", base64.b64decode(row["embedding"]))
        assert vector == pytest.approx(replies.vector(text, 16), abs=1e-6)


async def test_rerank_in_the_common_form(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    provider = await make(KIND, base_url=far.base_url, rerank_path="rerank")
    items = ["a blue dog", {"type": "text", "text": "a red cat"}, "red"]
    request = received(RerankRequest, query="red cat", items=items, max_num_results=2, return_documents=False)

    reply = await provider.rerank(ctx, request)

    assert far.seen[-1].path == "/v1/rerank"
    assert far.seen[-1].json() == {
        "model": "echo",
        "query": "red cat",
        "documents": ["a blue dog", "a red cat", "red"],
        "top_n": 2,
        "return_documents": False,
    }
    assert [row.index for row in reply.body.data] == [1, 2]
    assert reply.body.data[0].relevance_score > reply.body.data[1].relevance_score


async def test_rerank_elsewhere(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    root = far.base_url.removesuffix("/v1")
    provider = await make(KIND, base_url=root, rerank_path="v2/rerank")

    await provider.rerank(ctx, received(RerankRequest, query="a", items=["a"]))

    assert far.seen[-1].path == "/v2/rerank"


async def test_an_image_cannot_be_reranked(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    provider = await make(KIND, base_url=far.base_url, rerank_path="rerank")
    image = {"type": "image_url", "image_url": {"url": "https://example.invalid/cat.png"}}

    with pytest.raises(errors.UnsupportedContent) as failure:
        await provider.rerank(ctx, received(RerankRequest, query="a", items=["a", image]))

    assert failure.value.param == "items.1"
    assert not far.seen


async def test_without_a_path_there_is_no_rerank(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(errors.OperationNotSupported, match="'far' does not rerank"):
        await provider.rerank(ctx, received(RerankRequest, query="a", items=["a"]))


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"results": [{"index": 0, "relevance_score": 0.1}, {"index": 1, "score": 2}]}, [(1, 2), (0, 0.1)]),
        ({"data": [{"index": 1, "relevance_score": -3.5}]}, [(1, -3.5)]),
        ([{"index": 1, "score": 0.5}, {"index": 0, "score": 0.5}], [(0, 0.5), (1, 0.5)]),
        ({"results": [{"index": 2, "relevance_score": 0.1}]}, None),
        ({"results": [{"index": -1, "relevance_score": 0.1}]}, None),
        ({"results": [{"index": 0}]}, None),
        ({"results": [{"index": 0, "relevance_score": "high"}]}, None),
        ({"results": [{"index": True, "relevance_score": 1}]}, None),
        ({"results": 5}, None),
        ({}, None),
    ],
)
def test_rankings_of_other_forms(found: object, kept: list[tuple[int, float]] | None) -> None:
    raw = ranked(found, 2, None)

    rows = (
        None if raw is None else [(row["index"], row["relevance_score"]) for row in json.loads(raw)["data"]]
    )
    assert rows == kept


async def test_models_are_listed_with_their_kinds(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    listed = (await provider.list_models(ctx, Request.of(None, params=NO_PARAMS))).body.data

    assert {m.id: m.custom_metadata.model_type for m in listed} == dict(replies.MODELS)
    assert {m.owned_by for m in listed} == {"far"}


async def test_allowed_models_narrow_the_list(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    provider = await make(KIND, base_url=far.base_url, allowed_models=["echo", "not-there"])

    assert [m.id for m in (await provider.list_models(ctx, Request.of(None))).body.data] == ["echo"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_not_allowed_never_reaches_the_server(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, streamed: bool
) -> None:
    provider = await make(KIND, base_url=far.base_url, allowed_models=["echo"], rerank_path="rerank")
    embedding = received(CreateEmbeddingRequest, input="x", model="eco")
    reranking = received(RerankRequest, model="eco", query="q", items=["a"])
    completion = received(CreateCompletionRequest, model="eco", prompt="x", stream=streamed)

    for call in (
        provider.create_chat_completion(ctx, chat(model="eco", stream=streamed)),
        provider.create_completion(ctx, completion),
        provider.create_embedding(ctx, embedding),
        provider.rerank(ctx, reranking),
    ):
        with pytest.raises(errors.UpstreamModelNotFound) as failure:
            await call
        assert failure.value.message == (
            "Provider 'far' does not offer the model 'eco'. Did you mean 'far/echo'?"
        )
        assert failure.value.param == "model"
    assert not far.seen


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_is_not_known_there_has_close_ones(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, streamed: bool
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    await provider.list_models(ctx, Request.of(None))

    with pytest.raises(errors.UpstreamModelNotFound) as failure:
        await provider.create_chat_completion(ctx, chat("@@status=404@@", model="ecko", stream=streamed))

    assert "answered 404: The loopback was asked for status 404." in failure.value.message
    assert "Did you mean 'far/echo'" in failure.value.message
    assert failure.value.param == "model"

    with pytest.raises(errors.UpstreamModelNotFound) as failure:
        await provider.create_chat_completion(ctx, chat("@@status=404@@", model="echo", stream=streamed))
    assert "'far/echo'" not in failure.value.message, "that is what was asked for"


async def test_a_server_without_a_list_has_the_allowed_models(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    far.app.models = None
    provider = await make(KIND, base_url=far.base_url, allowed_models=["a", "b-embed"])
    listed = (await provider.list_models(ctx, Request.of(None))).body.data
    assert [(m.id, m.custom_metadata.model_type) for m in listed] == [("a", "llm"), ("b-embed", "embedding")]

    unlisted = await make(KIND, base_url=far.base_url)
    with pytest.raises(ApiError):
        await unlisted.list_models(ctx, Request.of(None))


async def test_without_a_key_requests_may_bring_theirs(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    far.app.api_key = KEY
    provider = await make(KIND, base_url=far.base_url, allowed_models=["echo"])

    health = await provider.health()
    listed = (await provider.list_models(ctx, Request.of(None))).body.data

    assert (health.status, [m.id for m in listed]) == ("ok", ["echo"])
    assert "each request must bring its own" in health.message


async def test_a_wrong_key_is_no_health(make: Make, far: LoopbackUpstream) -> None:
    far.app.api_key = KEY
    provider = await make(KIND, base_url=far.base_url, api_key="sk-wrong")

    health = await provider.health()

    assert health.status == "error"
    assert "[secret]" in health.message


async def test_headers_go_along_and_stay_secret(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    headers = {"x-gateway": "gw-secret-7", "authorization": "Bearer gw-secret-7"}
    provider = await make(KIND, base_url=far.base_url, headers=headers)
    keyed = await make(KIND, base_url=far.base_url, headers=headers, api_key=KEY)

    with pytest.raises(ApiError) as failure:
        await provider.create_chat_completion(ctx, chat("@@status=500@@", user="gw-secret-7"))
    assert far.seen[-1].headers["x-gateway"] == "gw-secret-7"
    assert far.seen[-1].headers["authorization"] == "Bearer gw-secret-7"
    assert "gw-secret-7" not in failure.value.message
    await keyed.create_chat_completion(ctx, chat())
    assert far.seen[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_the_configured_key_goes_along(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    far.app.api_key = KEY
    provider = await make(KIND, base_url=far.base_url, api_key=KEY)

    assert (await provider.health()).status == "ok"
    await provider.create_chat_completion(ctx, chat())


async def test_the_callers_key_takes_the_place_of_the_configured_one(
    make: Make, far: LoopbackUpstream
) -> None:
    far.app.api_key = KEY
    provider = await make(KIND, base_url=far.base_url, api_key="sk-of-the-operator")
    own = RequestContext(request_id="r", provider_data={"openai_compatible_api_key": KEY})

    await provider.create_chat_completion(own, chat())

    assert far.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "sk-of-the-operator" not in str(far.seen[-1])


@pytest.mark.parametrize("key", [5, ["k"], "line\r\nbreak", "\ud800"])
async def test_a_callers_key_that_is_none_is_not_replaced_by_ours(
    make: Make, far: LoopbackUpstream, key: Any
) -> None:
    provider = await make(KIND, base_url=far.base_url, api_key="sk-of-the-operator")
    own = RequestContext(request_id="r", provider_data={"openai_compatible_api_key": key})

    with pytest.raises(errors.InvalidRequest) as failure:
        await provider.create_chat_completion(own, chat())

    assert failure.value.param == "openai_compatible_api_key"
    assert not far.seen


async def test_a_key_with_a_line_break_is_refused_at_the_start(make: Make, far: LoopbackUpstream) -> None:
    with pytest.raises(ValueError, match="control character") as failure:
        await make(KIND, base_url=far.base_url, api_key=KEY + "\n")
    assert KEY not in str(failure.value)


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_error_shows_a_key(make: Make, far: LoopbackUpstream, streamed: bool) -> None:
    far.app.api_key = "another"
    provider = await make(KIND, base_url=far.base_url, api_key=KEY)
    own = RequestContext(request_id="r", provider_data={"openai_compatible_api_key": "sk-of-the-caller"})

    for ctx in (RequestContext(request_id="r"), own):
        with pytest.raises(errors.UpstreamAuthenticationFailed) as failure:
            await provider.create_chat_completion(ctx, chat(stream=streamed))
        assert "Incorrect API key provided: [secret]." in failure.value.message
    assert KEY not in (await provider.health()).message


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.UpstreamRejected),
        (401, errors.UpstreamAuthenticationFailed),
        (404, errors.UpstreamModelNotFound),
        (418, errors.UpstreamRejected),
        (429, errors.UpstreamRateLimited),
        (500, errors.UpstreamFailed),
        (529, errors.UpstreamFailed),
    ],
)
async def test_upstream_statuses_become_our_errors(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, status: int, error: type[ApiError], streamed: bool
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(error) as failure:
        await provider.create_chat_completion(
            ctx, chat(f"@@status={status},retry_after=7@@", stream=streamed)
        )

    assert type(failure.value) is error
    assert failure.value.headers["retry-after"] == "7"
    assert f"answered {status}: The loopback was asked for status {status}." in failure.value.message
    assert "'far'" in failure.value.message


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("detail=1", "answered 422: The loopback was asked for status 422."),
        ("empty=1", "answered 422 without a message."),
        ("html=1", "answered 422 without a message."),
    ],
)
async def test_error_bodies_of_other_forms(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, form: str, said: str
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(errors.UpstreamRejected) as failure:
        await provider.create_chat_completion(ctx, chat(f"@@status=422,{form}@@"))

    assert failure.value.message.endswith(said)


class Raw:
    """An upstream that answers everything with one reply."""

    def __init__(self, status: int, body: bytes, media: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n"
        self._reply = head.encode() + b"connection: close\r\n\r\n" + body

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(self._reply)
        await writer.drain()
        writer.close()


async def test_an_error_body_nested_without_end_is_told_as_text(make: Make, ctx: RequestContext) -> None:
    async with Raw(400, b"[" * 100_000) as url:
        provider = await make(KIND, base_url=url)
        with pytest.raises(errors.UpstreamRejected, match="answered 400"):
            await provider.create_chat_completion(ctx, chat())


async def test_an_error_after_other_fields_of_a_success_is_an_error(make: Make, ctx: RequestContext) -> None:
    for rest in (b"", b',"pad":"' + b"x" * 100_000 + b'"'):
        async with Raw(200, b'{"id":"gen","error":{"message":"all down","code":502}' + rest + b"}") as url:
            provider = await make(KIND, base_url=url)
            with pytest.raises(errors.UpstreamBroken, match="all down"):
                await provider.create_chat_completion(ctx, chat())


async def test_case_does_not_matter_in_a_media_type(make: Make, ctx: RequestContext) -> None:
    async with Raw(200, b'{"id":"x"}', "Application/JSON; Charset=UTF-8") as url:
        provider = await make(KIND, base_url=url)
        whole = await provider.create_chat_completion(ctx, chat())
        assert isinstance(whole, Payload) and json.loads(whole.raw) == {"id": "x"}
    async with Raw(200, b'data: {"id":"x"}\n\ndata: [DONE]\n\n', "Text/Event-Stream") as url:
        provider = await make(KIND, base_url=url)
        stream = await provider.create_chat_completion(ctx, chat(stream=True))
        assert isinstance(stream, Stream)
        assert [json.loads(event.raw) async for event in stream] == [{"id": "x"}]


async def test_a_media_type_shows_no_key(make: Make, ctx: RequestContext) -> None:
    async with Raw(200, b"{}", f"text/{KEY}") as url:
        provider = await make(KIND, base_url=url, api_key=KEY)
        with pytest.raises(errors.UpstreamFailed, match="instead of JSON") as failure:
            await provider.create_chat_completion(ctx, chat())
    assert KEY not in failure.value.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": ["embedding", {"embedding": [1]}]}',
        b'{"data": [{"embedding": ["x"]}]}',
        b'{"data": [{"embedding": [1e400]}, {"embedding": [1e39]}]}',
        b'{"data": 5, "embedding": []}',
        b'{"data": [{"embedding": [' + b"[" * 100_000 + b"]}",
    ],
)
async def test_vectors_that_are_none_are_a_broken_reply(make: Make, ctx: RequestContext, body: bytes) -> None:
    async with Raw(200, body) as url:
        provider = await make(KIND, base_url=url)
        request = received(CreateEmbeddingRequest, input="x", model="e", encoding_format="base64")
        with pytest.raises(errors.UpstreamFailed):
            await provider.create_embedding(ctx, request)


@pytest.mark.parametrize("fault", ["malformed=1", "array=1", "html=1"])
async def test_what_is_no_reply_is_not_passed_on(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, fault: str
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(errors.UpstreamFailed, match="base_url"):
        await provider.create_chat_completion(ctx, chat(f"@@{fault}@@"))


async def test_a_whole_reply_where_a_stream_was_asked_for_is_an_error(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(errors.UpstreamFailed, match="application/json instead of an event stream"):
        await provider.create_chat_completion(ctx, chat("@@whole=1@@", stream=True))


@pytest.mark.parametrize("fault", ["drop=2", "no_done=1,no_finish=1", "error_event=2"])
async def test_a_stream_that_breaks_off_is_an_error(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, fault: str
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    reply = await provider.create_chat_completion(ctx, chat(f"a b @@{fault}@@", stream=True))
    assert isinstance(reply, Stream)

    seen = 0
    with pytest.raises(errors.UpstreamBroken) as failure:
        async for _ in reply:
            seen += 1

    assert seen >= 2
    assert ("The model fell over." in failure.value.message) == fault.startswith("error_event")


async def test_a_stream_with_a_finish_reason_needs_no_done(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    events = await collected(await provider.create_chat_completion(ctx, chat("a @@no_done=1@@", stream=True)))

    assert events[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_finish_reason_spoken_of_in_the_text_is_none(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    request = chat('@@no_done=1,no_finish=1@@ "finish_reason":"stop"', stream=True)

    with pytest.raises(errors.UpstreamBroken):
        await collected(await provider.create_chat_completion(ctx, request))


async def test_a_dropped_plain_reply_is_an_error(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)

    with pytest.raises(errors.UpstreamBroken):
        await provider.create_chat_completion(ctx, chat("@@drop=1@@"))


async def test_a_silent_upstream_times_out(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    provider = await make(KIND, base_url=far.base_url, timeout_seconds=0.2)

    with pytest.raises(errors.UpstreamTimeout):
        await provider.create_chat_completion(ctx, chat("@@hang=5@@"))


async def test_nobody_there(make: Make, ctx: RequestContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    provider = await make(KIND, base_url=f"http://127.0.0.1:{port}/v1")

    for streamed in (False, True):
        with pytest.raises(errors.UpstreamUnreachable, match="'far'"):
            await provider.create_chat_completion(ctx, chat(stream=streamed))
    assert (await provider.health()).status == "error"


@pytest.mark.parametrize("taken", [0, 1])
@pytest.mark.parametrize("renamed", [False, True])
async def test_closing_a_stream_closes_the_upstream_call(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, taken: int, renamed: bool
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    reply = await provider.create_chat_completion(ctx, chat("a b c d e @@delay=0.3@@", stream=True))
    assert isinstance(reply, Stream)
    if renamed:
        reply = reply.replacing("model", "far/echo")
    events = aiter(reply)
    for _ in range(taken):
        await anext(events)

    await reply.aclose()

    assert await asyncio.to_thread(far.seen[-1].cancelled.wait, 1)


async def test_cancelling_a_call_closes_it_upstream(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make(KIND, base_url=far.base_url)
    call = asyncio.ensure_future(provider.create_chat_completion(ctx, chat("@@hang=5@@")))
    while not far.seen:
        await asyncio.sleep(0.01)

    call.cancel()

    assert await asyncio.to_thread(far.seen[-1].cancelled.wait, 3)
