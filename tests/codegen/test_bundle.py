"""Many files become one document, with local references, and every node still knows where it stands."""

import time
from pathlib import Path

import pytest

from specstack_codegen.bundle import Spec, load_spec, read_spec
from specstack_codegen.source import SpecErrors, plain

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent


def write(root: Path, **files: str) -> Path:
    """A spec folder with these OpenAPI files."""
    (root / "openapi").mkdir(parents=True)
    for name, text in files.items():
        (root / "openapi" / f"{name}.yaml").write_text(text)
    return root


@pytest.fixture(scope="module")
def toys() -> Spec:
    return load_spec(HERE / "spec")


def test_apis_are_the_files_but_common(toys: Spec) -> None:
    assert list(toys.apis) == ["play", "toys"]
    assert toys.component_api["Error"] == "common"
    assert toys.component_api["Move"] == "play"
    assert toys.operation_api["deleteToy"] == "toys"


def test_references_are_local_wherever_they_pointed(toys: Spec) -> None:
    refs = [node.ref for node in toys.nodes if node.ref]
    assert "#/components/schemas/Toy" in refs
    assert {ref[:13] for ref in refs} == {"#/components/"}
    mapping = toys.openapi["components"]["schemas"]["Move"]["discriminator"]["mapping"]
    assert mapping["catch"] == "#/components/schemas/Catch"


def test_positions_survive_the_merge(toys: Spec) -> None:
    schemas = toys.openapi.map("components").map("schemas")
    text = (HERE / "spec" / "openapi" / "play.yaml").read_text().splitlines()
    assert str(schemas.at("Move")) == f"spec/openapi/play.yaml:{text.index('    Move:') + 1}:5"
    assert toys.openapi.map("paths").at("/v1/toys").file == "spec/openapi/toys.yaml"


def test_head_and_tags_of_the_bundle(toys: Spec) -> None:
    assert toys.openapi["openapi"] == "3.2.0"
    assert toys.openapi["info"]["description"].startswith("A small spec without a fault")
    assert toys.openapi["tags"] == [
        {"name": "play", "description": "Games with toys."},
        {"name": "toys", "description": "The table of toys."},
    ]


def test_aliases_are_kept_for_the_ir_and_are_no_paths(toys: Spec) -> None:
    assert toys.openapi["paths"]["/v1/toys/{toy}"]["get"]["x-aliases"] == ["/v1/old/toys/{toy}"]
    assert "/v1/old/toys/{toy}" not in toys.openapi["paths"]


def test_the_other_files_are_read(toys: Spec) -> None:
    assert toys.resources["resources"]["toy"]["plural"] == "toys"
    assert toys.providers["play/inline_toy_box"]["api"] == "play"
    assert toys.errors.map("errors").map("Wrong")["status"] == 400
    assert toys.config["root"] == "Config"
    assert toys.deviations is not None
    assert set(toys.sources) == {
        *(
            "openapi/common.yaml",
            "openapi/play.yaml",
            "openapi/toys.yaml",
            "providers/play/inline_toy_box.yaml",
        ),
        *("config.yaml", "deviations.yaml", "errors.yaml"),
        *("resources.yaml", "services.yaml", "settings.yaml", "storage.yaml"),
    }
    assert all(len(digest) == 64 for digest in toys.sources.values())


def test_a_satellite_may_have_openapi_files_alone(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path / "s", one="x-api: {name: one, summary: One.}\npaths: {/v1/one: {}}\n"))
    assert list(spec.openapi["paths"]) == ["/v1/one"]
    assert (spec.errors, spec.config, spec.resources, spec.services, spec.providers) == ({}, {}, {}, {}, {})
    assert spec.deviations is None


def test_data_that_looks_like_a_reference_is_left_alone(tmp_path: Path) -> None:
    text = """
components:
  schemas:
    A:
      type: object
      properties:
        $ref: {type: string}
        example: {$ref: "#/components/schemas/B"}
      example: {$ref: nowhere.yaml#/x}
      default: {$ref: nowhere.yaml#/x}
    B: {type: string}
"""
    spec = load_spec(write(tmp_path / "s", one=text))
    assert spec.openapi["components"]["schemas"]["A"]["example"] == {"$ref": "nowhere.yaml#/x"}


def test_every_fault_of_merging_and_references_is_reported(tmp_path: Path) -> None:
    head = "paths: {/v1/x: {}}\ncomponents:\n  schemas:\n"
    one = head + "    A: {type: string}\n    B: {$ref: '#/components/schemas/C'}\n"
    two = head + "    A: {$ref: three.yaml#/components/schemas/A}\n"
    with pytest.raises(SpecErrors) as raised:
        load_spec(write(tmp_path / "s", one=one, two=two))
    assert [str(error).split(": ", 2)[:2] for error in raised.value.errors] == [
        ["s/openapi/one.yaml:5:9", "unresolved-ref"],
        ["s/openapi/two.yaml:1:9", "component-collision"],
        ["s/openapi/two.yaml:4:5", "component-collision"],
        ["s/openapi/two.yaml:4:9", "unresolved-ref"],
    ]
    collision = raised.value.errors[2]
    assert "the first stands at s/openapi/one.yaml:4:5" in collision.message


@pytest.mark.parametrize("spec", ["spec", "tests/fixture/spec"])
def test_the_specs_of_this_repository_load_alike_and_fast(spec: str) -> None:
    best, bundles = 9.0, []
    for _ in range(3):
        start = time.process_time()
        bundles.append(load_spec(REPOSITORY / spec).openapi)
        best = min(best, time.process_time() - start)
    assert plain(bundles[0]) == plain(bundles[1])
    assert list(bundles[0]["components"]["schemas"]) == list(bundles[1]["components"]["schemas"])
    assert best < 0.3


def test_a_fault_in_one_file_leaves_the_rest_readable(tmp_path: Path) -> None:
    spec = read_spec(
        write(tmp_path / "s", one="a: [", two="components: {schemas: {A: {$ref: one.yaml#/x/y}}}")
    )
    assert {fault.rule for fault in spec.faults} == {"yaml-syntax", "unresolved-ref"}
    assert spec.component_api == {"A": "two"}


def test_shared_settings_stand_behind_a_providers_own_and_keep_their_place(toys: Spec) -> None:
    properties = toys.providers["play/inline_toy_box"].map("config").map("properties")
    assert list(properties) == ["size", "shop_key", "lock_after"]
    assert str(properties.at("lock_after")) == "spec/settings.yaml:5:7"


COUNTED = """
openapi: 3.2.0
info: {title: T, version: "1", description: T.}
paths: {}
x-counted:
  responses: {"429": TooMany}
  headers: {x-left: Left}
  token_headers: {x-left-tokens: Left}
components:
  responses: {TooMany: {description: Too many.}}
  headers: {Left: {description: Left., schema: {type: string}}}
"""
OPERATIONS = """
openapi: 3.2.0
info: {title: P, version: "1", description: P.}
x-api: {name: play, summary: P.}
paths:
  /a:
    get: {operationId: a, responses: {"200": {description: A.}, default: {description: D.}}}
    post:
      operationId: b
      x-usage: {input: n}
      responses:
        default: {description: D.}
        "404": {description: N.}
        "201": {description: B., headers: {x-left: {description: Mine., schema: {type: string}}}}
    delete: {operationId: c, x-public: true, responses: {"204": {description: C.}}}
    put:
      operationId: d
      responses: {"200": {$ref: "common.yaml#/components/responses/TooMany"}, "429": {description: Mine.}}
"""


def test_what_is_counted_says_so(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, common=COUNTED, play=OPERATIONS))
    found = plain(spec.openapi)["paths"]["/a"]
    left, many = {"$ref": "#/components/headers/Left"}, {"$ref": "#/components/responses/TooMany"}
    assert found["get"]["responses"] == {
        "200": {"description": "A.", "headers": {"x-left": left}},
        "429": many,
        "default": {"description": "D."},
    }
    assert list(found["post"]["responses"]) == ["201", "404", "429", "default"]
    assert list(found["post"]["responses"]["201"]["headers"]) == ["x-left", "x-left-tokens"]
    assert found["post"]["responses"]["201"]["headers"]["x-left"]["description"] == "Mine."
    assert found["delete"]["responses"] == {"204": {"description": "C."}}
    assert found["put"]["responses"] == {"200": many, "429": {"description": "Mine."}}
    pos = spec.openapi.map("paths").map("/a").map("get").map("responses").at("429")
    assert (pos.file.endswith("common.yaml"), pos.line) == (True, 6)
