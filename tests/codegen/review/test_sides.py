"""Reading both sides: git refs, folders, files, bundles; and what is said when that fails."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from specstack_codegen.review.errors import ReviewError
from specstack_codegen.review.review import Review, review
from specstack_codegen.review.sides import read_path, read_sides
from support.codegen import REPOSITORY
from support.mutations import seen

MODELS = "spec/openapi/models.yaml"
LOST = "response-property-removed listModels response.200.body.data[*].owned_by"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: `one` with the real spec, `main` with a property less, `fork` that left at `one`."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    shutil.copytree(REPOSITORY / "spec", folder / "spec")
    (folder / "README").write_text("one")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "one")
    git(folder, "checkout", "-qb", "fork")
    edit(folder, "summary: List models", "summary: All models")
    git(folder, "commit", "-qam", "fork")
    git(folder, "checkout", "-q", "main")
    without_owner(folder)
    git(folder, "commit", "-qam", "two")
    git(folder, "checkout", "-q", "--orphan", "empty")
    git(folder, "rm", "-rqf", ".")
    git(folder, "commit", "-qm", "empty", "--allow-empty")
    git(folder, "checkout", "-q", "main")
    return folder


def edit(folder: Path, before: str, after: str, file: str = MODELS) -> None:
    path = folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def without_owner(folder: Path) -> None:
    edit(folder, "required: [id, object, created, owned_by]", "required: [id, object, created]")
    start = "        owned_by:\n          type: string\n"
    text = (folder / MODELS).read_text()
    head, tail = text.split(start, 1)
    description, rest = tail.split("\n", 1)
    assert "description" in description
    (folder / MODELS).write_text(head + rest)


def compare(*arguments: str) -> Review:
    return review(*read_sides(arguments, "spec"))


@pytest.fixture
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    (repository / ".git/info/exclude").write_text("other.yaml")
    (repository / "other.yaml").write_text("some: thing")
    return repository


@pytest.mark.parametrize("arguments", [["one..main"], ["one", "main"], ["one", "spec"], ["one.."]])
def test_git_refs_and_folders_compare(inside: Path, arguments: list[str]) -> None:
    found = compare(*arguments)
    assert list(seen(found.findings)) == [f"breaking {LOST}"]
    finding = found.findings[0]
    assert finding.old is not None and finding.new is not None
    assert found.old.line(finding.old).strip() == "owned_by:"
    assert str(finding.old).startswith(f"{MODELS}:") and str(finding.new).startswith(f"{MODELS}:")
    assert git(inside, "status", "--porcelain") == ""


def test_a_ref_is_named_with_its_commit(inside: Path) -> None:
    assert compare("one..main").old.label == f"one ({git(inside, 'rev-parse', 'one')[:9]})"


def test_three_dots_begin_where_the_two_parted(inside: Path) -> None:
    assert [one.rule for one in compare("main...fork").findings] == ["documentation-changed"]
    assert "response-property-required" in [one.rule for one in compare("main..fork").findings]


def test_what_is_not_committed_is_compared_as_a_folder(inside: Path, tmp_path: Path) -> None:
    shutil.copytree(inside / "spec", tmp_path / "spec")
    edit(tmp_path, "minLength: 1", "minLength: 2")
    assert {one.rule for one in compare("main", str(tmp_path / "spec")).findings} == {
        "request-bound-tightened",
        "config-bound-tightened",
    }
    assert {one.rule for one in compare("main", str(tmp_path)).findings} != set()


def test_one_file_of_a_spec_is_looked_at_alone(inside: Path) -> None:
    found = compare("one:spec/openapi/models.yaml", "main")
    assert list(seen(found.findings)) == [f"breaking {LOST}"]
    assert found.new.only == "openapi/models.yaml"
    assert compare("one", "spec/openapi/inference.yaml").findings == []
    assert compare("one", "spec/config.yaml").findings == []


def test_files_that_stand_alone_are_known_by_what_they_hold(tmp_path: Path) -> None:
    for name, key in (("errors", "code: model_conflict"), ("config", "maximum: 65535")):
        text = (REPOSITORY / f"spec/{name}.yaml").read_text()
        (tmp_path / f"{name}-1.yaml").write_text(text)
        (tmp_path / f"{name}-2.yaml").write_text(text.replace(key, key[:-1]))
        old, new = (str(tmp_path / f"{name}-{number}.yaml") for number in (1, 2))
        assert [one.level.word for one in compare(old, new).findings] == ["breaking"]


def test_bundles_compare_with_bundles_and_folders(tmp_path: Path) -> None:
    published = REPOSITORY / "generated/specstack_api/openapi.json"
    document = json.loads(published.read_text())
    document["components"]["schemas"]["Model"]["properties"].pop("owned_by")
    document["components"]["schemas"]["Model"]["required"].remove("owned_by")
    changed = tmp_path / "openapi.json"
    changed.write_text(json.dumps(document, indent=2))
    found = compare(str(published), str(changed))
    assert list(seen(found.findings)) == [f"breaking {LOST}"]
    assert found.findings[0].old is not None and found.findings[0].old.line > 100
    mixed = compare(str(REPOSITORY / "spec"), str(changed))
    assert list(seen(mixed.findings)) == [f"breaking {LOST}"]
    assert "providers" in mixed.skipped and "config" in mixed.skipped
    assert compare(str(REPOSITORY / "spec"), str(published)).findings == []


def test_documents_of_two_things_do_not_compare_and_those_of_one_do(tmp_path: Path) -> None:
    text = "openapi: 3.2.0\npaths:\n  /a/{x}: {get: {operationId: a, responses: {}}}\n"
    one, two, moved, none = (tmp_path / f"{name}.yaml" for name in ("one", "two", "moved", "none"))
    one.write_text(text)
    two.write_text(text.replace("/a/", "/b/").replace("Id: a", "Id: b"))
    moved.write_text(text.replace("/a/", "/b/"))
    none.write_text("openapi: 3.2.0\npaths: {}\n")
    with pytest.raises(ReviewError, match="nothing in common"):
        compare(str(one), str(two))
    assert [finding.rule for finding in compare(str(one), str(moved)).findings] == ["operation-moved"]
    assert [finding.rule for finding in compare(str(one), str(none)).findings] == ["operation-removed"]


def test_a_provider_s_file_with_another_type_is_still_that_provider(inside: Path) -> None:
    file = inside / "spec/providers/inference/remote_vllm.yaml"
    text = file.read_text()
    try:
        file.write_text(text.replace("remote::vllm", "remote::vllm-server"))
        found = compare("main:spec/providers/inference/remote_vllm.yaml", str(file)).findings
    finally:
        file.write_text(text)
    assert [one.rule for one in found] == ["provider-removed", "provider-added"]


def test_json_that_yaml_reads_otherwise_is_read_as_json(tmp_path: Path) -> None:
    document = {"openapi": "3.1.0", "paths": {}, "info": {"title": "\U0001f600", "version": "1"}}
    (tmp_path / "a.json").write_text(json.dumps(document).replace(" ", "\t"))
    assert read_path(tmp_path / "a.json", "a").spec.openapi["info"]["title"] == "\U0001f600"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one"], "give two sides"),
        (["one", "main", "fork"], "give two sides"),
        ([], "give two sides"),
        (["nowhere..main"], "'nowhere' is neither a file, a folder nor a git ref"),
        (["--output=x", "main"], "'--output=x' is neither"),
        (["empty..main"], "has no 'spec'"),
        (["main...empty"], "main and empty have no commit in common"),
        (["one:nothing.yaml", "main"], "has no 'nothing.yaml'"),
        (["one", "README"], "README does not load: "),
        (["one", "other.yaml"], "other.yaml is neither an OpenAPI document nor a file of a spec"),
        (["one", "spec/deviations.yaml"], "nothing in deviations.yaml is a promise"),
        (["one", "spec/openapi"], "spec/openapi is no spec folder"),
        (["one:spec/config.yaml", "spec/errors.yaml"], "the one holds config, the other errors"),
        (
            ["one:spec/openapi/models.yaml", "spec/openapi/inference.yaml"],
            "no operation or schema of the one",
        ),
        (
            ["one:spec/providers/inference/remote_vllm.yaml", "spec/providers/inference/remote_ollama.yaml"],
            "have nothing in common: no provider of the one is in the other",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    inside: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(ReviewError) as refused:
        compare(*arguments)
    assert message in refused.value.lines[0]
    assert all("\n" not in line for line in refused.value.lines)


def test_outside_of_a_repository_only_files_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ReviewError, match="is not in a git repository"):
        compare("main..HEAD")


def test_without_git_refs_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReviewError, match="git is not installed"):
        compare("main..HEAD")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("openapi.yaml", "openapi: 3.2.0\ninfo: {}\n", "has no paths"),
        ("openapi.yaml", 'openapi: 3.2.0\npaths:\n  /a: {$ref: "b.yaml#/x"}\n', "refers to another file"),
        (
            "openapi.yaml",
            'openapi: 3.2.0\npaths: {}\ncomponents:\n  schemas:\n    A: {$ref: "#/components/schemas/B"}\n',
            "leads nowhere",
        ),
        ("openapi.yaml", "openapi: [\n", "does not load: "),
        ("one.yaml", "provider_type: remote::a\nsettings: [upstream]\n", "give the whole spec folder"),
    ],
)
def test_a_file_that_does_not_load_says_where(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(ReviewError) as refused:
        read_path(tmp_path / file, "it")
    assert message in refused.value.lines[0]


def test_a_spec_that_does_not_load_names_its_first_fault(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "spec", tmp_path / "spec")
    edit(tmp_path, 'schemas/Model"', 'schemas/Modell"')
    with pytest.raises(ReviewError) as refused:
        read_path(tmp_path, "new")
    assert refused.value.lines[0].startswith("new does not load: spec/openapi/models.yaml:")
    assert "(and 2 more)" in refused.value.lines[0] and "\n" not in refused.value.lines[0]
    assert "close names: Model" in refused.value.lines[1]
