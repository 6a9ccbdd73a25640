"""Every lint rule fires where it should, says so with file, line and column, and tells how to mend it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from specstack_codegen.bundle import load_spec, read_spec
from specstack_codegen.lint import checked_spec, lint
from specstack_codegen.lint_rules import home
from specstack_codegen.lint_rules.registry import RULES
from specstack_codegen.source import SpecErrors, load_yaml, plain

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


class Case(NamedTuple):
    """One fault: `old` becomes `new` in `file`; `rule` reports it at § (or `at`), with these words."""

    rule: str
    file: str
    old: str
    new: str
    message: str
    hint: str
    at: str = ""


CASES = [
    Case(**case)
    for path in sorted((HERE / "lint_cases").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
]


def make_spec(folder: Path, *, main: bool = True) -> Path:
    """A copy of the sound spec; with the meta folder it is a main spec, without a satellite."""
    root = folder / "spec"
    shutil.copytree(HERE / "spec", root)
    if main:
        shutil.copytree(REPOSITORY / "spec" / "meta", root / "meta")
    return root


def apply(root: Path, case: Case) -> str:
    """Put the fault into the spec; returns the place of the report as `file:line:column`."""
    path = root / case.file
    text = path.read_text()
    assert text.count(case.old) == 1, f"{case.old!r} stands {text.count(case.old)} times in {case.file}"
    text = text.replace(case.old, case.new)
    before = text[: text.index("§")] if "§" in text else text[: text.index(case.at)]
    path.write_text(text.replace("§", ""))
    return f"spec/{case.file}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_the_sound_spec_has_no_fault(tmp_path: Path) -> None:
    assert [str(error) for error in lint(read_spec(make_spec(tmp_path)))] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.message[:40]}")
def test_a_rule_reports_place_fault_and_mend(tmp_path: Path, case: Case) -> None:
    root = make_spec(tmp_path)
    place = apply(root, case)
    found = [str(error) for error in lint(read_spec(root)) if error.rule == case.rule]
    at_place = [text for text in found if text.startswith(f"{place}: {case.rule}: ")]
    assert at_place, f"nothing at {place}; found: {found}"
    matching = [text for text in at_place if case.message in text.split("\n")[0]]
    assert matching, at_place
    assert any(case.hint in text.split("\n  hint: ")[1] for text in matching), matching


def test_every_rule_is_tested() -> None:
    # The rules of external specs have tests of their own, in test_external.py.
    tested = {case.rule for case in CASES} | {"empty-spec", "external-files", "external-serve"}
    assert tested == set(RULES)


def test_every_rule_is_documented() -> None:
    assert [rule.id for rule in RULES.values() if not rule.doc.rstrip().endswith(".")] == []


def test_an_empty_folder_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    (error,) = lint(read_spec(tmp_path / "spec"))
    assert str(error).startswith("spec/openapi:1:1: empty-spec: there is no OpenAPI document")
    assert "--spec" in error.hint


def test_an_empty_file_is_no_api(tmp_path: Path) -> None:
    root = make_spec(tmp_path)
    (root / "openapi" / "games.yaml").write_text("# to be written\n")
    (error,) = lint(read_spec(root))
    assert str(error).startswith("spec/openapi/games.yaml:1:1: api-name: the file has no x-api")


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    """Faults of every stage together: syntax in one file, references and rules in the others."""
    root = make_spec(tmp_path)
    (root / "services.yaml").write_text("services: {keeper: [}")
    faults = [case for case in CASES if case.rule in {"duplicate-key", "operation-id", "secret-format"}]
    chosen = [faults[0], *[case for case in faults if case.rule != "duplicate-key"][1:2], faults[-1]]
    places = [apply(root, case) for case in chosen]
    with pytest.raises(SpecErrors) as raised:
        checked_spec(root)
    text = str(raised.value)
    assert "spec/services.yaml:1:21: yaml-syntax" in text
    for case, place in zip(chosen, places, strict=True):
        assert f"{place}: {case.rule}: " in text
    assert [error.pos for error in raised.value.errors] == sorted(error.pos for error in raised.value.errors)


def test_no_junk_makes_the_linter_fail(tmp_path: Path) -> None:
    """Some values of every file replaced by something else: faults are reported, nothing is raised."""
    root = make_spec(tmp_path)
    faults = 0
    for path in sorted(root.rglob("*.yaml")):
        text = path.read_text()
        ways = list(_ways(plain(load_yaml(path, root))))
        for way in ways[:: 1 + len(ways) // 3]:
            for junk in (None, 5, {"x": {}}, [{}]):
                data = plain(load_yaml(path, root))
                holder = data
                for step in way[:-1]:
                    holder = holder[step]
                holder[way[-1]] = junk
                path.write_text(json.dumps(data))
                faults += len(lint(read_spec(root)))
                path.write_text(text)
    assert faults > 50


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _ways(value[key], (*way, key))


@pytest.mark.parametrize(
    ("file", "sound", "junk"),
    [
        ("providers.yaml", '{config: {$ref: "#/components/schemas/ProviderInfoConfig"}}', "{config: []}"),
        ("models.yaml", "{id: {type: string}}", "text"),
    ],
)
def test_no_junk_in_a_schema_with_an_example_makes_the_linter_fail(
    tmp_path: Path, file: str, sound: str, junk: str
) -> None:
    """Examples are tried on their schemas, of which other rules say that they are wrong."""
    root = tmp_path / "spec"
    shutil.copytree(REPOSITORY / "spec", root)
    path = root / "openapi" / file
    document = yaml.safe_load(path.read_text())
    schema = document["components"]["schemas"]["ProviderInfo" if file == "providers.yaml" else "Model"]
    schema["properties"] = yaml.safe_load(sound)
    schema.pop("required")
    path.write_text(yaml.safe_dump(document))
    before = len(lint(read_spec(root)))
    schema["properties"] = yaml.safe_load(junk)
    path.write_text(yaml.safe_dump(document))
    assert len(lint(read_spec(root))) > before


def test_no_junk_among_what_is_counted_makes_the_linter_fail(tmp_path: Path) -> None:
    root = tmp_path / "spec"
    shutil.copytree(REPOSITORY / "spec", root)
    path = root / "openapi" / "common.yaml"
    named = "x-ratelimit-limit-tokens: RateLimitLimitTokens"
    path.write_text(path.read_text().replace(f"    {named}\n", "    x-ratelimit-limit-tokens: {a: 1}\n", 1))
    assert "counted-components" in {fault.rule for fault in lint(read_spec(root))}


def test_load_spec_refuses_what_cannot_be_read_or_merged(tmp_path: Path) -> None:
    root = make_spec(tmp_path)
    place = apply(root, next(case for case in CASES if case.rule == "unresolved-ref"))
    with pytest.raises(SpecErrors, match="unresolved-ref") as raised:
        load_spec(root)
    assert str(raised.value).startswith(place)


@pytest.mark.parametrize(
    "file", ["openapi/common.yaml", "openapi/toys.yaml", "errors.yaml", "resources.yaml", "services.yaml"]
)
def test_a_broken_file_does_not_make_what_names_it_faults(tmp_path: Path, file: str) -> None:
    root = make_spec(tmp_path)
    (root / file).write_text("components: {schemas: [}")
    assert {error.rule for error in lint(read_spec(root))} == {"yaml-syntax"}


def test_a_satellite_leans_on_the_main_spec(tmp_path: Path) -> None:
    """Without meta, roles, main envelopes and codes of its own; its modules may be anywhere."""
    root = make_spec(tmp_path, main=False)
    (root / "config.yaml").unlink()
    into_main_store(root)
    errors = root / "errors.yaml"
    text = errors.read_text()
    errors.write_text(text[: text.index("roles:")] + text[text.index("errors:") : text.index("upstream:")])
    toys = root / "openapi" / "toys.yaml"
    toys.write_text(toys.read_text().replace("x-refusals: [toy_broken]", "x-refusals: [invalid_request]"))
    play = root / "openapi" / "play.yaml"
    play.write_text(play.read_text().replace("envelope: plain", "envelope: openai"))
    box = root / "providers" / "play" / "inline_toy_box.yaml"
    box.write_text(box.read_text().replace("specstack_providers.inline.play.toy_box", "toybox.box"))
    assert [str(error) for error in lint(read_spec(root))] == []


def into_main_store(root: Path) -> None:
    """A satellite's tables lie in the stores that the main spec has."""
    text = (root / "storage.yaml").read_text()
    tables = text[text.index("tables:") :].replace("store: shelf", "store: inference")
    (root / "storage.yaml").write_text(f"migrations: toybox.migrations\n{tables}")


def test_a_satellite_has_no_stores_and_no_table_of_the_main_spec(tmp_path: Path) -> None:
    root = make_spec(tmp_path, main=False)
    (root / "config.yaml").unlink()
    assert {error.message for error in lint(read_spec(root)) if error.rule == "storage-stores"} == {
        f"no run config can say where the store '{name}' is" for name in ("board", "drawer", "shelf")
    }
    into_main_store(root)
    path = root / "storage.yaml"
    path.write_text(path.read_text().replace("games:", "chat_completions:").replace("inference", "infrence"))
    found = [(error.message, error.hint) for error in lint(read_spec(root)) if error.rule == "storage-table"]
    missing = ("there is no store 'infrence' of kind sql", "did you mean inference?")
    taken = ("the main spec has a table 'chat_completions'", "give it another name")
    assert found == [taken, missing, missing]


def test_stores_need_a_place_in_the_run_config(tmp_path: Path) -> None:
    root = make_spec(tmp_path)
    config = root / "config.yaml"
    config.write_text(config.read_text().replace("stores: Stores\n", ""))
    (error,) = lint(read_spec(root))
    assert str(error) == (
        "spec/storage.yaml:2:1: storage-stores: the run config has no references to stores\n"
        "  hint: add stores: <component> to config.yaml, an object with a property for each store"
    )


def test_an_installed_generator_has_the_meta_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a wheel: meta and errors, no APIs. A provider of an API that is elsewhere passes unchecked."""
    wheel = tmp_path / "wheel"
    shutil.copytree(REPOSITORY / "spec" / "meta", wheel / "meta")
    shutil.copy(REPOSITORY / "spec" / "errors.yaml", wheel)
    monkeypatch.setattr(home, "_CANDIDATES", (wheel,))
    root = make_spec(tmp_path, main=False)
    (root / "errors.yaml").unlink()
    (root / "config.yaml").unlink()
    into_main_store(root)
    box = root / "providers" / "play" / "inline_toy_box.yaml"
    box.write_text(
        box.read_text().replace("api: play", "api: inference").replace("play.toy_box", "x.toy_box")
    )
    box.rename(root / "providers" / "inline_toy_box.yaml")
    (root / "providers" / "play").rename(root / "providers" / "inference")
    (root / "providers" / "inline_toy_box.yaml").rename(root / "providers" / "inference" / box.name)
    found = {str(error).split(": ", 1)[1].split("\n")[0] for error in lint(read_spec(root))}
    assert found == {
        "refusal-known: no error has the code 'toy_broken'",
        "envelope-known: there is no error envelope 'plain'",
        "resource-fields: there is no error class 'ToyBroken'",
        "resource-fields: there is no error class 'ToyConflict'",
        "resource-fields: there is no error class 'ToyNotFound'",
    }
    monkeypatch.setattr(home, "_CANDIDATES", ())
    with pytest.raises(FileNotFoundError, match="no meta folder"):
        lint(read_spec(root))


@pytest.mark.parametrize("spec", ["spec", "tests/fixture/spec"])
def test_the_specs_of_this_repository_have_no_fault(spec: str) -> None:
    assert [str(error) for error in lint(read_spec(REPOSITORY / spec))] == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("/toys/{toy}", "/toys/search", False),
        ("/toys/{toy}", "/toys/{id}", True),
        ("/toys/{toy}/parts", "/toys/box/{part}", True),
        ("/toys/{toy}/parts", "/toys/{toy}/parts/{part}", False),
        ("/toys/{toy}/parts", "/toys/box/parts", False),
        ("/toys/{long+}", "/toys/{toy}/parts", True),
        ("/toys/{long+}", "/toys/search/deep", False),
        ("/toys/{long+}", "/toys/{toy}", True),
        ("/toys/{long+}", "/toys", False),
        ("/toys/{long+}", "/{any+}", False),
        ("/toys/{long+}", "/games/{toy}/parts", False),
    ],
)
def test_paths_that_a_request_could_confuse(tmp_path: Path, one: str, other: str, clash: bool) -> None:
    """`{long+}` stands for a greedy parameter."""
    root = tmp_path / "spec"
    (root / "openapi").mkdir(parents=True)
    lines = [
        "openapi: 3.2.0",
        "info: {title: Toys, version: '1'}",
        "x-api: {name: toys, summary: Toys.}",
        "paths:",
    ]
    for path in (one, other):
        names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
        params = ", ".join(
            f"{{name: {name.rstrip('+')}, in: path, x-greedy: {str('+' in name).lower()}}}" for name in names
        )
        lines += [f"  '{path.replace('+', '')}':", "    get:", f"      parameters: [{params}]"]
    (root / "openapi" / "toys.yaml").write_text("\n".join(lines))
    found = [error for error in lint(read_spec(root)) if error.rule == "path-ambiguity"]
    assert bool(found) == clash
