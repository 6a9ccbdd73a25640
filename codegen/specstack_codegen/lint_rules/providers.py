"""Rules about provider files and about secrets in configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from specstack_codegen import naming
from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import home, view
from specstack_codegen.lint_rules.extensions import config_schemas
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map

PROVIDER_MODES = frozenset({"routed", "create", "delete", "fan-out", "scatter", "provider"})
_SECRET = re.compile(r"(^|_)(key|token|secret|password|passwd|passphrase|credential)s?$", re.IGNORECASE)


@rule("provider-capability", across=True)
def provider_capability(spec: Spec) -> Iterator[Finding]:
    """A provider's API exists, and so do the APIs that it requires.

    Its capabilities are operations that providers of that API serve, or the hook that discovers resources.
    """
    main = home.main_spec(spec)
    for provider in spec.providers.values():
        api = provider.text("api")
        owner = next((one for one in (spec, main) if one is not None and api in one.apis), None)
        if not api or owner is None:
            if api and (main is not None or home.is_main(spec)):
                known = {*spec.apis, *(main.apis if main else ())}
                yield Finding(provider.at("api"), f"there is no API {api!r}", close(api, known))
            continue
        known = _capabilities(owner, api)
        capabilities = provider.seq("capabilities")
        for index, name in enumerate(str(item) for item in capabilities):
            if name not in known:
                message = f"{api} has no operation or hook {name!r} for providers"
                yield Finding(capabilities.at(index), message, close(name, known))
        yield from _required_apis(provider, {*spec.apis, *(main.apis if main else ())})


def _required_apis(provider: Map, known: set[str]) -> Iterator[Finding]:
    for key in ("apis", "optional_apis"):
        names = provider.map("requires").seq(key)
        for index, name in enumerate(str(item) for item in names):
            if name not in known:
                yield Finding(names.at(index), f"there is no API {name!r}", close(name, known))


def _capabilities(spec: Spec, api: str) -> set[str]:
    found = {
        naming.snake(node.value.text("operationId"))
        for node in spec.operations()
        if view.api_of(spec, node) == api and node.value.map("x-serve").text("mode") in PROVIDER_MODES
    }
    for resource in spec.resources.map("resources").values():
        if isinstance(resource, Map) and resource.text("routes") == api and resource.map("discover"):
            found.add(resource.map("discover").text("method"))
    return found


@rule("provider-module")
def provider_module(spec: Spec) -> Iterator[Finding]:
    """Names of a provider agree: file, folder, provider_type, and in the main spec the module too.

    `providers/inference/remote_ollama.yaml` is `remote::ollama` in
    `specstack_providers.remote.inference.ollama`.
    """
    for stem, provider in spec.providers.items():
        path = PurePosixPath(stem)
        kind, _, name = provider.text("provider_type").partition("::")
        python = name.replace("-", "_")
        if provider.text("api") and path.parent.as_posix() != provider.text("api"):
            pos = provider.at("api")
            yield Finding(
                pos, f"the file is not in the folder of its API {provider.text('api')!r}", "move the file"
            )
        if name and path.name != f"{kind}_{python}":
            message = f"the file of {kind}::{name} is called {path.name}.yaml"
            yield Finding(provider.at("provider_type"), message, f"call it {kind}_{python}.yaml")
        module = f"specstack_providers.{kind}.{provider.text('api')}.{python}"
        if home.is_main(spec) and name and provider.text("module") != module:
            message = f"the module {provider.text('module')!r} is not where this provider belongs"
            yield Finding(provider.at("module"), message, f"write module: {module}")


@rule("secret-format")
def secret_format(spec: Spec) -> Iterator[Finding]:
    """A setting called key, token, secret or password has `format: password`, so that it is never shown."""
    for node in config_schemas(spec):
        properties = node.value.map("properties")
        for name in properties:
            schema = properties.map(name)
            kinds = {str(schema.get("type")), *(str(kind) for kind in schema.seq("type"))}
            if _SECRET.search(name) and "string" in kinds and schema.text("format") != "password":
                message = f"the setting {name!r} looks like a secret and would be shown"
                yield Finding(properties.at(name), message, "add format: password, or choose another name")
