"""Secrets where one does not look for them, and recordings in a state that nobody wanted."""

import asyncio
import base64
import json
import os
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

import specstack_api.errors
from specstack.cli.main import app
from specstack.recorder.library import INDEX
from specstack.recorder.recorder import Recorder
from specstack.recorder.scrub import SCRUBBED, Scrubber
from specstack.recorder.verify import all_faults, faults
from specstack_wire import RecordingMissing

SECRET = 'swordfish/9+x"y'
KEY = "sk-proj-0123456789abcdef"


def recorder(folder: Path, mode: Any = "record", test: str = "file.test_a") -> Recorder:
    found = Recorder(mode, folder, specstack_api.errors)
    found.begin(test)
    return found


def ask(found: Recorder, request: Any, reply: Any = "live", target: str = "model") -> Any:
    async def live() -> Any:
        return reply

    return asyncio.run(found.calls("near").call(target, request, live))


def command(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["recordings", *words])
    return found.exit_code, found.output


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        ({"api_keys": ["swordfish"]}, {"api_keys": [SCRUBBED]}),
        ({"password": 12345678}, {"password": SCRUBBED}),
        ({"credentials": {"user": "me", "on": True}}, {"credentials": {"user": SCRUBBED, "on": True}}),
        ({"Set-Cookie": "session=swordfish", "cookie": "a=b"}, {"Set-Cookie": SCRUBBED, "cookie": SCRUBBED}),
        ([["x-api-key", "swordfish"], ["accept", "a/b"]], [["x-api-key", SCRUBBED], ["accept", "a/b"]]),
        ({"name": "x-api-key", "value": "swordfish"}, {"name": "x-api-key", "value": SCRUBBED}),
        ({"url": "/v1?AccessToken=swordfish&a=b"}, {"url": f"/v1?AccessToken={SCRUBBED}&a=b"}),
    ],
)
def test_secrets_by_the_name_beside_them(said: Any, stays: Any) -> None:
    assert Scrubber().clean(said) == stays


@pytest.mark.parametrize(
    "said",
    [
        {"properties": {"password": {"type": "string", "description": "Yours."}, "secret": {"$ref": "#/x"}}},
        {"required": ["password", "user"], "items": [["token", "of"], ["a", "list"], ["three"]]},
        {"token": 42, "tokens": [1, 2], "next_page_token": "abc", "eos_token": "</s>"},
        {"name": "colour", "value": "red"},
        {"password": None, "secret": "", "credentials": False},
    ],
)
def test_what_is_no_secret_stays(said: Any) -> None:
    assert Scrubber().clean(said) == said


@pytest.mark.parametrize(
    "said",
    [
        quote(SECRET, safe=""),
        quote(SECRET),
        json.dumps({"inside": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"me:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"!{SECRET}!".encode()).decode(),
    ],
)
def test_a_known_secret_in_another_form(said: str) -> None:
    scrubber = Scrubber()
    assert scrubber.clean(said) == said
    scrubber.learn([SECRET])
    assert SCRUBBED in scrubber.clean(said)


def test_what_was_asked_for_holds_no_secret(tmp_path: Path) -> None:
    found = recorder(tmp_path)
    found.scrubber.learn([SECRET])
    ask(found, {"q": 1}, target=f"GET /bots/{KEY}/{SECRET}")
    (path,) = found.library.files()
    assert KEY not in path.read_text() and json.dumps(SECRET)[1:-1] not in path.read_text()
    assert list(faults(path)) == []
    assert ask(recorder(tmp_path, "replay"), {"q": 1}, target=f"GET /bots/{KEY}/{SCRUBBED}") == "live"
    path.write_text(path.read_text().replace(f"/bots/{SCRUBBED}", f"/bots/{KEY}"))
    assert any("looks like a secret" in fault for fault in faults(path))


def test_half_a_character(tmp_path: Path) -> None:
    """As models write them that are cut off amid an emoji."""
    reply, request = {"text": "\ud83d"}, {"q": "\ude00"}
    ask(recorder(tmp_path), request, reply)
    assert ask(recorder(tmp_path, "replay"), request) == reply
    with pytest.raises(RecordingMissing, match="is recorded"):
        ask(recorder(tmp_path, "replay"), {"q": "\ude01"})
    assert command("show", "", "--dir", str(tmp_path))[0] == 0
    assert list(all_faults(recorder(tmp_path).library)) == []


@pytest.mark.parametrize("names", [("t[a/b]", "t[a b]"), ("t" * 130 + "1", "t" * 130 + "2")])
def test_recording_a_test_anew_leaves_those_of_another_alone(tmp_path: Path, names: tuple[str, str]) -> None:
    """Both names make the same directory."""
    for number, name in enumerate(names):
        ask(recorder(tmp_path, test=name), {"q": number}, number)
    for number, name in enumerate(names):
        assert ask(recorder(tmp_path, "replay", name), {"q": number}) == number


@pytest.mark.parametrize("index", [True, False])
def test_a_damaged_recording_is_named_and_made_again(tmp_path: Path, index: bool) -> None:
    found = recorder(tmp_path)
    ask(found, {"q": 1}, "first")
    ask(found, {"q": 2}, "other")
    path = next(one for one in found.library.files() if '"q": 1' in one.read_text())
    found.close()
    path.write_text(path.read_text()[:60])
    if not index:
        (tmp_path / INDEX).unlink()
    with pytest.raises(RecordingMissing, match=f"near asks model: {path}: no JSON .*; record it again"):
        ask(recorder(tmp_path, "replay"), {"q": 1})
    assert ask(recorder(tmp_path, "record-if-missing"), {"q": 1}, "again") == "again"
    assert ask(recorder(tmp_path, "replay"), {"q": 1}) == "again"


def test_a_file_that_goes_while_recordings_are_in_use(tmp_path: Path) -> None:
    found = recorder(tmp_path)
    ask(found, {"q": 1}, "first")
    found.library.files()[0].unlink()
    found.mode = "replay"
    with pytest.raises(RecordingMissing, match="no recording of it"):
        ask(found, {"q": 1})


@pytest.mark.parametrize(
    "answer",
    [
        {"failure": {"message": "no error"}},
        {"head": {"headers": {}}, "body": {"text": ""}},
        {"head": {"status": "200", "headers": {}}, "body": {"text": ""}},
        {"head": {"status": 200, "headers": {}}, "body": 5},
        {"head": {"status": 200, "headers": {}}, "pieces": [{"at": 0, "data": None}]},
        {"head": {"status": 200, "headers": {}}, "pieces": [{"at": 0, "data": {"base64": "a"}}]},
    ],
)
def test_an_answer_that_cannot_be_given_is_a_fault(tmp_path: Path, answer: Any) -> None:
    found = recorder(tmp_path)
    ask(found, {"q": 1})
    (path,) = found.library.files()
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "http", "answer": answer}))
    assert "record it again" in next(iter(faults(path)))
    status, said = command("list", "--dir", str(tmp_path))
    assert status == 0 and "damaged" in said


def test_replay_where_the_index_cannot_be_written(tmp_path: Path) -> None:
    found = recorder(tmp_path)
    ask(found, {"q": 1}, "kept")
    found.close()
    (tmp_path / INDEX).unlink()
    (tmp_path / INDEX).mkdir()
    again = recorder(tmp_path, "replay")
    assert ask(again, {"q": 1}) == "kept"
    again.close()


def test_prune_does_not_remove_all_because_no_test_has_run(tmp_path: Path) -> None:
    found = recorder(tmp_path)
    ask(found, {"q": 1})
    (path,) = found.library.files()
    found.close()
    (tmp_path / INDEX).unlink()
    old = time.time() - 99_999
    os.utime(path, (old, old))
    status, said = command("prune", "--dir", str(tmp_path))
    assert status == 1 and "no test has used any recording" in said and path.exists()
    assert command("prune", "--unused", "0", "--dir", str(tmp_path))[0] == 0 and not path.exists()


def _write(folder: str) -> int:
    found = recorder(Path(folder), "record-if-missing")
    texts = [ask(found, {"q": number}, f"{number}" * 50_000) for number in range(20)]
    found.close()
    return sum(len(text) for text in texts)


def test_several_processes_may_record_the_same(tmp_path: Path) -> None:
    with get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(_write, [str(tmp_path)] * 3))) == 1
    assert list(all_faults(recorder(tmp_path).library)) == []
    assert not list(tmp_path.rglob("*.new"))
