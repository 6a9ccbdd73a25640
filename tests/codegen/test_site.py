"""The web reference: links lead somewhere, nothing comes from elsewhere, examples fit, output is the same."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from posixpath import dirname, join, normpath
from urllib.parse import unquote

import jsonschema
import pytest

from specstack_codegen import site
from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.ir import Ir
from specstack_codegen.site import markdown
from support.codegen import SPECS

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """What a page refers to, what can be referred to in it, and whether its elements close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif "href" in named or "src" in named:
            self.assets.append(named.get("href") or named["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> at {self.getpos()}")


@pytest.fixture(scope="module", params=sorted(SPECS))
def made(request: pytest.FixtureRequest) -> tuple[Ir, dict[str, str]]:
    root, package = SPECS[request.param]
    ir = build_ir(load_spec(root), package)
    return ir, site.build(ir)


def pages(files: dict[str, str]) -> dict[str, Page]:
    return {path: Page(text) for path, text in files.items() if path.endswith(".html")}


def test_every_element_closes_and_ids_are_unique(made: tuple[Ir, dict[str, str]]) -> None:
    for path, page in pages(made[1]).items():
        assert (page.mistakes, page.open) == ([], []), path
        assert len(page.ids) == len(set(page.ids)), path


def test_headings_leave_no_level_out(made: tuple[Ir, dict[str, str]]) -> None:
    for path, text in made[1].items():
        levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", text.partition("<main")[2])]
        assert levels[:1] in ([1], []), path
        assert all(after <= before + 1 for before, after in pairwise(levels)), path


def test_links_lead_somewhere(made: tuple[Ir, dict[str, str]]) -> None:
    known = pages(made[1])
    followed = 0
    for path, page in known.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            file = normpath(join(dirname(path), target)) if target else path
            assert file in known, f"{path}: {link}"
            assert not anchor or unquote(anchor) in known[file].ids, f"{path}: {link}"
            followed += 1
    assert followed > 50


def test_nothing_is_fetched_from_elsewhere(made: tuple[Ir, dict[str, str]]) -> None:
    _, files = made
    for path, page in pages(files).items():
        for asset in page.assets:
            local = normpath(join(dirname(path), asset))
            assert asset == "data:," or local in files, f"{path}: {asset}"
    for path in ("style.css", "site.js"):
        assert not re.search(r"https?://|url\(|@import|fetch\(|import\(", files[path]), path


def test_the_search_finds_operations_fields_providers_and_errors(made: tuple[Ir, dict[str, str]]) -> None:
    ir, files = made
    text = files["search-index.js"].removeprefix("window.SPEC_INDEX = ").rstrip().removesuffix(";")
    entries = json.loads(text.replace("<\\/", "</"))
    known = pages(files)
    for _, _, url, _ in entries:
        file, _, anchor = url.partition("#")
        assert file in known and (not anchor or anchor in known[file].ids), url
    operations = {entry[3].split()[0] for entry in entries if entry[1] == "operation"}
    assert operations == {op.id for api in ir.apis for op in api.operations}
    assert {entry[0] for entry in entries if entry[1] == "provider"} == {
        provider.provider_type for provider in ir.providers
    }
    kinds = {entry[1] for entry in entries}
    assert {"model", "model field", "error"} <= kinds


def test_the_examples_on_the_pages_fit_their_schemas(made: tuple[Ir, dict[str, str]]) -> None:
    ir, files = made
    document = {"components": {"schemas": dict(ir.schemas)}}
    checked = 0
    for api in ir.apis:
        for op in api.operations:
            section = files[f"apis/{api.name}.html"].split(
                f'<section class="operation" id="{op.id.lower()}"'
            )[1]
            for title, text in samples_of(section.split("</section>")[0]):
                if title == "Reply" and op.reply.model:
                    check(json.loads(text), op.reply.model, document)
                elif title == "Stream":
                    assert op.stream is not None
                    lines = [line.removeprefix("data: ") for line in text.split("\n") if line]
                    data = [line for line in lines if not line.startswith("event: ")]
                    if op.stream.end:
                        assert data.pop() == op.stream.end
                    for line in data:
                        check(json.loads(line), op.stream.item, document)
                elif title == "Error":
                    model = next(one.model for one in op.failures if one.model)
                    assert model is not None
                    check(json.loads(text), model, document)
                else:
                    continue
                checked += 1
    assert checked > 3


def samples_of(section: str) -> list[tuple[str, str]]:
    found = re.findall(
        r"<summary>([A-Z]\w+)(?: <span>.*?</span>)?</summary>\n<pre[^>]*><code>(.*?)</code></pre>",
        section,
        re.DOTALL,
    )
    plain = [(title, re.sub(r"<[^>]+>", "", text)) for title, text in found]
    return [
        (title, text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) for title, text in plain
    ]


def check(value: object, model: str, document: dict[str, object]) -> None:
    jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{model}", **document}).validate(value)


def test_the_same_spec_gives_the_same_bytes() -> None:
    root, package = SPECS["fixture"]
    assert site.build(build_ir(load_spec(root), package)) == site.build(build_ir(load_spec(root), package))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a < b & `c < d`", "<p>a &lt; b &amp; <code>c &lt; d</code></p>"),
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>"),
        ("[`x`](../a/b.md#c)", '<p><a href="../a/b.html#c"><code>x</code></a></p>'),
        ("[x](https://example.com/y.md)", '<p><a href="https://example.com/y.md">x</a></p>'),
        ("[x](javascript:alert)", "<p>x</p>"),
        ("**x** y", "<p><strong>x</strong> y</p>"),
        ("- a\n  b\n- c", "<ul><li>a b</li><li>c</li></ul>"),
        ("# A\ntext", "<h1>A</h1>\n<p>text</p>"),
        ('<a id="x"></a>', '<a class="anchor" id="x"></a>'),
        ("```\n<b>\n```", '<pre tabindex="0"><code>&lt;b&gt;</code></pre>'),
    ],
)
def test_markdown(text: str, html: str) -> None:
    assert markdown.blocks(text) == html


def test_tables_keep_escaped_column_ends() -> None:
    table = markdown.blocks("| A | B |\n| --- | --- |\n| `x\\|y` | z |")
    assert '<td data-label="A"><code>x|y</code></td><td data-label="B">z</td>' in table


def test_json_in_colours() -> None:
    shown = markdown.blocks('```json\n{"a": [1, "<", null]}\n```')
    assert '<span class="key">"a"</span>: [<span class="number">1</span>' in shown
    assert '<span class="text">"&lt;"</span>, <span class="word">null</span>' in shown
