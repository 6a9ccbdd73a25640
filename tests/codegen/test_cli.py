"""`python -m specstack_codegen`: writes, checks, knows when nothing is to be done, leaves no half work."""

import json
import shutil
import time
from pathlib import Path

import pytest

from specstack_codegen.cache import cached_text, digest
from specstack_codegen.cli import input_digest, main
from specstack_codegen.writer import MANIFEST, Changes, apply, compare, is_current, with_manifest
from support.codegen import REPOSITORY, run_codegen

TINY = REPOSITORY / "tests/codegen/golden/tiny/spec"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec and what was generated from it."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(TINY, folder / "spec")
    done = run_codegen(folder, "--package", "tiny")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that a test may spoil."""
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_run_that_changes_nothing_takes_less_than_half_a_second(work: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (work / "generated").rglob("*")}
    seconds: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        done = run_codegen(work, "--package", "tiny")
        seconds.append(time.perf_counter() - started)
        assert "generated is current" in done.stdout
    assert min(seconds) < 0.5
    assert before == {path: path.stat().st_mtime_ns for path in (work / "generated").rglob("*")}


def test_the_output_does_not_depend_on_the_hash_seed(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "spec", tmp_path / "spec")
    run_codegen(tmp_path, "--package", "tiny", PYTHONHASHSEED="4711")
    assert snapshot(tmp_path / "generated") == snapshot(made / "generated")


def test_a_change_in_the_spec_changes_only_what_it_touches(work: Path) -> None:
    before = snapshot(work / "generated")
    path = work / "spec/errors.yaml"
    path.write_text(path.read_text().replace("There is none left.", "Sold, all of it."))
    done = run_codegen(work, "--package", "tiny")
    after = snapshot(work / "generated")
    changed = {name for name in before if before[name] != after[name]}
    assert done.returncode == 0
    assert b"Sold, all of it." in after["tiny_api/errors.py"]
    assert {"tiny_api/errors.py", MANIFEST} <= changed
    assert not [name for name in changed if "/models/" in name]


def test_approvals_and_the_review_change_no_output(work: Path) -> None:
    (work / "spec/approvals.yaml").write_text("approvals: []\n")
    done = run_codegen(work, "--package", "tiny")
    assert "generated is current" in done.stdout
    done = run_codegen(work, "--package", "tiny", "--check")
    assert (done.returncode, done.stdout.strip()) == (0, "generated is what the spec says")


def test_check_says_nothing_is_wrong(made: Path) -> None:
    done = run_codegen(made, "--package", "tiny", "--check")
    assert (done.returncode, done.stdout.strip()) == (0, "generated is what the spec says")


def test_check_shows_the_difference_and_writes_nothing(work: Path) -> None:
    edited = work / "generated/tiny_api/errors.py"
    edited.write_text(edited.read_text().replace("status = 409", "status = 410"))
    (work / "generated/tiny_server/dispatch.py").unlink()
    before = snapshot(work)
    done = run_codegen(work, "--package", "tiny", "--check")
    assert done.returncode == 1
    assert "--- a/tiny_api/errors.py\n+++ b/tiny_api/errors.py\n" in done.stdout
    assert "-    status = 410\n+    status = 409\n" in done.stdout
    assert "--- /dev/null\n+++ b/tiny_server/dispatch.py\n" in done.stdout
    assert "2 files in generated are not what the spec says; run `make generate`" in done.stderr
    assert snapshot(work) == before


def test_check_asks_for_a_run_when_only_the_inputs_changed(work: Path) -> None:
    """A comment in the spec changes no code, but the manifest must not claim the old inputs."""
    path = work / "spec/services.yaml"
    path.write_text(f"# a comment\n{path.read_text()}")
    manifest = work / "generated" / MANIFEST
    run_codegen(work, "--package", "tiny")
    manifest.write_text(manifest.read_text().replace('"inputs": "', '"inputs": "0'))
    done = run_codegen(work, "--package", "tiny", "--check")
    assert done.returncode == 1
    assert "manifest.json" in done.stderr


def test_is_current_tells_by_exit_code_alone(work: Path) -> None:
    assert run_codegen(work, "--package", "tiny", "--is-current").returncode == 0
    (work / "generated/tiny_api/errors.py").write_text("")
    assert run_codegen(work, "--package", "tiny", "--is-current").returncode == 1


def test_is_current_needs_neither_the_model_generator_nor_ruff(work: Path) -> None:
    """A fresh clone asks this before the generator's packages are installed."""
    code = (
        "import sys\n"
        "for name in ('datamodel_code_generator', 'jinja2', 'ruff', 'yaml'):\n    sys.modules[name] = None\n"
        "from specstack_codegen.cli import main\n"
        "sys.exit(main(['--package', 'tiny', '--is-current']))\n"
    )
    (work / "ask.py").write_text(code)
    import subprocess
    import sys

    path = str(REPOSITORY / "codegen")
    done = subprocess.run(
        [sys.executable, "ask.py"],
        cwd=work,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_hand_edits_are_undone_by_the_next_run(work: Path) -> None:
    edited = work / "generated/tiny_api/errors.py"
    wanted = edited.read_bytes()
    edited.write_text("# mine\n")
    run_codegen(work, "--package", "tiny")
    assert edited.read_bytes() == wanted


def test_files_that_are_generated_no_more_go_and_others_stay(work: Path) -> None:
    (work / "spec/providers/shops/inline_corner.yaml").unlink()
    (work / "generated/tiny_api/notes.txt").write_text("mine")
    done = run_codegen(work, "--package", "tiny")
    assert done.returncode == 0, done.stderr
    assert not (work / "generated/tiny_api/provider_config").exists()
    assert (work / "generated/tiny_api/notes.txt").read_text() == "mine"


def test_faults_are_all_printed_with_their_places_and_nothing_is_written(work: Path) -> None:
    path = work / "spec/openapi/shops.yaml"
    text = path.read_text()
    text = text.replace("operationId: createOrder", "operationId: create_order")
    text = text.replace("mode: service, service: clock", "mode: service, service: sundial")
    path.write_text(text)
    before = snapshot(work)
    done = run_codegen(work, "--package", "tiny")
    lines = done.stderr.splitlines()
    places = [line for line in lines if line.startswith("spec/openapi/shops.yaml:")]
    assert done.returncode == 1
    assert len(places) >= 2
    assert "create_order" in done.stderr and "sundial" in done.stderr
    assert len([line for line in lines if line.startswith("  hint: ")]) >= len(places)
    assert lines[-1].endswith("faults in spec; nothing was written")
    assert snapshot(work) == before


def test_a_folder_without_a_spec_is_one_readable_line(tmp_path: Path) -> None:
    done = run_codegen(tmp_path)
    assert done.returncode == 1
    assert "there is no OpenAPI document in this folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "generated").exists()


def test_the_digest_depends_on_the_spec_and_the_package(work: Path) -> None:
    first = input_digest(work / "spec", "tiny")
    assert input_digest(work / "spec", "tony") != first
    (work / "spec/services.yaml").write_text("services: {}\n")
    assert input_digest(work / "spec", "tiny") != first


def test_models_are_made_once_for_the_same_schemas(work: Path) -> None:
    cached = {path: path.stat().st_mtime_ns for path in (work / ".specstack-cache").iterdir()}
    path = work / "spec/services.yaml"
    path.write_text(path.read_text().replace("Knows the hours.", "Knows every hour."))
    assert run_codegen(work, "--package", "tiny").returncode == 0
    assert cached == {path: path.stat().st_mtime_ns for path in (work / ".specstack-cache").iterdir()}


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cached_text("kind", "key", lambda: "made", tmp_path / "file") == "made"
    assert cached_text("kind", "key", lambda: "kept", tmp_path / "cache") == "kept"
    assert cached_text("kind", "key", lambda: "other", tmp_path / "cache") == "kept"


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_nothing_is_replaced_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    apply(out, compare(out, with_manifest({"a/x.py": "old\n", "a/y.py": "old\n"}, "1")))
    before = snapshot(out)
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "y.py":
            raise OSError("no space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        apply(out, compare(out, with_manifest({"a/x.py": "new\n", "a/y.py": "new\n"}, "2")))
    assert snapshot(out) == before
    assert is_current(out, "1")


def test_a_broken_manifest_means_out_of_date(tmp_path: Path) -> None:
    files = with_manifest({"a/x.py": "x\n"}, "1")
    apply(tmp_path, Changes(files, []))
    (tmp_path / MANIFEST).write_text("<<<<<<< ours\n")
    assert not is_current(tmp_path, "1")
    assert list(compare(tmp_path, files).written) == [MANIFEST]


def test_only_generated_files_count_as_stale(tmp_path: Path) -> None:
    apply(tmp_path, compare(tmp_path, with_manifest({"a/x.py": "x\n", "a/data.json": "{}\n"}, "1")))
    (tmp_path / "a/marked.py").write_text("# Generated by specstack_codegen from spec/a.yaml\n")
    (tmp_path / "a/own.py").write_text("# by hand\n")
    changes = compare(tmp_path, with_manifest({"a/x.py": "x\n"}, "2"))
    assert changes.removed == ["a/data.json", "a/marked.py"]


def test_the_committed_code_is_what_the_spec_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert main(["--check"]) == 0, capsys.readouterr().out
    fixture = ["--spec", "tests/fixture/spec", "--out", "tests/fixture/generated", "--package", "fixture"]
    assert main([*fixture, "--check"]) == 0, capsys.readouterr().out
    assert json.loads((REPOSITORY / "generated" / MANIFEST).read_text())["inputs"] == input_digest(
        Path("spec"), "specstack"
    )
