"""The reference in Markdown: a page per API and provider, errors, run config, deviations, an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os.path import relpath
from posixpath import dirname
from typing import Any, cast

import yaml

from specstack_codegen import naming, schemas
from specstack_codegen.emit import Files
from specstack_codegen.emit.config import config_sources
from specstack_codegen.emit.docs_operations import operation_view, python_call
from specstack_codegen.emit.docs_schema import Pages, Row, cell
from specstack_codegen.emit.docs_storage import storage_values
from specstack_codegen.ir import Api, Errors, Ir, Provider, Schema
from specstack_codegen.ir_telemetry import Telemetry
from specstack_codegen.render import client_class, header, render

ROOT = "docs"


def emit(ir: Ir) -> Files:
    """Every page of the reference, below `docs/`."""
    return Reference(ir).pages()


class Reference:
    """The reference of one spec, page by page. A subclass may render the same pages in another form."""

    def __init__(self, ir: Ir) -> None:
        self.ir = ir
        params = {op.params_model for api in ir.apis for op in api.operations}
        self.components = {name: schema for name, schema in ir.schemas.items() if name not in params}
        self.apis = [api for api in ir.apis if api.operations]

    def pages(self) -> Files:
        ir = self.ir
        files = {f"{ROOT}/apis/{api.name}.md": self.api(api) for api in self.apis}
        if self.apis:
            files[f"{ROOT}/apis/common.md"] = self.common()
            files[f"{ROOT}/python-client.md"] = self.client()
        for provider in ir.providers:
            files[_provider_page(provider)] = self.provider(provider)
        if ir.errors is not None:
            files[f"{ROOT}/errors.md"] = self.errors(ir.errors)
        if ir.config is not None and not ir.external:
            files[f"{ROOT}/run-config.md"] = self.run_config(ir.config)
        if ir.storage.stores or ir.storage.tables:
            files[f"{ROOT}/storage.md"] = self.render(
                "storage.md.jinja", ("storage.yaml",), **storage_values(ir)
            )
        if ir.deviations is not None:
            files[f"{ROOT}/deviations.md"] = self.deviations(ir.deviations)
        if ir.telemetry is not None:
            files[f"{ROOT}/telemetry.md"] = self.telemetry(ir.telemetry)
        files[f"{ROOT}/index.md"] = self.index()
        return files

    def schema_pages(self, page: str) -> Pages:
        """How schemas are printed on `page`."""

        def link(name: str) -> str:
            owner = self.ir.component_api[name]
            home = f"{ROOT}/apis/{owner}.md"
            return ("" if home == page else relative(home, page)) + f"#model-{name.lower()}"

        return Pages(self.components, link)

    def models(self, owner: str, pages: Pages) -> list[dict[str, Any]]:
        """The components of one API's page, by name."""
        names = sorted(name for name in self.components if self.ir.component_api[name] == owner)
        return [_model(name, self.components[name], pages) for name in names]

    def api(self, api: Api) -> str:
        page = f"{ROOT}/apis/{api.name}.md"
        pages = self.schema_pages(page)
        return self.render(
            "api.md.jinja",
            (api.source,),
            api=api,
            operations=[operation_view(self.ir, op, pages) for op in api.operations],
            providers=[
                (provider, relative(_provider_page(provider), page))
                for provider in self.ir.providers
                if provider.api == api.name
            ],
            resources=[one for one in self.ir.resources if api.name in (one.manages, one.routes)],
            models=self.models(api.name, pages),
        )

    def common(self) -> str:
        pages = self.schema_pages(f"{ROOT}/apis/common.md")
        return self.render("common.md.jinja", ("openapi/common.yaml",), models=self.models("common", pages))

    def provider(self, provider: Provider) -> str:
        page = _provider_page(provider)
        # An external provider may serve an API whose pages are the server's.
        api = next((one for one in self.ir.apis if one.name == provider.api), None)
        names = {op.name: op for op in api.provider_operations} if api else {}
        hooks = {hook.name for hook in api.hooks} if api else set[str]()
        address = relative(f"{ROOT}/apis/{api.name}.md", page) if api else ""
        entry = {
            "provider_id": provider.provider_type.split("::")[-1],
            "provider_type": provider.provider_type,
            "config": dict(provider.sample),
        }
        sample = {"providers": {provider.api: [entry]}}
        return self.render(
            "provider.md.jinja",
            provider.sources,
            provider=provider,
            config=schema_rows(provider.config),
            data=schema_rows(provider.provider_data or {}),
            api=address,
            capabilities=[
                (name, f"{address}#{names[name].id.lower()}" if api else "")
                for name in provider.capabilities
                if name in names or not api
            ],
            discovers=[name for name in provider.capabilities if name in hooks],
            sample=yaml.safe_dump(sample, sort_keys=False, allow_unicode=True, width=100),
        )

    def errors(self, errors: Errors) -> str:
        kinds = sorted(errors.kinds, key=lambda kind: (kind.status, kind.name))
        return self.render(
            "errors.md.jinja",
            ("errors.yaml",),
            kinds=[(kind, cell(kind.description)) for kind in kinds],
            envelopes=[(name, json.dumps(shape, indent=2)) for name, shape in errors.envelopes],
            upstream=errors.upstream,
            client=self.ir.client_package,
        )

    def run_config(self, config: Schema) -> str:
        components = cast("Mapping[str, Schema]", config.get("components", {}).get("schemas", {}))
        pages = Pages(components, lambda name: f"#model-{name.lower()}")
        return self.render(
            "run_config.md.jinja",
            ("config.yaml", *config_sources(self.ir)),
            root=str(config.get("root", "")),
            models=[_model(name, schema, pages) for name, schema in components.items()],
        )

    def deviations(self, deviations: Schema) -> str:
        default = str(deviations.get("reference", ""))
        rows = [
            {
                **{key: cell(str(value)) for key, value in one.items()},
                "reference": one.get("reference", default),
            }
            for one in deviations.get("deviations", ())
        ]
        return self.render("deviations.md.jinja", ("deviations.yaml",), rows=rows)

    def telemetry(self, telemetry: Telemetry) -> str:
        operations = [op for api in self.apis for op in api.operations if op.genai]
        return self.render(
            "telemetry.md.jinja",
            ("telemetry.yaml", "openapi/*.yaml"),
            categories=[(one, cell(one.description)) for one in telemetry.categories],
            metrics=[(one, cell(one.description)) for one in telemetry.metrics],
            spans=telemetry.spans,
            attributes=[(name, cell(text)) for name, text in telemetry.attributes],
            operations=[(op, f"apis/{op.api}.md#{op.id.lower()}") for op in operations],
        )

    def client(self) -> str:
        return self.render(
            "python_client.md.jinja",
            ("openapi/*.yaml",),
            package=self.ir.client_package,
            api_package=self.ir.api_package,
            name=client_class(self.ir),
            examples=_examples(self.ir),
            apis=self.apis,
        )

    def index(self) -> str:
        return self.render(
            "index.md.jinja",
            ("*.yaml", "openapi/*.yaml", "providers/*"),
            name=naming.pascal(self.ir.package),
            apis=self.apis,
            providers=[
                (one, relative(_provider_page(one), f"{ROOT}/index.md"), cell(one.summary))
                for one in self.ir.providers
            ],
            has_errors=self.ir.errors is not None,
            has_config=self.ir.config is not None and not self.ir.external,
            has_storage=bool(self.ir.storage.stores or self.ir.storage.tables),
            has_deviations=self.ir.deviations is not None,
            has_telemetry=self.ir.telemetry is not None,
        )

    def render(self, template: str, patterns: Iterable[str], **values: Any) -> str:
        """A page, with its source in a comment at the top."""
        text = render(f"docs/{template}", header=header(self.ir, *patterns), **values)
        return text.rstrip("\n") + "\n"


def _examples(ir: Ir) -> dict[str, str]:
    """The first operation of each sort, as a call of the client; "" where there is none."""
    found: dict[str, str] = dict.fromkeys(("plain", "stream", "paged", "file", "socket"), "")
    for operation in (op for api in ir.apis for op in api.operations):
        sorts = {
            "plain": operation.method == "GET" and not operation.params and operation.reply.model is not None,
            "stream": operation.stream is not None and operation.stream.when is not None,
            "paged": operation.pagination is not None and operation.pagination.style == "cursor",
            "file": operation.is_binary,
            "socket": operation.websocket is not None,
        }
        for sort in (sort for sort, fits in sorts.items() if fits and not found[sort]):
            found[sort] = python_call(ir, operation)
    return found


def _model(name: str, schema: Schema, pages: Pages) -> dict[str, Any]:
    rows = pages.rows(schema)
    discriminator = schema.get("discriminator", {}).get("propertyName")
    return {
        "name": name,
        "anchor": f"model-{name.lower()}",
        "description": str(schema.get("description") or "").strip(),
        "rows": rows,
        "type": "" if rows else pages.type(schema),
        "closed": bool(rows) and schema.get("additionalProperties") is False,
        "discriminator": discriminator,
    }


def _provider_page(provider: Provider) -> str:
    return f"{ROOT}/{provider.source.removesuffix('.yaml')}.md"


def relative(target: str, page: str) -> str:
    """The address of one page as seen from another."""
    return relpath(target, dirname(page)).replace("\\", "/")


def schema_rows(schema: Schema, prefix: str = "") -> list[Row]:
    """The settings of a config schema, nested ones as `outer.inner`."""
    pages = Pages({}, lambda name: "")
    needed = schemas.required(schema, {})
    rows: list[Row] = []
    for name, field in schemas.properties(schema, {}).items():
        path = f"{prefix}{name}"
        rows.append(pages.row(path, field, required=name in needed))
        rows += schema_rows(field, f"{path}.") if field.get("properties") else []
    return rows
