"""`specstack spec docs`: what it writes, and where it refuses to."""

import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from specstack.cli.main import app

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["spec", "docs", *arguments])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_site_is_written_and_written_again_the_same(tmp_path: Path) -> None:
    first = run(str(ROOT / "spec"), "-o", str(tmp_path / "a"))
    assert first.exit_code == 0, first.output
    assert f"wrote {tmp_path / 'a' / 'index.html'} and " in first.output
    assert run(str(ROOT / "spec"), "-o", str(tmp_path / "b")).exit_code == 0
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")
    assert {"index.html", "style.css", "site.js", "search-index.js", "errors.html", "run-config.html"} <= set(
        snapshot(tmp_path / "a")
    )


def test_pages_of_what_is_gone_go(tmp_path: Path) -> None:
    spec, out = tmp_path / "spec", tmp_path / "out"
    shutil.copytree(ROOT / "tests/fixture/spec", spec)
    assert run(str(spec), "-o", str(out), "--name", "fixture").exit_code == 0
    page = out / "providers/crates/inline_shelf.html"
    assert page.exists()
    (spec / "providers/crates/inline_shelf.yaml").unlink()
    assert run(str(spec), "-o", str(out), "--name", "fixture").exit_code == 0
    assert not page.exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    result = run(str(ROOT / "spec"), "-o", str(tmp_path))
    assert result.exit_code == 1
    assert "has other files in it" in result.output
    assert (tmp_path / "index.html").read_text() == "mine"


def test_an_operation_without_an_example_is_named(tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    shutil.copytree(ROOT / "spec", spec)
    path = spec / "openapi/inspect.yaml"
    text = path.read_text().replace("      example: {version: 0.1.0}\n", "")
    path.write_text(
        text.replace(
            "          description: The package's version",
            '          pattern: "^[0-9]{3}-[A-Z]{9}$"\n          description: The package\'s version',
        )
    )
    result = run(str(spec), "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "no example of VersionInfo could be made" in result.output
    assert not (tmp_path / "out").exists()
