"""What `specstack recordings` finds wrong, and secrets that are hard to see."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import specstack_api.errors
from specstack.cli.main import app
from specstack.recorder.exchange import Piece, read
from specstack.recorder.recorder import Recorder
from specstack.recorder.scrub import SCRUBBED, Scrubber
from specstack.recorder.verify import faults
from specstack_api.errors import UpstreamTimeout as OursTimeout
from specstack_wire import ApiError, UpstreamTimeout

KEY = "sk-proj-0123456789abcdef"


def command(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["recordings", *words])
    return found.exit_code, found.output


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The file of one recording."""
    found = recorder(tmp_path)

    async def live() -> Any:
        return {"text": "Hello!"}

    asyncio.run(found.calls("near").call("model", {"q": 1}, live))
    found.close()
    return found.library.files()[0]


def recorder(folder: Path, mode: Any = "record") -> Recorder:
    found = Recorder(mode, folder, specstack_api.errors)
    found.begin("file.test_a")
    return found


@pytest.mark.parametrize("where", ["near/lost.json", "lost.json", "near/file.test_a/deep/lost.json"])
def test_a_file_that_lies_outside_of_a_tests_folder_is_named(kept: Path, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    for content, mend in (
        ("{", "no JSON"),
        ("[]", "no recording of format 1"),
        (kept.read_text(), f"move it to {kept.parent}"),
    ):
        path.write_text(content)
        status, said = command("list", "--dir", str(tmp_path))
        assert (status, str(path) in said, "astray" in said, kept.name in said) == (0, True, True, True)
        status, said = command("verify", "--dir", str(tmp_path))
        assert status == 1 and f"{path}: no test looks for a recording here" in said.replace("\n", " ")
        assert mend in " ".join(said.split())
    path.unlink()
    assert command("verify", "--dir", str(tmp_path))[0] == 0


def test_a_recording_in_the_folder_of_another_test_is_named(kept: Path) -> None:
    moved = kept.parent.with_name("file.test_b")
    kept.parent.rename(moved)
    (fault,) = faults(moved / kept.name)
    assert "of the provider near and the test file.test_a; move it to near/file.test_a" in fault


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("provider", 5),
        ("digest", None),
        ("turn", "x"),
        ("answer", []),
        ("answer", {"pieces": [{"at": "x", "data": 1}]}),
        ("answer", {"pieces": {"at": 1}}),
        ("answer", {"head": "x"}),
        ("answer", {"failure": ["x"]}),
    ],
)
def test_a_member_of_the_wrong_kind_is_a_fault_and_no_failure(kept: Path, member: str, value: Any) -> None:
    kept.write_text(json.dumps({**json.loads(kept.read_text()), member: value}))
    assert any("record it again" in fault for fault in faults(kept))
    status, said = command("verify", "--dir", str(kept.parents[2]))
    assert status == 1 and "Traceback" not in said


def test_a_file_that_cannot_be_read_is_a_fault(kept: Path) -> None:
    kept.unlink()
    kept.mkdir()
    assert "cannot be read" in next(faults(kept))


def texts(*pieces: str) -> list[Piece]:
    return [Piece(float(at), {"text": text}) for at, text in enumerate(pieces)]


@pytest.mark.parametrize(
    ("pieces", "clean"),
    [
        (("data: a", "data: b"), ("data: a", "data: b")),
        ((f"x {KEY[:9]}", f"{KEY[9:]} y", "z"), (f"x {SCRUBBED} y", "z")),
        (("x ", *KEY, " y", "z"), ("x ", f"{SCRUBBED} y", "z")),
        (("known-", "of-", "old, ", "z"), (f"{SCRUBBED}, ", "z")),
    ],
)
def test_a_secret_that_comes_in_pieces(pieces: tuple[str, ...], clean: tuple[str, ...]) -> None:
    scrubber = Scrubber()
    scrubber.learn(["Token known-of-old"])
    found = scrubber.pieces(texts(*pieces))
    assert "".join(one.data["text"] for one in found) == "".join(clean)
    assert len(found) == len(clean) or KEY[5] in pieces
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_a_secret_in_bytes_that_are_no_text() -> None:
    raw = b"\xff\x00 " + KEY.encode() + b" \xfe"
    clean = Scrubber().clean({"base64": base64.b64encode(raw).decode()})
    assert base64.b64decode(clean["base64"]) == b"\xff\x00 [secret] \xfe"
    assert Scrubber().clean({"base64": "no base64!"}) == {"base64": "no base64!"}


async def test_verify_sees_a_secret_across_pieces(tmp_path: Path) -> None:
    found = recorder(tmp_path)

    async def live() -> Any:
        for text in ("one ", "two"):
            yield {"text": text}

    assert len([one async for one in found.calls("near").stream("m", {"q": 1}, live)]) == 2
    (path,) = found.library.files()
    assert list(faults(path)) == []
    path.write_text(path.read_text().replace("one ", KEY[:10]).replace("two", KEY[10:]))
    assert ["looks like a secret" in one for one in faults(path)] == [True]


async def test_an_engine_that_fails_of_itself_is_not_kept_as_if_it_had_ended(tmp_path: Path) -> None:
    found = recorder(tmp_path)

    async def live() -> Any:
        yield {"text": "one"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        [one async for one in found.calls("near").stream("m", {"q": 1}, live)]
    assert found.library.files() == []


@pytest.mark.parametrize("kind", [OursTimeout, UpstreamTimeout], ids=["the spec's", "an upstream's"])
async def test_errors_of_the_same_name_are_told_apart(tmp_path: Path, kind: type[ApiError]) -> None:
    async def live() -> Any:
        raise kind("too slow")

    for mode in ("record", "replay"):
        found = recorder(tmp_path, mode)
        with pytest.raises(ApiError, match="too slow") as failed:
            await found.calls("near").call("m", {"q": 1}, live)
        assert type(failed.value) is kind
    (path,) = found.library.files()
    assert (read(path).answer.failure or {}).get("module") == (
        None if kind is OursTimeout else "specstack_wire"
    )
