"""The reference as a static web site: no server, no network, no build step; it works from file://.

The pages are those of the Markdown reference (`emit.docs`), at the same places with `.html`. Pages of APIs
and the first one have layouts of their own; the others are their Markdown.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from specstack_codegen import naming
from specstack_codegen.emit import Files
from specstack_codegen.emit.docs import Reference
from specstack_codegen.examples import Examples
from specstack_codegen.ir import Ir, Operation
from specstack_codegen.render import TEMPLATES, header
from specstack_codegen.site import markdown
from specstack_codegen.site.samples import reference, samples
from specstack_codegen.site.search import index

if TYPE_CHECKING:
    from jinja2 import Environment

_ASSETS = ("style.css", "site.js")


def build(ir: Ir) -> Files:
    """All files of the site by path. Raises NoExample for an operation without an example that fits."""
    return _Site(ir).files()


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "site"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    safe = {"md": markdown.blocks, "inline": markdown.inline, "code": markdown.code}
    from markupsafe import Markup

    environment.filters.update({name: _marked(Markup, make) for name, make in safe.items()})
    environment.filters["page"] = markdown.page
    return environment


def _marked(markup: Callable[[str], str], make: Callable[..., str]) -> Callable[..., str]:
    """A filter whose text is HTML already: the makers escape what they get."""

    def filtered(*values: str) -> str:
        return markup(make(*values))

    return filtered


class _Site(Reference):
    """The same pages as the Markdown reference, rendered as HTML."""

    def __init__(self, ir: Ir) -> None:
        super().__init__(ir)
        self.examples = Examples(ir.schemas)
        self.title = naming.pascal(ir.package)

    def files(self) -> Files:
        """The pages, the assets and the search index."""
        found = {
            path.removeprefix("docs/").replace(".md", ".html"): text for path, text in self.pages().items()
        }
        return {
            path: self.framed(path, text) if path.endswith(".html") else text
            for path, text in {**found, **_assets(), "search-index.js": index(self.ir)}.items()
        }

    def render(self, template: str, patterns: Iterable[str], **values: Any) -> str:
        """The body of a page; `files` puts the frame around it."""
        own = {"api.md.jinja": self._api, "index.md.jinja": self._index}.get(template)
        if own is not None:
            return own(patterns, **values)
        text = super().render(template, patterns, **values)
        return f'{_comment(self.ir, patterns)}<div class="prose">\n{markdown.blocks(text)}\n</div>\n'

    def _api(self, patterns: Iterable[str], **values: Any) -> str:
        pages = self.schema_pages(f"docs/apis/{values['api'].name}.md")
        for view in values["operations"]:
            operation: Operation = view["operation"]
            model = operation.reply.model
            view["reply_fields"] = pages.rows(reference(model)) if model else []
            view["samples"] = samples(self.ir, self.examples, operation)
        return _comment(self.ir, patterns) + _environment().get_template("api.html.jinja").render(**values)

    def _index(self, patterns: Iterable[str], **values: Any) -> str:
        text = _environment().get_template("index.html.jinja").render(**values)
        return _comment(self.ir, patterns) + text

    def framed(self, path: str, body: str) -> str:
        """A whole page: head, navigation, search, and the body."""
        root = posixpath.relpath(".", posixpath.dirname(path)) + "/" if "/" in path else ""
        return (
            _environment()
            .get_template("page.html.jinja")
            .render(
                site=self.title,
                title=_title(path, self.title),
                description=self.ir.openapi.get("info", {}).get("description", ""),
                root=root,
                here=path,
                body=body,
                apis=self.apis,
                providers=self.ir.providers,
                more=[one for one in _MORE if f"docs/{one[0]}.md" in self._known],
            )
        )

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        optional = {"errors": self.ir.errors, "run-config": self.ir.config, "deviations": self.ir.deviations}
        absent = {name for name, value in optional.items() if value is None}
        return frozenset(f"docs/{name}.md" for name, _ in _MORE if name not in absent)


_MORE = (
    ("run-config", "Run config"),
    ("errors", "Errors"),
    ("python-client", "Python client"),
    ("apis/common", "Shared models"),
    ("deviations", "Deviations"),
)


def _title(path: str, site: str) -> str:
    name = path.removesuffix(".html").split("/")[-1]
    known = dict(_MORE) | {"common": "Shared models"}
    return f"{site} reference" if name == "index" else f"{known.get(name, name)} · {site} reference"


def _comment(ir: Ir, patterns: Iterable[str]) -> str:
    return f"<!-- {header(ir, *patterns)} -->\n"


def _assets() -> Files:
    return {name: (TEMPLATES / "site" / name).read_text(encoding="utf-8") for name in _ASSETS}
