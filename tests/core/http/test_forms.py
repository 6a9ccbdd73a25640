"""Urlencoded and multipart forms."""

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from pydantic import StrictBool

from core.http.kit import app_with, call_raw, client_of, operation, piece
from specstack.descriptors import Body
from specstack_wire import MISSING, ApiModel, JsonInt, Payload, Upload


class Expiry(ApiModel):
    anchor: str
    seconds: JsonInt


class Step(ApiModel):
    name: str
    parts: "list[Step] | MISSING" = MISSING


class Send(ApiModel):
    purpose: str
    file: Upload | MISSING = MISSING
    images: list[Upload] | MISSING = MISSING
    count: JsonInt | MISSING = MISSING
    loud: StrictBool | MISSING = MISSING
    tags: list[str] | MISSING = MISSING
    points: list[JsonInt] | MISSING = MISSING
    expires_after: Expiry | MISSING = MISSING
    labels: dict[str, str] | MISSING = MISSING
    steps: list[Step] | MISSING = MISSING


MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"


def send_op(*media: str, limit: int | None = None):
    body = Body(
        model=Send,
        media=media or (MULTIPART,),
        limit=limit,
        json_fields=frozenset({"count", "loud", "points", "expires_after", "labels", "steps"}),
        list_fields=frozenset({"tags", "points", "images", "steps"}),
        file_fields=frozenset({"file", "images"}),
    )
    return operation("send", "POST", "/v1/files", body=body)


@pytest.fixture(autouse=True)
def upload_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == [], "an upload was left behind"


async def tell(ctx, request):
    """Replies what arrived, files by name, type, size and content."""
    body = request.body

    async def shown(upload: Upload):
        data = await upload.read()
        assert upload.size == len(data)
        return [upload.filename, upload.media_type, data.decode("latin-1")]

    told = {name: value for name, value in body if value is not MISSING and name not in ("file", "images")}
    if body.file is not MISSING:
        told["file"] = await shown(body.file)
    if body.images is not MISSING:
        told["images"] = [await shown(image) for image in body.images]
    return Payload.of(told)


async def post(op=None, handler=tell, **request):
    async with client_of(app_with(op or send_op(), handler)) as client:
        return await client.post("/v1/files", **request)


async def test_fields_and_files():
    reply = await post(
        data={"purpose": "käse", "count": "3", "loud": "true", "tags": ["a", "b"], "points": "[1, 2]"},
        files={"file": ("a.txt", b"hello\r\n--not the boundary", "text/plain")},
    )
    assert reply.json() == {
        "purpose": "käse",
        "count": 3,
        "loud": True,
        "tags": ["a", "b"],
        "points": [1, 2],
        "file": ["a.txt", "text/plain", "hello\r\n--not the boundary"],
    }


async def test_lists_of_files_with_and_without_brackets():
    files = [("images[]", ("1.png", b"one")), ("images", ("2.png", b"two"))]
    reply = await post(data={"purpose": "x"}, files=files)
    assert [image[0] for image in reply.json()["images"]] == ["1.png", "2.png"]


async def test_objects_as_json_and_with_brackets():
    whole = await post(
        data={"purpose": "x", "expires_after": '{"anchor":"now","seconds":5}'}, files={"file": b""}
    )
    split = await post(
        data={
            "purpose": "x",
            "expires_after[anchor]": "now",
            "expires_after[seconds]": "5",
            "labels[year]": "2024",
        },
        files={"file": b""},
    )
    assert whole.json()["expires_after"] == split.json()["expires_after"] == {"anchor": "now", "seconds": 5}
    assert split.json()["labels"] == {"year": "2024"}


async def test_file_names_lose_their_folders():
    reply = await post(data={"purpose": "x"}, files={"file": ("../../etc/passwd", b"x")})
    assert reply.json()["file"][0] == "passwd"


async def test_unknown_files_are_dropped_and_unknown_fields_kept():
    reply = await post(data={"purpose": "x", "extra": "1"}, files={"virus": ("v.exe", b"x" * 100)})
    assert reply.json() == {"purpose": "x", "extra": "1"}


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "x", "count": "many"}, "count"),
        ({"purpose": "x", "count": "1.5"}, "count"),
        ({"purpose": "x", "loud": "yes"}, "loud"),
        ({"purpose": "x", "points": ["1", "x"]}, "points"),
        ({"purpose": "x", "labels": "{"}, "labels"),
        ({"purpose": "x", "labels": "{\"a\": NaN}"}, "labels"),
        ({"purpose": "x", "file": "text without a name is content"}, None),
    ],
)  # fmt: skip
async def test_wrong_fields_are_named(data, param):
    reply = await post(data=data, files={"images": ("a", b"a")})
    if param is None:
        assert reply.json()["file"] == [None, None, data["file"]]
    else:
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_urlencoded():
    reply = await post(
        send_op(URLENCODED),
        content=b"purpose=a+b%26c&tags=x&tags=y&count=2&points=1&points=2&labels[k]=v",
        headers={"content-type": URLENCODED},
    )
    assert reply.json() == {
        "purpose": "a b&c", "tags": ["x", "y"], "count": 2, "points": [1, 2], "labels": {"k": "v"}
    }  # fmt: skip


@pytest.mark.parametrize("raw", [b"purpose=\xff", b"&".join(b"a=%d" % n for n in range(5))])
async def test_bad_urlencoded_is_400(raw):
    reply = await post(send_op(URLENCODED), content=raw, headers={"content-type": URLENCODED})
    assert reply.status_code == 400


async def test_an_operation_may_take_json_and_forms():
    op = send_op("application/json", MULTIPART)
    assert (await post(op, json={"purpose": "x"})).json() == {"purpose": "x"}
    assert (await post(op, data={"purpose": "y"}, files={"file": b"1"})).json()["purpose"] == "y"
    assert (await post(op, content=b"x", headers={"content-type": URLENCODED})).status_code == 415


GOOD = (
    b'--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfun\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    + b"z" * 50
    + b"\r\n--xx--\r\n"
)


@pytest.mark.parametrize(
    ("content_type", "raw", "status"),
    [
        ("multipart/form-data; boundary=xx", GOOD, 200),
        ('multipart/form-data; boundary="xx"', GOOD, 200),
        ("multipart/form-data", GOOD, 400),
        ("multipart/form-data; boundary=", GOOD, 400),
        ("multipart/form-data; boundary=yy", GOOD, 400),
        ("multipart/form-data; boundary=" + "y" * 5000, GOOD, 400),
        ("multipart/form-data; boundary=xx", GOOD[:-20], 400),
        ("multipart/form-data; boundary=xx", GOOD.replace(b'name="purpose"', b"nom"), 400),
        ("multipart/form-data; boundary=xx", GOOD.replace(b"fun", b"\xff"), 400),
        (
            "multipart/form-data; boundary=xx",
            GOOD.replace(b"Content-Disposition: form-data; name", b"\x00", 1),
            400,
        ),
        ("multipart/form-data; boundary=xx", b"", 400),
        ("multipart/mixed; boundary=xx", GOOD, 415),
    ],
)
async def test_broken_multipart_is_400_and_never_500(content_type, raw, status):
    for size in (1, 7, len(raw) or 1):
        cut = [piece(raw[at : at + size], more=True) for at in range(0, len(raw), size)] + [piece(b"")]
        answer = await call_raw(app_with(send_op(), tell), cut, {"content-type": content_type}, "/v1/files")
        assert answer[0] == status, answer[1]


async def test_files_are_on_disk_only_while_the_request_lasts(upload_folder):
    seen: list[Path] = []

    async def handler(ctx, request):
        seen.append(request.body.file.path)
        assert request.body.file.path.read_bytes() == b"z" * 3_000_000
        raise RuntimeError("the handler fails")

    reply = await post(handler=handler, data={"purpose": "x"}, files={"file": ("f", b"z" * 3_000_000)})
    assert reply.status_code == 500
    assert not seen[0].exists()


async def test_files_go_when_the_call_is_cancelled(upload_folder):
    async def handler(ctx, request):
        assert len(list(upload_folder.iterdir())) == 1
        await asyncio.sleep(60)

    async with client_of(app_with(send_op(), handler)) as client:
        call = asyncio.create_task(client.post("/v1/files", data={"purpose": "x"}, files={"file": b"abc"}))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_the_limit_stops_an_upload_while_it_streams(upload_folder):
    head, tail = GOOD[:-40], GOOD[-40:]
    messages = [piece(head, more=True)] + [piece(b"z" * 1000, more=True)] * 50 + [piece(tail)]
    headers = {"content-type": "multipart/form-data; boundary=xx"}
    status, body, left = await call_raw(app_with(send_op(limit=10_000), tell), messages, headers, "/v1/files")
    assert (status, json.loads(body)["error"]["code"]) == (413, "too_large")
    assert len(left) > 30


async def test_too_many_parts_and_too_much_text_are_refused():
    many = {f"field{number}": "x" for number in range(1100)}
    assert (await post(data=many, files={"file": b""})).status_code == 400
    assert (await post(data={"purpose": "x" * (5 << 20)}, files={"file": b""})).status_code == 413


@pytest.mark.parametrize("depth", [3, 50, 20_000])
async def test_deep_brackets_are_no_danger(depth):
    for start in ("labels", "expires_after", "unknown"):
        content = f"purpose=x&{start}{'[a]' * depth}=1".encode()
        reply = await post(send_op(URLENCODED), content=content, headers={"content-type": URLENCODED})
        assert reply.status_code in (200, 400)
        if reply.status_code == 400:
            assert reply.json()["error"]["param"].startswith(start)


async def test_brackets_spell_lists_too():
    content = b"purpose=x&steps[0][name]=a&steps[1][name]=b&steps[1][parts]="
    reply = await post(send_op(URLENCODED), content=content, headers={"content-type": URLENCODED})
    assert reply.json()["steps"] == [{"name": "a"}, {"name": "b", "parts": []}]
