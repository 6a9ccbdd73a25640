"""The server package's tables: provider registry, dispatch, and `SERVER`, which names them all."""

from __future__ import annotations

from specstack_codegen.build import CORE_PACKAGE
from specstack_codegen.cache import digest, generator_digest
from specstack_codegen.emit import Files
from specstack_codegen.emit.auto_routers import router_class
from specstack_codegen.emit.storage import table_entry
from specstack_codegen.ir import Api, Ir, Provider
from specstack_codegen.render import Imports, header, render

DESCRIPTORS = "specstack.descriptors"


def emit(ir: Ir) -> Files:
    """`provider_registry.py`, `dispatch.py`, `__init__.py` and `py.typed`."""
    package = ir.server_package
    return {
        f"{package}/__init__.py": _server(ir),
        f"{package}/provider_registry.py": _registry(ir),
        f"{package}/dispatch.py": _dispatch(ir),
        f"{package}/py.typed": "",
    }


def _server(ir: Ir) -> str:
    package = ir.server_package
    imports = Imports()
    imports.add(DESCRIPTORS, "GeneratedServer", *(["ApiEntry"] if ir.apis else []))
    if ir.storage.tables:
        imports.add(DESCRIPTORS, "SqlColumn", "SqlTable")
    return render(
        "server/init.py.jinja",
        header=header(ir, "openapi/*.yaml", "resources.yaml", "services.yaml", "errors.yaml", "storage.yaml"),
        doc="The generated server: routers, tables and registries, and `SERVER`, which names them all.",
        imports=imports.lines,
        apis=[(api.name, _api_entry(ir, api)) for api in ir.apis],
        tables=[
            (one.name, f"{package}.routing_tables.{one.module}:{one.class_name}") for one in ir.resources
        ],
        services=[(one.name, one.module) for one in ir.services],
        facts=_facts(ir),
        sql_tables=[table_entry(ir, table) for table in ir.storage.tables],
        migrations=[(api, ir.storage.migrations) for api in ir.storage.apis],
        telemetry=f"{package}.telemetry:TELEMETRY" if ir.telemetry else None,
    )


def _facts(ir: Ir) -> list[tuple[str, str]]:
    found = [
        ("providers", f"{ir.server_package}.provider_registry:PROVIDERS"),
        ("errors", ir.errors_module),
        ("openapi", ir.api_package),
        ("package", ir.package),
    ]
    if ir.package == CORE_PACKAGE:
        found.append(
            ("generator", digest(generator_digest(), *(f"{one}={ir.sources[one]}" for one in ir.sources)))
        )
    if ir.external:
        found.append(("made_for", ir.external))
    if ir.external and ir.config:
        found.append(("registered", f"{ir.api_package}.run_config:{ir.config['registrations']}"))
    return [(name, repr(value)) for name, value in found]


def _api_entry(ir: Ir, api: Api) -> list[tuple[str, str]]:
    package = ir.server_package
    found = [
        ("name", repr(api.name)),
        ("operations", repr(f"{package}.operations.{api.name}:OPERATIONS")),
        ("router", repr(f"{package}.routers.{api.name}:router")),
        ("auto_router", repr(f"{package}.auto_routers.{api.name}:{router_class(api)}")),
    ]
    if api.has_protocol:
        found.append(("protocol", repr(f"{ir.api_package}.protocols.{api.name}:{api.class_name}")))
    routed_by = tuple(resource.name for resource in ir.resources if resource.routes == api.name)
    for name, values in (("tables", api.tables), ("routed_by", routed_by)):
        if values:
            found.append((name, repr(values)))
    return found


def _registry(ir: Ir) -> str:
    imports = Imports()
    imports.add(DESCRIPTORS, "ProviderSpec")
    rows = [_provider_row(ir, provider) for provider in ir.providers]
    return _table(
        ir,
        ("providers/*", "openapi/*.yaml"),
        "Every provider type that there is; a provider's module is imported when a run config names it.",
        imports,
        "PROVIDERS",
        "dict[tuple[str, str], ProviderSpec]",
        rows,
        "(API, provider type) -> what is known of it.",
        "{}",
    )


def _provider_row(ir: Ir, provider: Provider) -> str:
    module = f"{ir.api_package}.provider_config.{provider.api}.{provider.name}"
    arguments = [
        f"api={provider.api!r}",
        f"provider_type={provider.provider_type!r}",
        f"module={provider.module!r}",
        f"config={f'{module}:{provider.class_name}'!r}",
        f"capabilities={provider.capabilities!r}",
        f"summary={provider.summary!r}",
    ]
    if provider.stability != "stable":
        arguments.append(f"stability={provider.stability!r}")
    if provider.extra:
        arguments.append(f"extra={provider.extra!r}")
    if provider.requires:
        arguments.append(f"requires={provider.requires!r}")
    if provider.optional:
        arguments.append(f"optional={provider.optional!r}")
    return f"({provider.api!r}, {provider.provider_type!r}): ProviderSpec({', '.join(arguments)},)"


def _dispatch(ir: Ir) -> str:
    rows = [
        repr((operation.method, path, api.name, operation.name, path != operation.path))
        for api in ir.apis
        for operation in api.operations
        for path in (operation.path, *operation.aliases)
    ]
    return _table(
        ir,
        ("openapi/*.yaml",),
        "Every path that is served, older paths of the same operations included.",
        Imports(),
        "DISPATCH",
        "tuple[tuple[str, str, str, str, bool], ...]",
        rows,
        "(method, path, API, operation, whether the path is an alias), in the order of the spec.",
        "()",
    )


def _table(
    ir: Ir,
    sources: tuple[str, ...],
    doc: str,
    imports: Imports,
    name: str,
    annotation: str,
    rows: list[str],
    name_doc: str,
    brackets: str,
) -> str:
    return render(
        "server/table.py.jinja",
        header=header(ir, *sources),
        doc=doc,
        imports=imports.lines,
        name=name,
        annotation=annotation,
        open=brackets[0],
        close=brackets[1],
        rows=rows,
        name_doc=name_doc,
    )
