"""Where our spec was as a reference, a change is noticed without the reference, and named with its place."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from specstack_codegen.bundle import read_spec
from specstack_codegen.score import held, ratchet
from specstack_codegen.score.document import Document, of_spec, read_document
from specstack_codegen.score.score import score

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RATCHET = HERE / "ratchet.json"
KEPT = held.read(held.beside(RATCHET))
NUMBERS = ratchet.read(RATCHET)
MESSAGE = "it was as in the reference"


@pytest.mark.parametrize("name", sorted(KEPT))
def test_our_spec_still_says_what_matched(name: str) -> None:
    """The ratchet for those who do not have the reference documents, such as CI."""
    assert list(held.lost(KEPT[name], of_spec(read_spec(ROOT / "spec")))) == [], (
        f"mend the spec; or, if it is meant, write {RATCHET} anew: see docs/spec-tools.md"
    )


def test_the_two_files_are_of_one_score() -> None:
    assert KEPT.keys() == NUMBERS.keys()
    for name, categories in KEPT.items():
        assert categories.keys() == NUMBERS[name]["categories"].keys()
        for category, places in categories.items():
            kept = sum(len(one) for kinds in places.values() for one in kinds.values() if one != "*")
            # Facts that two places of one component share are kept once.
            assert 0.8 * NUMBERS[name]["categories"][category]["same"] < kept


def test_there_are_names_of_our_own_and_digests_alone() -> None:
    text = (ROOT / "spec/openapi/inference.yaml").read_text() + (
        ROOT / "spec/openapi/models.yaml"
    ).read_text()
    for categories in KEPT.values():
        for places in categories.values():
            for where, kinds in places.items():
                assert where.split(".")[0].rstrip("[]{}") in text, where
                for digests in kinds.values():
                    assert digests == "*" or all(len(one) == 8 and int(one, 16) >= 0 for one in digests)


class Edit(NamedTuple):
    """In spec/openapi/inference.yaml, below the line `under`, `old` becomes `new`."""

    name: str
    under: str
    old: str
    new: str
    where: str
    says: str = MESSAGE


WORSE = [
    Edit(
        "a property goes",
        "    ChatCompletionDeleted:",
        "        id:\n          type: string\n          description: Its id.\n",
        "",
        "ChatCompletionDeleted.id",
    ),
    Edit(
        "an enum has another value",
        "    ChatCompletionDeleted:",
        "[chat.completion.deleted]",
        "[chat.completion.deleted, gone]",
        "ChatCompletionDeleted.object: enum",
    ),
    Edit(
        "a type",
        "    ChatCompletionDeleted:",
        "type: string\n          description: Its",
        "type: integer\n          description: Its",
        "ChatCompletionDeleted.id: type",
    ),
    Edit(
        "null is refused",
        "        max_completion_tokens:",
        '[integer, "null"]',
        "integer",
        "CreateChatCompletionRequest.max_completion_tokens: nullable",
    ),
    Edit(
        "a bound",
        "        top_logprobs:",
        "maximum: 20",
        "maximum: 21",
        "CreateChatCompletionRequest.top_logprobs: limit",
    ),
    Edit(
        "a bound is new",
        "        max_completion_tokens:",
        "          description:",
        "          maximum: 9\n          description:",
        "CreateChatCompletionRequest.max_completion_tokens: limit",
    ),
    Edit(
        "a default is new",
        "        max_completion_tokens:",
        "          description:",
        "          default: 9\n          description:",
        "CreateChatCompletionRequest.max_completion_tokens: default",
    ),
    Edit(
        "it is optional",
        "    ChatCompletionDeleted:",
        "[object, id, deleted]",
        "[object, deleted]",
        "ChatCompletionDeleted.id: required",
    ),
    Edit(
        "a property is new",
        "    ChatCompletionDeleted:",
        "      properties:\n",
        "      properties:\n        more: {type: string, description: More.}\n",
        "ChatCompletionDeleted.more",
        "the reference had no such property",
    ),
    Edit(
        "a list is of something else",
        "    Embedding:",
        "                type: number\n",
        "                type: string\n",
        "Embedding.embedding",
    ),
]
HARMLESS = [
    Edit("other words", "    ChatCompletionDeleted:", "Its id.", "What it is called.", ""),
    Edit(
        "an example",
        "    ChatCompletionDeleted:",
        "      required:",
        "      example: {object: chat.completion.deleted, id: a, deleted: true}\n      required:",
        "",
    ),
    Edit(
        "a mark of ours",
        "    ChatCompletionDeleted:",
        "      required:",
        "      x-stability: stable\n      required:",
        "",
    ),
]


def after(change: Edit, folder: Path) -> list[str]:
    """What is worse after the edit, in a copy of the spec."""
    spec = shutil.copytree(ROOT / "spec", folder / "spec")
    file = spec / "openapi/inference.yaml"
    head, found, rest = file.read_text().partition(f"\n{change.under}\n")
    assert found and change.old in rest
    file.write_text(head + found + rest.replace(change.old, change.new, 1))
    return list(held.lost(KEPT["openai"], of_spec(read_spec(spec))))


@pytest.mark.parametrize("change", WORSE, ids=lambda one: one.name)
def test_what_no_longer_matches_is_named(change: Edit, tmp_path: Path) -> None:
    lines = after(change, tmp_path)
    found = [line for line in lines if f": {change.where}" in line]
    assert found and change.says in found[0], lines
    assert found[0].split(":")[0].endswith("spec/openapi/inference.yaml")
    line = int(found[0].split(":")[1])
    near = (ROOT / "spec/openapi/inference.yaml").read_text().splitlines().index(change.under)
    assert abs(line - near) < 30, found[0]


@pytest.mark.parametrize("change", HARMLESS, ids=lambda one: one.name)
def test_what_changes_nothing_is_no_matter(change: Edit, tmp_path: Path) -> None:
    assert after(change, tmp_path) == []


def scored(ours: Path, theirs: Path) -> Any:
    return score(read_document(ours), read_document(theirs), [])


def test_what_is_kept_is_enough_to_see_every_change(tmp_path: Path) -> None:
    """Each property of a matching document is taken away, without the other document at hand."""
    ours = HERE / "reference/ours.yaml"
    file = tmp_path / "ratchet.facts.json"
    held.write(file, scored(ours, HERE / "reference/theirs.yaml"))
    kept = held.read(file)["theirs"]
    document = read_document(ours)
    assert list(held.lost(kept, document)) == []
    schemas: Any = document.root["components"]["schemas"]
    for name, schema in schemas.items():
        for field in list(schema.get("properties", {})):
            changed = read_document(ours)
            holder: Any = changed.root["components"]["schemas"][name]
            del holder["properties"][field]
            assert any(f"{name}.{field}" in line for line in held.lost(kept, changed)), (name, field)


def test_operations_that_go_are_missed() -> None:
    document = of_spec(read_spec(ROOT / "spec"))
    paths = document.root["paths"]
    del paths["/v1/embeddings"]
    lines = list(held.lost(KEPT["openai"], Document(document.root)))
    assert any("Embeddings: createEmbedding" in line and "is gone" in line for line in lines)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ratchet.facts.json"
    for text in ("[1]", "{"):
        file.write_text(text)
        with pytest.raises(ratchet.RatchetError, match=r"ratchet\.facts\.json"):
            held.read(file)
    file.write_text(json.dumps({}))
    assert held.read(file) == {}
